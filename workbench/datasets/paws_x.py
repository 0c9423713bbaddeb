"""PAWS-X: do two sentences of nearly the same words say the same? In 7 languages.

Trained on English; the test rows of all languages are translations of each other.
"""

from __future__ import annotations

from pathlib import Path

from workbench.datasets.rows import Row, Together, official, words
from workbench.datasets.shards import pattern, rows_of
from workbench.datasets.task import Task
from workbench.sources import Hub

LANGUAGES = ("en", "de", "es", "fr", "ja", "ko", "zh")
_COLUMNS = ("id", "sentence1", "sentence2", "label")
_NONE = ("", "NS")  # what the release has where a sentence was not translated

SOURCE = Hub(
    "google-research-datasets/paws-x",
    revision="4cd8187c404bda33cb1f62b49b001115862acf37",
    files=pattern("en", LANGUAGES),
    licence="free for any purpose, acknowledging Google",
    size=11_000_000,
)

TASK = Task(
    name="paws-x",
    title="Paraphrases of nearly the same words in 7 languages (PAWS-X)",
    kind="classification",
    labels=("no paraphrase", "paraphrase"),
    pair=True,
    metric="accuracy",
    source_subset="en",
    subsets=LANGUAGES,
    sources=(SOURCE,),
    licence="free for any purpose, acknowledging Google",
    citation="Y. Yang, Y. Zhang, C. Tar, J. Baldridge (2019). PAWS-X: A cross-lingual adversarial "
    "dataset for paraphrase identification. EMNLP.",
    note="Trained on English, tested in 7 languages: zero-shot transfer. Without the pairs that "
    "lack a translation; train and validation without the rows that share the words of a sentence "
    "with the test.",
)


def rows(folder: Path) -> dict[str, list[Row]]:
    """The published splits without blank sentences; one group per pair, whatever its language."""
    english = {split: _pairs(folder, "en", split) for split in ("train", "validation", "test")}
    given = [pair for found in english.values() for pair in found]
    together = Together(2 * len(given))
    for place in range(len(given)):
        together.link(2 * place, 2 * place + 1)
    # The pairs were made by moving words about: a sentence comes again as the same words.
    together.link_equal(
        tuple(sorted(words(text))) or None for _, *texts, _ in given for text in texts
    )
    roots = iter(together.roots()[::2])
    group_of = {(split, pair[0]): next(roots) for split, found in english.items() for pair in found}
    sides = [("en", split, found) for split, found in english.items()]
    sides += [(code, "test", _pairs(folder, code, "test")) for code in LANGUAGES[1:]]
    parts: dict[str, list[Row]] = {split: [] for split in english}
    for code, split, found in sides:
        for name, first, second, label in found:
            # A pair whose English is blank is in a group of its own.
            root = group_of.get((split, name), f"of-{name}")
            parts[split].append(Row(first, label, code, f"pair-{root}", second))
    return parts


def _pairs(folder: Path, code: str, split: str) -> list[tuple[int, str, str, str]]:
    """Id, both sentences and label of the pairs that have both."""
    pairs = []
    for row in rows_of(folder, code, split, _COLUMNS):
        first, second = ((row[side] or "").strip() for side in ("sentence1", "sentence2"))
        if first not in _NONE and second not in _NONE:
            pairs.append((row["id"], first, second, TASK.labels[int(row["label"])]))
    return pairs


def parts(folder: Path, seed: int) -> dict[str, list[Row]]:
    """Train, validation and test rows."""
    return official(rows(folder), seed=seed, name=TASK.name)
