"""The tasks by name: describe, fingerprint, load."""

from __future__ import annotations

import os
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from workbench.datasets import emoji_names, sentiment, topics
from workbench.datasets.task import Task
from workbench.sources import Local
from workbench.sources.cache import digest
from workbench.sources.progress import Progress

if TYPE_CHECKING:
    import datasets

_LOADERS: dict[str, ModuleType] = {
    module.TASK.name: module for module in (sentiment, topics, emoji_names)
}
TASKS: dict[str, Task] = {name: module.TASK for name, module in _LOADERS.items()}


def describe(task: str) -> Task:
    """The metadata of a task; raises ValueError for an unknown name."""
    return _loader(task).TASK


def fingerprint(task: str, source: str | os.PathLike[str] = "auto") -> str:
    """A name for the data of a task: changes with the files and with the loader's version."""
    about = describe(task)
    local = _local(task, source)
    parts = [local.fingerprint()] if local else [s.fingerprint() for s in about.sources]
    return digest("task", task, about.version, parts)


def load(
    task: str,
    *,
    source: str | os.PathLike[str] = "auto",
    seed: int = 0,
    progress: Progress = None,
) -> datasets.DatasetDict:
    """The task as train, validation and test; ``seed`` decides who goes where.

    ``source``: "auto" fetches the pinned files once; a path is a folder with the same files.
    """
    from workbench.datasets.table import table

    loader = _loader(task)
    local = _local(task, source)
    folders = [local.fetch()] if local else [s.fetch(progress) for s in loader.TASK.sources]
    parts = loader.parts(folders[0] if len(folders) == 1 else tuple(folders), seed)
    return table(loader.TASK, parts)


def _loader(task: str) -> ModuleType:
    if task not in _LOADERS:
        raise ValueError(f"task={task!r} is unknown; allowed: {', '.join(_LOADERS)}.")
    return _LOADERS[task]


def _local(task: str, source: str | os.PathLike[str]) -> Local | None:
    if source == "auto":
        return None
    folder = Path(source).expanduser()
    return Local(folder / task if (folder / task).is_dir() else folder)
