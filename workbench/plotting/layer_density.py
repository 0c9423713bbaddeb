"""Which layers and module types keep their weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from workbench.plotting import heatmap


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
    leaves the same share everywhere; global pruning does not. The unpruned control is left out,
    unless it is all there is or ``methods`` names it.
    """
    options: dict[str, Any] = dict(axes=axes, density=density, theme=theme, width=width)
    return heatmap.plot_layers(
        data, "layer_density", methods=heatmap.pruned(data, methods), **options
    )


def describe_layer_density(
    data: pd.DataFrame,
    *,
    methods: Sequence[str] | None = None,
    density: float | None = None,
    **_: Any,
) -> str:
    """One sentence with the fullest and emptiest cell of each method."""
    return heatmap.describe_layers(data, "layer_density", heatmap.pruned(data, methods), density)
