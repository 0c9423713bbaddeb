"""The store: a folder of records, found by experiment and settings, run when missing."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.observations import Array, Checkpoint, Observation, Progress
from workbench.records import files, locks, ranks
from workbench.records.errors import RecordError, UnknownRecord, read_only, writing
from workbench.records.index import Index
from workbench.records.record import Record, frame, key_of
from workbench.records.search import latest as keep_latest
from workbench.records.search import narrow
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
    ) -> Generator[Observation, None, None]:
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
        if self.finished(key, keep) is not None:
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
        folder = self.path / key
        if not ranks.writes():
            yield from ranks.compute_along(experiment, folder, self._inputs(required))
            return
        lock = locks.lock_of(self.path, key)
        try:
            text = f"another process runs {experiment.name} ({key}); waiting"
            yield from locks.wait(self.path, lock, text)
            if self.finished(key, keep) is None:
                yield from write(Writer(folder, experiment), self._inputs(required), keep)
        finally:
            lock.release()

    # Looking up

    def get(self, key: str) -> Record:
        """The record with this key (an experiment's is ``key(experiment)``)."""
        records = [record for store in self._chain() if (record := store._own(key)) is not None]
        if not records:
            raise UnknownRecord(
                f"No record {key!r} in {' or '.join(str(s.path) for s in self._chain())}. "
                "python -m workbench records lists what there is."
            )
        return next((r for r in records if r.status == "finished"), records[0])

    def finished(self, key: str, with_checkpoint: bool = False) -> Record | None:
        """The finished record with this key, here or below; None if there is none yet."""
        for store in self._chain():
            record = store._own(key)
            if record is not None and record.status == "finished":
                if record.has_checkpoint or not with_checkpoint:
                    return record
        return None

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
        records = [r for r in narrow(merged.values(), config) if status in (None, r.status)]
        records = keep_latest(records) if latest else records
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
        *,
        keep: Callable[[Record, Array], bool] | None = None,
    ) -> list[str]:
        """Copy finished ``records`` to the store at ``destination``; returns their keys.

        Each is read and verified first. Without ``checkpoints`` they are left behind (they are
        large; whoever continues from a teacher without one trains it again). ``keep(record,
        array)`` says which arrays go along; all do by default.
        """
        records = list(records)
        if unfinished := [r.key for r in records if r.status != "finished"]:
            raise RecordError(f"Only finished records are exported; not so: {unfinished}.")
        root = Path(destination).expanduser()
        names = (files.SCALARS, files.ARRAYS, *([files.CHECKPOINT] if checkpoints else []))
        with writing(root):
            for record in records:
                record.table()
                arrays = [a for a in record.arrays() if keep is None or keep(record, a)]
                folder = root / record.key
                folder.mkdir(parents=True, exist_ok=True)
                for name in names:
                    if (record.folder / name).exists():
                        with files.replacing(folder / name) as temporary:
                            shutil.copyfile(record.folder / name, temporary)
                details = files.read_json(record.folder / files.RECORD)
                if len(arrays) < details.get("arrays", 0):
                    files.write_arrays(folder / files.ARRAYS, arrays)
                    details["arrays"] = len(arrays)
                # The description last: it makes the record.
                files.write_json(folder / files.RECORD, details)
            Index(root, read_only=False).rebuild()
        return [record.key for record in records]

    def remove(self, key: str) -> None:
        """Remove a record of this store (not of the one below) with all its files."""
        if self._own(key, check=False) is None:
            self.get(key)
            raise read_only(self.below.path if self.below else self.path)
        if self.read_only:
            raise read_only(self.path)
        with locks.held(self.path, key), writing(self.path):
            trash = self.path / f".removed-{key}-{os.urandom(4).hex()}"
            (self.path / key).rename(trash)
            shutil.rmtree(trash)

    def reindex(self) -> int:
        """Build the index anew from the folders; returns how many records there are.

        Never needed after copying folders in (look-ups notice them); it is there for an index
        that someone else damaged.
        """
        return self._index.rebuild()

    def _chain(self) -> list[Store]:
        return [self, *(self.below._chain() if self.below else [])]

    def _own(self, key: str, check: bool = True) -> Record | None:
        """The record as it lies in this very store; ``check=False`` takes a damaged one too."""
        path = self.path / key / files.RECORD
        if not re.fullmatch(r"\w+", key) or not path.parent.is_dir():
            return None
        if not check:
            return Record(key, "", {}, "", "", 0.0, path.parent)
        return self._record(files.read_json(path), key) if path.exists() else None

    def _inputs(self, required: Mapping[str, Any]) -> dict[str, Checkpoint]:
        inputs = {}
        for name, needed in required.items():
            record = self.finished(self.key(needed), True)
            checkpoint = None if record is None else record.checkpoint()
            if checkpoint is None:
                raise UnknownRecord(f"The record of the {name} was removed meanwhile; start again.")
            inputs[name] = checkpoint
        return inputs

    def _record(self, details: dict[str, Any], key: str) -> Record:
        status = details["status"]
        if status == "running" and not locks.is_held(self.path, key):
            status = "interrupted"  # its process died
        return Record(
            key,
            details["experiment"],
            details["config"],
            status,
            details.get("created", ""),
            details.get("seconds", 0.0),
            self.path / key,
            details,
        )


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
