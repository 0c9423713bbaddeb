"""The store: a folder of records, found by experiment and settings, run when missing."""

from __future__ import annotations

import difflib
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.observations import Observation, Progress
from workbench.records import files
from workbench.records.errors import RecordError, UnknownRecord, read_only, writing
from workbench.records.index import Index
from workbench.records.record import Record, frame, key_of
from workbench.records.writer import Writer, write

if TYPE_CHECKING:
    import pandas


class Store:
    """Finished and unfinished runs in the folder ``path``.

    ``below`` is a store (or folder) that is only read: its finished records are used as if they
    were here, and what is run is written here. A ``read_only`` store is never written. The folder
    is made when the first record is.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        below: Store | str | os.PathLike[str] | None = None,
        read_only: bool = False,
    ) -> None:
        self.path = Path(path).expanduser()
        self.read_only = read_only
        if below is not None and not isinstance(below, Store):
            below = Store(below, read_only=True)
        self.below: Store | None = below
        self._index = Index(self.path, read_only)

    def __repr__(self) -> str:
        below = "" if self.below is None else f", below={str(self.below.path)!r}"
        return f"Store({str(self.path)!r}{below}{', read_only=True' if self.read_only else ''})"

    # Running

    def key(self, experiment: Any) -> str:
        """The key of the record of ``experiment``, whether it exists or not."""
        return key_of(experiment.identity())

    def collect(self, experiment: Any, *, keep_checkpoint: bool | None = None) -> Record:
        """The finished record of ``experiment``; runs it, or what is left of it, if it must."""
        with closing(self.stream(experiment, keep_checkpoint=keep_checkpoint)) as run:
            for _ in run:
                pass
        return self.get(self.key(experiment))

    def stream(
        self, experiment: Any, *, keep_checkpoint: bool | None = None
    ) -> Iterator[Observation]:
        """Run ``experiment`` if it is not finished; yield what it observes once that is kept.

        What it requires is collected first, as records of their own, and only their progress is
        passed on. A run that was interrupted goes on after its last checkpoint; observations from
        before it are not yielded again, ``get(key(experiment)).scalars()`` has them. Closing the
        iterator interrupts the run. If another process runs it already, this waits for it.
        ``keep_checkpoint`` (default: the experiment's own) keeps the last one after the end.

        Raises ``ReadOnlyStore``, ``StoreFull`` or ``DamagedRecord``, and whatever the run raises
        (the record is then marked as failed, with the message).
        """
        keep = keep_checkpoint
        if keep is None:
            keep = bool(getattr(experiment, "keep_checkpoint", False))
        key = self.key(experiment)
        if self._finished(key, keep) is not None:
            return
        if self.read_only:
            raise read_only(self.path)
        required = experiment.requirements()
        for name, needed in required.items():
            with closing(self.stream(needed, keep_checkpoint=True)) as run:
                for observation in run:
                    if isinstance(observation, Progress):
                        text = f"{name}: {observation.text}" if observation.text else name
                        yield Progress(observation.done, observation.total, text)
        lock = self._lock(key)
        try:
            yield from self._wait(lock, f"another process runs {experiment.name} ({key}); waiting")
            if self._finished(key, keep) is None:
                inputs = {}
                for name, needed in required.items():
                    record = self._finished(self.key(needed), True)
                    if record is None:
                        raise UnknownRecord(f"The record of {name!r} was removed; run it again.")
                    inputs[name] = record.checkpoint()
                yield from write(Writer(self.path / key, experiment), inputs, keep)
        finally:
            lock.release()

    # Looking up

    def get(self, key: str) -> Record:
        """The record with this key (an experiment's is ``key(experiment)``)."""
        found = [s for s in self._chain() if (s.path / key / files.RECORD).exists()]
        records = [store._record(files.read_json(store.path / key / files.RECORD), key)
                   for store in found]  # fmt: skip
        if not key or not records:
            raise UnknownRecord(
                f"No record {key!r} in {self.path}"
                + (f" or {self.below.path}" if self.below else "")
                + ". python -m workbench records lists what there is."
            )
        return next((r for r in records if r.status == "finished"), records[0])

    def find(
        self,
        experiment_name: str | None = None,
        *,
        status: str | None = None,
        latest: bool = True,
        **config: Any,
    ) -> list[Record]:
        """Records of an experiment with these settings, oldest first.

        A setting may be one value or a list of allowed ones (``seed=[0, 1, 2]``). With ``latest``
        the same settings run under several versions of the data or the code count once: the
        finished one, the newest of them.
        """
        merged: dict[str, Record] = {}
        for store in self._chain():
            for key, details in store._index.details().items():
                if experiment_name in (None, details["experiment"]):
                    known = merged.get(key)
                    record = store._record(details, key)
                    if known is None or (record.status == "finished" != known.status):
                        merged[key] = record
        records = list(merged.values())
        _check_settings(records, config)
        records = [r for r in records if status in (None, r.status) and _matches(r, config)]
        records.sort(key=lambda record: (record.status == "finished", record.created))
        if latest:
            newest = {key_of({"name": r.name, "config": dict(r.config)}): r for r in records}
            records = list(newest.values())
        return sorted(records, key=lambda record: (record.created, record.key))

    def scalars(
        self, records: Iterable[Record] | Record | str | None = None, **config: Any
    ) -> pandas.DataFrame:
        """The curves of ``records`` as one long frame, the settings joined as columns.

        ``records`` may also be an experiment's name (finished records, narrowed by ``config``).
        Columns: key, experiment, settings, step, name, value, labels.
        """
        if isinstance(records, Record):
            return frame([records])
        if records is None or isinstance(records, str):
            return frame(self.find(records, status=config.pop("status", "finished"), **config))
        return frame(list(records))

    # Keeping house

    def export(
        self,
        records: Iterable[Record],
        destination: str | os.PathLike[str],
        checkpoints: bool = False,
    ) -> list[str]:
        """Copy finished ``records`` to the store at ``destination``; returns their keys.

        Each is read and verified first. Without ``checkpoints`` they are left behind (they are
        large; whoever continues from a teacher without one trains it again).
        """
        records = list(records)
        if unfinished := [r.key for r in records if r.status != "finished"]:
            raise RecordError(f"Only finished records are exported; not so: {unfinished}.")
        root = Path(destination).expanduser()
        names = (files.SCALARS, files.ARRAYS, *([files.CHECKPOINT] if checkpoints else []))
        with writing(root):
            for record in records:
                record.table(), record.arrays()
                folder = root / record.key
                folder.mkdir(parents=True, exist_ok=True)
                for name in (*names, files.RECORD):  # the description last: it makes the record
                    if (record.folder / name).exists():
                        with files.replacing(folder / name) as temporary:
                            shutil.copyfile(record.folder / name, temporary)
            Index(root, read_only=False).rebuild()
        return [record.key for record in records]

    def remove(self, key: str) -> None:
        """Remove a record of this store (not of the one below) with all its files."""
        folder = self.path / key
        if not key or not folder.is_dir():
            self.get(key)
            raise read_only(self.below.path if self.below else self.path)
        if self.read_only:
            raise read_only(self.path)
        lock = self._lock(key)
        try:
            if not _try(lock):
                raise RecordError(
                    f"Record {key} is being written by another process; stop it first."
                )
            with writing(self.path):
                trash = self.path / f".removed-{key}-{os.urandom(4).hex()}"
                folder.rename(trash)
                shutil.rmtree(trash)
        finally:
            lock.release()

    def reindex(self) -> int:
        """Build the index anew from the folders; returns how many records there are.

        Never needed after copying folders in (look-ups notice them); it is there for an index
        that someone else damaged.
        """
        return self._index.rebuild()

    def _chain(self) -> list[Store]:
        return [self, *(self.below._chain() if self.below else [])]

    def _finished(self, key: str, with_checkpoint: bool) -> Record | None:
        for store in self._chain():
            path = store.path / key / files.RECORD
            if path.exists():
                record = store._record(files.read_json(path), key)
                if record.status == "finished" and (record.has_checkpoint or not with_checkpoint):
                    return record
        return None

    def _record(self, details: dict[str, Any], key: str) -> Record:
        status = details["status"]
        if status == "running" and not self._is_running(key):
            status = "interrupted"  # its process died
        return Record(
            key, details["experiment"], details["config"], status, details.get("created", ""),
            details.get("seconds", 0.0), self.path / key, details,
        )  # fmt: skip

    def _lock(self, key: str) -> Any:
        from filelock import FileLock

        with writing(self.path):
            (self.path / ".locks").mkdir(parents=True, exist_ok=True)
        return FileLock(self.path / ".locks" / f"{key}.lock", thread_local=False)

    def _is_running(self, key: str) -> bool:
        from filelock import FileLock

        path = self.path / ".locks" / f"{key}.lock"
        if not path.exists():
            return False
        lock = FileLock(path, thread_local=False)
        try:
            return not _try(lock)
        except OSError:  # not ours to lock: it may well be alive
            return True
        finally:
            lock.release()

    def _wait(self, lock: Any, text: str) -> Iterator[Progress]:
        with writing(self.path):
            acquired = _try(lock)
        polls = 0
        while not acquired:
            time.sleep(0.1)
            polls += 1
            if polls % 10 == 5:  # someone only looking lets go at once
                yield Progress(0, 1, text)
            acquired = _try(lock)


def default_store() -> Store:
    """The user's own records over those that ship.

    The first is the folder in ``WORKBENCH_STORE``, or one in the user's data directory; the second
    that in ``WORKBENCH_RECORDS``, or ``data/records`` of the checkout, or of the installed package.
    """
    from platformdirs import user_data_path

    own = os.environ.get("WORKBENCH_STORE") or user_data_path("compression-workbench") / "records"
    package = Path(__file__).resolve().parents[1]
    shipped = [package.parent / "data" / "records", package / "data" / "records"]
    if chosen := os.environ.get("WORKBENCH_RECORDS"):
        shipped = [Path(chosen)]
    below = next((folder for folder in shipped if folder.is_dir()), None)
    return Store(own, below=None if below is None else Store(below, read_only=True))


def _try(lock: Any) -> bool:
    from filelock import Timeout

    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    return True


def _matches(record: Record, config: dict[str, Any]) -> bool:
    for name, wanted in config.items():
        value = record.config.get(name)
        if isinstance(value, list):
            if value != list(wanted):
                return False
        elif isinstance(wanted, (list, tuple, set, frozenset, range)):
            if value not in wanted:
                return False
        elif name not in record.config or value != wanted:
            return False
    return True


def _check_settings(records: list[Record], config: dict[str, Any]) -> None:
    known = {name for record in records for name in record.config}
    for name in config.keys() - known if known else ():
        near = difflib.get_close_matches(name, known, 1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"No record has a setting {name!r}; they have {sorted(known)}.{hint}")
