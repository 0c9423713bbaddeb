"""Named members of an archive, and nothing else; whatever is odd is refused."""

from __future__ import annotations

import io
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from workbench.sources import BrokenFile, UnsafeArchive
from workbench.sources import unpack as module
from workbench.sources.unpack import check_member, unpack


def make_zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as box:
        for name, content in files.items():
            box.writestr(name, content)
    return path


def make_tar(path: Path, files: dict[str, bytes], *, links: dict[str, str] | None = None) -> Path:
    with tarfile.open(path, "w:gz") as box:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            box.addfile(entry, io.BytesIO(content))
        for name, aim in (links or {}).items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, aim
            box.addfile(entry)
    return path


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_only_named_members_are_written(tmp_path, make):
    archive = make(tmp_path / "box", {"a/data.txt": b"data", "a/code.py": b"raise SystemExit"})
    assert unpack(archive, ("a/data.txt",), tmp_path / "out") == ["a/data.txt"]
    written = [p for p in (tmp_path / "out").rglob("*") if p.is_file()]
    assert [p.read_bytes() for p in written] == [b"data"]


def test_a_tar_inside_an_archive(tmp_path):
    inner = make_tar(tmp_path / "inner.tar.gz", {"deep/x.txt": b"x", "deep/y.txt": b"y"})
    archive = make_tar(tmp_path / "outer", {"p/inner.tar.gz": inner.read_bytes()})
    places = unpack(archive, ("p/inner.tar.gz!deep/x.txt",), tmp_path / "out")
    assert places == ["p/inner.tar.gz/deep/x.txt"]
    written = [p for p in (tmp_path / "out").rglob("*") if p.is_file()]
    assert written == [tmp_path / "out" / places[0]]


@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "a/../../x",
        "/etc/passwd",
        "C:/x",
        "a\\..\\x",
        "",
        "a//b",
        "./a",
        "box.tar!../x",
        "a/",
    ],
)
def test_a_member_must_be_a_plain_path(name):
    with pytest.raises(ValueError, match="plain relative path"):
        check_member(name)


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_zip_slip_is_refused_and_never_written(tmp_path, make):
    archive = make(tmp_path / "box", {"../evil.txt": b"evil"})
    with pytest.raises(ValueError, match="plain relative path"):
        unpack(archive, ("../evil.txt",), tmp_path / "out")
    assert not (tmp_path / "evil.txt").exists()


def test_links_are_refused(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("secret")
    tar = make_tar(tmp_path / "box.tar", {}, links={"data.txt": str(secret)})
    with pytest.raises(UnsafeArchive, match="data.txt is not a regular file"):
        unpack(tar, ("data.txt",), tmp_path / "out")
    entry = zipfile.ZipInfo("data.txt")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "box.zip", "w") as box:
        box.writestr(entry, str(secret))
    with pytest.raises(UnsafeArchive, match="data.txt is not a regular file"):
        unpack(tmp_path / "box.zip", ("data.txt",), tmp_path / "out")


def test_a_link_laid_by_an_earlier_member_is_not_followed(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a").symlink_to(tmp_path / "elsewhere")
    archive = make_zip(tmp_path / "box.zip", {"a/data.txt": b"data"})
    with pytest.raises(UnsafeArchive, match="points outside"):
        unpack(archive, ("a/data.txt",), tmp_path / "out")
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_a_bomb_is_refused(tmp_path, make):
    archive = make(tmp_path / "box", {"zeros": b"\0" * (8 << 20)})
    with pytest.raises(UnsafeArchive, match=r"would grow [\d,]+ times; 200 at most"):
        unpack(archive, ("zeros",), tmp_path / "out")
    assert not (tmp_path / "out" / "zeros").exists()


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_absurd_sizes_and_counts_are_refused(tmp_path, make, monkeypatch):
    archive = make(tmp_path / "box", {"a": b"12345", "b": b"", "c": b""})
    monkeypatch.setattr(module, "MAX_BYTES", 4)
    with pytest.raises(UnsafeArchive, match="would take 5 bytes; 4 at most"):
        unpack(archive, ("a",), tmp_path / "out")
    monkeypatch.setattr(module, "MAX_ENTRIES", 2)
    with pytest.raises(UnsafeArchive, match="more than 2 entries|would take"):
        unpack(archive, ("b",), tmp_path / "out")


def test_doubled_names_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "box.zip", "w") as box:
        box.writestr("data.txt", b"one")
        with pytest.warns(UserWarning, match="Duplicate name"):
            box.writestr("data.txt", b"two")
    with pytest.raises(UnsafeArchive, match="holds data.txt 2 times"):
        unpack(tmp_path / "box.zip", ("data.txt",), tmp_path / "out")


def test_a_size_that_lies_is_found_out(tmp_path):
    archive = tmp_path / "box.zip"
    with zipfile.ZipFile(archive, "w") as box:
        box.writestr("data.txt", b"x" * 100)
    raw = archive.read_bytes()
    archive.write_bytes(raw.replace((100).to_bytes(4, "little"), (7).to_bytes(4, "little")))
    with pytest.raises((BrokenFile, UnsafeArchive)):
        unpack(archive, ("data.txt",), tmp_path / "out")


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_damage_and_missing_members_are_named(tmp_path, make):
    archive = make(tmp_path / "box", {"a": bytes(range(256)) * 40})
    with pytest.raises(BrokenFile, match="box has no member 'b'"):
        unpack(archive, ("b",), tmp_path / "out")
    (tmp_path / "cut").write_bytes(archive.read_bytes()[: archive.stat().st_size // 2])
    with pytest.raises(BrokenFile, match="fetch it again"):
        unpack(tmp_path / "cut", ("a",), tmp_path / "out2")
    (tmp_path / "page").write_text("<html>502 Bad Gateway</html>")
    with pytest.raises(BrokenFile, match="neither a zip nor a tar"):
        unpack(tmp_path / "page", ("a",), tmp_path / "out3")
