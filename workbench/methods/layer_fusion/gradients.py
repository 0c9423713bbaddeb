"""How much each layer's gradient counts in the weight that it shares (thesis equation 8.6)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear

from workbench.methods.layer_fusion.layers import Layer


def divergence_shares(weights: Sequence[Tensor]) -> Tensor:
    r"""The shares of the layers' gradients in equation 8.6.

    .. math:: \gamma_i = \frac{\mathrm{KL}(P_i \,\|\, M)}{\sum_j \mathrm{KL}(P_j \,\|\, M)},
        \qquad P_i = \mathrm{softmax}(W_i),\quad M = \frac1n \sum_j P_j

    Corrected: the printed :math:`\gamma` is the Jensen-Shannon divergence, which is symmetric, so
    that it cannot tell the two layers apart, lies in [0, ln 2], and is 0 for equal layers, so that
    one of them would not count. With two layers the shares are :math:`\gamma` and
    :math:`1 - \gamma`; the layer that is further from the mixture counts more. Where all layers are
    equal the shares are equal.

    Args:
        weights: at least two of one shape, outputs first; the softmax runs over all inputs of an
            output, divergences (nats) are averaged over the outputs.

    Returns:
        (layers,) float64, at least 0, sum 1.
    """
    logs = torch.stack([w.detach().double().flatten(1).log_softmax(1) for w in weights])
    mixture = logs.logsumexp(0) - torch.tensor(float(len(weights)), dtype=logs.dtype).log()
    divergences = (logs.exp() * (logs - mixture)).sum(2).mean(1).clamp(min=0)
    # Below this they are the rounding of logarithms, and their ratio says nothing.
    if divergences.sum() < 1e-14:
        return torch.full_like(divergences, 1 / len(weights))
    return divergences / divergences.sum()


def weigh_gradients(layer: Layer, share: float) -> None:
    """Multiply by ``share`` what this layer's use of its parameters adds to their gradients.

    Hooks on the module do it, since to the shared parameter all uses look alike. The forward pass
    is unchanged; ``copy.deepcopy`` of the model keeps the weighting.

    Raises:
        ValueError: the module is read by its parent instead of being called.
    """
    if isinstance(layer.module, NonDynamicallyQuantizableLinear):
        raise ValueError(
            "torch.nn.MultiheadAttention reads the weight of its out_proj without calling it, so "
            "its gradient cannot be weighed; use gradients='sum', or fuse other layers"
        )
    hide = _Hide(tuple(layer.parameters), share)
    layer.module.register_forward_pre_hook(hide)
    layer.module.register_forward_hook(_Show(hide.attributes), always_call=True)


def unweigh_gradients(module: nn.Module) -> None:
    """Take the weighting off a module, if there is one."""
    for hooks in (module._forward_pre_hooks, module._forward_hooks):
        for key in [k for k, hook in hooks.items() if isinstance(hook, _Hide | _Show)]:
            del hooks[key]
            module._forward_hooks_always_called.pop(key, None)


class _Hide:
    """Before a call: hides parameters behind views whose gradients are scaled."""

    def __init__(self, attributes: tuple[str, ...], share: float) -> None:
        self.attributes, self.share = attributes, share

    def __call__(self, module: nn.Module, args: Any) -> None:
        for attribute in self.attributes:
            # Python looks into __dict__ before the module's parameters.
            scaled = _Scaled.apply(module._parameters[attribute], self.share)
            module.__dict__[attribute] = scaled


class _Show:
    """After the call, also one that failed."""

    def __init__(self, attributes: tuple[str, ...]) -> None:
        self.attributes = attributes

    def __call__(self, module: nn.Module, args: Any, output: Any) -> None:
        for attribute in self.attributes:
            module.__dict__.pop(attribute, None)


class _Scaled(torch.autograd.Function):
    """The tensor itself forward; its gradient times a number backward."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, share: float) -> Tensor:
        ctx.share = share
        return tensor.view_as(tensor)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        return gradient * ctx.share, None
