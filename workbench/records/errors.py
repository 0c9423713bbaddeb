"""What can go wrong with a store, each with the folder it happened in and a way out."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}


class RecordError(RuntimeError):
    """Something is wrong with a record or its store."""


class UnknownRecord(RecordError, LookupError):
    """No record has this key."""


class DamagedRecord(RecordError):
    """A file of a record does not hold what was written."""


class ReadOnlyStore(RecordError):
    """The store may not, or cannot, be written."""


class StoreFull(RecordError):
    """The disk under the store has no room left."""


def read_only(folder: Path) -> ReadOnlyStore:
    """The error for a store at ``folder`` that cannot be written."""
    return ReadOnlyStore(
        f"The records in {folder} cannot be written. Give a folder of your own: Store('my-records',"
        " below=...), or set the environment variable WORKBENCH_STORE to one."
    )


def damaged(path: Path, why: str) -> DamagedRecord:
    """The error for a ``path`` inside a record's folder that cannot be used."""
    key = path.parent.name
    return DamagedRecord(
        f"{path} is damaged: {why}. It was not used. Copy the folder again from where it came, or "
        f"remove the record and run it anew: Store({str(path.parents[1])!r}).remove({key!r}), or "
        f"python -m workbench records remove {key}."
    )


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Turn the errors of a disk that is full or may not be written into ones that help."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise StoreFull(
                f"No room left for records in {folder} ({error.strerror}). What was committed is "
                "intact. Free some space, or set WORKBENCH_STORE to a folder on another disk; the "
                "same call then goes on from the last checkpoint in its store."
            ) from error
        if error.errno in DENIED:
            raise read_only(folder) from error
        raise
