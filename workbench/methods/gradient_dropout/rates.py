r"""How many gradients are dropped in each epoch.

A *window* :math:`[a, b)` says which elements train: each has a number :math:`u \sim U[0, 1)` and
trains where :math:`a \le u < b`, so a share :math:`b - a` does. The variants of chapter 10 differ
in the window of an epoch and in when :math:`u` is drawn: anew in each step, in each epoch, or once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

Name = Literal[
    "constant", "anneal", "epoch", "epoch-toggle", "epoch-fresh", "top-down", "bottom-up"
]
Rate: TypeAlias = Callable[[int], float]
Window: TypeAlias = tuple[float, float]

# When u is drawn. A function of the epoch as schedule draws in each step.
STEPWISE, EPOCHWISE = ("constant", "anneal"), ("epoch-fresh",)
ONCE = ("epoch", "epoch-toggle", "top-down", "bottom-up")


def annealed(epoch: int, epochs: int, start: float = 0.9) -> float:
    r"""The annealed rate of thesis section 10.3.3, :math:`\max(0, p_0 - \epsilon / T)`.

    Corrected: clamped at 0, which :math:`p_\epsilon := p_{\epsilon-1} - 1/T` passes on its way from
    0.9 to -0.1. In the last of few epochs it is above 0 (:math:`1/T - 0.1` from 0.9).
    ``lambda epoch: 0.9 * (1 - epoch / (T - 1))`` as schedule ends at 0 exactly.

    Args:
        epoch: from 0.
        epochs: :math:`T`.
        start: :math:`p_0`, the rate of the first epoch.
    """
    return max(0.0, start - epoch / epochs)


def frozen(epoch: int, epochs: int, start: float) -> float:
    r"""The share that gradual unfreezing has not reached yet.

    .. math:: p_\epsilon = p_0 \left(1 - \frac{\epsilon}{T - 1}\right)

    With :math:`p_0 = 1 - 1/T` it is :math:`1 - (\epsilon + 1) / T`: every epoch unfreezes an equal
    share. The last one trains everything. Arguments as in ``annealed``.
    """
    return 0.0 if epoch >= epochs - 1 else start * (1 - epoch / (epochs - 1))


def default(schedule: Name, epochs: int | None) -> float:
    """The rate of the first epoch where none is given: thesis sections 10.3.3 and 10.3.4.2."""
    if schedule in ONCE:
        assert epochs is not None
        return 1 - 1 / epochs
    return 0.9 if schedule == "anneal" else 0.2


def window(schedule: Name | Rate, epoch: int, epochs: int | None, p: float | None) -> Window:
    """The window of one epoch.

    Args:
        schedule: its name, or the rate as a function of the epoch.
        epoch: from 0; epochs after the last are like the last.
        epochs: ``T``, for schedules that need it.
        p: the rate, that of the first epoch where it falls; None beside a function.

    Raises:
        ValueError: a function returns a rate outside of [0, 1).
    """
    if callable(schedule):
        return check_rate(schedule(epoch), f"schedule({epoch})"), 1.0
    assert p is not None
    if schedule in ("constant", "epoch-fresh"):
        return p, 1.0
    assert epochs is not None
    epoch = min(epoch, epochs - 1)
    if schedule == "anneal":
        return annealed(epoch, epochs, p), 1.0
    previous = frozen(epoch - 1, epochs, p) if epoch else 1.0
    return frozen(epoch, epochs, p), previous if schedule == "epoch-toggle" else 1.0


def check_rate(rate: object, what: str = "p") -> float:
    """``rate`` as a float in [0, 1); raises ``ValueError`` for anything else."""
    number = isinstance(rate, int | float) and not isinstance(rate, bool)
    if not number or not 0 <= float(rate) < 1:  # type: ignore[arg-type]
        raise ValueError(
            f"{what} must be a number in [0, 1), the share of gradients that is dropped, got "
            f"{rate!r}; 0 drops nothing, and to freeze a parameter use requires_grad_(False)"
        )
    return float(rate)  # type: ignore[arg-type]
