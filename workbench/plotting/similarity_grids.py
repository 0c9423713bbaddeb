"""Square heatmaps of layers by layers, shared by the figures of similarity."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.colors import Normalize
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, Locator, MaxNLocator

from workbench.plotting import frames, layout, style, words

COLUMNS = ("model", "task", "seed", "method", "measure", "module", "row", "column", "row_name",
           "column_name", "value", "chosen", "kind")  # fmt: skip
ORDERS = ("layers", "clustered")
SCALES = ("shared", "each")
PITCH = 13  # CSS pixels from one tick label to the next
LABELS = 15  # at most along one side: more take long to draw, and nobody reads them


@dataclass(frozen=True)
class Grid:
    """One matrix: names (L,) of its layers, ``values`` and ``chosen`` (L, L), and the numbers that
    the layers have in the network."""

    names: tuple[str, ...]
    values: np.ndarray
    chosen: np.ndarray
    numbers: np.ndarray

    @property
    def off(self) -> np.ndarray:
        """Values of two different layers; what a layer has with itself says nothing."""
        return self.values[~np.eye(len(self.values), dtype=bool)]

    def pairs(self) -> list[tuple[int, int]]:
        """The pairs that are fused, as places in this grid."""
        rows, columns = np.nonzero(np.triu(self.chosen | self.chosen.T, 1))
        return [*zip(rows.tolist(), columns.tolist(), strict=True)]

    def taken(self, order: Sequence[int]) -> Grid:
        """The same with its layers in another order."""
        own, both = np.asarray(order), np.ix_(order, order)
        names = tuple(self.names[place] for place in own)
        return Grid(names, self.values[both], self.chosen[both], self.numbers[own])


def narrow(
    data: pd.DataFrame,
    measure: str | None = None,
    modules: Sequence[str] | None = None,
    model: str | None = None,
    task: str | None = None,
    seed: int | None = None,
) -> pd.DataFrame:
    """Rows of one measure of one network: the first measure and the lowest seed by default.

    Raises:
        ValueError: missing columns, no such measure, module or seed, or several networks.
    """
    frames.require(data, COLUMNS)
    rows = data
    for column, wanted in (("model", model), ("task", task), ("seed", seed), ("measure", measure)):
        held = rows[column].unique().tolist()
        if wanted is None:
            if column in ("model", "task") and len(held) > 1:
                raise ValueError(f"several networks; name {column}=, one of: {words.listing(held)}")
            wanted = min(held) if column == "seed" else held[0]
        if wanted not in held:
            raise ValueError(f"no {column} {wanted!r}; there are: {words.listing(held, 30)}")
        rows = rows[rows[column] == wanted]
    if modules is not None:
        held = words.order_modules(rows["module"])
        if lost := [module for module in modules if module not in held]:
            raise ValueError(f"no module {words.listing(lost)}; there are: {words.listing(held)}")
        rows = rows[rows["module"].isin([*modules])]
    return rows


def grids(rows: pd.DataFrame) -> dict[str, Grid]:
    """The matrix of each type of module with two layers or more, in the order of the forward pass.

    Raises:
        ValueError: no type has two layers, or nothing but NaN.
    """
    made = {}
    for module in words.order_modules(rows["module"]):
        part = rows[rows["module"] == module]
        named = part.drop_duplicates("row").sort_values("row").set_index("row")["row_name"]
        if len(named) < 2:
            continue
        shape = (len(named), len(named))
        values, chosen = np.full(shape, np.nan), np.zeros(shape, dtype=bool)
        at = np.searchsorted(named.index, part["row"]), np.searchsorted(named.index, part["column"])
        values[at], chosen[at] = part["value"], part["chosen"]
        names = tuple(str(name) for name in named)
        made[module] = Grid(names, values, chosen, named.index.to_numpy())
    if not made:
        raise ValueError("no type of module has two layers, so there is no pair to compare")
    if not any(np.isfinite(grid.off).any() for grid in made.values()):
        raise ValueError("every value is NaN or infinite, so there is nothing to draw")
    return made


def arranged(grid: Grid, order: str, kind: str) -> Grid:
    """``grid`` in the order of the layers, or so that layers that are alike stand together."""
    if order not in ORDERS:
        raise ValueError(f"unknown order {order!r}; choose one of {', '.join(ORDERS)}")
    return grid if order == "layers" else grid.taken(clustered(grid.values, kind))


def clustered(values: np.ndarray, kind: str) -> list[int]:
    """An order of the layers by hierarchical clustering with average linkage.

    Distances are taken as they are and similarities s as 1 - s; both directions of a pair are
    averaged, and a pair without a finite value counts as the farthest.
    """
    from scipy.cluster.hierarchy import leaves_list, linkage  # SciPy loads here first
    from scipy.spatial.distance import squareform

    if len(values) < 3:
        return [*range(len(values))]
    far = 1 - values if kind == "similarity" else values
    far = (far + far.T) / 2
    far = np.where(np.isfinite(far), far, np.nanmax(np.where(np.isfinite(far), far, np.nan)))
    np.fill_diagonal(far, 0)
    tree = linkage(squareform(np.maximum(far, 0), checks=False), "average", optimal_ordering=True)
    order = [int(place) for place in leaves_list(tree)]
    turned = np.dot(order, np.arange(len(order))) < np.dot(order[::-1], np.arange(len(order)))
    return order[::-1] if turned else order  # a tree may be read from both ends; first layers first


def short_names(grid: Grid) -> list[str]:
    """What tells the layers of a grid apart: the number of the layer, or what of its name differs.

    Long names become the number that the layer has in the order of the network.
    """
    numbers = [re.findall(r"(?:^|\.)(\d+)(?=\.|$)", name) for name in grid.names]
    for place in range(min(len(found) for found in numbers)):
        column = [found[place] for found in numbers]
        if len({*column}) == len(column):
            return column
    split = [name.removesuffix(".weight").split(".") for name in grid.names]
    while len({tuple(parts[:1]) for parts in split}) == 1 and min(map(len, split)) > 1:
        split = [parts[1:] for parts in split]
    while len({tuple(parts[-1:]) for parts in split}) == 1 and min(map(len, split)) > 1:
        split = [parts[:-1] for parts in split]
    short = [".".join(parts) for parts in split]
    fits = max(map(len, short)) <= 8 and len({*short}) == len(short)
    return short if fits else [str(number) for number in grid.numbers]


def limits(grids: Mapping[str, Grid], kind: str) -> tuple[Normalize, bool]:
    """The colour scale of all ``grids``, and whether its far end is cut.

    A few pairs that are very far would leave one colour to all others, so what lies further than
    1.5 times the 98th percentile (from the closest pair) has the last colour.
    """
    every = np.concatenate([grid.off for grid in grids.values()])
    every = every[np.isfinite(every)]
    turned = -every if kind == "similarity" else every
    near, far = turned.min(), turned.max()
    most = np.quantile(turned, 0.98)
    cut = bool(far - near > 1.5 * (most - near) > 0)
    far = most if cut else far
    if far - near <= 1e-9 * max(abs(far), abs(near), 1e-3):  # all equal
        near, far = near - 0.01, far + 0.01
    low, high = sorted((-near, -far) if kind == "similarity" else (near, far))
    return Normalize(low, high), cut


def ranked(grid: Grid, kind: str) -> Grid:
    """Values from 0 (the closest pair of the grid) to 1 (its farthest), for a scale of its own."""
    norm, _ = limits({"": grid}, kind)
    share = np.clip(np.asarray(norm(grid.values), dtype=float), 0, 1)
    return replace(grid, values=1 - share if kind == "similarity" else share)


def draw(
    ax: Axes, grid: Grid, *, norm: Normalize, kind: str, mark: str = "", theme: str = "light"
) -> Any:
    """One matrix with square cells, light where layers are close; returns the image.

    Fused pairs have an outline that shows on light and on dark, above and below the diagonal; the
    diagonal is grey. ``mark`` is written into the cells of fused pairs, where it fits.
    """
    count, look = len(grid.names), style.theme(theme)
    values = np.where(np.eye(count, dtype=bool), np.nan, grid.values)
    name = look.sequential + ("" if kind == "similarity" else "_r")
    cmap = matplotlib.colormaps[name].with_extremes(bad=look.grid)
    shown: dict[str, Any] = dict(norm=norm, cmap=cmap)
    image = ax.imshow(values, aspect="equal", interpolation="nearest", **shown)
    names = [layout.safe(short) for short in short_names(grid)]
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(_Thinned(ax, count))
        axis.set_major_formatter(FuncFormatter(lambda value, _: names[round(value) % count]))
    ax.tick_params(axis="x", rotation=90)
    style.dress(ax, theme, grid="")
    ax.tick_params(length=2)
    ax.spines[:].set_visible(False)
    cells = [cell for i, j in grid.pairs() for cell in ((i, j), (j, i))]
    boxes = [Rectangle((j - 0.5, i - 0.5), 1, 1) for i, j in cells]
    wide = float(np.clip(ax.bbox.width / count / 12, 0.8, 1.6))
    for color, line in (("#ffffff", 2.2 * wide), ("#000000", wide)):
        made = PatchCollection(boxes, facecolor="none", edgecolor=color, linewidth=line, zorder=3)
        ax.add_collection(made)
    if mark and count <= 24:
        for i, j in cells:
            ink = style.ink(cmap(norm(grid.values[i, j]))[:3])
            ax.text(j, i, mark, ha="center", va="center", fontsize=style.SMALL, color=ink)
    return image


def panels(count: int, columns: int, *, width: float, below: float, theme: str) -> np.ndarray:
    """``count`` panels with square cells, of 460 pixels at most, at the left of the figure.

    ``below`` are the pixels that the figure needs under them beside tick labels.
    """
    bar_room = 20 if width < 500 else 100
    side = min((width - bar_room) / columns - 45, 460)
    axes = layout.panels(
        count, width=width, theme_name=theme, least=width // columns, most=columns,
        height=side + (95 if width < 500 else 55) + below / -(-count // columns),
    )  # fmt: skip
    across = min(1.0, (columns * (side + 45) + bar_room) / width)
    engine = axes[0].figure.get_layout_engine()
    assert engine is not None  # layout.panels chose it
    engine.set(rect=(0, 0, across, 1))
    return axes


def bar(
    image: Any, axes: Sequence[Axes], label: str, kind: str, *, cut: bool = False,
    each: bool = False, below: bool = False, theme: str = "light",
) -> Any:  # fmt: skip
    """A colour bar that says which end is closer: the upper one, or the right one ``below``."""
    look, far_is_high = style.theme(theme), kind == "distance"
    extend = ("max" if far_is_high else "min") if cut else "neither"
    made = axes[0].figure.colorbar(
        image, ax=list(axes), location="bottom" if below else "right", extend=extend,
        fraction=0.06, pad=0.03, aspect=26, extendfrac=0.02,
    )  # fmt: skip
    axis = made.ax.xaxis if below else made.ax.yaxis
    if each:
        axis.set_ticks([])
    else:
        axis.set_major_locator(MaxNLocator(4 if below else 5))
    if far_is_high:
        axis.set_inverted(True)
    made.outline.set_visible(False)
    made.ax.tick_params(color=look.muted, labelcolor=look.foreground, labelsize=style.SMALL)
    small: dict[str, Any] = dict(color=look.foreground, fontsize=style.SMALL)
    if below:
        ends = "farther \N{LEFTWARDS ARROW}      \N{RIGHTWARDS ARROW} closer"
        made.set_label(f"{label}\n{ends}", **small)
    else:
        made.ax.set_title("closer", **small)
        made.ax.set_xlabel("farther", labelpad=14 if cut else 4, **small)
        made.set_label(label, color=look.foreground, fontsize=style.LABEL)
    return made


class _Thinned(Locator):
    """A tick at each layer, or at every second, third, ... where the labels need the room.

    The cells are square, so the width of the axes is their height.
    """

    def __init__(self, ax: Axes, count: int) -> None:
        self.ax, self.count = ax, count

    def __call__(self) -> list[float]:
        fit = max(1, min(LABELS, int(self.ax.bbox.width // PITCH)))
        return [float(place) for place in range(0, self.count, -(-self.count // fit))]

    def tick_values(self, vmin: float, vmax: float) -> list[float]:
        return self()
