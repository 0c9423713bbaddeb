"""Your own data: a folder or a hub repository with a text and a label column.

The task is one string, so that it fits a command line and a record::

    folder:/data/reviews?text=review&label=stars
    hub:owner/name?config=en&text=premise&text_pair=hypothesis&label=label

Options: ``text`` (default "text"), ``text_pair``, ``label`` (default "label"), ``subset`` (a column
with domains or languages), ``train_on`` (which of them; default the most frequent), ``kind``
("classification" or "regression"; default by the labels), ``revision`` and ``config`` (a
sub-folder) for the hub.

Files are csv, tsv, jsonl or parquet, named train, validation (or dev, valid) and test, alone or with
a suffix ("train-00000-of-00002.parquet"), or in folders of these names. Files of other names are
split 7 : 1 : 2. Near-duplicates stay on one side; train rows that resemble given test rows are left
out.
"""  # noqa: E501

from __future__ import annotations

import logging
import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qsl

from workbench.datasets.files import FORMATS, read
from workbench.datasets.rows import Row, grouped, official, split
from workbench.datasets.task import Task
from workbench.sources import Hub, Local
from workbench.sources.progress import Progress

log = logging.getLogger("workbench.datasets")

KINDS = ("folder", "hub")
OPTIONS = ("text", "text_pair", "label", "subset", "train_on", "kind", "revision", "config")
ONE = "all"  # the subset of data without subsets
_SPLIT = {
    **{"train": "train", "training": "train", "test": "test"},
    **{"validation": "validation", "valid": "validation", "val": "validation", "dev": "validation"},
}
MOST_CLASSES = 100


@dataclass(frozen=True)
class Own:
    """A parsed task string."""

    name: str
    source: Local | Hub
    options: Mapping[str, str]

    def option(self, key: str, default: str = "") -> str:
        """The value of an option."""
        return self.options.get(key) or default


def is_own(task: str) -> bool:
    """Whether a task string is of this kind."""
    return task.partition(":")[0] in KINDS and ":" in task


def parse(task: str, **options: str | None) -> Own:
    """Read a task string; keyword options win over those in the string."""
    kind, _, rest = task.partition(":")
    place, _, query = rest.partition("?")
    given = dict(parse_qsl(query, keep_blank_values=True))
    given.update({key: value for key, value in options.items() if value is not None})
    unknown = sorted(set(given) - set(OPTIONS))
    if unknown or kind not in KINDS or not place:
        raise ValueError(
            f"task={task!r}: {'unknown option ' + ', '.join(unknown) if unknown else 'no place'}. "
            "Write 'folder:/path?text=COLUMN&label=COLUMN' or 'hub:owner/name?text=...'; options: "
            f"{', '.join(OPTIONS)}."
        )
    if given.get("kind") not in (None, "", "classification", "regression"):
        raise ValueError(f"kind={given['kind']!r}; allowed: classification, regression.")
    if kind == "folder":
        return Own(task, Local(place), given)
    config = given.get("config", "")
    files = tuple(f"{config}/**{end}" for end in FORMATS) if config else ()
    return Own(task, Hub(place, revision=given.get("revision") or "main", files=files), given)


def open_own(own: Own, seed: int, progress: Progress = None) -> tuple[Task, dict[str, list[Row]]]:
    """Fetch, check and split; raises ValueError that names columns, classes or the empty split."""
    tables = _tables(own, own.source.fetch(progress))
    for name, table in tables.items():
        if not table:
            raise ValueError(f"{own.name}: the split {name!r} is empty. Every split needs rows.")
    labels, kind = _labels(own, tables)
    given = _rows(own, tables, labels, kind)
    source = own.option("train_on") or _most_frequent(given.get("train") or given["every"])
    subsets = Counter(row.subset for found in given.values() for row in found)
    if source not in subsets:
        raise ValueError(f"train_on={source!r}; the subsets are {', '.join(sorted(subsets))}.")
    parts = _split(own, given, source, seed)
    if kind == "classification":
        seen = {row.label for row in parts["train"]}
        if len(seen) < 2:
            raise ValueError(
                f"{own.name}: train has one class only ({', '.join(map(str, seen))}). A "
                "classifier needs two; is label= the right column?"
            )
    task = Task(
        name=own.name,
        title=f"Your data: {own.name.partition('?')[0]}",
        kind=kind,
        labels=labels,
        pair=bool(own.option("text_pair")),
        metric="accuracy" if kind == "classification" else "spearman",
        source_subset=source,
        subsets=(source, *sorted(set(subsets) - {source})),
        sources=(own.source,) if isinstance(own.source, Hub) else (),
        licence="yours",
        citation="",
        note="Split by near-duplicates.",
    )
    return task, parts


