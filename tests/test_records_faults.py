"""What goes wrong around a store: killed processes, two at once, full and read-only disks."""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from counting import Counting

from workbench.observations import Progress
from workbench.records import (
    DamagedRecord,
    ReadOnlyStore,
    RecordError,
    Store,
    StoreFull,
    UnknownRecord,
    files,
)

pytestmark = pytest.mark.unit
HERE = Path(__file__).parent
HEAD = f"""
import os, signal, sys
sys.path[:0] = [{str(HERE)!r}, {str(HERE.parent)!r}]
from counting import Counting
from workbench.records import Store
"""


def start(code: str, *arguments: object) -> subprocess.Popen:
    command = [sys.executable, "-c", HEAD + code, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def values(record) -> list[bytes]:
    """Every number of a record, as bytes."""
    frame = record.scalars().fillna({"axis": ""})
    return [
        frame.value.to_numpy().tobytes(),
        frame.drop(columns="value").to_csv().encode(),
        *(f"{a.step} {a.name} {dict(a.labels)}".encode() for a in record.arrays()),
        *(a.values.tobytes() for a in record.arrays()),
    ]


KILL_AT_REPLACE = """
moves, when, after = 0, int(sys.argv[2]), sys.argv[3] == "after"
replace = os.replace
def dying(source, target):
    global moves
    moves += 1
    if after:
        replace(source, target)
    if moves == when:
        os.kill(os.getpid(), signal.SIGKILL)
    if not after:
        replace(source, target)
os.replace = dying
Store(sys.argv[1]).collect(Counting(needs=True))
"""


def test_killed_at_every_kind_of_instant_it_ends_with_the_same_values(tmp_path: Path) -> None:
    whole = Store(tmp_path / "whole").collect(Counting(needs=True))
    store = Store(tmp_path / "store")
    kinds = [(2, "after"), (3, "before"), (4, "before"), (5, "before"), (5, "after"), (9, "after")]
    random.Random(0).shuffle(kinds)
    for when, side in kinds:
        killed = start(KILL_AT_REPLACE, store.path, when, side)
        assert killed.wait() == -signal.SIGKILL, killed.stderr.read()
        killed.communicate()
        for record in store.find():
            assert record.status in ("finished", "interrupted")
            record.scalars(), record.arrays(), record.checkpoint()
    record = store.collect(Counting(needs=True))
    assert values(record) == values(whole)
    assert not list(store.path.glob("*/.*.tmp"))


def test_killed_at_random_moments_it_ends_with_the_same_values(tmp_path: Path) -> None:
    whole = Store(tmp_path / "whole").collect(Counting(12))
    store = Store(tmp_path / "store")
    moments = random.Random(1)
    for _ in range(4):
        run = start("Store(sys.argv[1]).collect(Counting(12, pause=0.02))", store.path)
        deadline = time.time() + 20
        while not list(store.path.glob("*/record.json")) and time.time() < deadline:
            time.sleep(0.02)
        time.sleep(0.3 + moments.random() / 2)
        run.kill()
        run.communicate()
        if record := store.find():
            assert record[0].status in ("interrupted", "finished")
    assert values(store.collect(Counting(12))) == values(whole)


def test_two_processes_write_one_record_once(tmp_path: Path) -> None:
    store = Store(tmp_path)
    experiment = Counting(8, pause=0.03)
    first = start("Store(sys.argv[1]).collect(Counting(8, pause=0.03))", tmp_path)
    key, deadline = store.key(experiment), time.time() + 20
    while not (tmp_path / key / "record.json").exists() and time.time() < deadline:
        time.sleep(0.02)
    assert store.get(key).status == "running"
    with pytest.raises(RecordError, match="being written"):
        store.remove(key)
    seen = list(store.stream(experiment))
    assert all(isinstance(o, Progress) and "another process" in o.text for o in seen)
    assert len(seen) >= 1
    assert first.wait() == 0, first.stderr.read()
    first.communicate()
    assert store.get(key).status == "finished"
    assert values(store.get(key)) == values(Store(tmp_path / "x").collect(experiment))


def test_the_second_process_goes_on_when_the_first_is_killed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = start("Store(sys.argv[1]).collect(Counting(8, pause=0.2))", tmp_path)
    key, deadline = store.key(Counting(8)), time.time() + 20
    while not (tmp_path / key / files.CHECKPOINT).exists() and time.time() < deadline:
        time.sleep(0.02)
    stream = store.stream(Counting(8))
    assert "waiting" in next(stream).text
    first.kill()
    first.communicate()
    rest = [o for o in stream if isinstance(o, Progress) and "step" in o.text]
    assert rest[0].done >= 1
    assert values(store.get(key)) == values(Store(tmp_path / "x").collect(Counting(8)))


FULL = """
import resource
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
try:
    Store(sys.argv[1]).collect(Counting(8))
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.mark.parametrize("limit", [10, 900, 1800])
def test_a_disk_that_refuses_to_grow_corrupts_nothing(tmp_path: Path, limit: int) -> None:
    """The system itself refuses writes beyond ``limit`` bytes a file, as on a full disk."""
    out, err = start(FULL, tmp_path, limit).communicate()
    assert out.startswith(f"StoreFull No room left for records in {tmp_path}"), out + err
    assert "set WORKBENCH_STORE" in out
    store = Store(tmp_path)
    for record in store.find():
        record.scalars(), record.arrays(), record.checkpoint()
    assert not list(tmp_path.glob("*/.*.tmp"))
    assert values(store.collect(Counting(8))) == values(Store(tmp_path / "x").collect(Counting(8)))


@pytest.mark.parametrize("name", [files.SCALARS, files.ARRAYS, files.CHECKPOINT, files.RECORD])
def test_a_full_disk_at_any_file(tmp_path: Path, monkeypatch, name: str) -> None:
    store, replace, moves = Store(tmp_path), os.replace, []

    def full(source, target):
        if Path(target).name == name:
            moves.append(target)
            if len(moves) > 3:
                raise OSError(errno.ENOSPC, "No space left on device")
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(StoreFull, match="Free some space"):
            store.collect(Counting())
    record = store.get(store.key(Counting()))
    assert record.status in ("failed", "interrupted")
    record.scalars(), record.arrays()
    assert values(store.collect(Counting())) == values(Store(tmp_path / "x").collect(Counting()))


def test_a_read_only_store_reads_and_says_how_to_write(tmp_path: Path) -> None:
    Store(tmp_path).collect(Counting(2))
    Store(tmp_path).find()
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    store = Store(tmp_path, read_only=True)
    assert store.collect(Counting(2)) == store.find("counting")[0]
    with pytest.raises(ReadOnlyStore, match=r"cannot be written.*WORKBENCH_STORE"):
        store.collect(Counting(3))
    with pytest.raises(ReadOnlyStore, match="cannot be written"):
        store.remove(store.find()[0].key)
    assert before == {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}


def test_a_checked_out_store_needs_no_index_and_takes_an_old_one(tmp_path: Path) -> None:
    made = Store(tmp_path)
    key = made.collect(Counting(2)).key
    made.reindex()
    os.utime(tmp_path / key / files.RECORD, (1, 1))
    assert [r.key for r in Store(tmp_path, read_only=True).find()] == [key]
    (tmp_path / "index.sqlite").unlink()
    assert [r.key for r in Store(tmp_path, read_only=True).find()] == [key]
    assert not (tmp_path / "index.sqlite").exists()


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS])
def test_a_folder_that_may_not_be_written_is_named(tmp_path, monkeypatch, code: int) -> None:
    def refused(*args, **kwargs):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(Path, "mkdir", refused)
    with pytest.raises(ReadOnlyStore, match=str(tmp_path / "here")):
        Store(tmp_path / "here").collect(Counting(2))


def flip(path: Path, at: float) -> None:
    """Change one byte at a share ``at`` of the file."""
    content = bytearray(path.read_bytes())
    content[int(len(content) * at)] ^= 0x55
    path.write_bytes(content)


@pytest.mark.parametrize("at", [0.001, 0.05, 0.3, 0.6, 0.8, 0.999])
@pytest.mark.parametrize("name", [files.SCALARS, files.ARRAYS, files.CHECKPOINT])
def test_a_tampered_file_is_named_with_a_way_out(tmp_path: Path, name: str, at: float) -> None:
    store = Store(tmp_path)
    record = store.collect(Counting(40, keep_checkpoint=True))
    good = values(record)
    flip(record.folder / name, at)
    record = store.get(record.key)
    with pytest.raises(DamagedRecord) as caught:
        _ = values(record), record.checkpoint()
        if values(record) == good:  # the statistics in a Parquet header change no value
            assert name == files.SCALARS
            pytest.skip("the changed byte carries no value")
        pytest.fail("read a damaged file")
    assert str(record.folder / name) in str(caught.value)
    assert f"records remove {record.key}" in str(caught.value)


@pytest.mark.parametrize("name", [files.SCALARS, files.ARRAYS, files.CHECKPOINT])
@pytest.mark.parametrize("content", [b"", b"rubbish", None])
def test_a_lost_or_emptied_file_stops_the_resume(tmp_path: Path, name: str, content) -> None:
    store = Store(tmp_path)
    run = store.stream(Counting())
    for _ in range(20):
        next(run)
    run.close()
    path = store.get(store.key(Counting())).folder / name
    if content is None and name == files.CHECKPOINT:
        pytest.skip("without a checkpoint a run starts over, which is right")
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(DamagedRecord, match=rf"{name} is damaged.*remove"):
        store.collect(Counting())
    store.remove(store.key(Counting()))
    assert store.collect(Counting()).status == "finished"


def test_a_tampered_description(tmp_path: Path) -> None:
    store = Store(tmp_path)
    record = store.collect(Counting(2))
    for text in ("{", "[]", "{}"):
        (record.folder / files.RECORD).write_text(text)
        with pytest.raises(DamagedRecord, match=r"record\.json is damaged"):
            store.collect(Counting(2))
        assert store.find()[0].status == "failed"
    store.remove(record.key)
    with pytest.raises(UnknownRecord):
        store.get(record.key)


def test_an_export_refuses_a_damaged_record(tmp_path: Path) -> None:
    store = Store(tmp_path / "a")
    record = store.collect(Counting(2))
    flip(record.folder / files.ARRAYS, 0.9)
    with pytest.raises(DamagedRecord):
        store.export(store.find(), tmp_path / "b")
    assert Store(tmp_path / "b").find() == []
