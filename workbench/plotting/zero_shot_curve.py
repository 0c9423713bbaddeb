"""The language trained on beside the others: Figures 9.1, 9.3, 9.4 and 9.5 (left)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D

from workbench.metrics.inflection import Inflection, inflection
from workbench.plotting import curves, frames, layout, style, words

ENGLISH = "en"


def plot_zero_shot_curve(
    data: pd.DataFrame,
    *,
    axes: Any = None,
    metric: str = "accuracy",
    split: str = "test",
    source: str | None = None,
    inflections: bool = True,
    spread: str = "range",
    scale: str = "log",
    legend: bool = True,
    theme: str = "light",
    width: float | None = None,
) -> np.ndarray:
    """Draw ``metric`` against remaining weights: the source language, and the mean of all others.

    Both panels share their axes, so that a line can be followed from one to the other. A ring marks
    each method's inflection point, the step after which the mean over seeds falls faster than
    before (:func:`workbench.metrics.inflection.inflection` defines it); a line without a ring has
    none.

    Args:
        data: long frame of the records.
        source: language or domain that was trained on; English, or the first that was measured.
        inflections: whether to mark inflection points.

    Raises:
        ValueError: nothing but the source was measured, so that nothing is zero-shot.
    """
    parts = _parts(data, metric, split, source)
    owned = axes is None
    shared = dict(sharex=True, sharey=True, least=270, most=2, height=330)
    axes = (
        layout.panels(2, width=width, theme_name=theme, **shared)
        if axes is None
        else layout.given(axes, 2)
    )
    handles: dict[str, Any] = {}
    summaries = []
    for ax, (title, rows) in zip(axes, parts.items(), strict=True):
        made, summary = curves.draw(ax, rows, metric, spread=spread, scale=scale, theme=theme)
        handles |= made
        summaries.append(summary)
        if inflections:
            _ring(ax, summary, theme)
        layout.panel_title(ax, title, theme)
        style.dress(ax, theme)
    layout.label_outer(axes, curves.xlabel(data), words.scalar(metric), theme)
    if legend:
        ring = Line2D([], [], color=style.theme(theme).foreground, linestyle="", **RING)
        more = {"inflection point (no ring: none)": ring} if inflections else {}
        note = curves.note(pd.concat(summaries), spread)
        curves.legend(axes[0], handles, note, theme=theme, outside=owned, more=more)
    return axes


RING: dict[str, Any] = dict(
    marker="o", markersize=13, markerfacecolor="none", markeredgewidth=1.5
)  # fmt: skip


def describe_zero_shot_curve(
    data: pd.DataFrame,
    *,
    metric: str = "accuracy",
    split: str = "test",
    source: str | None = None,
    inflections: bool = True,
    spread: str = "range",
    **_: Any,
) -> str:
    """The numbers at the fewest weights, and where each line begins to fall faster."""
    said = []
    for title, rows in _parts(data, metric, split, source).items():
        summary = frames.summarise(rows, ["method", "step"], spread=spread)
        text = f"{title}: {curves.ends(summary, metric)}"
        if inflections:
            found = _inflections(summary)
            points = [f"{words.method(m)} {words.percent(p.density)}" for m, p in found.items()]
            text += f"; inflection points: {words.listing(points, 24) or 'none'}"
        said.append(text)
    note = frames.seeds_note(summary, spread)
    name = words.scalar(metric)
    return f"{name[0].upper()}{name[1:]} against remaining weights, {note}. {'. '.join(said)}."


def ordered(rows: pd.DataFrame, source: str | None) -> list[str]:
    """The languages or domains of ``rows``, the source first, others as measured."""
    if "subset" not in rows.columns or rows["subset"].isna().all():
        raise ValueError("the scores are of no language or domain (no column 'subset')")
    held = list(dict.fromkeys(rows["subset"].dropna()))
    source = source or (ENGLISH if ENGLISH in held else held[0])
    if source not in held:
        raise ValueError(f"no language {source!r}; there are: {words.listing(held, 30)}")
    if len(held) < 2:
        raise ValueError(f"only {source!r} was measured; zero-shot needs other languages beside it")
    return [source, *(one for one in held if one != source)]


def _parts(
    data: pd.DataFrame, metric: str, split: str, source: str | None
) -> dict[str, pd.DataFrame]:
    rows = frames.against_density(data, metric, by=["subset"], split=split, phase="after")
    return parts(rows, source)


def parts(rows: pd.DataFrame, source: str | None) -> dict[str, pd.DataFrame]:
    """Rows of the source and of the others, by the titles of their panels."""
    first, *rest = ordered(rows, source)
    kind = "languages" if first in words.LANGUAGES else "subsets"
    other = f"{len(rest)} {kind}" if len(rest) > 1 else words.language(rest[0])
    return {
        f"{words.language(first)} (trained on)": rows[rows["subset"] == first],
        f"zero-shot: {'mean of ' if len(rest) > 1 else ''}{other}": rows[rows["subset"] != first],
    }


def _inflections(summary: pd.DataFrame) -> dict[str, Inflection]:
    """The inflection point of every pruned method that has one, in reading order."""
    found = {}
    for method in words.order_methods(summary["method"]):
        line = summary[summary["method"] == method].drop_duplicates("density")
        point = inflection(line["density"], line["mean"]) if method != curves.CONTROL else None
        if point is not None:
            found[method] = point
    return found


def _ring(ax: Any, summary: pd.DataFrame, theme: str) -> None:
    marks = style.method_marks(words.focus(summary["method"].unique()), theme)
    for method, point in _inflections(summary).items():
        if method in marks:
            look = dict(color=marks[method].color, linestyle="", zorder=4)
            ax.plot(point.density, point.score, **look, **RING)
