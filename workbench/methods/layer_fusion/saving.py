"""Write a fused model with each shared tensor once, and read it back fused."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from workbench.methods.layer_fusion.tying import note_ties, tie_by_name
from workbench.methods.pruning.prunable import unwrap
from workbench.methods.pruning.sparse import HOMES, _rebuild, load_sparse, save_sparse


def save(model: nn.Module, path: str | Path) -> Path:
    """Write a model to one safetensors file: shared tensors once, zeros left out.

    The file is that of ``pruning.save_sparse``, so that a model may be fused and pruned, and
    ``pruning.load_sparse`` reads it too, as a model that is no longer fused.

    Args:
        model: any module. Of a transformers model, or a classifier of ``workbench.models``, the
            configuration is written too.
        path: file to write, replaced in one step.

    Returns:
        The path.

    Raises:
        TypeError, OSError: as ``pruning.save_sparse``.
    """
    return save_sparse(model, path)


def load(path: str | Path, model: nn.Module | None = None) -> nn.Module:
    """Read a fused model: a file that ``save`` wrote, or a folder that ``save_pretrained`` wrote.

    The layers are fused again: one parameter each, as before. (``from_pretrained`` on such a folder
    finds no weights for all but the first of fused layers, and says so: it makes them up.)

    Args:
        path: the file, or the folder.
        model: a module of the same structure, changed in place and fused. When left out, a
            transformers model or a classifier of ``workbench.models`` is rebuilt from its
            configuration; no other class is, and no code is fetched or run.

    Returns:
        The model, in evaluation mode if it was rebuilt.

    Raises:
        FileNotFoundError: there is no such file or folder.
        ValueError: it is malformed, does not fit the model, or does not say how to build one.
    """
    path = Path(path)
    if path.is_dir():
        return _load_folder(path, model)
    names, ties, description = _contents(path)
    if model is None and description is not None:
        model = _without_pooler(_rebuild(description, path).eval(), names)
    if model is not None:
        tie_by_name(unwrap(model), ties)
    # Without a model, or a file that can be read, this says what is wrong.
    loaded = load_sparse(path, model)
    note_ties(unwrap(loaded))
    return loaded


def _contents(path: Path) -> tuple[list[str], list[list[str]], dict[str, Any] | None]:
    """Names, groups of names of one parameter, and the description of the model."""
    groups: dict[str, list[str]] = {}
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
        index, description = json.loads(metadata["index"]), json.loads(metadata["model"])
        for name, entry in index.items():
            if "same_as" in entry:
                groups.setdefault(entry["same_as"], [entry["same_as"]]).append(name)
        return list(index), list(groups.values()), description
    except (OSError, SafetensorError, ValueError, TypeError, KeyError, AttributeError):
        return [], [], None


def _without_pooler(model: nn.Module, names: Iterable[str]) -> nn.Module:
    """Leave out the pooler that a configuration asks for and the saved model did not have."""
    if getattr(model, "pooler", None) is not None and not any(n[:7] == "pooler." for n in names):
        model.pooler = None
    return model


def _load_folder(path: Path, model: nn.Module | None) -> nn.Module:
    try:
        settings = json.loads((path / "config.json").read_text(encoding="utf-8"))
        state: dict[str, Tensor] = {}
        for file in sorted(path.glob("*.safetensors")):
            with safe_open(file, framework="pt") as opened:
                state |= {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        ties = [list(group) for group in settings.get("fused_layers", [])]
    except (OSError, SafetensorError, ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is not a model that save_pretrained wrote: {error}") from error
    if model is None:
        model = _without_pooler(_build(settings, path).eval(), state)
    inner = unwrap(model)
    tie_by_name(inner, ties)
    targets = inner.state_dict(keep_vars=True)
    # Shared names, those of ties and of a head on the embeddings, are there once in the file.
    held = {id(target) for name, target in targets.items() if name in state}
    lost = [name for name, target in targets.items() if id(target) not in held]
    odd = [*lost, *(state.keys() - targets.keys())]
    odd += [n for n, t in targets.items() if n in state and state[n].shape != t.shape]
    if odd:
        raise ValueError(
            f"{path} does not fit {type(inner).__name__}: {odd[:3]} are in one of them only, or "
            "of another shape"
        )
    for name, tensor in state.items():
        targets[name].data = tensor.to(targets[name].device)
    note_ties(inner)
    return model


def _build(settings: dict[str, Any], path: Path) -> nn.Module:
    names = settings.get("architectures") or [""]
    error: Exception | None = None
    for home in HOMES:
        try:
            return _rebuild({"home": home, "class": names[0], "config": settings}, path)
        except ValueError as found:
            error = error or found
    raise ValueError(f"{path} names the class {names[0]!r}, which cannot be built") from error
