"""Methods by languages at a few densities: who keeps what where."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from workbench.plotting import frames, heatmap, layout, style, words
from workbench.plotting.language_curves import languages

DENSITIES = (0.56, 0.31, 0.10)
MEAN = "zero-shot mean"
DIGITS = 18  # CSS pixels that a number of two digits needs


def plot_language_heatmap(
    data: pd.DataFrame,
    *,
    axes: Any = None,
    metric: str = "accuracy",
    split: str = "test",
    source: str | None = None,
    show: str = "score",
    order: str = "score",
    densities: Sequence[float] | None = None,
    theme: str = "light",
    width: float | None = None,
) -> np.ndarray:
    """Draw one heatmap of method by language per density, on one colour scale.

    The source language is the first column, the mean of all others the last, both set apart. Each
    cell is the mean over seeds, times 100.

    Args:
        data: long frame of the records.
        show: ``"score"``, or ``"lost"``: how far the score has fallen since step 0 of the same run;
            gains are negative.
        order: of the languages, see :func:`~workbench.plotting.plot_language_curves`.
        densities: the steps nearest to these are drawn; 56%, 31% (Table 9.1) and 10% by default.
            The unpruned control stands at its last step.
    """
    tables, seeds = _tables(data, metric, split, source, show, order, densities)
    count, shape = len(tables), next(iter(tables.values())).shape
    width = style.WIDTH if width is None else width
    owned = axes is None
    least = shape[1] * 20 + 30
    if owned:
        axes = layout.panels(
            count, width=width - 90 if width > 500 else width, theme_name=theme, least=least,
            most=3, height=125 + 21 * shape[0], sharey=True,
        )  # fmt: skip
        high = axes[0].figure.get_size_inches()[1]
        axes[0].figure.set_size_inches(width / style.DPI, high)
    else:
        axes = layout.given(axes, count)
    look = style.theme(theme)
    norm = heatmap.scale(*tables.values(), balanced=show == "lost")
    cmap = look.signed if show == "lost" else look.sequential
    place = axes[0].get_subplotspec()
    across = place.get_gridspec().ncols if place is not None else count
    room = (axes[0].figure.bbox.width - 105) / across - 12
    fits = room / shape[1] >= DIGITS
    for ax, (title, table) in zip(axes, tables.items(), strict=True):
        text = (lambda value: f"{100 * value:.0f}".replace("-0", "0")) if fits else None
        image = heatmap.draw(ax, table, norm=norm, cmap=cmap, text=text, theme=theme)
        ax.tick_params(axis="x", rotation=90)
        for place in (0.5, shape[1] - 1.5):
            ax.axvline(place, color=look.background, linewidth=3)
        layout.panel_title(ax, title, theme)
    what = words.scalar(metric) + (" lost since before pruning" if show == "lost" else "")
    if not fits:
        heatmap.colorbar(image, axes, what, theme, percent=words.is_fraction(metric))
    unit = "%" if words.is_fraction(metric) else "times 100"
    unit = "percentage points" if unit == "%" and show == "lost" else unit
    if owned:
        told = f"{what}, {unit}, {split}; {seeds}; at: remaining weights"
        told += " (of all parameters)" if frames.has_all(data) else ""
        layout.footnote(axes[0].figure, told, theme)
    return axes


def describe_language_heatmap(
    data: pd.DataFrame,
    *,
    metric: str = "accuracy",
    split: str = "test",
    source: str | None = None,
    show: str = "score",
    order: str = "score",
    densities: Sequence[float] | None = None,
    **_: Any,
) -> str:
    """One sentence per density: the best method in the mean, and the languages at both ends."""
    tables, seeds = _tables(data, metric, split, source, show, order, densities)
    said = []
    for title, table in tables.items():
        mean = table[MEAN].sort_values(ascending=show == "lost")
        others = table.drop(columns=MEAN).iloc[:, 1:].mean()
        said.append(
            f"{title} of the weights: zero-shot mean from {100 * mean.iloc[0]:.1f} "
            f"({mean.index[0]}) to {100 * mean.iloc[-1]:.1f} ({mean.index[-1]}), "
            f"highest in {others.idxmax()} and lowest in {others.idxmin()} over all methods"
        )
    what = f"{words.scalar(metric)}{' lost' if show == 'lost' else ''}"
    head = f"{what[0].upper()}{what[1:]} times 100 by method and language, {seeds}"
    return f"{head}. {'; '.join(said)}."


def _tables(
    data: pd.DataFrame, metric: str, split: str, source: str | None, show: str, order: str,
    densities: Sequence[float] | None,
) -> tuple[dict[str, pd.DataFrame], str]:  # fmt: skip
    """Method by language (and the mean of all but the source) for each density, by its title."""
    if show not in ("score", "lost"):
        raise ValueError(f"unknown show={show!r}; choose 'score' or 'lost'")
    rows = frames.against_density(data, metric, by=["subset"], split=split, phase="after")
    columns = languages(data, metric, split, source, order)
    if show == "lost":
        keys = ["method", "seed", "subset"]
        dense = rows[rows["step"] == 0].set_index(keys)["value"].rename("dense")
        rows = rows.join(dense, on=keys)
        rows = rows.assign(value=rows["dense"] - rows["value"]).dropna(subset="value")
        if rows.empty:
            raise ValueError("no run has scores of step 0, so what was lost is not known")
    tables: dict[str, pd.DataFrame] = {}
    counts = set()
    for wanted in densities or DENSITIES:
        part = frames.nearest(rows, wanted)
        table = part.pivot_table(index="method", columns="subset", values="value", aggfunc="mean")
        table = table.reindex(words.order_methods(table.index))[columns]
        table[MEAN] = table[columns[1:]].mean(axis=1, skipna=False)
        counts |= set(part.groupby("method")["seed"].nunique())
        at = part[part["method"] != "none"] if (part["method"] != "none").any() else part
        title = f"at {words.percent(at['density'].mean())}"
        if frames.ALL in at:
            title = f"{title} ({words.percent(at[frames.ALL].mean())} of all)"
        table.index = [words.method(name) for name in table.index]
        table.columns = [words.language(name) for name in table.columns]
        tables[title] = table
    low, high = min(counts), max(counts)
    seeds = f"mean over {high if low == high else f'{low} to {high}'} seeds"
    return tables, "one seed (n = 1)" if high == 1 else seeds
