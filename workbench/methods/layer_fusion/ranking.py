"""Which pairs of layers to fuse: the k closest of one kind (Algorithm 3, lines 2 to 10)."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from workbench.methods.layer_fusion.layers import (
    Joined,
    Layer,
    Place,
    fusible_layers,
    grouped,
    kind_of,
)
from workbench.methods.pruning.prunable import Rule

Kinds = bool | Literal["kind"] | Sequence[Hashable]


def rank_pairs(
    layers: Any,
    k: int | None = None,
    measure: Callable[[Tensor, Tensor], Any] | None = None,
    *,
    larger_is_closer: bool,
    adjacent: bool = False,
    same_kind: Kinds = True,
    chained: bool = True,
    names: Sequence[str] | None = None,
) -> list[tuple[Any, Any]]:
    r"""The ``k`` closest pairs of layers, the closest first.

    .. math:: \operatorname*{arg\,top-k}_{i < j,\ \mathrm{kind}(i) = \mathrm{kind}(j)} S_{ij}

    Thesis Algorithm 3, lines 2 to 10, corrected: only :math:`i < j` (printed, :math:`j = i`
    compares each layer with itself); the smallest values are taken when :math:`S` holds distances
    (printed, always the largest); and the result is pairs, not tuples of k layers.

    Args:
        layers: what is compared. Either a matrix (n, n) of similarities or distances, a tensor or
            an array, of which the part above the diagonal is read: symmetrise a divergence first.
            Or, with ``measure``: a model, a mapping of layer name to weight (``layer_weights``),
            or a sequence of weights.
        k: number of pairs; all that the rules allow when left out.
        measure: function of two weights that gives a number. It is asked only for pairs that may
            be chosen.
        larger_is_closer: True for similarities (cosine, CKA), False for distances and divergences.
        adjacent: consider only pairs of neighbours: of two layers of one kind with none of that
            kind between them.
        same_kind: True takes pairs of one kind and shape, as far as they are known: kinds from
            names (``kind_of``), shapes from weights. ``"kind"`` lets shapes differ, False lets
            both. A sequence says the kind of each layer, for a matrix that covers several.
        chained: a layer may be in several pairs, so that the layers they connect become one (the
            thesis's rule, section 8.5.1). A pair that is connected through others already is left
            out, since it saves nothing: k pairs always save k layers. ``False`` uses each layer at
            most once, which saves half of them at most.
        names: names of a matrix's or a sequence's layers.

    Returns:
        Pairs (i, j), i before j in the order of the layers: names where there are names, else
        numbers. Equal values keep the order of i, then j. Pairs that are infinitely far are never
        chosen.

    Raises:
        ValueError: the matrix is not square, a value is NaN, ``k`` is below 1 or more pairs than
            there are, or lengths differ.
        TypeError: weights come without a measure, or a matrix with one.
    """
    weights, matrix, labels = _read(layers, measure, names)
    size = len(weights) if matrix is None else len(matrix)
    kinds = _kinds(size, weights, labels, same_kind)
    pairs = []
    for i, j in _candidates(kinds, adjacent):
        value = float(measure(weights[i], weights[j]) if measure else matrix[i, j])  # type: ignore
        if math.isnan(value):
            raise ValueError(
                f"the value of layers {_label(i, labels)!r} and {_label(j, labels)!r} is NaN; use "
                "a measure that is defined for them (shrink singular covariances, for one)"
            )
        farness = -value if larger_is_closer else value
        if farness < math.inf:
            pairs.append((farness, i, j))
    pairs.sort(key=lambda pair: pair[0])  # stable, and candidates come in the order of i, then j
    chosen = _choose(pairs, size, chained)
    if k is not None and not (isinstance(k, int) and 1 <= k <= len(chosen)):
        used = "connected by chains" if chained else "each used at most once (chained=True: more)"
        near = "neighbouring pairs" if adjacent else "pairs"
        raise ValueError(
            f"k must be from 1 to {len(chosen)}, the number of {near} of one kind among {size} "
            f"layers, {used}; got {k!r}. Leave k out to take them all"
        )
    return [(_label(i, labels), _label(j, labels)) for i, j in chosen[:k]]


def pairs_to_reach(
    model: nn.Module,
    pairs: Iterable[Sequence[Place]],
    keep: float,
    *,
    of: Literal["fusible", "all"] = "fusible",
    rule: Rule | None = None,
) -> list[Sequence[Place]]:
    """The first of ``pairs`` that leave at most a share ``keep`` of the weights.

    Args:
        model: the model that will be fused; it is not changed.
        pairs: ranked pairs, the closest first.
        keep: share that stays, in (0, 1]. Biases count.
        of: the share of the layers that may be fused, or of all parameters. Shared ones count
            once.
        rule: as in ``fusible_layers``.

    Raises:
        ValueError: ``keep`` is out of range, or all pairs together leave more.
    """
    if not 0 < keep <= 1:
        raise ValueError(f"keep must be in (0, 1], the share of weights that stays, got {keep!r}")
    pairs = list(pairs)
    layers = fusible_layers(model, rule).values()
    chosen = model.parameters() if of == "all" else (p for x in layers for p in _own(x))
    total = sum({id(p): p.numel() for p in chosen}.values())

    def left(count: int) -> int:
        gone = 0
        for group in grouped(model, pairs[:count], rule):
            sizes = {id(p): p.numel() for layer in group.values() for p in _own(layer)}
            gone += sum(sizes.values()) - sum(p.numel() for p in _own(next(iter(group.values()))))
        return total - gone

    for count in range(len(pairs) + 1):
        if left(count) <= keep * total:
            return pairs[:count]
    raise ValueError(
        f"{len(pairs)} pairs leave {left(len(pairs)) / total:.3f} of the weights, more than "
        f"{keep}; rank more pairs (chained=True)"
    )


def _own(layer: Layer) -> Iterable[nn.Parameter]:
    return layer.parameters.values()


def _read(layers, measure, names):
    """Weights or None, matrix or None, and names or None."""
    weights: list[Tensor] | None = None
    matrix: np.ndarray | None = None
    if isinstance(layers, nn.Module):
        layers = fusible_layers(layers)
    if isinstance(layers, Mapping):
        names, layers = list(layers), list(layers.values())
    if measure is None:
        table = torch.is_tensor(layers) or isinstance(layers, np.ndarray)
        if not table and not all(isinstance(x, int | float | np.number) for x in _flat(layers)):
            raise TypeError(
                "weights need a measure: rank_pairs(weights, k, measure, larger_is_closer=...); "
                "without one, give a matrix of similarities or distances"
            )
        matrix = np.asarray(layers.detach().cpu() if torch.is_tensor(layers) else layers, float)
        if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
            raise ValueError(f"a matrix of pairs must be (n, n), got {matrix.shape}")
    elif torch.is_tensor(layers) or isinstance(layers, np.ndarray):
        raise TypeError("a matrix holds the values already; leave measure out, or give the weights")
    else:
        weights = [x.matrix if isinstance(x, Layer) else x for x in layers]
    size = len(layers)
    if names is not None and len(names) != size:
        raise ValueError(f"{len(names)} names for {size} layers")
    return weights, matrix, names


def _flat(layers: Any) -> list[Any]:
    return [x for row in layers for x in (row if isinstance(row, list | tuple) else [row])]


def _kinds(
    size: int, weights: list[Tensor] | None, names: Sequence[str] | None, same_kind: Kinds
) -> list[Hashable]:
    if isinstance(same_kind, bool) or same_kind == "kind":
        known = names is not None and same_kind is not False
        kinds: list[Hashable] = [kind_of(str(n)) for n in names or ()] if known else [None] * size
        if weights is not None and same_kind is True:
            return [(kind, tuple(w.shape)) for kind, w in zip(kinds, weights, strict=True)]
        return kinds
    if isinstance(same_kind, str) or len(same_kind) != size:
        raise ValueError(
            f"same_kind must be True, False, 'kind', or the kinds of all {size} layers, "
            f"got {same_kind!r}"
        )
    return list(same_kind)


def _candidates(kinds: list[Hashable], adjacent: bool) -> list[tuple[int, int]]:
    members: dict[Hashable, list[int]] = {}
    for index, kind in enumerate(kinds):
        members.setdefault(kind, []).append(index)
    found: list[tuple[int, int]] = []
    for inside in members.values():
        found += zip(inside[:-1], inside[1:], strict=True) if adjacent else combinations(inside, 2)
    return sorted(found)


def _choose(pairs: list[tuple[float, int, int]], size: int, chained: bool) -> list[tuple[int, int]]:
    joined, used = Joined(range(size)), set[int]()
    chosen = []
    for _, i, j in pairs:
        if joined.join(i, j) if chained else not {i, j} & used:
            chosen.append((i, j))
            used |= {i, j}
    return chosen


def _label(index: int, names: Sequence[str] | None) -> Any:
    return index if names is None else names[index]