def _tables(own: Own, folder: Path) -> dict[str, list[dict[str, Any]]]:
    """The rows of all files by split; files that name no split are under "every"."""
    paths = sorted([folder] if folder.is_file() else folder.rglob("*"))
    paths = [p for p in paths if p.suffix.lower() in FORMATS and not p.name.startswith(".")]
    if own.option("config") and isinstance(own.source, Local):
        paths = [p for p in paths if own.option("config") in p.relative_to(folder).parts]
    if not paths:
        raise ValueError(f"{own.name}: no {', '.join(FORMATS)} file in {folder}.")
    named = {path: _split_of(path, folder) for path in paths}
    if "train" in named.values():
        named = {path: name for path, name in named.items() if name}
        homes = {_home(path, name) for path, name in named.items() if name == "train"}
        if len(homes) > 1:
            choices = ", ".join(sorted(h.relative_to(folder).as_posix() for h in homes))
            raise ValueError(f"{own.name}: several data sets ({choices}). Add config=ONE OF THEM.")
    tables: dict[str, list[dict[str, Any]]] = {}
    for path, name in named.items():
        tables.setdefault(name if "train" in named.values() else "every", []).extend(read(path))
    return tables


def _split_of(path: Path, folder: Path) -> str:
    """The split that a file or its folder names, or ''."""
    for text in (path.name, path.parent.name if path != folder else ""):
        found = re.match(r"([a-z]+)(?![a-z])", text.lower())
        if found and found[1] in _SPLIT:
            return _SPLIT[found[1]]
    return ""


def _home(path: Path, name: str) -> Path:
    return path.parent.parent if _SPLIT.get(path.parent.name.lower()) == name else path.parent


def _column(own: Own, row: Mapping[str, Any], column: str) -> Any:
    if column not in row:
        raise ValueError(
            f"{own.name}: no column {column!r}; there are {', '.join(map(str, row))}. Say which "
            "with text=, text_pair=, label= and subset=."
        )
    return row[column]


def _labels(
    own: Own, tables: Mapping[str, list[dict[str, Any]]]
) -> tuple[tuple[str, ...], Literal["classification", "regression"]]:
    """The class names in order, or () for numbers."""
    column = own.option("label", "label")
    values = [_column(own, row, column) for table in tables.values() for row in table]
    present = [value for value in values if not _blank(value)]
    numbers = [_number(value) for value in present]
    whole = all(n is not None and n == int(n) for n in numbers)
    fractions = not whole and all(n is not None for n in numbers)
    if own.option("kind") == "regression" or (fractions and not own.option("kind")):
        if not all(n is not None for n in numbers):
            bad = next(v for v, n in zip(present, numbers, strict=True) if n is None)
            raise ValueError(f"{own.name}: kind=regression, but the label {bad!r} is no number.")
        return (), "regression"
    names = sorted({_name(value) for value in present})
    if whole:
        names.sort(key=float)
    if len(names) > MOST_CLASSES:
        raise ValueError(
            f"{own.name}: {len(names)} different labels in {column!r}; {MOST_CLASSES} at most. "
            "Add kind=regression for numbers, or name another column with label=."
        )
    return tuple(names), "classification"


def _rows(
    own: Own, tables: Mapping[str, list[dict[str, Any]]], labels: tuple[str, ...], kind: str
) -> dict[str, list[Row]]:
    columns = [own.option("text", "text"), *filter(None, [own.option("text_pair")])]
    label, subset = own.option("label", "label"), own.option("subset")
    kept, blank = [], 0
    for name, table in tables.items():
        for row in table:
            texts = tuple(_column(own, row, column) for column in columns)
            if any(_blank(value) for value in (*texts, row[label])):
                blank += 1
                continue
            value = float(row[label]) if kind == "regression" else _name(row[label])
            place = str(_column(own, row, subset)) if subset else ONE
            kept.append((name, tuple(map(str, texts)), value, place))
    if blank:
        log.warning("%s: %d rows without a text or a label are left out", own.name, blank)
    roots = grouped([texts for _, texts, _, _ in kept], prefix=8, share=0.7)
    given: dict[str, list[Row]] = {name: [] for name in tables}
    for (name, texts, value, place), root in zip(kept, roots, strict=True):
        pair = texts[1] if len(texts) > 1 else None
        given[name].append(Row(texts[0], value, place, f"row-{root}", pair))
    return given


def _split(own: Own, given: dict[str, list[Row]], source: str, seed: int) -> dict[str, list[Row]]:
    name = own.name
    every = given.get("every") or given["train"] + given.get("validation", [])
    if "test" not in given:
        parts = split(every, source=source, seed=seed, name="own")
    else:
        here = {
            side: [row for row in found if side == "test" or row.subset == source]
            for side, found in given.items()
        }
        parts = official(here, seed=seed, name="own")
    for side, found in parts.items():
        if not any(row.subset == source for row in found):
            raise ValueError(
                f"{name}: the split {side!r} is empty (no row of the subset {source!r} is left "
                "once near-duplicates are kept on one side). Give more rows, or a file for it."
            )
    return parts


def _most_frequent(rows: list[Row]) -> str:
    counts = Counter(row.subset for row in rows)
    return min(counts, key=lambda subset: (-counts[subset], subset)) if counts else ONE


def _blank(value: Any) -> bool:
    return value is None or value != value or not str(value).strip()


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _name(value: Any) -> str:
    """A class name: 1, 1.0, "1" and True are told apart only where they read differently."""
    number = _number(value)
    if isinstance(value, float) and number is not None and number == int(number):
        return str(int(number))
    return str(value).strip()
