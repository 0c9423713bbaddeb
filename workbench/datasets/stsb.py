"""STS Benchmark: how similar are two English sentences, from 0 to 5."""

from __future__ import annotations

from pathlib import Path

from workbench.datasets.files import read
from workbench.datasets.rows import Row, grouped, official
from workbench.datasets.task import Task
from workbench.sources import Hub

_SHARD = "data/{}-00000-of-00001.parquet"
_PARTS = {"train": "train", "validation": "dev", "test": "test"}
_COLUMNS = ("genre", "file", "year", "id", "score", "sentence1", "sentence2")

SOURCE = Hub(
    "sentence-transformers/stsb",  # nyu-mll/glue has the same rows, but hides the test scores
    revision="ab7a5ac0e35aa22088bdcf23e7fd99b220e53308",
    files=tuple(_SHARD.format(split) for split in _PARTS),
    licence="CC BY-SA 4.0",
    size=710_000,
)

TASK = Task(
    name="stsb",
    title="Similarity of two sentences (STS Benchmark)",
    kind="regression",
    labels=(),
    pair=True,
    metric="spearman",
    source_subset="en",
    subsets=("en",),
    sources=(SOURCE,),
    licence="CC BY-SA 4.0",
    citation="D. Cer, M. Diab, E. Agirre, I. Lopez-Gazpio, L. Specia (2017). SemEval-2017 task 1: "
    "Semantic textual similarity. SemEval.",
    note="The published test split, and train and validation without the rows that share a "
    "sentence with it.",
)


def rows(folder: Path) -> dict[str, list[Row]]:
    """The published splits, from the hub's parquet or the original ``sts-train.csv`` and so on."""
    found = []
    for split, original in _PARTS.items():
        path = folder / f"sts-{original}.csv"  # tab-separated, whatever its name says
        if path.is_file():
            table, scale = read(path, _COLUMNS), 1.0
        else:
            table, scale = read(folder / _SHARD.format(split)), 5.0
        found += [
            (split, row["sentence1"], row["sentence2"], float(row["score"]) * scale)
            for row in table
        ]
    roots = grouped([(first, second) for _, first, second, _ in found])
    parts: dict[str, list[Row]] = {split: [] for split in _PARTS}
    for (split, first, second, score), root in zip(found, roots, strict=True):
        parts[split].append(Row(first, round(score, 4), "en", f"pair-{root}", second))
    return parts


def parts(folder: Path, seed: int) -> dict[str, list[Row]]:
    """Train, validation and test rows."""
    return official(rows(folder), seed=seed, name=TASK.name)
