"""Movement: a weight is worth how far training drives it away from zero."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from workbench.methods.pruning.gradients import Batch, Loss, mean_over_examples, widen
from workbench.methods.pruning.prunable import Rule, prunable_parameters


def movement(
    model: nn.Module,
    batches: Iterable[Batch],
    prunable: Rule | None = None,
    *,
    loss: Loss | None = None,
) -> dict[str, Tensor]:
    r"""Score every prunable weight by its movement at fixed weights, :math:`-W_{ij} \bar g_{ij}`.

    A step of gradient descent from here takes a weight of positive score away from zero and one
    of negative score towards it. This is the first term of the sum that ``Movement`` accumulates
    along training, as the mean over all examples.

    Args:
        model: any module; given back as it was. Scored in evaluation mode.
        batches: mappings with labels, or pairs (inputs, targets); see ``gradients``. Each weighs
            as much as it has rows.
        prunable: predicate ``(module name, module) -> bool`` instead of the default rule.
        loss: ``(model, batch) -> scalar``, the mean over the batch's rows, instead of the model's.

    Returns:
        Parameter name -> float32 tensor (float64 for such weights) of the parameter's shape; of
        either sign.

    Raises:
        ValueError: there is nothing to prune, no batch or no loss; see ``mean_over_examples``.

    References:
        Sanh et al., "Movement pruning: adaptive sparsity by fine-tuning", NeurIPS 2020.
    """
    weights, gradients = mean_over_examples(model, batches, prunable, loss)
    return {name: tensor.mul_(weights[name]).neg_() for name, tensor in gradients.items()}


class Movement:
    r"""Accumulates movement along training: :math:`S = -\sum_t W^{(t)} \odot g^{(t)}`.

        moved = Movement(model)
        loss.backward()
        moved.update()          # after clipping and unscaling, before the step
        optimizer.step()
        ...
        masks = Masks.layerwise(moved.scores(), density=0.3)

    The accumulated scores of movement pruning, up to the learning rate of the scores; here they
    only rank and do not train. Of a weight that attached masks hold at zero the score stays: the
    paper's straight-through estimator, where pruned weights keep moving and may return, is not
    part of this.

    Args:
        model: the model that is trained. Nothing is added to it.
        prunable: predicate ``(module name, module) -> bool`` instead of the default rule.

    Raises:
        ValueError: the rule selects no weight.

    References:
        Sanh et al., "Movement pruning: adaptive sparsity by fine-tuning", NeurIPS 2020.
    """

    def __init__(self, model: nn.Module, prunable: Rule | None = None) -> None:
        self._parameters = prunable_parameters(model, prunable)
        self._sums = {
            name: torch.zeros_like(widen(parameter)) for name, parameter in self._parameters.items()
        }

    @torch.no_grad()
    def update(self) -> None:
        """Take in the gradients that are there now, once for each optimizer step.

        Raises:
            ValueError: no prunable weight has a gradient, or one is not finite (then nothing is
                taken in).
        """
        moving = {n: p.grad for n, p in self._parameters.items() if p.grad is not None}
        if not moving:
            raise ValueError(
                "no prunable weight has a gradient; call update() after backward() and before "
                "zero_grad(), on the model that is trained"
            )
        for name, gradient in moving.items():
            if not bool(torch.isfinite(gradient).all()):
                raise ValueError(
                    f"the gradient of {name!r} is not finite; under a gradient scaler unscale "
                    "first, and leave out the steps that it skips"
                )
        for name, gradient in moving.items():
            self._sums[name].sub_(widen(gradient).mul_(self._parameters[name]))

    def scores(self) -> dict[str, Tensor]:
        """Parameter name -> a copy of the sum so far, of either sign; higher is kept."""
        return {name: tensor.clone() for name, tensor in self._sums.items()}

    def state_dict(self) -> dict[str, Tensor]:
        """Parameter name -> sum, ready for ``safetensors`` (shared, not copied)."""
        return dict(self._sums)

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from ``state``.

        Raises:
            ValueError: names or shapes differ from the prunable weights; nothing is changed.
        """
        if odd := sorted(state.keys() ^ self._sums.keys()):
            raise ValueError(f"the state and the model name different parameters: {odd[:3]} ...")
        for name, tensor in self._sums.items():
            if state[name].shape != tensor.shape:
                raise ValueError(
                    f"{name!r} has shape {tuple(state[name].shape)} in the state and "
                    f"{tuple(tensor.shape)} in the model"
                )
        for name, tensor in self._sums.items():
            tensor.copy_(state[name])
