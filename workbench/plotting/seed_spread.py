"""The final score of every seed: how stable a way to fine-tune is, and which runs failed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from workbench.plotting import curves, frames, layout, style, tuning, words
from workbench.plotting.zero_shot_curve import ordered


def plot_seed_spread(
    data: pd.DataFrame,
    *,
    axes: Any = None,
    metric: str = "accuracy",
    split: str = "test",
    source: str | None = None,
    spread: str = "sd",
    theme: str = "light",
    width: float | None = None,
) -> np.ndarray:
    """Draw each seed's score after its last epoch as a dot, methods in rows.

    The upright tick is the mean, the line its spread. A failed run is a hollow dot with a cross: in
    the language trained on its final validation accuracy is no higher than that of always saying
    the most frequent class. The dotted line is that score in what the panel shows.

    Args:
        data: long frame of the records, ``step`` the epoch.
        source: language that was trained on; English, or the first that was measured.
    """
    parts, failed, level = _parts(data, metric, split, source)
    rows = words.order_methods(pd.concat(parts.values())["method"])
    height = 80 + (34 if failed is not None else 26) * len(rows)
    if axes is None:
        axes = layout.panels(
            len(parts), width=width, theme_name=theme, least=300, most=2, height=height
        )
        stacked = (style.WIDTH if width is None else width) < 600
    else:
        axes, stacked = layout.given(axes, len(parts)), False
    marks, look = style.method_marks(rows, theme), style.theme(theme)
    counts = []
    for number, (ax, (title, part)) in enumerate(zip(axes, parts.items(), strict=True)):
        summary = frames.summarise(part, ["method"], spread=spread).set_index("method")
        counts += [*summary["n"]]
        if level is not None:
            ax.axvline(level[title], color=look.muted, linewidth=1.2, linestyle=":")
        for y, method in enumerate(rows):
            if method in summary.index:
                _row(ax, y, part[part["method"] == method], summary.loc[method], failed,
                     marks[method], theme)  # fmt: skip
        ax.set_yticks(range(len(rows)))
        labels = [layout.safe(_label(method, failed)) for method in rows]
        ax.set_yticklabels(labels if number == 0 or stacked else [])
        ax.set_ylim(len(rows) - 0.4, -0.6)
        style.dress(ax, theme)
        if words.is_fraction(metric):
            ax.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.4g}%")
        ax.xaxis.set_major_locator(style.MaxNLocator(4))
        ax.margins(x=0.06)
        layout.panel_title(ax, title, theme, width=layout.beside(ax, labels) if stacked else None)
    last = pd.concat(parts.values())
    told = f"{words.scalar(metric)}, {split}, {tuning.at_epoch(last)}; {tuning.seeds(counts)}; "
    told += "dot: a seed; tick: mean"
    told += f"; line: {frames.SPREADS[spread]}" if max(counts) > 1 else ""
    told += "; dotted: always the most frequent class" if level is not None else ""
    if failed is not None:
        told += "; hollow with a cross: failed, validation no better than the most frequent class"
    layout.footnote(axes[0].figure, told, theme)
    return axes


def describe_seed_spread(
    data: pd.DataFrame,
    *,
    metric: str = "accuracy",
    split: str = "test",
    source: str | None = None,
    spread: str = "sd",
    **_: Any,
) -> str:
    """The mean with its spread in every panel, and how many runs failed."""
    parts, failed, _level = _parts(data, metric, split, source)
    said = []
    for title, part in parts.items():
        summary = frames.summarise(part, ["method"], spread=spread)
        each = [
            f"{words.method(row.method)} {curves.with_spread(metric, row)}"
            for row in summary.sort_values("mean", ascending=False).itertuples()
        ]
        said.append((f"{title}: " if title else "") + words.listing(each, 20))
    last = pd.concat(parts.values())
    counts = last.groupby("method")["seed"].nunique()
    name = words.scalar(metric)
    head = f"{name[0].upper()}{name[1:]} of every seed, {split}, {tuning.at_epoch(last)}, "
    text = f"{head}{tuning.seeds(counts)}. {'. '.join(said)}."
    if failed is not None:
        lost = [f"{words.method(m)} {_count(m, failed)}" for m in words.order_methods(counts.index)
                if failed[m].any()]  # fmt: skip
        total = sum(len(runs) for runs in failed.values())
        text += f" Failed runs: {words.listing(lost, 20) or f'none of {total}'}."
    return text


def failures(data: pd.DataFrame, source: str | None = None) -> dict[str, pd.Series] | None:
    """By method which seeds failed: final validation accuracy at or below the majority's share.

    ``None`` where this cannot be told, because no accuracy or no ``majority_share`` was measured.
    """
    try:
        level = frames.select(data, "majority_share", split="validation")
        scores = tuning.scores(data, "accuracy", "validation")
    except ValueError:
        return None
    if "subset" in scores.columns and scores["subset"].notna().any():
        held = list(scores["subset"].dropna().unique())
        first = ordered(scores, source)[0] if len(held) > 1 else held[0]
        scores = scores[scores["subset"] == first]
        level = level[level["subset"] == first]
    final = tuning.last(scores).set_index(["method", "seed"])["value"]
    share = level.groupby(["method", "seed"])["value"].first().reindex(final.index)
    if share.isna().all():
        return None
    lost = final <= share + 1e-12
    return {str(m): part.droplevel("method") for m, part in lost.groupby(level="method")}


def _parts(
    data: pd.DataFrame, metric: str, split: str, source: str | None
) -> tuple[dict[str, pd.DataFrame], dict[str, pd.Series] | None, dict[str, float] | None]:
    """Final scores by panel, the failed runs, and the majority's share by panel."""
    rows = tuning.last(tuning.scores(data, metric, split))
    parts = tuning.parts(rows, source)
    level = None
    if metric == "accuracy" and (data["name"] == "majority_share").any():
        shares = frames.select(data, "majority_share", split=split)
        where = {title: part.get("subset", pd.Series(dtype=str)) for title, part in parts.items()}
        level = {
            title: shares[shares["subset"].isin(held)]["value"].mean()
            if held.notna().any() else shares["value"].mean()
            for title, held in where.items()
        }  # fmt: skip
    return parts, failures(data, source), level


