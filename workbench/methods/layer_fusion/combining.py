"""One tensor from several: the three ways to fuse of thesis section 8.3.3."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

How = Literal["freeze", "mean", "mix", "transport"]


def combine(
    tensors: Sequence[Tensor],
    how: How,
    kept: int = 0,
    generator: torch.Generator | None = None,
    present: Sequence[Tensor] | None = None,
) -> Tensor:
    r"""Fuse tensors of one shape into one.

    ==========  ==================================================================
    ``mean``    :math:`\frac1n \sum_i W_i`. Corrected: printed
                :math:`(\theta_i + \theta_j / 2)`
    ``mix``     every weight is that of a layer drawn at random: for two layers
                :math:`m W_i + (1 - m) W_j`, :math:`m \sim \mathrm{Bernoulli}(1/2)`
    ``freeze``  :math:`W_{\mathrm{kept}}`
    ==========  ==================================================================

    Args:
        tensors: of one shape, dtype and device.
        how: as above; ``transport`` is the mean, of tensors that were aligned before.
        kept: which one ``freeze`` keeps.
        generator: seeded source of ``mix``, on the CPU.
        present: booleans of the same shape, False where a tensor was only padded: means and draws
            are over those that are there, and 0 where none is.
    """
    stack = torch.stack(list(tensors))
    there = torch.ones_like(stack, dtype=torch.bool) if present is None else torch.stack([*present])
    if how == "mix":
        # The largest of uniform numbers among those present is a uniform draw of one of them.
        draws = torch.rand(stack.shape, generator=generator).to(stack.device)
        choice = draws.masked_fill(~there, -1).argmax(0, keepdim=True)
        return stack.gather(0, choice)[0] * there.any(0)
    # Float64, so that the mean of equal layers is that layer to the bit.
    total = stack.double().masked_fill(~there, 0).sum(0)
    mean = (total / there.sum(0).clamp(min=1)).to(stack.dtype)
    return torch.where(there[kept], stack[kept], mean) if how == "freeze" else mean
