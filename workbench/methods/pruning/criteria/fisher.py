"""Fisher: a weight is worth the change of the loss without it, by the Fisher information."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from torch import Tensor, nn

from workbench.methods.pruning.gradients import Batch, Loss, mean_over_examples
from workbench.methods.pruning.prunable import Rule


def fisher(
    model: nn.Module,
    batches: Iterable[Batch],
    prunable: Rule | None = None,
    *,
    loss: Loss | None = None,
    per: Literal["example", "batch"] = "example",
) -> dict[str, Tensor]:
    r"""Score every prunable weight by the diagonal of the empirical Fisher information.

    .. math:: s_{ij} = \frac{1}{2N} \sum_{n=1}^N g_{n,ij}^2 \, W_{ij}^2, \qquad
        g_n = \nabla_W \ell_n

    At a minimum of a negative log-likelihood the mean of :math:`g_n^2` approximates the diagonal of
    the Hessian, which makes this ``optimal_brain_damage`` without second derivatives. Empirical:
    with the labels of the data, not labels drawn from the model.

    Args:
        model: any module; given back as it was. Scored in evaluation mode.
        batches: mappings with labels, or pairs (inputs, targets); see ``gradients``.
        prunable: predicate ``(module name, module) -> bool`` instead of the default rule.
        loss: ``(model, batch) -> scalar``, the mean over the batch's rows, instead of the model's.
        per: ``example`` squares the gradient of each row, one backward pass a row: the definition.
            ``batch`` squares the gradient of each batch's mean loss and weighs it by the rows: one
            pass a batch, but another quantity. Of ``n`` independent rows its expectation is the
            squared mean gradient plus a variance that is ``n`` times too small.

    Returns:
        Parameter name -> float32 tensor (float64 for such weights) of the parameter's shape; in
        the unit of the loss if that is in nats.

    Raises:
        ValueError: there is nothing to prune, no batch or no loss; see ``mean_over_examples``.

    References:
        Theis et al., "Faster gaze prediction with dense networks and Fisher pruning", 2018.
    """
    weights, squares = mean_over_examples(
        model, batches, prunable, loss, of=lambda g, weight: g.square_(), per=per
    )
    return {name: tensor.mul_(weights[name].square_() / 2) for name, tensor in squares.items()}
