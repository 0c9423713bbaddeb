"""A user's own folder or hub repository."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from workbench.datasets import describe, fingerprint, load
from workbench.sources import Hub

from .test_benchmarks import parquet, sentences


def rows(start: int, count: int, **more) -> list[dict]:
    return [
        {"text": text, "label": ["bad", "good"][i % 2], **more}
        for i, text in enumerate(sentences(start, count))
    ]


def write(path: Path, table: list[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in table))
    elif path.suffix == ".parquet":
        parquet(path, **{name: [row[name] for row in table] for name in table[0]})
    else:
        with path.open("w", newline="", encoding="utf-8") as stream:
            tab = {"delimiter": "\t"} if path.suffix == ".tsv" else {}
            out = csv.DictWriter(stream, list(table[0]), **tab)
            out.writeheader()
            out.writerows(table)


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet"])
def test_three_files_of_each_format(tmp_path, kind):
    for name, start, count in (("train", 0, 40), ("dev", 60, 10), ("test", 80, 10)):
        write(tmp_path / f"{name}.{kind}", rows(start, count))
    data = load(f"folder:{tmp_path}")
    assert [len(data[s]) for s in data] == [40, 10, 10]
    assert data["train"].features["label"].names == ["bad", "good"]
    assert data["train"][0]["text"] == sentences(0, 1)[0] and data["train"][0]["subset"] == "all"


def test_one_file_is_split_and_other_columns_are_named(tmp_path):
    table = [
        {"review, long": row["text"], "stars": i % 3 + 1} for i, row in enumerate(rows(0, 100))
    ]
    write(tmp_path / "reviews.csv", table)
    task = f"folder:{tmp_path / 'reviews.csv'}?text=review, long&label=stars"
    data = load(task, seed=3)
    assert [len(data[s]) for s in data] == pytest.approx([70, 10, 20], abs=3)
    assert data["train"].features["label"].names == ["1", "2", "3"]
    about = describe(task)
    assert about.labels == ("1", "2", "3") and about.kind == "classification" and not about.pair
    same = load(f"folder:{tmp_path}", text="review, long", label="stars", seed=3)
    assert len(same["test"]) == pytest.approx(len(data["test"]), abs=3)


def test_pairs_subsets_and_regression(tmp_path):
    table = [
        {"a": a["text"], "b": b["text"], "score": i / 7, "language": ["en", "de"][i % 4 == 3]}
        for i, (a, b) in enumerate(zip(rows(0, 120), rows(200, 120), strict=True))
    ]
    write(tmp_path / "train.jsonl", table)
    task = f"folder:{tmp_path}?text=a&text_pair=b&label=score&subset=language"
    data, about = load(task), describe(task)
    assert (about.kind, about.metric, about.pair) == ("regression", "spearman", True)
    assert about.subsets == ("en", "de") and about.num_labels == 1
    assert set(data["train"]["subset"]) == {"en"} and set(data["test"]["subset"]) == {"en", "de"}
    other = load(task + "&train_on=de")
    assert set(other["train"]["subset"]) == {"de"}


def test_near_duplicates_of_the_test_leave_train(tmp_path):
    write(tmp_path / "train.csv", [*rows(0, 40), {"text": "HELLO, world!", "label": "good"}])
    write(tmp_path / "test.csv", [*rows(80, 10), {"text": "hello world", "label": "good"}])
    data = load(f"folder:{tmp_path}")
    assert "HELLO, world!" not in {*data["train"]["text"], *data["validation"]["text"]}
    assert len(data["train"]) + len(data["validation"]) == 40 and len(data["test"]) == 11


def test_rows_without_text_or_label_are_left_out_and_counted(tmp_path, caplog):
    extra = [{"text": " ", "label": "good"}, {"text": "x", "label": ""}]
    write(tmp_path / "all.csv", [*rows(0, 60), *extra])
    data = load(f"folder:{tmp_path}")
    assert sum(map(len, data.values())) == 60 and "2 rows without" in caplog.text


@pytest.mark.parametrize(
    ("change", "query", "message"),
    [
        ({}, "?text=body", r"no column 'body'; there are text, label\. Say which with text="),
        ({}, "?label=stars", "no column 'stars'; there are text, label"),
        ({}, "?subset=lang", "no column 'lang'"),
        ({}, "?txet=body", "unknown option txet.*options: text, text_pair, label"),
        ({}, "?kind=ranking", "allowed: classification, regression"),
        ({}, "?kind=regression", "the label 'bad' is no number"),
        ({}, "?train_on=fr", "train_on='fr'; the subsets are all"),
        ({"label": "good"}, "", r"one class only \(good\)"),
    ],
)
def test_mistakes_are_named(tmp_path, change, query, message):
    write(tmp_path / "all.csv", [{**row, **change} for row in rows(0, 60)])
    with pytest.raises(ValueError, match=message):
        load(f"folder:{tmp_path}{query}")


def test_empty_splits_and_folders_are_named(tmp_path):
    with pytest.raises(ValueError, match="no .csv, .tsv, .jsonl, .parquet file"):
        load(f"folder:{tmp_path}")
    write(tmp_path / "train.csv", rows(0, 40))
    (tmp_path / "test.csv").write_text("text,label\n")
    with pytest.raises(ValueError, match="the split 'test' is empty"):
        load(f"folder:{tmp_path}")
    (tmp_path / "test.csv").unlink()
    write(tmp_path / "train.csv", rows(0, 2))
    with pytest.raises(ValueError, match="the split '.*' is empty.*Give more rows"):
        load(f"folder:{tmp_path}")


def test_a_broken_line_is_named(tmp_path):
    (tmp_path / "train.jsonl").write_text('{"text": "a", "label": 1}\n{"text": \n')
    with pytest.raises(ValueError, match="train.jsonl, line 2 is not JSON"):
        load(f"folder:{tmp_path}")
    (tmp_path / "train.jsonl").write_text("[1]\n")
    with pytest.raises(ValueError, match="line 1 is not a JSON object"):
        load(f"folder:{tmp_path}")


def test_too_many_labels(tmp_path):
    write(tmp_path / "all.csv", [{**row, "label": f"l{i}"} for i, row in enumerate(rows(0, 150))])
    with pytest.raises(ValueError, match="150 different labels in 'label'; 100 at most"):
        load(f"folder:{tmp_path}")


def test_a_hub_repository_with_several_sets(tmp_path, monkeypatch):
    for config in ("en", "de"):
        for split, start, count in (("train", 0, 40), ("test", 80, 10)):
            write(tmp_path / config / f"{split}-00000-of-00001.parquet", rows(start, count))
    write(tmp_path / "de" / "train-00001-of-00002.parquet", rows(100, 10))
    asked = []

    def fetch(self, progress=None):
        asked.append(self)
        return tmp_path / "de" if self.files else tmp_path

    monkeypatch.setattr(Hub, "fetch", fetch)
    with pytest.raises(ValueError, match=r"several data sets \(de, en\). Add config="):
        load("hub:owner/name")
    data = load("hub:owner/name?config=de&revision=abc")
    assert len(data["train"]) + len(data["validation"]) == 50
    assert asked[-1].revision == "abc" and asked[-1].files[0] == "de/**.csv"
    assert fingerprint("hub:owner/name") != fingerprint("hub:owner/name?revision=abc")


def test_the_fingerprint_follows_the_content(tmp_path):
    write(tmp_path / "all.csv", rows(0, 60))
    before = fingerprint(f"folder:{tmp_path}")
    assert before != fingerprint(f"folder:{tmp_path}?label=text")
    write(tmp_path / "all.csv", rows(0, 61))
    assert fingerprint(f"folder:{tmp_path}") != before
