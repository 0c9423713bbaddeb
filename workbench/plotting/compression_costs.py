"""A score against what compressing saves: bytes, multiply-adds and measured time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MultipleLocator

from workbench.plotting import compression, frames, layout, style, words

COSTS = {
    "stored_share": "stored bytes",
    "multiply_adds": "multiply-adds",
    "seconds_per_batch": "measured time",
}
RUN = ["method", "seed"]


def plot_compression_costs(
    data: pd.DataFrame,
    *,
    axes: Any = None,
    metric: str = "accuracy",
    split: str = "test",
    scope: str = "compressible",
    phase: str = "one_shot",
    spread: str = "range",
    legend: bool = True,
    theme: str = "light",
    width: float | None = None,
) -> np.ndarray:
    """Draw ``metric`` against stored bytes, multiply-adds and seconds per batch, on equal axes.

    Each cost is a share of what the same run needed at step 0. A method whose line runs to the
    right saves; one whose line falls straight down only lost score. Bars show the spread over
    seeds. The control is timed at every step too: what its time varies is what timing varies.

    Args:
        data: long frame of the records.
        axes: to draw on; without, a new figure.
        metric: ``"accuracy"``, or ``"perplexity"`` on a logarithmic axis.
        scope: bytes of the layers that may be compressed (``"compressible"``) or of ``"all"``.
        phase: scores without retraining (``"one_shot"``) or with it (``"after"``).
        spread: ``"range"``, ``"sd"`` or ``"t95"`` over seeds.

    Raises:
        ValueError: missing columns, no such scalar or label, or a run without its step 0.
    """
    parts = _parts(data, metric, split, scope, phase)
    first = parts["stored_share"]
    grouped = compression.groups(first)
    owned = axes is None
    count = len(parts) * len(grouped)
    axes = (
        layout.panels(
            count, width=width, theme_name=theme, least=230, height=290, most=len(parts),
            sharex=True, sharey=True,
        )
        if axes is None
        else layout.given(axes, count)
    )  # fmt: skip
    marks = compression.looks(grouped, theme)
    handles: dict[str, Any] = {}
    panels = [(title, held, name) for title, held in grouped.items() for name in parts]
    for ax, (title, methods, name) in zip(axes, panels, strict=True):
        rows = parts[name]
        summary = compression.summarise(rows, metric, spread)
        handles |= compression.draw(ax, summary, methods, marks, theme=theme, bands=False)
        _bars(ax, rows, summary, methods, marks, spread)
        if name == "seconds_per_batch":
            _noise(ax, rows, theme)
        layout.panel_title(ax, f"{title}: {COSTS[name]}" if title else COSTS[name], theme)
    shares = np.concatenate([rows["density"] for rows in parts.values()])
    for ax in axes:
        compression.share_axis(ax, shares, "linear")
        ax.xaxis.set_major_locator(MultipleLocator(0.25 if np.ptp(shares) < 1.2 else 0.5))
        compression.score_axis(ax, metric)
        style.dress(ax, theme)
    layout.label_outer(axes, "share of the whole network's", words.direction(metric), theme)
    if legend:
        every = compression.summarise(first, metric, spread)
        told = compression.seeds_note(every, metric, spread, "bars")
        told = f"{compression.PHASES[phase]}; {told}"
        if compression.CONTROL in {*first["method"]}:
            told += "; grey: the control's time, from its lowest to its highest"
        note = compression.note(every, grouped, told)
        compression.legend(axes[0], handles, note, theme=theme, outside=owned)
    return axes


def describe_compression_costs(
    data: pd.DataFrame,
    *,
    metric: str = "accuracy",
    split: str = "test",
    scope: str = "compressible",
    phase: str = "one_shot",
    spread: str = "range",
    **_: Any,
) -> str:
    """What is left of each cost at the fewest bytes of every method, the fewest seconds first."""
    parts = _parts(data, metric, split, scope, phase)
    summaries = {name: compression.summarise(rows, metric, spread) for name, rows in parts.items()}
    ends = []
    bytes_left = summaries["stored_share"]
    for method in words.order_methods({*bytes_left["method"]} - {compression.CONTROL}):
        line = bytes_left[bytes_left["method"] == method]
        last = line.loc[line["density"].idxmin()]
        left = {}
        for name, summary in summaries.items():
            at = summary[(summary["method"] == method) & (summary["step"] == last["step"])]
            left[name] = float(at["density"].iloc[0]) if len(at) else np.nan
        said = [f"{words.percent(left[n])} of {COSTS[n]}" for n in left if np.isfinite(left[n])]
        score = words.number(metric, last["mean"])
        ends.append(
            (left.get("seconds_per_batch", 1.0), f"{method} {score} with {', '.join(said)}")
        )
    ends.sort(key=lambda end: end[0])
    name = words.direction(metric)
    note = compression.seeds_note(bytes_left, metric, spread, "bars")
    head = (
        f"{name[0].upper()}{name[1:]} {compression.PHASES[phase]} against what is left of bytes, "
    )
    return f"{head}multiply-adds and time, {note}: {words.listing([e for _, e in ends], 24)}."


def _parts(
    data: pd.DataFrame, metric: str, split: str, scope: str, phase: str
) -> dict[str, pd.DataFrame]:
    """Rows of the score for each cost, with the share of it that is left as ``density``."""
    if phase not in compression.PHASES:
        choices = ", ".join(compression.PHASES)
        raise ValueError(f"unknown phase {phase!r}; choose one of {choices}")
    scores = compression.scores(data, metric, split, scope)
    scores = scores[scores["phase"] == phase]
    if scores.empty:
        raise ValueError(f"{metric!r} was not measured {compression.PHASES[phase]}")
    parts = {"stored_share": scores}
    for name in (name for name in COSTS if name != "stored_share"):
        if not (data["name"] == name).any():
            continue
        costs = frames.unique(frames.select(data, name), [*RUN, "step"], name)
        whole = costs[costs["step"] == 0].set_index(RUN)["value"].rename("whole")
        costs = costs.join(whole, on=RUN).set_index([*RUN, "step"])
        left = (costs["value"] / costs["whole"]).rename("density")
        rows = scores.drop(columns="density").join(left, on=[*RUN, "step"])
        if rows["density"].isna().all():
            raise ValueError(f"no run has {name} of step 0, so what is left of it is not known")
        parts[name] = rows.dropna(subset="density")
    return parts


def _bars(
    ax: Axes, rows: pd.DataFrame, summary: pd.DataFrame, methods: list[str], marks: Any, spread: str
) -> None:
    """The spread over seeds, of the cost across and of the score up and down."""
    keys = ["method", "step"]
    across = frames.summarise(rows, keys, spread=spread, value="density").set_index(keys)
    for row in summary[summary["method"].isin(methods[: compression.MOST])].itertuples():
        if row.method == compression.CONTROL or not np.isfinite(row.low):
            continue
        cost = across.loc[(row.method, row.step)]
        look = dict(color=marks[row.method].color, alpha=0.5, linewidth=1)
        ax.plot([cost["low"], cost["high"]], [row.mean, row.mean], **look)
        ax.plot([row.density, row.density], [row.low, row.high], **look)


def _noise(ax: Axes, rows: pd.DataFrame, theme: str) -> None:
    """A band over all times of the control, relative to its own step 0."""
    times = rows.loc[rows["method"] == compression.CONTROL, "density"]
    if len(times):
        look = style.theme(theme)
        ax.axvspan(times.min(), times.max(), color=look.grey, alpha=0.2, lw=0, zorder=0.5)
