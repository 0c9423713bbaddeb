"""Pruning: scores say what a weight is worth, masks say which weights stay.

    scores = pruning.magnitude(model)                       # parameter name -> tensor
    masks = pruning.Masks.globally(scores, density=0.1)     # or .layerwise
    masks.attach(model, optimizer)                          # stays pruned while training
    pruning.save_sparse(pruning.finalize(model), "small.safetensors")

A new criterion is one file in ``criteria/`` that returns scores, and one line here.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.methods.pruning.attachment import finalize
    from workbench.methods.pruning.criteria.fisher import fisher
    from workbench.methods.pruning.criteria.gradient import gradient
    from workbench.methods.pruning.criteria.lamp import lamp
    from workbench.methods.pruning.criteria.lookahead import lookahead
    from workbench.methods.pruning.criteria.magnitude import magnitude
    from workbench.methods.pruning.criteria.movement import Movement, movement
    from workbench.methods.pruning.criteria.optimal_brain_damage import optimal_brain_damage
    from workbench.methods.pruning.criteria.random import random
    from workbench.methods.pruning.criteria.snip import snip
    from workbench.methods.pruning.criteria.synflow import synflow
    from workbench.methods.pruning.criteria.taylor import taylor
    from workbench.methods.pruning.criteria.wanda import wanda
    from workbench.methods.pruning.distortion import frobenius_distortion
    from workbench.methods.pruning.hard_concrete import HardConcreteGates
    from workbench.methods.pruning.masks import Masks
    from workbench.methods.pruning.prunable import encoder_linear, prunable_parameters
    from workbench.methods.pruning.sparse import load_sparse, save_sparse

# Name -> module that holds it; loaded on first use, because those modules import torch.
_HOMES = {
    "magnitude": "criteria.magnitude",
    "random": "criteria.random",
    "fisher": "criteria.fisher",
    "gradient": "criteria.gradient",
    "movement": "criteria.movement",
    "optimal_brain_damage": "criteria.optimal_brain_damage",
    "snip": "criteria.snip",
    "taylor": "criteria.taylor",
    "wanda": "criteria.wanda",
    "Movement": "criteria.movement",
    "HardConcreteGates": "hard_concrete",
    "lamp": "criteria.lamp",
    "lookahead": "criteria.lookahead",
    "synflow": "criteria.synflow",
    "Masks": "masks",
    "encoder_linear": "prunable",
    "prunable_parameters": "prunable",
    "finalize": "attachment",
    "frobenius_distortion": "distortion",
    "save_sparse": "sparse",
    "load_sparse": "sparse",
}

__all__ = [
    "HardConcreteGates",
    "Masks",
    "Movement",
    "encoder_linear",
    "finalize",
    "fisher",
    "frobenius_distortion",
    "gradient",
    "lamp",
    "load_sparse",
    "lookahead",
    "magnitude",
    "movement",
    "optimal_brain_damage",
    "prunable_parameters",
    "random",
    "save_sparse",
    "snip",
    "synflow",
    "taylor",
    "wanda",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {__all__}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
