"""One lock file per record, held by the process that runs it; it falls free when that dies."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.observations import Progress
from workbench.records.errors import RecordError, writing

if TYPE_CHECKING:
    from filelock import BaseFileLock


def lock_of(root: Path, key: str) -> BaseFileLock:
    """The lock of the record ``key`` in the store at ``root``."""
    from filelock import FileLock

    return FileLock(root / ".locks" / f"{key}.lock", thread_local=False)


def is_held(root: Path, key: str) -> bool:
    """Whether a living process runs this record."""
    lock = lock_of(root, key)
    if not Path(lock.lock_file).exists():
        return False
    try:
        return not _try(lock)
    except OSError:  # not ours to lock: it may well be alive
        return True
    finally:
        lock.release()


def wait(root: Path, lock: BaseFileLock, text: str) -> Iterator[Progress]:
    """Acquire ``lock``; while another process holds it, yield progress about twice a second."""
    with writing(root):
        Path(lock.lock_file).parent.mkdir(parents=True, exist_ok=True)
        acquired = _try(lock)
    polls = 0
    while not acquired:
        time.sleep(0.1)
        polls += 1
        if polls % 5 == 3:  # someone who only looks lets go at once
            yield Progress(0, 1, text)
        acquired = _try(lock)


@contextmanager
def held(root: Path, key: str) -> Iterator[None]:
    """Hold the lock of a record, or raise ``RecordError`` if it is being written."""
    lock = lock_of(root, key)
    with writing(root):
        Path(lock.lock_file).parent.mkdir(parents=True, exist_ok=True)
        acquired = _try(lock)
    if not acquired:
        raise RecordError(f"Record {key} is being written; stop that process first.")
    try:
        yield
    finally:
        lock.release()


def _try(lock: BaseFileLock) -> bool:
    from filelock import Timeout

    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    return True
