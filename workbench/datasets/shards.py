"""Parquet files of one language and split, as the hub lays out most multilingual data sets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from workbench.datasets.files import read

SHARD = "{language}/{split}-00000-of-00001.parquet"


def pattern(source: str, languages: Sequence[str]) -> tuple[str, ...]:
    """The files of zero-shot transfer: train and validation of ``source``, the test of all."""
    given = [(source, "train"), (source, "validation"), *((code, "test") for code in languages)]
    return tuple(SHARD.format(language=code, split=split) for code, split in given)


def rows_of(folder: Path, language: str, split: str, columns: Sequence[str]) -> list[dict]:
    """The rows of ``folder/language/split-*.parquet`` (or ``split.parquet``), shards in order.

    Raises FileNotFoundError where there is no such file, and ValueError for a missing column.
    """
    home = folder / language
    found = sorted(home.glob(f"{split}-*.parquet")) or sorted(home.glob(f"{split}.parquet"))
    if not found:
        missing = SHARD.format(language=language, split=split)
        raise FileNotFoundError(2, "no such file", str(folder / missing))
    rows: list[dict[str, Any]] = [row for path in found for row in read(path)]
    lacking = [name for name in columns if rows and name not in rows[0]]
    if lacking:
        raise ValueError(
            f"{found[0]} has no column {', '.join(lacking)}; it has {', '.join(rows[0])}."
        )
    return rows
