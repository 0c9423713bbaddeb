"""A pinned package file: fetched once, checked at each use, safe when interrupted or shared."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections import namedtuple
from pathlib import Path

import pytest

from workbench.sources import (
    BrokenFile,
    DiskFull,
    NoNetwork,
    NoPip,
    SourceError,
    Wheel,
    cache_dir,
)
from workbench.sources import cache as cache_module
from workbench.sources import pip as pip_module
from workbench.sources import wheel as wheel_module

MEMBERS = ("tinydata/a.txt", "tinydata/b.txt")


@pytest.fixture
def archive(tmp_path) -> Path:
    """A real wheel whose code must never run."""
    path = tmp_path / "index" / "tinydata-1.0-py3-none-any.whl"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as box:
        box.writestr("tinydata/a.txt", "alpha")
        box.writestr("tinydata/b.txt", "beta")
        box.writestr("tinydata/__init__.py", "raise SystemExit('must not run')")
        meta = "Metadata-Version: 2.1\nName: tinydata\nVersion: 1.0\n"
        box.writestr("tinydata-1.0.dist-info/METADATA", meta)
        tags = "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        box.writestr("tinydata-1.0.dist-info/WHEEL", tags)
        box.writestr("tinydata-1.0.dist-info/RECORD", "")
    return path


@pytest.fixture
def wheel(archive) -> Wheel:
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    return Wheel("tinydata", "1.0", digest, MEMBERS, size=archive.stat().st_size)


@pytest.fixture
def downloads(archive, monkeypatch) -> list[str]:
    """pip replaced by a copy; the list says how often it was asked."""
    asked: list[str] = []

    def download(wheel, folder, *, scratch, report):
        asked.append(wheel.name)
        report(5, 10, wheel.name)
        shutil.copy(archive, folder)

    monkeypatch.setattr(pip_module, "download", download)
    return asked


@pytest.fixture
def index(archive, monkeypatch) -> Path:
    """Real pip, with a folder as its only index."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(archive.parent))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return archive.parent


def content(folder: Path) -> dict[str, str]:
    files = [p for p in folder.rglob("*") if p.is_file() and not p.name.startswith(".")]
    return {p.relative_to(folder).as_posix(): p.read_text() for p in files}


def test_pip_fetches_it_and_it_stays(wheel, index, tmp_path):
    assert not wheel.cached()
    folder = wheel.fetch(progress=False)
    assert content(folder) == {"tinydata/a.txt": "alpha", "tinydata/b.txt": "beta"}
    assert wheel.cached() and folder == wheel.path and folder.is_relative_to(cache_dir())
    assert not list((cache_dir() / "staging").iterdir())
    shutil.rmtree(index)  # offline from now on
    assert wheel.fetch(progress=False) == folder


def test_a_wrong_file_is_never_unpacked(wheel, index):
    wrong = Wheel("tinydata", "1.0", "0" * 64, MEMBERS)
    with pytest.raises(BrokenFile, match="not the file that is pinned here.*pip cache purge"):
        wrong.fetch(progress=False)
    assert not wrong.cached() and not wrong.path.exists()


def test_a_wrong_file_is_found_even_if_pip_lets_it_pass(wheel, archive, downloads):
    with zipfile.ZipFile(archive, "a") as box:
        box.writestr("tinydata/c.txt", "c")
    with pytest.raises(BrokenFile, match="sha256 [0-9a-f]{64}.*thrown away"):
        wheel.fetch(progress=False)
    assert not wheel.path.exists()


def test_an_unknown_release_says_where_to_look(wheel, index, archive):
    archive.unlink()
    with pytest.raises(SourceError, match="pip config list"):
        wheel.fetch(progress=False)


@pytest.mark.parametrize(
    ("said", "error", "way_out"),
    [
        ("Failed to establish a new connection: NewConnectionError", NoNetwork, "proxy"),
        ("Temporary failure in name resolution", NoNetwork, "network"),
        ("OSError: [Errno 28] No space left on device", DiskFull, "WORKBENCH_CACHE"),
        ("DO NOT MATCH THE HASHES\n  Got        " + "a" * 64, BrokenFile, "pip cache purge"),
        ("ERROR: No matching distribution found", SourceError, "pip config list"),
    ],
)
def test_what_pip_says_is_explained(wheel, tmp_path, said, error, way_out):
    explained = pip_module._explain(wheel, tmp_path, said)
    assert type(explained) is error
    assert way_out in str(explained) and "tinydata 1.0" in str(explained)


