"""Match the hidden units of one block to those of another before their weights are averaged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from workbench.methods.layer_fusion.layers import Layer, Place, grouped
from workbench.methods.layer_fusion.units import Part, Units, hidden_units, holds, permute
from workbench.methods.pruning.prunable import Rule, unwrap


@torch.no_grad()
def align(
    model: nn.Module, pairs: Iterable[Sequence[Place]], *, rule: Rule | None = None
) -> nn.Module:
    r"""Reorder hidden units so that the layers to be fused resemble each other most.

    .. math:: \min_{\pi} \sum_{\theta} \left\| \theta_i - \pi(\theta_j) \right\|_F^2

    over the layers :math:`\theta` that the pairs fuse in blocks i and j, where :math:`\pi` puts the
    hidden units of block j in another order. This is equation 8.4 with :math:`p = 2`, units as the
    points: between two sets of equally many points of equal mass an optimal transport plan is a
    permutation. Corrected: section 8.3.2 wants the plan from the Bures metric, whose closed form
    has none. What can move, each time in every tensor that holds the units:

    - feed-forward units of an encoder layer;
    - attention heads, and inside a head the dimensions of queries with keys, and of values with
      what the output projection reads. The order of heads is found together with the best order
      inside each of them, exactly;
    - channels between ``conv1`` and ``conv2`` (...) of a residual block, with their norm;
    - units between two layers of an ``nn.Sequential``.

    The residual stream stays as it is, and so does the function of every block.

    Args:
        model: changed in place.
        pairs, rule: as in ``fuse``. The first block of a group stays, the others are matched to
            the mean of those before them.

    Returns:
        The model itself, which computes what it did up to rounding.

    Raises:
        ValueError: a layer is in no block whose hidden units are known, or its weights are used
            outside of it; shapes differ.

    References:
        Singh and Jaggi, "Model fusion via optimal transport", NeurIPS 2020, arXiv 1910.05653.
        Ainsworth et al., "Git Re-Basin", ICLR 2023, arXiv 2209.04836.
    """
    inner = unwrap(model)
    align_groups(inner, grouped(inner, pairs, rule))
    return model


def align_groups(model: nn.Module, groups: Sequence[dict[str, Layer]]) -> None:
    """The same for groups of layers of one shape."""
    group_of = {
        (id(layer.module), attribute): number
        for number, group in enumerate(groups)
        for layer in group.values()
        for attribute in layer.parameters
    }
    every = hidden_units(model)
    touched = [u for u in every if any(_key(p) in group_of for _, p in u.parts())]
    families = [_family(units, every) for units in touched]
    _check(model, groups, touched, families)
    # (group, stream, role of the part) -> where it was seen, in order
    seen: dict[tuple, list[tuple[Units, Part]]] = {}
    settled: set[int] = set()
    for units, family in zip(touched, families, strict=True):
        mine = [
            (stream, part, (group_of[_key(part)], stream, *part.role))
            for stream, part in units.parts()
            if _key(part) in group_of
        ]
        compared = [
            (stream, units.rows(stream, part), _mean(stream, seen[key], units))
            for stream, part, key in mine
            if key in seen
        ]
        # A block whose weights are tied to one that stays would move it too, and so stays as well.
        if compared and not settled & {id(u) for u in family}:
            _move(family, match(units.heads, units.sizes, compared))
        settled.add(id(units))
        for _, part, key in mine:
            seen.setdefault(key, []).append((units, part))


def match(
    heads: int, sizes: Mapping[str, int], compared: Sequence[tuple[str, Tensor, Tensor]]
) -> dict[str, Tensor]:
    """The order of units that brings one block nearest to another.

    Args:
        heads: number of heads; 1 for units that are not in heads.
        sizes: number of units of every stream, over all heads.
        compared: (stream, own, reference) of tensors (heads, units, features). Streams share the
            order of heads, and each has its own inside of them; streams that are not compared keep
            theirs.

    Returns:
        Stream -> (heads * units,) positions: place i takes the unit at ``positions[i]``.
    """
    # scipy is heavy to import, and only needed here.
    from scipy.optimize import linear_sum_assignment

    gains: dict[str, Tensor] = {}
    for stream, own, reference in compared:
        # The squared distance is least where the inner product is largest.
        product = torch.einsum("gaf,hbf->ghab", reference, own)
        gains[stream] = gains[stream] + product if stream in gains else product
    total = torch.zeros(heads, heads, dtype=torch.float64)
    inner: dict[tuple[str, int, int], Tensor] = {}
    for stream, gain in gains.items():
        for g in range(heads):
            for h in range(heads):
                table = gain[g, h].cpu().numpy()
                rows, columns = linear_sum_assignment(table, maximize=True)
                total[g, h] += float(table[rows, columns].sum())
                inner[stream, g, h] = torch.from_numpy(columns)
    _, order = linear_sum_assignment(total.numpy(), maximize=True)
    found: dict[str, Tensor] = {}
    for stream, size in sizes.items():
        as_they_are = torch.arange(size // heads)
        found[stream] = torch.cat(
            [
                int(h) * len(as_they_are) + inner.get((stream, g, int(h)), as_they_are)
                for g, h in enumerate(order)
            ]
        )
    return found


def _mean(stream: str, members: list[tuple[Units, Part]], units: Units) -> Tensor:
    for other, _ in members:
        if other.heads != units.heads:
            raise ValueError(
                f"{other.block!r} has {other.heads} heads and {units.block!r} {units.heads}; "
                "heads can be matched only where there are as many. Use how='mean'"
            )
    return torch.stack([other.rows(stream, part) for other, part in members]).mean(0)


def _family(units: Units, every: Sequence[Units]) -> list[Units]:
    """These units and those tied to them through shared tensors: they can only move together."""
    found = [units]
    for member in found:
        mine = _places(member).keys()
        for other in every:
            if not any(other is u for u in found) and mine & _places(other).keys():
                found.append(other)
    return found


def _move(family: Sequence[Units], order: Mapping[str, Tensor]) -> None:
    done = set()
    for stream, part in (found for units in family for found in units.parts()):
        place = (part.tensor.data_ptr(), *part.role)
        if place not in done:
            done.add(place)
            permute(part, order[stream])


def _key(part: Part) -> tuple[int, str]:
    return id(part.module), part.attribute


def _places(units: Units) -> dict[tuple[int, int, int], set[tuple[int, str]]]:
    """(tensor, dimension, start) -> the uses of it that these units know."""
    found: dict[tuple[int, int, int], set[tuple[int, str]]] = {}
    for _, part in units.parts():
        place = (part.tensor.data_ptr(), part.dimension, part.start)
        found.setdefault(place, set()).add(_key(part))
    return found


def _check(
    model: nn.Module,
    groups: Sequence[dict[str, Layer]],
    touched: Sequence[Units],
    families: Sequence[list[Units]],
) -> None:
    known = {_key(part) for units in touched for _, part in units.parts()}
    for name, layer in ((n, x) for group in groups for n, x in group.items()):
        if (id(layer.module), layer.weight) not in known:
            raise ValueError(
                "how='transport' knows the hidden units of encoder layers (heads: without relative "
                f"or rotary positions), residual blocks of conv1, conv2, ..., and nn.Sequential; "
                f"{name!r} of {type(model).__name__} is in none of them. Use how='mean'"
            )
    uses: dict[int, set[tuple[int, str]]] = {}
    for module in model.modules():
        for attribute, parameter in module._parameters.items():
            if parameter is not None:
                uses.setdefault(parameter.data_ptr(), set()).add((id(module), attribute))
    for family in families:
        places: dict[tuple[int, int, int], set[tuple[int, str]]] = {}
        for units in family:
            if not holds(units):
                raise ValueError(
                    f"the channels of {units.block!r} cannot change places: its convolutions are "
                    "not called one after the other as they are numbered. Use how='mean'"
                )
            for place, owners in _places(units).items():
                places.setdefault(place, set()).update(owners)
        alike = all((u.heads, u.sizes) == (family[0].heads, family[0].sizes) for u in family)
        if not alike or any(
            uses.get(place[0], owners) - owners for place, owners in places.items()
        ):
            raise ValueError(
                f"the hidden units of {family[0].block or 'the nn.Sequential'!r} cannot change "
                "places: their weights are tied to layers that use them otherwise. Fuse whole "
                "blocks, or use how='mean'"
            )
