"""How well an encoder aligns languages: texts that say the same in each, and what is measured.

The texts are names of emoji in fourteen languages, which ship with the workbench's packages and
ask nothing of the task. English is the language that others are compared with.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

from workbench.observations import Scalar

if TYPE_CHECKING:
    from torch import nn

    from workbench.experiments.inputs import Encoded

SOURCE = "en"


@lru_cache(maxsize=2)
def parallel_texts(model: str, size: int) -> Encoded:
    """``size`` names in every language as ``model`` reads them: row i of each says the same."""
    import numpy as np

    from workbench import datasets, models
    from workbench.experiments.inputs import encode
    from workbench.models.registry import prefix

    rows = datasets.load("emoji_names")["test"]
    languages = np.asarray(rows["subset"], dtype=str)
    chosen = []
    for language in dict.fromkeys(languages.tolist()):
        own = np.flatnonzero(languages == language)
        chosen += own[np.linspace(0, len(own) - 1, size).round().astype(int)].tolist()
    _, tokenizer = models.load_encoder(model)
    return encode(rows.select(chosen), tokenizer, prefix=prefix(model), max_length=32)


def alignment(step: int, model: nn.Module, texts: Encoded) -> Iterator[Scalar]:
    """Per language: retrieval of the English translation, and CKA with the English texts."""
    import math

    from workbench.experiments.inputs import represent
    from workbench.metrics import similarity
    from workbench.metrics.retrieval import retrieval_accuracy

    hidden = represent(model, texts)
    english = hidden[texts.subsets == SOURCE]
    for language in dict.fromkeys(texts.subsets.tolist()):
        if language == SOURCE:
            continue
        theirs, told = hidden[texts.subsets == language], {"phase": "after", "language": language}
        yield Scalar(step, "retrieval", retrieval_accuracy(theirs, english), told)
        value = similarity.cka(theirs, english)
        if math.isfinite(value):  # representations that are all one have none
            yield Scalar(step, "language_cka", float(value), told)
