"""The language models that are built here, by name: light, without torch."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

VERSION = 1  # raise it when a name would build another model or tokenizer than before


@dataclass(frozen=True)
class Architecture:
    """A GPT-2 of ``layers`` blocks, ``width`` units and ``heads`` heads, with tied embeddings.

    ``context`` is the number of tokens that it reads at most; ``vocabulary`` the size of the
    byte-pair encoding that is trained with it, at most; ``parameters`` their number with it.
    """

    name: str
    title: str
    layers: int
    width: int
    heads: int
    context: int
    vocabulary: int
    parameters: int


_ALL = (
    Architecture("gpt-small", "GPT-2, small, fresh weights", 6, 192, 6, 128, 4096, 3_480_576),
    Architecture("gpt-tiny", "GPT-2, tiny, for tests", 2, 32, 4, 128, 512, 45_952),
)
ARCHITECTURES: dict[str, Architecture] = {one.name: one for one in _ALL}
LANGUAGE_MODELS: tuple[str, ...] = tuple(ARCHITECTURES)


def fingerprint(name: str) -> str:
    """16 hex digits for a name of ``LANGUAGE_MODELS``.

    The weights depend on the seed besides, and the tokenizer on the text that it is trained on.
    """
    return hashlib.sha256(f"language\0{VERSION}\0{ARCHITECTURES[name]}".encode()).hexdigest()[:16]
