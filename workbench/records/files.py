"""The four files of a record: each written whole to a new name, then moved into place.

``record.json`` (what it is and how it stands), ``scalars.parquet`` (the curves),
``arrays.safetensors`` and ``checkpoint.safetensors``. Parquet pages carry checksums and the
headers of all three a SHA-256 of their content, so that a damaged file is named, never used.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.observations import Array, Checkpoint, Scalar
from workbench.records.errors import damaged

if TYPE_CHECKING:
    import pyarrow

RECORD = "record.json"
SCALARS = "scalars.parquet"
ARRAYS = "arrays.safetensors"
CHECKPOINT = "checkpoint.safetensors"
COLUMNS = ("step", "name", "value")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A new name beside ``path`` to write to; moved over ``path`` once all of it is on disk."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}.tmp")
    try:
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def clean(folder: Path) -> None:
    """Remove what a killed process left half written. Call it with the record's lock held."""
    for leftover in folder.glob(".*.tmp"):
        leftover.unlink(missing_ok=True)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write ``value`` as JSON."""
    text = json.dumps(value, indent=1, ensure_ascii=False) + "\n"
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in ``path``; ``DamagedRecord`` if it holds none."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise damaged(path, f"not JSON ({error})") from error
    if not isinstance(value, dict) or not {"key", "experiment", "config", "status"} <= value.keys():
        raise damaged(path, "not a record's description")
    return value


def write_scalars(path: Path, rows: Sequence[Scalar]) -> None:
    """Write ``rows`` as a long table: step, name, value and one column a label."""
    import pyarrow as pa
    import pyarrow.parquet as parquet

    labels = sorted({label for row in rows for label in row.labels})
    columns: dict[str, Any] = {
        "step": pa.array([row.step for row in rows], pa.int64()),
        "name": pa.array([row.name for row in rows], pa.string()),
        "value": pa.array([row.value for row in rows], pa.float64()),
    }
    for label in labels:
        columns[label] = pa.array([row.labels.get(label) for row in rows], pa.string())
    table = pa.table(columns)
    table = table.replace_schema_metadata({"sha256": _table_digest(table)})
    with replacing(path) as temporary, open(temporary, "wb") as file:
        parquet.write_table(table, file, compression="zstd", write_page_checksum=True)


def read_scalars(path: Path, rows: int) -> pyarrow.Table:
    """The first ``rows`` rows of the table in ``path``."""
    import pyarrow as pa
    import pyarrow.parquet as parquet

    try:
        with open(path, "rb") as file:
            table = parquet.ParquetFile(file, page_checksum_verification=True).read()
        names, told = tuple(table.column_names), (table.schema.metadata or {}).get(b"sha256", b"")
        sound = told.decode() == _table_digest(table)
    except FileNotFoundError as error:
        raise damaged(path, "the file is missing") from error
    except (pa.ArrowException, OSError, ValueError) as error:
        raise damaged(path, str(error).strip()) from error
    if names[:3] != COLUMNS or table.num_rows < rows:
        raise damaged(path, f"{rows} rows of {', '.join(COLUMNS)} expected")
    if not sound:
        raise damaged(path, "its content does not match its checksum")
    return table.replace_schema_metadata(None).slice(0, rows)


def scalars_of(table: pyarrow.Table) -> list[Scalar]:
    """The rows of a table as the observations they were."""
    found = []
    for row in table.to_pylist():
        step, name, value = (row.pop(column) for column in COLUMNS)
        labels = {label: text for label, text in row.items() if text is not None}
        found.append(Scalar(step, name, value, labels))
    return found


def write_arrays(path: Path, arrays: Sequence[Array]) -> None:
    """Write ``arrays`` with their dtypes; steps, names and labels go into the header."""
    header = [{"step": a.step, "name": a.name, "labels": dict(a.labels)} for a in arrays]
    _write_tensors(path, {f"{i:06d}": a.values for i, a in enumerate(arrays)}, header)


def read_arrays(path: Path, count: int) -> list[Array]:
    """The first ``count`` arrays of ``path``."""
    tensors, header = _read_tensors(path)
    if len(tensors) < count:
        raise damaged(path, f"{count} arrays expected, {len(tensors)} found")
    return [
        Array(h["step"], h["name"], tensors[f"{i:06d}"], h["labels"])
        for i, h in enumerate(header[:count])
    ]


def write_checkpoint(path: Path, checkpoint: Checkpoint, committed: Mapping[str, Any]) -> None:
    """Write ``checkpoint`` and, with it, how many observations came before it."""
    header = {"step": checkpoint.step, "meta": dict(checkpoint.meta), "committed": dict(committed)}
    _write_tensors(path, checkpoint.arrays, header)


def read_checkpoint(path: Path) -> tuple[Checkpoint, dict[str, Any]]:
    """The checkpoint in ``path`` and the counts committed with it."""
    tensors, header = _read_tensors(path)
    return Checkpoint(header["step"], tensors, header["meta"]), header["committed"]


def _write_tensors(path: Path, arrays: Mapping[str, np.ndarray], header: Any) -> None:
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    tensors = {name: plain(values, f"array {name!r}") for name, values in arrays.items()}
    text = json.dumps(header)  # NaN in a checkpoint's meta is allowed, as Python reads it back
    with replacing(path) as temporary:
        try:
            save_file(tensors, temporary, {"header": text, "sha256": _digest(tensors, text)})
        except SafetensorError as error:  # it reports the system's errors as text
            system = re.search(r"os error (\d+)", str(error))
            if system is None:
                raise
            raise OSError(int(system[1]), os.strerror(int(system[1])), str(path)) from error


def _read_tensors(path: Path) -> tuple[dict[str, np.ndarray], Any]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError as error:
        raise damaged(path, "the file is missing") from error
    except (SafetensorError, OSError, ValueError, TypeError) as error:
        raise damaged(path, str(error)) from error
    text = metadata.get("header", "")
    if metadata.get("sha256") != _digest(tensors, text):
        raise damaged(path, "its content does not match its checksum")
    return tensors, json.loads(text)


def plain(values: Any, what: str = "array") -> np.ndarray:
    """``values`` as an array that safetensors holds exactly: C order, numbers or booleans."""
    array = np.asarray(values)
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
        raise TypeError(
            f"{what} has dtype {array.dtype}; records hold booleans, integers and floats of up to "
            "64 bits. Convert it first (texts belong into labels or a checkpoint's meta)."
        )
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    return array if array.flags.c_contiguous else array.copy(order="C")


def _table_digest(table: pyarrow.Table) -> str:
    import pyarrow as pa
    import pyarrow.compute as compute

    digest = hashlib.sha256("\0".join(table.column_names).encode())
    for column in table.columns:
        values = column.combine_chunks()
        if values.type == pa.string():
            lines = pa.ListArray.from_arrays([0, len(values)], compute.fill_null(values, "\1"))
            digest.update(compute.binary_join(lines, "\0")[0].as_buffer())
        else:
            digest.update(values.to_numpy(zero_copy_only=False).tobytes())
    return digest.hexdigest()


def _digest(tensors: Mapping[str, np.ndarray], text: str) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        values = tensors[name]
        digest.update(f"{name} {values.dtype.str} {values.shape}".encode())
        digest.update(values.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
