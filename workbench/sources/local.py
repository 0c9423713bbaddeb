"""A folder or file that the user names."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from workbench.sources.cache import digest, sha256_of
from workbench.sources.errors import SourceError
from workbench.sources.progress import Progress

_WHOLE = 32 << 20  # larger files are told apart by size, head and tail


@dataclass(frozen=True)
class Local:
    """Files that are already on this machine.

    ``path`` is a folder (or one file); ``files`` names those that must be in it.
    """

    path: str | os.PathLike[str]
    files: tuple[str, ...] = ()

    def folder(self) -> Path:
        """The absolute path, with ``~`` expanded."""
        return Path(self.path).expanduser().absolute()

    def cached(self) -> bool:
        """Whether the path and all named files exist."""
        folder = self.folder()
        return folder.exists() and all((folder / name).is_file() for name in self.files)

    def fetch(self, progress: Progress = None) -> Path:
        """The path itself; raises SourceError when it or a named file does not exist."""
        folder = self.folder()
        if not folder.exists():
            raise SourceError(f"{folder} does not exist. Give the path of an existing folder.")
        missing = [name for name in self.files if not (folder / name).is_file()]
        if missing:
            raise SourceError(
                f"{folder} lacks {', '.join(missing)}. Expected files: {', '.join(self.files)}."
            )
        return folder

    def fingerprint(self) -> str:
        """A name for the content: relative names, sizes and hashes of the files."""
        folder = self.fetch()
        if folder.is_file():
            return digest("local", _content(folder))
        paths = [folder / name for name in self.files] or sorted(
            p for p in folder.rglob("*") if p.is_file() and not _hidden(p.relative_to(folder))
        )
        return digest("local", [[p.relative_to(folder).as_posix(), *_content(p)] for p in paths])


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _content(path: Path) -> list:
    size = path.stat().st_size
    if size <= _WHOLE:
        return [size, sha256_of(path)]
    import hashlib

    with path.open("rb") as stream:
        parts = hashlib.sha256(stream.read(1 << 20))
        stream.seek(-(1 << 20), os.SEEK_END)
        parts.update(stream.read())
    return [size, parts.hexdigest()]
