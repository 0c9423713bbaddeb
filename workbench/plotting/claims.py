"""Claims of a chapter as differences with their intervals: which side of zero, and how far."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from workbench.plotting import frames, layout, style, words

COLUMNS = ["claim", "task", "mean", "low", "high", "pairs", "verdict", "when"]


def plot_claims(
    data: pd.DataFrame,
    *,
    axes: Any = None,
    task: str | None = None,
    theme: str = "light",
    width: float | None = None,
) -> np.ndarray:
    """Draw one row per claim: the mean difference and its 95% interval, one panel per quantity.

    Full markers are intervals that leave zero, hollow ones do not decide. A claim says that the
    difference is above zero, so what lies to the right bears it out.

    Args:
        data: frame of ``experiments.claims.assess``: ``claim``, ``quantity``, ``task``, ``mean``,
            ``low``, ``high``, ``pairs``, ``verdict`` and ``when``.
        task: which task; ``"all"`` (both together) where there is one, else the first.
    """
    chosen = _rows(data, task)
    look = style.theme(theme)
    quantities = list(dict.fromkeys(chosen["quantity"]))
    most = max(chosen["quantity"].value_counts())
    if axes is None:
        axes = layout.panels(
            len(quantities), width=width, theme_name=theme, least=330, most=2,
            height=70 + 34 * most,
        )  # fmt: skip
    else:
        axes = layout.given(axes, len(quantities))
    for ax, quantity in zip(axes, quantities, strict=True):
        rows = chosen[chosen["quantity"] == quantity].iloc[::-1]
        ax.axvline(0, color=look.muted, linewidth=1.2)
        for y, row in enumerate(rows.itertuples()):
            sure = row.verdict != "undecided"
            color = {"shows": look.blue, "reversed": style.OKABE_ITO["vermillion"]}.get(
                row.verdict, look.muted
            )
            if np.isfinite([row.low, row.high]).all():
                ax.plot([row.low, row.high], [y, y], color=color, linewidth=2.2)
            marker = {"shows": ">", "reversed": "<"}.get(row.verdict, "o")
            face = color if sure else look.background
            ax.plot(row.mean, y, marker, color=color, markerfacecolor=face, markersize=8)
        ax.set_yticks(range(len(rows)), [layout.safe(f"{r.method}\n− {r.against}") for r in
                                         rows.itertuples()])  # fmt: skip
        ax.set_ylim(-0.6, len(rows) - 0.4)
        ax.margins(x=0.1)
        style.dress(ax, theme)
        ax.xaxis.set_major_locator(style.MaxNLocator(4))
        layout.panel_title(ax, _title(quantity), theme)
    few, many = chosen["pairs"].min(), chosen["pairs"].max()
    pairs = f"{many} pairs" if few == many else f"{few} to {many} pairs"
    layout.footnote(
        axes[0].figure,
        f"Mean difference and 95% interval of {pairs} (task and seed), {chosen['when'].iloc[0]}. "
        "Arrow right: the claim shows. Arrow left: the reverse does. Hollow: undecided.",
        theme,
    )
    return axes


TITLES = {
    "score": "test score",
    "zero_shot": "zero-shot score",
    "share_kept": "share of the dense score that is kept",
    "final": "zero-shot score after the last epoch",
    "spread": "distance from the median seed",
    "after_peak": "zero-shot score lost since the best epoch",
    "gain": "gain over standard fine-tuning",
    "snr": "signal-to-noise ratio",
    "mutual_information": "information about the teacher, nats",
    "recovery": "score regained by retraining",
    "one_shot": "score without retraining",
    "retrained": "score with retraining",
    "closeness": "how much likelier neighbours are the closer pair",
}
OF_BYTES = ("one_shot", "retrained")


def _title(quantity: str) -> str:
    """``"zero_shot at 31%"`` -> ``"zero-shot score, 31% of the weights"``."""
    name, _, density = quantity.partition(" at ")
    title = TITLES.get(name, words.scalar(name))
    of = "bytes" if name in OF_BYTES else "weights"
    return f"{title}, {density} of the {of}" if density else title


def describe_claims(data: pd.DataFrame, *, task: str | None = None, **_: Any) -> str:
    """How many claims show, are reversed, and stay undecided."""
    counts = _rows(data, task)["verdict"].value_counts()
    verdicts = {"shows": "show", "reversed": "are reversed", "undecided": "stay undecided"}
    said = [f"{counts.get(verdict, 0)} {word}" for verdict, word in verdicts.items()]
    return f"Of {counts.sum()} claims, {said[0]}, {said[1]} and {said[2]}."


def _rows(data: pd.DataFrame, task: str | None) -> pd.DataFrame:
    frames.require(data, [*COLUMNS, "quantity", "method", "against"])
    if data.empty:
        raise ValueError("no claims to draw; the records hold none of the methods they compare")
    tasks = list(dict.fromkeys(data["task"]))
    wanted = task or ("all" if "all" in tasks else tasks[0])
    if wanted not in tasks:
        raise ValueError(f"no claims for task {wanted!r}; there are: {', '.join(tasks)}")
    return data[data["task"] == wanted]
