"""What the experiments on text share: the task, the encoder, and how both are read and scored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from workbench.experiments.base import Experiment, setting
from workbench.observations import Scalar

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

    from workbench.experiments.inputs import Encoded
    from workbench.experiments.training import Settings

TASK_NAMES = (
    *("sentiment", "topics", "qa_matching", "emoji_names"),
    *("stsb", "cola", "sib200", "xnli", "paws-x", "wikiann"),
)
ENCODER_NAMES = ("minilm", "e5-small", "tiny")


THESIS_SIZE = dict(
    task="cola",
    model="google-bert/bert-base-uncased",
    pooling="cls",
    train_size=0,
    eval_size=0,
    test_size=0,
    max_length=128,
    batch_size=32,
    freeze_embeddings=False,
)
"""One of the thesis's own settings: BERT base, whole, on all of a GLUE task."""


@dataclass(frozen=True)
class Inputs:
    """A task as an encoder reads it. ``test`` holds every subset, the source first.

    ``tags`` are the names of the classes where each word has one, and empty where each text does.
    """

    train: Encoded
    validation: Encoded
    test: Encoded
    classes: int
    metric: str
    tags: tuple[str, ...] = ()

    @property
    def by_class(self) -> bool:
        """Whether every text has a class, so that classes of texts may be near or far apart."""
        return self.classes > 1 and not self.tags


@dataclass(frozen=True)
class TextExperiment(Experiment):
    """Settings of every experiment that fine-tunes an encoder on a text task."""

    task: str = setting(
        "sentiment",
        "Text task, or folder:/path or hub:owner/name with columns text and label.",
        choices=TASK_NAMES,
        open=True,
        group="Data",
    )
    model: str = setting(
        "minilm",
        "Encoder to compress, or a local folder or hub id.",
        choices=ENCODER_NAMES,
        open=True,
        group="Data",
    )
    pooling: Literal["mean", "cls"] = setting(
        "mean", "How token states become one representation.", group="Data"
    )
    train_size: int = setting(
        1000, "Training rows (0: all).", minimum=0, maximum=10**7, step=100, group="Data"
    )
    eval_size: int = setting(
        100, "Validation rows (0: all).", minimum=0, maximum=10**6, step=50, group="Data"
    )
    test_size: int = setting(
        60, "Test rows of each subset (0: all).", minimum=0, maximum=10**6, step=50, group="Data"
    )
    max_length: int = setting(
        24, "Longest text, in tokens.", minimum=4, maximum=512, step=4, group="Data"
    )
    freeze_embeddings: bool = setting(
        True, "Keep the embeddings as pretrained while fine-tuning.", group="Training"
    )
    batch_size: int = setting(
        16, "Texts per update.", minimum=1, maximum=1024, step=4, group="Training"
    )
    weight_decay: float = setting(
        0.01, "Decoupled weight decay of AdamW.", minimum=0, maximum=1, step=0.01, group="Training"
    )
    max_grad_norm: float = setting(
        1.0, "Clip gradients to this norm (0: never).", minimum=0, maximum=100, group="Training"
    )
    accumulation: int = setting(
        1, "Batches per update.", minimum=1, maximum=256, step=1, group="Machine"
    )
    precision: Literal["no", "bf16", "fp16"] = setting("no", "Mixed precision.", group="Machine")
    device: Literal["auto", "cpu"] = setting(
        "auto", "auto: a GPU where there is one.", group="Machine", identity=False
    )
    checkpoint_every: int = setting(
        0,
        "Updates between checkpoints inside a phase (0: only at its end).",
        minimum=0,
        maximum=10**6,
        step=10,
        group="Machine",
        identity=False,
    )
    seed: int = setting(
        0,
        "Seed of the head, the batch order, dropout and random masks.",
        minimum=0,
        maximum=2**31,
        step=1,
        group="Experiment",
    )

    @classmethod
    def class_names(cls, task: str) -> tuple[str, ...]:
        """Names of the classes of a named task in the order of its labels; empty for other data."""
        from workbench import datasets

        return datasets.TASKS[task].labels if task in datasets.TASKS else ()

    def data(self) -> dict[str, str]:
        from workbench import datasets, models

        return {"task": datasets.fingerprint(self.task), "model": models.fingerprint(self.model)}

    def inputs(self) -> tuple[Inputs, nn.Module]:
        """The data and a fresh classifier, the head drawn from ``seed``."""
        import torch

        from workbench import models
        from workbench.experiments.training import derive

        read = _read(
            self.task, self.model, self.train_size, self.eval_size, self.test_size, self.max_length
        )
        torch.manual_seed(derive(self.seed, "head"))
        make = models.token_classifier if read.tags else models.classifier
        model, _ = make(self.model, read.classes, pooling=self.pooling)
        if self.freeze_embeddings:
            models.freeze_embeddings(model)
        return read, model

    def settings(self, updates: int, learning_rate: float) -> Settings:
        """Settings of one phase of the training loop."""
        from workbench.experiments.training import Settings

        return Settings(
            updates=updates,
            learning_rate=learning_rate,
            batch_size=self.batch_size,
            weight_decay=self.weight_decay,
            max_grad_norm=self.max_grad_norm,
            accumulation=self.accumulation,
            precision=self.precision,
            device=self.device,
            seed=self.seed,
        )


