"""A pruned model as a safetensors file that is really smaller, and back with one call.

The file holds, by parameter name, ``dense:NAME`` or the pair ``bits:NAME`` and ``values:NAME``
(see ``packing``). Its metadata are JSON: the index of names, dtypes and shapes, with tied weights
as references; class and configuration of a transformers model; and a SHA-256 of all of it.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from workbench.methods.pruning.packing import DTYPES, pack, unpack
from workbench.methods.pruning.prunable import unwrap

FORMAT, VERSION = "workbench-sparse", "1"
# Where classes may be rebuilt from. Resolved by name and only when a file asks for one: methods do
# not import models.
HOMES = ("transformers", "workbench.models")


def save_sparse(model: nn.Module, path: str | Path) -> Path:
    """Write a pruned model to one safetensors file, without the zeros.

    Each tensor is stored as a bitmask and its nonzero values when that is smaller (below a density
    of 0.969 in float32, 0.938 in 16 bits) and as it is otherwise; tied weights are stored once.
    At a density of 0.1 a float32 tensor takes 13% of its size. The round trip is exact to the bit.

    Args:
        model: any module whose ``state_dict`` holds tensors; attached masks do not matter. Of a
            transformers model, or a classifier of ``workbench.models``, the configuration is
            written too, so that ``load_sparse`` needs nothing but the file.
        path: file to write (its folder must exist). It is replaced in one step, so that readers
            see the old file or the new one.

    Returns:
        The path.

    Raises:
        TypeError: the state holds something else than tensors of a known dtype.
        OSError: the file cannot be written; nothing is left behind.
    """
    model, path = unwrap(model), Path(path)
    index: dict[str, Any] = {}
    tensors: dict[str, Tensor] = {}
    first_at: dict[tuple[Any, ...], str] = {}
    for name, tensor in model.state_dict().items():
        dtype = str(getattr(tensor, "dtype", type(tensor).__name__)).removeprefix("torch.")
        if dtype not in DTYPES:
            raise TypeError(f"cannot store {name!r} of type {dtype}; known are {sorted(DTYPES)}")
        place = (tensor.data_ptr(), tensor.device, tensor.shape, tensor.stride(), tensor.dtype)
        if tensor.numel() and place in first_at:
            index[name] = {"same_as": first_at[place]}
            continue
        first_at[place] = name
        packed = pack(tensor)
        index[name] = {"dtype": dtype, "shape": list(tensor.shape), "sparse": packed is not None}
        if packed is None:
            tensors[f"dense:{name}"] = tensor.detach().cpu().clone().contiguous()
        else:
            tensors[f"bits:{name}"], tensors[f"values:{name}"] = packed
    metadata = {
        "format": FORMAT,
        "version": VERSION,
        "index": json.dumps(index),
        "model": json.dumps(_describe(model)),
    }
    metadata["sha256"] = _digest(metadata, tensors)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        save_file(tensors, temporary, metadata)
        os.replace(temporary, path)
    except SafetensorError as error:
        raise OSError(f"cannot write {path}: {error}") from error
    finally:
        temporary.unlink(missing_ok=True)
    return path


def load_sparse(path: str | Path, model: nn.Module | None = None) -> nn.Module:
    """Read a file that ``save_sparse`` wrote.

    Args:
        path: the file.
        model: a module of the same structure, changed in place: its weights take the file's values
            and dtypes and stay on their devices. When left out, a transformers model or a
            classifier of ``workbench.models`` is rebuilt from the configuration in the file; no
            other class is, and no code is fetched or run.

    Returns:
        ``model``, or the rebuilt one in evaluation mode. Masks of its zeros, to train it on, are
        ``Masks.from_zeros(model)``.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is malformed, damaged or of another kind, does not fit the model, or
            does not say how to build one.

    Note:
        The SHA-256 detects damage, not malice: who can write the file can write a new sum. Nothing
        in it is executed either way.
    """
    if isinstance(path, nn.Module):
        raise TypeError("the path comes first: load_sparse(path, model)")
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}; write one with save_sparse(model, path)")
    try:
        index, description, tensors = _read(path)
        state = _decode(index, tensors)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is not a sparse model that can be read: {error}") from error
    if model is None:
        model = _rebuild(description, path).eval()
    _fill(unwrap(model), state, index, path)
    return model


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Any] | None, dict[str, Tensor]]:
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
        if metadata.get("format") != FORMAT:
            raise ValueError(
                "it is a safetensors file of another kind; use safetensors.torch.load_file, or "
                "from_pretrained for the folder of a dense model"
            )
        if metadata.get("version") != VERSION:
            raise ValueError(f"it has version {metadata.get('version')}, this code reads {VERSION}")
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if metadata.get("sha256") != _digest(metadata, tensors):
        raise ValueError("its SHA-256 does not match its content: it was damaged or changed")
    index, description = json.loads(metadata["index"]), json.loads(metadata["model"])
    if not isinstance(index, dict):
        raise ValueError("its index is not a mapping of names")
    return index, description, tensors


def _decode(index: dict[str, Any], tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Name -> tensor, with each entry of the index checked against what the file holds."""
    state: dict[str, Tensor] = {}
    for name, entry in index.items():
        if "same_as" in entry:
            continue
        shape, dtype = entry["shape"], DTYPES.get(entry["dtype"])
        if not isinstance(shape, list) or not all(type(n) is int and n >= 0 for n in shape):
            raise ValueError(f"{name!r} has shape {shape!r}")
        if entry["sparse"]:
            tensor = unpack(tensors.pop(f"bits:{name}"), tensors.pop(f"values:{name}"), shape)
        else:
            tensor = tensors.pop(f"dense:{name}")
        if tensor.dtype != dtype or list(tensor.shape) != shape:
            raise ValueError(f"{name!r} is not {entry['dtype']} of shape {shape}")
        state[name] = tensor
    for name, entry in index.items():
        if "same_as" in entry:
            state[name] = state[entry["same_as"]]
    if tensors:
        raise ValueError(f"it holds tensors that its index does not name: {sorted(tensors)[:3]}")
    return {name: state[name] for name in index}


