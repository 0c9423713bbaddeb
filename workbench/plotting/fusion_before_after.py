"""The layers before and after a fusion, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from workbench.plotting import frames, layout, similarity_grids, style, words
from workbench.plotting.similarity_grids import Grid

WHEN = {"before": "the whole network", "after": "after fusing"}


def plot_fusion_before_after(
    data: pd.DataFrame,
    *,
    axes: Any = None,
    measure: str | None = None,
    module: str | None = None,
    order: str = "layers",
    costs: Mapping[str, Sequence[float]] | None = None,
    theme: str = "light",
    width: float | None = None,
) -> np.ndarray:
    """Draw how alike the layers of one type are before and after a fusion, on one colour scale.

    Fused pairs are outlined in both; afterwards each is one layer, and its cell has the sign "=".
    The order is that of the layers before, on both sides.

    Args:
        data: two frames of :func:`workbench.plotting.points.similarity_frame`, told apart by the
            column ``when``: ``"before"`` and ``"after"``.
        axes: to draw on; without, a new figure.
        measure, module: of those that the data hold; the first by default.
        order: ``"layers"`` or ``"clustered"``.
        costs: what was counted before and after, such as ``{"stored_bytes": (91_000, 62_000),
            "accuracy": (0.81, 0.79)}``; it is written below.

    Raises:
        ValueError: missing columns, nothing like that in the data, or only one of the two.
    """
    rows, grids = _grids(data, measure, module, order)
    kind, owned = rows["kind"].iloc[0], axes is None
    width = style.WIDTH if width is None else width
    told = [f"{rows['module'].iloc[0]}; outlined: fused pairs, one layer (=) afterwards"]
    note = "; ".join(told + _changes(costs))
    if owned:
        below = 9 * len(note) * 16 / width + (65 if width < 500 else 0)
        axes = similarity_grids.panels(2, 2, width=width, below=below, theme=theme)
    else:
        axes = layout.given(axes, 2)
    norm, cut = similarity_grids.limits({"before": grids["before"]}, kind)
    for ax, (when, grid) in zip(axes, grids.items(), strict=True):
        mark = "=" if when == "after" else ""
        shown: dict[str, Any] = dict(norm=norm, kind=kind, mark=mark, theme=theme)
        image = similarity_grids.draw(ax, grid, **shown)
        layout.panel_title(ax, WHEN[when], theme)
    look: dict[str, Any] = dict(cut=cut, below=width < 500, theme=theme)
    name = words.measure(rows["measure"].iloc[0])
    similarity_grids.bar(image, axes, name, kind, **look)
    if owned:
        layout.footnote(axes[0].figure, note, theme)
    return axes


def describe_fusion_before_after(
    data: pd.DataFrame,
    *,
    measure: str | None = None,
    module: str | None = None,
    costs: Mapping[str, Sequence[float]] | None = None,
    **_: Any,
) -> str:
    """Which pairs became one layer, how close they were, and what changed with it."""
    rows, grids = _grids(data, measure, module, "layers")
    before = grids["before"]
    names = similarity_grids.short_names(before)
    pairs = [
        f"{names[i]} and {names[j]} ({before.values[i, j]:.3g} before)" for i, j in before.pairs()
    ]
    name = words.measure(rows["measure"].iloc[0])
    text = (
        f"{name[0].upper()}{name[1:]} between {len(names)} layers ({rows['module'].iloc[0]}) "
        f"before and after {len(pairs)} pairs were fused: {words.listing(pairs)}"
    )
    return "; ".join([text, *_changes(costs)]) + "."


def _grids(
    data: pd.DataFrame, measure: str | None, module: str | None, order: str
) -> tuple[pd.DataFrame, dict[str, Grid]]:
    """The rows of one measure and module, and the matrix of either side in one order."""
    frames.require(data, [*similarity_grids.COLUMNS, "when"])
    lost = [when for when in WHEN if when not in {*data["when"]}]
    if lost:
        raise ValueError(f"nothing {lost[0]!r} in the column 'when'; both sides are needed")
    module = data["module"].iloc[0] if module is None else module
    rows = similarity_grids.narrow(data, measure, [module])
    sides = {}
    for when in WHEN:
        part = rows[rows["when"] == when]
        if part.empty:
            raise ValueError(f"{module!r} has no {rows['measure'].iloc[0]} {when!r}")
        (sides[when],) = similarity_grids.grids(part).values()
    if sides["before"].names != sides["after"].names:
        raise ValueError(f"the layers of {module!r} are not the same before and after")
    before = similarity_grids.arranged(sides["before"], order, rows["kind"].iloc[0])
    places = [sides["before"].names.index(name) for name in before.names]
    after = sides["after"].taken(places)
    chosen = before.chosen | after.chosen
    kept = (Grid(grid.names, grid.values, chosen, grid.numbers) for grid in (before, after))
    return rows, dict(zip(WHEN, kept, strict=True))


def _changes(costs: Mapping[str, Sequence[float]] | None) -> list[str]:
    """What was counted, before and after: ``stored bytes 91,000 to 62,000 (68%)``."""
    said = []
    for name, (one, other) in (costs or {}).items():
        text = f"{words.scalar(name)} {_count(name, one)} to {_count(name, other)}"
        if not words.is_fraction(name) and one > 0:
            text += f" ({words.percent(other / one)})"
        said.append(text)
    return said


def _count(name: str, value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else words.number(name, value)
