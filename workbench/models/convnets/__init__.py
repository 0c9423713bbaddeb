"""Convolutional networks for small pictures, as chapter 8 compresses them.

    >>> network = convnet("resnet20", classes=10)       # fresh weights from torch's generator
    >>> network = trained_convnet("cifar10-resnet20")   # from a file on this machine, checked
    >>> logits = network(normalise(images.pixels))      # (n, 32, 32, 3) uint8 -> (n, 10)

The names are light; torch is imported when the first network is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from workbench.models.convnets.registry import ARCHITECTURES, CONVNETS, TRAINED

if TYPE_CHECKING:
    from workbench.models.convnets.building import convnet
    from workbench.models.convnets.files import load_convnet, save_convnet, trained_convnet
    from workbench.models.convnets.pixels import normalise

_LAZY = {
    "convnet": "building",
    "load_convnet": "files",
    "normalise": "pixels",
    "save_convnet": "files",
    "trained_convnet": "files",
}

__all__ = [
    "ARCHITECTURES",
    "CONVNETS",
    "TRAINED",
    "convnet",
    "load_convnet",
    "normalise",
    "save_convnet",
    "trained_convnet",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
    globals()[name] = value
    return value
