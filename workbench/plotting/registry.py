"""The figures by name, and how to gather their data and draw them.

This module is light: menus are built from it without matplotlib or pandas.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

from workbench.plotting.families import FAMILIES, Family

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

FIGURES: dict[str, Family] = {family.name: family for family in FAMILIES}


def family(name: str) -> Family:
    """The family called ``name``, or a ``ValueError`` with the names there are."""
    if name not in FIGURES:
        raise ValueError(f"no figure named {name!r}; there are: {', '.join(FIGURES)}")
    return FIGURES[name]


def figure(
    name: str,
    data: pd.DataFrame,
    *,
    theme: str = "light",
    width: float = 720,
    title: str | None = None,
    background: Literal["match", "transparent"] = "match",
    **options: Any,
) -> Figure:
    """Draw the figure ``name`` and return it, ready for :func:`~workbench.plotting.to_png`.

    Args:
        data: what :func:`gather` gives for this figure.
        theme: the page's theme.
        width: in CSS pixels; 1100 suits a wide page and 358 a telephone.
        title: over the figure; ``None`` takes the family's, ``""`` none.
        background: the theme's own, or transparent.
        options: those of the plot function, such as ``metric``, ``split``, ``methods``.

    Raises:
        ValueError: no such figure, or data that cannot be drawn (the message says why).
    """
    from workbench.plotting import layout  # matplotlib loads here first

    chosen = family(name)
    if background not in ("match", "transparent"):
        raise ValueError(f"unknown background {background!r}; choose 'match' or 'transparent'")
    drawn = chosen.function(data, theme=theme, width=width, **{**chosen.fixed, **options})
    made: Figure = drawn.figure if hasattr(drawn, "figure") else drawn.ravel()[0].figure
    layout.headline(made, chosen.title if title is None else title, theme)
    if background == "transparent":
        made.patch.set_alpha(0.0)
    layout.settle(made)
    return made


def gather(name: str, store: Any, records: Iterable[Any], **options: Any) -> pd.DataFrame:
    """The frame that the figure ``name`` is drawn from.

    Scalars are joined with the settings by ``store.scalars``; points, histograms, masks and
    similarities are read from the arrays of the records. ``options`` are ``projection`` and
    ``class_names`` for points, ``method`` and ``step`` for similarities.
    """
    chosen, records = family(name), list(records)
    if chosen.data == "claims":
        raise ValueError("claims are drawn from the frame that experiments.claims.assess returns")
    if "when" in chosen.scalars:
        raise ValueError(
            "records keep no similarities after fusing; join two frames of "
            "points.similarity_frame, before and after, with a column 'when'"
        )
    if not records:
        raise ValueError("no records to draw; run or choose some first")
    if chosen.data == "scalars":
        return store.scalars(records)
    from workbench.plotting import points

    if chosen.data == "points":
        return points.points(records, **options)
    if chosen.data == "masks":
        return points.masks(records)
    if chosen.data == "similarities":
        return points.similarities(records, **options)
    return points.histograms(records, quantity=chosen.fixed["quantity"])
