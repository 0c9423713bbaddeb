"""Take named members out of a zip or tar file, and nothing else; whatever is odd is refused.

A member is written as the path inside the archive. ``outer.tar.gz!inner/path.txt`` names a file
of a tar file inside the archive. Only regular files are written, at their own relative path; links,
devices, doubled names, encrypted members, absurd sizes and absurd compression are refused.
"""

from __future__ import annotations

import gzip
import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import IO

from workbench.sources.errors import BrokenFile, UnsafeArchive

MAX_BYTES = 1 << 30  # of one member, unpacked: 1 GiB
MAX_RATIO = 200  # unpacked to packed, above 1 MiB
MAX_ENTRIES = 200_000

_DAMAGED = (
    zipfile.BadZipFile,
    tarfile.TarError,
    gzip.BadGzipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
)


def check_member(name: str) -> None:
    """Raise ValueError unless every part of ``name`` is a plain relative POSIX path."""
    for part in name.split("!"):
        path = PurePosixPath(part)
        odd = not part or "\\" in part or ":" in part or "\0" in part or path.is_absolute()
        if odd or str(path) != part or any(piece in ("..", ".") for piece in path.parts):
            raise ValueError(
                f"member {name!r} is not a plain relative path. Use forward slashes, no '..', no "
                "drive letter, and 'archive.tar.gz!path' for a file of an archive in an archive."
            )


def place(name: str) -> str:
    """Where a member lies below the unpacked folder (``a.tar.gz!b.txt`` -> ``a.tar.gz/b.txt``)."""
    return name.replace("!", "/")


def unpack(archive: Path, members: tuple[str, ...], target: Path) -> list[str]:
    """Write ``members`` of ``archive`` below ``target``; return their places.

    Raises UnsafeArchive for what is never unpacked and BrokenFile for a damaged archive or a
    missing member.
    """
    plain = [name for name in members if "!" not in name]
    nested: dict[str, list[str]] = {}
    for name in members:
        check_member(name)
        if "!" in name:
            outer, inner = name.split("!", 1)
            nested.setdefault(outer, []).append(inner)
    try:
        _extract(archive, plain, target)
        for outer, inside in nested.items():
            box = target / ".outer"
            _extract(archive, [outer], box)
            unpack(box / outer, tuple(inside), target / outer)
            shutil.rmtree(box)
    except _DAMAGED as error:
        raise BrokenFile(f"{archive.name} cannot be read ({error}): fetch it again.") from error
    return [place(name) for name in members]


def _extract(archive: Path, names: list[str], target: Path) -> None:
    if not names:
        return
    if zipfile.is_zipfile(archive):
        _extract_zip(archive, names, target)
    elif tarfile.is_tarfile(archive):
        _extract_tar(archive, names, target)
    else:
        raise BrokenFile(f"{archive.name} is neither a zip nor a tar file: fetch it again.")


def _extract_zip(archive: Path, names: list[str], target: Path) -> None:
    with zipfile.ZipFile(archive) as box:
        entries = box.infolist()
        _check_count(archive, entries)
        for name in names:
            entry = _the_one(archive, name, [e for e in entries if e.filename == name])
            kind = stat.S_IFMT(entry.external_attr >> 16)
            if entry.is_dir() or kind not in (0, stat.S_IFREG):
                raise UnsafeArchive(f"{archive.name}: {name} is not a regular file.")
            if entry.flag_bits & 0x1:
                raise UnsafeArchive(f"{archive.name}: {name} is encrypted.")
            _check_size(archive, name, entry.file_size, entry.compress_size)
            with box.open(entry) as stream:
                _write(archive, name, stream, target, entry.file_size)


def _extract_tar(archive: Path, names: list[str], target: Path) -> None:
    packed = archive.stat().st_size
    with tarfile.open(archive) as box:
        entries: list[tarfile.TarInfo] = []
        total = 0  # the whole stream is unpacked on the way to a member
        for entry in box:
            entries.append(entry)
            _check_count(archive, entries)
            total += entry.size
            _check_size(archive, entry.name, total, packed)
        for name in names:
            entry = _the_one(archive, name, [e for e in entries if e.name == name])
            if not entry.isreg() or entry.issparse():
                raise UnsafeArchive(f"{archive.name}: {name} is not a regular file.")
            stream = box.extractfile(entry)
            assert stream is not None  # isreg
            with stream:
                _write(archive, name, stream, target, entry.size)


def _check_count(archive: Path, entries: list) -> None:
    if len(entries) > MAX_ENTRIES:
        raise UnsafeArchive(f"{archive.name} has more than {MAX_ENTRIES:,} entries.")


def _the_one(archive: Path, name: str, found: list):
    if len(found) > 1:
        raise UnsafeArchive(f"{archive.name} holds {name} {len(found)} times.")
    if not found:
        raise BrokenFile(f"{archive.name} has no member {name!r}.")
    return found[0]


def _check_size(archive: Path, name: str, size: int, packed: int) -> None:
    if size > MAX_BYTES:
        raise UnsafeArchive(
            f"{archive.name}: {name} would take {size:,} bytes; {MAX_BYTES:,} at most."
        )
    if size > 1 << 20 and size > MAX_RATIO * max(packed, 1):
        raise UnsafeArchive(
            f"{archive.name}: {name} would grow {size / max(packed, 1):,.0f} times; "
            f"{MAX_RATIO} at most."
        )


def _write(archive: Path, name: str, stream: IO[bytes], target: Path, size: int) -> None:
    path = target / name
    if not path.resolve().is_relative_to(target.resolve()):
        raise UnsafeArchive(f"{archive.name}: {name} points outside of the folder.")
    path.parent.mkdir(parents=True, exist_ok=True)
    left = size
    with path.open("xb") as out:
        while chunk := stream.read(min(1 << 20, left + 1)):
            left -= len(chunk)
            if left < 0:
                raise UnsafeArchive(f"{archive.name}: {name} is larger than it says.")
            out.write(chunk)
    if left:
        raise BrokenFile(f"{archive.name}: {name} ends {left:,} bytes early: fetch it again.")
