"""The SQLite index: a copy of every ``record.json``, so that a search opens one file.

The folders are the truth. Each look-up compares the folders with the index by time and size and
reads again what changed, so folders copied in from elsewhere just work. An index that is missing,
damaged or cannot be written costs time, never results.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from workbench.records import files
from workbench.records.errors import DamagedRecord

NAME = "index.sqlite"
TABLE = """CREATE TABLE IF NOT EXISTS records (
    key TEXT PRIMARY KEY, experiment TEXT, status TEXT, created TEXT, seconds REAL,
    modified INTEGER, size INTEGER, details TEXT)"""


class Index:
    """The index of the store at ``root``."""

    def __init__(self, root: Path, read_only: bool) -> None:
        self.root = root
        self.read_only = read_only
        self._memory: dict[str, tuple[int, int, dict[str, Any]]] = {}

    def details(self) -> dict[str, dict[str, Any]]:
        """``record.json`` of every record by key, as the folders hold them now."""
        found = dict(self._folders())
        known = self._memory
        if any(known.get(key, ())[:2] != stamp for key, stamp in found.items()):
            known = self._load() | known
        fresh, changed = {}, {}
        for key, stamp in found.items():
            entry = known.get(key)
            if entry is None or not self._is_current(entry, stamp):
                try:
                    details = files.read_json(self.root / key / files.RECORD)
                except FileNotFoundError:  # removed meanwhile
                    continue
                except DamagedRecord as error:
                    details = _placeholder(key, error)
                entry = changed[key] = (*stamp, details)
            fresh[key] = (*stamp, entry[2])
        if changed or known.keys() - fresh.keys():
            self._save(changed, known.keys() - fresh.keys())
        self._memory = fresh
        return {key: entry[2] for key, entry in fresh.items()}

    def rebuild(self) -> int:
        """Make the index anew from the folders; returns how many records it holds."""
        self._memory = {}
        if not self.read_only:
            for suffix in ("", "-wal", "-shm"):
                Path(f"{self.root / NAME}{suffix}").unlink(missing_ok=True)
        return len(self.details())

    def _folders(self) -> Iterator[tuple[str, tuple[int, int]]]:
        with suppress(FileNotFoundError, NotADirectoryError), os.scandir(self.root) as entries:
            for entry in entries:
                with suppress(OSError):
                    status = os.stat(os.path.join(entry.path, files.RECORD))
                    yield entry.name, (status.st_mtime_ns, status.st_size)

    def _is_current(self, entry: tuple[int, int, dict[str, Any]], stamp: tuple[int, int]) -> bool:
        if entry[:2] == stamp:
            return True
        # A checkout gives shipped files new times; finished records do not change any more.
        return self.read_only and entry[1] == stamp[1] and entry[2]["status"] == "finished"

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        path = self.root / NAME
        if self.read_only:
            address = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
            connection = sqlite3.connect(address, uri=True)
        else:
            connection = sqlite3.connect(path, timeout=10)
        with closing(connection):
            if not self.read_only:
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute("PRAGMA synchronous=NORMAL")
                connection.execute(TABLE)
            with connection:
                yield connection

    def _load(self) -> dict[str, tuple[int, int, dict[str, Any]]]:
        if not (self.root / NAME).exists():
            return {}
        try:
            with self._connection() as connection:
                rows = connection.execute("SELECT key, modified, size, details FROM records")
                return {row[0]: (row[1], row[2], json.loads(row[3])) for row in rows}
        except sqlite3.OperationalError:  # locked, or cannot be opened here
            return {}
        except (sqlite3.DatabaseError, ValueError):
            if not self.read_only:
                (self.root / NAME).unlink(missing_ok=True)
            return {}

    def _save(self, changed: dict[str, tuple[int, int, dict[str, Any]]], gone: set[str]) -> None:
        if self.read_only or not self.root.is_dir():
            return
        rows = [
            (key, d["experiment"], d["status"], d.get("created"), d.get("seconds"), *stamp,
             json.dumps(d))
            for key, (*stamp, d) in changed.items()
        ]  # fmt: skip
        with suppress(sqlite3.Error, OSError), self._connection() as connection:
            connection.executemany("REPLACE INTO records VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
            connection.executemany("DELETE FROM records WHERE key = ?", [(key,) for key in gone])


def _placeholder(key: str, error: DamagedRecord) -> dict[str, Any]:
    return {"key": key, "experiment": "", "config": {}, "status": "failed", "error": str(error)}
