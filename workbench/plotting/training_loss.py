"""The loss during retraining, update by update, over all pruning steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from workbench.plotting import frames, layout, style, words


def plot_training_loss(
    data: pd.DataFrame,
    *,
    ax: Axes | None = None,
    smooth: int = 5,
    legend: bool = True,
    theme: str = "light",
    width: float | None = None,
) -> Axes:
    """Draw the training loss against all updates done so far, one thin line per run.

    Dotted lines mark the pruning steps, or the epochs where nothing is pruned. Losses of different
    objectives have different scales: this figure tells whether a run converges, not which method is
    better. ``smooth`` updates are averaged (a running mean within one step).
    """
    rows = _rows(data)
    every = rows["method"].unique()
    rows = rows[rows["method"].isin(words.focus(every))]
    owned = ax is None
    ax = layout.single(width, theme) if ax is None else ax
    marks = style.method_marks(rows["method"], theme)
    for (method, _), run in rows.groupby(["method", "seed"], sort=False):
        mark = marks[method]
        smoothed = run.groupby("step")["value"].transform(
            lambda values: values.rolling(max(1, smooth), min_periods=1).mean()
        )
        for _, part in smoothed.groupby((run["total"].diff() < 0).cumsum()):
            ax.plot(
                run.loc[part.index, "total"], part, color=mark.color, linewidth=1.2, alpha=0.9,
                marker=mark.marker or None, markevery=max(1, len(run) // 12), markersize=5,
            )  # fmt: skip
    for end in rows.groupby("step")["total"].max().iloc[:-1]:
        ax.axvline(end + 0.5, color=style.theme(theme).muted, linewidth=0.7, linestyle=":")
    pruned = (data["name"] == "density").any()
    told = "of retraining (dotted: a pruning step)" if pruned else "(dotted: a new epoch)"
    if (data["name"] == "stored_share").any():
        told = "of retraining (dotted: a smaller share of the bytes)"
    ax.set_xlabel(f"updates {told}")
    ax.set_ylabel(words.scalar("train_loss"))
    if (rows["value"] > 0).all() and rows["value"].max() > 50 * rows["value"].median():
        ax.set_yscale("log")
    style.dress(ax, theme, grid="y")
    if legend:
        order = words.order_methods(rows["method"])
        handles = [
            Line2D([], [], color=marks[method].color, marker=marks[method].marker or None)
            for method in order
        ]
        labels = [words.method(method) for method in order]
        seeds = rows["seed"].nunique()
        note = f"running mean of {smooth} updates; {seeds} seed{'s' if seeds > 1 else ''}"
        note += words.others(every, order, "not drawn")
        layout.legend(ax, handles, labels, title=note, theme_name=theme, outside=owned)
    return ax


def describe_training_loss(data: pd.DataFrame, **_: Any) -> str:
    """One sentence with the first and last loss of each method."""
    rows = _rows(data)
    said = []
    for method in words.order_methods(rows["method"]):
        own = rows[rows["method"] == method].sort_values("total")["value"].to_numpy()
        tenth = max(1, len(own) // 10)
        start, end = np.mean(own[:tenth]), np.mean(own[-tenth:])
        said.append(f"{words.method(method)} from {start:.3g} to {end:.3g}")
    updates = int(rows["total"].max())
    what = " of retraining" if (data["name"] == "density").any() else ""
    return f"Training loss over {updates} updates{what}: {words.listing(said, 20)}."


def _rows(data: pd.DataFrame) -> pd.DataFrame:
    rows = frames.select(data, "train_loss")
    frames.require(rows, ["update"])
    rows = rows.assign(update=rows["update"].astype(int))
    rows = frames.unique(rows, ["method", "seed", "step", "update"], "train_loss")
    rows = rows.sort_values(["method", "seed", "step", "update"])
    length = rows.groupby("step")["update"].max().sort_index()
    first = rows.groupby("step")["update"].min().sort_index()
    if len(first) > 1 and (first.to_numpy()[1:] > length.to_numpy()[:-1]).all():
        return rows.assign(total=rows["update"])  # counted on from epoch to epoch
    # Runs that begin each step anew train longer in it: they end where the others do.
    run = ["method", "seed", "step"]
    own = rows.groupby(run)["update"].transform("max")
    usual = rows.groupby(run)["update"].max().groupby("step").agg(lambda n: n.mode().iloc[0])
    ends, longer = usual.cumsum(), (own - rows["step"].map(usual)).clip(lower=0)
    start = rows["step"].map(ends - usual) - longer
    return rows.assign(total=start + rows["update"])
