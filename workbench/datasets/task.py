"""What is known about a task without loading it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from workbench.sources import Hub, Wheel


@dataclass(frozen=True)
class Task:
    """One text task: its labels, its subsets, where it comes from and how it is scored.

    ``source_subset`` is the one that is trained on (a domain such as "movies", or a language such
    as "en"); ``subsets`` are those in the test split, the source first. ``version`` changes when
    the loader gives other rows. Of kind "tokens" is a task whose every word has a label (BIO tags
    of entities); its ``metric`` is the F1 of whole entities.
    """

    name: str
    title: str
    kind: Literal["classification", "regression", "tokens"]
    labels: tuple[str, ...]
    pair: bool
    metric: Literal["accuracy", "matthews", "spearman", "f1"]
    source_subset: str
    subsets: tuple[str, ...]
    sources: tuple[Wheel | Hub, ...]
    licence: str
    citation: str
    note: str = ""
    version: int = 1

    @property
    def num_labels(self) -> int:
        """The width of a model's output: the number of classes (or tags), or 1 for regression."""
        return 1 if self.kind == "regression" else len(self.labels)
