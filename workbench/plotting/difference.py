"""Two runs side by side with their difference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.ticker import FuncFormatter

from workbench.plotting import curves, frames, heatmap, layout, style, tuning, words
from workbench.plotting.families import LAYERED


def plot_difference(
    data: pd.DataFrame,
    *,
    axes: Any = None,
    left: str | None = None,
    right: str | None = None,
    by: str = "method",
    metric: str = "accuracy",
    split: str = "test",
    subset: str | None = None,
    estimator: str = "knn",
    density: float | None = None,
    spread: str = "range",
    theme: str = "light",
    width: float | None = None,
) -> np.ndarray:
    """Draw ``left``, ``right``, and ``right`` minus ``left``, in three panels.

    The two are values of the column ``by``: two methods, two keys of records, two settings. They
    may be left out if the column holds two. Seeds that both have are subtracted one by one before
    the mean is taken, so what a seed does to both cancels out. A scalar per layer and module
    (``weight_norm``, ...) gives heatmaps of the step nearest ``density``, others give curves:
    against remaining weights, or against epochs where nothing was pruned (no ``density`` in the
    data), whose last one the heatmaps show.
    """
    left, right = _sides(data, by, left, right)
    pair = [_rows(data[data[by] == s], metric, split, subset, estimator) for s in (left, right)]
    axes = (
        layout.panels(3, width=width, theme_name=theme, least=230, height=300)
        if axes is None
        else layout.given(axes, 3)
    )
    draw = _draw_layers if metric in LAYERED else _draw_curves
    shown: dict[str, Any] = dict(metric=metric, spread=spread, density=density, theme=theme)
    shown["epochs"] = not _is_pruned(data)
    draw(axes, pair, (left, right), **shown)
    minus = "\N{MINUS SIGN}"
    names = [_word(by, side) for side in (left, right)]
    for ax, title in zip(axes, (*names, f"{names[1]} {minus} {names[0]}"), strict=True):
        layout.panel_title(ax, title, theme)
    return axes


def describe_difference(
    data: pd.DataFrame,
    *,
    left: str | None = None,
    right: str | None = None,
    by: str = "method",
    metric: str = "accuracy",
    split: str = "test",
    subset: str | None = None,
    estimator: str = "knn",
    density: float | None = None,
    spread: str = "range",
    **_: Any,
) -> str:
    """One sentence with the difference at the last step."""
    left, right = _sides(data, by, left, right)
    pair = [_rows(data[data[by] == s], metric, split, subset, estimator) for s in (left, right)]
    start = f"{words.scalar(metric).capitalize()} of {_word(by, right)} minus {_word(by, left)}"
    if metric in LAYERED:
        tables = [_layer_table(part, density) for part in pair]
        cells = (tables[1] - tables[0]).stack()
        return f"{start} per layer and module type, from {cells.min():.3g} to {cells.max():.3g}."
    summary = frames.summarise(_minus(*pair), ["step"], spread=spread)
    last = summary.iloc[-1]
    value = _signed(metric, last["mean"])
    if np.isfinite(last["low"]):
        value += f" ({_signed(metric, last['low'])} to {_signed(metric, last['high'])})"
    note = frames.seeds_note(summary, spread)
    if not _is_pruned(data):
        return f"{start} per epoch: {value} after epoch {int(last['step'])}; {note}."
    at = words.percent(last["density"])
    return f"{start} against remaining weights: {value} at {at}; {note}."


def _is_pruned(data: pd.DataFrame) -> bool:
    """Whether steps have densities; else they are epochs."""
    return bool((data["name"] == "density").any())


def _sides(data: pd.DataFrame, by: str, left: Any, right: Any) -> tuple[Any, Any]:
    frames.require(data, [*frames.LONG, by])
    held = list(dict.fromkeys(data[by].dropna()))
    held = words.order_methods(held) if by == "method" else held
    if left is None and right is None and len(held) == 2:
        return held[0], held[1]
    for side in (left, right):
        if side not in held:
            raise ValueError(
                f"{by}={side!r} is not in the data; name two of: {words.listing(held, 20)}"
            )
    if left == right:
        raise ValueError(f"left and right are both {left!r}; their difference is 0 everywhere")
    return left, right


def _rows(
    data: pd.DataFrame, metric: str, split: str, subset: str | None, estimator: str
) -> pd.DataFrame:
    if metric in LAYERED:
        return _placed(data, metric, ["layer", "module"], {})
    labels: dict[str, Any] = dict(split=split, subset=subset, phase="after")
    if metric == "mutual_information":
        labels |= dict(estimator=estimator, role="estimate")
    rows = frames.select(data, metric)
    if "split" in rows.columns and not (rows["split"] == split).any():
        labels["split"] = None  # measured on one split only
    return _placed(data, metric, ["subset"], labels)


def _placed(data: pd.DataFrame, metric: str, by: list[str], labels: dict[str, Any]) -> pd.DataFrame:
    """Rows with a density: that of their step, or 1 throughout where nothing was pruned."""
    if _is_pruned(data):
        return frames.against_density(data, metric, by=by, **labels)
    rows = frames.select(data, metric, **labels)
    by = [column for column in by if column in rows.columns]
    return frames.unique(rows, ["method", "seed", "step", *by], metric).assign(density=1.0)


def _minus(left: pd.DataFrame, right: pd.DataFrame) -> pd.DataFrame:
    """``right`` minus ``left`` by seed and step; by step alone if they share no seed."""
    both = set(left["seed"]) & set(right["seed"])
    keys = ["seed", "step"] if both else ["step"]
    one, two = (part.groupby(keys)[["value", "density"]].mean() for part in (left, right))
    steps = one.add_suffix("_left").join(two.add_suffix("_right"), how="inner").reset_index()
    if steps.empty:
        raise ValueError("the two have no step in common, so they cannot be subtracted")
    steps["value"] = steps["value_right"] - steps["value_left"]
    steps["density"] = steps[["density_left", "density_right"]].min(axis=1)
    return steps if both else steps.assign(seed=0)


def _draw_curves(
    axes: np.ndarray, pair: list[pd.DataFrame], sides: tuple[Any, Any], *,
    metric: str, spread: str, density: float | None, epochs: bool, theme: str,
) -> None:  # fmt: skip
    look = style.theme(theme)
    reach = []
    for ax, part in zip(axes, pair, strict=False):
        # The two may be of one method: each is drawn alone, in its method's look.
        one = tuning.draw if epochs else curves.draw
        _, summary = one(ax, part, metric, spread=spread, theme=theme)
        reach += [summary["mean"], summary["low"], summary["high"]]
    every = pd.concat(reach).dropna()
    pad = 0.06 * (every.max() - every.min()) or 0.05
    for ax in axes[:2]:
        ax.set_ylim(every.min() - pad, every.max() + pad)
    summary = frames.summarise(_minus(*pair), ["step"], spread=spread)
    ax = axes[2]
    ax.axhline(0, color=look.muted, linewidth=1.2)
    along = summary["step" if epochs else "density"]
    ax.plot(along, summary["mean"], "-o", color=look.foreground, markersize=4)
    if summary["low"].notna().any():
        shown = dict(color=look.foreground, alpha=0.18, lw=0)
        ax.fill_between(along, summary["low"], summary["high"], **shown)
    xlabel = tuning.XLABEL
    if epochs:
        ax.xaxis.set_major_locator(style.MaxNLocator(integer=True))
    else:
        every = curves.shares(pair[0])
        style.density_axis(ax, along, every=every)
        xlabel = curves.XLABEL + ("\n(of all parameters)" if every else "")
    bound = 1.15 * float(np.nanmax(np.abs(summary[["mean", "low", "high"]].to_numpy()))) or 1e-3
    ax.set_ylim(-bound, bound)
    if words.is_fraction(metric):
        ax.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{100 * v:+.3g}" if v else "0"))
        ax.set_ylabel("difference in percentage points")
    else:
        ax.set_ylabel("difference")
    axes[0].set_ylabel(words.scalar(metric))
    for ax in axes:
        ax.set_xlabel(xlabel)
        style.dress(ax, theme)
    note = frames.seeds_note(summary, spread)
    layout.footnote(axes[0].figure, note, theme)


def _layer_table(rows: pd.DataFrame, density: float | None) -> pd.DataFrame:
    rows = frames.nearest(rows, density)
    table = rows.pivot_table(index="layer", columns="module", values="value", aggfunc="mean")
    return table.loc[words.order_layers(table.index), words.order_modules(table.columns)]


def _draw_layers(
    axes: np.ndarray, pair: list[pd.DataFrame], sides: tuple[Any, Any], *,
    metric: str, spread: str, density: float | None, epochs: bool, theme: str,
) -> None:  # fmt: skip
    look = style.theme(theme)
    one, two = (_layer_table(part, density) for part in pair)
    norm, percent = heatmap.scale(one, two), words.is_fraction(metric)
    for ax, table in zip(axes, (one, two), strict=False):
        image = heatmap.draw(ax, table, norm=norm, cmap=look.sequential, theme=theme)
    heatmap.colorbar(image, list(axes[:2]), words.scalar(metric), theme, percent=percent)
    minus = two - one
    norm = heatmap.scale(minus, balanced=True)
    image = heatmap.draw(axes[2], minus, norm=norm, cmap=look.signed, theme=theme)
    heatmap.colorbar(image, list(axes[2:]), "difference", theme, percent=percent)
    for ax in axes:
        ax.tick_params(axis="x", rotation=90)
    axes[0].set_ylabel("layer")
    held = [part["seed"].nunique() for part in pair]
    told = tuning.mean_over(held) + (", last epoch" if epochs else "")
    layout.footnote(axes[0].figure, told, theme)


def _word(by: str, value: Any) -> str:
    return words.method(value) if by == "method" else f"{by} {value}"


def _signed(name: str, value: float) -> str:
    return f"{100 * value:+.1f} points" if words.is_fraction(name) else f"{value:+.3g}"
