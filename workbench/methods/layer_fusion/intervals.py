"""When to fuse, and how long to retrain: the iterations of Algorithm 4."""

from __future__ import annotations

from typing import NamedTuple


class Compression(NamedTuple):
    """Keep this share of the weights, then retrain for so many epochs (or updates)."""

    keep: float
    retrain: int


def intervals(
    keep: float, steps: int, total: int, *, growth: float = 1.5, even: bool = False
) -> list[Compression]:
    r"""The steps of iterative compression: much early on, and longer retraining later.

    Thesis Algorithm 4 compresses every :math:`N_c` epochs (corrected: where
    :math:`\epsilon \bmod N_c = 0`; printed, whenever it is not). Sections 8.5.1 and 8.5.2 ask for
    the contrary of equal intervals: the first steps cost little, and each further one needs more
    retraining. So step t of T leaves

    .. math:: \kappa_t = 1 - (1 - \kappa)\, \frac{1 - 2^{-t}}{1 - 2^{-T}}, \qquad
        n_t \propto g^t

    Args:
        keep: share :math:`\kappa` that stays after the last step, in (0, 1).
        steps: T, at least 1.
        total: epochs, or updates, of retraining in all; at least one for each step.
        growth: g, how much longer each interval is than the one before, at least 1.
        even: equal amounts and equal intervals, as Algorithm 4 has them.

    Returns:
        One entry a step; the retraining adds up to ``total``.

    Raises:
        ValueError: a number is out of range.
    """
    if not 0 < keep < 1 or steps < 1 or total < steps or growth < 1:
        raise ValueError(
            f"keep must be in (0, 1), steps at least 1, total at least steps and growth at least "
            f"1; got keep={keep}, steps={steps}, total={total}, growth={growth}"
        )
    shares = [1.0 if even else growth**t for t in range(steps)]
    spare = total - steps
    ends = [round(spare * sum(shares[: t + 1]) / sum(shares)) for t in range(steps)]
    lengths = [1 + end - start for start, end in zip([0, *ends[:-1]], ends, strict=True)]
    done = [(t + 1) / steps for t in range(steps)]
    if not even:
        done = [(1 - 2.0 ** -(t + 1)) / (1 - 2.0**-steps) for t in range(steps)]
    return [Compression(1 - (1 - keep) * d, n) for d, n in zip(done, lengths, strict=True)]
