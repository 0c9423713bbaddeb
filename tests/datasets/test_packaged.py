"""The real files: counts, balance, and proof that no split leaks.

The checks for leaks do not use the grouping code: character n-grams instead of words, the
names without "man" and "woman", row numbers of files that are translated line by line.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest

from workbench.datasets import (
    IMAGE_TASKS,
    TASKS,
    emoji_images,
    emoji_names,
    limit,
    load,
    load_images,
    sentiment,
    topics,
)
from workbench.datasets.rows import words

pytestmark = pytest.mark.data

PACKAGED = ("sentiment", "topics", "qa_matching", "emoji_names")


@pytest.fixture(scope="module")
def tables():
    """All packaged tasks, loaded once."""
    return {name: load(name, progress=False) for name in PACKAGED}


@pytest.fixture(scope="module")
def data(tables):
    """The same as plain lists: task -> split -> column."""
    return {name: {s: part[:] for s, part in found.items()} for name, found in tables.items()}


@pytest.mark.parametrize("name", PACKAGED)
def test_splits_and_columns(data, name):
    task, found = TASKS[name], data[name]
    for split in ("train", "validation"):
        assert set(found[split]["subset"]) == {task.source_subset}
    assert tuple(dict.fromkeys(found["test"]["subset"])) == task.subsets
    assert ("text_pair" in found["train"]) == task.pair
    for part in found.values():
        assert all(text.strip() for text in part["text"])
        assert set(part["label"]) <= set(range(task.num_labels))
    assert set(found["train"]["label"]) == set(range(task.num_labels))


@pytest.mark.parametrize("name", PACKAGED)
def test_no_group_is_on_two_sides(data, name):
    sides = [set(data[name][split]["group"]) for split in ("train", "validation", "test")]
    assert len(set.union(*sides)) == sum(map(len, sides))


@pytest.mark.parametrize("name", PACKAGED)
def test_no_text_is_tested_that_was_trained_on(data, name):
    def texts(split: str, *subsets: str) -> set:
        part = data[name][split]
        pairs = part["text_pair"] if TASKS[name].pair else [""] * len(part["text"])
        both = zip(part["text"], pairs, part["subset"], strict=True)
        return {(words(a), words(b)) for a, b, subset in both if subset in subsets}

    source, *others = TASKS[name].subsets
    trained = texts("train", source) | texts("validation", source)
    assert texts("test", source).isdisjoint(trained)
    assert texts("validation", source).isdisjoint(texts("train", source))
    # A French "crayon" is a pencil: another emoji than the English crayon, spelled alike.
    alike = {(("crayon",), ())} if name == "emoji_names" else set()
    assert texts("test", *others) & trained <= alike


def test_counts_of_the_files():
    found = sentiment.ratings(sentiment.SOURCE.fetch(False))
    counts = {domain: len(rated) for domain, rated in found.items()}
    assert counts == {"movies": 10605, "amazon": 3708, "tweets": 4200, "nyt": 5190}
    assert all(-4 <= rating <= 4 for rated in found.values() for rating, _ in rated)
    talks = topics.conversations(topics.SOURCE.fetch(False))
    assert Counter(talk.language for talk in talks)["en"] == 444
    folders = (emoji_names.NAMES.fetch(False), emoji_names.KINDS.fetch(False))
    named = Counter(row.subset for row in emoji_names.rows(folders))
    assert named == dict.fromkeys(emoji_names.LANGUAGES, 1629)


def test_classes_are_as_balanced_as_the_cards_say(data):
    def majority(name: str) -> float:
        labels = Counter(data[name]["train"]["label"])
        return max(labels.values()) / sum(labels.values())

    assert majority("sentiment") == pytest.approx(0.50, abs=0.02)
    assert majority("qa_matching") == 0.5
    assert majority("emoji_names") == pytest.approx(0.23, abs=0.03)
    assert majority("topics") == pytest.approx(0.24, abs=0.03)


def test_labels_are_the_sign_of_the_rating(data):
    found = sentiment.ratings(sentiment.SOURCE.fetch(False))
    rating = {text: value for rated in found.values() for value, text in reversed(rated)}
    several = {t for t, n in Counter(t for r in found.values() for _, t in r).items() if n > 1}
    train = data["sentiment"]["train"]
    for text, label in zip(train["text"], train["label"], strict=True):
        assert abs(rating[text]) >= 0.5 or text in several
        assert (rating[text] > 0) == bool(label) or text in several


def test_no_tested_sentence_is_nearly_a_trained_one(data):
    """Cosine of character 4-gram counts, over sentences of at least five words."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    def texts(*splits: str) -> list[str]:
        found = [text for split in splits for text in data["sentiment"][split]["text"]]
        return [text for text in found if len(set(words(text))) >= 5]

    known, tested = texts("train", "validation"), texts("test")
    grams = TfidfVectorizer(analyzer="char_wb", ngram_range=(4, 4), sublinear_tf=True)
    trained = grams.fit_transform(known)
    for start in range(0, len(tested), 1000):
        near = (grams.transform(tested[start : start + 1000]) @ trained.T).tocoo()
        worst = int(near.data.argmax())
        pair = tested[start + near.row[worst]], known[near.col[worst]]
        assert near.data[worst] < 0.85, pair


