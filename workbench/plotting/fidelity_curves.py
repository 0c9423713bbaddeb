"""Fidelity to the teacher and class separability against remaining weights: Figure 11.4."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from workbench.plotting import curves, frames, layout, style, words

MEASURES = ("mutual_information", "snr", "cka")
SEPARABILITY = ("snr", "silhouette", "fisher_ratio", "nearest_centroid")


def plot_fidelity_curve(
    data: pd.DataFrame,
    *,
    ax: Axes | None = None,
    measure: str = "mutual_information",
    estimator: str = "knn",
    ceiling: bool = True,
    spread: str = "range",
    scale: str = "log",
    legend: bool = True,
    theme: str = "light",
    width: float | None = None,
) -> Axes:
    """Draw one measure of the representations against remaining weights.

    For ``mutual_information`` (nats) the estimator's ceiling I(X;X) is drawn beside the estimate:
    an estimate near its ceiling says more about the estimator than about the network.
    ``estimator`` is ``"knn"``, ``"histogram"`` or ``"infonce"``; other measures ignore it.
    """
    owned = ax is None
    ax = layout.single(width, theme) if ax is None else ax
    shown = dict(spread=spread, scale=scale, theme=theme)
    handles, note = _draw(ax, data, measure, estimator, ceiling, **shown)
    ax.set_xlabel(curves.xlabel(data))
    ax.set_ylabel(words.scalar(measure))
    style.dress(ax, theme)
    if legend:
        _legend(ax, handles, note, theme, owned)
    return ax


def plot_fidelity_curves(
    data: pd.DataFrame,
    *,
    axes: Any = None,
    measures: Sequence[str] | None = None,
    estimator: str = "knn",
    ceiling: bool = True,
    spread: str = "range",
    scale: str = "log",
    legend: bool = True,
    theme: str = "light",
    width: float | None = None,
) -> np.ndarray:
    """Draw mutual information, signal-to-noise ratio and CKA side by side.

    ``measures`` names others; by default those of the three that the data hold.
    """
    measures = _measures(data, measures)
    owned = axes is None
    axes = (
        layout.panels(
            len(measures), width=width, theme_name=theme, least=250, height=250, sharex=True
        )
        if axes is None
        else layout.given(axes, len(measures))
    )
    handles: dict[str, Any] = {}
    for ax, measure in zip(axes, measures, strict=True):
        shown = dict(spread=spread, scale=scale, theme=theme)
        made, note = _draw(ax, data, measure, estimator, ceiling, **shown)
        handles |= made
        layout.panel_title(ax, words.scalar(measure), theme)
        style.dress(ax, theme)
    layout.label_outer(axes, curves.xlabel(data), "", theme)
    if legend:
        _legend(axes[0], handles, note, theme, owned)
    return axes


def describe_fidelity_curves(
    data: pd.DataFrame,
    *,
    measures: Sequence[str] | None = None,
    estimator: str = "knn",
    spread: str = "range",
    **_: Any,
) -> str:
    """One sentence with the numbers at the lowest density."""
    said = []
    for measure in _measures(data, measures):
        rows = _rows(data, measure, estimator)
        summary = frames.summarise(rows, ["method", "step"], spread=spread)
        said.append(f"{words.scalar(measure)}: {curves.ends(summary, measure)}")
    return "Measures of the representations against remaining weights. " + ". ".join(said) + "."


def _draw(
    ax: Axes, data: pd.DataFrame, measure: str, estimator: str, ceiling: bool, **shown: Any
) -> tuple[dict[str, Any], str]:
    handles, summary = curves.draw(ax, _rows(data, measure, estimator), measure, **shown)
    if ceiling and measure == "mutual_information":
        rows = _rows(data, measure, estimator, role="ceiling", missing_ok=True)
        if not rows.empty:
            pruned = rows[rows["method"] != curves.CONTROL]
            line = (rows if pruned.empty else pruned).groupby("step")[["density", "value"]].mean()
            look = style.theme(shown["theme"])
            (handles["ceiling"],) = ax.plot(
                line["density"], line["value"], color=look.muted, linewidth=1.2, marker="_"
            )
    return handles, curves.note(summary, shown["spread"])


def _rows(
    data: pd.DataFrame,
    measure: str,
    estimator: str,
    role: str = "estimate",
    missing_ok: bool = False,
) -> pd.DataFrame:
    labels: dict[str, Any] = dict(phase="after")
    if measure == "mutual_information":
        labels |= dict(estimator=estimator, role=role)
    try:
        return frames.against_density(data, measure, **labels)
    except ValueError:
        if missing_ok:
            return pd.DataFrame()
        raise


def _measures(data: pd.DataFrame, measures: Sequence[str] | None) -> list[str]:
    if measures is not None:
        return list(measures)
    frames.require(data)
    found = [measure for measure in MEASURES if (data["name"] == measure).any()]
    if not found:
        raise ValueError(f"the data hold none of {', '.join(MEASURES)}; name others in measures=")
    return found


def _legend(ax: Axes, handles: dict[str, Any], note: str, theme: str, owned: bool) -> None:
    methods = {name: line for name, line in handles.items() if name != "ceiling"}
    ceiling = {"ceiling I(X;X) of the estimate": handles["ceiling"]} if "ceiling" in handles else {}
    curves.legend(ax, methods, note, theme=theme, outside=owned, more=ceiling)
