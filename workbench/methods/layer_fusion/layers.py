"""Which layers can be fused, what kind each of them is, and which of them belong together."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from torch import Tensor, nn

from workbench.methods.pruning.linear import is_transposed
from workbench.methods.pruning.prunable import OUTSIDE, Rule, unwrap
from workbench.methods.pruning.wiring import ROLES

# A layer, or a block of layers, by name; or the number of a layer in ``fusible_layers``.
Place: TypeAlias = str | int
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


@dataclass(frozen=True)
class Layer:
    """A weight, the bias that goes with it, and the module that owns both."""

    module: nn.Module
    weight: str = "weight"
    bias: str = "bias"

    @property
    def parameters(self) -> dict[str, nn.Parameter]:
        """Attribute -> parameter: the weight, then the bias where there is one."""
        found = {a: self.module._parameters.get(a) for a in (self.weight, self.bias)}
        return {a: p for a, p in found.items() if p is not None}

    @property
    def matrix(self) -> Tensor:
        """The weight with outputs first: (outputs, inputs, ...), detached, not a copy."""
        weight = self.parameters[self.weight].detach()
        return weight.T if is_transposed(self.module) else weight


def fusible_layers(model: nn.Module, rule: Rule | None = None) -> dict[str, Layer]:
    """The layers that fusion may touch, by the name of their module, in the model's order.

    Args:
        model: any module; wrappers of data parallelism and ``torch.compile`` are looked through.
        rule: predicate ``(module name, module) -> bool``. Left out: linear layers (GPT-2's
            ``Conv1D`` and the projections of ``torch.nn.MultiheadAttention`` included) and
            convolutions, without embeddings, poolers and heads.

    Returns:
        Name -> layer. The joint projection of a ``MultiheadAttention`` is called ``NAME.in_proj``.

    Raises:
        ValueError: there is none.
    """
    model = unwrap(model)
    selects = rule or _inside
    found = {
        name: layer
        for path, module in model.named_modules()
        if selects(path, module)
        for name, layer in _layers_of(path, module)
    }
    if not found:
        kinds = sorted({type(m).__name__ for m in model.modules() if m._parameters})
        raise ValueError(
            f"{type(model).__name__} has no layer to fuse: no linear layer or convolution is "
            f"selected among its modules {kinds}. Pass rule=lambda name, module: ..."
        )
    return found


def joinable_layers(model: nn.Module) -> dict[str, Layer]:
    """As ``fusible_layers``, with poolers and heads: what may be fused when it is named."""
    modules = unwrap(model).named_modules()
    return {n: x for path, m in modules if _joinable(path, m) for n, x in _layers_of(path, m)}


def layer_weights(model: nn.Module, rule: Rule | None = None) -> dict[str, Tensor]:
    """Layer name -> weight with outputs first, detached: what measures of similarity compare."""
    return {name: layer.matrix for name, layer in fusible_layers(model, rule).items()}


def kind_of(name: str) -> str:
    """What a layer is by its name: layers of one kind may be fused (Algorithm 3, line 5).

    The role in an encoder layer (query, key, value, attention_output, intermediate, output), else
    the last part of the name without its digits: ``layer2.0.conv1`` is a ``conv``, and all layers
    of an ``nn.Sequential`` are of one kind.
    """
    name = name.removesuffix(".weight")
    inside = re.match(r"(.*\.)?\d+\.", name)
    rest = name[inside.end() :] if inside else name
    for role, pattern in ROLES.items():
        if re.fullmatch(pattern, rest):
            return role
    return re.sub(r"\d+", "", name.rpartition(".")[2])


def grouped(
    model: nn.Module, pairs: Iterable[Sequence[Place]], rule: Rule | None = None
) -> list[dict[str, Layer]]:
    """The layers that ``pairs`` join, one dictionary a group, in the model's order.

    Pairs of blocks stand for pairs of all layers in them; pairs that share a layer are one group;
    layers that share a weight already come into it together.

    Raises:
        ValueError: a name or number is unknown, a pair is not two different places, or two blocks
            have different layers.
    """
    model = unwrap(model)
    layers = joinable_layers(model)
    numbered = {n: x for n, x in layers.items() if (rule or _inside)(n, x.module)}
    joined = Joined(layers)
    for pair in pairs:
        if isinstance(pair, str) or len(pair) != 2:
            raise ValueError(f"a pair is two layers, got {pair!r}")
        inside = [_resolve(model, place, layers, numbered) for place in pair]
        if pair[0] == pair[1]:
            raise ValueError(f"{pair[0]!r} cannot be fused with itself; pairs are of two layers")
        if inside[0].keys() != inside[1].keys():
            odd = sorted(inside[0].keys() ^ inside[1].keys())
            raise ValueError(
                f"{pair[0]!r} and {pair[1]!r} hold different layers: {odd[:3]} in one of them only"
            )
        for rest, name in inside[0].items():
            joined.join(name, inside[1][rest])
    first: dict[int, str] = {}
    for name, layer in layers.items():
        weight = layer.parameters[layer.weight]
        joined.join(first.setdefault(id(weight), name), name)
    groups: dict[str, dict[str, Layer]] = {}
    for name, layer in layers.items():
        groups.setdefault(joined.root(name), {})[name] = layer
    return [group for group in groups.values() if len(group) > 1 and joined.asked & group.keys()]


class Joined:
    """Which names are connected: union-find."""

    def __init__(self, names: Iterable[str | int]) -> None:
        self._parent = {name: name for name in names}
        self.asked: set[str | int] = set()

    def root(self, name):
        while self._parent[name] != name:
            name = self._parent[name]
        return name

    def join(self, one, other) -> bool:
        """Connect two names; False when they were connected already."""
        self.asked |= {one, other} if one != other else set()
        one, other = self.root(one), self.root(other)
        self._parent[other] = one
        return one != other


def _resolve(
    model: nn.Module, place: Place, layers: Mapping[str, Layer], numbered: Mapping[str, Layer]
) -> dict[str, str]:
    """Name inside the place -> layer name; one entry with an empty name for a layer."""
    if not isinstance(place, str):
        if not 0 <= int(place) < len(numbered):
            raise ValueError(
                f"there is no layer {place!r}: {type(model).__name__} has {len(numbered)} layers "
                "to fuse, numbered from 0 as in fusible_layers(model)"
            )
        return {"": list(numbered)[int(place)]}
    name = place.removesuffix(".weight")
    if name in layers:
        return {"": name}
    inside = {n.removeprefix(f"{name}."): n for n in numbered if n.startswith(f"{name}.")}
    if not inside:
        raise ValueError(
            f"{type(model).__name__} has no layer or block {place!r} with linear layers or "
            f"convolutions; its layers are {list(layers)[:3]} ... ({len(layers)} in all)"
        )
    return inside


def _layers_of(path: str, module: nn.Module) -> Iterator[tuple[str, Layer]]:
    if isinstance(module, nn.MultiheadAttention):
        if module._parameters.get("in_proj_weight") is not None:
            name = f"{path}.in_proj" if path else "in_proj"
            yield name, Layer(module, "in_proj_weight", "in_proj_bias")
    elif isinstance(module._parameters.get("weight"), nn.Parameter):
        yield path, Layer(module)


def _joinable(name: str, module: nn.Module) -> bool:
    kinds = (nn.Linear, nn.MultiheadAttention, *CONVOLUTIONS)
    return isinstance(module, kinds) or is_transposed(module)


def _inside(name: str, module: nn.Module) -> bool:
    outside = any(part in OUTSIDE or part.startswith("embed") for part in name.split("."))
    return not outside and _joinable(name, module)
