"""One record as a value: what ran, how it stands, and its curves and arrays on demand."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.observations import Array, Checkpoint
from workbench.records import files

if TYPE_CHECKING:
    import pandas
    import pyarrow


@dataclass(frozen=True)
class Record:
    """A run that was written down; ``status`` is that of the moment it was looked up."""

    key: str
    name: str
    config: Mapping[str, Any] = field(hash=False)
    status: str
    """``finished``, ``running`` (in another process), ``interrupted`` or ``failed``."""
    created: str
    seconds: float
    folder: Path = field(repr=False)
    details: Mapping[str, Any] = field(repr=False, compare=False, default_factory=dict)
    """All of ``record.json``: identity, versions, machine, error, counts."""

    @property
    def error(self) -> str:
        """Why it failed; empty if it did not."""
        return self.details.get("error", "")

    @property
    def has_checkpoint(self) -> bool:
        """Whether the folder holds a checkpoint."""
        return (self.folder / files.CHECKPOINT).exists()

    def table(self) -> pyarrow.Table:
        """The curves as an Arrow table: step, name, value and one column a label."""
        path = self.folder / files.SCALARS
        rows = self.details.get("scalars", 0)
        if not rows and not path.exists():
            return _empty()
        return _cached_table(path, rows, *_stamp(path))

    def scalars(self) -> pandas.DataFrame:
        """The curves as a long frame: step, name, value and one column a label."""
        return self.table().to_pandas()

    def arrays(self, name: str | None = None, **labels: Any) -> list[Array]:
        """The arrays called ``name`` (all by default) that carry these ``labels``, by step."""
        path = self.folder / files.ARRAYS
        count = self.details.get("arrays", 0)
        if not count and not path.exists():
            return []
        wanted = {label: str(value) for label, value in labels.items()}
        return [
            array
            for array in files.read_arrays(path, count)
            if (name is None or array.name == name) and wanted.items() <= array.labels.items()
        ]

    def checkpoint(self) -> Checkpoint | None:
        """The last checkpoint, or None if the record keeps none."""
        if not self.has_checkpoint:
            return None
        return files.read_checkpoint(self.folder / files.CHECKPOINT)[0]


def key_of(identity: Mapping[str, Any]) -> str:
    """16 hexadecimal digits that stand for an experiment's ``identity()``.

    Whole floats count as integers (1.0 is 1) and the order of keys does not matter.
    """
    try:
        text = json.dumps(
            _canonical(identity), sort_keys=True, separators=(",", ":"), allow_nan=False
        )
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"The identity of an experiment must be finite JSON values ({error}); got {identity!r}."
        ) from error
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def frame(records: Sequence[Record]) -> pandas.DataFrame:
    """All curves of ``records`` in one long frame, each row with its record's settings.

    Columns: ``key``, ``experiment``, the settings, ``step``, ``name``, ``value`` and the labels. A
    setting that shares its name with a label (or with one of these) is called ``config.<name>``.
    """
    import pyarrow as pa

    tables = [record.table() for record in records]
    if not tables:
        return _empty().append_column("key", [[]]).append_column("experiment", [[]]).to_pandas()
    curves = pa.concat_tables(tables, promote_options="default")
    row = pa.array(np.repeat(np.arange(len(records)), [table.num_rows for table in tables]))
    columns = {
        "key": _column([record.key for record in records]).take(row),
        "experiment": _column([record.name for record in records]).take(row),
    }
    taken = {*columns, *curves.column_names}
    for name in dict.fromkeys(name for record in records for name in record.config):
        values = _column([record.config.get(name) for record in records])
        columns[f"config.{name}" if name in taken else name] = values.take(row)
    columns |= dict(zip(curves.column_names, curves.columns, strict=True))
    return pa.table(columns).to_pandas()


def _empty() -> pyarrow.Table:
    import pyarrow as pa

    types = zip(files.COLUMNS, (pa.int64(), pa.large_string(), pa.float64()), strict=True)
    return pa.table({name: pa.array([], kind) for name, kind in types})


def _column(values: Sequence[Any]) -> pyarrow.Array:
    """Settings as one Arrow column: numbers and truth values as they are, the rest as text."""
    import pyarrow as pa

    kinds = {type(value) for value in values if value is not None}
    if kinds == {bool}:
        return pa.array(values, pa.bool_())
    if kinds == {int} and None not in values:
        return pa.array(values, pa.int64())
    if kinds and kinds <= {int, float}:
        return pa.array(values, pa.float64())
    return pa.array([None if v is None else _text(v) for v in values], pa.large_string())


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _canonical(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _canonical(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_canonical(item) for item in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return value


def _stamp(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return 0, 0
    return status.st_mtime_ns, status.st_size


@lru_cache(maxsize=512)
def _cached_table(path: Path, rows: int, modified: int, size: int) -> pyarrow.Table:
    import pyarrow as pa

    table = files.read_scalars(path, rows)
    pandas_text = {pa.string(): pa.large_string()}  # what a frame holds, so that none is converted
    fields = [field.with_type(pandas_text.get(field.type, field.type)) for field in table.schema]
    return table.cast(pa.schema(fields))
