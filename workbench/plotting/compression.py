"""A score against stored bytes, shared by the figures of chapter 8: rows, groups and lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from workbench.metrics.inflection import inflection
from workbench.plotting import curves, frames, layout, style, words
from workbench.plotting.zero_shot_curve import RING

CONTROL = curves.CONTROL
SHARE = "stored_share"
KEYS = ("method", "seed", "phase", "step")
PHASES = {"one_shot": "without retraining", "after": "with retraining"}
MOST = 10  # lines in one panel; fewer look alike here than on axes of many colours
SCOPES = {"compressible": "of the compressible layers", "all": "of the whole network"}
REST = "others"
ELSEWHERE = "drawn in colour in another panel"
MARKERS = "os^DvP*X<>"
DASHES: tuple[Any, ...] = ("-", (0, (6, 2)), (0, (1, 1)), (0, (6, 1.5, 1, 1.5)))


def scores(data: pd.DataFrame, metric: str, split: str, scope: str) -> pd.DataFrame:
    """Rows of ``metric`` with the share of stored bytes at the same step, as ``density``.

    Each run has two phases (:data:`PHASES`): the network was compressed at once (``"one_shot"``),
    or step by step and measured after retraining (``"after"``).

    Raises:
        ValueError: missing columns, no such scalar or label, several values for one step of one
            run, or a step whose bytes are not known.
    """
    if scope not in SCOPES:
        raise ValueError(f"unknown scope {scope!r}; choose one of {', '.join(SCOPES)}")
    frames.require(data, [*frames.LONG, "phase"])
    held = frames.select(data, metric, split=split, phase=[*PHASES])
    rows = frames.unique(held, KEYS, metric).drop(columns="density", errors="ignore")
    shares = frames.unique(frames.select(data, SHARE, scope=scope), KEYS, SHARE)
    rows = rows.join(shares.set_index([*KEYS])["value"].rename("density"), on=[*KEYS])
    if rows["density"].isna().any():
        lost = rows[rows["density"].isna()].iloc[0]
        raise ValueError(
            f"no {SHARE} for method {lost['method']!r}, seed {lost['seed']}, step {lost['step']}; "
            f"keep the {SHARE!r} rows of every run that is drawn"
        )
    return rows


def summarise(rows: pd.DataFrame, metric: str, spread: str) -> pd.DataFrame:
    """Mean over seeds with its spread by method and step.

    Of perplexities this is done to their logarithms: the mean is geometric, so that one seed that
    diverged does not hide the others.
    """
    if not words.is_logarithmic(metric):
        return frames.summarise(rows, ["method", "step"], spread=spread)
    logs = rows.assign(value=np.log(rows["value"]))
    out = frames.summarise(logs, ["method", "step"], spread=spread)
    return out.assign(**{column: np.exp(out[column]) for column in ("mean", "low", "high")})


def seeds_note(summary: pd.DataFrame, metric: str, spread: str, drawn: str = "band") -> str:
    """What the reader must know of seeds."""
    note = frames.seeds_note(summary, spread, drawn)
    return f"geometric {note}" if words.is_logarithmic(metric) and note[0] == "m" else note


def groups(rows: pd.DataFrame) -> dict[str, list[str]]:
    """Methods that are told apart in one row of panels, by the title of the row.

    One row without a title if they are few. Otherwise those that share the setting ``compression``
    with at least two others have a row of their own and the remaining ones another; the control
    stands in each.
    """
    methods = words.order_methods(rows["method"])
    if len(methods) <= words.MOST or "compression" not in rows:
        return {"": methods}
    compressed = [method for method in methods if method != CONTROL]
    kinds = rows.drop_duplicates("method").set_index("method")["compression"].astype(str)
    counts = kinds[compressed].value_counts(sort=False)
    made: dict[str, list[str]] = {}
    for method in compressed:
        title = kinds[method] if counts[kinds[method]] > 2 else REST
        made.setdefault(title, []).append(method)
    if REST in made:
        made[REST] = made.pop(REST)  # last
    control = [method for method in methods if method == CONTROL]
    return {title: [*control, *held] for title, held in made.items()}


def shown(grouped: Mapping[str, Sequence[str]]) -> list[str]:
    """All methods that have a line of their own in some row, in the order of the rows."""
    return list(dict.fromkeys(m for held in grouped.values() for m in held[:MOST]))


def looks(grouped: Mapping[str, Sequence[str]], theme: str) -> dict[str, style.Mark]:
    """One mark per method: no two of a colour and a marker, in one row no two of a marker.

    Methods that other chapters know look as they do there.
    """
    elsewhere = set(words.ORDER) - set(words.FUSION)
    theme_colors = [style.theme(theme).blue]
    theme_colors += [style.OKABE_ITO[c] for c in ("vermillion", "green", "purple", "orange")]
    made: dict[str, style.Mark] = {}
    for held in grouped.values():
        known = [method for method in held[:MOST] if method in elsewhere]
        row = [*style.method_marks(known, theme).values()]
        made |= style.method_marks(known, theme)
        for method in (method for method in held[:MOST] if method not in made):
            taken = {(mark.color, mark.marker) for mark in made.values()}
            marker = next(m for m in MARKERS if m not in {mark.marker for mark in row})
            count = Counter(mark.color for mark in row)
            free = [color for color in theme_colors if (color, marker) not in taken]
            color = min(free or theme_colors, key=lambda color: count[color])
            made[method] = style.Mark(color, marker, DASHES[count[color] % len(DASHES)])
            row.append(made[method])
    return made


def note(summary: pd.DataFrame, grouped: Mapping[str, Sequence[str]], text: str) -> str:
    """``text`` about the seeds, which methods are grey everywhere, and which reached no step."""
    text += words.others(summary["method"].unique(), shown(grouped), "thin and grey")
    still = unreached(summary)
    return text + (f"; could not be made so small: {words.listing(still)}" if still else "")


def unreached(summary: pd.DataFrame) -> list[str]:
    """Methods that were measured at step 0 alone, since they reached none of the shares."""
    steps = summary[summary["method"] != CONTROL].groupby("method")["step"].max()
    return words.order_methods(steps.index[steps == 0])


def draw(
    ax: Axes,
    summary: pd.DataFrame,
    methods: Sequence[str],
    marks: Mapping[str, style.Mark],
    *,
    theme: str = "light",
    bands: bool = True,
) -> dict[str, Any]:
    """One line per method of ``methods``, the others thin and grey; returns the handles.

    The control is a level: the network with all bytes, after its last step. ``bands`` show the
    spread over seeds.
    """
    handles: dict[str, Any] = {}
    faint: dict[str, Any] = dict(color=style.theme(theme).grey, alpha=0.45, lw=0.8, zorder=1.5)
    told = [method for method in methods[:MOST] if (summary["method"] == method).any()]
    for method in words.order_methods(set(summary["method"]) - {*told, CONTROL}):
        line = summary[summary["method"] == method].sort_values("step")
        (handles[ELSEWHERE],) = ax.plot(line["density"], line["mean"], **faint)
    for place, method in enumerate(told):
        mark, line = marks[method], summary[summary["method"] == method].sort_values("step")
        look: dict[str, Any] = dict(
            color=mark.color, linestyle=mark.linestyle, linewidth=mark.linewidth,
            zorder=2 + place / 10,
        )  # fmt: skip
        if method == CONTROL:
            last = line.iloc[-1]
            handles[method] = ax.axhline(last["mean"], **look)
            if bands and np.isfinite(last["low"]):
                ax.axhspan(last["low"], last["high"], color=mark.color, alpha=0.1, lw=0)
            continue
        (handles[method],) = ax.plot(
            line["density"], line["mean"], **look, marker=mark.marker or None, markersize=5,
            markeredgewidth=1.2,
        )  # fmt: skip
        if bands and line["low"].notna().any():
            ends = line["density"], line["low"], line["high"]
            ax.fill_between(*ends, color=mark.color, alpha=0.12, lw=0)
    return handles


def score_axis(ax: Axes, metric: str) -> None:
    """The y axis: percent for fractions, round numbers on a logarithmic scale for perplexity."""
    if not words.is_logarithmic(metric):
        style.value_axis(ax, metric)
        return
    ax.set_yscale("log")
    round_ticks(ax.yaxis, *ax.get_ylim())


def round_ticks(axis: Axis, low: float, high: float, most: int = 8) -> None:
    """A few round numbers on a logarithmic axis, however short it is."""
    powers = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    best: list[float] = []
    for steps in ((1,), (1, 3), (1, 2, 5)):
        ticks = [step * 10.0**power for power in powers for step in steps]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) <= most and len(ticks) > len(best):
            best = ticks
    if len(best) < 2 or (len(best) < 3 and high < 3 * low):  # as good as linear
        ticks = [*MaxNLocator(min(most, 5)).tick_values(low, high)]
        best = [tick for tick in ticks if low <= tick <= high]
    axis.set_major_locator(FixedLocator(best))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))


def share_axis(ax: Axes, shares: Iterable[float], scale: str) -> None:
    """Stored bytes on x, all of them on the left; what grew instead stays in view."""
    held = [*shares]
    style.density_axis(ax, held, scale)
    if max(held) > 1:
        ax.set_xlim(left=max(held) * 1.03)


def xlabel(scope: str) -> str:
    """What stands on the axis of bytes."""
    return f"{words.scalar(SHARE)}\n({SCOPES[scope]})"


def inflections(summary: pd.DataFrame, metric: str) -> dict[str, pd.Series]:
    """Of every compressed method that has an inflection point, the row of the summary there.

    A perplexity is judged by its logarithm, turned round, so that it falls where it gets worse.
    """
    found = {}
    for method in words.order_methods(set(summary["method"]) - {CONTROL}):
        line = summary[(summary["method"] == method) & summary["density"].between(1e-9, 1)]
        line = line.drop_duplicates("density")
        score = -np.log(line["mean"]) if words.is_logarithmic(metric) else line["mean"]
        point = inflection(line["density"], score)
        if point is not None:
            found[method] = line.iloc[point.place]
    return found


def ring(
    ax: Axes, summary: pd.DataFrame, metric: str, methods: Sequence[str],
    marks: Mapping[str, style.Mark],
) -> None:  # fmt: skip
    """A ring around each inflection point of ``methods``."""
    for method, point in inflections(summary, metric).items():
        if method in methods[:MOST]:
            look: dict[str, Any] = dict(color=marks[method].color, linestyle="", zorder=4)
            ax.plot(point["density"], point["mean"], **look, **RING)


def legend(
    ax: Axes,
    handles: Mapping[str, Any],
    title: str,
    *,
    rings: bool = False,
    theme: str = "light",
    outside: bool = True,
) -> None:
    """A legend of methods as they come, the control first and the grey lines last."""
    names = [name for name in handles if name != ELSEWHERE]
    names = sorted(names, key=lambda name: name != CONTROL)
    lines = {method(name): handles[name] for name in names}
    if ELSEWHERE in handles:
        lines[ELSEWHERE] = handles[ELSEWHERE]
    if rings:
        look = style.theme(theme).foreground
        mark = Line2D([], [], color=look, linestyle="", **RING)
        lines["inflection point (no ring: none)"] = mark
    layout.legend(ax, [*lines.values()], [*lines], title=title, theme_name=theme, outside=outside)


def method(name: str) -> str:
    """The words for a method's name here, where nothing need be pruned."""
    return "whole network (control)" if name == CONTROL else str(name)


def ends(summary: pd.DataFrame, metric: str) -> str:
    """The numbers of a summary in words: every method at its fewest bytes, best first."""
    still = unreached(summary)
    held = summary[(summary["method"] != CONTROL) & ~summary["method"].isin(still)]
    said = [f"{name} could not be made so small" for name in still]
    if not held.empty:
        last = held.loc[held.groupby("method")["density"].idxmin()]
        last = last.sort_values("mean", ascending=words.is_logarithmic(metric))
        said[:0] = [
            f"{row.method} {curves.with_spread(metric, row)} at {words.percent(row.density)}"
            for row in last.itertuples()
        ]
    control = summary[summary["method"] == CONTROL].sort_values("step")
    if not control.empty:
        said.append(f"{method(CONTROL)} {words.number(metric, control.iloc[-1]['mean'])}")
    return words.listing(said, 24)
