"""Chapter 8's tables beside our runs: one network at one share of its size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from workbench.plotting import compression, frames, layout, style, words

MARKS = {
    "copied": "the same as another cell",
    "conflict": "another cell says otherwise",
    "label": "the share may be another",
    "order": "better with more removed",
    "outlier": "far from all others",
}
PRINTED = {"one_shot": "no", "after": "yes"}
NEAR = 0.06  # two shares that stand in one figure


def plot(
    data: pd.DataFrame,
    reported: pd.DataFrame,
    *,
    axes: Any,
    metric: str,
    split: str,
    density: float | None,
    model: str | None,
    measure: str | None,
    phase: str | None,
    names: Mapping[str, str] | None,
    scope: str,
    spread: str,
    theme: str,
    width: float | None,
) -> np.ndarray:
    """Draw what :func:`workbench.plotting.plot_reported` documents, for records of chapter 8."""
    ours, theirs, told = both(
        data, reported, metric, split, density, model, measure, phase, names, scope, spread
    )
    order = rows_of(ours, theirs)
    width = style.WIDTH if width is None else width
    stacked = axes is None and width < 500
    if axes is None:
        height = 100 + 26 * len(order)
        axes = layout.panels(2, width=width, theme_name=theme, least=250, height=height)
    else:
        axes = layout.given(axes, 2)
    place = {row: len(order) - 1 - number for number, row in enumerate(order)}
    marks, look = compression.looks({"": order[: compression.MOST]}, theme), style.theme(theme)
    plain = style.Mark(look.muted, "o", "-")
    for row, one in ours.iterrows():
        mark, y = marks.get(row, plain), place[row]
        if np.isfinite(one["low"]):
            axes[0].plot([one["low"], one["high"]], [y, y], color=mark.color, linewidth=2.5)
        axes[0].plot(one["mean"], y, mark.marker or "o", color=mark.color, markersize=7)
    for row, value, doubt in zip(theirs.index, theirs["value"], theirs["mark"], strict=True):
        mark, y = marks.get(row, plain), place[row]
        axes[1].plot(
            value, y, mark.marker or "o", markersize=7, color=mark.color, markerfacecolor="none",
            markeredgewidth=1.6,
        )  # fmt: skip
        if doubt:
            axes[1].plot(value, y, "x", color=look.foreground, markersize=12)
    for number, (ax, title) in enumerate(zip(axes, told, strict=True)):
        ax.set_yticks(list(place.values()))
        labels = [layout.safe(compression.method(row)) for row in place]
        ax.set_yticklabels(labels if number == 0 or stacked else [])
        ax.set_ylim(-0.6, len(order) - 0.4)
        _axis(ax, metric)
        style.dress(ax, theme)
        layout.panel_title(ax, title, theme, width=layout.beside(ax, labels) if stacked else None)
    name, _, side = words.direction(metric).partition(" (")
    axes[0].set_xlabel(f"{name}, {split}\n({side}")
    axes[1].set_xlabel(f"reported {words.scalar(metric)}")
    notes = [f"cross: the printed cell is in doubt ({doubts})" for doubts in _doubts(theirs)]
    notes += _elsewhere(theirs)
    if notes:
        layout.footnote(axes[0].figure, "; ".join(notes), theme)
    return axes


def describe(data: pd.DataFrame, reported: pd.DataFrame, metric: str, **options: Any) -> str:
    """One sentence with both numbers of every row, and which printed cells are in doubt."""
    ours, theirs, told = both(data, reported, metric, **options)
    said = []
    for row in rows_of(ours, theirs):
        one = words.number(metric, ours.loc[row, "mean"]) if row in ours.index else "not run"
        cells = theirs[theirs.index == row]
        printed = [
            words.number(metric, value) + (f" (in doubt: {MARKS.get(mark, mark)})" if mark else "")
            for value, mark in zip(cells["value"], cells["mark"], strict=True)
        ]
        said.append(
            f"{compression.method(row)} {one} here, {' and '.join(printed) or 'not'} reported"
        )
    name = words.scalar(metric)
    return f"{name.capitalize()}, {'; '.join(told)}: {words.listing(said, 30)}."


def both(
    data: pd.DataFrame, reported: pd.DataFrame, metric: str, split: str, density: float | None,
    model: str | None, measure: str | None, phase: str | None, names: Mapping[str, str] | None,
    scope: str, spread: str,
) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:  # fmt: skip
    """Ours and theirs by row of the figure, and what the two panels are."""
    wanted = ["table", "method", "density", "model", "measure", "retraining", "metric", "value"]
    frames.require(reported, [*wanted, "mark"])
    table = words.listing(sorted(reported["table"].astype(str).unique()))
    if "," in table:
        raise ValueError(f"reported holds the tables {table}; give one of them")
    theirs = reported[(reported["metric"] == metric) & reported["value"].notna()]
    if theirs.empty:
        held = words.listing(sorted(reported["metric"].unique()))
        raise ValueError(f"Table {table} reports {held}, not {metric}; name metric=")
    retrained = set(theirs["retraining"])
    if phase is None:
        phase = "after" if "yes" in retrained else "one_shot"
    if phase not in compression.PHASES:
        raise ValueError(f"unknown phase {phase!r}; choose one of {', '.join(compression.PHASES)}")
    control = theirs["method"] == compression.CONTROL  # printed once, for both
    theirs = theirs[(theirs["retraining"] == PRINTED[phase]) | control]
    theirs = _chosen(theirs, "model", model or theirs["model"].iloc[0], table)
    control = theirs["method"] == compression.CONTROL
    if measure is not None:
        _chosen(theirs, "measure", measure, table)
        theirs = theirs[(theirs["measure"] == measure) | control]
    fewer = theirs[theirs["method"] != compression.CONTROL]
    if fewer.empty:
        raise ValueError(f"Table {table} has nothing {compression.PHASES[phase]} of that network")
    shares = fewer["density"].astype(float)
    if density is None:
        density = 0.5 if (shares == 0.5).any() else float(shares.min())
    gap = (theirs["density"].astype(float) - density).abs().round(9)
    near = gap.sort_values(kind="stable")[lambda far: far <= NEAR].index  # of two, the first
    theirs = pd.concat([theirs[theirs["method"] == compression.CONTROL], theirs.loc[near]])
    theirs = theirs.drop_duplicates(["method", "measure"])
    if near.empty:
        held = words.listing([words.percent(s) for s in sorted(set(shares), reverse=True)])
        raise ValueError(f"Table {table} has nothing near {words.percent(density)}; it has: {held}")
    scale = 100 if words.is_fraction(metric) else 1
    rows = [(names or {}).get(row, row) for row in map(_row, theirs["method"], theirs["measure"])]
    theirs = pd.DataFrame(
        {
            "value": theirs["value"].astype(float).to_numpy() / scale,
            "mark": theirs["mark"].fillna("").astype(str).to_numpy(),
            "share": theirs["density"].astype(float).to_numpy(),
        },
        index=rows,
    )
    scores = compression.scores(data, metric, split, scope)
    scores = scores[scores["phase"] == phase]
    if scores.empty:
        raise ValueError(f"{metric!r} was not measured {compression.PHASES[phase]}")
    kept = frames.nearest(scores, density)
    ours = compression.summarise(kept.assign(step=0), metric, spread).set_index("method")
    counts = ours["n"].astype(int)
    seeds = f"{counts.min()} to {counts.max()}" if counts.min() < counts.max() else counts.max()
    seeds = "one seed" if counts.max() == 1 else f"{seeds} seeds"
    at = f"at {words.percent(density)} of the size, {compression.PHASES[phase]}"
    name = model or str(reported["model"].iloc[0])
    return (
        ours,
        theirs,
        [f"measured here, {at}, {seeds}", f"reported in Table {table}, {name}, {at}"],
    )


def rows_of(ours: pd.DataFrame, theirs: pd.DataFrame) -> list[str]:
    """Rows of the figure: the control, what both have, what only they have, what only we have."""
    printed = list(dict.fromkeys(theirs.index))
    shared = [row for row in printed if row in ours.index]
    rest = [row for row in printed if row not in ours.index]
    order = [*shared, *rest, *words.order_methods(set(ours.index) - set(printed))]
    return sorted(order, key=lambda row: row != compression.CONTROL)


def _row(method: str, measure: Any) -> str:
    """A printed row: ``"mean (WS)"``, or the method alone."""
    return method if pd.isna(measure) or not measure else f"{method} ({measure})"


def _chosen(rows: pd.DataFrame, column: str, wanted: str, table: str) -> pd.DataFrame:
    kept = rows[rows[column] == wanted]
    if kept.empty:
        held = words.listing(list(rows[column].dropna().unique()))
        raise ValueError(f"Table {table} has no {column} {wanted!r}; it has: {held or 'none'}")
    return kept


def _doubts(theirs: pd.DataFrame) -> list[str]:
    """The rows in doubt, and why, in one text; nothing if there are none."""
    why: dict[str, list[str]] = {}
    for row, mark in zip(theirs.index, theirs["mark"], strict=True):
        if mark:
            why.setdefault(MARKS.get(mark, mark), []).append(str(row))
    said = "; ".join(f"{words.listing(rows)}: {reason}" for reason, rows in why.items())
    return [said] if said else []


def _elsewhere(theirs: pd.DataFrame) -> list[str]:
    """The rows that were printed for another share than most."""
    pruned = theirs[theirs.index != compression.CONTROL]
    usual = pruned["share"].mode().iloc[0]
    other = pruned[pruned["share"] != usual]
    return [f"{row} is printed for {words.percent(one)}" for row, one in other["share"].items()]


def _axis(ax: Axes, metric: str) -> None:
    """The x axis of a score: percent, or a logarithm."""
    if not words.is_logarithmic(metric):
        ax.xaxis.set_major_formatter(lambda value, _: f"{100 * value:g}%")
        ax.xaxis.set_major_locator(style.MaxNLocator(4))
        ax.margins(x=0.12)
        return
    ax.set_xscale("log")
    ax.margins(x=0.12)
    compression.round_ticks(ax.xaxis, *ax.get_xlim(), most=4)
