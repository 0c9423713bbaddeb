"""One small panel per language, those that keep most first: Figures 9.2 and 9.5 (right)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from workbench.plotting import frames, layout, style, words
from workbench.plotting.pruning_curve import describe_pruning_curves, plot_pruning_curves
from workbench.plotting.zero_shot_curve import ordered

ORDERS = {"score": "score before pruning", "alignment": "translations found before pruning"}


def plot_language_curves(
    data: pd.DataFrame,
    *,
    axes: Any = None,
    metric: str = "accuracy",
    split: str = "test",
    source: str | None = None,
    order: str = "score",
    spread: str = "range",
    scale: str = "log",
    legend: bool = True,
    theme: str = "light",
    width: float | None = None,
) -> np.ndarray:
    """Draw ``metric`` against remaining weights in every language, on equal axes.

    The source language comes first. The others follow by ``order``: ``"score"`` by their score
    before pruning, ``"alignment"`` by how many English translations are retrieved before pruning
    (the nearest to English first), each from high to low. A thin line at the level of the dense
    source, the same in all panels, shows what is lost by language and what by pruning.
    """
    values = languages(data, metric, split, source, order)
    options: dict[str, Any] = dict(metric=metric, split=split, spread=spread, scale=scale)
    axes = plot_pruning_curves(
        data, axes=axes, values=values, legend=legend, theme=theme, width=width, **options
    )
    level = _dense(data, metric, split)[values[0]]
    for ax in axes:
        ax.axhline(level, color=style.theme(theme).muted, linewidth=0.8, zorder=1)
    if legend and axes[0].figure.legends:
        name = words.language(values[0])
        made = axes[0].figure.legends[-1]
        told = f"{made.get_title().get_text()}; thin line: {name} before pruning"
        made.set_title(layout.wrap(told.replace("\n", " "), axes[0].figure))
    return axes


def describe_language_curves(
    data: pd.DataFrame,
    *,
    metric: str = "accuracy",
    split: str = "test",
    source: str | None = None,
    order: str = "score",
    **_: Any,
) -> str:
    """One sentence with the best method of each language at the fewest weights."""
    values = languages(data, metric, split, source, order)
    said = describe_pruning_curves(data, metric=metric, split=split)
    names = words.listing([words.language(value) for value in values], 30)
    return f"{said[:-1]}. From left to right by {ORDERS[order]}: {names}."


def languages(
    data: pd.DataFrame, metric: str, split: str, source: str | None = None, order: str = "score"
) -> list[str]:
    """Languages in the order in which figures show them, the source first."""
    if order not in ORDERS:
        raise ValueError(f"unknown order {order!r}; choose one of {', '.join(ORDERS)}")
    scores = _dense(data, metric, split)
    first, *rest = ordered(scores.index.to_frame(index=False), source)
    if order == "alignment":
        rows = frames.against_density(data, "retrieval", by=["language"], phase="after")
        scores = _first(rows, "language")
        if missing := [one for one in rest if one not in scores.index]:
            raise ValueError(
                f"alignment was not measured in {words.listing(missing)}; choose order='score'"
            )
    return [first, *sorted(rest, key=lambda one: (-scores[one], one))]


def _dense(data: pd.DataFrame, metric: str, split: str) -> pd.Series:
    """Score before pruning by language, as measured."""
    rows = frames.against_density(data, metric, by=["subset"], split=split, phase="after")
    if "subset" not in rows.columns:
        raise ValueError(f"{metric!r} has no 'subset' to make small multiples of")
    return _first(rows, "subset")


def _first(rows: pd.DataFrame, column: str) -> pd.Series:
    start = rows[rows["step"] == rows["step"].min()]
    return start.groupby(column, sort=False)["value"].mean()
