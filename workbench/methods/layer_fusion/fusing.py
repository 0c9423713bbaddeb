"""Fuse layers so that they are one: one parameter, stored once, with the gradients of all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, get_args

import torch
from torch import nn

from workbench.methods.layer_fusion import unequal as uneven
from workbench.methods.layer_fusion.combining import How, combine
from workbench.methods.layer_fusion.gradients import (
    divergence_shares,
    unweigh_gradients,
    weigh_gradients,
)
from workbench.methods.layer_fusion.layers import Layer, Place, grouped, joinable_layers, kind_of
from workbench.methods.layer_fusion.transport import align_groups
from workbench.methods.layer_fusion.tying import forget, note_ties, replace, tied_groups
from workbench.methods.layer_fusion.unequal import Unequal
from workbench.methods.pruning.linear import is_transposed
from workbench.methods.pruning.prunable import Rule, unwrap

Gradients = Literal["sum", "mean", "kl", "kept"]
Keep = Literal["middle", "outer"]


@torch.no_grad()
def fuse(
    model: nn.Module,
    pairs: Iterable[Sequence[Place]],
    how: How = "mean",
    *,
    keep: Keep = "middle",
    seed: int = 0,
    mix_biases: bool = False,
    unequal: Unequal = "error",
    gradients: Gradients = "sum",
    optimizer: torch.optim.Optimizer | None = None,
    rule: Rule | None = None,
) -> nn.Module:
    r"""Make each pair of layers one layer.

    .. math:: \theta_i = \theta_j = \tilde\theta_{ij} = \{\tilde W_{ij}, \tilde b_{ij}\}

    Thesis Algorithm 3, lines 11 to 15. The layers then share one ``torch.nn.Parameter`` for their
    weights and one for their biases: ``model.parameters()`` and an optimizer see one, the gradients
    of all uses add up in it, files hold it once (see ``save``), and ``copy.deepcopy`` keeps it
    shared. Pairs that have a layer in common make one group (section 8.5.1); layers fused before
    come along with their group, each counting once.

    ===============  ====================================================================
    ``"mean"``       the mean of the layers
    ``"freeze"``     the weights of one of them, ``keep``
    ``"mix"``        each weight from a layer drawn at random; biases are averaged
                     (section 8.3.3; line 13 draws them as well: ``mix_biases``)
    ``"transport"``  the mean after the hidden units and attention heads of one block were
                     matched to those of the other, see ``align``
    ===============  ====================================================================

    Args:
        model: changed in place; wrappers are looked through.
        pairs: pairs of layers or of whole blocks, by module name (``"encoder.layer.3"`` stands for
            all linear layers and convolutions in it; norms stay apart), or by the number of the
            layer in ``fusible_layers(model)``.
        how: as above.
        keep: which layer ``"freeze"`` keeps: the one nearest to the middle of the network, as the
            thesis says, or the ``"outer"`` one, as its reason would have it (layers near input and
            output are the salient ones). Of two that are equally near, the earlier.
        seed: of ``"mix"``.
        mix_biases: as Algorithm 3 is printed.
        unequal: layers of different sizes are refused, or share a tensor of the largest
            (``"pad"``: the smaller reads its leading block) or of the smallest size
            (``"truncate"``: the larger keeps its strongest units, the rest is zero). Section 8.3.1
            drops weights at random, A.1 the smallest of the second tensor.
        gradients: how the layers' gradients come together: ``"sum"`` (plain tying), ``"mean"``,
            ``"kl"`` (equation 8.6, corrected: ``divergence_shares``, of the weights as they are
            now), or with ``"freeze"`` ``"kept"``: only the use in the kept layer counts.
        optimizer: one made before: it forgets the parameters that are gone, and the momenta of
            those that were fused.
        rule: predicate ``(module name, module) -> bool``: which layers numbers count, instead of
            those of ``fusible_layers``.

    Returns:
        The model itself.

    Raises:
        ValueError: a layer is unknown; two layers differ in kind, shape, dtype or device, or only
            one has a bias; an option is unknown, or does not go with another. Nothing is changed.
    """
    _check_options(how, keep, unequal, gradients)
    inner = unwrap(model)
    groups = grouped(inner, pairs, rule)
    for group in groups:
        _check_group(group, how, unequal, gradients)
    _check_owners(inner, groups)
    if how == "transport":
        align_groups(inner, groups)
    generator = torch.Generator().manual_seed(seed)
    everyone = list(joinable_layers(inner))
    for group in groups:
        layers = list(group.values())
        kept = _nearest(list(group), everyone, keep)
        shares = _shares(layers, gradients, kept)
        for layer in layers:
            unweigh_gradients(layer.module)
        if len({layer.matrix.shape for layer in layers}) > 1:
            _tie_unequal(inner, layers, how, kept, generator, unequal, mix_biases)
        else:
            _tie(inner, layers, how, kept, generator, mix_biases)
        for layer, share in zip(layers, shares, strict=True):
            if share != 1:
                weigh_gradients(layer, share)
    note_ties(inner)
    if optimizer is not None:
        forget(optimizer, inner, [p for g in groups for x in g.values() for p in _parameters(x)])
    return model


def unfuse(model: nn.Module) -> nn.Module:
    """Give every fused layer parameters of its own again, with the values they shared.

    The weights from before the fusion are gone; keep a ``copy.deepcopy`` for those. An optimizer
    does not know the new parameters.

    Args:
        model: changed in place.

    Returns:
        The model itself.
    """
    inner = unwrap(model)
    uneven.own_again(inner)
    for group in tied_groups(inner):
        for layer in group.values():
            unweigh_gradients(layer.module)
        for layer in list(group.values())[1:]:
            for attribute, parameter in layer.parameters.items():
                own = nn.Parameter(parameter.detach().clone(), parameter.requires_grad)
                layer.module._parameters[attribute] = own
    note_ties(inner)
    return model


def _tie(
    model: nn.Module,
    layers: list[Layer],
    how: How,
    kept: int,
    generator: torch.Generator,
    mix_biases: bool,
) -> None:
    for weight, attributes in _attributes(layers):
        parameters = [x.parameters[a] for x, a in zip(layers, attributes, strict=True)]
        way: How = "mean" if how == "mix" and not weight and not mix_biases else how
        value = combine([p.detach() for p in parameters], way, kept, generator)
        survivor = parameters[0]
        survivor.requires_grad_(any(p.requires_grad for p in parameters))
        survivor.copy_(value)
        for parameter in parameters[1:]:
            replace(model, parameter, survivor)


def _tie_unequal(
    model: nn.Module,
    layers: list[Layer],
    how: How,
    kept: int,
    generator: torch.Generator,
    unequal: Unequal,
    mix_biases: bool,
) -> None:
    parts: list[uneven.Part] = []
    for weight, attributes in _attributes(layers):
        parameters = [x.parameters[a] for x, a in zip(layers, attributes, strict=True)]
        shape = uneven.shared_shape(parameters, unequal)
        if weight:
            parts = [uneven.weight_part(p, shape, unequal) for p in parameters]
        else:
            dimension = 1 if is_transposed(layers[0].module) else 0
            parts = [
                uneven.bias_part(p, part, dimension)
                for p, part in zip(parameters, parts, strict=True)
            ]
        spread = [part.spread(p.detach(), shape) for p, part in zip(parameters, parts, strict=True)]
        way: How = "mean" if how == "mix" and not weight and not mix_biases else how
        tensors, present = zip(*spread, strict=True)
        trained = any(p.requires_grad for p in parameters)
        shared = nn.Parameter(combine(tensors, way, kept, generator, present), trained)
        for layer, attribute, parameter, part in zip(
            layers, attributes, parameters, parts, strict=True
        ):
            if parameter.shape == shape:
                layer.module._parameters[attribute] = shared
            else:
                uneven.share(layer.module, attribute, shared, part)


def _attributes(layers: list[Layer]) -> list[tuple[bool, list[str]]]:
    """(is it the weight?, its attribute in each layer) for the weight and, if any, the bias."""
    found = [(True, [layer.weight for layer in layers])]
    if len(layers[0].parameters) == 2:
        found.append((False, [layer.bias for layer in layers]))
    return found


def _shares(layers: list[Layer], gradients: Gradients, kept: int) -> list[float]:
    if gradients == "kl":
        return divergence_shares([layer.matrix for layer in layers]).tolist()
    if gradients == "mean":
        return [1 / len(layers)] * len(layers)
    if gradients == "kept":
        return [float(index == kept) for index in range(len(layers))]
    return [1.0] * len(layers)


def _nearest(group: list[str], everyone: list[str], keep: Keep) -> int:
    """Index of the layer nearest to (or farthest from) the middle of those of its kind."""
    kind = kind_of(group[0])
    alike = [name for name in everyone if kind_of(name) == kind]
    middle = (len(alike) - 1) / 2
    away = [abs(alike.index(name) - middle) if name in alike else middle for name in group]
    return away.index(min(away) if keep == "middle" else max(away))


def _parameters(layer: Layer) -> list[nn.Parameter]:
    return list(layer.parameters.values())


def _check_options(how: str, keep: str, unequal: str, gradients: str) -> None:
    for name, given, allowed in (
        ("how", how, get_args(How)),
        ("keep", keep, get_args(Keep)),
        ("unequal", unequal, get_args(Unequal)),
        ("gradients", gradients, get_args(Gradients)),
    ):
        if given not in allowed:
            raise ValueError(f"{name} must be one of {allowed}, got {given!r}")
    if gradients == "kept" and how != "freeze":
        raise ValueError(f"gradients='kept' goes with how='freeze', which keeps one, not {how!r}")


def _check_group(group: dict[str, Layer], how: str, unequal: str, gradients: str) -> None:
    (first, one), *others = group.items()
    for name, other in others:
        mine, theirs = one.parameters, other.parameters
        if len(mine) != len(theirs):
            raise ValueError(f"only one of {first!r} and {name!r} has a bias; they cannot be fused")
        if is_transposed(one.module) != is_transposed(other.module):
            raise ValueError(
                f"{first!r} is a {type(one.module).__name__} and {name!r} a "
                f"{type(other.module).__name__}; one keeps its weight transposed"
            )
        for a, b in zip(mine.values(), theirs.values(), strict=True):
            if (a.dtype, a.device) != (b.dtype, b.device):
                raise ValueError(
                    f"{first!r} is {a.dtype} on {a.device} and {name!r} is {b.dtype} on "
                    f"{b.device}; convert the model first"
                )
        a, b = mine[one.weight], theirs[other.weight]
        if a.shape == b.shape:
            continue
        if unequal == "error" or a.shape[2:] != b.shape[2:] or a.ndim != b.ndim:
            ways = "unequal='pad' or 'truncate' shares what fits"
            raise ValueError(
                f"{first!r} has shape {tuple(a.shape)} and {name!r} {tuple(b.shape)}; fuse layers "
                f"of one shape ({ways if a.shape[2:] == b.shape[2:] else 'kernels must agree'})"
            )
        if how == "transport" or gradients != "sum":
            raise ValueError(
                f"{first!r} and {name!r} differ in shape; how='transport' and gradients= are for "
                "layers of one shape"
            )


def _check_owners(model: nn.Module, groups: list[dict[str, Layer]]) -> None:
    known = {id(layer.module) for group in groups for layer in group.values()}
    weights = {id(p): n for g in groups for n, x in g.items() for p in x.parameters.values()}
    for path, module in model.named_modules():
        for parameter in module._parameters.values():
            if id(parameter) in weights and id(module) not in known:
                raise ValueError(
                    f"{weights[id(parameter)]!r} shares a parameter with {path!r}, a "
                    f"{type(module).__name__}; such a layer cannot be fused with another"
                )
