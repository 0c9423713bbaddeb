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
    the loader gives other rows.
    """

    name: str
    title: str
    kind: Literal["classification", "regression"]
    labels: tuple[str, ...]
    pair: bool
    metric: Literal["accuracy", "matthews", "spearman"]
    source_subset: str
    subsets: tuple[str, ...]
    sources: tuple[Wheel | Hub, ...]
    licence: str
    citation: str
    note: str = ""
    version: int = 1

    @property
    def num_labels(self) -> int:
        """The width of a model's output: the number of classes, or 1 for regression."""
        return len(self.labels) if self.kind == "classification" else 1
