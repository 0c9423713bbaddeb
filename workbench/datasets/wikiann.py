"""WikiANN (PAN-X): names of persons, organisations and places in sentences of 40 Wikipedias.

Each word has a tag: ``B-`` begins a name, ``I-`` goes on with it, ``O`` is none. Trained on
English, tested in the 40 languages that the XTREME benchmark took from it (among them the four of
the thesis, whose CoNLL data may not be passed on). The sentences are no translations.
"""

from __future__ import annotations

from pathlib import Path

from workbench.datasets.rows import Row, Together, official
from workbench.datasets.shards import pattern, rows_of
from workbench.datasets.task import Task
from workbench.sources import Hub

LANGUAGES = (
    *("en", "af", "ar", "bg", "bn", "de", "el", "es", "et", "eu", "fa", "fi", "fr", "he", "hi"),
    *("hu", "id", "it", "ja", "jv", "ka", "kk", "ko", "ml", "mr", "ms", "my", "nl", "pt", "ru"),
    *("sw", "ta", "te", "th", "tl", "tr", "ur", "vi", "yo", "zh"),
)
_COLUMNS = ("tokens", "ner_tags")

SOURCE = Hub(
    "unimelb-nlp/wikiann",
    revision="f0a3be6dc5564c0cc4150bb660144800a1f539d4",
    files=pattern("en", LANGUAGES),
    licence="unknown on the hub; text of Wikipedia, CC BY-SA",
    size=30_000_000,
)

TASK = Task(
    name="wikiann",
    title="Names in sentences of 40 languages (WikiANN)",
    kind="tokens",
    labels=("O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC"),
    pair=False,
    metric="f1",
    source_subset="en",
    subsets=LANGUAGES,
    sources=(SOURCE,),
    licence="unknown on the hub; text of Wikipedia, CC BY-SA",
    citation="X. Pan, B. Zhang, J. May, J. Nothman, K. Knight, H. Ji (2017). Cross-lingual name "
    "tagging and linking for 282 languages. ACL. Splits: A. Rahimi, Y. Li, T. Cohn (2019). "
    "Massively multilingual transfer for NER. ACL.",
    note="Tags made by machine from links in Wikipedia. Trained on English, tested in 40 "
    "languages: zero-shot transfer. Train and validation without the sentences of any test.",
)


def rows(folder: Path) -> dict[str, list[Row]]:
    """The published splits; equal sentences are one group, also across languages."""
    given = [("en", "train"), ("en", "validation"), *((code, "test") for code in LANGUAGES)]
    found = []
    for code, split in given:
        for number, row in enumerate(rows_of(folder, code, split, _COLUMNS)):
            said, tags = tuple(row["tokens"]), tuple(TASK.labels[t] for t in row["ner_tags"])
            if len(said) != len(tags):
                raise ValueError(
                    f"wikiann: row {number} of {split} in {code!r} has {len(said)} words and "
                    f"{len(tags)} tags; each word needs one."
                )
            if said:
                found.append((split, code, said, tags))
    together = Together(len(found))
    together.link_equal(tuple(word.casefold() for word in said) for _, _, said, _ in found)
    parts: dict[str, list[Row]] = {split: [] for _, split in given}
    for (split, code, said, tags), root in zip(found, together.roots(), strict=True):
        parts[split].append(Row(" ".join(said), tags, code, f"sentence-{root}", words=said))
    return parts


def parts(folder: Path, seed: int) -> dict[str, list[Row]]:
    """Train, validation and test rows."""
    return official(rows(folder), seed=seed, name=TASK.name)
