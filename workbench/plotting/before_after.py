"""The score in every domain or language, dense and pruned, side by side."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from workbench.plotting import frames, layout, style, words


def plot_before_after(
    data: pd.DataFrame,
    *,
    axes: Any = None,
    metric: str = "accuracy",
    split: str = "test",
    phase: str = "after",
    method: str | None = None,
    density: float | None = None,
    theme: str = "light",
    width: float | None = None,
) -> np.ndarray:
    """Draw one row per domain or language: hollow where all weights are there, filled where not.

    Args:
        phase: ``before`` (right after pruning) or ``after`` retraining; ignored by data that do
            not tell them apart.
        method: whose scores; the last in reading order by default.
        density: the pruning step nearest to it; the last one by default.
    """
    table, method, share, seeds = _pairs(data, metric, split, phase, method, density)
    rows = np.arange(len(table))[::-1]
    if axes is None:
        axes = layout.panels(
            1, width=width, theme_name=theme, least=200, height=90 + 24 * len(table)
        )
    axes = layout.given(axes, 1)
    ax, look = axes[0], style.theme(theme)
    color = look.blue
    ax.hlines(rows, table["pruned"], table["dense"], color=look.muted, linewidth=1.2)
    dense = ax.plot(
        table["dense"], rows, "o", color=color, markerfacecolor="none", markersize=10,
        markeredgewidth=1.6,
    )[0]  # fmt: skip
    pruned = ax.plot(table["pruned"], rows, "D", color=color, markersize=5)[0]
    ax.set_yticks(rows)
    ax.set_yticklabels([layout.safe(words.language(name)) for name in table.index])
    ax.set_ylim(-0.6, len(table) - 0.4)
    ax.set_xlabel(f"{words.scalar(metric)}, {split}")
    style.dress(ax, theme)
    if words.is_fraction(metric):
        ax.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.4g}%")
    ax.xaxis.set_major_locator(style.MaxNLocator(4))
    ax.margins(x=0.08)
    note = "one seed (n = 1)" if seeds == 1 else f"mean over {seeds} seeds"
    layout.legend(
        ax, [dense, pruned], ["all weights", f"{words.percent(share)} of them"],
        title=f"{words.method(method)}; {note}", theme_name=theme,
        outside=hasattr(ax.figure, "legends") and len(ax.figure.axes) == 1,
    )  # fmt: skip
    return axes


def describe_before_after(
    data: pd.DataFrame,
    *,
    metric: str = "accuracy",
    split: str = "test",
    phase: str = "after",
    method: str | None = None,
    density: float | None = None,
    **_: Any,
) -> str:
    """One sentence with both numbers of every domain or language."""
    table, method, share, _seeds = _pairs(data, metric, split, phase, method, density)
    said = [
        f"{words.language(str(name))} {words.number(metric, row['dense'])} to "
        f"{words.number(metric, row['pruned'])}"
        for name, row in table.iterrows()
    ]
    return (
        f"{words.scalar(metric).capitalize()} with all weights and with {words.percent(share)} of "
        f"them, {words.method(method)}: {words.listing(said, 20)}."
    )


def _pairs(
    data: pd.DataFrame,
    metric: str,
    split: str,
    phase: str,
    method: str | None,
    density: float | None,
) -> tuple[pd.DataFrame, str, float, int]:
    """Means over seeds by subset (dense, pruned), whose they are, at what density, and seeds."""
    rows = frames.against_density(data, metric, by=["subset"], split=split, phase=phase)
    if "subset" not in rows:
        rows = rows.assign(subset="all")
    held = words.order_methods(rows["method"])
    chosen = held[-1] if method is None else method
    rows = rows[rows["method"] == chosen]
    if rows.empty:
        raise ValueError(f"no scores of method {chosen!r}; there are: {words.listing(held)}")
    dense = rows[rows["step"] == rows["step"].min()]
    pruned = frames.nearest(rows, density)
    table = pd.DataFrame(
        {
            "dense": dense.groupby("subset", sort=False)["value"].mean(),
            "pruned": pruned.groupby("subset", sort=False)["value"].mean(),
        }
    ).dropna()
    return table, chosen, float(pruned["density"].mean()), int(pruned["seed"].nunique())
