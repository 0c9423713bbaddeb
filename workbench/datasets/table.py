"""From rows to ``datasets.DatasetDict``, and smaller samples of one."""

from __future__ import annotations

import random
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from workbench.datasets.rows import Row
from workbench.datasets.task import Task

if TYPE_CHECKING:
    import datasets

SPLITS = ("train", "validation", "test")


def table(task: Task, parts: dict[str, list[Row]]) -> datasets.DatasetDict:
    """A ``DatasetDict`` with columns text, (text_pair, words,) label, subset and group.

    Of a task of tokens, ``words`` and ``label`` are lists of one length.
    """
    # The first heavy import of a loader: pyarrow and pandas come with it.
    import datasets

    string = datasets.Value("string")
    number = datasets.Value("float32")
    classes = datasets.ClassLabel(names=list(task.labels)) if task.labels else None
    tokens = task.kind == "tokens"
    features = datasets.Features(
        {
            "text": string,
            **({"text_pair": string} if task.pair else {}),
            **({"words": datasets.List(string)} if tokens else {}),
            "label": {"regression": number, "tokens": datasets.List(classes)}.get(
                task.kind, classes
            ),
            "subset": string,
            "group": string,
        }
    )
    info = datasets.DatasetInfo(
        description=f"{task.title}. {task.note}",
        citation=task.citation,
        license=task.licence,
        features=features,
    )
    order = {subset: place for place, subset in enumerate(task.subsets)}
    number_of = {label: place for place, label in enumerate(task.labels)}

    def coded(label: Any) -> Any:
        if task.kind == "regression":
            return float(label)
        return [number_of[tag] for tag in label] if tokens else number_of[str(label)]

    result = {}
    for name in SPLITS:
        rows = sorted(parts[name], key=lambda row: order[row.subset])
        if not rows:
            raise ValueError(
                f"{task.name}: the split {name!r} is empty. Every split needs rows; give more "
                "data, or a file for this split."
            )
        columns = {
            "text": [row.text for row in rows],
            **({"text_pair": [row.text_pair for row in rows]} if task.pair else {}),
            **({"words": [list(row.words) for row in rows]} if tokens else {}),
            "label": [coded(row.label) for row in rows],
            "subset": [row.subset for row in rows],
            "group": [row.group for row in rows],
        }
        result[name] = datasets.Dataset.from_dict(
            columns, features=features, info=info, split=datasets.NamedSplit(name)
        )
    return datasets.DatasetDict(result)


def limit(
    data: datasets.DatasetDict,
    *,
    train: int | None = None,
    validation: int | None = None,
    test: int | None = None,
    seed: int = 0,
) -> datasets.DatasetDict:
    """At most so many rows per split, with the shares of classes and subsets kept.

    ``test`` counts rows *per subset*, since each subset is scored by itself. None keeps all rows.
    A class keeps at least one row where there is room. Deterministic in ``seed``.
    """
    import datasets

    wanted = {"train": train, "validation": validation, "test": test}
    for name, count in wanted.items():
        if count is not None and (not isinstance(count, int) or count < 1):
            raise ValueError(f"{name}={count!r}; give a whole number of rows above 0, or None.")
    result = {}
    for name, part in data.items():
        count = wanted.get(name)
        result[name] = part if count is None else part.select(_sample(part, count, seed, name))
    return datasets.DatasetDict(result)


def _sample(part: datasets.Dataset, count: int, seed: int, name: str) -> list[int]:
    """Indices of ``count`` rows of each subset, in their old order."""
    import datasets

    discrete = isinstance(part.features["label"], datasets.ClassLabel)
    places: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for index, (subset, label) in enumerate(zip(part["subset"][:], part["label"][:], strict=True)):
        places[subset][str(label) if discrete else ""].append(index)
    chosen: list[int] = []
    for subset, classes in places.items():
        total = sum(map(len, classes.values()))
        shares = _shares({c: len(found) for c, found in classes.items()}, min(count, total))
        for label, found in classes.items():
            pick = random.Random(f"{seed}/{name}/{subset}/{label}")
            chosen += pick.sample(found, shares[label])
    return sorted(chosen)


def _shares(sizes: dict[str, int], count: int) -> dict[str, int]:
    """``count`` dealt out in proportion to ``sizes``, largest remainders first, at least one."""
    total = sum(sizes.values())
    exact = {name: count * size / total for name, size in sizes.items()}
    dealt = {name: min(sizes[name], int(value)) for name, value in exact.items()}
    by_rest = sorted(sizes, key=lambda name: (dealt[name] > 0, dealt[name] - exact[name], name))
    while sum(dealt.values()) < count:
        for name in by_rest:
            if sum(dealt.values()) < count and dealt[name] < sizes[name]:
                dealt[name] += 1
    return dealt
