r"""Penalties on the size of weights, for regularised magnitude pruning (thesis section 9.4).

Terms to minimise, without their weight: ``loss = task + 5e-4 * l2(model)``. Sums, not means, over
the weights that pruning may touch; pruned weights add nothing, and get no gradient.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from workbench.methods.pruning.prunable import Rule, prunable_parameters


def l1(model: nn.Module, prunable: Rule | None = None) -> Tensor:
    r"""Sum of magnitudes, :math:`\sum_l \sum_{ij} |W_{l,ij}|`.

    Its pull is the same on weights of every size, so that small ones reach zero; the gradient at
    zero is 0.

    Args:
        model: any module.
        prunable: predicate ``(module name, module) -> bool`` instead of the default rule.

    Returns:
        Scalar, at least 0. Half precision computes in float32.

    Raises:
        ValueError: the rule selects no weight.

    References:
        Han et al., "Learning both weights and connections for efficient neural networks", 2015.
    """
    return torch.stack([w.abs().sum() for w in _weights(model, prunable)]).sum()


def l2(model: nn.Module, prunable: Rule | None = None) -> Tensor:
    r"""Sum of squares, :math:`\sum_l \|W_l\|_F^2`.

    Its gradient is :math:`2W`: in plain SGD, :math:`\lambda` times this equals a ``weight_decay``
    of :math:`2\lambda` on these weights. In AdamW it does not: decay there is outside the
    adaptive step. Args, returns, raises and references are those of ``l1``.
    """
    return torch.stack([w.square().sum() for w in _weights(model, prunable)]).sum()


def _weights(model: nn.Module, prunable: Rule | None) -> list[Tensor]:
    half = (torch.float16, torch.bfloat16)
    weights = prunable_parameters(model, prunable).values()
    return [w.float() if w.dtype in half else w for w in weights]
