"""Taylor: a weight is worth the change of the loss without it, to the first order."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, nn

from workbench.methods.pruning.gradients import Batch, Loss, Per, mean_over_examples
from workbench.methods.pruning.prunable import Rule


def taylor(
    model: nn.Module,
    batches: Iterable[Batch],
    prunable: Rule | None = None,
    *,
    loss: Loss | None = None,
    per: Per = "all",
) -> dict[str, Tensor]:
    r"""Score every prunable weight by :math:`|g_{ij} W_{ij}|`.

    Setting :math:`W_{ij}` to zero changes the loss by :math:`-g_{ij} W_{ij}` to the first order.
    Molchanov et al. (2019, equation 8) use its square per minibatch, which has the same order for
    one; Molchanov et al. (2017, equation 8) take the absolute value for each example and average
    it, of feature maps where this is of weights.

    Args:
        model: any module; given back as it was. Scored in evaluation mode.
        batches: mappings with labels, or pairs (inputs, targets); see ``gradients``. Each weighs
            as much as it has rows.
        prunable: predicate ``(module name, module) -> bool`` instead of the default rule.
        loss: ``(model, batch) -> scalar``, the mean over the batch's rows, instead of the model's.
        per: what the absolute value is taken of. ``all``: the gradient of the mean loss of all
            batches, so that gradients of different sign cancel (the order is that of ``snip``).
            ``batch`` or ``example``: the gradient of each, and then the mean; ``example`` runs
            every row by itself.

    Returns:
        Parameter name -> float32 tensor (float64 for such weights) of the parameter's shape; in
        the unit of the loss.

    Raises:
        ValueError: there is nothing to prune, no batch or no loss; see ``mean_over_examples``.

    References:
        Molchanov et al., "Pruning convolutional neural networks for resource efficient inference",
        ICLR 2017; "Importance estimation for neural network pruning", CVPR 2019.
    """
    if per == "all":
        weights, means = mean_over_examples(model, batches, prunable, loss)
        return {name: tensor.mul_(weights[name]).abs_() for name, tensor in means.items()}
    if per not in ("batch", "example"):
        raise ValueError(f"per={per!r}; allowed: 'all', 'batch' or 'example'")
    return mean_over_examples(
        model, batches, prunable, loss, of=lambda g, weight: g.mul_(weight).abs_(), per=per
    )[1]
