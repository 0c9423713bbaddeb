"""Norms of weights and gradients per layer and module type, and their distributions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
import pandas as pd

from workbench.plotting import frames, heatmap, layout, style, words

COLUMNS = ("method", "seed", "step", "layer", "module", "left", "right", "count")
AXES = {  # what is counted where weights are pruned, and where all are trained
    "weight": ("value of a remaining weight", "value of a weight"),
    "gradient": ("gradient of a remaining weight", "gradient of a weight that has one"),
    "update": ("update of a remaining weight", "change of a weight that moved in an epoch"),
}


def plot_norms(
    data: pd.DataFrame,
    *,
    axes: Any = None,
    name: str = "weight_norm",
    methods: Sequence[str] | None = None,
    density: float | None = None,
    theme: str = "light",
    width: float | None = None,
) -> np.ndarray:
    """Draw ``weight_norm`` or ``gradient_norm`` as one heatmap of layer by module per method.

    ``density`` chooses the pruning step nearest to it; the last one by default. The
    unpruned control would take the whole scale, so it is drawn only if ``methods`` names it; of
    many methods a few are drawn, and a note names the rest.
    """
    methods = heatmap.pruned(data, methods)
    options: dict[str, Any] = dict(methods=methods, density=density, theme=theme, width=width)
    return heatmap.plot_layers(data, name, axes=axes, **options)


def describe_norms(
    data: pd.DataFrame,
    *,
    name: str = "weight_norm",
    methods: Sequence[str] | None = None,
    density: float | None = None,
    **_: Any,
) -> str:
    """One sentence with the largest and smallest norm of each method."""
    return heatmap.describe_layers(data, name, heatmap.pruned(data, methods), density)


def plot_distributions(
    data: pd.DataFrame,
    *,
    axes: Any = None,
    method: str | None = None,
    densities: Sequence[float] | None = None,
    layer: str | None = None,
    seed: int | None = None,
    quantity: str = "weight",
    theme: str = "light",
    width: float | None = None,
) -> np.ndarray:
    """Draw the distribution of weights, gradients or updates as ridges, a panel per module type.

    Each ridge is one density, from all weights on top to the fewest at the bottom, scaled to its
    own height; in records of training without pruning it is one epoch, the first on top. The
    records count surviving weights only, and gradients and updates that are not 0, in bins of each
    run's own; so one run is drawn, and its outermost bins, which hold all that lies beyond, are
    left out.

    Args:
        data: columns method, seed, step, density (of pruned weights), layer, module, left, right,
            count (:func:`workbench.plotting.points.histograms` makes it from records).
        method: whose weights; the last in reading order (SDP-CC) by default.
        layer: one layer, or all of them together.
        seed: whose run; the lowest by default.
    """
    rows, method = _histograms(data, method, layer, seed)
    shares = _shares(rows)
    steps = _steps(rows, shares, densities)
    modules = words.order_modules(rows["module"])
    drawn = rows[rows["step"].isin(steps)]
    ridges = {key: _ridge(part) for key, part in drawn.groupby(["module", "step"])}
    reach = _reach(drawn)
    shared = dict(sharex=True, sharey=True)
    axes = (
        layout.panels(
            len(modules), width=width, theme_name=theme, least=165, most=6,
            height=90 + 26 * len(steps), **shared,
        )
        if axes is None
        else layout.given(axes, len(modules))
    )  # fmt: skip
    colors = matplotlib.colormaps["viridis"](np.linspace(0.9, 0.15, len(steps)))
    if theme == "dark":
        colors = matplotlib.colormaps["viridis"](np.linspace(0.95, 0.3, len(steps)))
    look = style.theme(theme)
    for ax, module in zip(axes, modules, strict=True):
        for place, step in enumerate(steps):
            heights, edges = ridges[module, step]
            base = len(steps) - 1 - place
            tops = base + 1.35 * np.append(heights, heights[-1])
            ax.fill_between(
                edges, base, tops, step="post", color=colors[place], alpha=0.85, lw=0,
                zorder=2 + place,
            )  # fmt: skip
            ax.plot(
                edges, tops, drawstyle="steps-post", color=look.foreground, linewidth=0.6,
                zorder=2.5 + place,
            )  # fmt: skip
        layout.panel_title(ax, module, theme)
        ax.set_yticks([len(steps) - 1 - place for place in range(len(steps))])
        ax.set_yticklabels([_at(step, shares) for step in steps])
        ax.set_ylim(-0.15, len(steps) + 0.5)
        ax.set_xlim(*reach)
        ax.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(3, symmetric=quantity == "weight"))
        style.dress(ax, theme, grid="")
    where = "all layers" if layer is None else f"layer {layer}"
    text = dict(color=look.foreground, fontsize=style.LABEL)
    axes[0].figure.supylabel("epoch" if shares is None else "remaining weights", **text)
    who = layout.safe(words.method(method))
    label = f"{AXES[quantity][shares is None]} ({who}, {where})"
    axes[0].figure.supxlabel(layout.wrap(label, axes[0].figure, style.TITLE), **text)
    return axes


def describe_distributions(
    data: pd.DataFrame,
    *,
    method: str | None = None,
    layer: str | None = None,
    seed: int | None = None,
    quantity: str = "weight",
    **_: Any,
) -> str:
    """One sentence with the standard deviation at the first and last density or epoch."""
    rows, method = _histograms(data, method, layer, seed)
    shares = _shares(rows)
    said = []
    for step in (rows["step"].min(), rows["step"].max()):
        part = rows[rows["step"] == step]
        heights, edges = _ridge(part)
        centres = (edges[1:] + edges[:-1]) / 2
        mass = heights * np.diff(edges)
        mean = np.average(centres, weights=mass)
        deviation = np.sqrt(np.average((centres - mean) ** 2, weights=mass))
        said.append(f"{deviation:.2g} at {'epoch ' * (shares is None)}{_at(step, shares)}")
    return (
        f"Distribution of the {quantity}s per module type and "
        f"{'epoch' if shares is None else 'density'} for "
        f"{words.method(method)}; standard deviation {' and '.join(dict.fromkeys(said))}."
    )


def _histograms(
    data: pd.DataFrame, method: str | None, layer: str | None, seed: int | None
) -> tuple[pd.DataFrame, str]:
    frames.require(data, COLUMNS)
    held = words.order_methods(data["method"])
    method = held[-1] if method is None else method
    rows = data[data["method"] == method]
    if rows.empty:
        raise ValueError(f"no histograms of method {method!r}; there are: {words.listing(held)}")
    seeds = sorted(rows["seed"].unique())
    rows = rows[rows["seed"] == (seeds[0] if seed is None else seed)]
    if rows.empty:
        raise ValueError(f"no seed {seed} of {method!r}; there are: {words.listing(seeds)}")
    if layer is not None:
        rows = rows[rows["layer"].astype(str) == str(layer)]
        if rows.empty:
            raise ValueError(
                f"no layer {layer!r}; there are: "
                f"{words.listing(words.order_layers(data['layer'].astype(str)))}"
            )
    if not np.isfinite(rows["count"].astype(float)).any() or rows["count"].sum() <= 0:
        raise ValueError("the histograms hold no counts, so there is nothing to draw")
    return rows, method


def _shares(rows: pd.DataFrame) -> pd.Series | None:
    """The density of every step; ``None`` where nothing is pruned and a step is an epoch."""
    if "density" not in rows or rows["density"].isna().all():
        return None
    return rows.groupby("step")["density"].mean()


def _steps(
    rows: pd.DataFrame, shares: pd.Series | None, densities: Sequence[float] | None
) -> list[int]:
    if densities is not None:
        if shares is None:
            raise ValueError("the records have no density to choose from: nothing was pruned")
        return list(dict.fromkeys((shares - wanted).abs().idxmin() for wanted in densities))
    return sorted(int(s) for s in frames.choose([int(step) for step in rows["step"].unique()], 6))


def _at(step: int, shares: pd.Series | None) -> str:
    return str(step) if shares is None else words.percent(shares[step])


def _ridge(rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Heights scaled to 1 (counts over bin width) and edges, all layers of one step summed."""
    bins = rows.groupby(["left", "right"])["count"].sum().reset_index().sort_values("left")
    bins = bins.iloc[1:-1] if len(bins) > 4 else bins
    edges = np.append(bins["left"], bins["right"].iloc[-1])
    heights = bins["count"].to_numpy(float) / np.diff(edges)
    return heights / (heights.max() or 1.0), edges


def _reach(rows: pd.DataFrame) -> tuple[float, float]:
    """Where all but a thousandth of the counts lie, so that far outliers do not flatten all."""
    bins = rows.groupby(["left", "right"])["count"].sum().reset_index().sort_values("left")
    share = bins["count"].cumsum() / bins["count"].sum()
    low = float(bins["left"][share >= 0.0005].iloc[0])
    high = float(bins["right"][share >= 0.9995].iloc[0])
    if low < 0 < high:
        high = max(high, -low)
        low = -high
    return low, high
