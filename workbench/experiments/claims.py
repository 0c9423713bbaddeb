"""What the thesis claims, as contrasts that the records can answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Claim:
    """One sentence of the thesis and the measurement that would bear it out.

    ``quantity`` is a scalar of the records, or ``recovery``: the score after retraining minus the
    score right after pruning. It holds if ``better`` lies above ``against``.
    """

    text: str
    where: str
    quantity: str
    better: str
    against: str


COLUMNS = ["claim", "where", "quantity", "method", "against", "task", "mean", "low", "high",
           "pairs", "verdict"]  # fmt: skip
_SDP = ("SDP-KLD", "SDP-COS", "SDP-CC")


def _each(text: str, where: str, quantity: str, against: str = "magnitude") -> list[Claim]:
    return [Claim(f"{m} {text}.", where, quantity, m, against) for m in _SDP if m != against]


SELF_DISTILLED_PRUNING: tuple[Claim, ...] = (
    *_each("keeps a higher test score than magnitude pruning", "11.5", "score"),
    Claim("SDP-CC keeps a higher test score than SDP-KLD.", "11.5", "score", "SDP-CC", "SDP-KLD"),
    Claim("SDP-CC keeps a higher test score than SDP-COS.", "11.5", "score", "SDP-CC", "SDP-COS"),
    *_each("raises the signal-to-noise ratio", "Figure 11.4", "snr"),
    *_each("keeps more information about the teacher", "Figure 11.4", "mutual_information"),
    *_each("recovers more after each pruning step", "Figure 11.5", "recovery"),
    Claim("Magnitude beats random pruning (a check).", "11.4", "score", "magnitude", "random"),
)
"""The claims of chapter 11, and one check that the comparison can see anything at all."""


def assess(
    frame: pd.DataFrame,
    claims: Sequence[Claim] = SELF_DISTILLED_PRUNING,
    *,
    metric: str = "accuracy",
    highest_density: float = 0.31,
) -> pd.DataFrame:
    """One row per claim and task (and ``all``): mean difference, 95% interval and verdict.

    ``frame`` is ``Store.scalars(...)``. Only pruning steps with at most ``highest_density`` of
    the prunable weights left count (high compression); a pair is one task and seed. Columns:
    :data:`COLUMNS`. Claims whose runs are not in the frame
    are left out. Raises ``ValueError`` if no step is that dense or sparser.
    """
    import pandas as pd

    from workbench.metrics.contrasts import contrast

    density = frame[(frame["name"] == "density") & (frame["scope"] == "prunable")]
    sparse = density.groupby("step")["value"].min()
    steps = sparse.index[sparse <= highest_density + 1e-9]
    if len(steps) == 0:
        raise ValueError(f"No pruning step has a density of {highest_density} or less.")
    here = frame[frame["step"].isin(steps)]
    rows = []
    for claim in claims:
        values = _values(here, claim.quantity, metric)
        if not {claim.better, claim.against} <= set(values["method"]):
            continue
        tasks = [(task, part) for task, part in values.groupby("task")]
        whole = [("all", values)] if len(tasks) > 1 else []
        for task, part in [*tasks, *whole]:
            found = contrast(part, claim.better, claim.against)
            verdict = {"above": "shows", "below": "reversed"}.get(found.verdict, "undecided")
            said = (claim.text, claim.where, claim.quantity, claim.better, claim.against, task)
            rows.append((*said, *found, verdict))
    return pd.DataFrame(rows, columns=COLUMNS)


def _values(frame: pd.DataFrame, quantity: str, metric: str) -> pd.DataFrame:
    """Rows of a quantity with columns method, task, seed and value."""
    columns = ["method", "task", "seed", "step", "value"]
    after = frame[frame["phase"] == "after"]
    if quantity == "score":
        return after[(after["name"] == metric) & (after["split"] == "test")][columns]
    if quantity == "mutual_information":
        chosen = (after["name"] == quantity) & (after["estimator"] == "knn")
        return after[chosen & (after["role"] == "estimate")][columns]
    if quantity == "snr":
        return after[after["name"] == quantity][columns]
    rows = frame[(frame["name"] == metric) & (frame["split"] == "validation")]
    keys = ["method", "task", "seed", "step"]
    phases = rows.pivot_table(index=keys, columns="phase", values="value")
    return (phases["after"] - phases["before"]).rename("value").reset_index()
