"""Read small tables from csv, tsv, jsonl and parquet files as plain dictionaries."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

FORMATS = (".csv", ".tsv", ".jsonl", ".parquet")


def read(path: Path, columns: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """The rows of one file; ``columns`` names those of a tsv file without a header.

    A tsv file has no quoting: tabs separate, everything else is text.
    """
    kind = path.suffix.lower()
    if kind == ".parquet":
        import pyarrow.parquet

        return pyarrow.parquet.read_table(path).to_pylist()
    if kind == ".jsonl":
        with path.open(encoding="utf-8-sig") as stream:
            return [_object(line, path, n) for n, line in enumerate(stream, 1) if line.strip()]
    if kind not in (".csv", ".tsv"):
        raise ValueError(f"{path.name}: cannot read {kind!r} files; allowed: {', '.join(FORMATS)}.")
    if kind == ".tsv" or columns:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
        cells = [line.rstrip("\r").split("\t") for line in lines if line.strip()]
        header = list(columns) if columns else cells.pop(0) if cells else []
        short = next((row for row in cells if len(row) < len(header)), None)
        if short is not None:
            raise ValueError(
                f"{path.name}: {len(short)} cells instead of {len(header)} in {short!r:.80}."
            )
        return [dict(zip(header, row, strict=False)) for row in cells]
    csv.field_size_limit(1 << 24)
    with path.open(encoding="utf-8-sig", newline="") as stream:
        return list(csv.DictReader(stream))


def _object(line: str, path: Path, number: int) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError as error:
        raise ValueError(f"{path.name}, line {number} is not JSON: {error}.") from error
    if not isinstance(value, dict):
        raise ValueError(f"{path.name}, line {number} is not a JSON object with named columns.")
    return value
