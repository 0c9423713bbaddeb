"""PAWS-X from a made-up folder in the hub's layout."""

from __future__ import annotations

from pathlib import Path

import pytest
from hub_folders import shard

from workbench.datasets import TASKS, load
from workbench.datasets.paws_x import LANGUAGES
from workbench.sources import Hub

COUNTS = {"train": 20, "validation": 8, "test": 10}


def columns(code: str, split: str) -> dict[str, list]:
    numbers = range(1, COUNTS[split] + 1)  # ids begin anew in every split
    return {
        "id": list(numbers),
        "sentence1": [f"{code} {split} left {i} of right" for i in numbers],
        "sentence2": [f"right of {code} {split} left {i}" for i in numbers],
        "label": [i % 2 for i in numbers],
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    train = columns("en", "train")
    train["sentence2"][4] = "Of right: en test 7 left"  # the words of a tested sentence
    train["sentence1"][6] = " "
    shard(tmp_path, "en", "train", **train)
    shard(tmp_path, "en", "validation", **columns("en", "validation"))
    for code in LANGUAGES:
        test = columns(code, "test")
        if code == "de":
            test["sentence2"][3] = "NS"
        shard(tmp_path, code, "test", **test)
    return tmp_path


def test_trained_on_english_and_tested_in_all_languages(folder):
    data = load("paws-x", source=folder)
    assert [len(data[split]) for split in data] == [18, 8, 10 * len(LANGUAGES) - 1]
    assert list(dict.fromkeys(data["test"]["subset"])) == list(LANGUAGES) and len(LANGUAGES) == 7
    assert data["train"].features["label"].names == ["no paraphrase", "paraphrase"]
    assert data["train"][0]["text_pair"] == "right of en train left 1"
    assert data["train"]["label"][:2] == [1, 0]


def test_untranslated_and_blank_pairs_are_left_out(folder):
    data = load("paws-x", source=folder)
    texts = [*data["train"]["text"], *data["test"]["text"], *data["test"]["text_pair"]]
    assert "NS" not in texts and all(text.strip() for text in texts)
    assert list(data["test"]["subset"]).count("de") == 9


def test_train_shares_no_sentence_with_the_test_in_any_order_of_its_words(folder):
    data = load("paws-x", source=folder)
    assert "Of right: en test 7 left" not in data["train"]["text_pair"]
    assert not set(data["train"]["group"]) & set(data["test"]["group"])


def test_translations_are_one_group(folder):
    test = load("paws-x", source=folder)["test"]
    group = dict(zip(test["text"], test["group"], strict=True))
    for code in LANGUAGES:
        assert group[f"{code} test left 5 of right"] == group["en test left 5 of right"]
    assert group["fr test left 5 of right"] != group["fr test left 6 of right"]


def test_from_the_hub_the_same_files_are_asked_for(folder, monkeypatch):
    monkeypatch.setattr(Hub, "fetch", lambda self, progress=None: folder)
    local, hub = load("paws-x", source=folder), load("paws-x", source="hub")
    assert all(hub[split][:] == local[split][:] for split in local)
    (source,) = TASKS["paws-x"].sources
    present = {path.relative_to(folder).as_posix() for path in folder.rglob("*.parquet")}
    assert set(source.files) == present and source.pinned
