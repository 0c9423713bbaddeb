"""Paired comparisons of two methods over seeds, with their intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import pandas as pd


class Interval(NamedTuple):
    """Mean difference over ``n`` pairs with the ends of its confidence interval."""

    mean: float
    low: float
    high: float
    n: int

    @property
    def verdict(self) -> str:
        """``above`` or ``below`` zero where the whole interval is, else ``undecided``."""
        if not np.isfinite([self.low, self.high]).all():
            return "undecided"
        return "above" if self.low > 0 else "below" if self.high < 0 else "undecided"


def paired_interval(differences: np.ndarray, confidence: float = 0.95) -> Interval:
    r"""Student's t interval of the mean of paired ``differences`` (n,).

    .. math:: \bar d \pm t_{n-1, (1 + c)/2} \, s_d / \sqrt n

    One difference has no interval: its ends are infinite. Raises ``ValueError`` for none, NaN, or
    a confidence outside (0, 1).
    """
    from scipy import stats

    d = np.asarray(differences, dtype=float).ravel()
    if len(d) == 0 or not np.isfinite(d).all():
        raise ValueError(f"differences must be finite and at least one, got {d.tolist()[:5]}.")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence = {confidence} must lie between 0 and 1.")
    if len(d) == 1:
        return Interval(float(d[0]), -np.inf, np.inf, 1)
    half = stats.t.ppf((1 + confidence) / 2, len(d) - 1) * d.std(ddof=1) / np.sqrt(len(d))
    return Interval(float(d.mean()), float(d.mean() - half), float(d.mean() + half), len(d))


def contrast(
    frame: pd.DataFrame,
    better: str,
    against: str,
    *,
    pairs: tuple[str, ...] = ("task", "seed"),
    confidence: float = 0.95,
) -> Interval:
    """Mean of ``value`` for the method ``better`` minus ``against``, paired by ``pairs``.

    All rows of one method and pair (steps, domains) are averaged first, so every run counts once.
    Only pairs that both methods have are used. Raises ``ValueError`` naming a method with no rows.
    """
    means = frame.groupby(["method", *pairs])["value"].mean()
    for method in (better, against):
        if method not in means.index.get_level_values("method"):
            held = sorted(set(frame["method"]))
            raise ValueError(f"No rows of method {method!r}; the frame has {', '.join(held)}.")
    difference = (means[better] - means[against]).dropna()
    if difference.empty:
        raise ValueError(f"{better} and {against} have no {' and '.join(pairs)} in common.")
    return paired_interval(difference.to_numpy(), confidence)
