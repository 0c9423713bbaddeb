"""Which layers and module types keep their weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from workbench.plotting import heatmap, words

EVEN = 0.005  # layers are of whole weights, so that equal shares differ a little


def plot_layer_density(
    data: pd.DataFrame,
    *,
    axes: Any = None,
    methods: Sequence[str] | None = None,
    density: float | None = None,
    theme: str = "light",
    width: float | None = None,
) -> np.ndarray:
    """Draw the share of weights left per layer and module type, one heatmap per method.

    ``density`` chooses the pruning step nearest to it; the last one by default. Layer-wise pruning
    leaves the same share everywhere; global pruning does not, and a layer that it empties has
    collapsed: no information passes but through the residual connection. The share is written
    into each cell in percent.

    Of the methods that leave the same share everywhere only the first is drawn, and the others are
    named below; the unpruned control is left out. ``methods`` names what to draw instead.
    """
    chosen, even = _uneven(data, methods, density)
    rest = f"same share everywhere, as {words.method(even)}" if even else "not drawn"
    options: dict[str, Any] = dict(axes=axes, density=density, theme=theme, width=width)
    return heatmap.plot_layers(data, "layer_density", methods=chosen, rest=rest, **options)


def describe_layer_density(
    data: pd.DataFrame,
    *,
    methods: Sequence[str] | None = None,
    density: float | None = None,
    **_: Any,
) -> str:
    """One sentence with the fullest and emptiest cell of each method."""
    chosen, even = _uneven(data, methods, density)
    said = heatmap.describe_layers(data, "layer_density", chosen, density)
    told = f"the same share everywhere, as {words.method(even)}"
    same = words.others(set(data["method"]) - {"none"}, chosen or [], told) if even else ""
    return f"{said[:-1]}{same}."


def _uneven(
    data: pd.DataFrame, methods: Sequence[str] | None, density: float | None
) -> tuple[Sequence[str] | None, str]:
    """The methods to draw, and the even one that stands for those left out (or nothing)."""
    if methods is not None or "method" not in data:
        return methods, ""
    held = [method for method in data["method"].unique() if method != "none"]
    tables = heatmap.layers(data, "layer_density", held or None, density)
    even = [m for m, (_, _, table) in tables.items() if np.ptp(table.to_numpy()) < EVEN]
    if len(even) < 2:
        return [*tables], ""
    first = "magnitude" if "magnitude" in even else even[0]
    return [m for m in tables if m == first or m not in even], first