@lru_cache(maxsize=2)
def _read(task: str, model: str, train: int, validation: int, test: int, longest: int) -> Inputs:
    """Load, draw and tokenise; kept, because a sweep reads the same rows again and again."""
    from workbench import datasets, models
    from workbench.experiments.inputs import encode
    from workbench.models.registry import prefix

    about = datasets.describe(task)
    splits = datasets.limit(
        datasets.load(task), train=train or None, validation=validation or None, test=test or None
    )
    label = splits["train"].features["label"]
    tags = tuple(label.feature.names) if about.kind == "tokens" else ()
    classes = 1 if about.kind == "regression" else len(tags) or label.num_classes
    _, tokenizer = models.load_encoder(model)
    parts = {
        name: encode(splits[name], tokenizer, prefix=prefix(model), max_length=longest)
        for name in ("train", "validation", "test")
    }
    return Inputs(**parts, classes=classes, metric=about.metric, tags=tags)


def measure(
    step: int, inputs: Inputs, split: str, logits: np.ndarray, **labels: str
) -> Iterator[Scalar]:
    """Scores of ``logits`` on a split, one set per domain or language.

    ``logits`` are what ``predict`` gave: (n, classes), or a row for every word that was read.
    """
    data: Encoded = getattr(inputs, split)
    scores_of = _scores_of_words if inputs.tags else _scores_of_texts
    for subset in dict.fromkeys(data.subsets.tolist()):
        told = {"split": split, "subset": subset, **labels}
        for name, value in scores_of(inputs, data, logits, data.subsets == subset).items():
            yield Scalar(step, name, float(value), told)


def _scores_of_texts(
    inputs: Inputs, data: Encoded, logits: np.ndarray, chosen: np.ndarray
) -> Mapping[str, float]:
    """The task's scores on the ``chosen`` texts, and of classes the calibration error."""
    from workbench.metrics.fidelity import calibration_error
    from workbench.metrics.scores import score

    logits, told = logits[chosen], data.labels[chosen]
    if inputs.classes == 1:
        return score(inputs.metric, logits[:, 0], told)
    scores = score(inputs.metric, logits.argmax(-1), told)
    return {**scores, "calibration_error": calibration_error(logits, told)}


def _scores_of_words(
    inputs: Inputs, data: Any, logits: np.ndarray, chosen: np.ndarray
) -> Mapping[str, float]:
    """Scores of whole entities over all words of the ``chosen`` texts.

    Words that ``max_length`` cuts off count as predicted to be in no entity; ``words_read`` is the
    share of the others, over which the calibration error is.
    """
    import numpy as np

    from workbench.metrics.entities import entity_scores
    from workbench.metrics.fidelity import calibration_error

    names, texts = np.asarray(inputs.tags), np.flatnonzero(chosen).tolist()
    ours = [names[tags].tolist() for tags in data.sentences(logits.argmax(-1), texts)]
    theirs = [names[data.labels[i]].tolist() for i in texts]
    rows = np.repeat(chosen, data.counts)
    return {
        **entity_scores(ours, theirs),
        "calibration_error": calibration_error(logits[rows], data.targets(texts)),
        "words_read": int(rows.sum()) / sum(map(len, theirs)),
    }
