"""A score against remaining weights: Figures 11.2 and 11.3 of the thesis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from workbench.plotting import curves, frames, layout, style, words


def plot_pruning_curve(
    data: pd.DataFrame,
    *,
    ax: Axes | None = None,
    metric: str = "accuracy",
    split: str = "test",
    subset: str | None = None,
    phase: str = "after",
    spread: str = "range",
    seeds: bool = False,
    scale: str = "log",
    legend: bool = True,
    theme: str = "light",
    width: float | None = None,
) -> Axes:
    """Draw ``metric`` against remaining weights, one line per method.

    Args:
        data: long frame of the records (see :mod:`workbench.plotting.frames`).
        ax: axes to draw on; a new figure without.
        metric: name of the scalar.
        subset: domain or language; ``None`` takes the mean over all that were measured.
        spread: ``"range"``, ``"sd"`` or ``"t95"`` over seeds.
        seeds: also one dot per seed.
        scale: ``"log"`` or ``"linear"`` for the remaining weights.

    Raises:
        ValueError: missing columns, no such scalar or label, only NaN, or several runs of one
            method and seed.
    """
    rows = _rows(data, metric, split, subset, phase)
    owned = ax is None
    ax = layout.single(width, theme) if ax is None else ax
    options: dict[str, Any] = dict(spread=spread, seeds=seeds, scale=scale, theme=theme)
    handles, summary = curves.draw(ax, rows, metric, **options)
    ax.set_xlabel(curves.xlabel(data))
    ax.set_ylabel(words.scalar(metric) + _where(rows, subset))
    style.dress(ax, theme)
    if legend:
        curves.legend(ax, handles, curves.note(summary, spread), theme=theme, outside=owned)
    return ax


def plot_pruning_curves(
    data: pd.DataFrame,
    *,
    axes: Any = None,
    metric: str = "accuracy",
    split: str = "test",
    phase: str = "after",
    facet: str = "subset",
    values: Sequence[str] | None = None,
    spread: str = "range",
    scale: str = "log",
    legend: bool = True,
    theme: str = "light",
    width: float | None = None,
) -> np.ndarray:
    """Draw one pruning curve per domain or language (any column ``facet``), on equal axes.

    ``values`` chooses and orders the panels; by default all as measured, the source first.
    """
    rows = frames.against_density(data, metric, by=[facet], split=split, phase=phase)
    if facet not in rows.columns or rows[facet].isna().all():
        raise ValueError(f"{metric!r} has no {facet!r} to make small multiples of")
    held = list(dict.fromkeys(rows[facet].dropna()))  # the source comes first, as measured
    values = held if values is None else list(values)
    if unknown := [value for value in values if value not in held]:
        raise ValueError(f"no {facet} {words.listing(unknown)}; there are: {words.listing(held)}")
    shared = dict(sharex=True, sharey=True, height=230 if len(values) < 5 else 170)
    owned = axes is None
    axes = (
        layout.panels(len(values), width=width, theme_name=theme, least=160, **shared)
        if axes is None
        else layout.given(axes, len(values))
    )
    handles: dict[str, Any] = {}
    notes = []
    for ax, value in zip(axes, values, strict=True):
        part = rows[rows[facet] == value]
        made, summary = curves.draw(ax, part, metric, spread=spread, scale=scale, theme=theme)
        handles |= made
        notes.append(summary)
        layout.panel_title(ax, words.language(value), theme)
        style.dress(ax, theme)
    layout.label_outer(axes, curves.xlabel(data), words.scalar(metric), theme)
    if legend:
        note = curves.note(pd.concat(notes), spread)
        curves.legend(axes[0], handles, note, theme=theme, outside=owned)
    return axes


def describe_pruning_curve(
    data: pd.DataFrame,
    *,
    metric: str = "accuracy",
    split: str = "test",
    subset: str | None = None,
    phase: str = "after",
    spread: str = "range",
    **_: Any,
) -> str:
    """One sentence with the numbers at the lowest density."""
    rows = _rows(data, metric, split, subset, phase)
    summary = frames.summarise(rows, ["method", "step"], spread=spread)
    count = summary["method"].nunique()
    return (
        f"{words.scalar(metric).capitalize()}{_where(rows, subset)} against remaining weights for "
        f"{count} {'method' if count == 1 else 'methods'}, {frames.seeds_note(summary, spread)}: "
        f"{curves.ends(summary, metric)}."
    )


def describe_pruning_curves(
    data: pd.DataFrame,
    *,
    metric: str = "accuracy",
    split: str = "test",
    phase: str = "after",
    facet: str = "subset",
    **_: Any,
) -> str:
    """One sentence with the best method of each panel at the lowest density."""
    rows = frames.against_density(data, metric, by=[facet], split=split, phase=phase)
    said = []
    for value in dict.fromkeys(rows[facet].dropna()):
        part = frames.nearest(rows[rows[facet] == value], None)
        part = part[part["method"] != curves.CONTROL] if part["method"].nunique() > 1 else part
        best = part.groupby("method")["value"].mean()
        said.append(f"{value} {words.method(best.idxmax())} {words.number(metric, best.max())}")
    return (
        f"{words.scalar(metric).capitalize()} against remaining weights in {len(said)} panels, one "
        f"per {facet}; highest at the fewest weights: {words.listing(said, 20)}."
    )


def _rows(
    data: pd.DataFrame, metric: str, split: str, subset: str | None, phase: str
) -> pd.DataFrame:
    labels = dict(split=split, subset=subset, phase=phase)
    return frames.against_density(data, metric, by=["subset"], **labels)


def _where(rows: pd.DataFrame, subset: str | None) -> str:
    if subset is not None:
        return f", {layout.safe(subset)}"
    count = rows["subset"].nunique() if "subset" in rows.columns else 0
    return f", mean of {count} subsets" if count > 1 else ""
