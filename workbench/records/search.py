"""Narrowing records by their settings."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from workbench.records.record import Record, key_of


def narrow(records: Iterable[Record], config: Mapping[str, Any]) -> list[Record]:
    """The records with these settings; a list, tuple, set or range names all that are allowed.

    Raises ``ValueError`` for a setting that no record has.
    """
    records = list(records)
    known = {name for record in records for name in record.config}
    for name in config.keys() - known if known else ():
        near = difflib.get_close_matches(name, known, 1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"No record has a setting {name!r}; they have {sorted(known)}.{hint}")
    return [record for record in records if _matches(record, config)]


def latest(records: Iterable[Record]) -> list[Record]:
    """One record per experiment and settings: the finished one, the newest of them."""
    order = sorted(records, key=lambda record: (record.status == "finished", record.created))
    newest = {key_of({"name": r.name, "config": dict(r.config)}): r for r in order}
    return list(newest.values())


def _matches(record: Record, config: Mapping[str, Any]) -> bool:
    return all(
        name in record.config and _allows(wanted, record.config[name])
        for name, wanted in config.items()
    )


def _allows(wanted: Any, value: Any) -> bool:
    if isinstance(value, list):
        return value == list(wanted)
    if isinstance(wanted, (list, tuple, set, frozenset, range)):
        return value in wanted
    return value == wanted