def _row(
    ax: Any, y: int, part: pd.DataFrame, mean: Any, failed: dict[str, pd.Series] | None,
    mark: style.Mark, theme: str,
) -> None:  # fmt: skip
    look = style.theme(theme)
    if np.isfinite(mean["low"]):
        ax.plot([mean["low"], mean["high"]], [y, y], color=mark.color, linewidth=1.8, zorder=2)
    ax.plot(mean["mean"], y, "|", color=mark.color, markersize=19, markeredgewidth=2.2, zorder=2.2)
    each = part.groupby("seed")["value"].mean()
    lost = pd.Series(False, index=each.index)
    if failed is not None and part["method"].iloc[0] in failed:
        lost = failed[part["method"].iloc[0]].reindex(each.index, fill_value=False)
    apart = np.linspace(-0.2, 0.2, len(each)) if len(each) > 1 else np.zeros(1)
    for (seed, value), shift in zip(each.items(), apart, strict=True):
        bad = bool(lost[seed])
        face, at = "none" if bad else mark.color, y + shift
        ax.plot(value, at, "o", color=mark.color, markerfacecolor=face, markersize=6, alpha=0.9,
                markeredgecolor=mark.color if bad else look.background, zorder=3)  # fmt: skip
        if bad:
            ax.plot(value, at, "x", color=look.foreground, markersize=10, zorder=3.2)


def _label(method: str, failed: dict[str, pd.Series] | None) -> str:
    named = words.method(method)
    return f"{named}\n{_count(method, failed)} failed" if failed and method in failed else named


def _count(method: str, failed: dict[str, pd.Series]) -> str:
    return f"{int(failed[method].sum())} of {len(failed[method])}"
