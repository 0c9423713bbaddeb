"""Lines of a scalar against remaining weights, shared by the curve figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from workbench.plotting import frames, layout, style, words

XLABEL = "remaining weights"
CONTROL = "none"
OTHERS = "other methods"


def draw(
    ax: Axes,
    rows: pd.DataFrame,
    name: str,
    *,
    spread: str = "range",
    seeds: bool = False,
    scale: str = "log",
    theme: str = "light",
) -> tuple[dict[str, Any], pd.DataFrame]:
    """One line per method, mean over seeds, with its band; returns handles and the summary.

    The unpruned control has the density 1 at every step. It is drawn where the pruned methods
    stand at the same step, since there it has been trained for just as long. Of more methods than
    can be told apart, those of :func:`workbench.plotting.words.focus` have their looks; the others
    are thin and grey, and :func:`note` names them.
    """
    summary = frames.summarise(rows, ["method", "step"], spread=spread)
    summary = _place_control(summary)
    shown = words.focus(summary["method"].unique())
    marks = style.method_marks(shown, theme)
    handles = {}
    for method in words.order_methods(set(summary["method"]) - set(shown)):
        line = summary[summary["method"] == method].sort_values("step")
        faint: dict[str, Any] = dict(
            color=style.theme(theme).grey, alpha=0.5, linewidth=0.9, zorder=1.5
        )
        (handles[OTHERS],) = ax.plot(line["density"], line["mean"], **faint)
    for place, method in enumerate(shown):
        mark, line = marks[method], summary[summary["method"] == method].sort_values("step")
        shape = dict(color=mark.color, linestyle=mark.linestyle, linewidth=mark.linewidth)
        level: dict[str, Any] = dict(zorder=2 + place / 10)
        if method == CONTROL and line["density"].nunique() == 1:
            last = line.iloc[-1]
            handles[method] = ax.axhline(last["mean"], **shape, **level)
            if np.isfinite(last["low"]):
                ax.axhspan(last["low"], last["high"], color=mark.color, alpha=0.12, lw=0)
            continue
        (handles[method],) = ax.plot(
            line["density"], line["mean"], **shape, **level,
            marker=mark.marker or None, markersize=5, markeredgewidth=1.2,
        )  # fmt: skip
        if line["low"].notna().any():
            ax.fill_between(
                line["density"], line["low"], line["high"], color=mark.color, alpha=0.15, lw=0
            )
        if seeds and method != CONTROL:
            dots = rows[rows["method"] == method]
            dots = dots.groupby(["seed", "step"])[["density", "value"]].mean()
            ax.plot(dots["density"], dots["value"], ".", color=mark.color, alpha=0.7, markersize=4)
    style.density_axis(ax, summary["density"], scale, shares(summary))
    style.value_axis(ax, name)
    return handles, summary


def shares(summary: pd.DataFrame) -> Callable[[float], float] | None:
    """What a share of the prunable weights is of all parameters, where that was measured.

    Parameters that are never pruned are a constant, so two steps tell all.
    """
    if frames.ALL not in summary:
        return None
    pruned = summary[summary["method"] != CONTROL] if "method" in summary else summary
    known = pruned[["density", frames.ALL]].dropna().sort_values("density")
    if known.empty or known["density"].iloc[-1] - known["density"].iloc[0] < 1e-6:
        return None
    (low, below), (high, above) = known.iloc[0], known.iloc[-1]
    slope = (above - below) / (high - low)
    return lambda share: float(below + slope * (share - low))


def xlabel(data: pd.DataFrame) -> str:
    """What stands on the axis of :func:`draw`: one share, or both."""
    return XLABEL + ("\n(of all parameters)" if frames.has_all(data) else "")


def note(summary: pd.DataFrame, spread: str) -> str:
    """What the reader must know of seeds, and which methods are the grey lines."""
    held = summary["method"].unique()
    grey = words.others(held, words.focus(held), "thin and grey")
    return frames.seeds_note(summary, spread) + grey


def legend(
    ax: Axes,
    handles: Mapping[str, Any],
    title: str,
    *,
    theme: str = "light",
    outside: bool = True,
    more: Mapping[str, Any] | None = None,
) -> None:
    """A legend of methods in reading order, the grey ones and ``more`` last."""
    order = words.order_methods(set(handles) - {OTHERS}) + [o for o in (OTHERS,) if o in handles]
    lines = [*(handles[name] for name in order), *(more or {}).values()]
    labels = [*(words.method(name) for name in order), *(more or {})]
    layout.legend(ax, lines, labels, title=title, theme_name=theme, outside=outside)


def ends(summary: pd.DataFrame, name: str) -> str:
    """The numbers of a summary in words: every method at its lowest density, best first."""
    pruned = summary[summary["method"] != CONTROL]
    parts = []
    if not pruned.empty:
        last = pruned.loc[pruned.groupby("method")["density"].idxmin()]
        last = last.sort_values("mean", ascending=False)
        together = last["density"].max() - last["density"].min() < 5e-4
        if together:
            parts.append(f"at {words.percent(last['density'].iloc[0])} of the weights")
        said = [
            f"{words.method(row.method)} {with_spread(name, row)}"
            + ("" if together else f" at {words.percent(row.density)}")
            for row in last.itertuples()
        ]
        parts.append(words.listing(said))
    control = summary[summary["method"] == CONTROL]
    if not control.empty:
        final = control.sort_values("step").iloc[-1]
        parts.append(f"the unpruned control {words.number(name, final['mean'])}")
    return "; ".join(parts[-2:]) if len(parts) < 3 else f"{parts[0]} {parts[1]}; {parts[2]}"


def with_spread(name: str, row: Any) -> str:
    value = words.number(name, row.mean)
    if not np.isfinite(row.low):
        return value
    return f"{value} ({words.number(name, row.low)} to {words.number(name, row.high)})"


def _place_control(summary: pd.DataFrame) -> pd.DataFrame:
    control = summary["method"] == CONTROL
    pruned = summary[~control]
    if pruned.empty or not control.any():
        return summary
    steps = pruned.groupby("step")["density"].agg(["min", "max", "mean"])
    here = summary.loc[control, "step"]
    shared = (steps["max"] - steps["min"]).max() < 5e-3 and here.isin(steps.index).all()
    if not shared or len(here) < 2:
        return summary
    summary = summary.copy()
    summary.loc[control, "density"] = here.map(steps["mean"])
    return summary
