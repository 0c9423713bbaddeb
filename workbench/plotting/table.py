"""Methods by remaining weights, with mean and spread in every cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from workbench.plotting import curves, frames, heatmap, layout, style, words

CELL = 50  # CSS pixels that "71.2 / ±0.8" needs


def plot_table(
    data: pd.DataFrame,
    *,
    ax: Axes | None = None,
    metric: str = "accuracy",
    split: str = "test",
    subset: str | None = None,
    densities: Sequence[float] | None = None,
    theme: str = "light",
    width: float | None = None,
) -> Axes:
    """Draw a coloured table of methods by remaining weights: mean and standard deviation.

    ``densities`` chooses columns (the nearest steps); by default as many as fit. The unpruned
    control stands at the step at which it was trained for as long. Brighter is higher.
    """
    summary = _summary(data, metric, split, subset)
    width = style.WIDTH if width is None else width
    fit = max(3, int(((ax.bbox.width if ax is not None else width) - 150) // CELL))
    steps = _columns(summary, densities, fit)
    means = _pivot(summary, steps, "mean")
    halves = _pivot(summary, steps, "half")
    owned = ax is None
    ax = layout.single(width, theme, 80 + 42 * len(means)) if ax is None else ax
    values = means.to_numpy()
    norm = heatmap.scale(means)
    heatmap.draw(ax, means, norm=norm, cmap=style.theme(theme).sequential, theme=theme)
    colors = matplotlib.colormaps[style.theme(theme).sequential](norm(np.nan_to_num(values)))
    for (row, column), value in np.ndenumerate(values):
        text = "-" if not np.isfinite(value) else cell(metric, value, halves.iloc[row, column])
        empty = style.theme(theme).muted
        ink = style.ink(colors[row, column][:3]) if np.isfinite(value) else empty
        ax.text(column, row, text, ha="center", va="center", fontsize=style.SMALL, color=ink)
    ax.xaxis.set_ticks_position("top")
    ax.xaxis.set_label_position("top")
    ax.tick_params(length=0)
    unit = " (%)" if words.is_fraction(metric) else ""
    counts = sorted(set(summary["n"]))
    note = "one seed (n = 1)" if counts == [1] else f"mean ± sd over {_span(counts)} seeds"
    ax.set_xlabel("remaining weights")
    if owned:
        where = f", {layout.safe(subset)}" if subset else ""
        layout.footnote(ax.figure, f"{words.scalar(metric)}{where}{unit}, {split}; {note}", theme)
    return ax


def table(
    data: pd.DataFrame,
    *,
    metric: str = "accuracy",
    split: str = "test",
    subset: str | None = None,
    densities: Sequence[float] | None = None,
) -> pd.DataFrame:
    """The same table as text: one row per method, one column per density, ``71.2 ± 0.8``."""
    summary = _summary(data, metric, split, subset)
    steps = _columns(summary, densities, 10**6)
    means, halves = _pivot(summary, steps, "mean"), _pivot(summary, steps, "half")
    out = means.astype(object)
    for (row, column), value in np.ndenumerate(means.to_numpy()):
        text = cell(metric, value, halves.iloc[row, column]) if np.isfinite(value) else "-"
        out.iat[row, column] = text.replace("\n", " ")
    return out


def describe_table(
    data: pd.DataFrame,
    *,
    metric: str = "accuracy",
    split: str = "test",
    subset: str | None = None,
    **_: Any,
) -> str:
    """One sentence with the size of the table and its last column."""
    summary = _summary(data, metric, split, subset)
    steps = _columns(summary, None, 10**6)
    methods = summary["method"].nunique()
    return (
        f"Table of {words.scalar(metric)} for {methods} methods at {len(steps)} densities: "
        f"{curves.ends(summary, metric)}."
    )


def cell(metric: str, mean: float, half: float) -> str:
    """Text of one cell: the mean, and below it the spread where there is one."""
    scale, digits = (100, 1) if words.is_fraction(metric) else (1, 3)
    text = f"{scale * mean:.{digits}f}"
    return text if not np.isfinite(half) else f"{text}\n± {scale * half:.{digits}f}"


def _summary(data: pd.DataFrame, metric: str, split: str, subset: str | None) -> pd.DataFrame:
    labels = dict(split=split, subset=subset, phase="after")
    rows = frames.against_density(data, metric, by=["subset"], **labels)
    summary = frames.summarise(rows, ["method", "step"], spread="sd")
    return summary.assign(half=summary["high"] - summary["mean"])


def _columns(
    summary: pd.DataFrame, densities: Sequence[float] | None, fit: int
) -> dict[int, float]:
    """Steps drawn and the density of each. Step 0, the dense teacher, comes first."""
    pruned = summary[summary["method"] != curves.CONTROL]
    shares = (summary if pruned.empty else pruned).groupby("step")["density"].mean()
    if densities is not None:
        steps = list(dict.fromkeys((shares - wanted).abs().idxmin() for wanted in densities))
    else:
        steps = sorted(frames.choose([int(step) for step in shares.index], fit))
    return {step: float(shares[step]) for step in steps}


def _pivot(summary: pd.DataFrame, steps: dict[int, float], value: str) -> pd.DataFrame:
    out = summary.pivot(index="method", columns="step", values=value).reindex(columns=list(steps))
    out = out.loc[words.order_methods(out.index)]
    out.index = [words.method(method) for method in out.index]
    out.columns = [words.percent(share) for share in steps.values()]
    return out.rename_axis(index="method", columns="remaining weights")


def _span(counts: list[int]) -> str:
    return str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