def _fill(model: nn.Module, state: dict[str, Tensor], index: dict[str, Any], path: Path) -> None:
    targets = model.state_dict(keep_vars=True)
    if targets.keys() != state.keys():
        odd = sorted(targets.keys() ^ state.keys())
        raise ValueError(
            f"{path} does not fit {type(model).__name__}: {len(odd)} names are in one of them "
            f"only, such as {odd[:3]}"
        )
    for name, tensor in state.items():
        if targets[name].shape != tensor.shape:
            raise ValueError(
                f"{path} does not fit {type(model).__name__}: {name!r} has shape "
                f"{tuple(tensor.shape)} in the file and {tuple(targets[name].shape)} in the model"
            )
    for name, tensor in state.items():
        source = index[name].get("same_as")
        if source is not None and targets[source] is not targets[name]:
            tensor = tensor.clone()  # tied when saved, but not in this model
        targets[name].data = tensor.to(targets[name].device)


def _describe(model: nn.Module) -> dict[str, Any] | None:
    """Home, class and configuration of a model that can be rebuilt from them, else None."""
    config: Any = getattr(model, "config", None)
    if not hasattr(config, "to_json_string"):
        return None
    name = type(model).__name__
    for home in HOMES:
        if home in sys.modules and getattr(sys.modules[home], name, None) is type(model):
            settings = json.loads(config.to_json_string())
            return {"home": home, "class": name, "config": _without_paths(settings)}
    return None


def _without_paths(settings: Any) -> Any:
    """A configuration without the folder that the model came from."""
    if isinstance(settings, dict):
        return {k: _without_paths(v) for k, v in settings.items() if k != "_name_or_path"}
    return settings


def _rebuild(description: dict[str, Any] | None, path: Path) -> nn.Module:
    if description is None:
        raise ValueError(
            f"{path} holds no configuration to build a model from; pass one: "
            "load_sparse(path, model)"
        )
    from transformers import PreTrainedModel

    kind: Any = None
    if isinstance(description, dict) and description.get("home") in HOMES:
        kind = getattr(import_module(description["home"]), str(description.get("class")), None)
    config_class: Any = getattr(kind, "config_class", None)
    known = isinstance(kind, type) and issubclass(kind, PreTrainedModel)
    if not known or config_class is None:
        raise ValueError(
            f"{path} asks for a class that is not a model of {' or '.join(HOMES)}; "
            "pass a model of your own: load_sparse(path, model)"
        )
    try:
        return kind(config_class.from_dict(description["config"]))
    except Exception as error:
        raise ValueError(f"{path} holds a configuration that fails: {error}") from error


def _digest(metadata: dict[str, str], tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for key in ("version", "index", "model"):
        digest.update(f"{key}={len(metadata[key])}:{metadata[key]}".encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
