"""The tasks by name: describe, fingerprint, load."""

from __future__ import annotations

import os
from types import ModuleType
from typing import TYPE_CHECKING

from workbench.datasets import (
    cola,
    emoji_names,
    paws_x,
    qa_matching,
    sentiment,
    sib200,
    stsb,
    topics,
    wikiann,
    xnli,
)
from workbench.datasets.bring_your_own import is_own, open_own, parse
from workbench.datasets.corpora import CORPORA
from workbench.datasets.image_tasks import IMAGE_TASKS
from workbench.datasets.places import content, folders, missing_files
from workbench.datasets.task import Task
from workbench.sources.cache import digest
from workbench.sources.progress import Progress

if TYPE_CHECKING:
    import datasets

_MODULES = (
    *(sentiment, topics, qa_matching, emoji_names),
    *(stsb, cola, sib200, xnli, paws_x, wikiann),
)
_LOADERS: dict[str, ModuleType] = {module.TASK.name: module for module in _MODULES}
TASKS: dict[str, Task] = {name: module.TASK for name, module in _LOADERS.items()}


def describe(task: str, **columns: str | None) -> Task:
    """The metadata of a task; of your own data, after reading it.

    Raises ValueError for an unknown name.
    """
    if is_own(task):
        return open_own(parse(task, **columns), seed=0)[0]
    _no_columns(task, columns)
    return _loader(task).TASK


def fingerprint(task: str, source: str | os.PathLike[str] = "auto", **columns: str | None) -> str:
    """A name for the data of a task, of texts or pictures, or of a corpus.

    It changes with the files and the loader's version.

    Cheap, and the same before and after a download. A hub revision that is not a commit can move
    under its name; pin ``revision=`` for records that last.
    """
    if is_own(task):
        own = parse(task, **columns)
        return digest("own", sorted(own.options.items()), own.source.fingerprint())
    other = CORPORA.get(task) or IMAGE_TASKS.get(task)
    if other:
        _no_columns(task, columns)
        return content(other, source)
    return content(describe(task, **columns), source)


def load(
    task: str,
    *,
    source: str | os.PathLike[str] = "auto",
    seed: int = 0,
    progress: Progress = None,
    **columns: str | None,
) -> datasets.DatasetDict:
    """The task as train, validation and test; ``seed`` decides who goes where.

    ``task``: a name of ``TASKS``, or your own data as ``"folder:/path?text=..&label=.."`` or
    ``"hub:owner/name?.."``, whose columns may also be given as keywords.
    ``source``: "auto" takes ``$WORKBENCH_BENCHMARKS/<task>`` for hub tasks where it exists, and
    else fetches the pinned files once; "hub" or "package" always fetches; a path is a folder with
    the same files. Raises ValueError for what cannot be used and SourceError for what cannot be
    had.
    """
    from workbench.datasets.table import table

    if is_own(task):
        return table(*open_own(parse(task, **columns), seed, progress))
    _no_columns(task, columns)
    loader = _loader(task)
    found = folders(loader.TASK, source, progress)
    with missing_files(task):
        parts = loader.parts(found[0] if len(found) == 1 else found, seed)
    return table(loader.TASK, parts)


def _loader(task: str) -> ModuleType:
    for verb, names in (("load_images", IMAGE_TASKS), ("load_corpus", CORPORA)):
        if task in names:
            raise ValueError(f"task={task!r} is no table of texts: use {verb}({task!r}).")
    if task not in _LOADERS:
        raise ValueError(
            f"task={task!r} is unknown; allowed: {', '.join(_LOADERS)}, or your own data as "
            "'folder:/path?text=COLUMN&label=COLUMN' or 'hub:owner/name?text=COLUMN&label=COLUMN'."
        )
    return _LOADERS[task]


def _no_columns(task: str, columns: dict[str, str | None]) -> None:
    if columns:
        raise ValueError(
            f"{', '.join(columns)}: columns are for your own data ('folder:' and 'hub:'); "
            f"{task!r} has its own."
        )
