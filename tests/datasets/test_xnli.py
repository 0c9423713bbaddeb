"""XNLI from a made-up folder in the hub's layout."""

from __future__ import annotations

from pathlib import Path

import pytest
from hub_folders import shard

from workbench.datasets import TASKS, load
from workbench.datasets.xnli import LANGUAGES
from workbench.sources import Hub, NoNetwork

TRAIN, VALIDATION, TEST = 30, 9, 6


def write(folder: Path, code: str, split: str, count: int, start: int, **change: list) -> None:
    columns = {
        "premise": [f"{code} premise {start + i // 3}" for i in range(count)],
        "hypothesis": [f"{code} hypothesis {i % 3}" for i in range(count)],
        "label": [i % 3 for i in range(count)],
    }
    shard(folder, code, split, **{**columns, **change})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    train = [f"en premise {i // 3}" for i in range(TRAIN)]
    train[0] = "En PREMISE 201 !"  # a premise of the test
    train[29] = "en premise 101"  # one of the validation
    write(tmp_path, "en", "train", TRAIN, 0, premise=train)
    write(tmp_path, "en", "validation", VALIDATION, 100)
    for code in LANGUAGES:
        write(tmp_path, code, "test", TEST, 200)
    return tmp_path


def test_trained_on_english_and_tested_in_all_languages(folder):
    data = load("xnli", source=folder)
    assert [len(data[split]) for split in data] == [TRAIN - 2, VALIDATION, TEST * len(LANGUAGES)]
    assert set(data["train"]["subset"]) == {"en"}
    assert list(dict.fromkeys(data["test"]["subset"])) == list(LANGUAGES) and len(LANGUAGES) == 15
    names = data["test"].features["label"].names
    assert names == ["entailment", "neutral", "contradiction"]
    row = data["test"][TEST + 1]
    assert (row["subset"], row["text"], row["text_pair"]) == (
        "ar", "ar premise 200", "ar hypothesis 1",
    )  # fmt: skip
    assert row["label"] == 1


def test_train_has_no_premise_of_the_other_splits(folder):
    data = load("xnli", source=folder)
    assert not {"En PREMISE 201 !", "en premise 101"} & set(data["train"]["text"])
    sides = [set(data[split]["group"]) for split in data]
    assert not sides[0] & sides[1] and not sides[0] & sides[2] and not sides[1] & sides[2]


def test_translations_are_one_group(folder):
    test = load("xnli", source=folder)["test"]
    groups = [test["group"][place * TEST :][:TEST] for place in range(len(LANGUAGES))]
    assert all(group == groups[0] for group in groups) and len(set(groups[0])) == 2


def test_a_language_with_other_rows_is_refused(folder):
    write(folder, "sw", "test", TEST - 1, 200)
    with pytest.raises(ValueError, match=r"5 test rows in 'sw' and 6 in 'en'; row i must be"):
        load("xnli", source=folder)


def test_a_missing_language_and_a_missing_column_are_named(folder):
    (folder / "ur" / "test-00000-of-00001.parquet").rename(folder / "ur" / "other.parquet")
    with pytest.raises(ValueError, match=r"xnli: .*ur/test-00000-of-00001.parquet is missing"):
        load("xnli", source=folder)
    shard(folder, "ur", "test", premise=["a"], label=[0])
    with pytest.raises(ValueError, match=r"no column hypothesis; it has premise, label"):
        load("xnli", source=folder)


def test_from_the_hub_the_same_files_are_asked_for(folder, monkeypatch):
    monkeypatch.setattr(Hub, "fetch", lambda self, progress=None: folder)
    local, hub = load("xnli", source=folder), load("xnli", source="hub")
    assert all(hub[split][:] == local[split][:] for split in local)
    (source,) = TASKS["xnli"].sources
    present = {path.relative_to(folder).as_posix() for path in folder.rglob("*.parquet")}
    assert set(source.files) == present and source.pinned


def test_offline_says_what_to_do(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv("WORKBENCH_BENCHMARKS", raising=False)
    with pytest.raises(NoNetwork, match="HF_HUB_OFFLINE.*local folder"):
        load("xnli")