def test_the_command_line_runs_nothing_of_the_package(wheel, tmp_path):
    line = pip_module.command(wheel, tmp_path / "r.txt", tmp_path)
    assert line[:4] == [sys.executable, "-m", "pip", "download"]
    assert "--no-deps" in line and "--only-binary=:all:" in line
    assert "--platform=manylinux2014_x86_64" in line and "--python-version=3.11" in line


def test_only_one_package_may_be_an_sdist(tmp_path):
    with pytest.raises(ValueError, match="sdist=True would let pip run its build.*vadersentiment"):
        Wheel("tinydata", "1.0", "0" * 64, MEMBERS, sdist=True)
    allowed = Wheel("vaderSentiment", "3.3.2", "0" * 64, MEMBERS, sdist=True)
    line = pip_module.command(allowed, tmp_path / "r.txt", tmp_path)
    assert "--no-binary=vaderSentiment" in line and "--only-binary=:all:" not in line


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("package", "../x", "not a package name"),
        ("package", "--index-url=http://x", "not a package name"),
        ("version", ">=1", "not one pinned version"),
        ("sha256", "ABC", "64 lower-case hex digits"),
        ("members", (), "members is empty"),
        ("members", ("../x",), "plain relative path"),
    ],
)
def test_bad_fields_are_refused(field, value, message):
    fields = dict(package="tinydata", version="1.0", sha256="0" * 64, members=MEMBERS)
    with pytest.raises(ValueError, match=message):
        Wheel(**{**fields, field: value})


def test_no_pip_says_what_to_do(wheel, monkeypatch):
    find = pip_module.importlib.util.find_spec
    monkeypatch.setattr(
        pip_module.importlib.util, "find_spec", lambda n: None if n == "pip" else find(n)
    )
    with pytest.raises(NoPip, match="ensurepip --upgrade.*uv pip install pip"):
        wheel.fetch(progress=False)


@pytest.mark.parametrize("harm", ["other content", "longer", "gone", "no manifest", "bad manifest"])
def test_a_broken_file_is_named_and_fetched_again(wheel, downloads, harm, caplog):
    folder = wheel.fetch(progress=False)
    victim = folder / "tinydata/a.txt"
    manifest = folder / cache_module.MANIFEST
    if harm == "other content":
        victim.write_text("ALPHA")  # the same size
    elif harm == "longer":
        victim.write_text("alphabet")
    elif harm == "gone":
        victim.unlink()
    elif harm == "no manifest":
        manifest.unlink()
    else:
        manifest.write_text('{"about": {}, "files": {}}')
    with caplog.at_level(logging.WARNING):
        assert content(wheel.fetch(progress=False))["tinydata/a.txt"] == "alpha"
    assert ("manifest" if "manifest" in harm else str(victim)) in caplog.text
    assert "again" in caplog.text and len(downloads) == 2


def test_same_size_and_time_but_a_new_process_is_found(wheel, downloads, monkeypatch):
    folder = wheel.fetch(progress=False)
    wheel.fetch(progress=False)
    victim = folder / "tinydata/a.txt"
    before = victim.stat()
    victim.write_text("ALPHA")
    os.utime(victim, ns=(before.st_atime_ns, before.st_mtime_ns))
    monkeypatch.setattr(cache_module, "_hashed", {})  # as in a new process
    assert (wheel.fetch(progress=False) / "tinydata/a.txt").read_text() == "alpha"


def test_hashes_are_computed_once(wheel, downloads, monkeypatch):
    wheel.fetch(progress=False)
    wheel.fetch(progress=False)
    monkeypatch.setattr(cache_module, "sha256_of", lambda path: pytest.fail("hashed again"))
    wheel.fetch(progress=False)


def test_interrupted_while_downloading(wheel, downloads, archive, monkeypatch):
    good = pip_module.download

    def cut(wheel, folder, *, scratch, report):
        (folder / archive.name).write_bytes(archive.read_bytes()[:50])
        raise KeyboardInterrupt

    monkeypatch.setattr(pip_module, "download", cut)
    with pytest.raises(KeyboardInterrupt):
        wheel.fetch(progress=False)
    assert not wheel.cached()
    monkeypatch.setattr(pip_module, "download", good)
    assert content(wheel.fetch(progress=False))["tinydata/b.txt"] == "beta"


