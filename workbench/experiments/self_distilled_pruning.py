"""Chapter 11: iterative pruning, with the fine-tuned network itself as the teacher.

Prune a share of the remaining weights, measure at once, retrain for a fixed number of updates,
measure again, and so on. The seven methods differ only in criterion, scope and loss; data, budget,
order of batches and teacher are the same, so that what differs in the result is the method.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from workbench.experiments.base import setting
from workbench.experiments.iterative_pruning import PRUNED, IterativePruning
from workbench.experiments.pruning_run import AFTER, PruningRun
from workbench.experiments.text import THESIS_SIZE, Inputs
from workbench.observations import Observation, Scalar

if TYPE_CHECKING:
    from torch import nn


METHODS: Mapping[str, Mapping[str, str]] = {
    "none": {"criterion": "none", "loss": "none"},
    "random": {"criterion": "random", "scope": "layer", "loss": "none"},
    "magnitude": {"criterion": "magnitude", "scope": "layer", "loss": "none"},
    "global magnitude": {"criterion": "magnitude", "scope": "global", "loss": "none"},
    "SDP-KLD": {"criterion": "magnitude", "scope": "layer", "loss": "kld"},
    "SDP-COS": {"criterion": "magnitude", "scope": "layer", "loss": "cos"},
    "SDP-CC": {"criterion": "magnitude", "scope": "layer", "loss": "cc"},
}
"""The seven methods of the chapter's comparison, as settings."""

COMPONENTS = 3
"""Principal components that mutual information is estimated on: with hundreds of samples the
nearest-neighbour estimate of more is far below the truth (see ``metrics.information``)."""

DISTILLED = {"loss": ("kld", "cc")}


@dataclass(frozen=True)
class SelfDistilledPruning(IterativePruning):
    """Iterative pruning with self-distillation (thesis, chapter 11, Algorithm 5).

    Steps are pruning steps; step 0 is the dense teacher. See ``data/README.md`` for the names and
    labels of what is observed.
    """

    name = "self-distilled-pruning"
    title = "Self-distilled pruning"
    chapter = 11
    version = 1
    methods: ClassVar = METHODS
    profiles = {
        "smoke": dict(
            model="tiny",
            train_size=48,
            eval_size=32,
            test_size=12,
            teacher_updates=4,
            pruning_steps=2,
            updates=2,
            projections="pca",
        ),
        "laptop": dict(
            train_size=400,
            eval_size=100,
            test_size=30,
            teacher_updates=50,
            pruning_steps=5,
            updates=8,
            projections="pca",
        ),
        "recorded": dict(),
        "thesis": dict(
            **THESIS_SIZE,
            teacher_updates=4_000,
            teacher_learning_rate=2e-5,
            pruning_steps=32,
            final_density=0.9**32,
            updates=267,
            learning_rate=2e-5,
            checkpoint_every=267,
        ),
    }

    criterion: Literal["none", "random", "magnitude"] = setting(
        "magnitude", "Which weights go first; none: the unpruned control.", group="Method"
    )
    scope: Literal["layer", "global"] = setting(
        "layer",
        "The same share of every layer, or one threshold for all.",
        group="Method",
        when=PRUNED,
    )
    loss: Literal["none", "kld", "cos", "cc"] = setting(
        "cc",
        "Distillation from the unpruned network while retraining (11.1 to 11.3).",
        group="Method",
    )
    alpha: float = setting(
        0.5,
        "Weight of the teacher against the labels.",
        symbol=r"\alpha",
        minimum=0,
        maximum=1,
        step=0.05,
        group="Method",
        when={"loss": ("kld", "cos", "cc")},
    )
    tau: float = setting(
        0.9,
        "Softmax temperature; below 1 it sharpens.",
        symbol=r"\tau",
        minimum=0.05,
        maximum=20,
        step=0.05,
        group="Method",
        when=DISTILLED,
    )
    beta: float = setting(
        2e-5,
        "Weight of the cross-correlation loss.",
        symbol=r"\beta",
        minimum=0,
        maximum=10,
        group="Method",
        when={"loss": ("cc",)},
    )
    beta_cos: float = setting(
        0.05,
        "Weight of the cosine loss of SDP-COS.",
        symbol=r"\beta",
        minimum=0,
        maximum=10,
        group="Method",
        when={"loss": ("cos",)},
    )
    off_diagonal: float = setting(
        0.0051,
        "Weight of the off-diagonal correlations.",
        symbol=r"\lambda",
        minimum=0,
        maximum=1,
        group="Method",
        when={"loss": ("cc",)},
    )

    def _unnamed(self) -> str:
        scope = "global " if self.scope == "global" and self.criterion != "none" else ""
        return f"{scope}{self.criterion} + {self.loss.upper()}".replace(" + NONE", "")

    def begin(self, inputs: Inputs, model: nn.Module, tuned: Mapping[str, Any]) -> PruningRun:
        return _Run(self, inputs, model, tuned)


class _Run(PruningRun):
    """Magnitude or random pruning, retrained with the dense network as the teacher."""

    def __init__(
        self,
        experiment: SelfDistilledPruning,
        inputs: Inputs,
        model: nn.Module,
        tuned: Mapping[str, Any],
    ) -> None:
        from workbench.methods.self_distillation import SelfDistillation

        super().__init__(experiment, inputs, model, tuned)
        self.distillation = SelfDistillation(
            loss=experiment.loss,
            alpha=experiment.alpha,
            tau=experiment.tau,
            beta=experiment.beta_cos if experiment.loss == "cos" else experiment.beta,
            off_diagonal=experiment.off_diagonal,
        )

    def terms(self, model: nn.Module, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Weighted terms of the objective; the teacher in evaluation mode, without gradients."""
        import torch

        inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
        student, teacher = model(**inputs), None
        if self.experiment.loss != "none":
            with torch.no_grad():
                teacher = self.teacher(**inputs)
        return self.distillation.terms(student, teacher, batch["labels"])

    def compared(self, step: int) -> Iterator[Observation]:
        """Mutual information between the student's and the teacher's representations."""
        from workbench.metrics import information

        for estimator in information.ESTIMATORS:
            values: dict[str, Callable[..., float]] = {
                "estimate": information.mutual_information,
                "ceiling": lambda ours, theirs, **options: information.ceiling(theirs, **options),
                "floor": information.floor,
            }
            for role, measured in values.items():
                value = measured(
                    self.hidden, self.teacher_hidden, estimator=estimator, components=COMPONENTS
                )
                labels = {**AFTER, "estimator": estimator, "role": role}
                yield Scalar(step, "mutual_information", float(value), labels)
