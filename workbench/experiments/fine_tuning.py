"""Fine-tuning an encoder on a text task: the teacher of every pruning experiment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from workbench.experiments.base import setting
from workbench.experiments.text import THESIS_SIZE, TextExperiment, measure
from workbench.observations import Checkpoint, Observation, Progress, Scalar


@dataclass(frozen=True)
class FineTuning(TextExperiment):
    """Plain supervised fine-tuning; the record keeps the tuned weights.

    Observations: ``train_loss`` per update; at the end, at step ``updates``, the task's scores and
    the calibration error on validation and test, per domain or language.
    """

    name = "fine-tuning"
    title = "Fine-tuning a pretrained encoder"
    chapter = 11
    version = 1
    keep_checkpoint = True
    profiles = {
        "smoke": dict(model="tiny", train_size=64, eval_size=32, test_size=16, updates=4),
        "laptop": dict(train_size=400, eval_size=100, test_size=40, updates=60),
        "recorded": dict(),
        "thesis": dict(**THESIS_SIZE, updates=4_000, learning_rate=2e-5, checkpoint_every=1000),
    }

    updates: int = setting(
        150, "Updates of fine-tuning.", minimum=1, maximum=10**7, step=10, group="Training"
    )
    learning_rate: float = setting(
        1e-4, "Peak learning rate of fine-tuning.", minimum=0, maximum=1, group="Training"
    )

    def run(self, resume: Checkpoint | None = None) -> Iterator[Observation]:
        from workbench.experiments.inputs import predict
        from workbench.experiments.training import Phase, load_trainable, trainable_state

        inputs, model = self.inputs()
        phase = Phase(
            model,
            inputs.train.lengths,
            inputs.train.collate,
            lambda model, batch: model(**batch).loss,
            self.settings(self.updates, self.learning_rate),
            "fine-tuning",
        )
        if resume is not None:
            arrays = split_arrays(resume)
            load_trainable(model, arrays["model"])
            if resume.step == self.updates:
                return
            phase.resume(resume.step, arrays["optimizer"])
        for update, loss in phase.updates():
            yield Scalar(update, "train_loss", loss)
            yield Progress(update, self.updates, "fine-tuning")
            if (
                self.checkpoint_every
                and update % self.checkpoint_every == 0 < self.updates - update
            ):
                arrays = {"model": trainable_state(model), "optimizer": phase.state()}
                yield Checkpoint(update, join_arrays(**arrays))
        for split in ("validation", "test"):
            logits, _ = predict(model, getattr(inputs, split))
            yield from measure(self.updates, inputs, split, logits, phase="after")
        yield Checkpoint(self.updates, join_arrays(model=trainable_state(model)))


def join_arrays(**groups: dict) -> dict:
    """Groups of named arrays as one flat dict, ``group/name``."""
    return {f"{group}/{name}": a for group, arrays in groups.items() for name, a in arrays.items()}


def split_arrays(checkpoint: Checkpoint) -> dict[str, dict]:
    """The groups that :func:`join_arrays` put together."""
    groups: dict[str, dict] = {}
    for key, array in checkpoint.arrays.items():
        group, name = key.split("/", 1)
        groups.setdefault(group, {})[name] = array
    return groups
