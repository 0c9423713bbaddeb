"""How far retraining brings a score back after each pruning step: Figure 11.5."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.lines import Line2D

from workbench.plotting import curves, frames, layout, style, words


def plot_recovery(
    data: pd.DataFrame,
    *,
    ax: Axes | None = None,
    metric: str = "accuracy",
    split: str = "validation",
    subset: str | None = None,
    methods: Sequence[str] | None = None,
    legend: bool = True,
    theme: str = "light",
    width: float | None = None,
) -> Axes:
    """Draw one bar per pruning step and method, from before retraining up to after it.

    The marker is the score after retraining, the bar's other end the score right after pruning.
    Where retraining lowered the score, the bar is hollow. Means over seeds. The unpruned control
    has nothing to recover from and is left out unless ``methods`` names it.
    """
    table, note = _table(data, metric, split, subset, methods)
    chosen = words.order_methods(table["method"])
    steps = sorted(table["step"].unique())
    owned = ax is None
    ax = layout.single(width, theme) if ax is None else ax
    marks = style.method_marks(chosen, theme)
    slot = 0.84 / len(chosen)
    size = float(np.clip(ax.bbox.width / len(steps) * slot * 0.45, 2.0, 6.0))
    handles = []
    for place, method in enumerate(chosen):
        bars, mark = table[table["method"] == method], marks[method]
        x = bars["step"].map(steps.index) + (place - (len(chosen) - 1) / 2) * slot
        up = bars["after"] >= bars["before"]
        ax.bar(
            x, bars["after"] - bars["before"], 0.78 * slot, bottom=bars["before"],
            color=[to_rgba(mark.color, 0.55 if rose else 0.0) for rose in up],
            edgecolor=mark.color, linewidth=0.8, zorder=2,
        )  # fmt: skip
        ax.plot(x, bars["after"], mark.marker or "o", color=mark.color, markersize=size, zorder=3)
        handles.append(Line2D([], [], color=mark.color, marker=mark.marker or "o", linestyle=""))
    shares = table[table["method"] != curves.CONTROL].groupby("step")["density"].mean()
    every = max(1, int(np.ceil(len(steps) / (ax.bbox.width * 0.85 / 44))))
    ax.set_xticks(range(len(steps)))
    ax.set_xticklabels(
        [words.percent(shares.get(s, 1.0)) if i % every == 0 else "" for i, s in enumerate(steps)]
    )
    for between in range(len(steps) - 1):
        ax.axvline(between + 0.5, color=style.theme(theme).grid, linewidth=0.7, zorder=0)
    ax.set_xlim(-0.5, len(steps) - 0.5)
    low, high = table[["before", "after"]].min().min(), table[["before", "after"]].max().max()
    pad = 0.05 * (high - low) or 0.05
    ax.set_ylim(low - pad, high + pad)
    style.value_axis(ax, metric)
    ax.set_xlabel("remaining weights after the pruning step")
    ax.set_ylabel(f"{words.scalar(metric)}, {split}")
    style.dress(ax, theme, grid="y")
    if legend:
        names = [words.method(method) for method in chosen]
        text = f"bar: right after pruning to after retraining (marker); {note}"
        layout.legend(ax, handles, names, title=text, theme_name=theme, outside=owned)
    return ax


def describe_recovery(
    data: pd.DataFrame,
    *,
    metric: str = "accuracy",
    split: str = "validation",
    subset: str | None = None,
    methods: Sequence[str] | None = None,
    **_: Any,
) -> str:
    """One sentence with each method's drop and recovery at the last step."""
    table, note = _table(data, metric, split, subset, methods)
    said = []
    for method in words.order_methods(table["method"]):
        last = table[table["method"] == method].sort_values("step").iloc[-1]
        said.append(
            f"{words.method(method)} from {words.number(metric, last['before'])} to "
            f"{words.number(metric, last['after'])}"
        )
    return (
        f"{words.scalar(metric).capitalize()} before and after retraining at each pruning step, "
        f"{note}; at the last step {words.listing(said)}."
    )


def _table(
    data: pd.DataFrame,
    metric: str,
    split: str,
    subset: str | None,
    methods: Sequence[str] | None,
) -> tuple[pd.DataFrame, str]:
    """Columns method, step, before, after, density: means over the seeds that have both."""
    labels = dict(split=split, subset=subset, phase=["before", "after"])
    rows = frames.against_density(data, metric, by=["subset", "phase"], **labels)
    if "phase" not in rows.columns or not (rows["phase"] == "before").any():
        raise ValueError(
            f"{metric!r} was measured only after retraining; recovery needs phase='before' too"
        )
    left = ""
    if methods is None:
        pruned = [m for m in rows["method"].unique() if m != curves.CONTROL]
        methods = words.focus(pruned) or [curves.CONTROL]
        left = words.others(pruned, methods, "not drawn")
    rows = rows[rows["method"].isin(list(methods))]
    if rows.empty:
        raise ValueError(f"no rows of the methods {words.listing(list(methods))}")
    keys = ["method", "seed", "step"]
    pairs = rows.pivot_table(index=keys, columns="phase", values="value", aggfunc="mean")
    pairs = pairs.dropna(subset=["before", "after"])
    pairs["density"] = rows.groupby(keys)["density"].first()
    pairs = pairs.reset_index()
    groups = pairs.groupby(["method", "step"])
    table = groups[["before", "after", "density"]].mean().reset_index()
    low, high = groups.size().min(), groups.size().max()
    note = f"mean over {high if low == high else f'{low} to {high}'} seeds"
    return table, ("one seed (n = 1)" if high == 1 else note) + left
