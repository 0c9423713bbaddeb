"""What a loaded network answers when some of its layers are to become one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from workbench.experiments.layer_pairs import Pair


@dataclass(frozen=True, eq=False)
class Similarity:
    """How alike the layers of one type are: ``names`` (L,), ``matrix`` (L, L) of ``measure``.

    ``larger_is_closer`` says which end of it is close.
    """

    measure: str
    module: str
    names: tuple[str, ...]
    matrix: np.ndarray = field(repr=False)
    larger_is_closer: bool


@dataclass(frozen=True)
class Costs:
    """What a network takes and does; None is what is not measured yet.

    ``stored`` is in bytes, ``share`` that of the layers that may be fused against the whole
    network's, ``score`` the task's metric on test rows, ``latency`` seconds of one row: lower
    quartile, median and upper quartile.
    """

    stored: int
    share: float
    layers: int
    score: float | None = None
    latency: tuple[float, float, float] | None = None


@dataclass(frozen=True, eq=False)
class Answer:
    """The whole network beside the fused one.

    ``pairs`` were asked for, ``groups`` are the layers that are one now. ``metric`` is accuracy in
    [0, 1] or perplexity, over ``rows`` test rows, each of which is a ``unit``: a text, a picture.
    """

    how: str
    pairs: tuple[Pair, ...]
    groups: tuple[tuple[str, ...], ...]
    metric: str
    rows: int
    unit: str
    about: str
    whole: Costs
    fused: Costs
    before: Similarity
    after: Similarity

    @property
    def complete(self) -> bool:
        """Whether everything is measured."""
        return self.fused.score is not None and self.fused.latency is not None

    @property
    def tested(self) -> str:
        """What the score is over, e.g. ``100 test texts``."""
        return counted(self.rows, f"test {self.unit}")

    @property
    def sentence(self) -> str:
        """What became of it, as far as it is known."""
        if not self.pairs:
            return "No pair is chosen, so the network is whole."
        saved = 1 - self.fused.stored / self.whole.stored
        said = (
            f"{counted(len(self.pairs), 'pair')} fused: {counted(self.fused.layers, 'layer')} to "
            f"store instead of {self.whole.layers}, which saves {saved:.1%} of all bytes"
        )
        if self.whole.score is None or self.fused.score is None:
            return f"{said}."
        one, other = (written(self.metric, costs.score) for costs in (self.whole, self.fused))
        return f"{said}; {self.metric} {one} before, {other} after, on {self.tested}."


def counted(number: int, word: str) -> str:
    """``(2, "pair")`` -> ``"2 pairs"``."""
    return f"{number} {word}{'' if number == 1 else 's'}"


def written(metric: str, value: float | None) -> str:
    """A score as people read it: a share in percent, a perplexity as a number."""
    if value is None:
        return "\N{EN DASH}"
    if metric == "accuracy":
        return f"{value:.1%}"
    return f"{value:.2f}" if value < 1000 else f"{value:.2g}"


def joined(pairs: Sequence[Sequence[Any]]) -> tuple[tuple[str, ...], ...]:
    """The layers that pairs connect, one tuple a group, names as they come."""
    groups: list[dict[str, None]] = []
    for pair in pairs:
        together = dict.fromkeys(pair[:2])
        for group in [g for g in groups if g.keys() & together.keys()]:
            groups.remove(group)
            together = {**group, **together}
        groups.append(together)
    return tuple(tuple(group) for group in groups)
