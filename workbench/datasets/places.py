"""Where the files of a task or corpus are read: its pinned sources, or a folder of this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from workbench.sources import Hub, Local, Wheel
from workbench.sources.cache import digest
from workbench.sources.progress import Progress

BENCHMARKS = "WORKBENCH_BENCHMARKS"  # a folder with one folder per task


class Sourced(Protocol):
    """What a task and a corpus have in common."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> int: ...
    @property
    def sources(self) -> Sequence[Wheel | Hub]: ...


def folders(
    about: Sourced, source: str | os.PathLike[str], progress: Progress = None
) -> tuple[Path, ...]:
    """The folders to read: one per source, or the local one; fetches what is not in the cache."""
    local = local_folder(about, source)
    return (local.fetch(),) if local else tuple(s.fetch(progress) for s in about.sources)


def content(about: Sourced, source: str | os.PathLike[str] = "auto") -> str:
    """A name for the data that is the same before and after a download."""
    local = local_folder(about, source)
    parts = [local.fingerprint()] if local else [s.fingerprint() for s in about.sources]
    return digest("task", about.name, about.version, parts)


def local_folder(about: Sourced, source: str | os.PathLike[str]) -> Local | None:
    """The local folder to read instead of fetching, if there is one.

    ``source`` is "auto" (``$WORKBENCH_BENCHMARKS/<name>`` where it exists and the data are the
    hub's), "hub" or "package" (never local), or the path of a folder.
    """
    kinds = {"hub" if isinstance(s, Hub) else "package" for s in about.sources}
    if source == "auto":
        home = os.environ.get(BENCHMARKS)
        folder = Path(home).expanduser() / about.name if home else None
        return Local(folder) if folder and "hub" in kinds and folder.is_dir() else None
    if source in kinds:
        return None
    if source in ("hub", "package"):
        raise ValueError(
            f"source={source!r}: {about.name} comes from a {', '.join(kinds)}. Allowed: 'auto', "
            f"'{', '.join(kinds)}', or the path of a folder."
        )
    folder = Path(source).expanduser()
    return Local(folder / about.name if (folder / about.name).is_dir() else folder)


@contextmanager
def missing_files(name: str) -> Iterator[None]:
    """Turn the FileNotFoundError of a loader into a ValueError that names the way out."""
    try:
        yield
    except FileNotFoundError as error:
        raise ValueError(
            f"{name}: {error.filename} is missing. A local folder needs the files of the pinned "
            "source under the same names, or those of the original release that data/README.md "
            "names."
        ) from error
