"""What the experiments on whole networks share: a task, a network, and how it is trained on it.

Three kinds of task, each with networks of its own: pictures to be classified, running text to be
predicted word by word, and texts to be classified.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from workbench.experiments.base import Experiment, setting

if TYPE_CHECKING:
    from workbench.experiments.problems import Problem
    from workbench.experiments.training import Settings

IMAGE_TASKS = ("emoji_images", "mnist5k", "cifar10")
CORPORA = ("enwiki", "wikitext2")
TEXT_TASKS = ("sentiment", "topics", "emoji_names", "sib200")
CONVNETS = ("resnet8", "resnet20", "resnet32", "resnet56", "resnet-elu20", "wide-resnet16-2",
            "densenet40-12")  # fmt: skip
TRAINED_CONVNETS = ("cifar10-resnet20", "cifar10-resnet32", "cifar10-resnet44", "cifar10-resnet56")
LANGUAGE_MODELS = ("gpt-small", "gpt-tiny", "openai-community/gpt2")
ENCODERS = ("minilm", "e5-small", "tiny")


@dataclass(frozen=True)
class NetworkExperiment(Experiment):
    """Settings of every experiment that takes a network as a whole."""

    task: str = setting(
        "emoji_images",
        "Pictures or texts to classify, or a corpus to predict word by word; or folder:/path or "
        "hub:owner/name with columns text and label.",
        choices=(*IMAGE_TASKS, *CORPORA, *TEXT_TASKS),
        open=True,
        group="Data",
    )
    model: str = setting(
        "resnet20",
        "A convolutional network for pictures, a GPT for a corpus, an encoder for texts; or your "
        "own: a safetensors file, a local folder or a hub id.",
        choices=(*CONVNETS, *TRAINED_CONVNETS, *LANGUAGE_MODELS, *ENCODERS),
        open=True,
        group="Data",
    )
    train_size: int = setting(
        0, "Training rows (0: all).", minimum=0, maximum=10**7, step=100, group="Data"
    )
    eval_size: int = setting(
        300, "Validation rows (0: all).", minimum=0, maximum=10**6, step=50, group="Data"
    )
    test_size: int = setting(
        0, "Test rows (0: all).", minimum=0, maximum=10**6, step=50, group="Data"
    )
    length: int = setting(
        64, "Tokens in a row of text (longest, or exactly in a corpus).", minimum=4, maximum=1024,
        step=4, group="Data",
    )  # fmt: skip
    augment: bool = setting(
        True, "Shift training pictures at random, and mirror photographs.", group="Training"
    )
    batch_size: int = setting(
        64, "Rows per update.", minimum=1, maximum=1024, step=4, group="Training"
    )
    weight_decay: float = setting(
        0.01, "Decoupled weight decay of AdamW.", minimum=0, maximum=1, step=0.01, group="Training"
    )
    max_grad_norm: float = setting(
        1.0, "Clip gradients to this norm (0: never).", minimum=0, maximum=100, group="Training"
    )
    precision: Literal["no", "bf16", "fp16"] = setting("no", "Mixed precision.", group="Machine")
    device: Literal["auto", "cpu"] = setting(
        "auto", "auto: a GPU where there is one.", group="Machine", identity=False
    )
    seed: int = setting(
        0,
        "Seed of new weights, the order of batches, and all that is drawn.",
        minimum=0,
        maximum=2**31,
        step=1,
        group="Experiment",
    )

    @property
    def already_trained(self) -> bool:
        """Whether the network comes trained for its task, so that none of ours is needed first."""
        return (
            self.model in TRAINED_CONVNETS
            or self.model.endswith(".safetensors")
            or (self.task in CORPORA and not self.model.startswith("gpt-"))
        )

    def first_rate(self, peak: float) -> float:
        """The learning rate of training before: ``peak`` for new weights, a tenth of it where an
        encoder comes pretrained and only its head is new."""
        new = self.model in CONVNETS or self.model.startswith("gpt-")
        return peak if new else peak / 10

    def data(self) -> dict[str, str]:
        from workbench import datasets, models

        return {"task": datasets.fingerprint(self.task), "model": models.fingerprint(self.model)}

    def problem(self) -> Problem:
        """The data and the network, new weights drawn from ``seed``."""
        from workbench.experiments.problems import problem

        return problem(self)

    def settings(self, updates: int, learning_rate: float) -> Settings:
        """Settings of one phase of the training loop."""
        from workbench.experiments.training import Settings

        return Settings(
            updates=updates,
            learning_rate=learning_rate,
            batch_size=self.batch_size,
            weight_decay=self.weight_decay,
            max_grad_norm=self.max_grad_norm,
            precision=self.precision,
            device=self.device,
            seed=self.seed,
            fused=True,
        )


def shared_settings(experiment: NetworkExperiment) -> dict[str, Any]:
    """The fields above, for an experiment that needs another on the same network."""
    import dataclasses

    names = [f.name for f in dataclasses.fields(NetworkExperiment)]
    return {name: getattr(experiment, name) for name in names}
