"""How training went, epoch by epoch: noise, sharpness, how much was updated and how far it went."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.ticker import LogLocator, NullLocator

from workbench.plotting import curves, frames, layout, style, tuning, words

MEASURES = ("kept_share", "updated", "distance", "noise_scale", "sharpness")
TITLES = {
    "kept_share": "gradient elements kept in an epoch's last update",
    "updated": "parameters that differ from the start, of all",
    "distance": "distance of all matrices from the pretrained ones",
    "noise_scale": "gradient noise scale, in texts",
    "sharpness": "sharpness: largest eigenvalue of the Hessian",
}
SHARES = ("kept_share", "updated")


def plot_training_measures(
    data: pd.DataFrame,
    *,
    axes: Any = None,
    measures: Sequence[str] | None = None,
    spread: str = "range",
    legend: bool = True,
    theme: str = "light",
    width: float | None = None,
) -> np.ndarray:
    """Draw small multiples over epochs, one for each of ``measures`` that was recorded.

    ``kept_share`` and ``updated`` (parameters that differ from the start of the run, as a share of
    the whole model) are in percent; ``distance`` is the root of the sum of squares over all
    matrices; ``noise_scale`` and ``sharpness`` were measured at some epochs only. An axis whose
    values span more than a factor of 30 is logarithmic.

    Raises:
        ValueError: a measure with no name here, or none of them in the data.
    """
    parts = _parts(data, measures)
    owned = axes is None
    axes = (
        layout.panels(len(parts), width=width, theme_name=theme, least=220, most=3, height=230)
        if axes is None
        else layout.given(axes, len(parts))
    )
    last = max(int(rows["step"].max()) for rows in parts.values())
    handles: dict[str, Any] = {}
    summaries = []
    for ax, (name, rows) in zip(axes, parts.items(), strict=True):
        made, summary = tuning.draw(
            ax, rows, "kept_share" if name in SHARES else name, spread=spread, theme=theme
        )
        handles = made | handles
        summaries.append(summary)
        low, high = rows["value"].min(), rows["value"].max()
        if name in SHARES:
            ax.set_ylim(0, 1.06 * high)
        elif low > 0 and high > 30 * low:
            ax.set_yscale("log")
            ax.yaxis.set_major_locator(LogLocator(subs=(1, 3) if high < 1e4 * low else (1,)))
            ax.yaxis.set_major_formatter("{x:g}")
            ax.yaxis.set_minor_locator(NullLocator())
        steps = rows["step"].unique()
        if len(steps) == 1:  # marks side by side
            ax.set_xlim(steps[0] - 0.45, steps[0] + 0.45)
            ax.set_xticks(steps)
        else:
            ax.set_xlim(-0.03 * last, 1.03 * last)
        layout.panel_title(ax, TITLES[name], theme)
        style.dress(ax, theme)
    layout.label_outer(axes, tuning.XLABEL, "", theme)
    if legend:
        note = curves.note(pd.concat(summaries), spread)
        curves.legend(axes[0], handles, note, theme=theme, outside=owned)
    return axes


def describe_training_measures(
    data: pd.DataFrame, *, measures: Sequence[str] | None = None, **_: Any
) -> str:
    """For each measure the method with the highest and the lowest mean at the last epoch."""
    said = []
    for name, rows in _parts(data, measures).items():
        summary = frames.summarise(tuning.last(rows), ["method"]).sort_values("mean")
        low, high = summary.iloc[0], summary.iloc[-1]
        form = words.percent if name in SHARES else "{:.3g}".format
        said.append(
            f"{TITLES[name]}, {tuning.at_epoch(tuning.last(rows))}: from {form(low['mean'])} "
            f"({words.method(low['method'])}) to {form(high['mean'])} "
            f"({words.method(high['method'])})"
        )
    text = "; ".join(said)
    return f"{text[0].upper()}{text[1:]}."


def _parts(data: pd.DataFrame, measures: Sequence[str] | None) -> dict[str, pd.DataFrame]:
    """Rows of every measure with one value for each method, seed and epoch."""
    frames.require(data)
    if unknown := [name for name in measures or () if name not in MEASURES]:
        raise ValueError(f"no measure {words.listing(unknown)}; choose of {', '.join(MEASURES)}")
    held = set(data["name"])
    wanted = [name for name in measures or MEASURES if name in held]
    if "parameters" not in held:
        wanted = [name for name in wanted if name != "updated"]
    if not wanted:
        raise ValueError(f"the data hold none of {', '.join(measures or MEASURES)}")
    keys = ["method", "seed", "step"]
    out = {}
    for name in wanted:
        rows = frames.select(data, name, scope="run" if name == "updated" else None)
        if name == "distance":
            rows = frames.unique(rows, [*keys, "layer", "module"], name)
            rows = rows.assign(value=rows["value"] ** 2).groupby(keys, as_index=False)[["value"]]
            rows = rows.sum()
            rows["value"] = np.sqrt(rows["value"])
        if name == "updated":
            whole = frames.select(data, "parameters", scope="all")
            whole = frames.unique(whole, ["method", "seed"], "parameters")
            whole = whole.set_index(["method", "seed"])["value"].rename("whole")
            rows = rows.join(whole, on=["method", "seed"])
            rows = rows.assign(value=rows["value"] / rows["whole"]).dropna(subset="value")
        out[name] = frames.unique(rows, keys, name)
    return out