def test_who_does_it_does_not_tell_emoji_apart(data):
    def plain(text: str) -> str:
        text = re.sub(r"\b(man|woman|person|men|women|people)\b", " ", text.casefold())
        return " ".join(text.replace("health worker", "worker").split())

    found = data["emoji_names"]
    english = [t for t, s in zip(found["test"]["text"], found["test"]["subset"]) if s == "en"]
    trained = {plain(t) for split in ("train", "validation") for t in found[split]["text"]}
    assert not trained & {plain(text) for text in english}


def test_no_emoji_is_tested_in_another_language_than_it_was_trained_in(data):
    """The names of all trained emoji in all languages, against all tested names."""
    folders = (emoji_names.NAMES.fetch(False), emoji_names.KINDS.fetch(False))
    rows = emoji_names.rows(folders)
    count = len(rows) // len(emoji_names.LANGUAGES)
    found = data["emoji_names"]
    trained = set(found["train"]["text"]) | set(found["validation"]["text"])
    seen = {i for i, row in enumerate(rows[:count]) if row.text in trained}
    assert len(seen) == len(trained)
    translated = {(row.subset, row.text) for i, row in enumerate(rows) if i % count in seen}
    tested = set(zip(found["test"]["subset"], found["test"]["text"]))
    assert not translated & tested
    assert len(tested) > 14 * 300


# Files that translate the English one line by line (seen by their equal length and order).
PARALLEL = {
    "it": ("ai", "computers", "food", "history", "literature", "money", "politics", "science"),
    "ja": ("ai", "computers", "emotion", "food", "history", "money", "movies"),
    "uk": ("computers", "money"),
    "zh": ("history", "money"),
    "ko": ("computers", "history"),
}


@pytest.mark.parametrize("name", ["topics", "qa_matching"])
def test_no_translation_of_a_trained_question_is_tested(data, name):
    talks: dict[tuple[str, str], list] = {}
    for talk in topics.conversations(topics.SOURCE.fetch(False)):
        talks.setdefault((talk.language, talk.topic), []).append(talk)
    found = data[name]
    trained = {words(t) for split in ("train", "validation") for t in found[split]["text"]}

    def text(talk) -> str:
        return talk.question if name == "qa_matching" else f"{talk.question} {talk.answers[0]}"

    checked = 0
    tested = set(zip(found["test"]["subset"], found["test"]["text"]))
    for code, names in PARALLEL.items():
        for topic in names:
            for english, other in zip(talks["en", topic], talks[code, topic], strict=True):
                if (code, text(other)) in tested:
                    checked += 1
                    assert words(text(english)) not in trained, (text(english), text(other))
    assert checked > 100


def test_alignment_agrees_with_line_by_line_files():
    for code, names in PARALLEL.items():
        for topic in names:
            near = [set(n.split(",")) for n in topics.NEAREST[code][topic].split()]
            assert np.mean([str(i) in n for i, n in enumerate(near)]) > 0.9, (code, topic)


