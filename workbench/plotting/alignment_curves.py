"""What pruning does to the alignment of languages, and to the distance from pretraining."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from workbench.plotting import curves, frames, layout, style, words

MEASURES = ("retrieval", "language_cka", "pretrained_distance")
FORMS = ("cosine", "layer_cosine", "frobenius")


def plot_alignment_curves(
    data: pd.DataFrame,
    *,
    axes: Any = None,
    measures: Sequence[str] | None = None,
    language: str | None = None,
    form: str = "cosine",
    chance: float | None = None,
    spread: str = "range",
    scale: str = "log",
    legend: bool = True,
    theme: str = "light",
    width: float | None = None,
) -> np.ndarray:
    """Draw how well languages are aligned with English against remaining weights.

    ``retrieval`` is the share of texts whose nearest English text is their translation,
    ``language_cka`` compares the arrangement of the same texts in both languages, and
    ``pretrained_distance`` is the term of AlignReg (9.2 to 9.6) between the pruned and the
    pretrained weights.

    Args:
        data: long frame of the records.
        measures: which of the three; by default those that the data hold.
        language: one language, or the mean over all.
        form: of the distance: ``"cosine"``, ``"layer_cosine"`` or ``"frobenius"``.
        chance: level of retrieval that a network without any alignment reaches, 1 over the number
            of texts; by default from the setting ``parallel_size`` of the runs. 0 draws none.
    """
    found = _all(data, measures, language, form)
    level = _chance(data, chance) if "retrieval" in found else 0
    owned = axes is None
    axes = (
        layout.panels(len(found), width=width, theme_name=theme, least=250, height=270, sharex=True)
        if axes is None
        else layout.given(axes, len(found))
    )
    handles: dict[str, Any] = {}
    more: dict[str, Any] = {}
    for ax, (measure, rows) in zip(axes, found.items(), strict=True):
        made, summary = curves.draw(ax, rows, measure, spread=spread, scale=scale, theme=theme)
        handles |= made
        if measure == "retrieval" and level:
            shape = dict(color=style.theme(theme).muted, linewidth=1.2, linestyle=(0, (1, 3)))
            more["chance"] = ax.axhline(level, zorder=1, **shape)
        layout.panel_title(ax, _title(measure, rows, form), theme)
        style.dress(ax, theme)
    layout.label_outer(axes, curves.xlabel(data), "", theme)
    if legend:
        note = curves.note(summary, spread)
        curves.legend(axes[0], handles, note, theme=theme, outside=owned, more=more)
    return axes


def describe_alignment_curves(
    data: pd.DataFrame,
    *,
    measures: Sequence[str] | None = None,
    language: str | None = None,
    form: str = "cosine",
    chance: float | None = None,
    spread: str = "range",
    **_: Any,
) -> str:
    """One sentence per measure with the numbers at the fewest weights."""
    said = []
    for measure, rows in _all(data, measures, language, form).items():
        summary = frames.summarise(rows, ["method", "step"], spread=spread)
        said.append(f"{_title(measure, rows, form)}: {curves.ends(summary, measure)}")
    level = _chance(data, chance)
    if level:
        said.append(f"Chance finds {words.number('retrieval', level)} of the translations")
    return f"Alignment with English against remaining weights. {'. '.join(said)}."


def _all(
    data: pd.DataFrame, measures: Sequence[str] | None, language: str | None, form: str
) -> dict[str, pd.DataFrame]:
    frames.require(data)
    if measures is None:
        measures = [name for name in MEASURES if (data["name"] == name).any()]
    if not measures:
        raise ValueError(f"the data hold none of {', '.join(MEASURES)}")
    return {name: _rows(data, name, language, form) for name in measures}


def _rows(data: pd.DataFrame, measure: str, language: str | None, form: str) -> pd.DataFrame:
    if measure == "pretrained_distance":
        return frames.against_density(data, measure, form=form)
    labels = dict(language=language, phase="after")
    rows = frames.against_density(data, measure, by=["language"], **labels)
    # A representation that has collapsed in one language has no CKA there; the mean over the rest
    # would not be that of the other steps, so the step is left out.
    full = rows["language"].nunique()
    count = rows.groupby(["method", "seed", "step"])["language"].transform("nunique")
    return rows[count == full]


def _title(measure: str, rows: pd.DataFrame, form: str) -> str:
    if measure == "pretrained_distance":
        return f"{words.scalar(measure)} ({form.replace('_', ' ')})"
    held = list(rows["language"].unique())
    where = words.language(held[0]) if len(held) == 1 else f"mean of {len(held)} languages"
    return f"{words.scalar(measure)}, {where}"


def _chance(data: pd.DataFrame, chance: float | None) -> float:
    """One over the number of texts, where the runs say it and agree."""
    if chance is not None:
        return chance
    sizes = data["parallel_size"].dropna().unique() if "parallel_size" in data else []
    return 1 / float(sizes[0]) if len(sizes) == 1 and sizes[0] > 0 else 0.0
