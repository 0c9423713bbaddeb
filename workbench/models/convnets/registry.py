"""The convolutional networks by name, and the trained ones: light, without torch."""

from __future__ import annotations

import difflib
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

BENCHMARKS = "WORKBENCH_BENCHMARKS"
FOLDER = "cifar10_resnets"  # below $WORKBENCH_BENCHMARKS
VERSION = 1  # raise it when a name would build another network than before


@dataclass(frozen=True)
class Architecture:
    """One network: ``depth`` weight layers on its longest path, ``width`` channels to begin with.

    ``widening`` multiplies the channels of a Wide-ResNet's stages; ``growth`` is the number of
    channels that each layer of a DenseNet adds. ``parameters`` counts them for three channels of
    input and ten classes.
    """

    name: str
    title: str
    family: Literal["resnet", "resnet-elu", "wide-resnet", "densenet"]
    depth: int
    parameters: int
    width: int = 16
    widening: int = 1
    growth: int = 0


@dataclass(frozen=True)
class Trained:
    """A published network with its weights: ``file`` below ``$WORKBENCH_BENCHMARKS``, pinned.

    ``accuracy`` is the published one on the 10,000 test images of CIFAR-10.
    """

    name: str
    title: str
    architecture: str
    classes: int
    file: str
    sha256: str
    accuracy: float
    licence: str = "BSD-2-Clause"


_ALL = (
    Architecture("resnet8", "ResNet-8, narrow, for tests", "resnet", 8, 19_218, width=8),
    Architecture("resnet20", "ResNet-20", "resnet", 20, 269_722),
    Architecture("resnet32", "ResNet-32", "resnet", 32, 464_154),
    Architecture("resnet44", "ResNet-44", "resnet", 44, 658_586),
    Architecture("resnet56", "ResNet-56", "resnet", 56, 853_018),
    Architecture("resnet-elu20", "Pre-activation ResNet-20 with ELU", "resnet-elu", 20, 269_722),
    Architecture("resnet-elu56", "Pre-activation ResNet-56 with ELU", "resnet-elu", 56, 853_018),
    Architecture("wide-resnet16-2", "Wide-ResNet-16-2", "wide-resnet", 16, 691_674, widening=2),
    Architecture("densenet40-12", "DenseNet-40, growth 12", "densenet", 40, 1_019_722, growth=12),
)
ARCHITECTURES: dict[str, Architecture] = {one.name: one for one in _ALL}
CONVNETS: tuple[str, ...] = tuple(ARCHITECTURES)

_SHA256 = {
    20: "af1e460fa9358c51d4cc7df458fdf1f6a651d738c85c9b80822bc6433381ee2e",
    32: "eb790d76633c8ffc08f0da7adc16756ced1bb3a6cc926f4113c18c8dc9a57778",
    44: "2b4eb1d88db745a285152d35a9ed3fa4c68cc8c8893364500fd2a8d801341399",
    56: "f7a4a7656aec1c8d6eb8aa2fa6066c652163cac1e22d1505bfdebbece2070ccf",
}
_ACCURACY = {20: 0.9173, 32: 0.9263, 44: 0.9310, 56: 0.9339}
TRAINED: dict[str, Trained] = {
    f"cifar10-resnet{depth}": Trained(
        name=f"cifar10-resnet{depth}",
        title=f"ResNet-{depth}, trained on CIFAR-10",
        architecture=f"resnet{depth}",
        classes=10,
        file=f"resnet{depth}.safetensors",
        sha256=sha256,
        accuracy=_ACCURACY[depth],
    )
    for depth, sha256 in _SHA256.items()
}


def architecture(name: str) -> Architecture:
    """The entry of ``ARCHITECTURES``; raises ValueError for another name, with the nearest one."""
    if name not in ARCHITECTURES:
        raise ValueError(f"unknown convolutional network {name!r}.{_allowed(name, ARCHITECTURES)}")
    return ARCHITECTURES[name]


def trained(name: str) -> Trained:
    """The entry of ``TRAINED``; raises ValueError for another name, with the nearest one."""
    if name not in TRAINED:
        raise ValueError(f"unknown trained network {name!r}.{_allowed(name, TRAINED)}")
    return TRAINED[name]


def trained_file(name: str, folder: str | os.PathLike[str] | None = None) -> Path | None:
    """Where the file of a trained network lies, or None where it does not.

    Below ``folder`` if given, else below ``$WORKBENCH_BENCHMARKS/cifar10_resnets``.
    """
    home = folder or (os.environ.get(BENCHMARKS) and Path(os.environ[BENCHMARKS]) / FOLDER)
    path = Path(home).expanduser() / trained(name).file if home else None
    return path if path and path.is_file() else None


def is_convnet(name: str) -> bool:
    """Whether ``name`` is one of these: a network, a trained one, or a safetensors file."""
    known = name in ARCHITECTURES or name in TRAINED
    return known or (name.endswith(".safetensors") and Path(name).expanduser().is_file())


def fingerprint(name: str) -> str:
    """16 hex digits that change with the weights behind a name for which ``is_convnet`` holds.

    Of a trained network, by its pinned checksum: the file need not be there. Fresh weights are
    told apart by name; they depend on the seed besides.
    """
    if name in TRAINED:
        text = f"convnet\0{VERSION}\0{TRAINED[name].sha256}"
    elif name in ARCHITECTURES:
        text = f"convnet\0{VERSION}\0{name}"
    else:
        with Path(name).expanduser().open("rb") as file:
            text = f"convnet\0{VERSION}\0{hashlib.file_digest(file, 'sha256').hexdigest()}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _allowed(name: str, names: dict) -> str:
    close = difflib.get_close_matches(str(name), names, n=1)
    meant = f" Did you mean {close[0]!r}?" if close else ""
    return f"{meant} Allowed: {', '.join(names)}."
