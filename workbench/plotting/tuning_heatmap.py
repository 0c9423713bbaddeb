"""Methods by languages after the last epoch, or by epochs: chapter 10's tables, measured here."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from workbench.metrics.resources import by_data
from workbench.plotting import heatmap, layout, style, tuning, words
from workbench.plotting.zero_shot_curve import ordered

MEAN = "zero-shot mean"
DIGITS = 20  # CSS pixels that a number such as "-12" needs
NAMES = 170  # those that the names of the methods need
CHOICES = {"columns": ("languages", "epochs"), "show": ("score", "gain")}


def plot_tuning_heatmap(
    data: pd.DataFrame,
    *,
    axes: Any = None,
    metric: str = "accuracy",
    split: str = "test",
    columns: str = "languages",
    show: str = "score",
    against: str = tuning.CONTROL,
    source: str | None = None,
    theme: str = "light",
    width: float | None = None,
) -> np.ndarray:
    """Draw a coloured table of methods, each cell the mean over seeds times 100.

    Args:
        columns: ``"languages"``: one heatmap after the last epoch, the language trained on first,
            the others by their text in CC-100, their mean last; ``"epochs"``: one heatmap for the
            language trained on and one for the mean of the others.
        show: ``"score"``, or ``"gain"`` over ``against``, paired by seed and epoch.
    """
    tables, note = _tables(data, metric, split, columns, show, against, source)
    width = style.WIDTH if width is None else width
    owned, wide = axes is None, next(iter(tables.values()))
    if owned and columns == "languages":
        tables = _pieces(wide, max(3, int((width - NAMES) // DIGITS)))
    count, most = len(tables), max(table.shape[1] for table in tables.values())
    axes = (
        layout.panels(
            count, width=width, theme_name=theme, least=300, sharey=True,
            most=1 if columns == "languages" else 2, height=130 + 20 * len(wide),
        )
        if axes is None
        else layout.given(axes, count)
    )  # fmt: skip
    look, gain = style.theme(theme), show == "gain"
    norm = heatmap.scale(*tables.values(), balanced=gain)
    cmap = look.signed if gain else look.sequential
    place = axes[0].get_subplotspec()
    across = place.get_gridspec().ncols if place is not None else count
    fits = ((axes[0].figure.bbox.width - NAMES) / across) / most >= DIGITS - 2
    text = (lambda value: f"{value:.0f}".replace("-0", "0")) if fits else None
    image = None
    for ax, (title, table) in zip(axes, tables.items(), strict=True):
        image = heatmap.draw(ax, table, norm=norm, cmap=cmap, text=text, theme=theme)
        if columns == "languages":
            ax.tick_params(axis="x", rotation=90)
            for place, name in enumerate(table.columns):  # the source and the mean stand apart
                if name in (wide.columns[0], MEAN):
                    edge = place + 0.5 if name == wide.columns[0] else place - 0.5
                    ax.axvline(edge, color=look.background, linewidth=3)
        else:
            ax.set_xlabel("epoch")
        if columns == "epochs":
            names = [str(name) for name in table.index]
            room = layout.beside(ax, names) if across == 1 else None
            layout.panel_title(ax, title, theme, width=room)
        style.dress(ax, theme, grid="")
        ax.spines[:].set_visible(False)
    what = words.scalar(metric) + (f" gained over {words.method(against)}" if gain else "")
    unit = "times 100" if not words.is_fraction(metric) else "percentage points" if gain else "%"
    if not fits:
        heatmap.colorbar(image, axes, f"{what}, {unit}", theme)
    if owned:
        layout.footnote(axes[0].figure, f"{what}, {unit}, {split}; {note}", theme)
    return axes


def describe_tuning_heatmap(
    data: pd.DataFrame,
    *,
    metric: str = "accuracy",
    split: str = "test",
    columns: str = "languages",
    show: str = "score",
    against: str = tuning.CONTROL,
    source: str | None = None,
    **_: Any,
) -> str:
    """The best and the worst method in the last column of every heatmap."""
    tables, note = _tables(data, metric, split, columns, show, against, source)
    said = []
    for title, table in tables.items():
        last = table.iloc[:, -1].dropna().sort_values(ascending=False)
        where = f"{title}, " if title else ""
        name = f"epoch {table.columns[-1]}" if columns == "epochs" else table.columns[-1]
        said.append(
            f"{where}{name}: from {last.iloc[0]:.1f} ({last.index[0]}) to {last.iloc[-1]:.1f} "
            f"({last.index[-1]})"
        )
    what = words.scalar(metric) + (
        f" gained over {words.method(against)}" if show == "gain" else ""
    )
    return f"{what[0].upper()}{what[1:]} times 100 by method and {columns[:-1]}, {note}. " + (
        f"{'; '.join(said)}."
    )


def _tables(
    data: pd.DataFrame, metric: str, split: str, columns: str, show: str, against: str,
    source: str | None,
) -> tuple[dict[str, pd.DataFrame], str]:  # fmt: skip
    for option, given in (("columns", columns), ("show", show)):
        if given not in CHOICES[option]:
            raise ValueError(
                f"unknown {option}={given!r}; choose one of {', '.join(CHOICES[option])}"
            )
    rows = tuning.scores(data, metric, split)
    if show == "gain":
        rows = tuning.gained(rows, against)
    rows = rows.assign(value=100 * rows["value"])
    tables: dict[str, pd.DataFrame] = {}
    if columns == "epochs":
        for title, part in tuning.parts(rows, source).items():
            each = part.groupby(["method", "step", "seed"])["value"].mean().reset_index()
            table = each.pivot_table(index="method", columns="step", values="value")
            tables[title] = _named(table)
        seeds = rows.groupby(["method", "step"])["seed"].nunique()
        return tables, tuning.mean_over(seeds)
    rows = tuning.last(rows)
    held = list(dict.fromkeys(rows["subset"].dropna())) if "subset" in rows else []
    if not held:
        raise ValueError("the scores are of no language (no column 'subset'); columns='epochs'")
    first, *others = ordered(rows, source) if len(held) > 1 else held
    table = rows.pivot_table(index="method", columns="subset", values="value", aggfunc="mean")
    table = table[[first, *by_data(others)]]
    if others:
        table[MEAN] = table[others].mean(axis=1, skipna=False)
    table.columns = [words.language(str(name)) for name in table.columns]
    note = f"{tuning.at_epoch(rows)}; {tuning.mean_over(rows.groupby('method')['seed'].nunique())}"
    return {"": _named(table)}, note


def _pieces(table: pd.DataFrame, fit: int) -> dict[str, pd.DataFrame]:
    """The columns of a wide table on several panels, as evenly as can be."""
    count = -(-table.shape[1] // fit)
    parts = np.array_split(np.arange(table.shape[1]), count)
    return {str(number): table.iloc[:, part] for number, part in enumerate(parts)}


def _named(table: pd.DataFrame) -> pd.DataFrame:
    table = table.reindex(words.order_methods(table.index))
    return table.rename(index=lambda name: words.method(str(name)))
