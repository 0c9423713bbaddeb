"""Projected representations, one small multiple per method and density."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D

from workbench.plotting import frames, layout, style, words

COLUMNS = ("method", "seed", "step", "density", "x", "y", "class")
AXES = {"pca": "principal component", "lda": "discriminant", "tsne": "t-SNE axis"}


def plot_separability(
    data: pd.DataFrame,
    *,
    axes: Any = None,
    densities: Sequence[float] | None = None,
    methods: Sequence[str] | None = None,
    seed: int | None = None,
    legend: bool = True,
    theme: str = "light",
    width: float | None = None,
) -> np.ndarray:
    """Draw the classes' points, methods in rows and densities in columns.

    Args:
        data: columns method, seed, step, density, x, y, class
            (:func:`workbench.plotting.points.points` makes it from records).
        axes: array of axes of the same shape; a new figure without.
        methods: in rows; by default all, or a few of many, and a note names the rest.
        densities: those nearest to these are drawn; by default as many as fit, evenly chosen.
        seed: whose run; one run is drawn, since points of several would not match. The lowest
            by default.

    Limits are shared along a row, so that spreading or collapsing classes can be seen.
    """
    rows = _rows(data, methods, seed)
    chosen = words.order_methods(rows["method"])
    width = style.WIDTH if width is None else width
    picked = _pick(rows, chosen, densities, int(np.clip(width // 130, 3, 6)))
    together = _together(rows, picked)
    columns = max(len(steps) for steps in picked.values())
    owned = axes is None
    if owned:
        side = min(width / (columns + 0.4), 190)
        figure = layout.new_figure(width, side * len(chosen) + 40, theme)
        axes = figure.subplots(len(chosen), columns, squeeze=False)
    else:
        axes = layout.given(axes, len(chosen) * columns).reshape(len(chosen), columns)
    pruned = rows[rows["method"] != "none"] if together else rows
    heads = pruned.groupby("step")["density"].mean()
    classes = _classes(rows)
    marks = dict(zip(classes, style.class_marks(len(classes), theme), strict=True))
    crowd = len(rows) / rows.groupby(["method", "step"]).ngroups
    size = float(np.clip((2600 if len(classes) < 5 else 4000) / crowd, 6, 24))
    for line, method in zip(axes, chosen, strict=True):
        own = rows[rows["method"] == method]
        for ax, step in zip(line, picked[method], strict=False):
            part = own[own["step"] == step]
            for name in classes:
                some, mark = part[part["class"] == name], marks[name]
                ax.scatter(
                    some["x"], some["y"], s=size, c=mark.color, marker=mark.marker, alpha=0.65,
                    linewidths=0, label=layout.safe(name),
                )  # fmt: skip
            if method == chosen[0] or not together:
                share = heads[step] if together else part["density"].iloc[0]
                layout.panel_title(ax, words.percent(share), theme)
        shown = own[own["step"].isin(picked[method])]
        for ax in line:
            ax.set_xlim(*_limits(shown["x"]))
            ax.set_ylim(*_limits(shown["y"]))
            ax.set_xticks([])
            ax.set_yticks([])
            style.dress(ax, theme, grid="")
            ax.spines[:].set_visible(True)
            ax.spines[:].set_color(style.theme(theme).grid)
        for spare in line[len(picked[method]) :]:
            spare.set_visible(False)
        named = layout.safe(words.method(method)).replace(" ", "\n")
        line[0].set_ylabel(named + ("\n(all 100%)" if together and method == "none" else ""))
    if legend:
        handles = [
            Line2D([], [], color=m.color, marker=m.marker, linestyle="", markersize=6)
            for m in marks.values()
        ]
        text = f"columns: remaining weights; seed {rows['seed'].iloc[0]}; one scale per row"
        if methods is None:
            text += words.others(data["method"].unique(), chosen, "not drawn")
        layout.legend(axes[0, 0], handles, classes, title=text, theme_name=theme, outside=owned)
    return axes


def describe_separability(
    data: pd.DataFrame,
    *,
    methods: Sequence[str] | None = None,
    seed: int | None = None,
    **_: Any,
) -> str:
    """One sentence with the number of points, and how far class means stand apart."""
    rows = _rows(data, methods, seed)
    said = []
    for method in words.order_methods(rows["method"]):
        last = frames.nearest(rows[rows["method"] == method], None)
        means = last.groupby("class")[["x", "y"]].transform("mean")
        within = ((last[["x", "y"]] - means) ** 2).to_numpy().sum()
        total = ((last[["x", "y"]] - last[["x", "y"]].mean()) ** 2).to_numpy().sum()
        share = 0.0 if total == 0 else 1 - within / total
        density = words.percent(last["density"].iloc[0])
        said.append(f"{words.method(method)} {100 * share:.0f}% at {density}")
    count = rows.groupby(["method", "step"]).size().max()
    return (
        f"Projected representations of {count} texts in {rows['class'].nunique()} classes at "
        "several densities; share of the variance on the page that lies between classes: "
        f"{words.listing(said)}."
    )


def _rows(data: pd.DataFrame, methods: Sequence[str] | None, seed: int | None) -> pd.DataFrame:
    if isinstance(data, pd.DataFrame) and "x" not in data.columns and "name" in data.columns:
        raise ValueError("these are scalars; plotting.points(records) gives the projected points")
    frames.require(data, COLUMNS)
    rows = data[np.isfinite(data["x"].astype(float)) & np.isfinite(data["y"].astype(float))]
    methods = words.focus(rows["method"].unique()) if methods is None else list(methods)
    rows = rows[rows["method"].isin(methods)]
    if rows.empty:
        raise ValueError("no finite points to draw; choose other methods or records")
    if seed is None:
        seed = rows["seed"].min()
    kept = rows[rows["seed"] == seed]
    if kept.empty:
        raise ValueError(
            f"no seed {seed}; there are {words.listing(sorted(rows['seed'].unique()))}"
        )
    return kept


def _pick(
    rows: pd.DataFrame, methods: Sequence[str], densities: Sequence[float] | None, fit: int
) -> dict[str, list[int]]:
    """Steps drawn of each method. The control, whose density stays 1, takes those of the others."""
    picked: dict[str, list[int]] = {}
    for method in sorted(methods, key=lambda name: name == "none"):
        shares = rows[rows["method"] == method].groupby("step")["density"].first()
        steps = next(iter(picked.values()), [])
        if method == "none" and steps and set(steps) <= set(shares.index):
            picked[method] = steps
        elif densities is not None:
            nearest = ((shares - wanted).abs().idxmin() for wanted in densities)
            picked[method] = list(dict.fromkeys(nearest))
        else:
            picked[method] = sorted(
                int(s) for s in frames.choose([int(step) for step in shares.index], fit)
            )
    return picked


def _together(rows: pd.DataFrame, picked: dict[str, list[int]]) -> bool:
    """Whether every column shows one density, so that it needs to be named only once."""
    pruned = {m: steps for m, steps in picked.items() if m != "none"}
    if not pruned or len({tuple(steps) for steps in picked.values()}) > 1:
        return False
    shares = rows[rows["method"].isin(pruned)].groupby("step")["density"]
    return bool((shares.max() - shares.min()).max() < 5e-3)


def _classes(rows: pd.DataFrame) -> list[str]:
    def place(name: str) -> tuple[int, str]:
        number = name.rpartition(" ")[2]
        return (int(number), "") if number.isdigit() else (10**9, name)

    return sorted((str(name) for name in rows["class"].unique()), key=place)


def _limits(values: pd.Series) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    pad = 0.05 * (high - low) or 1.0
    return low - pad, high + pad