def test_interrupted_while_unpacking_keeps_the_download(wheel, downloads, monkeypatch):
    def cut(archive, members, target):
        (target / "tinydata").mkdir()
        (target / "tinydata/a.txt").write_text("al")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(wheel_module, "unpack", cut)
        wheel.fetch(progress=False)
    assert not wheel.cached()
    assert content(wheel.fetch(progress=False))["tinydata/a.txt"] == "alpha"
    assert len(downloads) == 1


CHILD = """
import shutil, sys, time
from pathlib import Path
from workbench.sources import Wheel, pip
archive, log, sha256, pause = sys.argv[1:]
def download(wheel, folder, *, scratch, report):
    with open(log, "a") as out:
        out.write("asked\\n")
    time.sleep(float(pause))
    shutil.copy(archive, folder)
pip.download = download
wheel = Wheel("tinydata", "1.0", sha256, ("tinydata/a.txt", "tinydata/b.txt"))
print((wheel.fetch(progress=False) / "tinydata/a.txt").read_text())
"""


def child(wheel: Wheel, archive: Path, log: Path, pause: float) -> subprocess.Popen:
    line = [sys.executable, "-c", CHILD, str(archive), str(log), wheel.sha256, str(pause)]
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_two_processes_fetch_once(wheel, archive, tmp_path):
    log = tmp_path / "log"
    both = [child(wheel, archive, log, 1.0) for _ in range(2)]
    for process in both:
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out.strip()) == (0, "alpha"), err
    assert log.read_text().splitlines() == ["asked"]


def test_a_killed_process_leaves_nothing_in_the_way(wheel, archive, tmp_path, downloads):
    log = tmp_path / "log"
    process = child(wheel, archive, log, 60)
    deadline = time.monotonic() + 60
    while not log.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not wheel.cached()
    assert content(wheel.fetch(progress=False))["tinydata/a.txt"] == "alpha"


def test_a_full_disk_is_named_before_and_while(wheel, downloads, monkeypatch):
    usage = namedtuple("usage", "total used free")
    with monkeypatch.context() as patch, pytest.raises(DiskFull, match="full.*WORKBENCH_CACHE"):
        patch.setattr(wheel_module.shutil, "disk_usage", lambda path: usage(1, 1, 0))
        wheel.fetch(progress=False)
    assert downloads == []

    def full(archive, members, target):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(DiskFull, match="Free some room"):
        patch.setattr(wheel_module, "unpack", full)
        wheel.fetch(progress=False)
    assert not wheel.cached()
    assert wheel.fetch(progress=False).is_dir()


def test_a_cache_that_cannot_be_written(wheel, tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "mkdir", _forbidden)
    with pytest.raises(DiskFull, match="WORKBENCH_CACHE to a folder that you can write to"):
        wheel.fetch(progress=False)


def _forbidden(*args, **kwargs):
    raise PermissionError(errno.EACCES, "Permission denied")


def test_progress_is_reported(wheel, downloads, capsys):
    seen = []
    wheel.fetch(progress=lambda done, total, text: seen.append((done, total, text)))
    assert seen == [(5, 10, "tinydata 1.0")]
    assert capsys.readouterr().err == ""


def test_a_bar_is_drawn_on_stderr(wheel, downloads, capsys):
    wheel.fetch()
    shown = capsys.readouterr()
    assert "tinydata 1.0" in shown.err and shown.out == ""


def test_fingerprint_is_cheap_and_tells_members_apart(wheel):
    other = Wheel("tinydata", "1.0", wheel.sha256, MEMBERS[:1])
    assert wheel.fingerprint() != other.fingerprint() and wheel.path != other.path
    assert wheel.fingerprint() == Wheel(**vars(wheel)).fingerprint()
    assert not cache_dir().exists()


def test_the_cache_can_be_moved(monkeypatch, tmp_path):
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "there"))
    assert cache_dir() == tmp_path / "there"
    monkeypatch.delenv("WORKBENCH_CACHE")
    assert cache_dir().name == "compression-workbench"
