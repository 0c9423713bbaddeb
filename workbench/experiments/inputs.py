"""From a task and an encoder to batches: the data as a classifier reads them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


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
        return {**batch, "labels": torch.from_numpy(self.labels[list(indices)])}


def encode(dataset: Any, tokenizer: Any, *, prefix: str = "", max_length: int = 64) -> Encoded:
    """Tokenise a split with columns ``text``, optional ``text_pair``, ``label`` and ``subset``."""
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


@torch.no_grad()
def predict(model: nn.Module, data: Encoded, batch_size: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """Logits (n, classes) and representations (n, hidden) in evaluation mode, in data order."""
    was_training = model.training
    model.eval()
    order = np.argsort(data.lengths, kind="stable")
    device = next(model.parameters()).device
    logits, hidden = [], []
    for batch in _cut(order, batch_size):
        inputs = {k: v.to(device) for k, v in data.collate(batch).items() if k != "labels"}
        output = model(**inputs)
        logits.append(output.logits.float().cpu().numpy())
        hidden.append(output.representation.float().cpu().numpy())
    model.train(was_training)
    back = np.argsort(order)
    return np.concatenate(logits)[back], np.concatenate(hidden)[back]


def _cut(order: np.ndarray, size: int) -> Iterator[list[int]]:
    for start in range(0, len(order), size):
        yield order[start : start + size].tolist()
