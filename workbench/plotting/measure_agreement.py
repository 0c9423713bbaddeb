"""How the measures of similarity agree: rank correlations over all pairs of layers."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize

from workbench.plotting import frames, heatmap, layout, similarity_grids, style, words

DIGITS = 25  # CSS pixels that ".87" needs
SPREAD = 44  # and "± .12" below it
KEYS = ["model", "task", "seed", "module"]


def plot_measure_agreement(
    data: pd.DataFrame,
    *,
    axes: Any = None,
    order: str = "clustered",
    theme: str = "light",
    width: float | None = None,
) -> np.ndarray:
    """Draw Spearman's rank correlation between all measures, over all pairs of layers.

    Signs are turned so that closer is larger in every measure: 1 means that two measures rank the
    pairs alike and would fuse the same ones, 0 that they have nothing to do with each other. It is
    taken in each type of module by itself, and averaged; where there is room, the standard
    deviation over modules stands below the mean.

    Args:
        data: the frame of :func:`plot_similarity_heatmap`, of one network or of several.
        axes: to draw on (the first one is used); without, a new figure.
        order: measures that agree stand together (``"clustered"``), or ``"layers"``: as measured.

    Raises:
        ValueError: missing columns, or fewer than two measures of the same layers.
    """
    mean, spread, count = _correlations(data, order)
    owned = axes is None
    width = style.WIDTH if width is None else width
    size = len(mean)
    names = [_short(name) for name in mean.index]
    room = width - 100 - 6.0 * max(map(len, names))
    cell = float(np.clip(room / size, 12, 90))
    if owned:
        high_ = cell * size * (0.8 if cell > DIGITS else 1) + 6.4 * max(map(len, names)) + 60
        axes = np.array([layout.single(width, theme, high_)])
    else:
        axes = layout.given(axes, 1)
    ax: Axes = axes[0]
    look = style.theme(theme)
    shown = pd.DataFrame(mean.to_numpy(), index=names, columns=names)
    image = heatmap.draw(ax, shown, norm=Normalize(-1, 1), cmap=look.signed, theme=theme)
    ax.tick_params(axis="x", rotation=90)
    if cell >= DIGITS:
        _numbers(ax, image, mean, spread if cell >= SPREAD and count > 1 else None)
    heatmap.colorbar(image, axes, "rank correlation", theme)
    if owned:
        layout.footnote(ax.figure, _note(count, cell >= SPREAD), theme)
    return axes


def describe_measure_agreement(data: pd.DataFrame, *, order: str = "clustered", **_: Any) -> str:
    """The pairs of measures that agree most and least, with the spread over modules."""
    mean, spread, count = _correlations(data, order)
    values, sds = mean.to_numpy(), spread.to_numpy()
    cells = [cell for cell in combinations(range(len(mean)), 2) if np.isfinite(values[cell])]
    told = []
    for a, b in sorted(cells, key=lambda cell: -values[cell]):
        names = f"{words.measure(mean.index[a])} and {words.measure(mean.index[b])}"
        sd = f" \N{PLUS-MINUS SIGN} {sds[a, b]:.2f}" if np.isfinite(sds[a, b]) else ""
        told.append(f"{names} {values[a, b]:.2f}{sd}")
    best, worst = told[:3], told[3:][-3:]
    text = f"most alike rank {words.listing(best)}"
    text += f"; least alike {words.listing(worst[::-1])}" if worst else ""
    return (
        f"Rank correlation of {len(mean)} measures over all pairs of layers, closer counted as "
        f"larger, {_over(count)} with one standard deviation: {text}."
    )


def _correlations(data: pd.DataFrame, order: str) -> tuple[pd.DataFrame, pd.DataFrame, int]:
    """Mean and standard deviation over groups of layers (a type of module of one network each),
    measures by measures, and how many groups there are."""
    if order not in similarity_grids.ORDERS:
        choices = ", ".join(similarity_grids.ORDERS)
        raise ValueError(f"unknown order {order!r}; choose one of {choices}")
    frames.require(data, similarity_grids.COLUMNS)
    measures = data["measure"].unique().tolist()
    rows = data[data["row"] != data["column"]]
    ends = np.sort(rows[["row", "column"]].to_numpy(), axis=1)  # both directions count once
    sign = np.where(rows["kind"] == "similarity", 1, -1)
    rows = rows.assign(first=ends[:, 0], second=ends[:, 1], closeness=sign * rows["value"])
    tables = []
    for _, part in rows.groupby(KEYS, sort=False):
        wide = part.pivot_table(index=["first", "second"], columns="measure", values="closeness")
        table = wide.corr(method="spearman", min_periods=3)
        tables.append(table.reindex(index=measures, columns=measures).stack())
    each = pd.concat(tables, axis=1)
    mean, spread = (t.unstack().reindex(index=measures, columns=measures)
                    for t in (each.mean(axis=1), each.std(axis=1)))  # fmt: skip
    same = np.eye(len(measures), dtype=bool)
    if not np.isfinite(mean.to_numpy()[~same]).any():
        raise ValueError(
            "no two measures of the same layers, of three pairs or more; there are: "
            f"{words.listing(measures)}"
        )
    mean = mean.mask(same, 1.0)
    if order == "clustered":
        places = similarity_grids.clustered(mean.to_numpy(), "similarity")
        mean, spread = mean.iloc[places, places], spread.iloc[places, places]
    return mean, spread, len(tables)


def _numbers(ax: Axes, image: Any, mean: pd.DataFrame, spread: pd.DataFrame | None) -> None:
    """The mean in each cell, and the standard deviation below it."""
    for (row, column), value in np.ndenumerate(mean.to_numpy()):
        if row == column or not np.isfinite(value):
            continue
        text = _digits(value)
        if spread is not None and np.isfinite(spread.iloc[row, column]):
            text += f"\n\N{PLUS-MINUS SIGN} {_digits(spread.iloc[row, column])}"
        color = style.ink(image.cmap(image.norm(value))[:3])
        ax.text(column, row, text, ha="center", va="center", fontsize=style.SMALL, color=color)


def _digits(value: float) -> str:
    """Two digits without the leading zero: ``.87``, ``-.05``, ``1``."""
    shown = f"{value:.2f}"
    if shown in ("1.00", "-1.00"):
        return shown.removesuffix(".00")
    return shown.replace("-0.00", "0.00").replace("0.", ".", 1)


def _short(name: str) -> str:
    for ending in (" distance", " divergence", " of activations", " of the weights"):
        name = words.measure(name) if ending == " distance" else name
        name = name.replace(ending, "")
    return name


def _over(count: int) -> str:
    return f"mean over {count} groups of layers" if count > 1 else "one group of layers"


def _note(count: int, spread: bool) -> str:
    text = f"Spearman, all pairs of layers, closer counted as larger; {_over(count)}"
    sd = "; \N{PLUS-MINUS SIGN}: one standard deviation over them"
    return text + (sd if spread and count > 1 else "")
