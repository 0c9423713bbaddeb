"""The finished table and smaller samples of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from workbench.datasets import TASKS, describe, fingerprint, limit, load
from workbench.datasets.rows import Row
from workbench.datasets.table import table

TASK = replace(TASKS["sentiment"], name="tiny", subsets=("movies", "nyt"))


def parts(n: int = 100) -> dict[str, list[Row]]:
    labels = ["negative", "positive", "positive", "positive"]
    one = [Row(f"m{i}", labels[i % 4], "movies", f"g{i}") for i in range(n)]
    other = [Row(f"n{i}", labels[i % 4], "nyt", f"h{i}") for i in range(n)]
    return {"train": one, "validation": one[:20], "test": [*other, *one]}


def test_columns_and_order():
    import datasets

    data = table(TASK, parts())
    assert isinstance(data, datasets.DatasetDict) and list(data) == ["train", "validation", "test"]
    train = data["train"]
    assert train.column_names == ["text", "label", "subset", "group"]
    assert train.features["label"].names == ["negative", "positive"]
    assert list(dict.fromkeys(data["test"]["subset"])) == ["movies", "nyt"]
    assert train.info.license == "MIT" and "movie" in train.info.description


def test_pairs_and_regression():
    task = replace(TASK, kind="regression", labels=(), pair=True, subsets=("en",))
    made = [Row("a", 2.5, "en", "g", "b")]
    data = table(task, {"train": made, "validation": made, "test": made})
    assert data["train"].column_names == ["text", "text_pair", "label", "subset", "group"]
    assert data["train"][0]["label"] == 2.5 and data["train"][0]["text_pair"] == "b"


def test_an_empty_split_is_named():
    with pytest.raises(ValueError, match="tiny: the split 'validation' is empty"):
        table(TASK, {**parts(), "validation": []})


def test_limit_keeps_the_shares_of_classes_and_subsets():
    data = table(TASK, parts())
    small = limit(data, train=40, test=8, seed=1)
    assert Counter(small["train"]["label"]) == {0: 10, 1: 30}
    assert len(small["validation"]) == 20
    both = zip(small["test"]["subset"], small["test"]["label"], strict=True)
    assert Counter(both) == {(s, c): n for s in ("movies", "nyt") for c, n in ((0, 2), (1, 6))}
    assert small["train"].features == data["train"].features


def test_limit_is_deterministic_and_never_too_much():
    data = table(TASK, parts())
    assert limit(data, train=10, seed=1)["train"][:] == limit(data, train=10, seed=1)["train"][:]
    assert limit(data, train=10, seed=1)["train"][:] != limit(data, train=10, seed=2)["train"][:]
    assert limit(data, train=10**6)["train"][:] == data["train"][:]
    assert Counter(limit(data, train=2)["train"]["label"]) == {0: 1, 1: 1}


@pytest.mark.parametrize("size", [0, -1, 1.5])
def test_limit_refuses_nonsense(size):
    with pytest.raises(ValueError, match="whole number of rows above 0"):
        limit(table(TASK, parts()), train=size)


@pytest.mark.parametrize("call", [load, describe, fingerprint])
def test_an_unknown_task_lists_the_known_ones(call):
    with pytest.raises(ValueError, match="'sentimant' is unknown; allowed: sentiment.*hub:"):
        call("sentimant")
    with pytest.raises(ValueError, match="columns are for your own data"):
        call("sentiment", text="x")


def test_metadata_is_complete():
    for name, task in TASKS.items():
        assert task.name == name and task.source_subset == task.subsets[0]
        assert task.licence and task.citation and task.note and task.sources
        assert (task.kind != "regression") == bool(task.labels)
        assert task.num_labels == (len(task.labels) or 1)
        assert all(source.licence and source.size for source in task.sources)
        pinned = [getattr(source, "pinned", True) for source in task.sources]
        assert all(pinned), f"{name} is not pinned to a commit"


def test_fingerprints_differ_and_touch_no_file():
    found = {name: fingerprint(name) for name in TASKS}
    assert len(set(found.values())) == len(TASKS)
    assert found == {name: fingerprint(name) for name in TASKS}


def test_a_source_that_does_not_fit():
    with pytest.raises(ValueError, match="source='hub': sentiment comes from a package"):
        load("sentiment", source="hub")
    with pytest.raises(ValueError, match="source='package': stsb comes from a hub"):
        load("stsb", source="package")


def test_a_folder_without_the_files(tmp_path):
    with pytest.raises(ValueError, match="stsb: .*is missing. A local folder needs"):
        load("stsb", source=tmp_path)
