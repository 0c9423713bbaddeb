"""What belongs together, and on which side of a split it goes."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.datasets.rows import (
    Row,
    Together,
    grouped,
    near_duplicates,
    official,
    split,
    words,
)


def test_words_ignore_case_and_punctuation():
    assert words("It's -- GOOD, straße!") == ("it", "s", "good", "strasse")


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 19), st.integers(0, 19)), max_size=30))
def test_components_equal_those_of_scipy(links):
    import numpy as np
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    together = Together(20)
    for one, other in links:
        together.link(one, other)
    ends = np.array(links, dtype=int).reshape(-1, 2).T
    graph = coo_array((np.ones(len(links)), (ends[0], ends[1])), shape=(20, 20))
    _, wanted = connected_components(graph, directed=False)
    roots = together.roots()
    assert all(
        (roots[i] == roots[j]) == (wanted[i] == wanted[j]) for i in range(20) for j in range(20)
    )
    assert all(root <= item for item, root in enumerate(roots))


def test_copies_cuts_and_edits_are_near_duplicates():
    text = "a film that is so funny and so moving that it will stay with you for years"
    texts = [
        text,
        text.upper() + "!",
        "a film that is so funny and so moving",
        "truly, " + text.replace("years", "weeks"),
        "the plot makes no sense at all and nobody seems to care about it in the least",
        "good",
        "Good.",
        "!?",
        "...",
    ]
    roots = near_duplicates(texts)
    assert roots[:4] == [0, 0, 0, 0] and roots[5] == roots[6]
    assert len({roots[i] for i in (0, 4, 5, 7, 8)}) == 5


def test_examples_that_share_one_sentence_are_grouped():
    roots = grouped([("a b c", "d e f"), ("x y z", "A B C."), ("x Y z", "q"), ("lone", "some")])
    assert roots == [0, 0, 0, 3]


def rows(n: int, *, groups: int, other: bool = True) -> list[Row]:
    made = [Row(f"t{i}", "ab"[i % 2], "en", f"g{i % groups:03d}") for i in range(n)]
    if other:
        made += [Row(f"x{i}", "ab"[i % 2], "de", f"g{i % groups:03d}") for i in range(n)]
    return made


@settings(deadline=None, max_examples=40)
@given(st.integers(20, 120), st.integers(10, 40), st.integers(0, 5))
def test_no_group_is_on_two_sides(n, groups, seed):
    parts = split(rows(n, groups=groups), source="en", seed=seed, name="t")
    sides = [{row.group for row in parts[s]} for s in ("train", "validation", "test")]
    assert sum(map(len, sides)) == len(set.union(*sides))
    assert {row.subset for row in parts["train"] + parts["validation"]} == {"en"}
    assert sum(row.subset == "en" for part in parts.values() for row in part) == n


def test_shares_are_kept_by_label():
    parts = split(rows(1000, groups=1000), source="en", seed=0, name="t")
    english = {s: Counter(r.label for r in p if r.subset == "en") for s, p in parts.items()}
    assert english == {
        "train": {"a": 350, "b": 350},
        "validation": {"a": 50, "b": 50},
        "test": {"a": 100, "b": 100},
    }


def test_a_row_near_a_trained_group_is_not_tested():
    made = rows(100, groups=100, other=False)
    parts = split(made, source="en", seed=0, name="t")
    trained, tested = parts["train"][0].group, parts["test"][0].group
    also = [
        Row("safe", "a", "de", tested),
        Row("near", "a", "de", tested, near=(trained,)),
        Row("own", "a", "de", "a group of its own"),
    ]
    again = split([*made, *also], source="en", seed=0, name="t")
    assert [r.text for r in again["test"] if r.subset == "de"] == ["safe", "own"]


def test_the_seed_decides_and_nothing_else():
    made = rows(200, groups=100)
    one = split(made, source="en", seed=1, name="t")
    assert one == split(list(made), source="en", seed=1, name="t")
    assert one != split(made, source="en", seed=2, name="t")
    code = (
        "from workbench.datasets.rows import Row, split, near_duplicates\n"
        "rows = [Row(f't{i}', 'ab'[i % 2], 'en', f'g{i}') for i in range(60)]\n"
        "print([r.text for r in split(rows, source='en', seed=3, name='t')['test']])\n"
        "print(near_duplicates(['a b c d', 'b c d', 'x', 'b c d e f']))"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PATH": ""},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "2")
    }
    assert len(said) == 1


def test_a_published_test_stays_and_the_rest_is_freed_of_it():
    train = [Row(f"t{i}", "ab"[i % 2], "en", f"g{i}") for i in range(50)]
    test = [Row("test", "a", "en", "g7"), Row("Test", "a", "de", "g7")]
    parts = official({"train": train, "test": test}, seed=0, name="t")
    assert parts["test"] == test
    assert len(parts["validation"]) == 5 and len(parts["train"]) == 44
    assert "g7" not in {row.group for row in parts["train"] + parts["validation"]}
    validation = [Row("v", "a", "en", "g3"), Row("w", "a", "en", "g7")]
    parts = official({"train": train, "validation": validation, "test": test}, seed=0, name="t")
    assert [row.text for row in parts["validation"]] == ["v"]
    assert {"g3", "g7"}.isdisjoint(row.group for row in parts["train"])
    with pytest.raises(KeyError):
        official({"train": train}, seed=0, name="t")
