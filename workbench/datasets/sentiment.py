"""Polarity of sentences from four domains: trained on movie reviews, tested on all four.

Mean human ratings from -4 to 4; the label is the sign of a rating of at least 0.5 in size, and
rows with weaker ratings are left out.
"""

from __future__ import annotations

from pathlib import Path

from workbench.datasets.rows import Row, near_duplicates, split
from workbench.datasets.task import Task
from workbench.sources import Wheel

THRESHOLD = 0.5
_FOLDER = "vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz!hutto_ICWSM_2014"
_FILES = {
    "movies": "movieReviewSnippets_GroundTruth.txt",
    "amazon": "amazonReviewSnippets_GroundTruth.txt",
    "tweets": "tweets_GroundTruth.txt",
    "nyt": "nytEditorialSnippets_GroundTruth.txt",
}

SOURCE = Wheel(
    package="vaderSentiment",
    version="3.3.2",
    sha256="5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9",
    members=tuple(f"{_FOLDER}/{file}" for file in _FILES.values()),
    sdist=True,
    licence="MIT",
    size=2_466_783,
)

TASK = Task(
    name="sentiment",
    title="Sentiment of sentences in four domains",
    kind="classification",
    labels=("negative", "positive"),
    pair=False,
    metric="accuracy",
    source_subset="movies",
    subsets=tuple(_FILES),
    sources=(SOURCE,),
    licence="MIT",
    citation="C. J. Hutto and E. Gilbert (2014). VADER: A parsimonious rule-based model for "
    "sentiment analysis of social media text. ICWSM.",
    note="Trained on movie reviews, tested on movie reviews, product reviews, tweets and "
    "newspaper editorials: a zero-shot shift of domain.",
)


def ratings(folder: Path) -> dict[str, list[tuple[float, str]]]:
    """All rated sentences per domain, as (mean human rating in -4..4, text)."""
    found = {}
    for domain, file in _FILES.items():
        path = next(folder.rglob(file), folder / file)
        lines = path.read_text(encoding="latin-1").split("\n")
        rows = [line.rstrip("\r").split("\t", 2) for line in lines if line.strip()]
        found[domain] = [(float(rating), text.strip()) for _, rating, text in rows]
    return found


def rows(folder: Path) -> list[Row]:
    """The labelled sentences, with near-duplicates (also across domains) in one group."""
    kept = [
        (domain, rating, text)
        for domain, rated in ratings(folder).items()
        for rating, text in rated
        if abs(rating) >= THRESHOLD and text
    ]
    roots = near_duplicates([text for _, _, text in kept])
    return [
        Row(text, "positive" if rating > 0 else "negative", domain, f"sentence-{root}")
        for (domain, rating, text), root in zip(kept, roots, strict=True)
    ]


def parts(folder: Path, seed: int) -> dict[str, list[Row]]:
    """Train, validation and test rows."""
    return split(rows(folder), source="movies", seed=seed, name=TASK.name)
