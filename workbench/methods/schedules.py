"""How density falls from one pruning step to the next."""

from __future__ import annotations

from typing import Literal, get_args

Schedule = Literal["geometric", "linear", "cubic"]


def densities(schedule: Schedule, steps: int, final: float) -> tuple[float, ...]:
    r"""Densities of a pruning run, from dense to ``final``.

    With step :math:`k = 0 \dots n`, share of steps done :math:`t = k / n` and final density
    :math:`d`:

    - ``"geometric"``: :math:`d^{t}`. Every step removes the same share :math:`1 - d^{1/n}` of the
      weights that *remain*. The thesis removes 10% of the remaining weights per step, corrected:
      "uniformly 10% of the parameters" (section 11.4) means this, as 0.9^11 = 31.4% and
      0.9^22 = 9.85% match its tables; see ``geometric``.
    - ``"linear"``: :math:`1 + (d - 1) t`. Every step removes the same number of weights.
    - ``"cubic"``: :math:`d + (1 - d)(1 - t)^3`. Fast at first, slow at the end: equation 1 of Zhu
      and Gupta with initial sparsity 0.

    Args:
        schedule: one of the names above.
        steps: number of pruning steps ``n``, at least 1.
        final: density after the last step, in (0, 1].

    Returns:
        ``steps + 1`` densities that never rise, the first exactly 1.0 and the last exactly
        ``final``.

    Raises:
        ValueError: an unknown schedule, too few steps, or a density out of range.

    References:
        Zhu and Gupta, "To prune, or not to prune", 2017, arXiv 1710.01878.
    """
    if schedule not in get_args(Schedule):
        raise ValueError(f"schedule must be one of {list(get_args(Schedule))}, got {schedule!r}")
    _check_steps(steps)
    if not _is_number(final) or not 0 < final <= 1:
        raise ValueError(f"final density must be a number in (0, 1], got {final!r}")
    shares = (k / steps for k in range(1, steps))
    if schedule == "geometric":
        between = [final**t for t in shares]
    elif schedule == "linear":
        between = [1 + (final - 1) * t for t in shares]
    else:
        between = [final + (1 - final) * (1 - t) ** 3 for t in shares]
    # Rounding may put a value an ulp outside of [final, 1].
    return (1.0, *(min(1.0, max(final, density)) for density in between), float(final))


def geometric(rate: float, steps: int) -> tuple[float, ...]:
    """Densities when each step removes the share ``rate`` of the weights that remain.

    ``geometric(0.1, 22)`` is the schedule of the thesis: 1, 0.9, 0.81, ... 0.9^22 = 0.0985.

    Args:
        rate: share of the remaining weights removed per step, in [0, 1).
        steps: number of pruning steps, at least 1.

    Returns:
        ``steps + 1`` densities, ``(1 - rate) ** k``.

    Raises:
        ValueError: the rate or the number of steps is out of range.
    """
    if not _is_number(rate) or not 0 <= rate < 1:
        raise ValueError(
            f"rate must be a number in [0, 1), the share removed per step, got {rate!r}"
        )
    _check_steps(steps)
    return tuple((1 - rate) ** k for k in range(steps + 1))


def _check_steps(steps: int) -> None:
    if not isinstance(steps, int) or isinstance(steps, bool) or steps < 1:
        raise ValueError(f"steps must be a whole number of at least 1, got {steps!r}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
