"""A score against stored bytes, without and with retraining: Figures 8.1, 8.2 and 8.4."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from workbench.plotting import compression, layout, style, words


def plot_compression_curve(
    data: pd.DataFrame,
    *,
    axes: Any = None,
    metric: str = "accuracy",
    split: str = "test",
    scope: str = "compressible",
    inflections: bool = True,
    spread: str = "range",
    scale: str = "log",
    legend: bool = True,
    theme: str = "light",
    width: float | None = None,
) -> np.ndarray:
    """Draw ``metric`` against the share of stored bytes left: without, and with retraining.

    All panels share their axes. A ring marks each method's inflection point, the step after which
    the mean over seeds gets worse faster than before
    (:func:`workbench.metrics.inflection.inflection` defines it; of perplexity the logarithm is
    taken). The dotted level is the network with all bytes. Of more methods than can be told apart
    in one panel, those that share the setting ``compression`` have a row of panels of their own,
    and are thin and grey in the others.

    Args:
        data: long frame of the records.
        axes: to draw on; without, a new figure.
        metric: ``"accuracy"``, or ``"perplexity"`` on a logarithmic axis.
        scope: bytes of the layers that may be compressed (``"compressible"``) or of ``"all"``.
        inflections: whether to mark inflection points.
        spread: ``"range"``, ``"sd"`` or ``"t95"`` over seeds.
        scale: ``"log"`` or ``"linear"`` for the bytes.

    Raises:
        ValueError: missing columns, no such scalar or label, only NaN, or several runs of one
            method and seed.
    """
    rows, grouped, panels = _panels(data, metric, split, scope)
    owned = axes is None
    axes = (
        layout.panels(
            len(panels), width=width, theme_name=theme, least=270, height=320, sharex=True,
            sharey=True, most=rows["phase"].nunique(),
        )
        if axes is None
        else layout.given(axes, len(panels))
    )  # fmt: skip
    marks = compression.looks(grouped, theme)
    handles: dict[str, Any] = {}
    summaries = []
    for ax, (title, (methods, part)) in zip(axes, panels.items(), strict=True):
        summary = compression.summarise(part, metric, spread)
        handles |= compression.draw(ax, summary, methods, marks, theme=theme)
        if inflections:
            compression.ring(ax, summary, metric, methods, marks)
        summaries.append(summary)
        layout.panel_title(ax, title, theme)
    for ax in axes:  # the scale of y is that of all panels, so it comes when all are drawn
        compression.share_axis(ax, rows["density"], scale)
        compression.score_axis(ax, metric)
        style.dress(ax, theme)
    layout.label_outer(axes, compression.xlabel(scope), words.direction(metric), theme)
    if legend:
        every = pd.concat(summaries)
        told = compression.seeds_note(every, metric, spread)
        note = compression.note(every, grouped, told)
        look: dict[str, Any] = dict(rings=inflections, theme=theme, outside=owned)
        compression.legend(axes[0], handles, note, **look)
    return axes


def describe_compression_curve(
    data: pd.DataFrame,
    *,
    metric: str = "accuracy",
    split: str = "test",
    scope: str = "compressible",
    inflections: bool = True,
    spread: str = "range",
    **_: Any,
) -> str:
    """The numbers at the fewest bytes, best first, and where each line begins to get worse."""
    rows = compression.scores(data, metric, split, scope)
    said, summaries = [], []
    for phase, title in _phases(rows).items():
        summary = compression.summarise(rows[rows["phase"] == phase], metric, spread)
        text = f"{title.capitalize()}, at the fewest bytes: {compression.ends(summary, metric)}"
        if inflections:
            found = compression.inflections(summary, metric)
            points = [f"{m} {words.percent(row['density'])}" for m, row in found.items()]
            text += f"; inflection points: {words.listing(points, 24) or 'none'}"
        said.append(text)
        summaries.append(summary)
    note = compression.seeds_note(pd.concat(summaries), metric, spread)
    name = words.direction(metric)
    label = compression.xlabel(scope).replace("\n", " ")
    return f"{name[0].upper()}{name[1:]} against {label}, {note}. {'. '.join(said)}."


def _panels(
    data: pd.DataFrame, metric: str, split: str, scope: str
) -> tuple[pd.DataFrame, dict[str, list[str]], dict[str, tuple[list[str], pd.DataFrame]]]:
    """All rows, methods by row of panels, and by title the methods and rows of each panel."""
    rows = compression.scores(data, metric, split, scope)
    grouped = compression.groups(rows)
    panels = {}
    for name, methods in grouped.items():
        for phase, title in _phases(rows).items():
            title = f"{name}: {title}" if name else title
            panels[title] = (methods, rows[rows["phase"] == phase])
    return rows, grouped, panels


def _phases(rows: pd.DataFrame) -> dict[str, str]:
    return {name: title for name, title in compression.PHASES.items() if name in {*rows["phase"]}}
