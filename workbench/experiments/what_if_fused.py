"""What if layers of it were one? A network, loaded once, and asked again and again.

    loaded = WhatIfFused(task="sentiment", model="minilm").load()
    loaded.similarity("bures_wasserstein", "query")          # names and matrix
    answer = loaded.fuse(3, "mean", "bures_wasserstein", "query")
    print(answer.sentence)

Nothing is retrained and no record is written: the answer is what fusion does *at once*.
Importing this imports neither torch nor pandas; loading does.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from workbench.experiments.base import setting
from workbench.experiments.iterative_pruning import last_checkpoint
from workbench.experiments.layer_fusion import MEASURE_NAMES
from workbench.experiments.network import (
    CONVNETS,
    CORPORA,
    ENCODERS,
    IMAGE_TASKS,
    LANGUAGE_MODELS,
    TRAINED_CONVNETS,
    NetworkExperiment,
    shared_settings,
)
from workbench.experiments.network_training import NetworkTraining
from workbench.experiments.what_if import in_words, last_value
from workbench.observations import Checkpoint, Observation, Progress

if TYPE_CHECKING:
    from workbench.experiments.what_if_fused_model import LoadedNetwork

QUESTION = ("measure", "module", "fusing", "among", "neighbours", "count")
"""The settings that may change without loading anything again."""
MEASURES = tuple(name for name in MEASURE_NAMES if name != "random")
EVERY = ("evenly", "closest")
"""Where the closest pairs are sought, if not among layers of one type only."""


@dataclass(frozen=True)
class WhatIfFused(NetworkExperiment):
    """Which network to load, on which task; and which of its layers are to become one.

    A network that does not come trained for its task is trained on it first.
    """

    name = "what-if-fused"
    title = "What if layers of it were one"
    chapter = 8
    profiles = {
        "smoke": dict(
            task="mnist5k", model="resnet8", train_size=64, eval_size=32, test_size=32,
            batch_size=16, base_updates=4,
        ),
        "laptop": dict(train_size=2000, eval_size=100, test_size=100, batch_size=32, length=32),
    }  # fmt: skip

    base_updates: int = setting(
        100,
        "Updates of training, where the network does not come trained and no record has it.",
        minimum=1,
        maximum=10**5,
        step=10,
        group="Training",
    )
    base_learning_rate: float = setting(
        2e-3,
        "Peak learning rate of that training (a tenth of it for pretrained encoders).",
        minimum=0,
        maximum=1,
        group="Training",
    )
    measure: str = setting(
        "bures_wasserstein", "What makes two layers alike.", choices=MEASURES, group="Question"
    )
    module: str = setting(
        "", "Type of layer that is looked at; empty: the first one.", group="Question"
    )
    fusing: Literal["mean", "freeze", "mix", "transport"] = setting(
        "mean",
        "What two layers become: their mean, one of them (freeze), each weight of either (mix), or "
        "the mean after their units were matched (transport).",
        group="Question",
    )
    among: Literal["one", "evenly", "closest"] = setting(
        "one",
        "Where the closest pairs are sought: in this type of layer, in every type alike (evenly), "
        "or in all at once, the smallest distance first (closest: Algorithm 3).",
        group="Question",
    )
    neighbours: bool = setting(
        False, "Only neighbouring layers of one type are among the closest pairs.", group="Question"
    )
    count: int = setting(
        1, "Number of closest pairs to fuse.", minimum=0, maximum=10**4, step=1, group="Question"
    )

    def requirements(self) -> dict[str, NetworkTraining]:
        if self.already_trained:
            return {}
        changes = dict(
            updates=self.base_updates, learning_rate=self.first_rate(self.base_learning_rate)
        )
        return {"whole": NetworkTraining(**{**shared_settings(self), **changes})}

    def load(
        self, whole: Checkpoint | None = None, trained: NetworkTraining | None = None
    ) -> LoadedNetwork:
        """Load it and wait for it; see :meth:`loading`."""
        return last_value(self.loading(whole, trained))

    def loading(
        self, whole: Checkpoint | None = None, trained: NetworkTraining | None = None
    ) -> Generator[Observation, None, LoadedNetwork]:
        """Load data and network, and measure it whole; yields progress, returns what was loaded.

        Args:
            whole: the last checkpoint of a training, for a network that does not come trained;
                without one it is trained here.
            trained: the settings of that training; those of :meth:`requirements` by default.

        Raises:
            ValueError: task or network cannot be had, or do not go together; the text says the way
                out.
        """
        with in_words():
            return (yield from self._loading(whole, trained))

    def _loading(
        self, whole: Checkpoint | None, trained: NetworkTraining | None
    ) -> Generator[Observation, None, LoadedNetwork]:
        yield Progress(0, 3, "reading the data and the network")
        needed = trained or self.requirements().get("whole")
        if needed is not None and whole is None:
            whole = yield from last_checkpoint(needed.run())
        from workbench.experiments.what_if_fused_model import LoadedNetwork  # torch loads here

        loaded = LoadedNetwork(self, self.problem())
        if needed is not None and whole is not None:
            loaded.take_trained(whole, needed.updates)
        yield Progress(1, 3, "measuring it whole")
        loaded.measure_whole()
        yield Progress(2, 3, "taking the time")
        loaded.time_whole()
        yield Progress(3, 3, "loaded")
        return loaded


def fitting(task: str) -> tuple[str, ...]:
    """Names of networks that read what ``task`` is made of: pictures, running text, or texts."""
    if task in IMAGE_TASKS:
        return (*CONVNETS, *TRAINED_CONVNETS) if task == "cifar10" else CONVNETS
    return LANGUAGE_MODELS if task in CORPORA else ENCODERS
