"""Optimal brain damage: the change of the loss without a weight, to the second order."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from workbench.methods.pruning.gradients import (
    Batch,
    Loss,
    gradients,
    losses,
    undisturbed,
    widen,
)
from workbench.methods.pruning.prunable import Rule


def optimal_brain_damage(
    model: nn.Module,
    batches: Iterable[Batch],
    prunable: Rule | None = None,
    *,
    loss: Loss | None = None,
    samples: int = 8,
    generator: torch.Generator | None = None,
) -> dict[str, Tensor]:
    r"""Score every prunable weight by its saliency, :math:`\tfrac12 h_{kk} W_k^2`.

    :math:`h_{kk}` is the diagonal of the Hessian of the mean loss. At a minimum the gradient is
    zero, and with the terms between weights neglected this is what the loss rises by when the
    weight is set to zero. The diagonal is estimated without bias as Hutchinson does,

    .. math:: h \approx \frac{1}{S} \sum_{s=1}^S z_s \odot (H z_s), \qquad z_s \in \{-1, 1\}^K,

    with Hessian-vector products by automatic differentiation. The variance of one sample is
    :math:`\sum_{l \ne k} H_{kl}^2` (fresh signs for each batch): exact for a diagonal Hessian, and
    falling as :math:`1 / S`. LeCun et al. drop the second derivative of the activations, which
    makes their estimate positive; this one keeps it, so that scores below zero occur, where
    removal lowers the loss to this order.

    Args:
        model: any module; given back as it was. Scored in evaluation mode. Each layer must be
            twice differentiable; scaled dot-product attention is run by its plain kernel.
        batches: mappings with labels, or pairs (inputs, targets); see ``gradients``. Each weighs
            as much as it has rows.
        prunable: predicate ``(module name, module) -> bool`` instead of the default rule.
        loss: ``(model, batch) -> scalar``, the mean over the batch's rows, instead of the model's.
        samples: :math:`S`, sign vectors for each batch; a backward pass of about twice the cost
            for each.
        generator: a seeded ``torch.Generator``; the global generator of torch when left out. Signs
            are drawn on its device, so that one seed gives the same scores on every device.

    Returns:
        Parameter name -> float32 tensor (float64 for such weights) of the parameter's shape; in
        the unit of the loss.

    Raises:
        ValueError: ``samples`` is no positive integer; nothing to prune, no batch or no loss (see
            ``mean_over_examples``).

    References:
        LeCun et al., "Optimal brain damage", NeurIPS 1990. Hutchinson, "A stochastic estimator of
        the trace of the influence matrix", 1990; Bekas et al., "An estimator for the diagonal of a
        matrix", 2007.
    """
    if isinstance(samples, bool) or not isinstance(samples, int) or samples < 1:
        raise ValueError(f"samples={samples!r}; allowed: 1 and more sign vectors for each batch")
    # The fused attention kernels have no second derivative.
    with undisturbed(model, prunable) as parameters, sdpa_kernel(SDPBackend.MATH):
        weights = {name: widen(parameter) for name, parameter in parameters.items()}
        diagonal = {name: torch.zeros_like(weight) for name, weight in weights.items()}
        total = 0
        for value, rows in losses(model, batches, loss):
            total += rows
            first = gradients(value, parameters, create_graph=True)
            for _ in range(samples):
                signs = {name: _signs(p, generator) for name, p in parameters.items()}
                # d(g . z)/dw = Hz; of a loss that is linear in the weights there is no graph.
                along = torch.stack(
                    [(g * signs[name]).sum().to(value.device) for name, g in first.items()]
                ).sum()
                if not along.requires_grad:
                    break
                products = torch.autograd.grad(
                    along, list(parameters.values()), retain_graph=True, allow_unused=True
                )
                for name, product in zip(parameters, products, strict=True):
                    if product is not None:
                        diagonal[name].add_(widen(product) * signs[name], alpha=rows / samples)
        return {
            name: tensor.div_(2 * total).mul_(weights[name].square_())
            for name, tensor in diagonal.items()
        }


def _signs(parameter: Tensor, generator: torch.Generator | None) -> Tensor:
    device = generator.device if generator is not None else "cpu"
    bits = torch.randint(2, parameter.shape, generator=generator, device=device)
    return (2 * bits - 1).to(parameter.device, parameter.dtype)
