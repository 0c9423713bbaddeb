"""Hidden units that may change places without changing what a network computes.

Between the layer that makes a hidden unit and the one that reads it, the order of the units is
free: rows of the first, columns of the second, and whatever a norm between them keeps for each
unit. Found in encoder layers (feed-forward units; attention heads and the dimensions inside them),
in residual blocks of numbered convolutions, and in ``nn.Sequential``. The residual stream is
never touched, since all blocks share its order.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from workbench.methods.layer_fusion.layers import CONVOLUTIONS
from workbench.methods.pruning import wiring
from workbench.methods.pruning.linear import is_transposed
from workbench.methods.pruning.prunable import unwrap

# Heads are not free where each has its own place in a table of positions, nor the dimensions of
# queries and keys where positions rotate them.
_POSITIONS = re.compile(r"rotary|relative|rel_(pos|embed)|embed_positions|distance_embedding")
_CHANNELWISE = re.compile(r"(Adaptive)?(Max|Avg)Pool\dd|Dropout\dd")


@dataclass(frozen=True)
class Part:
    """``size`` entries from ``start`` on along a dimension of a module's tensor, one a unit."""

    module: nn.Module
    attribute: str
    dimension: int
    start: int = 0

    @property
    def tensor(self) -> Tensor:
        return getattr(self.module, self.attribute).detach()

    @property
    def role(self) -> tuple[str, int, int]:
        """What tells this part from the others of its stream, the same in every block."""
        return self.attribute, self.dimension, self.start


