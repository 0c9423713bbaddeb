"""Does this answer belong to this question? In seven languages, trained on English.

The conversations of :mod:`workbench.datasets.topics`. Half of the pairs are a question with one of
its answers, half the same question with an answer drawn from another question of the same language
and the same side of the split.
"""

from __future__ import annotations

import random
from collections import defaultdict
from pathlib import Path

from workbench.datasets.rows import Row, split, words
from workbench.datasets.task import Task
from workbench.datasets.topics import JOKES, SOURCE, conversations

TASK = Task(
    name="qa_matching",
    title="Does the answer belong to the question, in seven languages",
    kind="classification",
    labels=("random", "match"),
    pair=True,
    metric="accuracy",
    source_subset="en",
    subsets=("en", "it", "ja", "uk", "zh", "ko", "fa"),
    sources=(SOURCE,),
    licence="BSD-3-Clause",
    citation="G. Cox and contributors, chatterbot-corpus 1.3.3.",
    note="Half of the pairs match. Jokes are left out: any joke answers their question.",
    version=2,
)


def rows(folder: Path) -> list[Row]:
    """The matching pairs: every question with each of its answers.

    A question that is asked several times in a translation is near to all that it translates.
    """
    talks = [talk for talk in conversations(folder) if talk.topic != JOKES]
    near: dict[tuple, dict[str, None]] = defaultdict(dict)
    for talk in talks:
        near[talk.language, words(talk.question)].update(dict.fromkeys((talk.group, *talk.near)))
    found = {}
    for talk in talks:
        groups = tuple(near[talk.language, words(talk.question)])
        for answer in talk.answers:
            if words(talk.question) and words(answer):
                row = Row(talk.question, "match", talk.language, talk.group, answer, groups)
                found[talk.question, answer, talk.language] = row
    return list(found.values())


def parts(folder: Path, seed: int) -> dict[str, list[Row]]:
    """Train, validation and test rows, each match followed by its random counterpart."""
    matches = split(rows(folder), source="en", seed=seed, name=TASK.name, test=0.35)
    return {side: _with_random(found, f"{seed}/{side}") for side, found in matches.items()}


def _with_random(matches: list[Row], seed: str) -> list[Row]:
    by_language: dict[str, list[Row]] = defaultdict(list)
    true: dict[tuple[str, str], set] = defaultdict(set)
    for row in matches:
        by_language[row.subset].append(row)
        true[row.subset, row.group].add(words(str(row.text_pair)))
    pairs = []
    for language, found in by_language.items():
        draw = random.Random(f"{TASK.name}/{seed}/{language}")
        for row in found:
            pairs.append(row)
            others = [
                other.text_pair
                for other in found
                if other.group != row.group
                and words(str(other.text_pair)) not in true[language, row.group]
            ]
            if others:
                wrong = draw.choice(others)
                pairs.append(Row(row.text, "random", language, row.group, wrong, row.near))
    return pairs
