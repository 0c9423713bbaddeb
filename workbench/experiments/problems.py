"""Networks with what they are trained and tested on: pictures, running text, or texts to classify.

A :class:`Problem` reads all three in one way, so that an experiment that changes networks does not
ask what they are made of.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from workbench.experiments.training import derive

if TYPE_CHECKING:
    from workbench.experiments.inputs import Encoded
    from workbench.experiments.network import NetworkExperiment

SPLITS = ("train", "validation", "test")
EVALUATED_AT_ONCE = 100
MIRRORED = ("cifar10",)
"""Tasks of photographs, whose mirror images are as good; letters and signs are not."""
SHIFTED = 4
"""Pixels by which training pictures of 32 are shifted at most (He et al. 2016)."""


class Problem:
    """A network and its data.

    ``metric`` is what :meth:`evaluate` gives: ``accuracy`` (share of rows, in [0, 1]) or
    ``perplexity`` (at least 1, lower is better).
    """

    metric = "accuracy"
    lower_is_better = False

    def __init__(self, network: nn.Module, rows: Mapping[str, Any]) -> None:
        self.network, self.rows = network, rows

    @property
    def lengths(self) -> Sequence[int]:
        """Length of every training row: rows of like length make a batch."""
        return [1] * len(self.rows["train"])

    def collate(self, indices: Sequence[int], split: str = "train") -> dict[str, Tensor]:
        """A batch as :meth:`loss` takes it."""
        raise NotImplementedError

    def inputs(self, indices: Sequence[int], split: str = "train") -> dict[str, Tensor]:
        """A batch as the network takes it, by keyword: no labels, nothing drawn."""
        raise NotImplementedError

    def loss(self, network: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
        """Mean loss of a batch, in nats."""
        raise NotImplementedError

    def evaluate(self, network: nn.Module, split: str) -> float:
        """``metric`` over a split, in evaluation mode."""
        raise NotImplementedError

    def batches(self, count: int, size: int, *seed: int | str) -> list[dict[str, Tensor]]:
        """``count`` batches of training inputs of ``size`` rows, drawn from ``seed``."""
        rng = np.random.default_rng(derive(*seed))
        total = len(self.rows["train"])
        drawn = rng.permutation(total)[: count * size]
        return [self.inputs(drawn[i : i + size].tolist()) for i in range(0, len(drawn), size)]

    def _chunks(self, split: str) -> Iterator[list[int]]:
        count = len(self.rows[split])
        for start in range(0, count, EVALUATED_AT_ONCE):
            yield list(range(start, min(start + EVALUATED_AT_ONCE, count)))


class Pictures(Problem):
    """Pictures to classify; rows are ``datasets.images.Images``."""

    def __init__(
        self, network: nn.Module, rows: Mapping[str, Any], augment: bool, mirror: bool
    ) -> None:
        super().__init__(network, rows)
        self.augment, self.mirror = augment, mirror

    def collate(self, indices: Sequence[int], split: str = "train") -> dict[str, Tensor]:
        pixels = self.inputs(indices, split)["pixels"]
        if self.augment and split == "train":
            pixels = _shifted(pixels)
            if self.mirror:
                turned = torch.rand(len(pixels)) < 0.5
                pixels = torch.where(turned[:, None, None, None], pixels.flip(-1), pixels)
        labels = torch.from_numpy(self.rows[split].labels[list(indices)])
        return {"pixels": pixels, "labels": labels}

    def inputs(self, indices: Sequence[int], split: str = "train") -> dict[str, Tensor]:
        from workbench.models.convnets import normalise

        return {"pixels": normalise(self.rows[split].pixels[list(indices)])}

    def loss(self, network: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
        return nn.functional.cross_entropy(network(batch["pixels"]), batch["labels"])

    def evaluate(self, network: nn.Module, split: str) -> float:
        right, device = 0, _device(network)
        with evaluating(network):
            for indices in self._chunks(split):
                logits = network(self.inputs(indices, split)["pixels"].to(device))
                wanted = torch.from_numpy(self.rows[split].labels[indices]).to(device)
                right += int((logits.argmax(-1) == wanted).sum())
        return right / len(self.rows[split])


class RunningText(Problem):
    """Text to predict token by token; rows are blocks of tokens (rows, length)."""

    metric = "perplexity"
    lower_is_better = True

    def collate(self, indices: Sequence[int], split: str = "train") -> dict[str, Tensor]:
        return self.inputs(indices, split)

    def inputs(self, indices: Sequence[int], split: str = "train") -> dict[str, Tensor]:
        ids = torch.as_tensor(np.asarray(self.rows[split])[list(indices)])
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}

    def loss(self, network: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
        return network(**batch, labels=batch["input_ids"]).loss

    def evaluate(self, network: nn.Module, split: str) -> float:
        total, count, device = 0.0, 0, _device(network)
        with evaluating(network):
            for indices in self._chunks(split):
                batch = {n: t.to(device) for n, t in self.inputs(indices, split).items()}
                tokens = batch["input_ids"][:, 1:].numel()
                total += float(self.loss(network, batch)) * tokens
                count += tokens
        # Larger than any number: a network that is broken, not an error.
        return float(np.exp(min(total / count, 700.0)))


class Texts(Problem):
    """Texts to classify; rows are ``Encoded``."""

    rows: Mapping[str, Encoded]

    @property
    def lengths(self) -> Sequence[int]:
        return self.rows["train"].lengths

    def collate(self, indices: Sequence[int], split: str = "train") -> dict[str, Tensor]:
        return self.rows[split].collate(indices)

    def inputs(self, indices: Sequence[int], split: str = "train") -> dict[str, Tensor]:
        batch = self.rows[split].collate(indices)
        return {name: tensor for name, tensor in batch.items() if name != "labels"}

    def loss(self, network: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
        return network(**batch).loss

    def evaluate(self, network: nn.Module, split: str) -> float:
        from workbench.experiments.inputs import predict

        logits, _ = predict(network, self.rows[split])
        return float((logits.argmax(-1) == self.rows[split].labels).mean())


def problem(settings: NetworkExperiment) -> Problem:
    """The task and the network that ``settings`` name.

    Raises:
        ValueError: the network does not read what the task is made of; the text names some that do.
    """
    from workbench.experiments.network import CORPORA, IMAGE_TASKS

    torch.manual_seed(derive(settings.seed, "network"))
    if settings.task in IMAGE_TASKS:
        return _pictures(settings)
    if settings.task in CORPORA:
        return _running_text(settings)
    return _texts(settings)


def _pictures(settings: NetworkExperiment) -> Problem:
    from workbench import datasets
    from workbench.experiments.network import CONVNETS, TRAINED_CONVNETS
    from workbench.models import convnets

    name, about = settings.model, datasets.IMAGE_TASKS[settings.task]
    rows = _images(settings.task, settings.train_size, settings.eval_size, settings.test_size)
    classes = len(about.labels)
    if name in convnets.CONVNETS:
        network = convnets.convnet(name, classes, channels=rows["train"].pixels.shape[-1])
    elif name in convnets.TRAINED:
        network = convnets.trained_convnet(name)
    elif name.endswith(".safetensors"):
        network = convnets.load_convnet(name, classes)
    else:
        _wrong(settings, "pictures", (*CONVNETS, *TRAINED_CONVNETS, "a .safetensors file"))
    return Pictures(network, rows, settings.augment, settings.task in MIRRORED)


def _running_text(settings: NetworkExperiment) -> Problem:
    from workbench.experiments.network import CONVNETS, ENCODERS, LANGUAGE_MODELS, TRAINED_CONVNETS
    from workbench.models import language

    if settings.model in (*CONVNETS, *TRAINED_CONVNETS, *ENCODERS):
        _wrong(settings, "running text", LANGUAGE_MODELS)
    own = settings.model in language.LANGUAGE_MODELS  # its tokens are learned from the corpus
    texts = _corpus(settings.task)["train"] if own else ()
    network, tokenizer = language.load_language_model(settings.model, texts)
    sizes = (settings.train_size, settings.eval_size, settings.test_size)
    rows = _blocks(settings.task, settings.model, settings.length, sizes, tokenizer)
    return RunningText(network, rows)


def _texts(settings: NetworkExperiment) -> Problem:
    from workbench import models
    from workbench.experiments import text
    from workbench.experiments.network import CONVNETS, ENCODERS, LANGUAGE_MODELS, TRAINED_CONVNETS

    if settings.model in (*CONVNETS, *TRAINED_CONVNETS, *LANGUAGE_MODELS):
        _wrong(settings, "texts to classify", ENCODERS)
    read = text._read(
        settings.task,
        settings.model,
        settings.train_size,
        settings.eval_size,
        settings.test_size,
        settings.length,
    )
    if not read.by_class:
        raise ValueError(
            f"task = {settings.task!r} is not one of classes of texts; choose one that is, such as "
            "'sentiment'."
        )
    network, _ = models.classifier(settings.model, read.classes, pooling="mean")
    models.freeze_embeddings(network)
    return Texts(network, {split: _source_only(getattr(read, split)) for split in SPLITS})


def _wrong(settings: NetworkExperiment, kind: str, fitting: Sequence[str]) -> None:
    raise ValueError(
        f"model = {settings.model!r} does not read {kind}, which is what {settings.task} is made "
        f"of; choose one of {', '.join(fitting)}."
    )


@lru_cache(maxsize=2)
def _images(task: str, *sizes: int) -> Mapping[str, Any]:
    from workbench import datasets

    splits = datasets.load_images(task)
    return {
        name: splits[name] if not size else splits[name].take(_drawn(splits[name].labels, size))
        for name, size in zip(SPLITS, sizes, strict=True)
    }


def _drawn(labels: np.ndarray, size: int) -> np.ndarray:
    """``size`` rows, the classes in turn, so that all are there."""
    if size >= len(labels):
        return np.arange(len(labels))
    rng = np.random.default_rng(0)
    order = rng.permutation(len(labels))
    turn = np.zeros(len(labels), dtype=int)
    seen: dict[int, int] = {}
    for i in order.tolist():
        turn[i] = seen.setdefault(int(labels[i]), 0)
        seen[int(labels[i])] += 1
    return np.sort(order[np.argsort(turn[order], kind="stable")][:size])


@lru_cache(maxsize=1)
def _corpus(task: str) -> Mapping[str, Any]:
    from workbench import datasets

    return datasets.load_corpus(task)


_read_blocks: dict[tuple, Mapping[str, np.ndarray]] = {}


def _blocks(
    task: str, model: str, length: int, sizes: Sequence[int], tokenizer: Any
) -> Mapping[str, np.ndarray]:
    """Blocks of tokens of each split; kept, because a sweep reads the same ones again and again."""
    from workbench.models import language

    key = (task, model, length, *sizes)
    if key not in _read_blocks:
        _read_blocks.clear()
        corpus = _corpus(task)
        whole = {split: language.blocks(corpus[split], tokenizer, length) for split in SPLITS}
        rng = np.random.default_rng(0)
        _read_blocks[key] = {
            split: np.asarray(rows)
            if not size or size >= len(rows)
            else np.asarray(rows)[np.sort(rng.permutation(len(rows))[:size])]
            for (split, rows), size in zip(whole.items(), sizes, strict=True)
        }
    return _read_blocks[key]


def _source_only(data: Encoded) -> Encoded:
    """The rows of the subset that is trained on, which comes first."""
    import dataclasses

    chosen = np.flatnonzero(data.subsets == data.subsets[0])
    return dataclasses.replace(
        data,
        tokens=[data.tokens[i] for i in chosen.tolist()],
        labels=data.labels[chosen],
        subsets=data.subsets[chosen],
    )


def _shifted(pixels: Tensor) -> Tensor:
    """Each picture moved by up to ``SHIFTED`` pixels, its edge repeated; draws from torch."""
    wide = nn.functional.pad(pixels, (SHIFTED,) * 4, mode="replicate")
    down, right = torch.randint(0, 2 * SHIFTED + 1, (2, len(pixels)))
    high, across = pixels.shape[-2:]
    return torch.stack(
        [p[:, d : d + high, r : r + across] for p, d, r in zip(wide, down, right, strict=True)]
    )


def _device(network: nn.Module) -> torch.device:
    return next(network.parameters()).device


@dataclass
class evaluating:
    """Evaluation mode without gradients; the mode of before is put back."""

    network: nn.Module

    def __enter__(self) -> None:
        self._training = self.network.training
        self.network.eval()
        self._off = torch.no_grad()
        self._off.__enter__()

    def __exit__(self, *raised: Any) -> None:
        self._off.__exit__(*raised)
        self.network.train(self._training)
