"""WikiANN from a made-up folder in the hub's layout: each word has a tag."""

from __future__ import annotations

import pytest
from hub_folders import TAGS, shard, wikiann

from workbench.datasets import TASKS, limit, load
from workbench.datasets.wikiann import LANGUAGES
from workbench.sources import Hub


@pytest.fixture
def folder(tmp_path):
    return wikiann(tmp_path)


def test_words_and_tags_go_together(folder):
    import datasets

    data = load("wikiann", source=folder)
    assert [len(data[split]) for split in data] == [60, 24, 12 * len(LANGUAGES)]
    assert data["train"].column_names == ["text", "words", "label", "subset", "group"]
    assert data["train"].features["label"] == datasets.List(datasets.ClassLabel(names=list(TAGS)))
    for row in data["test"].select(range(20)):
        assert row["text"] == " ".join(row["words"]) and len(row["words"]) == len(row["label"])
    assert list(dict.fromkeys(data["test"]["subset"])) == list(LANGUAGES)


def test_the_four_languages_of_the_thesis_are_among_them():
    task = TASKS["wikiann"]
    assert {"en", "de", "nl", "es"} < set(task.subsets) and task.num_labels == 7


def test_sentences_of_a_test_are_not_trained_on(folder):
    said = ["Number", "7", "in", "Oslo"]
    for code, split in (("en", "train"), ("en", "validation"), ("sw", "test")):
        kept = [said] if split != "test" else [[word.upper() for word in said]]
        shard(folder, code, split, tokens=[*kept, ["a", split]], ner_tags=[[0, 0, 0, 5], [0, 0]])
    data = load("wikiann", source=folder)
    assert [len(data["train"]), len(data["validation"])] == [1, 1]


def test_words_without_tags_are_refused_and_empty_sentences_left_out(folder):
    shard(folder, "en", "train", tokens=[[], ["a", "b"]], ner_tags=[[], [0, 0]])
    assert len(load("wikiann", source=folder)["train"]) == 1
    shard(folder, "en", "train", tokens=[["a", "b"]], ner_tags=[[0]])
    with pytest.raises(ValueError, match="row 0 of train in 'en' has 2 words and 1 tags"):
        load("wikiann", source=folder)


def test_a_sample_keeps_so_many_of_each_language(folder):
    small = limit(load("wikiann", source=folder), train=10, test=3, seed=1)
    assert len(small["train"]) == 10 and len(small["test"]) == 3 * len(LANGUAGES)


def test_from_the_hub_the_same_files_are_asked_for(folder, monkeypatch):
    monkeypatch.setattr(Hub, "fetch", lambda self, progress=None: folder)
    local, hub = load("wikiann", source=folder), load("wikiann", source="hub")
    assert all(hub[split][:] == local[split][:] for split in local)
    (source,) = TASKS["wikiann"].sources
    present = {path.relative_to(folder).as_posix() for path in folder.rglob("*.parquet")}
    assert set(source.files) == present and source.pinned
