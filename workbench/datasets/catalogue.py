"""The tasks by name: describe, fingerprint, load."""

from __future__ import annotations

import os
from pathlib import Path
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
from workbench.datasets.task import Task
from workbench.sources import Hub, Local
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
BENCHMARKS = "WORKBENCH_BENCHMARKS"  # a folder with one folder per task


def describe(task: str, **columns: str | None) -> Task:
    """The metadata of a task; of your own data, after reading it.

    Raises ValueError for an unknown name.
    """
    if is_own(task):
        return open_own(parse(task, **columns), seed=0)[0]
    _no_columns(task, columns)
    return _loader(task).TASK


def fingerprint(task: str, source: str | os.PathLike[str] = "auto", **columns: str | None) -> str:
    """A name for the data of a task: changes with the files and with the loader's version.

    Cheap, and the same before and after a download. A hub revision that is not a commit can move
    under its name; pin ``revision=`` for records that last.
    """
    if is_own(task):
        own = parse(task, **columns)
        return digest("own", sorted(own.options.items()), own.source.fingerprint())
    about = describe(task, **columns)
    local = _local(about, source)
    parts = [local.fingerprint()] if local else [s.fingerprint() for s in about.sources]
    return digest("task", task, about.version, parts)


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
    local = _local(loader.TASK, source)
    folders = [local.fetch()] if local else [s.fetch(progress) for s in loader.TASK.sources]
    try:
        parts = loader.parts(folders[0] if len(folders) == 1 else tuple(folders), seed)
    except FileNotFoundError as error:
        raise ValueError(
            f"{task}: {error.filename} is missing. A local folder needs the files of the pinned "
            "source under the same names, or those of the original release that data/README.md "
            "names."
        ) from error
    return table(loader.TASK, parts)


def _loader(task: str) -> ModuleType:
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


def _local(task: Task, source: str | os.PathLike[str]) -> Local | None:
    """The local folder to read instead of fetching, if there is one."""
    kinds = {"hub" if isinstance(s, Hub) else "package" for s in task.sources}
    if source == "auto":
        home = os.environ.get(BENCHMARKS)
        folder = Path(home).expanduser() / task.name if home else None
        return Local(folder) if folder and "hub" in kinds and folder.is_dir() else None
    if source in kinds:
        return None
    if source in ("hub", "package"):
        raise ValueError(
            f"source={source!r}: {task.name} comes from a {', '.join(kinds)}. Allowed: 'auto', "
            f"'{', '.join(kinds)}', or the path of a folder."
        )
    folder = Path(source).expanduser()
    return Local(folder / task.name if (folder / task.name).is_dir() else folder)
