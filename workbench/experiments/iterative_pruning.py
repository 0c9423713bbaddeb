"""Iterative pruning: the settings that the chapters about it share."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from workbench.experiments.base import setting
from workbench.experiments.fine_tuning import FineTuning, split_arrays
from workbench.experiments.named_methods import NamedMethods
from workbench.experiments.scoring import CRITERIA
from workbench.experiments.text import Inputs, TextExperiment
from workbench.observations import Checkpoint, Observation, Progress

if TYPE_CHECKING:
    from torch import nn

    from workbench.experiments.pruning_run import PruningRun

PRUNED: Mapping[str, tuple[Any, ...]] = {"criterion": CRITERIA}


@dataclass(frozen=True)
class IterativePruning(NamedMethods, TextExperiment):
    """Settings of the iterative pruning experiments. Steps are pruning steps; 0 is dense."""

    budget = ("train_size", "pruning_steps", "updates")

    criterion: str = setting("magnitude", "Which weights go first.", group="Method")
    scope: str = setting(
        "layer",
        "The same share of every layer, or one threshold for all.",
        group="Method",
        when=PRUNED,
    )
    schedule: Literal["geometric", "linear", "cubic"] = setting(
        "geometric",
        "How density falls; geometric: a fixed share of what remains (the thesis).",
        group="Schedule",
        when=PRUNED,
    )
    pruning_steps: int = setting(
        9, "Pruning steps.", minimum=1, maximum=200, step=1, group="Schedule"
    )
    final_density: float = setting(
        0.05,
        "Share of the prunable weights left at the end.",
        minimum=0.001,
        maximum=1,
        step=0.01,
        group="Schedule",
        when=PRUNED,
    )
    updates: int = setting(
        10,
        "Updates of retraining after each pruning step.",
        minimum=0,
        maximum=10**7,
        step=5,
        group="Training",
    )
    learning_rate: float = setting(
        1e-4, "Peak learning rate of retraining.", minimum=0, maximum=1, group="Training"
    )
    teacher_updates: int = setting(
        150,
        "Updates of fine-tuning before pruning.",
        minimum=1,
        maximum=10**7,
        step=10,
        group="Training",
    )
    teacher_learning_rate: float = setting(
        1e-4,
        "Peak learning rate of fine-tuning before pruning.",
        minimum=0,
        maximum=1,
        group="Training",
    )
    projections: Literal["none", "pca", "all"] = setting(
        "all",
        "Which two-dimensional projections to record (all: PCA, LDA and t-SNE).",
        group="Measures",
    )

    def densities(self) -> tuple[float, ...]:
        """Target density of every step, 1.0 first."""
        from workbench.methods import schedules

        if self.criterion == "none":
            return (1.0,) * (self.pruning_steps + 1)
        return schedules.densities(self.schedule, self.pruning_steps, self.final_density)

    def requirements(self) -> dict[str, FineTuning]:
        names = [f.name for f in dataclasses.fields(TextExperiment)]
        shared = {f: getattr(self, f) for f in names}
        return {
            "teacher": FineTuning(
                **shared, updates=self.teacher_updates, learning_rate=self.teacher_learning_rate
            )
        }

    def run(
        self, resume: Checkpoint | None = None, teacher: Checkpoint | None = None
    ) -> Iterator[Observation]:
        if teacher is None:
            teacher = yield from last_checkpoint(self.requirements()["teacher"].run())
        inputs, model = self.inputs()
        yield from self.begin(inputs, model, split_arrays(teacher)["model"]).observe(resume)

    def begin(self, inputs: Inputs, model: nn.Module, tuned: Mapping[str, Any]) -> PruningRun:
        """The run that starts from the pretrained ``model`` and its fine-tuned weights."""
        raise NotImplementedError


def last_checkpoint(
    observations: Iterator[Observation],
) -> Generator[Observation, None, Checkpoint]:
    """Pass progress on; return the last checkpoint (for runs without a store)."""
    last = None
    for observation in observations:
        if isinstance(observation, Checkpoint):
            last = observation
        elif isinstance(observation, Progress):
            yield observation
    if last is None:
        raise ValueError("The teacher's run ended without a checkpoint.")
    return last
