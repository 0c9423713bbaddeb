"""The gradient noise scale: how many examples a batch needs for the gradient to beat its noise."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

Gradient: TypeAlias = Tensor | Mapping[str, Tensor] | Iterable[Tensor]


class Noise(NamedTuple):
    r"""Estimates of :math:`\mathrm{tr}\,\Sigma / |G|^2`, :math:`|G|^2` and
    :math:`\mathrm{tr}\,\Sigma`: the first in examples, the others in squared units of a gradient.
    """

    noise_scale: float
    gradient_square: float
    noise_trace: float


def noise_scale(gradients: Iterable[Gradient], batch_size: int) -> Noise:
    r"""The simple noise scale, from the gradients of two or more batches at the same weights.

    .. math:: \mathcal{B}_{simple} = \frac{\mathrm{tr}\,\Sigma}{|G|^2}

    where :math:`G` is the gradient of the mean loss of all data and :math:`\Sigma` the covariance
    of the gradients of single examples: in a batch of this many examples, noise and gradient are
    of one size. Both are estimated without bias from :math:`K` batches :math:`g_k` of :math:`B`
    examples and their mean :math:`\bar g`, which is one batch of :math:`KB`:

    .. math:: \widehat{|G|^2} = \frac{KB \, |\bar g|^2 - B \, \overline{|g_k|^2}}{KB - B}, \qquad
        \widehat{\mathrm{tr}\,\Sigma} =
        \frac{\overline{|g_k|^2} - |\bar g|^2}{1/B - 1/(KB)}

    Their ratio is not without bias, so few batches make it noisy and, in the mean, wrong.

    Args:
        gradients: of one batch after the other: a tensor, tensors, or name -> tensor, of the same
            shapes each time. They are read one at a time and may be overwritten meanwhile, as
            ``.grad`` is; besides, only their sum is kept.
        batch_size: :math:`B`, the number of examples of each batch; leave out a shorter last one.

    Returns:
        ``noise_scale`` in examples, ``gradient_square`` and ``noise_trace``. Where the estimate of
        :math:`|G|^2`, which can fall below zero, is not positive, the gradient is lost in its noise
        and the noise scale is infinite; if all gradients are zero it is NaN.

    Raises:
        ValueError: fewer than two gradients, other shapes, NaN or infinity, or a batch size below
            1.

    Note:
        The batches must be independent draws. If they are disjoint parts of a small data set of
        ``N`` examples, :math:`\mathrm{tr}\,\Sigma` is that of the unbiased covariance
        (divided by ``N - 1``), and :math:`|G|^2` comes out lower by
        :math:`\mathrm{tr}\,\Sigma / N`, as if the data set were a sample itself.

    References:
        McCandlish, Kaplan, Amodei and OpenAI Dota Team, "An empirical model of large-batch
        training", 2018, arXiv 1812.06162, appendix A.
    """
    if isinstance(batch_size, bool) or batch_size < 1:
        raise ValueError(f"batch_size must be at least 1 (examples), got {batch_size!r}")
    total: list[Tensor] = []
    squares: list[float] = []
    for gradient in gradients:
        parts = _parts(gradient)
        if squares and [part.shape for part in parts] != [part.shape for part in total]:
            shapes = [[tuple(part.shape) for part in parts[:3]] for parts in (parts, total)]
            raise ValueError(
                f"gradient {len(squares)} has shapes {shapes[0]}, the first {shapes[1]}; give "
                "those of the same parameters in the same order"
            )
        squares.append(_square(parts))
        if not math.isfinite(squares[-1]):
            raise ValueError(f"gradient {len(squares) - 1} holds NaN or infinity; look at its rows")
        if len(squares) == 1:
            wide = (torch.promote_types(part.dtype, torch.float32) for part in parts)
            total = [part.to(dtype, copy=True) for part, dtype in zip(parts, wide)]
        else:
            torch._foreach_add_(total, parts)
    count = len(squares)
    if count < 2:
        raise ValueError(f"{count} gradients; two batches or more are needed to tell their noise")
    small, big = sum(squares) / count, _square(total) / count**2
    # Rounding may leave a little less than nothing where all gradients are the same.
    trace = max(0.0, (small - big) * batch_size * count / (count - 1))
    square = (count * big - small) / (count - 1)
    scale = trace / square if square > 0 else math.inf if trace > 0 else math.nan
    return Noise(scale, square, trace)


def _parts(gradient: Gradient) -> list[Tensor]:
    if isinstance(gradient, Tensor):
        return [gradient.detach()]
    values: Iterable[Tensor] = gradient.values() if isinstance(gradient, Mapping) else gradient
    return [value.detach() for value in values]


def _square(parts: list[Tensor]) -> float:
    """Sum of all squares, in float64 whatever the dtype."""
    return sum(float(torch.linalg.vector_norm(p, dtype=torch.float64)) ** 2 for p in parts)
