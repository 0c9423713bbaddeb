"""Networks in safetensors files: the published ones, and one's own. Pickles are never read."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from workbench.models.convnets import registry
from workbench.models.convnets.building import convnet

FORMAT = "workbench-convnet"
_COUNTERS = "num_batches_tracked"  # of batch norms; no output depends on it, files may lack it


def trained_convnet(
    name: str, folder: str | os.PathLike[str] | None = None, *, classes: int | None = None
) -> nn.Module:
    """A network of ``TRAINED``, in evaluation mode, float32.

    Args:
        name: such as ``"cifar10-resnet20"``.
        folder: where its file lies; ``$WORKBENCH_BENCHMARKS/cifar10_resnets`` when left out.
        classes: as in ``load_convnet``.

    Raises:
        ValueError: the name is unknown, or the file is not the pinned one.
        FileNotFoundError: there is no such file; the message says where it is looked for.
    """
    about = registry.trained(name)
    path = registry.trained_file(name, folder)
    if path is None:
        raise FileNotFoundError(
            f"{name} needs the file {about.file}, which no package index has. Set "
            f"{registry.BENCHMARKS} to a folder that holds {registry.FOLDER}/{about.file}, or give "
            "the folder that holds the file. Without it, train a network: "
            f"convnet({about.architecture!r}, classes)."
        )
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != about.sha256:
        raise ValueError(
            f"{path} is not the file that is pinned for {name}: its sha256 is {found}, not "
            f"{about.sha256}. A file of your own opens with load_convnet(path)."
        )
    return load_convnet(path, classes, architecture=about.architecture)


def save_convnet(network: nn.Module, path: str | os.PathLike[str]) -> Path:
    """Write a network that ``convnet`` or ``load_convnet`` made, with its name, to one file.

    The file is replaced in one step. It holds every layer by itself: a fused, pruned or
    decomposed network belongs into ``layer_fusion.save`` or ``pruning.save_sparse``.

    Returns:
        The path.

    Raises:
        ValueError: the network does not know its architecture, or no longer has its layers.
        OSError: the file cannot be written; nothing is left behind.
    """
    name = getattr(network, "architecture", None)
    if not isinstance(name, str) or name not in registry.ARCHITECTURES:
        raise ValueError(
            f"{type(network).__name__} does not say what it is; save_convnet writes networks that "
            "convnet or load_convnet made"
        )
    classes, channels = int(network.classes), int(network.channels)
    state = network.state_dict()
    _check(state, _empty(name, classes, channels), f"this {name}")
    path = Path(path)
    about = {"format": FORMAT, "architecture": name, "classes": classes, "channels": channels}
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        save_file(
            {key: tensor.detach().cpu().clone().contiguous() for key, tensor in state.items()},
            temporary,
            {key: str(value) for key, value in about.items()},
        )
        os.replace(temporary, path)
    except SafetensorError as error:
        raise OSError(f"cannot write {path}: {error}") from error
    finally:
        temporary.unlink(missing_ok=True)
    return path


def load_convnet(
    path: str | os.PathLike[str], classes: int | None = None, *, architecture: str | None = None
) -> nn.Module:
    """Read a network from a safetensors file, in evaluation mode.

    Args:
        path: a file that ``save_convnet`` wrote, or another with the names of the published CIFAR
            ResNets (where the head is called ``linear``; a prefix ``module.`` is looked through).
        classes: a network for another number of classes than the file's gets a new head from
            torch's generator, and keeps the rest; those of the file when left out.
        architecture: a name of ``CONVNETS``, for a file that does not hold one.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not a safetensors file, does not say what it holds, or does not fit.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}; write one with save_convnet(network, path)")
    try:
        with safe_open(path, framework="pt") as file:
            about = file.metadata() or {}
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ValueError(
            f"{path} is not a safetensors file ({error}). Pickles (.pt, .pth, .th) are not read, "
            "since reading one runs what is in it; where you trust it, convert it with torch.load "
            "and safetensors.torch.save_file"
        ) from error
    name = architecture or about.get("architecture")
    if name is None:
        raise ValueError(
            f"{path} does not say which network it holds; pass architecture=, one of "
            f"{', '.join(registry.CONVNETS)}"
        )
    state = {_own_name(key): tensor for key, tensor in state.items()}
    head, stem = state.get("head.weight"), state.get("conv1.weight")
    if head is None or head.ndim != 2 or stem is None or stem.ndim != 4:
        raise ValueError(
            f"{path} is not a network of ours: it needs conv1.weight (width, channels, 3, 3) and "
            f"head.weight or linear.weight (classes, features); it has {sorted(state)[:3]} ..."
        )
    mine, channels = len(head), stem.shape[1]
    network = _empty(name, mine, channels)
    wanted = network.state_dict()
    counters = {k: torch.zeros_like(t) for k, t in wanted.items() if k.endswith(_COUNTERS)}
    state = counters | state
    _check(state, network, str(path))
    network.load_state_dict(state)
    if classes is not None and classes != mine:
        if classes < 1:
            raise ValueError(f"classes={classes}; it must be 1 or more")
        network.head, network.classes = nn.Linear(head.shape[1], classes), classes
    return network.eval()


def _own_name(key: str) -> str:
    """The name here of a tensor of a published CIFAR ResNet; other names stay."""
    key = key.removeprefix("module.")
    return f"head.{key.removeprefix('linear.')}" if key.startswith("linear.") else key


def _empty(name: str, classes: int, channels: int) -> nn.Module:
    """A network to be filled; torch's generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        return convnet(name, classes, channels=channels)


def _check(state: Mapping[str, Tensor], network: nn.Module, what: str) -> None:
    wanted = network.state_dict()
    odd = sorted(state.keys() ^ wanted.keys())
    if odd:
        raise ValueError(
            f"{what} does not have the layers of {network.architecture}: {len(odd)} names are in "
            f"one of them only, such as {odd[:3]}"
        )
    for key, tensor in state.items():
        if tensor.shape != wanted[key].shape:
            raise ValueError(
                f"{what} does not fit {network.architecture}: {key!r} has shape "
                f"{tuple(tensor.shape)}, not {tuple(wanted[key].shape)}"
            )
