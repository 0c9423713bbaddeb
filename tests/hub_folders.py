"""Made-up folders of parquet files in the layout of the hub's multilingual data sets."""

from __future__ import annotations

import random
from pathlib import Path

NAMES = {
    "PER": ("ada", "noa", "mia", "leo"),
    "ORG": ("ibo", "kex", "zun"),
    "LOC": ("ulm", "pau", "ede", "wye"),
}
TAGS = ("O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC")


def parquet(path: Path, **columns: list) -> None:
    """Write one file, and the folders above it."""
    import pyarrow
    import pyarrow.parquet

    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.table(columns), path)


def shard(folder: Path, language: str, split: str, **columns: list) -> None:
    """Write ``language/split-00000-of-00001.parquet``."""
    parquet(folder / language / f"{split}-00000-of-00001.parquet", **columns)


def sentence(number: int, rng: random.Random) -> tuple[list[str], list[int]]:
    """Words and tags: a name of one or two words is told by the word before it."""
    kind = rng.choice(sorted(NAMES))
    name = rng.sample(NAMES[kind], rng.choice((1, 2)))
    before = {"PER": "with", "ORG": "of", "LOC": "in"}[kind]
    said = [str(number), "was", before, *name, "."]
    first = TAGS.index(f"B-{kind}")
    return said, [0, 0, 0, first, *[first + 1] * (len(name) - 1), 0]


def wikiann(folder: Path, train: int = 60, test: int = 12) -> Path:
    """A WikiANN whose every language has sentences of its own."""
    from workbench.datasets.wikiann import LANGUAGES

    sides = [("en", "train", train), ("en", "validation", 24)]
    sides += [(code, "test", test) for code in LANGUAGES]
    for place, (code, split, count) in enumerate(sides):
        rng = random.Random(place)
        found = [sentence(1000 * place + i, rng) for i in range(count)]
        shard(
            folder,
            code,
            split,
            tokens=[said for said, _ in found],
            ner_tags=[tags for _, tags in found],
            langs=[[code] * len(said) for said, _ in found],
            spans=[[] for _ in found],
        )
    return folder
