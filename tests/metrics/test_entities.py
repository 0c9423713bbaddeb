"""Entities against hand-made cases, and against what seqeval says."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.metrics.entities import entity_scores, spans

TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
SENTENCES = st.lists(st.lists(st.sampled_from(TAGS), min_size=1, max_size=8), min_size=1)


@pytest.mark.parametrize(
    "tags, found",
    [
        ("O O", []),
        ("", []),
        ("B-PER I-PER O B-LOC", [("PER", 0, 2), ("LOC", 3, 4)]),
        ("B-PER B-PER", [("PER", 0, 1), ("PER", 1, 2)]),
        ("B-PER I-LOC I-LOC", [("PER", 0, 1), ("LOC", 1, 3)]),
        ("O I-PER I-PER", [("PER", 1, 3)]),
        ("I-PER O I-PER", [("PER", 0, 1), ("PER", 2, 3)]),
        ("B-PER I-PER B-PER I-PER", [("PER", 0, 2), ("PER", 2, 4)]),
        ("B-a-b I-a-b", [("a-b", 0, 2)]),
    ],
)
def test_spans_by_hand(tags, found):
    assert spans(tags.split()) == found


def test_scores_by_hand():
    labels = ["B-PER I-PER O B-LOC O".split(), "B-LOC O O".split()]
    predicted = ["B-PER I-PER O B-LOC I-LOC".split(), "B-PER O B-LOC".split()]
    # Right: the person. Wrong: a place too long, a person for a place, a place from nothing.
    found = entity_scores(predicted, labels)
    assert found["precision"] == pytest.approx(1 / 4) and found["recall"] == pytest.approx(1 / 3)
    assert found["f1"] == pytest.approx(2 / 7) and found["accuracy"] == pytest.approx(5 / 8)


def test_half_a_name_is_no_name():
    assert entity_scores([["B-PER", "O"]], [["B-PER", "I-PER"]])["f1"] == 0.0


def test_nothing_predicted_or_nothing_there_is_zero():
    nothing, some = [["O", "O"]], [["B-PER", "O"]]
    zero = {"f1": 0.0, "precision": 0.0, "recall": 0.0}
    assert entity_scores(nothing, some) == {**zero, "accuracy": 0.5}
    assert entity_scores(some, nothing) == {**zero, "accuracy": 0.5}
    assert entity_scores(nothing, nothing) == {**zero, "accuracy": 1.0}


@settings(deadline=None, max_examples=30)
@given(texts=SENTENCES)
def test_gold_predicts_itself_and_the_order_of_texts_does_not_matter(texts):
    found = entity_scores(texts, texts)
    assert found["accuracy"] == 1.0 and found["f1"] == float(any(map(spans, texts)))
    others = [["O"] * len(tags) for tags in texts[:1]] + texts[1:]
    assert entity_scores(others, texts) == entity_scores(others[::-1], texts[::-1])


@pytest.mark.parametrize(
    "labels, predicted, precision, recall, f1",
    [
        (
            "I-LOC I-LOC B-PER / I-LOC B-LOC I-LOC O",
            "I-LOC B-LOC B-PER / I-LOC B-LOC I-LOC O",
            *(0.6, 0.75, 0.666667),
        ),
        (
            "B-PER B-PER B-PER I-LOC B-LOC / O B-PER",
            "I-LOC B-PER I-PER I-LOC B-LOC / B-LOC B-PER",
            *(0.5, 0.5, 0.5),
        ),
        (
            "B-PER I-PER O O B-PER / B-PER I-PER B-LOC I-PER B-LOC",
            "B-PER I-PER O O B-PER / O I-LOC B-PER I-PER I-LOC",
            *(0.6, 0.5, 0.545455),
        ),
        ("B-PER I-LOC / I-PER O O B-LOC", "B-LOC I-LOC / B-LOC O O O", 0.0, 0.0, 0.0),
    ],
)
def test_as_seqeval_says(labels, predicted, precision, recall, f1):
    """Random tags and the scores of seqeval 1.2.2, which is no dependency."""
    theirs, ours = ([text.split() for text in s.split(" / ")] for s in (labels, predicted))
    found = entity_scores(ours, theirs)
    assert (found["precision"], found["recall"], found["f1"]) == pytest.approx(
        (precision, recall, f1), abs=1e-6
    )


def test_bad_input_says_what_is_wrong():
    with pytest.raises(ValueError, match="tag 'X-PER' of word 1; allowed: 'O', 'B-TYPE'"):
        spans(["O", "X-PER"])
    with pytest.raises(ValueError, match="tag 'B-' of word 0"):
        spans(["B-"])
    with pytest.raises(ValueError, match="text 1 has 2 words and 1 predicted tags"):
        entity_scores([["O"], ["O"]], [["O"], ["O", "O"]])
    with pytest.raises(ValueError, match="predictions of 1 texts for labels of 2"):
        entity_scores([["O"]], [["O"], ["O"]])
    with pytest.raises(ValueError, match="labels hold no words"):
        entity_scores([[]], [[]])
