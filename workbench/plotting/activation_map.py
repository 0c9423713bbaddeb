"""Which gradients are kept in which epoch, and since when: Figure 10.1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.colors import ListedColormap
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from workbench.plotting import frames, layout, style, tuning, words

COLUMNS = ("method", "seed", "step", "layer", "element", "kept")
FIRST = (
    "GradDrop", "Layer-GradDrop", "GradDrop-Epoch", "GradDrop-Epoch-Toggle", "GradFreeze-TopDown",
    "GradFreeze-BottomUp",
)  # fmt: skip
AGES = ("turned on in this epoch", "one epoch ago", "two ago", "three or more ago")
# Frozen, then as AGES: the darker the blue, the more recently turned on. Each theme's greys and
# blues differ in lightness from each other and from the page.
COLORS = {
    "light": ("#e4e6ea", "#08306b", "#1f63ad", "#4f97cf", "#86bce0"),
    "dark": ("#333842", "#3b82f6", "#7ab0fa", "#b3d3fd", "#e6f1ff"),
}


def plot_activation_map(
    data: pd.DataFrame,
    *,
    axes: Any = None,
    methods: Sequence[str] | None = None,
    epochs: Sequence[int] | None = None,
    seed: int | None = None,
    legend: bool = True,
    theme: str = "light",
    width: float | None = None,
) -> np.ndarray:
    """Draw sampled elements of every layer, frozen or active: methods in rows, epochs across.

    In each panel layers go up, the lowest at the bottom, and a layer's elements across. An element
    is active in an epoch if its gradient was kept in the epoch's last update; it was turned on in
    the first of the active epochs without a gap up to there.

    Args:
        data: columns method, seed, step, layer, element, kept
            (:func:`workbench.plotting.points.masks` makes it from records).
        methods: in rows; by default all, or a few of many, and a note names the rest.
        epochs: columns; by default as many as fit, evenly chosen.
        seed: whose run; the lowest by default. One run is drawn, since masks have no mean.
    """
    rows, chosen, number = _rows(data, methods, seed)
    width = style.WIDTH if width is None else width
    steps = _steps(rows, epochs, int(np.clip((width - 60) // 92, 2, 6)))
    depth = int(rows["layer"].nunique())
    owned = axes is None
    axes = tuning.grid(
        axes, chosen, steps, width=width, theme=theme, height=36 + max(6 * depth, 50)
    )  # fmt: skip
    cmap = ListedColormap(COLORS["dark" if theme == "dark" else "light"])
    for line, method in zip(axes, chosen, strict=True):
        maps = ages(rows[rows["method"] == method])
        for ax, step in zip(line, steps, strict=True):
            if step in maps:
                ax.imshow(
                    maps[step] + 1, origin="lower", aspect="auto", cmap=cmap, vmin=-0.5, vmax=4.5,
                    interpolation="nearest",
                )  # fmt: skip
            ax.set_xticks([])
            ax.yaxis.set_major_locator(MaxNLocator(4, integer=True))
            style.dress(ax, theme, grid="")
            ax.spines[:].set_visible(False)
            ax.tick_params(length=0)
    look = style.theme(theme)
    axes[0, 0].figure.supylabel("layer", color=look.foreground, fontsize=style.LABEL)
    if legend:
        count = int(rows["element"].nunique())
        note = (
            f"{count} fixed elements of each layer's query matrix, across; the masks of each "
            f"epoch's last update in one recorded run (seed {number}, n = 1)"
        )
        note += words.others(data["method"].unique(), chosen, "not drawn")
        patches = [Patch(facecolor=color) for color in COLORS[theme]]
        layout.legend(
            axes[0, 0], patches, ["frozen", *AGES], title=note, theme_name=theme, outside=owned
        )
    return axes


def describe_activation_map(
    data: pd.DataFrame,
    *,
    methods: Sequence[str] | None = None,
    seed: int | None = None,
    **_: Any,
) -> str:
    """The share that is active in the first and the last epoch, and how much of it is new then."""
    rows, chosen, number = _rows(data, methods, seed)
    said = []
    for method in chosen:
        maps = ages(rows[rows["method"] == method])
        first, last = min(maps), max(maps)
        active, new = (maps[last] >= 0).mean(), (maps[last] == 0).mean()
        said.append(
            f"{words.method(method)} {words.percent((maps[first] >= 0).mean())} in epoch {first} "
            f"and {words.percent(active)} in epoch {last}, of which {words.percent(new)} turned on "
            "in it"
        )
    return f"Active gradient elements in the run of seed {number}: {'; '.join(said)}."


def ages(rows: pd.DataFrame) -> dict[int, np.ndarray]:
    """By epoch the epochs since each element was turned on (layers, elements); -1: frozen, 3: or
    more."""
    maps: dict[int, np.ndarray] = {}
    since: np.ndarray | None = None
    for step, part in sorted(rows.groupby("step")):
        table = part.pivot(index="layer", columns="element", values="kept").sort_index()
        kept = table.to_numpy() > 0
        before = np.full(kept.shape, -1) if since is None else since
        since = np.where(kept, before + 1, -1)
        maps[int(step)] = np.minimum(since, 3)
    return maps


def _rows(
    data: pd.DataFrame, methods: Sequence[str] | None, seed: int | None
) -> tuple[pd.DataFrame, list[str], int]:
    frames.require(data, COLUMNS)
    seeds = sorted(data["seed"].unique())
    number = seeds[0] if seed is None else seed
    if number not in seeds:
        raise ValueError(f"no seed {number}; there are: {words.listing(seeds)}")
    rows = data[data["seed"] == number]
    held = words.order_methods(rows["method"])
    if methods is None:
        few = [method for method in FIRST if method in held]
        chosen = held if len(held) <= len(FIRST) else few or held[: len(FIRST)]
    else:
        chosen = list(methods)
        if missing := [method for method in chosen if method not in held]:
            told = f"{words.listing(missing)} with seed {number}; there are: {words.listing(held)}"
            raise ValueError(f"no masks of {told}")
    return rows[rows["method"].isin(chosen)], chosen, int(number)


def _steps(rows: pd.DataFrame, epochs: Sequence[int] | None, fit: int) -> list[int]:
    held = sorted(int(step) for step in rows["step"].unique())
    if epochs is None:
        return tuning.epochs(held, fit)
    if missing := [epoch for epoch in epochs if epoch not in held]:
        raise ValueError(f"no masks of epoch {words.listing(missing)}; there are: {held}")
    return list(epochs)
