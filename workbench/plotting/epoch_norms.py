"""Norms per layer and module type, epoch by epoch: gradients, updates, distance from the start."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.colors import LogNorm

from workbench.plotting import frames, heatmap, layout, style, tuning, words

MOST = 6  # methods drawn unless they are named
SCALES = ("linear", "log")
SHORT = {"update_norm": "norm of update", "gradient_norm": "norm of gradient"}
"""Names that fit beside one row of panels."""


def plot_epoch_norms(
    data: pd.DataFrame,
    *,
    axes: Any = None,
    name: str = "update_norm",
    methods: Sequence[str] | None = None,
    epochs: Sequence[int] | None = None,
    scale: str = "linear",
    theme: str = "light",
    width: float | None = None,
) -> np.ndarray:
    """Draw a norm as heatmaps of layer by module: methods in rows, epochs across, one scale.

    Args:
        name: ``"gradient_norm"``, ``"update_norm"`` (how far an epoch moved each matrix) or
            ``"distance"`` (how far it is from the pretrained one), each a Frobenius norm.
        methods: in rows; by default all, or a few of many, and a note names the rest.
        epochs: columns; by default as many as fit of those measured, evenly chosen.
        scale: of the colours; ``"log"`` where a few matrices move far more than others. Norms of
            zero (frozen matrices) are left empty there.
    """
    rows, chosen = _rows(data, name, methods)
    if scale not in SCALES:
        raise ValueError(f"unknown scale {scale!r}; choose one of {', '.join(SCALES)}")
    width = style.WIDTH if width is None else width
    steps = _steps(rows, epochs, int(np.clip((width - 130) // 95, 2, 6)))
    tables, counts = _tables(rows, chosen, steps)
    depth = max(len(table) for table in tables.values())
    owned = axes is None
    axes = tuning.grid(
        axes, chosen, steps, width=width, theme=theme, height=34 + max(10 * depth, 56), top=110
    )
    norm: Any = heatmap.scale(*tables.values())
    if scale == "log":
        every = np.concatenate([table.to_numpy().ravel() for table in tables.values()])
        positive = every[every > 0]
        if not len(positive):
            raise ValueError(f"every {name!r} is 0, which has no place on a log scale")
        norm = LogNorm(positive.min(), max(positive.max(), 1.001 * positive.min()))
        tables = {key: table.where(table > 0) for key, table in tables.items()}
    image = None
    for line, method in zip(axes, chosen, strict=True):
        for ax, step in zip(line, steps, strict=True):
            table = tables.get((method, step))
            if table is None:
                ax.set_visible(ax is line[0])
                style.dress(ax, theme, grid="")
                continue
            image = heatmap.draw(
                ax, table, norm=norm, cmap=style.theme(theme).sequential, theme=theme
            )
            every_other = -(-len(table) // 6)
            ax.set_yticks(
                range(0, len(table), every_other), [str(i) for i in table.index[::every_other]]
            )
            ax.tick_params(axis="x", rotation=90)
    figure = axes[0, 0].figure
    heatmap.colorbar(image, axes.ravel().tolist(), SHORT.get(name, words.scalar(name)), theme)
    figure.supylabel("layer", color=style.theme(theme).foreground, fontsize=style.LABEL)
    if owned:
        told = f"{words.scalar(name)}, Frobenius norm per matrix; {tuning.mean_over(counts)}"
        told += words.others(data["method"].unique(), chosen, "not drawn")
        layout.footnote(figure, told, theme)
    return axes


def describe_epoch_norms(
    data: pd.DataFrame,
    *,
    name: str = "update_norm",
    methods: Sequence[str] | None = None,
    **_: Any,
) -> str:
    """One clause per method: the lowest and highest cell at its last measured epoch."""
    rows, chosen = _rows(data, name, methods)
    said = []
    for method in chosen:
        part = rows[rows["method"] == method]
        step = int(part["step"].max())
        tables, _counts = _tables(part, [method], [step])
        cells = tables[method, step].stack()
        high, low = cells.idxmax(), cells.idxmin()
        said.append(
            f"{words.method(method)} from {cells.min():.3g} (layer {low[0]}, {low[1]}) to "
            f"{cells.max():.3g} (layer {high[0]}, {high[1]}) in epoch {step}"
        )
    title = words.scalar(name)
    return f"{title[0].upper()}{title[1:]} per layer and module type: {words.listing(said)}."


def _rows(
    data: pd.DataFrame, name: str, methods: Sequence[str] | None
) -> tuple[pd.DataFrame, list[str]]:
    rows = frames.select(data, name)
    frames.require(rows, ["layer", "module"])
    rows = frames.unique(rows, ["method", "seed", "step", "layer", "module"], name)
    held = words.order_methods(rows["method"])
    chosen = words.focus(held, MOST) if methods is None else list(methods)
    if missing := [method for method in chosen if method not in held]:
        raise ValueError(
            f"{name!r} has no rows of the methods {words.listing(missing)}; there are: "
            f"{words.listing(held, 20)}"
        )
    return rows[rows["method"].isin(chosen)], chosen


def _steps(rows: pd.DataFrame, epochs: Sequence[int] | None, fit: int) -> list[int]:
    held = sorted(int(step) for step in rows["step"].unique())
    if epochs is None:
        return tuning.epochs(held, fit)
    if missing := [epoch for epoch in epochs if epoch not in held]:
        raise ValueError(f"epoch {words.listing(missing)} was not measured; there are: {held}")
    return list(epochs)


def _tables(
    rows: pd.DataFrame, methods: Sequence[str], steps: Sequence[int]
) -> tuple[dict[tuple[str, int], pd.DataFrame], list[int]]:
    """Mean over seeds as layer by module for each method and epoch, and the numbers of seeds."""
    tables, counts = {}, []
    for (method, step), part in rows[rows["step"].isin(steps)].groupby(["method", "step"]):
        table = part.pivot_table(index="layer", columns="module", values="value", aggfunc="mean")
        table = table.loc[words.order_layers(table.index), words.order_modules(table.columns)]
        tables[str(method), int(step)] = table
        counts.append(int(part["seed"].nunique()))
    return tables, counts
