"""SIB-200: the topic of a sentence, trained on English and tested in 22 languages.

The test sentences are translations of each other, and none of them is trained on.
"""

from __future__ import annotations

from pathlib import Path

from workbench.datasets.files import read
from workbench.datasets.rows import Row, official
from workbench.datasets.task import Task
from workbench.sources import Hub

LANGUAGES = {
    **{"en": "eng_Latn", "de": "deu_Latn", "fr": "fra_Latn", "es": "spa_Latn", "it": "ita_Latn"},
    **{"pt": "por_Latn", "nl": "nld_Latn", "fi": "fin_Latn", "ru": "rus_Cyrl", "uk": "ukr_Cyrl"},
    **{"bg": "bul_Cyrl", "el": "ell_Grek", "tr": "tur_Latn", "ar": "arb_Arab", "ur": "urd_Arab"},
    **{"hi": "hin_Deva", "th": "tha_Thai", "vi": "vie_Latn", "zh": "zho_Hans", "ja": "jpn_Jpan"},
    **{"ko": "kor_Hang", "sw": "swh_Latn"},
}
_PARTS = {"train": "train", "validation": "dev", "test": "test"}
_FILES = [("en", "train"), ("en", "validation"), *((code, "test") for code in LANGUAGES)]

SOURCE = Hub(
    "Davlan/sib200",
    revision="38977a667f6fc264d5c26ec57a01e16db040b358",
    files=tuple(f"data/{LANGUAGES[code]}/{_PARTS[split]}.tsv" for code, split in _FILES),
    licence="CC BY-SA 4.0",
    size=1_000_000,
)

TASK = Task(
    name="sib200",
    title="Topic of sentences in 22 languages (SIB-200)",
    kind="classification",
    labels=(
        *("entertainment", "geography", "health", "politics", "science/technology", "sports"),
        "travel",
    ),
    pair=False,
    metric="accuracy",
    source_subset="en",
    subsets=tuple(LANGUAGES),
    sources=(SOURCE,),
    licence="CC BY-SA 4.0",
    citation="D. I. Adelani et al. (2024). SIB-200: A simple, inclusive, and big evaluation "
    "dataset for topic classification in 200+ languages and dialects. EACL.",
    note="Trained on English, tested in 22 languages: zero-shot transfer across languages.",
)


def rows(folder: Path) -> dict[str, list[Row]]:
    """The published splits; one group per sentence of FLORES-200, whatever its language."""
    parts: dict[str, list[Row]] = {split: [] for split in _PARTS}
    for code, split in _FILES:
        name = LANGUAGES[code]
        path = folder / f"{name}.{_PARTS[split]}.tsv"
        path = path if path.is_file() else folder / "data" / name / f"{_PARTS[split]}.tsv"
        for row in read(path):
            group = f"sentence-{row['index_id']}"
            parts[split].append(Row(row["text"], row["category"], code, group))
    return parts


def parts(folder: Path, seed: int) -> dict[str, list[Row]]:
    """Train, validation and test rows."""
    return official(rows(folder), seed=seed, name=TASK.name)
