"""Adapters: train a few added numbers and leave the pretrained weights as they are.

LoRA and IA3 of the ``peft`` library, put into a model's own layers, so that the model's class,
its ``forward`` and its outputs stay what they were. ``peft`` 0.21 has no bottleneck adapters
(Houlsby et al., the adapters of thesis section 10.2.1); these two are what it is used for.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from workbench.methods.pruning.linear import is_transposed, owners
from workbench.methods.pruning.prunable import (
    OUTSIDE,
    Rule,
    encoder_linear,
    prunable_parameters,
    unwrap,
)

_QUERIES = frozenset({"query", "q_lin", "q_proj"})
_KEYS = frozenset({"key", "k_lin", "k_proj"})
_VALUES = frozenset({"value", "v_lin", "v_proj"})
_SECOND = ("output.dense", "ffn.lin2", "fc2")


def lora(
    model: nn.Module,
    rank: int = 8,
    alpha: float = 16.0,
    *,
    dropout: float = 0.0,
    select: Rule | None = None,
    seed: int | None = None,
) -> dict[str, nn.Parameter]:
    r"""LoRA: train a low-rank change of some matrices, and the head.

    .. math:: W = W_0 + \frac{\alpha}{r} B A, \qquad
        A \in \mathbb{R}^{r \times d_{in}}, \; B \in \mathbb{R}^{d_{out} \times r}

    with :math:`A` random and :math:`B` zero, so that the model begins as it was. That is
    :math:`r (d_{in} + d_{out})` trained numbers per matrix.

        optimizer = torch.optim.AdamW(lora(model).values(), lr=1e-3)

    Args:
        model: changed in place; wrappers are looked through. Everything is frozen but the adapters
            and the head (by name, see ``prunable.OUTSIDE``).
        rank: :math:`r`, at least 1.
        alpha: :math:`\alpha`; 16 at rank 8 doubles the change.
        dropout: rate on the inputs of :math:`A` in training, in [0, 1).
        select: predicate ``(module name, module) -> bool``: the linear layers that get one. Left
            out, queries and values of the encoder, as in the paper; ``prunable.encoder_linear``
            takes all its linear layers.
        seed: of :math:`A`; by default torch's current random state is used.

    Returns:
        Name -> parameter of all that trains now.

    Raises:
        ValueError: a setting is out of range, nothing or another kind of layer is selected, or the
            model has adapters already.

    References:
        Hu et al., "LoRA: low-rank adaptation of large language models", ICLR 2022, arXiv
        2106.09685.
    """
    if isinstance(rank, bool) or not isinstance(rank, int) or rank < 1:
        raise ValueError(f"rank must be a whole number of at least 1, got {rank!r}")
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout must be in [0, 1), got {dropout!r}")
    chosen = _linear(model, select or _queries_and_values, "LoRA")
    from peft import LoraConfig  # peft takes seconds to import

    config = LoraConfig(
        r=rank,
        lora_alpha=alpha,  # type: ignore[arg-type]  # a factor like any other
        lora_dropout=dropout,
        target_modules=list(chosen),
        fan_in_fan_out=all(map(is_transposed, chosen.values())),
    )
    return _inject(model, config, seed)


def ia3(
    model: nn.Module, *, select: Rule | None = None, feedforward: Rule | None = None
) -> dict[str, nn.Parameter]:
    r"""IA3: train factors of keys, values and inner activations, and the head.

    .. math:: k = l_k \odot W_k x, \quad v = l_v \odot W_v x, \quad
        y = W_2 \, (l_{ff} \odot \gamma(W_1 x))

    with all factors 1 at the start, so that the model begins as it was.

    Args:
        model: changed in place; wrappers are looked through. Everything is frozen but the factors
            and the head (by name, see ``prunable.OUTSIDE``).
        select: predicate ``(module name, module) -> bool``: the linear layers whose outputs are
            multiplied. Left out, keys and values of the encoder.
        feedforward: the same, for those whose inputs are. Left out, the second map of each
            feed-forward block, as in the paper. (``peft``'s own choice for BERT adds the attention
            output.)

    Returns:
        Name -> parameter of all that trains now.

    Raises:
        ValueError: nothing or another kind of layer is selected, or the model has adapters already.

    References:
        Liu et al., "Few-shot parameter-efficient fine-tuning is better and cheaper than in-context
        learning", NeurIPS 2022, arXiv 2205.05638.
    """
    inputs = _linear(model, feedforward or _second_maps, "IA3")
    outputs = _linear(model, select or _keys_and_values, "IA3")
    chosen = inputs | outputs
    if twice := sorted(inputs.keys() & outputs.keys()):
        raise ValueError(f"{twice[0]!r} is chosen by select and by feedforward; leave it to one")
    from peft import IA3Config

    config = IA3Config(
        target_modules=list(chosen),
        feedforward_modules=list(inputs),
        fan_in_fan_out=all(map(is_transposed, chosen.values())),
    )
    return _inject(model, config, None)


@torch.no_grad()
def effective_weights(model: nn.Module, *, copies: bool = True) -> dict[str, Tensor]:
    """The weights of the plain model that computes the same: adapters are merged into them.

        plain.load_state_dict(effective_weights(model))

    So distances and updates are measured alike in every kind of fine-tuning. For a model without
    adapters these are its own weights.

    Args:
        model: with or without adapters of ``lora``, ``ia3`` or another method of ``peft`` whose
            layers can be merged; left as it is. Wrappers are looked through.
        copies: ``False`` saves memory: weights without adapter share that of the model and change
            with it.

    Returns:
        Parameter name in the plain model -> detached tensor, for all parameters, in the order of
        the plain model's.
    """
    model = unwrap(model)
    layers = _adapted(model)
    merged: dict[str, Tensor] = {}
    for path, layer in layers.items():
        if not (layer.merged or layer.disable_adapters):
            layer = copy.deepcopy(layer)  # one at a time: peft merges in place
            layer.merge()
        for name, parameter in layer.base_layer.named_parameters(prefix=path):
            merged[name] = parameter
    found = {}
    for name, parameter in model.named_parameters():
        if (plain := plain_name(name)) in merged:
            found[plain] = merged[plain].detach()
        elif not any(name.startswith(f"{path}.") for path in layers):
            found[plain] = parameter.detach()
    return {name: tensor.clone() for name, tensor in found.items()} if copies else found


def plain_name(name: str) -> str:
    """The name that a parameter of a layer with adapters had before, ``base_layer`` taken out."""
    return name.replace(".base_layer.", ".")


def _inject(model: nn.Module, config: Any, seed: int | None) -> dict[str, nn.Parameter]:
    from peft import inject_adapter_in_model

    model = unwrap(model)
    with torch.random.fork_rng(devices=[], enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed)
        inject_adapter_in_model(config, model)  # freezes all the rest
    for layer in _adapted(model).values():
        layer.train(layer.base_layer.training)  # the dropout of a new layer would be on
    for name, parameter in model.named_parameters():
        if any(part in OUTSIDE for part in name.split(".")):
            parameter.requires_grad_(True)
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def _linear(model: nn.Module, rule: Rule, method: str) -> dict[str, nn.Module]:
    """Module name -> module of the linear layers that a rule selects."""
    if present := list(_adapted(unwrap(model))):
        raise ValueError(
            f"{present[0]!r} has an adapter already; put effective_weights(model) into a new model "
            "first"
        )
    weights = prunable_parameters(model, rule)
    owners(unwrap(model), weights, method)
    names = [name.removesuffix("weight").removesuffix(".") for name in weights]
    return {name: unwrap(model).get_submodule(name) for name in names}


def _adapted(model: nn.Module) -> dict[str, Any]:
    """Path -> layer of ``peft``; told by what it holds, so that peft is not imported."""
    return {
        path: module
        for path, module in model.named_modules()
        if isinstance(getattr(module, "base_layer", None), nn.Module)
    }


def _queries_and_values(name: str, module: nn.Module) -> bool:
    return encoder_linear(name, module) and name.split(".")[-1] in _QUERIES | _VALUES


def _keys_and_values(name: str, module: nn.Module) -> bool:
    return encoder_linear(name, module) and name.split(".")[-1] in _KEYS | _VALUES


def _second_maps(name: str, module: nn.Module) -> bool:
    second = name.endswith(_SECOND) and not name.endswith("attention.output.dense")
    return encoder_linear(name, module) and second
