"""Pictures as arrays: made-up files in both layouts, splits that leak nothing, what is refused."""

from __future__ import annotations

import gzip
import io
import subprocess
import sys

import numpy as np
import pytest

from workbench.datasets import IMAGE_TASKS, TASKS, Images, fingerprint, load, load_images
from workbench.datasets.images import divided, same_pixels
from workbench.sources import Hub, NoNetwork, Wheel


def pictures(count: int, channels: int = 3, side: int = 32) -> Images:
    """No two alike, the classes in turn."""
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (count, side, side, channels), dtype=np.uint8)
    return Images(pixels, np.arange(count, dtype=np.int64) % 10)


def numbered(parts: dict[str, Images], every: Images) -> dict[str, list[int]]:
    """Which of ``every`` each split holds, found by their pixels."""
    place = {key: i for i, key in enumerate(same_pixels(every.pixels))}
    return {side: [place[key] for key in same_pixels(p.pixels)] for side, p in parts.items()}


def test_a_split_keeps_groups_together_and_classes_in_proportion():
    every = pictures(400)
    groups = [f"{i % 10}/{i // 20}" for i in range(400)]  # pairs of one class
    parts = divided(every, groups, name="made-up", seed=0)
    found = numbered(parts, every)
    assert {side: len(part) for side, part in parts.items()} == {
        "train": 280, "validation": 40, "test": 80,
    }  # fmt: skip
    assert sorted(sum(found.values(), [])) == list(range(400))
    sides = [{groups[i] for i in numbers} for numbers in found.values()]
    assert len(set.union(*sides)) == sum(map(len, sides))
    assert all(set(np.bincount(part.labels)) == {len(part) // 10} for part in parts.values())
    assert all(np.array_equal(p.labels, every.labels[found[s]]) for s, p in parts.items())


def test_the_seed_decides_the_split_and_nothing_else():
    every = pictures(100)
    groups = same_pixels(every.pixels)
    first, again, other = (
        numbered(divided(every, groups, name="a", seed=seed), every) for seed in (0, 0, 1)
    )
    assert first == again != other


def test_images_are_what_they_say():
    some = pictures(5).take([3, 1])
    assert len(some) == 2 and some.labels.tolist() == [3, 1]
    assert len(some.take(np.array([], int))) == 0
    with pytest.raises(ValueError, match=r"pixels \(2, 32, 32, 3\) and labels \(1,\)"):
        Images(some.pixels, some.labels[:1])
    with pytest.raises(ValueError, match="dtypes float64, int64; must be uint8 and int64"):
        Images(some.pixels / 255, some.labels)


def png(pixels: np.ndarray) -> bytes:
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def write_hub(folder, part: str, given: Images) -> None:
    import pyarrow
    import pyarrow.parquet

    home = folder / "plain_text"
    home.mkdir(parents=True, exist_ok=True)
    cells = [{"bytes": png(picture), "path": None} for picture in given.pixels]
    table = pyarrow.table({"img": cells, "label": given.labels})
    pyarrow.parquet.write_table(table, home / f"{part}-00000-of-00001.parquet")


def test_cifar10_in_both_layouts(tmp_path, monkeypatch):
    train, test = pictures(200), pictures(30).take(range(10, 30))
    (tmp_path / "local").mkdir()
    np.savez(
        tmp_path / "local" / "cifar10_subset.npz",
        x_train=train.pixels, y_train=train.labels, x_test=test.pixels, y_test=test.labels,
    )  # fmt: skip
    local = load_images("cifar10", source=tmp_path / "local")
    assert [len(local[side]) for side in ("train", "validation", "test")] == [170, 30, 20]
    assert np.array_equal(local["test"].pixels, test.pixels)
    write_hub(tmp_path / "hub", "train", train)
    write_hub(tmp_path / "hub", "test", test)
    monkeypatch.setattr(Hub, "fetch", lambda self, progress=None: tmp_path / "hub")
    hub = load_images("cifar10", source="hub")
    assert [len(hub[side]) for side in ("train", "validation", "test")] == [180, 20, 20]
    assert np.array_equal(hub["test"].pixels, test.pixels)
    kept = {side: hub[side] for side in ("train", "validation")}
    assert sorted(sum(numbered(kept, train).values(), [])) == list(range(200))
    assert fingerprint("cifar10", tmp_path / "local") != fingerprint("cifar10", source="hub")


def test_cifar10_refuses_other_pictures(tmp_path):
    some = pictures(20)
    np.savez(tmp_path / "cifar10_subset.npz", x_train=some.pixels, y_train=some.labels)
    with pytest.raises(ValueError, match="lacks x_test, y_test; it must hold x_train, y_train"):
        load_images("cifar10", source=tmp_path)
    odd = dict(x_test=some.pixels, y_test=some.labels + 1)
    np.savez(tmp_path / "cifar10_subset.npz", x_train=some.pixels, y_train=some.labels, **odd)
    with pytest.raises(ValueError, match="test: pictures are .* with labels up to 10"):
        load_images("cifar10", source=tmp_path)
    objects = np.array([None] * 20, dtype=object)
    np.savez(tmp_path / "cifar10_subset.npz", x_train=objects, y_train=objects, **odd)
    with pytest.raises(ValueError, match="allow_pickle=False"):
        load_images("cifar10", source=tmp_path)
    (tmp_path / "cifar10_subset.npz").unlink()
    with pytest.raises(ValueError, match="cifar10: .*train-00000-of-00001.parquet is missing"):
        load_images("cifar10", source=tmp_path)
    write_hub(tmp_path, "train", pictures(3, side=16))
    with pytest.raises(ValueError, match=r"picture 0 of train is \(16, 16\), not 32 x 32"):
        load_images("cifar10", source=tmp_path)


def test_cifar10_takes_the_folder_of_the_environment(tmp_path, monkeypatch):
    before = fingerprint("cifar10")
    some = pictures(40)
    (tmp_path / "cifar10").mkdir()
    np.savez(
        tmp_path / "cifar10" / "cifar10_subset.npz",
        x_train=some.pixels, y_train=some.labels, x_test=some.pixels, y_test=some.labels,
    )  # fmt: skip
    monkeypatch.setenv("WORKBENCH_BENCHMARKS", str(tmp_path))
    assert len(load_images("cifar10")["test"]) == 40
    assert fingerprint("cifar10") != before == fingerprint("cifar10", source="hub")


def write_digits(folder, rows: np.ndarray) -> None:
    lines = "\n".join(",".join(map(str, row)) for row in rows.tolist())
    (folder / "mnist_5k.csv.gz").write_bytes(gzip.compress(lines.encode()))


def test_digits_are_padded_and_copies_stay_together(tmp_path):
    every = pictures(100, channels=1, side=28)
    rows = np.hstack([every.pixels.reshape(100, -1), every.labels[:, None]])
    rows = np.vstack([rows, rows])  # each twice
    write_digits(tmp_path, rows)
    found = load_images("mnist5k", source=tmp_path)
    assert sum(map(len, found.values())) == 200
    seen = [set(same_pixels(part.pixels)) for part in found.values()]
    assert len(set.union(*seen)) == sum(map(len, seen)) == 100
    pixels = found["train"].pixels
    assert pixels.shape[1:] == (32, 32, 1)
    assert not pixels[:, :2].any() and not pixels[:, :, -2:].any()
    inside = dict(zip(same_pixels(every.pixels), every.labels))
    keys = same_pixels(np.ascontiguousarray(pixels[:, 2:-2, 2:-2]))
    assert [inside[key] for key in keys] == found["train"].labels.tolist()


def test_other_tables_are_no_digits(tmp_path):
    write_digits(tmp_path, np.zeros((3, 100), np.uint8))
    with pytest.raises(ValueError, match="not a table of 784 pixels and a digit in each row"):
        load_images("mnist5k", source=tmp_path)


def test_every_task_says_what_it_is():
    for name, task in IMAGE_TASKS.items():
        assert task.name == name and task.size == (32, 32) and task.channels in (1, 3)
        assert task.licence and task.citation and task.note and len(set(task.labels)) >= 8
        assert all(source.pinned for source in task.sources if isinstance(source, Hub))
        assert all(source.size for source in task.sources if isinstance(source, Wheel))
    assert not set(IMAGE_TASKS) & set(TASKS)
    assert len({fingerprint(name) for name in IMAGE_TASKS}) == len(IMAGE_TASKS)


def test_unknown_names_and_the_wrong_verb_are_refused():
    with pytest.raises(ValueError, match="task='sentiment' has no pictures; allowed: .*mnist5k"):
        load_images("sentiment")
    with pytest.raises(ValueError, match=r"no table of texts: use load_images\('mnist5k'\)"):
        load("mnist5k")
    with pytest.raises(ValueError, match="text: columns are for your own data"):
        fingerprint("mnist5k", text="words")


def test_offline_says_what_to_do(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv("WORKBENCH_BENCHMARKS", raising=False)
    with pytest.raises(NoNetwork, match="HF_HUB_OFFLINE.*local folder"):
        load_images("cifar10")


def test_listing_pictures_imports_nothing_heavy():
    code = (
        "import sys; from workbench.datasets import IMAGE_TASKS; "
        "print([n for n in ('torch', 'datasets', 'PIL', 'fontTools') if n in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
