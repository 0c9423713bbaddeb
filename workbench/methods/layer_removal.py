"""Take whole layers out of an encoder, and prepare it for that: LayerDrop."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from workbench.methods.pruning.prunable import unwrap

Which = Literal["every_other", "first", "middle", "last"]
# What transformers calls the number of layers.
_COUNTS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")


def find_layers(model: nn.Module, path: str | None = None) -> tuple[str, nn.ModuleList]:
    """The list of layers of an encoder: the longest ``ModuleList`` of modules of one class.

    Args:
        model: wrappers are looked through.
        path: name of the list, instead.

    Returns:
        Its name and the list.

    Raises:
        ValueError: there is none.
    """
    lists = {
        name: module
        for name, module in unwrap(model).named_modules()
        if isinstance(module, nn.ModuleList) and len({type(m) for m in module}) == 1
    }
    if path is not None and path in lists:
        return path, lists[path]
    if path is not None or not lists:
        raise ValueError(
            f"{type(unwrap(model)).__name__} has no torch.nn.ModuleList of equal layers"
            f"{'' if path is None else f' called {path!r}'}; it has {list(lists) or 'none at all'}"
        )
    name = max(lists, key=lambda n: len(lists[n]))  # of equally long ones the first
    return name, lists[name]


def removable(model: nn.Module, path: str | None = None) -> list[str]:
    """Names of the layers that ``remove_layers`` numbers.

    Those of ``find_layers``; in a convolutional network, which has none, the blocks of every stage
    (an ``nn.Sequential`` of blocks of one class) but its first, whose output may have another shape
    than its input.

    Raises:
        ValueError: there is neither.
    """
    inner = unwrap(model)
    stages = [] if path is not None else _stages(inner)
    if stages and not any(isinstance(module, nn.ModuleList) for module in inner.modules()):
        return [f"{name}.{number}" for name, blocks in stages for number in range(1, len(blocks))]
    name, layers = find_layers(inner, path)
    return [f"{name}.{number}" for number in range(len(layers))]


def _stages(model: nn.Module) -> list[tuple[str, nn.Sequential]]:
    """Sequences of blocks (modules with modules in them) of one class, all but the first alike.

    Layers of a DenseNet, each of which reads what all before it made, are not alike.
    """
    return [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, nn.Sequential)
        and len(module) > 1
        and len({type(block) for block in module}) == 1
        and all(any(True for _ in block.children()) for block in module)
        and len({tuple(p.shape for p in block.parameters()) for block in module[1:]}) == 1
    ]


def layers_to_remove(count: int, remove: int, which: Which = "every_other") -> list[int]:
    """Which layers go: spread evenly, or the first, middle or last ones.

    ``every_other`` is the rule of LayerDrop: at a rate of 1/n every n-th layer goes.

    Raises:
        ValueError: ``remove`` is not in [0, count), or ``which`` is unknown.
    """
    if not 0 <= remove < count or which not in get_args(Which):
        raise ValueError(
            f"remove must be from 0 to {count - 1} of {count} layers, and which one of "
            f"{get_args(Which)}; got {remove!r} and {which!r}"
        )
    if which == "every_other":
        return [(step + 1) * count // remove - 1 for step in range(remove)]
    start = {"first": 0, "middle": (count - remove) // 2, "last": count - remove}[which]
    return list(range(start, start + remove))


def remove_layers(model: nn.Module, remove: Iterable[int], *, path: str | None = None) -> nn.Module:
    """Remove layers from an encoder, or residual blocks from a convolutional network.

    Nothing is retrained. Without its inner part a residual block is the identity, so that blocks
    go as well as whole layers do (Veit, Wilber and Belongie, NeurIPS 2016).

    Args:
        model: changed in place: its list of layers, the number of layers in its configuration, and
            ``layer_idx`` where layers know their number (GPT-2's do, for their cache).
        remove: numbers of the layers in ``removable(model)``, from 0.
        path: see ``find_layers``.

    Returns:
        The model itself.

    Raises:
        ValueError: a number is out of range or comes twice, or no layer would stay (of a stage the
            first block always does).
    """
    inner = unwrap(model)
    names, numbers = removable(inner, path), list(remove)
    parents = {name.rpartition(".")[0] for name in names}
    blocks = any(isinstance(inner.get_submodule(parent), nn.Sequential) for parent in parents)
    known = set(range(len(names)))
    if (
        len(set(numbers)) < len(numbers)
        or not set(numbers) <= known
        or (set(numbers) == known and not blocks)
    ):
        raise ValueError(
            f"layers to remove must be different numbers from 0 to {len(names) - 1}, and leave "
            f"one at least; got {numbers}"
        )
    if blocks:
        return _remove_blocks(model, {names[number] for number in numbers})
    name, layers = find_layers(inner, path)
    left = [layer for number, layer in enumerate(layers) if number not in set(numbers)]
    parent, _, last = name.rpartition(".")
    setattr(inner.get_submodule(parent), last, nn.ModuleList(left))
    for number, layer in enumerate(left):
        for module in layer.modules():
            if isinstance(module.__dict__.get("layer_idx"), int):
                module.layer_idx = number
    configs = {id(c): c for m in inner.modules() if (c := getattr(m, "config", None)) is not None}
    for config in configs.values():
        for attribute in _COUNTS:
            if getattr(config, attribute, None) == len(layers):
                setattr(config, attribute, len(left))
    return model


def _remove_blocks(model: nn.Module, gone: set[str]) -> nn.Module:
    inner = unwrap(model)
    for name, blocks in _stages(inner):
        left = [block for number, block in enumerate(blocks) if f"{name}.{number}" not in gone]
        if len(left) < len(blocks):
            parent, _, last = name.rpartition(".")
            setattr(inner.get_submodule(parent), last, nn.Sequential(*left))
    return model


class LayerDrop:
    r"""Structured dropout: in training, each layer is left out with probability ``p``.

    .. math:: x_{\ell + 1} = m_\ell f_\ell(x_\ell) + (1 - m_\ell) x_\ell,
        \qquad m_\ell \sim \mathrm{Bernoulli}(1 - p)

    so that layers can be removed after it (``remove_layers``) with less harm: the comparison of
    thesis Table 8.4, with p = 0.5. Of a convolutional network blocks are left out, which is
    stochastic depth (Huang et al., ECCV 2016) without its rescaling. A layer's input takes the
    place of its output; nothing is rescaled. Dropped layers get no gradient, but they are computed,
    so that training is not faster.

        drop = LayerDrop(model, p=0.5)
        ...
        drop.remove()

    Args:
        model: its layers get hooks; parameters and ``state_dict`` stay as they are, and
            ``copy.deepcopy`` gives a model that drops as well.
        p: probability, in [0, 1).
        seed: of the draws; with ``None`` they come from torch's global generator.
        path: see ``find_layers``.

    Raises:
        ValueError: ``p`` is out of range, or there are no layers.

    References:
        Fan, Grave and Joulin, "Reducing transformer depth on demand with structured dropout",
        ICLR 2020, arXiv 1909.11556.
    """

    def __init__(
        self, model: nn.Module, p: float = 0.5, *, seed: int | None = None, path: str | None = None
    ) -> None:
        if not 0 <= p < 1:
            raise ValueError(f"p must be in [0, 1), the share of layers left out, got {p!r}")
        self.p = p
        self.generator = None if seed is None else torch.Generator().manual_seed(seed)
        inner = unwrap(model)
        self._handles: list[RemovableHandle] = [
            inner.get_submodule(name).register_forward_hook(self._skip, with_kwargs=True)
            for name in removable(inner, path)
        ]

    def remove(self) -> None:
        """Take it off the model; safe to call twice."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def _skip(self, layer: nn.Module, args: Sequence[Any], kwargs: dict[str, Any], out: Any) -> Any:
        if not layer.training or float(torch.rand((), generator=self.generator)) >= self.p:
            return out
        stream = args[0] if args else kwargs["hidden_states"]
        first = out[0] if isinstance(out, tuple) else out
        if not isinstance(first, Tensor) or first.shape != stream.shape:
            raise ValueError(
                f"{type(layer).__name__} turns {tuple(stream.shape)} into another shape, so its "
                "input cannot take the place of its output; name other layers with path="
            )
        return (stream, *out[1:]) if isinstance(out, tuple) else stream
