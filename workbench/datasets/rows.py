"""Rows before they become a table: which belong together, and on which side of a split they go.

All choices depend on the seed and the content alone, never on the order of a set or the hash seed
of the process.
"""

from __future__ import annotations

import random
import re
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One example. Rows of one ``group`` are variants of each other and never part company.

    ``near`` names further groups that a row of another language may belong to: it is tested only
    when they are on the test side as well. Where each word has a label of its own, ``words`` are
    those of the text and ``label`` has one name for each.
    """

    text: str
    label: str | float | tuple[str, ...]
    subset: str
    group: str
    text_pair: str | None = None
    near: tuple[str, ...] = ()
    words: tuple[str, ...] = ()


def words(text: str) -> tuple[str, ...]:
    """The words of a text, case-folded, without punctuation."""
    return tuple(re.findall(r"\w+", text.casefold()))


class Together:
    """Union-find over items 0..n-1: ``link`` what belongs together, then ask for ``roots``."""

    def __init__(self, n: int) -> None:
        self._parent = list(range(n))

    def root(self, item: int) -> int:
        """The smallest item of the component that ``item`` is in."""
        while self._parent[item] != item:
            self._parent[item] = self._parent[self._parent[item]]
            item = self._parent[item]
        return item

    def link(self, one: int, other: int) -> None:
        """Put two items, and all that hang on them, into one component."""
        first, second = sorted((self.root(one), self.root(other)))
        self._parent[second] = first

    def link_equal(self, keys: Iterable[Hashable | None]) -> None:
        """Link all items with an equal key; None links nothing."""
        seen: dict[Hashable, int] = {}
        for item, key in enumerate(keys):
            if key is not None:
                self.link(seen.setdefault(key, item), item)

    def roots(self) -> list[int]:
        """The component of every item, named by its smallest member."""
        return [self.root(item) for item in range(len(self._parent))]


def near_duplicates(
    texts: Sequence[str], *, prefix: int = 6, shingle: int = 3, share: float = 0.5
) -> list[int]:
    """Components of texts that are copies, cuts or small edits of each other.

    Two texts are linked when their first ``prefix`` words agree, or when they share more than
    ``share`` of the ``shingle``-word runs of the shorter one (both measured after
    :func:`words`). Returns the smallest member of each text's component.
    """
    tokens = [words(text) for text in texts]
    together = Together(len(texts))
    together.link_equal(t[:prefix] or (text,) for t, text in zip(tokens, texts, strict=True))
    runs = [_runs(t, shingle) for t in tokens]
    places: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for item, found in enumerate(runs):
        for run in found:
            places[run].append(item)
    for item, found in enumerate(runs):
        shared = Counter(
            other
            for run in found
            if 1 < len(places[run]) <= 40
            for other in places[run]
            if other < item
        )
        for other, count in shared.items():
            if count > share * min(len(found), len(runs[other])):
                together.link(other, item)
    return together.roots()


def _runs(tokens: tuple[str, ...], length: int) -> list[tuple[str, ...]]:
    if len(tokens) <= length:
        return [tokens] if tokens else []
    return list(dict.fromkeys(tokens[i : i + length] for i in range(len(tokens) - length + 1)))


def split(
    rows: Sequence[Row],
    *,
    source: str,
    seed: int,
    name: str,
    validation: float = 0.1,
    test: float = 0.2,
) -> dict[str, list[Row]]:
    """Split by group, stratified by class: source rows three ways, other subsets into the test.

    A group goes as a whole to one side. Rows of other subsets appear in the test only, and only
    when their group is not in train or validation.
    """
    members: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        members[row.group].append(row)
    strata: dict[str, list[str]] = defaultdict(list)  # label -> groups
    for group, found in members.items():
        labels = Counter(_stratum(row) for row in found if row.subset == source)
        if labels:
            strata[min(labels, key=lambda label: (-labels[label], label))].append(group)
    side: dict[str, str] = {}
    for label, groups in sorted(strata.items()):
        order = sorted(groups)
        random.Random(f"{name}/{seed}/{label}").shuffle(order)
        sizes = {g: sum(row.subset == source for row in members[g]) for g in order}
        room = {"test": test * sum(sizes.values()), "validation": validation * sum(sizes.values())}
        for group in order:
            place = next((s for s in room if room[s] >= sizes[group] / 2 and room[s] > 0), "train")
            side[group] = place
            if place in room:
                room[place] -= sizes[group]
    parts: dict[str, list[Row]] = {"train": [], "validation": [], "test": []}
    for row in rows:
        place = side.get(row.group, "test")
        unseen = all(side.get(group, "test") == "test" for group in (row.group, *row.near))
        if row.subset == source or unseen:
            parts[place].append(row)
    return parts


def _stratum(row: Row) -> str:
    return row.label if isinstance(row.label, str) else "number"


def official(given: dict[str, list[Row]], *, seed: int, name: str) -> dict[str, list[Row]]:
    """Keep a published test split as it is, and the rest free of it.

    Train and validation rows that share a group with a test row are left out, and train rows that
    share one with a validation row. Without a validation split, a tenth of train becomes it.
    """
    tested = {row.group for row in given["test"]}
    train = [row for row in given["train"] if row.group not in tested]
    validation = [row for row in given.get("validation", ()) if row.group not in tested]
    if given.get("validation"):
        held = {row.group for row in validation}
        train = [row for row in train if row.group not in held]
    elif train:
        carved = split(train, source=train[0].subset, seed=seed, name=name, test=0.0)
        train, validation = carved["train"], carved["validation"]
    return {"train": train, "validation": validation, "test": list(given["test"])}


def grouped(texts: Sequence[tuple[str, ...]], *, prefix: int = 10, share: float = 0.8) -> list[int]:
    """Components of examples of one or more texts that share one of them, or nearly.

    For benchmarks with a published split, where most resemblance is meant (minimal pairs).
    """
    flat = [(item, text) for item, several in enumerate(texts) for text in several]
    roots = near_duplicates([text for _, text in flat], prefix=prefix, share=share)
    together = Together(len(texts))
    for (item, _), root in zip(flat, roots, strict=True):
        together.link(flat[root][0], item)
    return together.roots()
