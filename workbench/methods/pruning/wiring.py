"""Which linear maps feed which: chains of ``nn.Sequential`` and the layers of encoders.

What lookahead and SynFlow need to know of a network. Chains are told by structure, encoder layers
by the names that transformers and torch give to their parts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor, nn

ROLES = {
    "query": r"attention\.((self|attn|attention)\.)?(query(_proj)?|q_lin|q_proj|q)",
    "key": r"attention\.((self|attn|attention)\.)?(key(_proj)?|k_lin|k_proj|k)",
    "value": r"attention\.((self|attn|attention)\.)?(value(_proj)?|v_lin|v_proj|v)",
    "attention_output": r"attention\.((output\.)?dense|out_lin|o_proj|attn\.o)"
    r"|self_attn\.out_proj|attn\.c_proj",
    "intermediate": r"intermediate\.dense|ffn\.lin1|mlp\.fc1|mlp\.c_fc|linear1|ffn",
    "output": r"output\.dense|ffn\.lin2|mlp\.fc2|mlp\.c_proj|linear2|ffn_output",
}
# Queries, keys and values in one weight, in this order.
FUSED = r"self_attn|attn\.c_attn"
# A norm in front of a branch (pre-LN), or on the stream after the branch was added (post-LN).
NORMS = {
    "read_attention": r"ln_1|layernorm_before|attention\.self_attn_layer_norm",
    "read_feed_forward": r"ln_2|layernorm_after|intermediate\.LayerNorm|LayerNorm",
    "after_attention": r"attention\.output\.LayerNorm|sa_layer_norm",
    "after_feed_forward": r"output\.LayerNorm|output_layer_norm|full_layer_layer_norm",
}
_HEADS = ("num_attention_heads", "num_heads", "n_heads")
_ELEMENTWISE = (nn.Dropout, nn.AlphaDropout, nn.Identity, nn.Flatten)
_MIXING = (nn.MultiheadAttention, nn.Softmax, nn.LogSoftmax, nn.Softmin, nn.GLU)


class LinearMap(NamedTuple):
    """A linear map, as a parameter and the view of it that has shape (out, in)."""

    parameter: nn.Parameter
    view: Callable[[Tensor], Tensor]

    @property
    def weight(self) -> Tensor:
        """(out, in)."""
        return self.view(self.parameter.detach())


@dataclass(frozen=True)
class Chain:
    """Linear maps one after the other; ``gains[i]`` scales what map i reads, the last the end."""

    maps: list[LinearMap]
    gains: list[Tensor | None]


@dataclass(frozen=True)
class EncoderLayer:
    """Six maps around a residual stream; gains are None where there is no norm."""

    query: LinearMap
    key: LinearMap
    value: LinearMap
    attention_output: LinearMap
    intermediate: LinearMap
    output: LinearMap
    heads: int = 1
    read_attention: Tensor | None = None
    read_feed_forward: Tensor | None = None
    after_attention: Tensor | None = None
    after_feed_forward: Tensor | None = None


@dataclass(frozen=True)
class Stack:
    """Encoder layers in order; ``entry`` is the gain of the embeddings' norm, None without one."""

    layers: list[EncoderLayer]
    entry: Tensor | None


def stacks(model: nn.Module) -> list[Stack]:
    """The encoders in ``model``; a layer that lacks one of its six maps is not one of theirs."""
    modules = dict(model.named_modules())
    entry = next((gain(m) for name, m in modules.items() if _is_entry(name, m)), None)
    parts: dict[str, dict[str, nn.Module]] = {}
    for name, module in modules.items():
        prefix, rest = _split(name)
        parts.setdefault(prefix, {})[rest] = module
    found: dict[str, Stack] = {}
    for prefix, inside in parts.items():
        layer = _layer(modules.get(prefix.rstrip("."), model), inside)
        if layer is not None:
            stem = re.sub(r"\d+\.$", "", prefix)
            # Embeddings may be narrower than the stream, which a projection then widens.
            fits = entry is not None and len(entry) == layer.query.weight.shape[1]
            found.setdefault(stem, Stack([], entry if fits else None)).layers.append(layer)
    return list(found.values())


def chains(model: nn.Module) -> Iterator[tuple[Chain, bool]]:
    """Each run of neighbouring linear maps, and whether it is all of ``model``."""
    for sequence, is_model in _sequences(model, True):
        runs = list(_runs(sequence))
        for chain, unbroken in runs:
            yield chain, is_model and unbroken and len(runs) == 1


def gain(norm: nn.Module) -> Tensor | None:
    """(features,) float64 factor by which a norm scales each feature, in absolute value.

    The statistics of one input are left out, as they are one factor for all features; a batch norm
    divides by its running deviations, which differ. None without any gain.
    """
    weight = getattr(norm, "weight", None)
    factor = None if weight is None else weight.detach().abs().double()
    variance = getattr(norm, "running_var", None)
    if variance is not None:
        spread = (variance.double() + norm.eps).sqrt()
        factor = 1 / spread if factor is None else factor / spread
    return factor


def is_norm(module: nn.Module) -> bool:
    """Whether ``module`` normalises features: layer, RMS or batch norm, by the class's name."""
    weight = getattr(module, "weight", None)
    name = type(module).__name__
    return name.endswith(("Norm", "Norm1d", "Norm2d")) and (weight is None or weight.ndim == 1)


def is_elementwise(module: nn.Module) -> bool:
    """Whether ``module`` treats each feature alone: activations and dropout."""
    home = type(module).__module__
    activation = home in ("torch.nn.modules.activation", "transformers.activations")
    return (activation and not isinstance(module, _MIXING)) or isinstance(module, _ELEMENTWISE)


