"""What a method gains over another in every language: Figure 10.3."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from workbench.metrics.contrasts import paired_interval
from workbench.metrics.resources import CC100_GIB, by_data
from workbench.plotting import layout, style, tuning, words
from workbench.plotting.zero_shot_curve import ordered

MEAN = "zero-shot mean"
ORDERS = {"pretraining data": "text in CC-100, most first", "gain": "gain, highest first"}
MOST = 6  # methods drawn unless they are named


def plot_language_gain(
    data: pd.DataFrame,
    *,
    axes: Any = None,
    metric: str = "accuracy",
    split: str = "test",
    against: str = tuning.CONTROL,
    methods: Sequence[str] | None = None,
    source: str | None = None,
    order: str = "pretraining data",
    theme: str = "light",
    width: float | None = None,
) -> np.ndarray:
    """Draw each method's gain over ``against`` by language: mean over seeds with its interval.

    Runs are paired by seed at the last epoch that both have; the interval is Student's 95% interval
    of the paired differences. A triangle to the right is a gain, to the left a loss, full where the
    interval leaves zero. The language trained on stands on top, the mean of all others at the
    bottom.

    Args:
        data: long frame of the records, ``step`` the epoch.
        against: the method that the others are compared with.
        methods: one panel each; by default all others, or a few of many, and a note names the rest.
        order: of the languages: ``"pretraining data"`` (those with little text in CC-100 last) or
            ``"gain"`` (highest mean over the methods first).
    """
    table, epoch = gains(data, metric, split, against, source)
    chosen = _chosen(table, methods)
    rows = _ordered(table[table["method"].isin(chosen)], order)
    owned = axes is None
    axes = (
        layout.panels(
            len(chosen), width=width, theme_name=theme, least=200 if len(chosen) > 1 else 300,
            most=4, height=70 + 21 * len(rows), sharex=True, sharey=True,
        )
        if axes is None
        else layout.given(axes, len(chosen))
    )  # fmt: skip
    shown = table[table["method"].isin(chosen)]
    low, high, cut = _reach(shown)
    for ax, method in zip(axes, chosen, strict=True):
        own = shown[shown["method"] == method].set_index("subset")
        _panel(ax, [own.loc[s] if s in own.index else None for s in rows], theme)
        ax.set_yticks(range(len(rows)), [layout.safe(_label(s)) for s in rows])
        ax.set_ylim(len(rows) - 0.4, -0.6)
        ax.set_xlim(low, high)
        style.dress(ax, theme, grid="x")
        ax.xaxis.set_major_locator(style.MaxNLocator(4))
        layout.panel_title(ax, words.method(method), theme)
    unit = "percentage points" if words.is_fraction(metric) else words.scalar(metric)
    if owned:
        known = any(s in CC100_GIB for s in rows)
        told = (
            f"Gain over {words.method(against)}, {words.scalar(metric)}, {split}, {unit}, {epoch}: "
            f"mean of {_pairs(shown)}. Triangle right: gain, left: loss, circle: none; full: "
            f"the interval leaves zero, hollow: undecided. Languages by {ORDERS[order]}."
        )
        told += " In brackets: GiB of text in CC-100, XLM-R's pretraining data." if known else ""
        told += " Intervals are cut at the edge." if cut else ""
        told += words.others(set(table["method"]), chosen, "not drawn").replace("; not", " Not")
        layout.footnote(axes[0].figure, told, theme)
    return axes


def describe_language_gain(
    data: pd.DataFrame,
    *,
    metric: str = "accuracy",
    split: str = "test",
    against: str = tuning.CONTROL,
    methods: Sequence[str] | None = None,
    source: str | None = None,
    **_: Any,
) -> str:
    """One clause per method: the mean of all others, and where it gains most and least."""
    table, epoch = gains(data, metric, split, against, source)
    said = []
    for method in _chosen(table, methods):
        own = table[table["method"] == method].set_index("subset")
        mean, each = own.loc[MEAN], own[~own["trained"]].drop(index=MEAN)
        most, least = each["mean"].idxmax(), each["mean"].idxmin()
        said.append(
            f"{words.method(method)} {_signed(mean['mean'])}{_interval(mean)} in the {MEAN}, from "
            f"{_signed(each['mean'][least])} in {words.language(least)} to "
            f"{_signed(each['mean'][most])} in {words.language(most)}"
        )
    return (
        f"Gain of {words.scalar(metric)} over {words.method(against)}, times 100, {split}, "
        f"{epoch}, mean of {_pairs(table)}: {words.listing(said)}."
    )


def gains(
    data: pd.DataFrame, metric: str, split: str, against: str, source: str | None = None
) -> tuple[pd.DataFrame, str]:
    """Paired gains times 100 with 95% intervals, and the epoch they are of.

    Columns method, subset (:data:`MEAN` for the mean of all but the source), trained (whether it is
    the source), mean, low, high, n.
    """
    rows = tuning.scores(data, metric, split)
    first, *_ = ordered(rows, source)
    both = tuning.last(tuning.gained(rows, against))
    both = both.assign(gain=100 * both["value"])
    others = both[both["subset"] != first]
    mean = others.groupby(["method", "seed"], as_index=False)["gain"].mean().assign(subset=MEAN)
    made = []
    for (method, subset), part in pd.concat([both, mean]).groupby(["method", "subset"], sort=False):
        found = paired_interval(part["gain"].to_numpy())
        made.append((method, subset, subset == first, *found))
    columns = ["method", "subset", "trained", "mean", "low", "high", "n"]
    return pd.DataFrame(made, columns=columns), tuning.at_epoch(both)


def _chosen(table: pd.DataFrame, methods: Sequence[str] | None) -> list[str]:
    held = words.order_methods(table["method"])
    if methods is None:
        return words.focus(held, MOST)
    if missing := [m for m in methods if m not in held]:
        raise ValueError(f"no gains of {words.listing(missing)}; there are: {words.listing(held)}")
    return list(methods)


def _ordered(table: pd.DataFrame, order: str) -> list[str]:
    """The source, the others in order, their mean."""
    if order not in ORDERS:
        raise ValueError(f"unknown order {order!r}; choose one of {', '.join(ORDERS)}")
    source = list(table.loc[table["trained"], "subset"].unique())
    rest = [s for s in table["subset"].unique() if s not in (*source, MEAN)]
    mean = table.groupby("subset")["mean"].mean()
    rest = sorted(rest, key=lambda s: -mean[s]) if order == "gain" else by_data(rest)
    return [*source, *rest, MEAN]


def _panel(ax: Any, rows: Sequence[Any], theme: str) -> None:
    look = style.theme(theme)
    ax.axvline(0, color=look.foreground, linewidth=1.2)
    for place in (0.5, len(rows) - 1.5):  # the source above, the mean below
        ax.axhline(place, color=look.muted, linewidth=0.7, linestyle=":")
    for y, row in enumerate(rows):
        if row is None:
            continue
        sign = int(np.sign(np.round(row["mean"], 9)))
        color = {1: look.blue, -1: style.OKABE_ITO["vermillion"], 0: look.muted}[sign]
        known = np.isfinite([row["low"], row["high"]]).all()
        sure = known and (row["low"] > 0 or row["high"] < 0)
        if known:
            ax.plot([row["low"], row["high"]], [y, y], color=color, linewidth=2.0)
        face = color if sure else look.background
        ax.plot(row["mean"], y, "o><"[sign], color=color, markerfacecolor=face, markersize=7)


def _reach(table: pd.DataFrame) -> tuple[float, float, bool]:
    """Limits that hold all means, zero and most intervals; whether an interval is cut.

    Two seeds have intervals of twelve standard errors, beside which nothing else could be seen.
    """
    ends = table[["low", "high"]].replace([np.inf, -np.inf], np.nan)
    means = table["mean"]
    most = max(1.6 * float(means.abs().max()), 0.5)
    low = max(min(0.0, float(means.min()), float(ends["low"].min())), -most)
    high = min(max(0.0, float(means.max()), float(ends["high"].max())), most)
    low, high = np.nanmin([low, 0.0, means.min()]), np.nanmax([high, 0.0, means.max()])
    pad = 0.07 * ((high - low) or 1.0)
    cut = bool((ends["low"] < low - pad).any() or (ends["high"] > high + pad).any())
    return float(low - pad), float(high + pad), cut


def _label(subset: str) -> str:
    size = CC100_GIB.get(subset)
    return words.language(subset) + (f" ({size:g})" if size else "")


def _pairs(table: pd.DataFrame) -> str:
    low, high = int(table["n"].min()), int(table["n"].max())
    if high == 1:
        return "one seed (n = 1), so no interval is shown"
    count = f"{high}" if low == high else f"{low} to {high}"
    return f"{count} seeds with the paired 95% interval"


def _signed(value: float) -> str:
    return f"{value:+.1f}".replace("-", "\N{MINUS SIGN}")


def _interval(row: Any) -> str:
    if not np.isfinite([row["low"], row["high"]]).all():
        return ""
    return f" ({_signed(row['low'])} to {_signed(row['high'])})"