@pytest.mark.parametrize("name", PACKAGED)
def test_seeds_move_rows_and_hash_seeds_do_not(name):
    from workbench.datasets import catalogue

    loader = catalogue._LOADERS[name]
    folders = [source.fetch(False) for source in loader.TASK.sources]
    folder = folders[0] if len(folders) == 1 else tuple(folders)
    here = repr(loader.parts(folder, 0))
    assert here != repr(loader.parts(folder, 1))
    code = (
        "import hashlib, sys\n"
        "from pathlib import Path\n"
        f"from workbench.datasets import {name} as loader\n"
        "folders = tuple(map(Path, sys.argv[1:]))\n"
        "found = loader.parts(folders[0] if len(folders) == 1 else folders, 0)\n"
        "print(hashlib.sha256(repr(found).encode()).hexdigest())\n"
        "assert not {'torch', 'datasets', 'pandas', 'transformers'} & set(sys.modules)\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", code, *map(str, folders)],
        env={**os.environ, "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert said.strip() == hashlib.sha256(here.encode()).hexdigest()


def test_a_sample_of_the_real_data(tables):
    small = limit(tables["sentiment"], train=100, validation=20, test=30, seed=0)
    assert Counter(small["test"]["subset"]) == dict.fromkeys(TASKS["sentiment"].subsets, 30)
    assert Counter(small["train"]["label"]) == {0: 50, 1: 50}


@pytest.fixture(scope="module")
def pictures():
    """All packaged pictures, loaded once."""
    return {name: load_images(name, progress=False) for name in ("emoji_images", "mnist5k")}


def test_counts_of_the_pictures(pictures):
    sizes = {n: [len(p) for p in found.values()] for n, found in pictures.items()}
    assert sizes["mnist5k"] == [3500, 500, 1000]
    assert sum(sizes["emoji_images"]) == 1372 and sizes["emoji_images"][0] > 900
    for name, found in pictures.items():
        task = IMAGE_TASKS[name]
        for part in found.values():
            assert part.pixels.shape[1:] == (*task.size, task.channels)
            assert part.pixels.reshape(len(part), -1).std(1).min() > 0  # none is blank
            assert set(part.labels.tolist()) == set(range(len(task.labels)))


def test_no_emoji_is_tested_that_nearly_was_trained_on(pictures):
    """Nearest neighbours by the largest difference of any colour in a quarter-size picture."""

    def small(*splits: str) -> np.ndarray:
        pixels = np.concatenate([pictures["emoji_images"][split].pixels for split in splits])
        return pixels.reshape(-1, 8, 4, 8, 4, 3).mean((2, 4)).reshape(len(pixels), -1)

    known, tested = small("train", "validation"), small("test")
    nearest = [np.abs(known - picture).max(1).min() for picture in tested]
    assert min(nearest) > 15 and np.median(nearest) > 100  # of 255


def test_digits_are_what_a_nearest_neighbour_takes_them_for(pictures):
    from sklearn.neighbors import KNeighborsClassifier

    train, test = pictures["mnist5k"]["train"], pictures["mnist5k"]["test"]
    neighbours = KNeighborsClassifier(3).fit(train.pixels.reshape(3500, -1) / 255, train.labels)
    assert neighbours.score(test.pixels.reshape(1000, -1) / 255, test.labels) > 0.92


def test_emoji_are_drawn_in_their_colours(pictures):
    listed, found = emoji_images.images([s.fetch(False) for s in emoji_images.TASK.sources])
    at = {one.name: place for place, one in enumerate(listed)}
    for name, colour in (("red heart", 0), ("green square", 1), ("blue circle", 2)):
        middle = found.pixels[at[name]][12:20, 12:20].reshape(-1, 3).mean(0)
        assert middle.argmax() == colour, (name, middle)
    upper, lower = (found.pixels[at["up arrow"]][half] for half in (slice(16), slice(16, 32)))
    assert (upper < 200).sum() != (lower < 200).sum()
