"""What a loaded model answers when it is asked to be pruned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True, eq=False)
class Answer:
    """What a question gave, as long frames: step 0 is the dense model, step 1 the pruned one.

    ``scalars`` has the columns of the records (``step``, ``name``, ``value``, labels), so that
    their figures draw it: the task's scores (``split`` test, ``phase`` before: not retrained),
    ``agreement`` (share of test texts that get the dense model's answer), ``density``,
    ``layer_density``, ``weight_norm``, ``latency`` (seconds; ``quantile``), ``bytes`` (``form``:
    dense or sparse) and ``multiply_adds`` (``kernel``: dense, or one that skips zeros).
    ``histograms`` is what ``weight_distributions`` draws. ``metric`` is the task's first score.
    """

    criterion: str
    scope: str
    density: float
    metric: str
    about: str
    scalars: pandas.DataFrame
    histograms: pandas.DataFrame

    @property
    def method(self) -> str:
        """Criterion and scope in words."""
        return method_words(self.criterion, self.scope)


def method_words(criterion: str, scope: str) -> str:
    """``("lamp", "global")`` -> ``"lamp, global"``."""
    words = {"layer": "per layer", "global": "global", "row": "per row"}
    return f"{criterion.replace('_', ' ')}, {words[scope]}"