@dataclass(frozen=True)
class Units:
    """Streams of hidden units: ``heads`` heads of some units each, in the same order of heads.

    Feed-forward units are one stream in one head. Attention has two: queries with keys, and
    values with what the output projection reads; inside a head each has its own order.
    """

    block: str
    heads: int
    streams: Mapping[str, list[Part]] = field(repr=False)
    sizes: Mapping[str, int]
    # A block whose wiring is guessed from names, to be tried before it is relied on.
    trial: nn.Module | None = field(default=None, repr=False)

    def parts(self) -> Iterator[tuple[str, Part]]:
        yield from ((s, part) for s, parts in self.streams.items() for part in parts)

    def rows(self, stream: str, part: Part) -> Tensor:
        """(heads, units, features) float64: the part, units first."""
        size = self.sizes[stream]
        block = part.tensor.narrow(part.dimension, part.start, size).movedim(part.dimension, 0)
        return block.reshape(self.heads, size // self.heads, -1).double()


def permute(part: Part, index: Tensor) -> None:
    """Put unit ``index[i]`` in place i, in place."""
    block = part.tensor.narrow(part.dimension, part.start, len(index))
    block.copy_(block.index_select(part.dimension, index.to(block.device)))


def hidden_units(model: nn.Module) -> list[Units]:
    """All that can be permuted in ``model``, in its order."""
    model = unwrap(model)
    names = [name for name, _ in [*model.named_modules(), *model.named_parameters()]]
    free_heads = not any(_POSITIONS.search(name) for name in names)
    modules = dict(model.named_modules())
    blocks: dict[str, dict[str, nn.Module]] = {}
    for name, module in modules.items():
        inside = re.match(r"(.*\.)?\d+\.", name)
        prefix = inside[0] if inside else ""
        blocks.setdefault(prefix, {})[name[len(prefix) :]] = module
    found: list[Units] = []
    for prefix, inner in blocks.items():
        found += _encoder(prefix.rstrip("."), inner, free_heads)
    for name, module in modules.items():
        found += _convolutions(name, module)
    for sequence, _ in wiring._sequences(model, False):
        found += _chain(sequence)
    # A block with names of its own inside an nn.Sequential is found twice.
    kept: list[Units] = []
    claimed: set[tuple[int, str, int, int]] = set()
    for units in found:
        places = {(id(part.module), *part.role) for _, part in units.parts()}
        if not places & claimed:
            kept.append(units)
            claimed |= places
    return kept


def _encoder(block: str, inside: Mapping[str, nn.Module], free_heads: bool) -> Iterator[Units]:
    roles: dict[str, nn.Module] = {}
    for rest, module in inside.items():
        for role, pattern in wiring.ROLES.items():
            if re.fullmatch(pattern, rest) and _is_linear(module):
                roles[role] = module
        if re.fullmatch(wiring.FUSED, rest):
            roles["joint"] = module
    if {"intermediate", "output"} <= roles.keys():
        width = _size(roles["intermediate"], 0)
        if width == _size(roles["output"], 1):
            parts = [*_makes(roles["intermediate"]), *_reads(roles["output"])]
            yield Units(block, 1, {"units": parts}, {"units": width})
    if free_heads and "attention_output" in roles:
        heads = max(wiring._head_count(m, a) for m in inside.values() for a in wiring._HEADS)
        streams = _attention(roles)
        width = _size(roles["attention_output"], 1)
        if streams and width % heads == 0:
            yield Units(block, heads, streams, dict.fromkeys(streams, width))


def _attention(roles: Mapping[str, nn.Module]) -> dict[str, list[Part]]:
    out = roles["attention_output"]
    width = _size(out, 1)
    if "joint" in roles:
        joint = roles["joint"]
        attribute = "in_proj_weight" if isinstance(joint, nn.MultiheadAttention) else "weight"
        weight = joint._parameters.get(attribute)
        if weight is None or weight.shape[int(is_transposed(joint))] != 3 * width:
            return {}
        query, key, value = (_makes(joint, attribute, start) for start in (0, width, 2 * width))
    elif {"query", "key", "value"} <= roles.keys():
        query, key, value = (_makes(roles[r]) for r in ("query", "key", "value"))
        if any(_size(roles[r], 0) != width for r in ("query", "key", "value")):
            return {}
    else:
        return {}
    return {"query_key": [*query, *key], "value_output": [*value, *_reads(out)]}


def _convolutions(name: str, block: nn.Module) -> Iterator[Units]:
    """Between ``conv1`` and ``conv2``, and so on, with the norm that is defined between them."""
    if isinstance(block, nn.Sequential):
        return
    maker, norms = None, list[Part]()
    for child, module in block.named_children():
        if isinstance(module, CONVOLUTIONS) and re.fullmatch(r"conv_?\d+", child):
            if maker is not None and module.in_channels == maker.out_channels:
                parts = [*_makes(maker), *norms, *_reads(module)]
                if module.groups == maker.groups == 1:
                    yield Units(name, 1, {"units": parts}, {"units": maker.out_channels}, block)
            maker, norms = module, []
        elif maker is not None and wiring.is_norm(module) and _per_unit(module, maker.out_channels):
            norms += _norm_parts(module)


@torch.no_grad()
def holds(units: Units) -> bool:
    """Does the block compute the same with its units in another order? Tried, not assumed.

    Names say in which order convolutions are defined, not in which order they are called.
    """
    if units.trial is None:
        return True
    twins: dict[int, Any] = {}
    trial = copy.deepcopy(units.trial, twins).eval()
    first = next(m for m in trial.children() if wiring.is_norm(m) or isinstance(m, CONVOLUTIONS))
    channels = getattr(first, "num_features", None) or first.in_channels
    weight: Tensor = next(m.weight for m in trial.children() if isinstance(m, CONVOLUTIONS))
    random = torch.Generator().manual_seed(0)
    inputs = torch.randn(2, channels, *[8] * (weight.ndim - 2), generator=random).to(weight)
    order = torch.arange(units.sizes["units"]).roll(1)
    try:
        before = trial(inputs)
        for part in units.streams["units"]:
            permute(replace(part, module=twins[id(part.module)]), order)
        after = trial(inputs)
    except (RuntimeError, TypeError, ValueError):
        return False  # it wants other inputs than pictures
    return torch.allclose(before, after, rtol=1e-3, atol=1e-4 * float(before.abs().max()))


def _chain(sequence: list[nn.Module]) -> Iterator[Units]:
    """Between neighbouring layers of an ``nn.Sequential``."""
    maker: nn.Module | None = None
    norms: list[Part] = []
    for module in sequence:
        if _is_map(module):
            single = getattr(module, "groups", 1) == 1
            if maker is not None and _size(maker, 0) == _size(module, 1) and single:
                parts = [*_makes(maker), *norms, *_reads(module)]
                yield Units("", 1, {"units": parts}, {"units": _size(maker, 0)})
            maker, norms = module, []
        elif maker is not None and wiring.is_norm(module) and _per_unit(module, _size(maker, 0)):
            norms += _norm_parts(module)
        elif not _keeps_units(module, maker):
            maker = None


def _keeps_units(module: nn.Module, maker: nn.Module | None) -> bool:
    if isinstance(module, nn.Flatten):
        return isinstance(maker, nn.Linear)  # after a convolution it makes many units of one
    if isinstance(module, nn.PReLU) and module.num_parameters > 1:
        return False
    pooling = isinstance(maker, CONVOLUTIONS) and _CHANNELWISE.fullmatch(type(module).__name__)
    return bool(pooling) or wiring.is_elementwise(module)


def _per_unit(norm: nn.Module, width: int) -> bool:
    if isinstance(norm, nn.GroupNorm):
        return False
    sizes = {len(t) for t in (*norm.parameters(), *norm.buffers()) if t.ndim}
    return sizes <= {width}


def _norm_parts(norm: nn.Module) -> list[Part]:
    tensors = {**norm._parameters, **norm._buffers}
    return [Part(norm, a, 0) for a, t in tensors.items() if t is not None and t.ndim == 1]


def _makes(module: nn.Module, attribute: str = "weight", start: int = 0) -> list[Part]:
    """Outputs: rows of the weight, and the bias."""
    parts = [Part(module, attribute, int(is_transposed(module)), start)]
    bias = attribute.replace("weight", "bias")
    if module._parameters.get(bias) is not None:
        parts.append(Part(module, bias, 0, start))
    return parts


def _reads(module: nn.Module) -> list[Part]:
    """Inputs: columns of the weight."""
    return [Part(module, "weight", int(not is_transposed(module)))]


def _size(module: nn.Module, side: int) -> int:
    """Number of outputs (0) or inputs (1)."""
    weight: Tensor = module._parameters["weight"]  # type: ignore[assignment]
    return weight.shape[1 - side if is_transposed(module) else side]


def _is_linear(module: nn.Module) -> bool:
    return isinstance(module, nn.Linear) or is_transposed(module)


def _is_map(module: nn.Module) -> bool:
    return _is_linear(module) or isinstance(module, CONVOLUTIONS)
