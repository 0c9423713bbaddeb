"""The score after every epoch, in the language trained on and in the others: Figure 10.2."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from workbench.plotting import curves, frames, layout, style, tuning, words


def plot_epoch_curve(
    data: pd.DataFrame,
    *,
    axes: Any = None,
    metric: str = "accuracy",
    split: str = "test",
    source: str | None = None,
    before: bool = True,
    spread: str = "range",
    legend: bool = True,
    theme: str = "light",
    width: float | None = None,
) -> np.ndarray:
    """Draw ``metric`` per epoch: the language trained on, and the mean of all others.

    Both panels share their axes, so that a line can be followed from one to the other. If only one
    language was measured, there is one panel.

    Args:
        data: long frame of the records, ``step`` the epoch.
        source: language or domain that was trained on; English, or the first that was measured.
        before: whether to draw epoch 0, before training; without it small differences between
            later epochs take the whole height.
        spread: of the seeds, see :func:`~workbench.plotting.frames.summarise`.

    Raises:
        ValueError: no such metric, split or source, or nothing left to draw.
    """
    parts = _parts(data, metric, split, source, before)
    owned = axes is None
    shared = dict(sharex=True, sharey=True, least=270, most=2, height=330)
    axes = (
        layout.panels(len(parts), width=width, theme_name=theme, **shared)
        if axes is None
        else layout.given(axes, len(parts))
    )
    handles: dict[str, Any] = {}
    summaries = []
    for ax, (title, rows) in zip(axes, parts.items(), strict=True):
        made, summary = tuning.draw(ax, rows, metric, spread=spread, theme=theme)
        handles |= made
        summaries.append(summary)
        layout.panel_title(ax, title, theme)
        style.dress(ax, theme)
    xlabel = tuning.XLABEL if before else "epoch"
    layout.label_outer(axes, xlabel, f"{words.scalar(metric)}, {split}", theme)
    if legend:
        note = curves.note(pd.concat(summaries), spread)
        curves.legend(axes[0], handles, note, theme=theme, outside=owned)
    return axes


def describe_epoch_curve(
    data: pd.DataFrame,
    *,
    metric: str = "accuracy",
    split: str = "test",
    source: str | None = None,
    before: bool = True,
    spread: str = "range",
    **_: Any,
) -> str:
    """The numbers after the last epoch, and the epoch with the best mean where it is earlier."""
    said = []
    for title, rows in _parts(data, metric, split, source, before).items():
        summary = frames.summarise(rows, ["method", "step"], spread=spread)
        text = tuning.ends(summary, metric)
        best = summary.loc[summary.groupby("method")["mean"].idxmax()].set_index("method")["step"]
        final = summary.groupby("method")["step"].max()
        earlier = [m for m in words.order_methods(best.index) if best[m] < final[m]]
        peaks = words.listing([f"{words.method(m)} in epoch {best[m]}" for m in earlier], 20)
        said.append((f"{title}: " if title else "") + text + (f"; best: {peaks}" if peaks else ""))
    note = frames.seeds_note(summary, spread)
    name = words.scalar(metric)
    return f"{name[0].upper()}{name[1:]} per epoch, {split}, {note}. {'. '.join(said)}."


def _parts(
    data: pd.DataFrame, metric: str, split: str, source: str | None, before: bool
) -> dict[str, pd.DataFrame]:
    rows = tuning.scores(data, metric, split)
    if not before:
        rows = rows[rows["step"] > 0]
        if rows.empty:
            raise ValueError("no epoch has ended yet; draw with before=True to see epoch 0")
    return tuning.parts(rows, source)
