"""Gradient: a weight is worth the absolute value of its accumulated gradient."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, nn

from workbench.methods.pruning.gradients import Batch, Loss, mean_over_examples
from workbench.methods.pruning.prunable import Rule


def gradient(
    model: nn.Module,
    batches: Iterable[Batch],
    prunable: Rule | None = None,
    *,
    loss: Loss | None = None,
) -> dict[str, Tensor]:
    r"""Score every prunable weight by the gradient of the mean loss, :math:`|\bar g_{ij}|`.

    .. math:: \bar g = \frac{1}{N} \sum_{n=1}^N \nabla_W \ell_n

    The thesis's Gradient-MBP (section 9.4): "the absolute value of the accumulated gradients",
    where the sum comes before the absolute value. Dividing the sum by :math:`N` keeps its order.

    Args:
        model: any module; given back as it was. Scored in evaluation mode.
        batches: mappings with labels, or pairs (inputs, targets); see ``gradients``. Each weighs
            as much as it has rows.
        prunable: predicate ``(module name, module) -> bool`` instead of the default rule.
        loss: ``(model, batch) -> scalar``, the mean over the batch's rows, instead of the model's.

    Returns:
        Parameter name -> float32 tensor (float64 for such weights) of the parameter's shape.

    Raises:
        ValueError: there is nothing to prune, no batch or no loss; see ``mean_over_examples``.

    Note:
        A pruned weight has a gradient too. Attached masks zero it, unless attached with
        ``mask_gradients=False``; ranked ``within=`` the earlier masks, it does not matter.
    """
    _, gradients = mean_over_examples(model, batches, prunable, loss)
    return {name: tensor.abs_() for name, tensor in gradients.items()}
