"""Heatmaps of layer against module type, shared by the norm and density figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.ticker import MaxNLocator

from workbench.plotting import frames, layout, style, words

# Module types are narrow columns: these words fit over them.
SHORT = {"attention output": "attn. out", "intermediate": "interm."}


def draw(
    ax: Axes,
    values: pd.DataFrame,
    *,
    norm: Normalize,
    cmap: str,
    text: Callable[[float], str] | None = None,
    theme: str = "light",
) -> Any:
    """One heatmap of a frame (rows down, columns across); returns the image for a colour bar.

    Numbers are written into the cells where they fit, in black or white, whichever reads better.
    Missing cells stay empty.
    """
    grid = values.to_numpy(dtype=float)
    image = ax.imshow(grid, aspect="auto", norm=norm, cmap=cmap, interpolation="nearest")
    ax.set_xticks(range(grid.shape[1]))
    ax.set_xticklabels([layout.safe(SHORT.get(str(c), str(c))) for c in values.columns])
    ax.set_yticks(range(grid.shape[0]))
    ax.set_yticklabels([layout.safe(label) for label in values.index])
    style.dress(ax, theme, grid="")
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    if text is not None:
        colors = matplotlib.colormaps[cmap](norm(np.nan_to_num(grid)))
        for (row, column), value in np.ndenumerate(grid):
            if np.isfinite(value):
                ax.text(
                    column, row, text(value), ha="center", va="center", fontsize=style.SMALL,
                    color=style.ink(colors[row, column][:3]), linespacing=1.05,
                )  # fmt: skip
    return image


def scale(*tables: pd.DataFrame, balanced: bool = False) -> Normalize:
    """One colour scale for all ``tables``; ``balanced`` puts zero in the middle."""
    every = np.concatenate([table.to_numpy(dtype=float).ravel() for table in tables])
    low, high = float(np.nanmin(every)), float(np.nanmax(every))
    if balanced:
        high = max(high, -low)
        low = -high
    if high - low <= 1e-6 * max(abs(low), abs(high)) or high - low < 1e-12:  # all equal
        middle = (low + high) / 2
        return Normalize(middle - (abs(middle) or 0.01), middle + (abs(middle) or 0.01))
    return Normalize(low, high)


def colorbar(
    image: Any, axes: Sequence[Axes], label: str, theme: str = "light", *, percent: bool = False
) -> Any:
    """A colour bar beside ``axes``, in the theme's colours; ``percent`` for fractions."""
    look = style.theme(theme)
    bar = axes[0].figure.colorbar(image, ax=list(axes), fraction=0.05, pad=0.02, aspect=30)
    bar.ax.yaxis.set_major_locator(MaxNLocator(6))
    if percent:
        bar.ax.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.4g}%")
    bar.outline.set_visible(False)
    bar.ax.tick_params(color=look.muted, labelcolor=look.foreground, labelsize=style.SMALL)
    bar.set_label(label, color=look.foreground, fontsize=style.LABEL)
    return bar


def layers(
    data: pd.DataFrame, name: str, methods: Sequence[str] | None, density: float | None
) -> dict[str, tuple[float, int, pd.DataFrame]]:
    """Per method the density drawn, the number of seeds, and the mean as layer by module."""
    rows = frames.against_density(data, name, by=["layer", "module"])
    frames.require(rows, ["layer", "module"])
    if methods is not None:
        rows = rows[rows["method"].isin(list(methods))]
        if rows.empty:
            raise ValueError(f"{name!r} has no rows of the methods {words.listing(list(methods))}")
    rows = frames.nearest(rows, density)
    out = {}
    for method in words.order_methods(rows["method"]):
        part = rows[rows["method"] == method]
        table = part.pivot_table(index="layer", columns="module", values="value", aggfunc="mean")
        table = table.loc[words.order_layers(table.index), words.order_modules(table.columns)]
        out[method] = (float(part["density"].mean()), int(part["seed"].nunique()), table)
    return out


def pruned(data: pd.DataFrame, methods: Sequence[str] | None) -> Sequence[str] | None:
    """The methods asked for; by default all but the unpruned control, if there are others.

    Of more than fit, those of :func:`workbench.plotting.words.focus`.
    """
    if methods is not None or "method" not in data:
        return methods
    return words.focus([m for m in data["method"].unique() if m != "none"]) or None


def plot_layers(
    data: pd.DataFrame,
    name: str,
    *,
    axes: Any = None,
    methods: Sequence[str] | None = None,
    density: float | None = None,
    rest: str = "not drawn",
    theme: str = "light",
    width: float | None = None,
) -> np.ndarray:
    """One heatmap of layer by module type per method, on one colour scale.

    Shares are written into the cells in percent, so that a layer with nothing left stands out.
    ``rest`` says why the methods that are in the data and not in ``methods`` are missing.
    """
    tables = layers(data, name, methods, density)
    depth = max(len(table) for _, _, table in tables.values())
    axes = (
        layout.panels(
            len(tables), width=width, theme_name=theme, least=165, most=7,
            height=120 + 17 * depth, sharey=True,
        )
        if axes is None
        else layout.given(axes, len(tables))
    )  # fmt: skip
    norm = scale(*(table for _, _, table in tables.values()))
    if words.is_fraction(name):  # from nothing: shares that differ by a few weights look alike
        norm = Normalize(0.0, max(norm.vmax or 0.0, 0.01))
    text = share_text if words.is_fraction(name) else None
    for ax, (method, (share, _, table)) in zip(axes, tables.items(), strict=True):
        shown: dict[str, Any] = dict(norm=norm, cmap=style.theme(theme).sequential, theme=theme)
        image = draw(ax, table, text=text, **shown)
        ax.tick_params(axis="x", rotation=90)
        layout.panel_title(ax, f"{words.method(method)}\nat {words.percent(share)}", theme)
    colorbar(image, axes, words.scalar(name), theme, percent=words.is_fraction(name))
    counts = {n for _, n, _ in tables.values()}
    seeds = f"{min(counts)}" if len(counts) == 1 else f"{min(counts)} to {max(counts)}"
    note = f"layer (mean over {seeds} seeds)" if counts != {1} else "layer (one seed, n = 1)"
    axes[0].figure.supylabel(note, color=style.theme(theme).foreground, fontsize=style.LABEL)
    missing = words.others(set(data["method"]) - {"none"}, [*tables], rest)
    if missing:
        layout.footnote(axes[0].figure, missing.removeprefix("; "), theme)
    return axes


def share_text(value: float) -> str:
    """A share in percent for a narrow cell: ``12``, ``0.4``, ``0``; nothing where all is left."""
    shown = 100 * value
    if shown >= 99.5:
        return ""
    return f"{shown:.0f}" if shown >= 0.95 or shown < 0.05 else f"{shown:.1f}".lstrip("0")


def describe_layers(
    data: pd.DataFrame,
    name: str,
    methods: Sequence[str] | None = None,
    density: float | None = None,
) -> str:
    """One sentence with the highest and lowest cell of each method."""
    said = []
    for method, (share, _, table) in layers(data, name, methods, density).items():
        cells = table.stack()
        high, low = cells.idxmax(), cells.idxmin()
        said.append(
            f"{words.method(method)} at {words.percent(share)} from "
            f"{words.number(name, cells.min())} (layer {low[0]}, {low[1]}) to "
            f"{words.number(name, cells.max())} (layer {high[0]}, {high[1]})"
        )
    title = words.scalar(name).capitalize()
    return f"{title} per layer and module type: {words.listing(said)}."
