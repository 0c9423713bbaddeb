"""What can go wrong while fetching; every message says what to do next."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class SourceError(RuntimeError):
    """A file could not be had; the message says why and what to do next."""


class NoNetwork(SourceError):
    """The package index or the hub did not answer, or going online is switched off."""


class BrokenFile(SourceError):
    """A file is not the one that is pinned here."""


class UnsafeArchive(SourceError):
    """An archive asks for something that unpacking never does."""


class DiskFull(SourceError):
    """No room, or no right to write, where the cache lies."""


class NoPip(SourceError):
    """This Python has no pip to download with."""


_FULL = {errno.ENOSPC, errno.EDQUOT}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


@contextmanager
def disk_errors(folder: Path, what: str) -> Iterator[None]:
    """Turn a full disk or a read-only folder into a :class:`DiskFull` that names the way out."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise DiskFull(disk_full(folder, what)) from error
        if error.errno in _FORBIDDEN:
            raise DiskFull(
                f"{what} cannot be written: {folder} does not allow it ({error.strerror}). "
                "Set the environment variable WORKBENCH_CACHE to a folder that you can write to."
            ) from error
        raise


def disk_full(folder: Path, what: str) -> str:
    """The message for a full disk."""
    return (
        f"The disk of {folder} is full: {what} does not fit. Free some room, or set the "
        "environment variable WORKBENCH_CACHE to a folder on another disk; then start again."
    )
