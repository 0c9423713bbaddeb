"""Synaptic flow of any network: automatic differentiation of a copy that is positive and linear."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from workbench.methods.pruning.wiring import gain, is_elementwise, is_norm


class _Gain(nn.Module):
    """What is left of a norm: a factor per feature along ``dim``."""

    def __init__(self, factor: Tensor, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.register_buffer("factor", factor)

    def forward(self, x: Tensor, *_: Any, **__: Any) -> Tensor:
        shape = [1] * x.ndim
        shape[self.dim] = -1
        return x * self.factor.view(shape)


def flow_by_autograd(
    model: nn.Module, parameters: Mapping[str, nn.Parameter], inputs: Tensor | Mapping[str, Any]
) -> dict[str, Tensor]:
    """Shares of the synaptic flow, as ``synflow`` defines them.

    Args:
        model: any module; a copy of it is changed.
        parameters: parameter name -> parameter of ``model`` to score.
        inputs: what the model takes, as a tensor or as keywords.

    Returns:
        Parameter name -> scores.

    Raises:
        ValueError: the flow is infinite, or the model returns no tensor of floating-point numbers.
    """
    twin = linearised(model)
    named = dict(twin.named_parameters(remove_duplicate=False))
    wanted = [named[name].requires_grad_() for name in parameters]
    with torch.enable_grad():
        if isinstance(inputs, Tensor):
            output = twin(_double(inputs))
        else:
            output = twin(**{key: _double(value) for key, value in inputs.items()})
        flow = _first_tensor(output).sum()
    if not torch.isfinite(flow):
        raise ValueError(
            f"the synaptic flow of {type(model).__name__} is {float(flow)} in float64; "
            "scale its weights or the inputs down, which leaves the order of the scores as it is"
        )
    gradients = torch.autograd.grad(flow, wanted, allow_unused=True) if flow.requires_grad else ()
    scores = {}
    for (name, parameter), twin_weight, gradient in zip(
        parameters.items(), wanted, gradients or [None] * len(wanted), strict=True
    ):
        kind = torch.promote_types(parameter.dtype, torch.float32)
        if gradient is None or flow == 0:
            scores[name] = torch.zeros_like(parameter, dtype=kind, requires_grad=False)
        else:
            scores[name] = (gradient.mul_(twin_weight.detach()).div_(flow.detach())).to(kind)
    return scores


def linearised(model: nn.Module) -> nn.Module:
    """A float64 copy: weights absolute, biases 0, norms their gain, activations the identity."""
    twin = copy.deepcopy(model).double().eval().requires_grad_(False)
    for parent in list(twin.modules()):
        for name, child in list(parent._modules.items()):
            if child is None:
                continue
            if is_norm(child):
                factor = gain(child)
                dim = 1 if getattr(child, "running_var", None) is not None else -1
                parent._modules[name] = nn.Identity() if factor is None else _Gain(factor, dim)
            elif is_elementwise(child) and not isinstance(child, nn.Flatten):
                parent._modules[name] = nn.Identity()
    for name, parameter in twin.named_parameters():
        if name.rpartition(".")[2].endswith("bias"):
            parameter.zero_()
        else:
            parameter.abs_()
    return twin


def _double(value: Any) -> Any:
    return value.double() if isinstance(value, Tensor) and value.is_floating_point() else value


def _first_tensor(output: Any) -> Tensor:
    """The output itself, or the first tensor of floats in a tuple, mapping or ``ModelOutput``."""
    if isinstance(output, Tensor) and output.is_floating_point():
        return output
    values = output.values() if isinstance(output, Mapping) else output
    if isinstance(values, Tensor) or not hasattr(values, "__iter__"):
        values = ()
    for value in values:
        if isinstance(value, Tensor) and value.is_floating_point():
            return value
    raise ValueError(
        f"the model returns {type(output).__name__} without a tensor of floating-point numbers, "
        "so that its synaptic flow has no end; wrap it in a module that returns a tensor"
    )
