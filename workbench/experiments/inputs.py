"""From a task and an encoder to batches: the data as a classifier reads them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from workbench.models.tokens import IGNORED


@dataclass(frozen=True)
class Encoded:
    """Texts as token ids, with their labels and the subset (domain or language) of each."""

    tokens: Sequence[Mapping[str, list[int]]]
    labels: np.ndarray
    subsets: np.ndarray
    pad: Mapping[str, int]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def lengths(self) -> list[int]:
        return [len(t["input_ids"]) for t in self.tokens]

    @property
    def classes(self) -> np.ndarray:
        """One class (or number) per text, by which figures colour it."""
        return self.labels

    @property
    def counts(self) -> np.ndarray:
        """How many rows of logits each text has: one."""
        return np.ones(len(self), dtype=np.int64)

    def picked(self, indices: Sequence[int], logits: np.ndarray) -> np.ndarray:
        """Of a batch's logits those that are scored: all of them."""
        return logits

    def collate(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """A batch: every column padded to the longest text, and ``labels``."""
        rows = [self.tokens[i] for i in indices]
        longest = max(len(row["input_ids"]) for row in rows)
        batch = {
            name: torch.tensor(
                [row[name] + [self.pad.get(name, 0)] * (longest - len(row[name])) for row in rows]
            )
            for name in rows[0]
        }
        return {**batch, "labels": self._targets(indices, longest)}

    def _targets(self, indices: Sequence[int], longest: int) -> Tensor:
        return torch.from_numpy(self.labels[list(indices)])


@dataclass(frozen=True)
class EncodedWords(Encoded):
    """Texts whose every word has a class (a tag): ``labels`` (n,) holds an array for each text.

    A word is predicted at its first token; its other tokens, the special ones and padding do not
    count. ``read`` (n,) says which words have a token (those beyond ``max_length`` have none), and
    ``places`` (n,) where the first one is. ``outside`` is the class of words that are in no entity.
    """

    read: Sequence[np.ndarray] = ()
    places: Sequence[np.ndarray] = ()
    outside: int = 0

    @property
    def classes(self) -> np.ndarray:
        """The class of the first word of an entity in each text, ``outside`` where there is none.

        Only figures use it: a text of several entities has no class of its own.
        """
        named = [tags[tags != self.outside] for tags in self.labels]
        return np.array([tags[0] if len(tags) else self.outside for tags in named], dtype=np.int64)

    @property
    def counts(self) -> np.ndarray:
        """How many rows of logits each text has: one for every word that was read."""
        return np.array([len(places) for places in self.places], dtype=np.int64)

    def targets(self, texts: Sequence[int]) -> np.ndarray:
        """Classes of the words that were read of these texts, one after the other."""
        return np.concatenate([self.labels[i][self.read[i]] for i in texts])

    def picked(self, indices: Sequence[int], logits: np.ndarray) -> np.ndarray:
        """Of (batch, tokens, classes) the rows of first tokens: (words, classes)."""
        return np.concatenate([logits[row, self.places[i]] for row, i in enumerate(indices)])

    def sentences(self, predicted: np.ndarray, texts: Sequence[int]) -> list[np.ndarray]:
        """Classes (all words that were read,) -> for each of ``texts`` one class per word.

        A word that was not read is ``outside``: what is cut off cannot be found.
        """
        ends = np.cumsum(self.counts)
        found = []
        for i in texts:
            whole = np.full(len(self.labels[i]), self.outside)
            whole[self.read[i]] = predicted[ends[i] - len(self.read[i]) : ends[i]]
            found.append(whole)
        return found

    def _targets(self, indices: Sequence[int], longest: int) -> Tensor:
        targets = torch.full((len(indices), longest), IGNORED)
        for row, i in enumerate(indices):
            targets[row, torch.from_numpy(self.places[i])] = torch.from_numpy(
                self.labels[i][self.read[i]]
            )
        return targets


def encode(dataset: Any, tokenizer: Any, *, prefix: str = "", max_length: int = 64) -> Encoded:
    """Tokenise a split with columns ``text``, optional ``text_pair``, ``label`` and ``subset``.

    With a column ``words`` it is the words that are read, each with a label of its own.
    """
    if "words" in dataset.column_names:
        return _encode_words(dataset, tokenizer, prefix, max_length)
    texts = [prefix + text for text in dataset["text"]]
    pairs = None
    if "text_pair" in dataset.column_names:
        pairs = [prefix + text for text in dataset["text_pair"]]
    if not texts:
        raise ValueError("The split is empty; give more rows or another source.")
    columns = dict(tokenizer(texts, pairs, truncation=True, max_length=max_length))
    tokens = [{name: columns[name][i] for name in columns} for i in range(len(texts))]
    labels = np.asarray(dataset["label"])
    labels = labels.astype(np.float32 if labels.dtype.kind == "f" else np.int64)
    subsets = np.asarray(dataset["subset"], dtype=str)
    return Encoded(tokens, labels, subsets, {"input_ids": tokenizer.pad_token_id or 0})


def _encode_words(dataset: Any, tokenizer: Any, prefix: str, max_length: int) -> EncodedWords:
    lead = prefix.split()
    texts = _audible([[*lead, *words] for words in dataset["words"]], tokenizer)
    if not texts:
        raise ValueError("The split is empty; give more rows or another source.")
    columns = tokenizer(texts, is_split_into_words=True, truncation=True, max_length=max_length)
    tokens = [{name: columns[name][i] for name in columns} for i in range(len(texts))]
    labels = np.empty(len(texts), dtype=object)
    read, places = [], []
    for i, tags in enumerate(dataset["label"]):
        first: dict[int, int] = {}
        for place, word in enumerate(columns.word_ids(i)):
            if word is not None and word >= len(lead):
                first.setdefault(word - len(lead), place)
        if not first:
            raise ValueError(
                f"max_length={max_length} leaves no room for a word of {' '.join(texts[i])!r:.60}; "
                "give more."
            )
        labels[i] = np.asarray(tags, dtype=np.int64)
        read.append(np.fromiter(first, dtype=np.int64))
        places.append(np.fromiter(first.values(), dtype=np.int64))
    pad = {"input_ids": tokenizer.pad_token_id or 0}
    subsets = np.asarray(dataset["subset"], dtype=str)
    outside = dataset.features["label"].feature.names.index("O")
    return EncodedWords(tokens, labels, subsets, pad, read, places, outside)


def _audible(texts: list[list[str]], tokenizer: Any) -> list[list[str]]:
    """Words that the tokenizer makes nothing of (lone control characters) become unknown ones."""
    words = sorted({word for text in texts for word in text})
    if not words:
        return texts
    pieces = tokenizer(words, add_special_tokens=False)["input_ids"]
    silent = {word for word, found in zip(words, pieces, strict=True) if not found}
    if not silent:
        return texts
    return [[tokenizer.unk_token if word in silent else word for word in text] for text in texts]


def predict(model: nn.Module, data: Encoded, batch_size: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """Logits and representations (n, hidden) in evaluation mode, in data order.

    Logits are (n, classes), or (words, classes) of all words that were read, text after text.
    """
    order = np.argsort(data.lengths, kind="stable")
    logits, hidden = [], []
    for batch, output in _outputs(model, data, order, batch_size):
        logits.append(data.picked(batch, output.logits.float().cpu().numpy()))
        hidden.append(output.representation.float().cpu().numpy())
    back = np.argsort(np.repeat(order, data.counts[order]), kind="stable")
    return np.concatenate(logits)[back], np.concatenate(hidden)[np.argsort(order)]


def represent(model: nn.Module, data: Encoded, batch_size: int = 64) -> np.ndarray:
    """Representations (n, hidden) alone, as :func:`predict` gives them; the head may be any."""
    order = np.argsort(data.lengths, kind="stable")
    outputs = _outputs(model, data, order, batch_size)
    hidden = [output.representation.float().cpu().numpy() for _, output in outputs]
    return np.concatenate(hidden)[np.argsort(order)]


def _outputs(
    model: nn.Module, data: Encoded, order: np.ndarray, batch_size: int
) -> Iterator[tuple[list[int], Any]]:
    """Indices and output of each batch, in evaluation mode and without gradients."""
    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    for batch in _cut(order, batch_size):
        inputs = {k: v.to(device) for k, v in data.collate(batch).items() if k != "labels"}
        with torch.no_grad():
            output = model(**inputs)
        yield batch, output
    model.train(was_training)


def _cut(order: np.ndarray, size: int) -> Iterator[list[int]]:
    for start in range(0, len(order), size):
        yield order[start : start + size].tolist()
