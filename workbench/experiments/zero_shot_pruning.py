"""Chapter 9: iterative pruning in the zero-shot setting.

A multilingual encoder is fine-tuned and pruned on English and tested in every language of the
task. The methods differ in what a weight is worth (criterion), in how the budget is shared
(scope) and in what is added to the loss while retraining (regulariser); data, budget and order of
batches are the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from workbench.experiments.base import setting
from workbench.experiments.iterative_pruning import PRUNED, IterativePruning
from workbench.experiments.scoring import CRITERIA, NEED_DATA
from workbench.experiments.text import THESIS_SIZE, Inputs

if TYPE_CHECKING:
    from torch import nn

    from workbench.experiments.pruning_run import PruningRun

Fields = Mapping[str, Any]


def _magnitude(regulariser: str, weight: float) -> Fields:
    kind = {"regulariser": regulariser, "regulariser_weight": weight}
    return {"criterion": "magnitude", "scope": "layer", **kind}


def _plain(criterion: str, scope: str = "layer") -> Fields:
    return {"criterion": criterion, "scope": scope, "regulariser": "none"}


METHODS: Mapping[str, Fields] = {
    "none": {"criterion": "none", "regulariser": "none"},
    "random": _plain("random"),
    "global random": _plain("random", "global"),
    "magnitude": _plain("magnitude"),
    "global magnitude": _plain("magnitude", "global"),
    "gradient": _plain("gradient"),
    "lookahead": _plain("lookahead"),
    "LAMP": _plain("lamp", "global"),
    "L0": _magnitude("l0", 10.0),
    "L1": _magnitude("l1", 1e-4),
    "L2": _magnitude("l2", 5e-4),
    "Cosine-LMBP": _magnitude("layer_cosine", 700.0),
    "Cosine-MBP": _magnitude("cosine", 200.0),
    "Frobenius-MBP": _magnitude("frobenius", 0.05),
    "Taylor": _plain("taylor", "global"),
    "SNIP": _plain("snip", "global"),
    "movement": _plain("movement"),
    "Wanda": _plain("wanda", "row"),
    "SynFlow": _plain("synflow", "global"),
    "Fisher": _plain("fisher", "global"),
    "OBD": _plain("optimal_brain_damage", "global"),
}
"""The methods of Table 9.1 and section 9.4, then those that the thesis does not have.

All regularisers but L0 pull equally hard: their weights give the gradient that L2 has at the
thesis's 5e-4, a tenth of the task's, on e5 at 31% of the weights. At that same 5e-4 the Frobenius
term would have a thousandth of the task's gradient, and the cosines have no printed weight.
"""

ALIGNED = ("cosine", "layer_cosine", "frobenius")


@dataclass(frozen=True)
class ZeroShotPruning(IterativePruning):
    """Iterative pruning on English, tested in other languages (thesis, chapter 9).

    Steps are pruning steps; step 0 is dense. See ``data/README.md`` for the names and labels of
    what is observed.
    """

    name = "zero-shot-pruning"
    title = "Iterative pruning, zero-shot"
    chapter = 9
    version = 1
    methods: ClassVar = METHODS
    profiles = {
        "smoke": dict(
            task="emoji_names",
            model="tiny",
            train_size=48,
            eval_size=32,
            test_size=6,
            teacher_updates=4,
            pruning_steps=2,
            final_density=0.1,
            updates=2,
            projections="pca",
            parallel_size=4,
            scoring_batches=1,
        ),
        "laptop": dict(
            task="emoji_names",
            model="e5-small",
            train_size=400,
            eval_size=60,
            test_size=12,
            teacher_updates=60,
            pruning_steps=4,
            final_density=0.1,
            updates=5,
            learning_rate=3e-4,
            projections="pca",
            parallel_size=8,
        ),
        "recorded": dict(
            task="emoji_names",
            model="e5-small",
            eval_size=60,
            test_size=16,
            teacher_updates=200,
            pruning_steps=8,
            final_density=0.1,
            updates=5,
            learning_rate=3e-4,
            parallel_size=12,
        ),
        "thesis": {
            **THESIS_SIZE,
            **dict(task="xnli", model="FacebookAI/xlm-roberta-base", max_length=256),
            **dict(teacher_updates=12_000, teacher_learning_rate=5e-6),
            **dict(updates=12_000, learning_rate=5e-6, checkpoint_every=1000),
            **dict(pruning_steps=32, final_density=0.9**32, parallel_size=300),
        },
    }

    criterion: str = setting(
        "magnitude",
        "Which weights go first; none: the unpruned control.",
        choices=("none", *CRITERIA),
        group="Method",
    )
    scope: Literal["layer", "global", "row"] = setting(
        "layer",
        "The same share of every layer, of every output unit (row), or one threshold for all.",
        group="Method",
        when=PRUNED,
    )
    regulariser: Literal["none", "l0", "l1", "l2", "cosine", "layer_cosine", "frobenius"] = setting(
        "none",
        "Added to the loss while retraining; the last three are AlignReg (9.2 to 9.6).",
        group="Method",
    )
    regulariser_weight: float = setting(
        1.0,
        "Weight of the regulariser (of L0: of the expected density).",
        symbol=r"\lambda",
        minimum=0,
        maximum=1e4,
        group="Method",
        when={"regulariser": ("l0", "l1", "l2", *ALIGNED)},
    )
    retraining: Literal["anew", "fine-tune", "rewind"] = setting(
        "anew",
        "After pruning the learning rate rises and falls anew (learning-rate rewinding), stays "
        "low (fine-tuning), or the weights left go back to the fine-tuned ones too (rewinding).",
        group="Training",
    )
    scoring_batches: int = setting(
        2,
        "Training batches that criteria with data read.",
        minimum=1,
        maximum=10**4,
        step=1,
        group="Method",
        when={"criterion": NEED_DATA},
    )
    parallel_size: int = setting(
        24,
        "Texts per language that alignment is measured on (0: not measured).",
        minimum=0,
        maximum=327,
        step=4,
        group="Measures",
    )

    def _unnamed(self) -> str:
        for name, fields in self.methods.items():
            kept = {f: v for f, v in fields.items() if f != "regulariser_weight"}
            if all(getattr(self, f) == v for f, v in kept.items()):
                return f"{name} (\u03bb = {self.regulariser_weight:g})"
        scope = "" if self.criterion == "none" else f"{self.scope}-wise "
        return f"{scope}{self.criterion} + {self.regulariser}".replace(" + none", "")

    def begin(self, inputs: Inputs, model: nn.Module, tuned: Mapping[str, Any]) -> PruningRun:
        from workbench.experiments.zero_shot_run import ZeroShotRun

        return ZeroShotRun(self, inputs, model, tuned)
