"""WikiText-2 from made-up folders in the hub's layout and as text files."""

from __future__ import annotations

from pathlib import Path

import pytest
from hub_folders import parquet

from workbench.datasets import CORPORA, fingerprint, load_corpus
from workbench.datasets.wikitext import SHARD, articles
from workbench.sources import Hub, NoNetwork


def text(first: int, count: int) -> str:
    one = " \n = Title {} = \n \n Words of {} \n = 1 = \n more . \n \n = = Part = = \n \n End . \n"
    return "".join(one.format(i, i) for i in range(first, first + count)) + " \n"


TEXTS = {"train": text(0, 8), "validation": text(10, 5), "test": text(20, 3)}


def hub(folder: Path) -> Path:
    for split, whole in TEXTS.items():
        parquet(folder / SHARD.format(split), text=whole.splitlines(keepends=True))
    return folder


def files(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True)
    for name, whole in zip(names, list(TEXTS.values())[-len(names) :], strict=True):
        (folder / name).write_text(whole, encoding="utf-8")
    return folder


def test_articles_begin_at_their_headings_and_nothing_is_lost():
    found = articles(TEXTS["train"])
    assert len(found) == 8 and "".join(found) == TEXTS["train"]
    assert [f" = Title {i} = " in article for i, article in enumerate(found)] == [True] * 8
    assert articles("no heading\n") == ["no heading\n"]


def test_all_layouts_give_the_same(tmp_path, monkeypatch):
    found = load_corpus("wikitext2", source=hub(tmp_path / "hub"))
    assert {split: "".join(found[split]) for split in found} == TEXTS
    assert [len(found[split]) for split in found] == [8, 5, 3]
    for number, ending in enumerate(("{}.txt", "wiki.{}.raw", "wiki.{}.tokens")):
        names = [ending.format(name) for name in ("train", "valid", "test")]
        assert load_corpus("wikitext2", source=files(tmp_path / str(number), *names)) == found
    monkeypatch.setattr(Hub, "fetch", lambda self, progress=None: tmp_path / "hub")
    assert load_corpus("wikitext2", source="hub") == found


def test_without_a_train_the_validation_articles_are_divided(tmp_path, monkeypatch):
    files(tmp_path / "wikitext2", "valid.txt", "test.txt")
    before = fingerprint("wikitext2")
    monkeypatch.setenv("WORKBENCH_BENCHMARKS", str(tmp_path))
    found = load_corpus("wikitext2")
    assert [len(found[split]) for split in ("train", "validation", "test")] == [4, 1, 3]
    given = articles(TEXTS["validation"])
    assert sorted(found["train"] + found["validation"]) == sorted(given)
    assert fingerprint("wikitext2") != before == fingerprint("wikitext2", "hub")


def test_a_missing_split_is_named(tmp_path):
    folder = files(tmp_path / "some", "valid.txt")
    with pytest.raises(ValueError, match=r"wikitext2: .*test-00000-of-00001.parquet is missing"):
        load_corpus("wikitext2", source=folder)


def test_offline_says_what_to_do(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv("WORKBENCH_BENCHMARKS", raising=False)
    with pytest.raises(NoNetwork, match="HF_HUB_OFFLINE.*local folder"):
        load_corpus("wikitext2")
    (source,) = CORPORA["wikitext2"].sources
    assert isinstance(source, Hub) and source.pinned
