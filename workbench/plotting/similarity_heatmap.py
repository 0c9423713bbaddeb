"""How alike all pairs of layers are, by type of module: Figures A.7 to A.9."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.colors import Normalize

from workbench.plotting import layout, similarity_grids, style, words
from workbench.plotting.similarity_grids import Grid

MOST = 8  # types of modules in one figure


def plot_similarity_heatmap(
    data: pd.DataFrame,
    *,
    axes: Any = None,
    measure: str | None = None,
    modules: Sequence[str] | None = None,
    order: str = "layers",
    scale: str = "shared",
    model: str | None = None,
    task: str | None = None,
    seed: int | None = None,
    theme: str = "light",
    width: float | None = None,
) -> np.ndarray:
    """Draw one heatmap of layers by layers per type of module; light cells are close layers.

    The pairs chosen for fusion are outlined. The diagonal is grey: what a layer has with itself
    would only take up the scale.

    Args:
        data: what :func:`workbench.plotting.points.similarities` gives of records, or
            :func:`workbench.plotting.points.similarity_frame` of matrices.
        axes: to draw on; without, a new figure.
        measure: one that the data hold; the first by default.
        modules: types of modules; all by default, up to eight.
        order: of the layers, ``"layers"`` as in the network, or ``"clustered"``: average linkage,
            each module by itself.
        scale: one colour scale for all modules (``"shared"``), or from the closest to the farthest
            pair of ``"each"``, where larger matrices are farther in any case.
        model, task, seed: which network, where the data hold several; the lowest seed by default.

    Raises:
        ValueError: missing columns, nothing like that in the data, or no pair of layers.
    """
    rows = similarity_grids.narrow(data, measure, modules, model, task, seed)
    kind = rows["kind"].iloc[0]
    grids, left = _grids(rows, order, kind)
    width = style.WIDTH if width is None else width
    owned, narrow = axes is None, width < 500
    if scale not in similarity_grids.SCALES:
        choices = ", ".join(similarity_grids.SCALES)
        raise ValueError(f"unknown scale {scale!r}; choose one of {choices}")
    axes = _panels(grids, width, theme) if axes is None else layout.given(axes, len(grids))
    norm, cut = similarity_grids.limits(grids, kind)
    if scale == "each":
        norm, cut = Normalize(0, 1), False
    for ax, (module, grid) in zip(axes, grids.items(), strict=True):
        shown = grid
        if scale == "each":
            shown = similarity_grids.ranked(grid, kind)
        image = similarity_grids.draw(
            ax, shown, norm=norm, kind="distance" if scale == "each" else kind, theme=theme
        )
        title = module
        if scale == "each":
            low, high = np.nanmin(grid.off), np.nanmax(grid.off)
            title += f"\n{low:.3g} to {high:.3g}"
        layout.panel_title(ax, title, theme)
    name = words.measure(rows["measure"].iloc[0])
    look: dict[str, Any] = dict(cut=cut, each=scale == "each", below=narrow, theme=theme)
    side = "distance" if scale == "each" else kind
    similarity_grids.bar(image, axes, name if narrow else _fit(name), side, **look)
    if owned:
        layout.footnote(axes[0].figure, _note(rows, grids, order, scale, cut, left), theme)
    return axes


def describe_similarity_heatmap(
    data: pd.DataFrame,
    *,
    measure: str | None = None,
    modules: Sequence[str] | None = None,
    order: str = "layers",
    model: str | None = None,
    task: str | None = None,
    seed: int | None = None,
    **_: Any,
) -> str:
    """The closest and the farthest pair of each module, neighbours beside others, and the pairs."""
    rows = similarity_grids.narrow(data, measure, modules, model, task, seed)
    kind = rows["kind"].iloc[0]
    grids, _left = _grids(rows, "layers", kind)
    said = [_said(module, grid, kind) for module, grid in grids.items()]
    side = "small" if kind == "distance" else "large"
    name = words.measure(rows["measure"].iloc[0])
    name = f"{name[0].upper()}{name[1:]}"
    where = "in clustered order" if order == "clustered" else "in the order of the network"
    text = f"{name} between layers, {where} ({side} is close). {'; '.join(said)}"
    count = sum(len(grid.pairs()) for grid in grids.values())
    return f"{text}. Outlined: {count} pairs{_by(rows) if count else ''}."


def _panels(grids: dict[str, Grid], width: float, theme: str) -> np.ndarray:
    """Panels with square cells, as many in a row as stay legible."""
    deepest = max(len(grid.names) for grid in grids.values())
    least = float(np.clip(deepest * 12 + 20, 160, 330))
    columns = int(np.clip((width - 30) // least, 1, min(len(grids), 4)))
    columns = -(-len(grids) // -(-len(grids) // columns))
    below = 100 if width < 500 else 25  # the bar and the note
    return similarity_grids.panels(len(grids), columns, width=width, below=below, theme=theme)


def _grids(rows: pd.DataFrame, order: str, kind: str) -> tuple[dict[str, Grid], list[str]]:
    """The grids that are drawn, and the types of modules that are not."""
    every = similarity_grids.grids(rows)
    kept = {name: every[name] for name in [*every][:MOST]}
    left = [name for name in words.order_modules(rows["module"]) if name not in kept]
    return {m: similarity_grids.arranged(grid, order, kind) for m, grid in kept.items()}, left


def _note(
    rows: pd.DataFrame, grids: dict[str, Grid], order: str, scale: str, cut: bool, left: list[str]
) -> str:
    """What the reader must know beside the colours."""
    said = ["rows and columns: layers"]
    if not all(np.allclose(grid.values, grid.values.T, equal_nan=True) for grid in grids.values()):
        said[0] += ", each row's measured against each column's"
    if any(grid.pairs() for grid in grids.values()):
        said.append(f"outlined: pairs fused{_by(rows)}")
    said.append("grey: a layer with itself")
    if order == "clustered":
        said.append("layers that are alike stand together")
    if scale == "each":
        said.append("each panel from its closest to its farthest pair")
    if cut:
        said.append("pointed end: farther still")
    if left:
        said.append(f"not drawn: {words.listing(left)}")
    return "; ".join(said)


def _by(rows: pd.DataFrame) -> str:
    method = rows["method"].iloc[0]
    return f" by {method}" if method != "none" else ""


def _said(module: str, grid: Grid, kind: str) -> str:
    """The numbers of one panel."""
    names, sign = similarity_grids.short_names(grid), 1 if kind == "distance" else -1
    far = np.where(np.eye(len(names), dtype=bool), np.nan, sign * grid.values)
    near, last = (np.unravel_index(pick(far), far.shape) for pick in (np.nanargmin, np.nanargmax))
    gap = np.abs(np.subtract.outer(np.arange(len(names)), np.arange(len(names))))
    text = (
        f"{module} ({len(names)} layers): closest {names[near[0]]} and {names[near[1]]} "
        f"({grid.values[near]:.3g}), farthest {names[last[0]]} and {names[last[1]]} "
        f"({grid.values[last]:.3g})"
    )
    if len(names) > 2:
        beside, apart = (np.nanmean(grid.values[place]) for place in (gap == 1, gap > 1))
        text += f", neighbours {beside:.3g} and others {apart:.3g} in the mean"
    return text


def _fit(name: str) -> str:
    """A long name on two lines, for a bar that is as high as one panel."""
    if len(name) <= 24:
        return name
    half = name.find(" ", len(name) // 3)
    return f"{name[:half]}\n{name[half + 1 :]}" if half > 0 else name
