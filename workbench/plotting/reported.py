"""Our numbers beside those that the thesis reports, never on one axis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from workbench.plotting import compression, frames, layout, reported_fusion, style, tuning, words
from workbench.plotting.zero_shot_curve import ordered

ZERO_SHOT = "zero-shot"


def plot_reported(
    data: pd.DataFrame,
    *,
    reported: pd.DataFrame,
    axes: Any = None,
    metric: str = "accuracy",
    split: str = "test",
    subset: str | None = None,
    density: float | None = None,
    task: str | None = None,
    score: str | None = None,
    model: str | None = None,
    measure: str | None = None,
    phase: str | None = None,
    names: Mapping[str, str] | None = None,
    scope: str = "compressible",
    spread: str = "range",
    theme: str = "light",
    width: float | None = None,
) -> np.ndarray:
    """Draw our scores (left) and the reported ones (right), methods in rows.

    The two come from other models, data and budgets: compare the order of the methods, not the
    numbers. Reported values are hollow; a cross marks a cell that is known to be inconsistent.

    Args:
        data: long frame of the records.
        reported: the rows of one table as in ``data/thesis``: table, method, density, task,
            metric, value (percent) and mark (text where a cell is in doubt).
        subset: one domain or language of ours; all of them together by default. In records of
            chapter 10 the same is taken of the reported table, where it has languages, and
            ``"zero-shot"`` is the mean of all but the language trained on.
        density: our step nearest to it is shown; by default the lowest density reported. Records
            without density show the last epoch.
        task, score: which column of the table, such as ``"SST-2"`` and ``"accuracy"``; its
            average by default.
        model, measure: which rows of chapter 8's tables; the first model, and all measures.
        phase: of chapter 8: scores without retraining (``"one_shot"``) or with it (``"after"``);
            by default with it, where that was printed. The share drawn is 50% where it was printed.
        names: of chapter 8: printed row (``"mean (WS)"``) -> our method, so that both stand in one
            row.
        scope: of chapter 8: bytes of the ``"compressible"`` layers or of ``"all"``.
    """
    if _fuses(data):
        return reported_fusion.plot(
            data, reported, axes=axes, metric=metric, split=split, density=density, model=model,
            measure=measure, phase=phase, names=names, scope=scope, spread=spread, theme=theme,
            width=width,
        )  # fmt: skip
    ours, theirs, source = _both(
        data, reported, metric, split, subset, density, task, score, spread
    )
    order = words.order_methods([*ours.index, *theirs.index])
    place = {method: len(order) - 1 - row for row, method in enumerate(order)}
    height = 110 + 30 * len(order)
    if axes is None:
        width = style.WIDTH if width is None else width
        axes = layout.panels(2, width=width, theme_name=theme, least=250, height=height)
        stacked = width < 500
    else:
        axes, stacked = layout.given(axes, 2), False
    marks, look = style.method_marks(order, theme), style.theme(theme)
    for method, row in ours.iterrows():
        mark, y = marks[method], place[method]
        if np.isfinite(row["low"]):
            axes[0].plot([row["low"], row["high"]], [y, y], color=mark.color, linewidth=2.5)
        axes[0].plot(row["mean"], y, mark.marker or "o", color=mark.color, markersize=7)
    for method, row in theirs.iterrows():
        mark, y = marks[method], place[method]
        axes[1].plot(
            row["value"] / 100, y, mark.marker or "o", markersize=7, color=mark.color,
            markerfacecolor="none", markeredgewidth=1.6,
        )  # fmt: skip
        if row["doubt"]:
            axes[1].plot(row["value"] / 100, y, "x", color=look.foreground, markersize=12)
    at = _at(data, metric, split, ours)
    counts = ours["n"].astype(int)
    seeds = "one seed" if counts.max() == 1 else f"{counts.min()} seeds or more"
    seeds = "1 seed or more" if counts.min() == 1 < counts.max() else seeds
    seeds = f"{counts.max()} seeds" if counts.min() == counts.max() > 1 else seeds
    titles = [f"measured here, {at}, {seeds}", f"reported in {source}"]
    if theirs["doubt"].any():
        titles[1] += "\n(cross: the printed cell is in doubt)"
    for number, (ax, title) in enumerate(zip(axes, titles, strict=True)):
        ax.set_yticks(list(place.values()))
        labels = [layout.safe(words.method(method)) for method in place]
        ax.set_yticklabels(labels if number == 0 or stacked else [])
        ax.set_ylim(-0.6, len(order) - 0.4)
        style.dress(ax, theme)
        ax.xaxis.set_major_formatter(lambda value, _: f"{100 * value:g}%")
        ax.xaxis.set_major_locator(style.MaxNLocator(4))
        ax.margins(x=0.12)
        layout.panel_title(ax, title, theme, width=layout.beside(ax, labels) if stacked else None)
    where = f", {words.language(subset)}" if subset else ""
    axes[0].set_xlabel(f"{words.scalar(metric)}, {split}{where}")
    axes[1].set_xlabel("reported score")
    return axes


def describe_reported(
    data: pd.DataFrame,
    *,
    reported: pd.DataFrame,
    metric: str = "accuracy",
    split: str = "test",
    subset: str | None = None,
    density: float | None = None,
    task: str | None = None,
    score: str | None = None,
    model: str | None = None,
    measure: str | None = None,
    phase: str | None = None,
    names: Mapping[str, str] | None = None,
    scope: str = "compressible",
    spread: str = "range",
    **_: Any,
) -> str:
    """One sentence with both numbers of every method."""
    if _fuses(data):
        options: dict[str, Any] = dict(
            split=split, density=density, model=model, measure=measure, phase=phase, names=names,
            scope=scope, spread=spread,
        )  # fmt: skip
        return reported_fusion.describe(data, reported, metric, **options)
    ours, theirs, source = _both(
        data, reported, metric, split, subset, density, task, score, spread
    )
    said = []
    for method in words.order_methods([*ours.index, *theirs.index]):
        one = words.number(metric, ours.loc[method, "mean"]) if method in ours.index else "not run"
        printed = [f"{value:.1f}" for value in theirs["value"][theirs.index == method]]
        two = " and ".join(printed) or "not reported"
        said.append(f"{words.method(method)} {one} here, {two} in {source}")
    return f"{words.scalar(metric).capitalize()} beside reported scores: {words.listing(said, 20)}."


def _fuses(data: pd.DataFrame) -> bool:
    """Whether the records are those of chapter 8, which count bytes instead of weights."""
    return compression.SHARE in {*data.get("name", ())}


def _both(
    data: pd.DataFrame, reported: pd.DataFrame, metric: str, split: str, subset: str | None,
    density: float | None, task: str | None, score: str | None, spread: str,
) -> tuple[pd.DataFrame, pd.DataFrame, str]:  # fmt: skip
    """Ours and theirs by method, and where theirs were printed."""
    if len(data) and "density" not in {*data.get("name", ["density"])}:
        return _tuned(data, reported, metric, split, subset, task, score, spread)
    known = [*words.METHODS, *data["method"].unique()] if "method" in data else words.METHODS
    theirs, source = _column(reported[reported["method"].isin(known)], task, score)
    pruned = theirs[theirs["density"] < 1]
    density = float(pruned["density"].min()) if density is None and len(pruned) else density
    labels = dict(split=split, subset=subset, phase="after")
    rows = frames.against_density(data, metric, by=["subset"], **labels)
    ours = frames.summarise(frames.nearest(rows, density), ["method"], spread=spread)
    theirs = theirs[theirs["method"].isin([*ours["method"], *words.METHODS])]
    if theirs.empty:
        raise ValueError(f"none of the methods run here is reported in {source}")
    if theirs["method"].duplicated().any():
        raise ValueError(f"several values for one method in {source}; name score= as well")
    theirs = _doubted(theirs)
    return ours.set_index("method"), theirs.set_index("method")[["value", "doubt"]], source


def _tuned(
    data: pd.DataFrame, reported: pd.DataFrame, metric: str, split: str, subset: str | None,
    task: str | None, score: str | None, spread: str,
) -> tuple[pd.DataFrame, pd.DataFrame, str]:  # fmt: skip
    """The same of chapter 10's records: the last epoch, and the same languages of the table.

    What the tables call ``none``, fine-tuning as usual, is ``standard`` here.
    """
    rows = tuning.last(tuning.scores(data, metric, split))
    frames.require(reported, ["table", "row", "method", "language"])
    reported = reported.assign(method=reported["method"].replace("none", tuning.CONTROL))
    reported = reported[reported["method"].isin([*words.TUNING, *rows["method"].unique()])]
    first, *others = ordered(rows, None) if subset == ZERO_SHOT else [subset]
    if subset is None:
        theirs, source = _column(reported, task, score)
        if theirs["row"].duplicated().any():  # of one row; some methods have two rows
            raise ValueError(f"several values for one method in {source}; name score= as well")
    else:
        held = reported[~reported["language"].isin(["avg", "all"]) & reported["value"].notna()]
        chosen = held[held["language"] == first]
        if subset == ZERO_SHOT:
            chosen, rows = held[held["language"] != first], rows[rows["subset"] != first]
        else:
            rows = rows[rows["subset"] == subset]
        table = words.listing(list(reported["table"].unique()))
        if chosen.empty or rows.empty:
            raise ValueError(f"Table {table} and these runs have no {subset!r} in common")
        source = f"Table {table}, {words.language(subset)}"
        chosen = chosen.assign(value=chosen["value"].astype(float), mark=chosen["mark"].fillna(""))
        each = chosen.groupby(["row", "method"], sort=False)
        theirs = each.agg(value=("value", "mean"), mark=("mark", "max")).reset_index()
    if theirs.empty:
        raise ValueError(f"none of the methods run here is reported in {source}")
    ours = frames.summarise(rows, ["method"], spread=spread)
    theirs = _doubted(theirs).set_index("method")[["value", "doubt"]]
    return ours.set_index("method"), theirs, source


def _doubted(theirs: pd.DataFrame) -> pd.DataFrame:
    """``theirs`` with numbers as numbers, and whether the printed cell is in doubt."""
    doubt = theirs["mark"].fillna("").astype(str).str.strip() != ""
    return theirs.assign(doubt=doubt, value=theirs["value"].astype(float))


def _at(data: pd.DataFrame, metric: str, split: str, ours: pd.DataFrame) -> str:
    if "density" in ours:
        return f"at {words.percent(float(ours['density'].min()))}"
    return tuning.at_epoch(tuning.last(tuning.scores(data, metric, split)))


def _column(
    reported: pd.DataFrame, task: str | None, score: str | None
) -> tuple[pd.DataFrame, str]:
    """One column of one table of the thesis, and its name."""
    frames.require(reported, ["table", "method", "density", "task", "metric", "value", "mark"])
    tables = sorted(reported["table"].astype(str).unique())
    if len(tables) > 1:
        raise ValueError(f"reported holds the tables {words.listing(tables)}; give one of them")
    if task is None and score is None:
        score = "mean"
    kept = reported
    for column, wanted in (("task", task), ("metric", score)):
        if wanted is not None:
            kept = kept[kept[column] == wanted]
    kept = kept[kept["value"].notna()]
    if kept.empty:
        held = [f"{t} ({m})" for t, m in reported.groupby(["task", "metric"], sort=False).groups]
        raise ValueError(
            f"Table {tables[0]} has no column task={task!r}, score={score!r}; it has: "
            f"{words.listing(held, 30)}"
        )
    name = f"Table {tables[0]}, {words.listing(list(kept['task'].unique()))}"
    pruned = kept["density"][kept["density"] < 1]
    return kept, name if pruned.empty else f"{name}, at {words.percent(float(pruned.min()))}"
