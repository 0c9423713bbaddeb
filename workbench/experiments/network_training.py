"""Training a network on its task: what is compressed afterwards, where none comes trained."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from workbench.experiments.base import setting
from workbench.experiments.fine_tuning import join_arrays, split_arrays
from workbench.experiments.network import NetworkExperiment
from workbench.observations import Checkpoint, Observation, Progress, Scalar


@dataclass(frozen=True)
class NetworkTraining(NetworkExperiment):
    """Plain training of all weights; the record keeps them.

    Observations: ``train_loss`` per update; at the end, at step ``updates``, the accuracy or the
    perplexity on validation and test.
    """

    name = "network-training"
    title = "Training a network"
    chapter = 8
    version = 1
    keep_checkpoint = True
    profiles = {
        "smoke": dict(task="mnist5k", model="resnet8", train_size=64, eval_size=32, test_size=32,
                      updates=4, batch_size=16),
        "laptop": dict(),
        "recorded": dict(),
        "thesis": dict(task="cifar10", model="resnet56", eval_size=0, updates=64_000,
                       batch_size=128, learning_rate=1e-3, checkpoint_every=1000),
    }  # fmt: skip

    updates: int = setting(
        300, "Updates of training.", minimum=1, maximum=10**7, step=50, group="Training"
    )
    learning_rate: float = setting(
        2e-3, "Peak learning rate.", minimum=0, maximum=1, group="Training"
    )
    checkpoint_every: int = setting(
        100,
        "Updates between checkpoints (0: only at the end).",
        minimum=0,
        maximum=10**6,
        step=10,
        group="Machine",
        identity=False,
    )

    def run(self, resume: Checkpoint | None = None) -> Iterator[Observation]:
        from workbench.experiments.training import Phase, load_state, state_arrays

        problem = self.problem()
        network = problem.network
        if resume is not None:
            arrays = split_arrays(resume)
            load_state(network, arrays["model"])
            if resume.step == self.updates:
                return
        phase = Phase(
            network,
            problem.lengths,
            problem.collate,
            problem.loss,
            self.settings(self.updates, self.learning_rate),
            "training",
        )
        if resume is not None:
            phase.resume(resume.step, arrays["optimizer"])
        for update, loss in phase.updates():
            yield Scalar(update, "train_loss", loss)
            yield Progress(update, self.updates, "training")
            every = self.checkpoint_every
            if every and update % every == 0 < self.updates - update:
                arrays = {"model": state_arrays(network), "optimizer": phase.state()}
                yield Checkpoint(update, join_arrays(**arrays))
        for split in ("validation", "test"):
            value = problem.evaluate(network, split)
            yield Scalar(self.updates, problem.metric, value, {"split": split, "phase": "after"})
        yield Checkpoint(self.updates, join_arrays(model=state_arrays(network)))
