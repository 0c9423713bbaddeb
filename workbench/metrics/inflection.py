"""Where a score begins to fall: the inflection point of a pruning curve."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np


class Inflection(NamedTuple):
    """The pruning step after which a score falls faster than before it.

    ``place`` is where it stands in what was given; ``before`` and ``after`` are the mean change of
    the score per halving of the weights from the first step to this one and from this one to the
    last; ``bend`` is how far the curve lies above the straight line between its ends, as a share
    of the whole fall.
    """

    place: int
    density: float
    score: float
    before: float
    after: float
    bend: float


def inflection(
    densities: Any, scores: Any, *, least_drop: float = 0.02, least_bend: float = 0.1
) -> Inflection | None:
    r"""The inflection point of ``scores`` over ``densities``, or ``None`` where there is none.

    The thesis (9.5, footnote 2) means "the point which the performance slope significantly steepens
    and drops are relatively large to previous pruning steps". Here it is the measured step that
    lies furthest above the chord between the first and the last one,

    .. math:: k = \arg\max_i \; \hat s_i - s_0 - (\hat s_n - s_0)
              \frac{\log d_0 - \log d_i}{\log d_0 - \log d_n},

    where :math:`\hat s` is the best fit to the scores that never rises (isotonic regression), so
    that noise on a plateau decides nothing. By this choice the score falls more slowly than the
    chord from any earlier step to :math:`k`, and faster from :math:`k` to any later one. Of several
    steps that lie equally far, the last is taken.

    Args:
        densities: (n,) remaining share of the weights in (0, 1], all different, in any order.
        scores: (n,) the score at each of them.
        least_drop: a curve that falls less than this in all, in units of the score, has none.
        least_bend: nor has one that stays closer to its chord than this share of the whole fall,
            such as a straight line, or one that falls at once and then levels off.

    Raises:
        ValueError: lengths that differ, a density outside (0, 1] or given twice, NaN.

    References:
        Satopää, Albrecht, Irwin and Raghavan, "Finding a 'kneedle' in a haystack: detecting knee
        points in system behavior", 2011.
    """
    d, s = np.asarray(densities, dtype=float), np.asarray(scores, dtype=float)
    if d.ndim != 1 or d.shape != s.shape:
        raise ValueError(f"densities {d.shape} and scores {s.shape} must be of one shape (n,)")
    if not np.isfinite(s).all():
        raise ValueError("scores hold NaN or infinity; leave those steps out")
    if not ((d > 0) & (d <= 1)).all() or len(np.unique(d)) < len(d):
        raise ValueError(f"densities must be different shares in (0, 1], got {d.tolist()}")
    if len(d) < 3:
        return None
    order = np.argsort(-d)
    from scipy.optimize import isotonic_regression  # SciPy loads here first

    halvings = -np.log2(d[order] / d.max())
    fitted = isotonic_regression(s[order], increasing=False).x
    drop = fitted[0] - fitted[-1]
    if drop < least_drop or drop <= 0:
        return None
    share = (fitted[0] - fitted) / drop
    above = halvings / halvings[-1] - share
    place = int(np.flatnonzero(above >= above.max() - 1e-9)[-1])
    if above[place] < least_bend:
        return None
    return Inflection(
        place=int(order[place]),
        density=float(d[order[place]]),
        score=float(s[order[place]]),
        before=float((fitted[place] - fitted[0]) / halvings[place]),
        after=float((fitted[-1] - fitted[place]) / (halvings[-1] - halvings[place])),
        bend=float(above[place]),
    )