def _runs(modules: list[nn.Module]) -> Iterator[tuple[Chain, bool]]:
    run: list[LinearMap] = []
    gains: list[Tensor | None] = [None]
    unbroken = True
    for module in modules:
        width = run[-1].weight.shape[0] if run else None
        if isinstance(module, nn.Linear):
            if width is not None and module.in_features != width:
                yield Chain(run, gains), False
                run, gains, unbroken = [], [None], False
            run.append(LinearMap(module.weight, _whole))
            gains.append(None)
        elif is_norm(module):
            factor = gain(module)
            if factor is not None and width is not None and len(factor) != width:
                unbroken = False
            elif factor is not None:
                gains[-1] = factor if gains[-1] is None else gains[-1] * factor
        elif not is_elementwise(module):
            if run:
                yield Chain(run, gains), False
            run, gains, unbroken = [], [None], False
    if run:
        yield Chain(run, gains), unbroken


def _sequences(module: nn.Module, is_model: bool) -> Iterator[tuple[list[nn.Module], bool]]:
    """The modules of each outermost ``nn.Sequential``, nested ones laid flat."""
    plain = type(module).forward is nn.Sequential.forward
    if plain or (is_model and isinstance(module, nn.Linear)):
        flat = list(_flat(module))
        yield flat, is_model
        inner = [m for m in flat if not isinstance(m, nn.Linear)]
    else:
        inner = list(module.children())
    for child in inner:
        yield from _sequences(child, False)


def _flat(module: nn.Module) -> Iterator[nn.Module]:
    if type(module).forward is not nn.Sequential.forward:
        yield module
        return
    for child in module._modules.values():  # children() would skip what comes a second time
        if child is not None:
            yield from _flat(child)


def _layer(layer: nn.Module, inside: Mapping[str, nn.Module]) -> EncoderLayer | None:
    maps: dict[str, LinearMap] = {}
    heads = 1
    for rest, module in inside.items():
        for role, pattern in ROLES.items():
            if re.fullmatch(pattern, rest) and _is_linear(module):
                maps[role] = LinearMap(module.weight, _turned if _is_conv1d(module) else _whole)
        if re.fullmatch(FUSED, rest) and (fused := _fused(module)):
            maps |= fused
        heads = max([heads, *(_head_count(module, k) for k in _HEADS)])
    if maps.keys() != ROLES.keys() or not _fits(**maps):
        return None
    if maps["query"].weight.shape[0] % heads:
        heads = 1
    norms: dict[str, Any] = {slot: gain(inside[rest]) for slot, rest in _norms(layer, inside)}
    return EncoderLayer(**maps, heads=heads, **norms)


def _norms(layer: nn.Module, inside: Mapping[str, nn.Module]) -> Iterator[tuple[str, str]]:
    """Which norm of a layer stands where: pairs of slot and name."""
    for rest in inside:
        if not is_norm(inside[rest]):
            continue
        for slot, pattern in NORMS.items():
            if re.fullmatch(pattern, rest):
                yield slot, rest
        if rest == "attention.LayerNorm":  # in front of it in pre-LN RoBERTa, else after it
            first = "intermediate.LayerNorm" in inside
            yield ("read_attention" if first else "after_attention"), rest
        if rest in ("norm1", "norm2"):
            place = "read" if getattr(layer, "norm_first", False) else "after"
            yield f"{place}_{'attention' if rest == 'norm1' else 'feed_forward'}", rest


def _fits(
    query: LinearMap,
    key: LinearMap,
    value: LinearMap,
    attention_output: LinearMap,
    intermediate: LinearMap,
    output: LinearMap,
) -> bool:
    width = query.weight.shape[1]
    return (
        query.weight.shape == key.weight.shape
        and value.weight.shape == attention_output.weight.T.shape
        and intermediate.weight.shape == output.weight.T.shape
        and query.weight.shape[0] == value.weight.shape[0]
        and value.weight.shape[1] == intermediate.weight.shape[1] == width
    )


def _fused(module: nn.Module) -> dict[str, LinearMap]:
    parameter = getattr(module, "in_proj_weight", None)
    turned = _is_conv1d(module)
    if turned:
        parameter = module.weight
    if not isinstance(parameter, nn.Parameter):
        return {}

    def third(index: int) -> Callable[[Tensor], Tensor]:
        return lambda tensor: (tensor.T if turned else tensor).chunk(3)[index]

    return {n: LinearMap(parameter, third(i)) for i, n in enumerate(("query", "key", "value"))}


def _head_count(module: nn.Module, attribute: str) -> int:
    count = getattr(module, attribute, None)
    if count is None:
        count = getattr(getattr(module, "config", None), attribute, None)
    return count if isinstance(count, int) else 1


def _split(name: str) -> tuple[str, str]:
    """``encoder.layer.3.output.dense`` -> ``encoder.layer.3.`` and ``output.dense``."""
    found = re.match(r"(.*\.)?\d+\.", name)
    return (found[0], name[found.end() :]) if found else ("", name)


def _is_entry(name: str, module: nn.Module) -> bool:
    *_, last = ["", *name.split(".")]
    embeds = any(part.startswith("embed") for part in name.split(".")[:-1])
    return embeds and last in ("LayerNorm", "norm", "layer_norm") and is_norm(module)


def _is_linear(module: nn.Module) -> bool:
    return isinstance(module, nn.Linear) or _is_conv1d(module)


def _is_conv1d(module: nn.Module) -> bool:
    """GPT-2's transposed linear map; told by name, so that transformers is not imported."""
    return type(module).__name__ == "Conv1D" and isinstance(module.weight, nn.Parameter)


def _whole(tensor: Tensor) -> Tensor:
    return tensor


def _turned(tensor: Tensor) -> Tensor:
    return tensor.T
