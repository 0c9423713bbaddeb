"""The topic of a question and its answer, in seven languages: trained on English.

Thirteen topics of small talk. The other languages are loose translations of the English source;
:mod:`workbench.datasets.topics_alignment` says which rows may be translations of which.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from workbench.datasets.rows import Row, Together, near_duplicates, split, words
from workbench.datasets.task import Task
from workbench.datasets.topics_alignment import NEAREST
from workbench.sources import Wheel

TOPICS = (
    *("ai", "computers", "emotion", "food", "history", "humor", "literature", "money", "movies"),
    *("politics", "psychology", "science", "sports"),
)
LANGUAGES = {
    "en": "english",
    "it": "italian",
    "ja": "japanese",
    "uk": "ukrainian",
    "zh": "chinese",
    "ko": "korean",
    "fa": "persian",
}
JOKES = "humor"  # "Tell me a joke" opens them all: the joke is the item
_FILES = {
    (code, topic): f"chatterbot_corpus/data/{language}/{topic}.yml"
    for code, language in LANGUAGES.items()
    for topic in TOPICS
    if code == "en" or topic in NEAREST[code]
}

SOURCE = Wheel(
    package="chatterbot-corpus",
    version="1.3.3",
    sha256="86de5300afb9a80826386339d3bec79c0a72eb0358abb8327e2ecef5ae0ce154",
    members=tuple(_FILES.values()),
    licence="BSD-3-Clause",
    size=345_706,
)

TASK = Task(
    name="topics",
    title="Topic of small talk in seven languages",
    kind="classification",
    labels=TOPICS,
    pair=False,
    metric="accuracy",
    source_subset="en",
    subsets=tuple(LANGUAGES),
    sources=(SOURCE,),
    licence="BSD-3-Clause",
    citation="G. Cox and contributors, chatterbot-corpus 1.3.3.",
    note="Trained on English, tested on questions that were not trained on, in seven languages: "
    "zero-shot transfer across languages. Small: under 300 training rows.",
    version=2,
)


@dataclass(frozen=True)
class Talk:
    """One conversation: a question and its answers; ``group`` and ``near`` as in Row."""

    topic: str
    language: str
    question: str
    answers: tuple[str, ...]
    group: str
    near: tuple[str, ...] = ()


def conversations(folder: Path) -> list[Talk]:
    """All conversations, with equal questions, near-duplicates and translations grouped."""
    read = {key: _read(folder / file) for key, file in _FILES.items()}
    english = [(topic, i) for topic in TOPICS for i in range(len(read["en", topic]))]
    group = _groups([(topic, *read["en", topic][i]) for topic, i in english])
    name = {
        place: f"{english[root][0]}-{english[root][1]}"
        for place, root in zip(english, group, strict=True)
    }
    talks = []
    for (code, topic), found in read.items():
        near: list[tuple[int, ...]]
        if code == "en":
            near = [(i,) for i in range(len(found))]
        else:
            near = [tuple(map(int, n.split(","))) for n in NEAREST[code][topic].split()]
        if len(near) != len(found):
            raise ValueError(
                f"{_FILES[code, topic]} has {len(found)} conversations instead of {len(near)}: it "
                "is not the file of chatterbot-corpus 1.3.3. Use that release."
            )
        for (question, answers), places in zip(found, near, strict=True):
            first, *rest = (name[topic, place] for place in places)
            talks.append(Talk(topic, code, question, answers, first, tuple(rest)))
    return talks


def rows(folder: Path) -> list[Row]:
    """One row per conversation: the question and its first answer (of a joke the joke alone)."""
    return [
        Row(
            text=talk.answers[0] if talk.topic == JOKES else f"{talk.question} {talk.answers[0]}",
            label=talk.topic,
            subset=talk.language,
            group=talk.group,
            near=talk.near,
        )
        for talk in conversations(folder)
    ]


def parts(folder: Path, seed: int) -> dict[str, list[Row]]:
    """Train, validation and test rows; a large test share, since the languages share it."""
    return split(rows(folder), source="en", seed=seed, name=TASK.name, test=0.35)


def _groups(talks: Sequence[tuple[str, str, tuple[str, ...]]]) -> list[int]:
    """Components of equal questions (but those of jokes), equal answers and near-duplicates."""
    together = Together(len(talks))
    together.link_equal(None if topic == JOKES else words(question) for topic, question, _ in talks)
    together.link_equal(words(answers[0]) or None for _, _, answers in talks)
    texts = [a[0] if topic == JOKES else f"{question} {a[0]}" for topic, question, a in talks]
    together.link_equal(near_duplicates(texts))
    return together.roots()


def _read(path: Path) -> list[tuple[str, tuple[str, ...]]]:
    import yaml

    safe = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    content = yaml.load(path.read_text(encoding="utf-8"), Loader=safe)  # noqa: S506 - both are safe
    talks = []
    for question, *answers in content["conversations"]:
        kept = [" ".join(str(answer).split()) for answer in answers]
        talks.append((" ".join(str(question).split()), tuple(kept) or ("",)))
    return talks
