"""XNLI: does the premise entail the hypothesis? Trained on English, tested in 15 languages.

The English training rows are those of MultiNLI. The test rows are translations of each other: row
i says the same in every language.
"""

from __future__ import annotations

from pathlib import Path

from workbench.datasets.rows import Row, Together, official, words
from workbench.datasets.shards import pattern, rows_of
from workbench.datasets.task import Task
from workbench.sources import Hub

LANGUAGES = (
    *("en", "ar", "bg", "de", "el", "es", "fr", "hi", "ru", "sw", "th", "tr", "ur", "vi", "zh"),
)
_COLUMNS = ("premise", "hypothesis", "label")

SOURCE = Hub(
    "facebook/xnli",
    revision="b8dd5d7af51114dbda02c0e3f6133f332186418e",
    files=pattern("en", LANGUAGES),
    licence="CC BY-NC 4.0; MultiNLI: OANC, CC BY-SA 3.0, CC BY 3.0",
    size=56_000_000,
)

TASK = Task(
    name="xnli",
    title="Inference between two sentences in 15 languages (XNLI)",
    kind="classification",
    labels=("entailment", "neutral", "contradiction"),
    pair=True,
    metric="accuracy",
    source_subset="en",
    subsets=LANGUAGES,
    sources=(SOURCE,),
    licence="CC BY-NC 4.0; MultiNLI: OANC, CC BY-SA 3.0, CC BY 3.0",
    citation="A. Conneau, R. Rinott, G. Lample, A. Williams, S. R. Bowman, H. Schwenk, V. "
    "Stoyanov (2018). XNLI: Evaluating cross-lingual sentence representations. EMNLP.",
    note="Trained on MultiNLI in English, tested in 15 languages: zero-shot transfer. Train and "
    "validation without the rows whose premise is one of the test.",
)


def rows(folder: Path) -> dict[str, list[Row]]:
    """The published splits; one group per English premise, whatever the language."""
    english = {
        split: rows_of(folder, "en", split, _COLUMNS) for split in ("train", "validation", "test")
    }
    together = Together(sum(map(len, english.values())))
    # Premises are what splits could share; that hypotheses repeat ("I do not know.") is no leak.
    together.link_equal(
        words(row["premise"]) or None for found in english.values() for row in found
    )
    groups = iter([f"premise-{root}" for root in together.roots()])
    group_of = {split: [next(groups) for _ in found] for split, found in english.items()}
    parts: dict[str, list[Row]] = {split: [] for split in english}
    given = [("en", split, found) for split, found in english.items()]
    given += [(code, "test", rows_of(folder, code, "test", _COLUMNS)) for code in LANGUAGES[1:]]
    for code, split, found in given:
        if len(found) != len(group_of[split]):
            raise ValueError(
                f"xnli: {len(found)} test rows in {code!r} and {len(group_of[split])} in 'en'; row "
                "i must be the translation of row i. Give the whole test of every language."
            )
        for row, group in zip(found, group_of[split], strict=True):
            label = TASK.labels[int(row["label"])]
            parts[split].append(Row(row["premise"], label, code, group, row["hypothesis"]))
    return parts


def parts(folder: Path, seed: int) -> dict[str, list[Row]]:
    """Train, validation and test rows."""
    return official(rows(folder), seed=seed, name=TASK.name)
