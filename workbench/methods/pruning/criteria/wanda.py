"""Wanda: a weight is worth its magnitude times the norm of the input that it multiplies."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from workbench.methods.pruning.gradients import Batch, Loss, forward, moved, undisturbed, widen
from workbench.methods.pruning.linear import is_transposed, owners
from workbench.methods.pruning.prunable import Rule, unwrap


def wanda(
    model: nn.Module,
    batches: Iterable[Batch],
    prunable: Rule | None = None,
    *,
    loss: Loss | None = None,
) -> dict[str, Tensor]:
    r"""Score every prunable weight by weight and activation, :math:`|W_{ij}| \, \|X_j\|_2`.

    :math:`X_j` is input feature :math:`j` of the layer over all calibration tokens. The paper
    compares the weights of one output with each other, and removes the same share of each:
    ``Masks.rowwise(scores, density)``. (Divided by the number of tokens, as in the authors' code,
    the order within a row is the same.)

    Args:
        model: any module; given back as it was. Run in evaluation mode, without gradients.
        batches: mappings for ``model(**batch)`` or pairs (inputs, targets); labels are not needed.
            Where a batch has an ``attention_mask`` (batch, tokens), a layer's input of shape
            (batch, tokens, features) counts only where it is not 0: padding changes nothing. All
            rows of an input of another shape count (pooled sentences, say).
        prunable: predicate ``(module name, module) -> bool`` instead of the default rule. It may
            select ``torch.nn.Linear`` and GPT-2's ``Conv1D``.
        loss: called as ``loss(model, batch)`` instead of the model, for batches of another form;
            what it returns is not used.

    Returns:
        Parameter name -> float32 tensor (float64 for such weights) of the parameter's shape.

    Raises:
        ValueError: there is nothing to prune, no batch, or a layer that is not linear or was not
            called.

    References:
        Sun et al., "A simple and effective pruning approach for large language models", ICLR 2024.
    """
    squares: dict[str, Tensor] = {}
    mask: Tensor | None = None

    def listen(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            inputs = widen(args[0] if args else next(iter(kwargs.values())))
            if mask is not None and inputs.dim() == 3 and inputs.shape[:2] == mask.shape:
                inputs = inputs[mask.to(inputs.device) != 0]
            rows = inputs.flatten(0, -2) if inputs.dim() > 1 else inputs.unsqueeze(0)
            new = rows.square_().sum(0)
            squares[name] = squares[name] + new if name in squares else new

        return hook

    handles = []
    inner = unwrap(model)
    with undisturbed(model, prunable) as parameters, torch.no_grad():
        layers = owners(inner, parameters, "Wanda")
        try:
            for name, modules in layers.items():
                for module in modules:
                    handles.append(module.register_forward_pre_hook(listen(name), with_kwargs=True))
            for batch in moved(batches, inner):
                mask = _attention_mask(batch)
                if loss is not None:
                    loss(inner, batch)
                else:
                    forward(inner, batch)
        finally:
            for handle in handles:
                handle.remove()
        if missing := [name for name in parameters if name not in squares]:
            raise ValueError(
                f"the layer of {missing[0]!r} was never called ({len(missing)} of "
                f"{len(parameters)}), so its inputs have no norm; leave it out with prunable="
            )
        scores = {}
        for name, parameter in parameters.items():
            norms = squares[name].sqrt().to(parameter.device)
            # Conv1D holds (inputs, outputs), Linear (outputs, inputs).
            across = norms.unsqueeze(1) if is_transposed(layers[name][0]) else norms
            scores[name] = widen(parameter).abs_().mul_(across)
        return scores


def _attention_mask(batch: Batch) -> Tensor | None:
    inputs = batch[0] if isinstance(batch, tuple | list) and len(batch) == 2 else batch
    return inputs.get("attention_mask") if isinstance(inputs, Mapping) else None
