"""Layers that share their parameters: told by identity, and made known to those who save."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from workbench.methods.layer_fusion.layers import Layer, joinable_layers
from workbench.methods.pruning.prunable import unwrap


def tied_layers(model: nn.Module) -> list[tuple[str, ...]]:
    """Names of the layers that share a weight, one tuple for each weight that is shared."""
    return [tuple(group) for group in tied_groups(model)]


def tied_groups(model: nn.Module) -> list[dict[str, Layer]]:
    """The same with the layers."""
    groups: dict[int, dict[str, Layer]] = {}
    for name, layer in joinable_layers(unwrap(model)).items():
        groups.setdefault(id(layer.parameters[layer.weight]), {})[name] = layer
    return [group for group in groups.values() if len(group) > 1]


def replace(model: nn.Module, gone: Tensor, survivor: nn.Parameter) -> None:
    """Put one parameter wherever another is."""
    for module in model.modules():
        for attribute, parameter in module._parameters.items():
            if parameter is gone:
                module._parameters[attribute] = survivor


def tie_by_name(model: nn.Module, ties: Iterable[Sequence[str]]) -> None:
    """Make the parameters of each group of names one, the first of them.

    Raises:
        ValueError: a name is unknown, or shapes differ.
    """
    for names in ties:
        found = dict(model.named_parameters(remove_duplicate=False))
        buffers = dict(model.named_buffers(remove_duplicate=False))
        if not found.keys() & names and buffers.keys() >= set(names):
            continue  # buffers that came to be the same
        missing = [name for name in names if name not in found]
        if missing:
            raise ValueError(
                f"{type(model).__name__} has no parameter {missing[0]!r} to tie; give the model "
                "that was fused, not a part of it"
            )
        first, *others = (found[name] for name in names)
        for other in others:
            if other.shape != first.shape:
                raise ValueError(
                    f"{list(names)} cannot be tied: shapes {tuple(first.shape)} and "
                    f"{tuple(other.shape)}"
                )
            if other is not first:
                replace(model, other, first)


def note_ties(model: nn.Module) -> None:
    """Tell transformers which names are not to be saved, and the configuration which are tied.

    ``save_pretrained`` asks every module for ``_tied_weights_keys``. The layers get them, and not
    the model, which would tie by them whenever its embeddings are resized.
    """
    ties: list[list[str]] = []
    for layer in joinable_layers(model).values():
        layer.module.__dict__.pop("_tied_weights_keys", None)
    for group in tied_groups(model):
        source, *targets = group.values()
        names = {a: [_parameter_name(n, x, a) for n, x in group.items()] for a in source.parameters}
        ties += names.values()
        for target in targets:
            target.module.__dict__["_tied_weights_keys"] = {a: n[0] for a, n in names.items()}
    config: Any = getattr(model, "config", None)
    if hasattr(config, "to_json_string"):
        if ties:
            config.fused_layers = ties
        elif hasattr(config, "fused_layers"):
            del config.fused_layers


def forget(optimizer: torch.optim.Optimizer, model: nn.Module, fused: Iterable[Tensor]) -> None:
    """Drop parameters that ``model`` no longer has from an optimizer, and momenta of ``fused``."""
    alive = {id(parameter) for parameter in model.parameters()}
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if id(parameter) not in alive:
                optimizer.state.pop(parameter, None)
        group["params"] = [p for p in group["params"] if id(p) in alive]
    for parameter in fused:
        optimizer.state.pop(parameter, None)


def _parameter_name(name: str, layer: Layer, attribute: str) -> str:
    path = name.removesuffix(".in_proj") if layer.weight == "in_proj_weight" else name
    return f"{path}.{attribute}"
