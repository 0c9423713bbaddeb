"""What the figures of chapter 10 share: scores by epoch, the last epoch, and grids of panels.

In its records ``step`` is the epoch: 0 before training, 1 after the first pass over the data.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from workbench.plotting import curves, frames, layout, style, words
from workbench.plotting.zero_shot_curve import parts as source_and_others

CONTROL = "standard"
XLABEL = "epoch (0: before training)"
APART = 0.08  # epochs between marks of one epoch


def scores(data: pd.DataFrame, metric: str, split: str) -> pd.DataFrame:
    """Rows of ``metric`` after each epoch, one for each method, seed, epoch and language."""
    rows = frames.select(data, metric, split=split, phase="after")
    by = ["subset"] if "subset" in rows.columns else []
    return frames.unique(rows, ["method", "seed", "step", *by], metric)


def parts(rows: pd.DataFrame, source: str | None = None) -> dict[str, pd.DataFrame]:
    """Rows of the language trained on and of all others, by title; of one language those alone."""
    held = rows["subset"].dropna().unique() if "subset" in rows.columns else []
    if len(held) < 2:
        return {words.language(held[0]) if len(held) else "": rows}
    return source_and_others(rows, source)


def last(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of each run's last epoch."""
    return rows[rows["step"] == rows.groupby(["method", "seed"])["step"].transform("max")]


def gained(rows: pd.DataFrame, against: str) -> pd.DataFrame:
    """``rows`` of the other methods less those of ``against`` with the same seed and epoch."""
    base, rest = rows[rows["method"] == against], rows[rows["method"] != against]
    if base.empty:
        held = words.listing(words.order_methods(rows["method"]), 20)
        raise ValueError(f"no runs of {against!r} to measure gains against; there are: {held}")
    keys = ["seed", "step", *(["subset"] if "subset" in rows.columns else [])]
    both = rest.merge(base[[*keys, "value"]], on=keys, suffixes=("", "_base"))
    if both.empty:
        raise ValueError(f"no other method has a seed and an epoch in common with {against!r}")
    return both.assign(value=both["value"] - both.pop("value_base"))


def at_epoch(rows: pd.DataFrame) -> str:
    """``after epoch 6``, or ``after the last epoch of each run (4 to 6)``."""
    low, high = int(rows["step"].min()), int(rows["step"].max())
    if low == high:
        return f"after epoch {high}" if high else "before training"
    return f"after the last epoch of each run ({low} to {high})"


def seeds(counts: Any) -> str:
    """``5 seeds``, ``3 to 5 seeds`` or ``one seed (n = 1)``."""
    low, high = int(min(counts)), int(max(counts))
    if high == 1:
        return "one seed (n = 1)"
    return f"{high} seeds" if low == high else f"{low} to {high} seeds"


def mean_over(counts: Any) -> str:
    """``mean over 5 seeds``, or ``one seed (n = 1)``."""
    told = seeds(counts)
    return told if told.startswith("one") else f"mean over {told}"


def draw(
    ax: Axes, rows: pd.DataFrame, name: str, *, spread: str = "range", theme: str = "light"
) -> tuple[dict[str, Any], pd.DataFrame]:
    """One line per method over epochs, mean over seeds, with its band.

    As :func:`workbench.plotting.curves.draw` does, methods beyond those that can be told apart are
    thin and grey. What was measured in one epoch alone is drawn as marks beside each other, with
    upright lines for the spread. Returns handles by method and the summary.
    """
    summary = frames.summarise(rows, ["method", "step"], spread=spread)
    shown = words.focus(summary["method"].unique())
    marks = style.method_marks(shown, theme)
    handles: dict[str, Any] = {}
    alone = summary["step"].nunique() == 1
    for method in words.order_methods(set(summary["method"]) - set(shown)):
        line = summary[summary["method"] == method]
        faint: dict[str, Any] = dict(color=style.theme(theme).grey, alpha=0.5, linewidth=0.9)
        faint |= {"marker": "."} if alone else {}
        (handles[curves.OTHERS],) = ax.plot(line["step"], line["mean"], zorder=1.5, **faint)
    for place, method in enumerate(shown):
        mark, line = marks[method], summary[summary["method"] == method]
        if alone:
            at = line["step"] + (place - (len(shown) - 1) / 2) * APART
            handles[method] = _mark(ax, at, line, mark)
            continue
        (handles[method],) = ax.plot(
            line["step"], line["mean"], color=mark.color, linestyle=mark.linestyle,
            linewidth=mark.linewidth, marker=mark.marker or None, markersize=5,
            markeredgewidth=1.2, zorder=2 + place / 10,
        )  # fmt: skip
        if line["low"].notna().any():
            ax.fill_between(
                line["step"], line["low"], line["high"], color=mark.color, alpha=0.15, lw=0
            )
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.margins(x=0.03)
    style.value_axis(ax, name)
    return handles, summary


def _mark(ax: Axes, at: pd.Series, line: pd.DataFrame, mark: style.Mark) -> Any:
    """The mean as a mark and its spread as an upright line; the control is a dash."""
    (drawn,) = ax.plot(
        at, line["mean"], linestyle="", marker=mark.marker or "_", color=mark.color, markersize=7,
        markeredgewidth=1.6,
    )  # fmt: skip
    ax.vlines(at, line["low"], line["high"], color=mark.color, linewidth=1.6)
    return drawn


def ends(summary: pd.DataFrame, name: str) -> str:
    """Every method at its last epoch in words, the best first."""
    final = summary.loc[summary.groupby("method")["step"].idxmax()]
    final = final.sort_values("mean", ascending=False)
    together = final["step"].nunique() == 1
    said = [
        f"{words.method(row.method)} {curves.with_spread(name, row)}"
        + ("" if together else f" after epoch {row.step}")
        for row in final.itertuples()
    ]
    head = f"after epoch {final['step'].iloc[0]} " if together else ""
    return head + words.listing(said, 20)


def epochs(steps: Sequence[int], count: int) -> list[int]:
    """At most ``count`` of ``steps``, evenly chosen, the first and the last among them."""
    return sorted(int(step) for step in frames.choose([int(s) for s in steps], count))


def grid(
    axes: Any, rows: Sequence[str], columns: Sequence[int], *, width: float | None, theme: str,
    height: float, top: float = 40,
) -> np.ndarray:  # fmt: skip
    """Panels with methods in rows and epochs in columns: a title over each row, epochs below.

    ``height`` is that of one row in CSS pixels with its title.
    """
    if axes is None:
        figure = layout.new_figure(width, top + height * len(rows), theme)
        axes = figure.subplots(len(rows), len(columns), squeeze=False, sharex=True, sharey=True)
    else:
        axes = layout.given(axes, len(rows) * len(columns)).reshape(len(rows), len(columns))
    look = style.theme(theme)
    for line, method in zip(axes, rows, strict=True):
        named = layout.safe(words.method(method))
        line[0].set_title(named, loc="left", fontsize=style.LABEL, color=look.foreground)
    for ax, step in zip(axes[-1], columns, strict=True):
        ax.set_xlabel(f"epoch {step}" if step else "before")
    return axes
