"""Layer-wise learning rates: lower layers, which hold more general features, move less."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from workbench.methods.gradient_dropout.layers import inside, layer_of
from workbench.methods.pruning.prunable import unwrap


def layerwise_decay(
    model: nn.Module,
    lr: float,
    decay: float = 0.95,
    *,
    weight_decay: float = 0.0,
    layer: Callable[[str], str] = layer_of,
) -> list[dict[str, Any]]:
    r"""Parameter groups whose learning rate falls by one factor per layer, from the top down.

    .. math:: \eta_l = \eta \, \xi^{L - l}, \qquad l = 0 \text{ (embeddings)}, \dots, L + 1
        \text{ (head, with } \eta)

    for :math:`L` layers: the head and the last layer get :math:`\eta`, the first one
    :math:`\eta \xi^{L - 1}` and the embeddings :math:`\eta \xi^L`.

        optimizer = torch.optim.AdamW(layerwise_decay(model, lr=2e-5))

    Args:
        model: any module; wrappers are looked through. Frozen parameters are left out.
        lr: :math:`\eta`, at least 0.
        decay: :math:`\xi` in (0, 1]; 1/2.6 in Howard and Ruder, 0.95 in Sun et al. for BERT.
        weight_decay: of matrices; biases, norms and other vectors get 0.
        layer: function parameter name -> layer, instead of ``layer_of``.

    Returns:
        Groups, bottom first, with ``lr``, ``weight_decay``, ``layer`` (its name) and ``times``
        (:math:`\eta_l / \eta`, for schedules that set ``lr`` themselves).

    Raises:
        ValueError: a rate is out of range, or the model has no trainable parameter.

    References:
        Howard and Ruder, "Universal language model fine-tuning for text classification", ACL 2018
        (discriminative fine-tuning). Sun et al., "How to fine-tune BERT for text classification?",
        2019, arXiv 1905.05583.
    """
    if not 0 < decay <= 1:
        raise ValueError(f"decay must be in (0, 1], the factor per layer downwards, got {decay!r}")
    if lr < 0 or weight_decay < 0:
        raise ValueError(f"lr={lr!r} and weight_decay={weight_decay!r} must be at least 0")
    trained = {n: p for n, p in unwrap(model).named_parameters() if p.requires_grad}
    if not trained:
        raise ValueError(f"{type(unwrap(model)).__name__} has no trainable parameter")
    middle = list(dict.fromkeys(layer(n) for n, p in trained.items() if inside(n, p)))
    height = {each: place for place, each in enumerate(middle)}
    groups: dict[tuple[str, bool], dict[str, Any]] = {}
    for name, parameter in trained.items():
        if inside(name, parameter):
            below, where = len(middle) - 1 - height[layer(name)], layer(name)
        elif any(part.startswith("embed") for part in name.split(".")):
            below, where = len(middle), "embeddings"
        else:
            below, where = 0, "head"
        matrix = parameter.ndim > 1
        if (where, matrix) not in groups:
            times = decay**below
            groups[where, matrix] = {
                "params": [], "lr": lr * times, "times": times, "layer": where,
                "weight_decay": weight_decay if matrix else 0.0,
            }  # fmt: skip
        groups[where, matrix]["params"].append(parameter)
    return list(groups.values())
