"""What if it were pruned? One model, loaded once, and asked again and again.

    loaded = WhatIf(task="sentiment", model="minilm").load()
    answer = loaded.prune("magnitude", "global", density=0.1)
    answer.scalars, answer.histograms        # as the figures want them

No weight is retrained and no record is written: the answer is what pruning does *at once*.
Importing this imports neither torch nor pandas; loading does.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from workbench.experiments.base import Experiment, setting
from workbench.experiments.fine_tuning import FineTuning
from workbench.experiments.iterative_pruning import last_checkpoint
from workbench.experiments.scoring import CRITERIA, NEED_DATA
from workbench.experiments.text import ENCODER_NAMES, TASK_NAMES
from workbench.observations import Checkpoint, Observation, Progress

if TYPE_CHECKING:
    from workbench.experiments.what_if_model import LoadedModel

QUESTION = ("criterion", "scope", "density")
"""The settings that may change without loading anything again."""


@dataclass(frozen=True)
class WhatIf(Experiment):
    """Which model to load, on which task, with which head; and the question to ask of it.

    The score is that of a head on the *unpruned* encoder, which stays as it is when weights go:

    - ``probe``: logistic regression on the frozen encoder's representations of the training texts.
      There in seconds, for any encoder; it is no fine-tuned classifier, and its scores are lower.
    - ``fine-tuned``: encoder and head fine-tuned on the task, as in chapters 9 and 11.
    """

    name = "what-if"
    title = "What if it were pruned"
    chapter = 9
    profiles = {
        "smoke": dict(
            task="emoji_names", model="tiny", train_size=48, test_size=6, updates=4,
            scoring_batches=1,
        ),
        "laptop": dict(),
    }  # fmt: skip

    task: str = setting(
        "sentiment",
        "Text task, or folder:/path or hub:owner/name with columns text and label.",
        choices=TASK_NAMES,
        open=True,
        group="Model",
    )
    model: str = setting(
        "minilm",
        "Encoder to prune: one of these, or your own: a local folder or a hub id (owner/name).",
        choices=ENCODER_NAMES,
        open=True,
        group="Model",
    )
    head: Literal["probe", "fine-tuned"] = setting(
        "probe",
        "What the score is of. probe: a linear classifier on the frozen encoder, in seconds; "
        "fine-tuned: from your records, or trained now in about a minute.",
        group="Model",
    )
    train_size: int = setting(
        400, "Training rows for the head and for scoring.", minimum=16, maximum=10**5, step=50,
        group="Model",
    )  # fmt: skip
    test_size: int = setting(
        15, "Test rows of each domain or language.", minimum=1, maximum=10**4, step=5,
        group="Model",
    )  # fmt: skip
    max_length: int = setting(
        24, "Longest text, in tokens.", minimum=4, maximum=512, step=4, group="Model"
    )
    updates: int = setting(
        60,
        "Updates of fine-tuning, where no record has a fine-tuned model of this task.",
        minimum=1,
        maximum=10**5,
        step=10,
        group="Model",
        when={"head": ("fine-tuned",)},
    )
    scoring_batches: int = setting(
        2,
        "Batches of 16 training rows that criteria with data read.",
        minimum=1,
        maximum=1000,
        step=1,
        group="Model",
    )
    seed: int = setting(
        0, "Seed of the head and of random masks.", minimum=0, maximum=2**31, step=1, group="Model"
    )
    criterion: str = setting(
        "magnitude", "Which weights go first.", choices=CRITERIA, group="Question"
    )
    scope: Literal["layer", "global", "row"] = setting(
        "layer",
        "The same share of every layer, of every output unit (row), or one threshold for all.",
        group="Question",
    )
    density: float = setting(
        0.5, "Share of the prunable weights left.", minimum=0.001, maximum=1, group="Question"
    )

    @property
    def needs_data(self) -> bool:
        """Whether the criterion reads training batches."""
        return self.criterion in NEED_DATA

    def fine_tuning(self) -> FineTuning:
        """The fine-tuning that ``head="fine-tuned"`` starts from."""
        return FineTuning.profile(
            "laptop",
            task=self.task,
            model=self.model,
            train_size=self.train_size,
            eval_size=min(100, self.train_size),
            test_size=self.test_size,
            max_length=self.max_length,
            updates=self.updates,
            seed=self.seed,
        )

    def requirements(self) -> dict[str, FineTuning]:
        return {"tuned": self.fine_tuning()} if self.head == "fine-tuned" else {}

    def load(
        self, tuned: Checkpoint | None = None, trained: FineTuning | None = None
    ) -> LoadedModel:
        """Load it and wait for it; see :meth:`loading`."""
        return last_value(self.loading(tuned, trained))

    def loading(
        self, tuned: Checkpoint | None = None, trained: FineTuning | None = None
    ) -> Generator[Observation, None, LoadedModel]:
        """Load data and model, and make the head; yields progress, returns the loaded model.

        Args:
            tuned: the last checkpoint of a fine-tuning, for ``head="fine-tuned"``; without one the
                model is fine-tuned here.
            trained: the settings of that fine-tuning; :meth:`fine_tuning` by default.

        Raises:
            ValueError: task or model cannot be had or used; the text says the way out.
        """
        with in_words():
            return (yield from self._loading(tuned, trained))

    def _loading(
        self, tuned: Checkpoint | None, trained: FineTuning | None
    ) -> Generator[Observation, None, LoadedModel]:
        yield Progress(0, 4, "reading the data and the model")
        source = trained or self.fine_tuning()
        if self.head == "fine-tuned" and tuned is None:
            tuned = yield from last_checkpoint(source.run())
        from workbench.experiments.what_if_model import LoadedModel  # torch loads here

        source = dataclasses.replace(
            source, train_size=self.train_size, eval_size=16, test_size=self.test_size
        )
        inputs, model = source.inputs()
        loaded = LoadedModel(self, inputs, model)
        yield Progress(1, 4, "making the head")
        if tuned is None:
            yield from loaded.fit_probe()
        else:
            loaded.take_tuned(tuned, source.updates)
        yield Progress(3, 4, "measuring it unpruned")
        loaded.measure_dense()
        yield Progress(4, 4, "loaded")
        return loaded


@contextmanager
def in_words() -> Iterator[None]:
    """What cannot be had is a wrong setting, to whoever typed it: raised as a ``ValueError``."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError, RuntimeError) as error:
        # Sources are two floors down, so their errors are known by name.
        kinds = {kind.__name__ for kind in type(error).__mro__}
        if isinstance(error, RuntimeError) and "SourceError" not in kinds:
            raise
        raise ValueError(str(error)) from error


def last_value(steps: Generator[Any, None, Any]) -> Any:
    """What a generator returns, its progress left unread."""
    while True:
        try:
            next(steps)
        except StopIteration as ended:
            return ended.value
