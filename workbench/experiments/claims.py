"""What the thesis claims, as contrasts that the records can answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from workbench.experiments import claimed_fusion
from workbench.experiments.claimed_tuning import LITTLE, MUCH, QUANTITIES

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Claim:
    """One sentence of the thesis and the measurement that would bear it out.

    It holds if ``quantity`` is higher for ``better`` than for ``against``: two methods or, inside
    the runs of one method (``within``), two groups of languages or modules. With a ``density`` the
    pruning step nearest to it counts, else all steps at high compression. Quantities:

    ==================  ============================================================
    score               test score, all domains or languages
    zero_shot           test score, all languages but the one trained on
    share_kept          test score over that of the dense network, per language
    recovery            score after retraining minus the score right after pruning
    mutual_information  nearest-neighbour estimate with the teacher, in nats
    weight_norm         Frobenius norm of a matrix of weights
    snr, retrieval      the scalars of these names
    ==================  ============================================================

    and, where steps are epochs, those of :mod:`workbench.experiments.claimed_tuning`, where they
    are shares of stored bytes (``density``), those of :mod:`workbench.experiments.claimed_fusion`.
    """

    text: str
    where: str
    quantity: str
    better: str
    against: str
    density: float | None = None
    within: str = ""

    @property
    def measured(self) -> str:
        """The quantity, and where it is read."""
        return self.quantity if self.density is None else f"{self.quantity} at {self.density:.0%}"


COLUMNS = ["claim", "where", "quantity", "method", "against", "task", "mean", "low", "high",
           "pairs", "verdict", "when"]  # fmt: skip
_SDP = ("SDP-KLD", "SDP-COS", "SDP-CC")
_ALIGNED = ("Cosine-LMBP", "Cosine-MBP", "Frobenius-MBP")


def _each(text: str, where: str, quantity: str, against: str = "magnitude") -> list[Claim]:
    return [Claim(f"{m} {text}.", where, quantity, m, against) for m in _SDP if m != against]


def _at(text: str, where: str, better: str, against: str, density: float) -> Claim:
    sentence = f"{text} at {density:.0%} of the weights."
    return Claim(sentence, where, "zero_shot", better, against, density)


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

ZERO_SHOT_PRUNING: tuple[Claim, ...] = (
    *(
        _at(f"{m} keeps a higher zero-shot score than magnitude", "9.5", m, "magnitude", density)
        for density in (0.31, 0.1)
        for m in _ALIGNED
    ),
    *(
        _at("Layer-wise beats global magnitude", "9.5", "magnitude", "global magnitude", density)
        for density in (0.31, 0.1)
    ),
    _at("Magnitude beats LAMP", "Table 9.1", "magnitude", "LAMP", 0.31),
    _at("Magnitude beats lookahead", "Table 9.1", "magnitude", "lookahead", 0.31),
    _at("Magnitude beats random pruning (a check)", "Table 9.1", "magnitude", "random", 0.31),
    *(
        Claim(
            f"{m} keeps languages better aligned than magnitude at 31% of the weights.",
            "9.3",
            "retrieval",
            m,
            "magnitude",
            0.31,
        )  # fmt: skip
        for m in _ALIGNED
    ),
    Claim(
        "English keeps more of its score than other languages at 31% of the weights.",
        "9.5",
        "share_kept",
        "English",
        "other languages",
        0.31,
        within="magnitude",
    ),  # fmt: skip
    Claim(
        "Indo-European languages keep more of their score than others at 31% of the weights.",
        "9.5",
        "share_kept",
        "Indo-European",
        "other families",
        0.31,
        within="magnitude",
    ),  # fmt: skip
    Claim(
        "Query, key and value matrices have larger norms than the attention output.",
        "9.5",
        "weight_norm",
        "query, key, value",
        "attention output",
        0.31,
        within="magnitude",
    ),  # fmt: skip
    Claim(
        "Query, key and value matrices have larger norms than the feed-forward ones.",
        "9.5",
        "weight_norm",
        "query, key, value",
        "feed-forward",
        0.31,
        within="magnitude",
    ),  # fmt: skip
)
"""The claims of chapter 9, and one check that the comparison can see anything at all."""

_DROPPED = ("GradDrop", "Anneal-GradDrop", "Layer-GradDrop", "Anneal-Layer-GradDrop",
            "GradDrop-Epoch", "GradDrop-Epoch-Toggle")  # fmt: skip
_BEST = ("GradDrop", "Layer-GradDrop", "GradDrop-Epoch")


def _ends_higher(better: str, against: str, than: str, where: str) -> Claim:
    text = f"{better} ends with a higher zero-shot score than {than}."
    return Claim(text, where, "final", better, against)


GRADIENT_DROPOUT: tuple[Claim, ...] = (
    *(_ends_higher(m, "standard", "standard fine-tuning", "Table 10.10") for m in _DROPPED),
    *(_ends_higher(m, "no dropout", "fine-tuning without dropout", "a control") for m in _DROPPED),
    *(
        _ends_higher(m, "GradFreeze-TopDown", "gradual unfreezing from the top", "Table 10.10")
        for m in _BEST
    ),
    _ends_higher("GradDrop (update)", "GradDrop", "GradDrop on gradients alone", "10.3"),
    _ends_higher(
        "GradDrop-Epoch (update)", "GradDrop-Epoch", "GradDrop-Epoch on gradients alone", "10.3"
    ),
    _ends_higher("no dropout", "head only", "training the head only (a check)", "10.1"),
    *(
        Claim(
            f"Standard fine-tuning varies more from seed to seed than {m}.",
            "10.4.5",
            "spread",
            "standard",
            m,
        )
        for m in _DROPPED
    ),
    *(
        Claim(
            f"{m} keeps more of its best epoch's zero-shot score than standard fine-tuning.",
            "Figure 10.2",
            "after_peak",
            m,
            "standard",
        )
        for m in _BEST
    ),
    *(
        Claim(
            f"Languages with little pretraining data gain more from {m} than others.",
            "Figure 10.3",
            "gain",
            f"{m}, {LITTLE}",
            f"{m}, {MUCH}",
            within=m,
        )
        for m in _BEST
    ),
)
"""The claims of chapter 10, the control without dropout, and one check."""

_RIVALS = ("layer pruning", "global pruning", "k-means", "SVD", "autoencoder", "student rollout",
           "layer removal")  # fmt: skip
_STAGES = {"one_shot": "without retraining", "retrained": "with retraining"}


def _stored(better: str, against: str, stage: str, share: float, where: str) -> Claim:
    text = f"{better} beats {against} at {share:.0%} of the bytes, {_STAGES[stage]}."
    return Claim(text, where, stage, better, against, share)


LAYER_FUSION: tuple[Claim, ...] = (
    *(
        _stored("LF mean (WS)", rival, stage, share, "Figure 8.1")
        for stage in _STAGES
        for share in (0.75, 0.5, 0.25)
        for rival in _RIVALS
    ),
    *(
        _stored("LF mean (WS)", "LayerDrop", "retrained", share, "Table 8.4")
        for share in (0.75, 0.5, 0.25)
    ),
    *(
        _stored(better, against, stage, 0.5, where)
        for stage in _STAGES
        for better, against, where in (
            ("LF mean (WS)", "LF mean (random)", "a control"),
            ("LF mean (CA)", "LF mean (random)", "a control"),
            ("LF mean (WS)", "LF mean (ED)", "Table 8.3"),
            ("LF mean (CA)", "LF mean (ED)", "Table 8.3"),
            ("LF mean (CA)", "LF mean (WS)", "Table 8.3"),
            ("LF mean (WS)", "LF freeze (WS)", "8.5.1"),
            ("LF mean (WS)", "LF mix (WS)", "8.5.1"),
            ("LF transport (WS)", "LF mean (WS)", "8.3.2"),
            ("LF mean (WS)", "LF adjacent (WS)", "8.5.1"),
        )
    ),
    *(
        Claim(
            f"Neighbouring layers are the most alike ({words}).",
            "8.5.2",
            "closeness",
            f"neighbours ({short})",
            "other pairs",
            within=measure,
        )
        for measure, words, short in (
            ("euclidean", "Euclidean distance", "ED"),
            ("bures_wasserstein", "Bures-Wasserstein", "WS"),
            ("covariance_cosine", "cosine of covariances", "CA"),
            ("cka", "CKA of activations", "CKA"),
        )
    ),
)
"""The claims of chapter 8, and random pairs as a control."""

CLAIMS = {
    "layer-fusion": LAYER_FUSION,
    "self-distilled-pruning": SELF_DISTILLED_PRUNING,
    "zero-shot-pruning": ZERO_SHOT_PRUNING,
    "gradient-dropout": GRADIENT_DROPOUT,
}
"""The claims of each chapter, by the name of its experiment."""


def assess(
    frame: pd.DataFrame,
    claims: Sequence[Claim] = SELF_DISTILLED_PRUNING,
    *,
    metric: str = "accuracy",
    highest_density: float = 0.31,
) -> pd.DataFrame:
    """One row per claim and task (and ``all``): mean difference, 95% interval and verdict.

    ``frame`` is ``Store.scalars(...)``. Where a claim names no density, only pruning steps with at
    most ``highest_density`` of the prunable weights left count (high compression); a pair is one
    task and seed; ``when`` says what counts. Columns: :data:`COLUMNS`. Claims whose runs are not in
    the frame are left out.
    Raises ``ValueError`` if no step is that dense or sparser.
    """
    import pandas as pd

    from workbench.experiments.claimed import values
    from workbench.metrics.contrasts import contrast

    pruned = f"at {highest_density:.0%} of the prunable weights or fewer where no density is named"
    rows = []
    for claim in claims:
        when = "after the last epoch" if claim.quantity in QUANTITIES else pruned
        if claim.quantity in claimed_fusion.QUANTITIES:
            when = "at that share of the bytes, or of the whole network"
        found = values(frame, claim, metric, highest_density)
        if not {claim.better, claim.against} <= set(found["method"]):
            continue
        tasks = [(task, part) for task, part in found.groupby("task")]
        # Accuracies and nats are not added up.
        alike = claim.quantity not in claimed_fusion.PHASES
        whole = [("all", found)] if len(tasks) > 1 and alike else []
        for task, part in [*tasks, *whole]:
            if not _in_common(part, claim):
                continue
            interval = contrast(part, claim.better, claim.against)
            verdict = {"above": "shows", "below": "reversed"}.get(interval.verdict, "undecided")
            said = (claim.text, claim.where, claim.measured, claim.better, claim.against, task)
            rows.append((*said, *interval, verdict, when))
    return pd.DataFrame(rows, columns=COLUMNS)


def _in_common(part: pd.DataFrame, claim: Claim) -> bool:
    """Whether both sides of a claim were run with some task and seed (or network) alike."""
    runs = [
        set(zip(rows["task"], rows["seed"], strict=True))
        for rows in (part[part["method"] == name] for name in (claim.better, claim.against))
    ]
    return bool(runs[0] & runs[1])
