"""Files that are made here once from other files: converted, cleaned or trained on them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.sources.cache import (
    cache_dir,
    digest,
    locked,
    log,
    problems,
    put,
    write_manifest,
)
from workbench.sources.errors import disk_errors


@dataclass(frozen=True)
class Made:
    """A folder of the cache that is made, not fetched.

    ``kind`` is its place in the cache, ``name`` is for people, and ``about`` says what it is made
    from and how: with another ``about`` it is another folder.
    """

    kind: str
    name: str
    about: Mapping[str, Any]

    @property
    def path(self) -> Path:
        """Where the files lie once made."""
        return cache_dir() / self.kind / f"{self.name}-{digest(dict(self.about))}"

    def cached(self) -> bool:
        """Whether all files lie in the cache with the right sizes."""
        return not problems(self.path, self.about, hashes=False)

    def ensure(self, make: Callable[[Path], None]) -> Path:
        """The folder with the files; ``make(folder)`` writes them on the first call.

        Later calls, also of other processes, find what was made; files that were changed are named
        in the log and made again. Raises DiskFull, and whatever ``make`` raises.
        """
        target = self.path
        if not problems(target, self.about):
            return target
        with locked(target.name):
            broken = problems(target, self.about)
            if not broken:
                return target  # another process was faster
            if target.exists():
                log.warning("making %s again. %s", self.name, "; ".join(broken))
            with disk_errors(cache_dir(), self.name):
                staged = target.with_name(f".{target.name}.staged")  # ours alone: we hold the lock
                shutil.rmtree(staged, ignore_errors=True)
                staged.mkdir(parents=True)
                make(staged)
                write_manifest(staged, self.about, sorted(path.name for path in staged.iterdir()))
                put(staged, target)
        return target
