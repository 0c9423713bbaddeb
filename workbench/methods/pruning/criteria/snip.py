"""SNIP: a connection is worth how sensitive the loss is to cutting it."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, nn

from workbench.methods.pruning.criteria.taylor import taylor
from workbench.methods.pruning.gradients import Batch, Loss
from workbench.methods.pruning.prunable import Rule


def snip(
    model: nn.Module,
    batches: Iterable[Batch],
    prunable: Rule | None = None,
    *,
    loss: Loss | None = None,
) -> dict[str, Tensor]:
    r"""Score every prunable weight by its share of the connection sensitivity.

    With a gate :math:`c_{ij}` on each connection, whose gradient at 1 is
    :math:`\partial L(c \odot W) / \partial c_{ij} = g_{ij} W_{ij}`,

    .. math:: s_{ij} = \frac{|g_{ij} W_{ij}|}{\sum_{k} |g_k W_k|}

    where the sum runs over all prunable weights of the model, so that the scores sum to 1. The
    paper scores a freshly initialised network once, on one batch, and ranks globally.

    Args:
        model: any module; given back as it was. Scored in evaluation mode.
        batches: mappings with labels, or pairs (inputs, targets); see ``gradients``. Each weighs
            as much as it has rows; :math:`g` is the gradient of the mean loss of all of them.
        prunable: predicate ``(module name, module) -> bool`` instead of the default rule.
        loss: ``(model, batch) -> scalar``, the mean over the batch's rows, instead of the model's.

    Returns:
        Parameter name -> float32 tensor (float64 for such weights) of the parameter's shape.

    Raises:
        ValueError: there is nothing to prune, no batch or no loss (see ``mean_over_examples``), or
            every product of gradient and weight is zero.

    References:
        Lee et al., "SNIP: single-shot network pruning based on connection sensitivity", ICLR 2019.
    """
    scores = taylor(model, batches, prunable, loss=loss)
    total = sum(float(tensor.double().sum()) for tensor in scores.values())
    if total == 0:
        raise ValueError(
            "gradient times weight is zero for every prunable weight, so there are no shares; "
            "are the weights all zero, or the loss at an exact minimum?"
        )
    return {name: tensor.div_(total) for name, tensor in scores.items()}
