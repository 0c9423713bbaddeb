"""The cache: where fetched files lie, one lock per entry, and what was promised about each file.

An entry is a folder with a ``.manifest.json`` that holds the size and sha256 of every file. Each
use checks the sizes; the first use in a process, and every use after a file was touched, checks
the hashes too.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from workbench.sources.errors import SourceError, disk_errors

log = logging.getLogger("workbench.sources")

MANIFEST = ".manifest.json"
_PATIENCE = 3600.0  # seconds to wait for another process that fetches the same thing
_hashed: dict[str, tuple[int, ...]] = {}  # file -> its stat when its hash was last found right


def cache_dir() -> Path:
    """The cache folder: ``$WORKBENCH_CACHE``, or the user's cache folder of this platform."""
    given = os.environ.get("WORKBENCH_CACHE")
    if given:
        return Path(given).expanduser().absolute()
    import platformdirs

    return Path(platformdirs.user_cache_dir("compression-workbench", appauthor=False))


def digest(*parts: object) -> str:
    """A short stable name for a value: the first 16 hex digits of the sha256 of its JSON."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def sha256_of(path: Path) -> str:
    """The sha256 of a file's content, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def locked(key: str) -> Iterator[None]:
    """Hold the one lock of a cache entry, waiting for whoever fetches it now."""
    from filelock import FileLock, Timeout

    folder = cache_dir() / "locks"
    with disk_errors(folder, "a lock file"):
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(str(folder / f"{key}.lock"))
        try:
            lock.acquire(timeout=0.2)
        except Timeout:
            log.info("waiting for another process that fetches %s", key)
            try:
                lock.acquire(timeout=_PATIENCE)
            except Timeout:
                raise SourceError(
                    f"Another process has been fetching {key} for an hour. End it and start again."
                ) from None
    try:
        yield
    finally:
        lock.release()


def write_manifest(folder: Path, about: Mapping[str, Any], names: list[str]) -> None:
    """Note size and sha256 of the files ``names`` of ``folder``, and what they are."""
    files = {
        name: {"size": (folder / name).stat().st_size, "sha256": sha256_of(folder / name)}
        for name in names
    }
    text = json.dumps({"about": dict(about), "files": files}, indent=1, sort_keys=True)
    (folder / MANIFEST).write_text(text, encoding="utf-8")


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest of an entry, or None when it is missing or is not one."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        ok = all(
            isinstance(entry["size"], int) and isinstance(entry["sha256"], str)
            for entry in manifest["files"].values()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return manifest if ok and isinstance(manifest.get("about"), dict) else None


def problems(folder: Path, about: Mapping[str, Any], *, hashes: bool = True) -> list[str]:
    """What is wrong with an entry, one line per file; empty when it can be used as it is.

    ``hashes=False`` compares sizes only, which is enough to say whether it is there.
    """
    manifest = read_manifest(folder)
    if manifest is None:
        return [f"{folder / MANIFEST}: missing or unreadable"]
    if manifest["about"] != json.loads(json.dumps(dict(about))):
        return [f"{folder / MANIFEST}: describes something else"]
    found = []
    for name, promised in manifest["files"].items():
        path = folder / name
        try:
            stat = path.stat()
        except OSError:
            found.append(f"{path}: missing")
            continue
        if stat.st_size != promised["size"]:
            found.append(f"{path}: {stat.st_size} bytes instead of {promised['size']}")
        elif hashes and not _hash_is_right(path, stat, promised["sha256"]):
            found.append(f"{path}: its content is not what was fetched (sha256 differs)")
    return found


def _hash_is_right(path: Path, stat: os.stat_result, promised: str) -> bool:
    signature = (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)
    key = f"{path}:{promised}"
    if _hashed.get(key) == signature:
        return True
    right = sha256_of(path) == promised
    if right:
        _hashed[key] = signature
    return right


def put(staged: Path, target: Path) -> None:
    """Move a finished folder into its place in one step, replacing a broken one."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        old = target.with_name(f".{target.name}.old")
        shutil.rmtree(old, ignore_errors=True)
        os.replace(target, old)
        os.replace(staged, target)
        shutil.rmtree(old, ignore_errors=True)
    else:
        os.replace(staged, target)
