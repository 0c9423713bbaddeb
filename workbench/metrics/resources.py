"""How much text multilingual encoders were pretrained on, by language."""

from __future__ import annotations

from collections.abc import Iterable

CC100_GIB = {
    "en": 300.8, "ru": 278.0, "id": 148.3, "vi": 137.3, "fa": 111.6, "uk": 84.6, "th": 71.7,
    "ja": 69.3, "de": 66.6, "ro": 61.4, "hu": 58.4, "bg": 57.5, "fr": 56.8, "fi": 54.3,
    "ko": 54.2, "es": 53.3, "pt": 49.1, "zh": 46.9, "el": 46.9, "pl": 44.6, "it": 30.2,
    "nl": 29.3, "ar": 28.0, "tr": 20.9, "hi": 20.2, "sv": 12.1, "ur": 5.7, "sw": 1.6,
}  # fmt: skip
"""Size of CC-100 in GiB, on which XLM-R and models distilled from it were pretrained (Conneau et
al. 2020, "Unsupervised Cross-lingual Representation Learning at Scale", arXiv:1911.02116, Table 6;
``zh`` is simplified Chinese). Languages that are not here are not known to be without text."""


def by_data(languages: Iterable[str]) -> list[str]:
    """``languages`` from the most to the least text in CC-100; those not in it last, by name.

    >>> by_data(["sw", "xx", "en", "tr"])
    ['en', 'tr', 'sw', 'xx']
    """
    return sorted(languages, key=lambda code: (-CC100_GIB.get(code, 0.0), code))
