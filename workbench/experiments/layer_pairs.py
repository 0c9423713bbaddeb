"""Which layers of a network are alike: a matrix for each kind of layer, and pairs from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor, nn

from workbench.experiments.problems import evaluating
from workbench.experiments.training import derive
from workbench.methods.layer_fusion import fusible_layers, kind_of, layer_weights, rank_pairs
from workbench.metrics.similarity import MEASURES, similarity_matrix

QUICK = (
    "euclidean", "cosine", "covariance_cosine", "symmetrised_kl", "gaussian_jensen_shannon",
    "jensen_shannon", "hellinger", "sliced_wasserstein", "bures_wasserstein", "log_euclidean",
)  # fmt: skip
"""Measures of weights that take less than a minute on a small network."""
ROWS = 512
"""Rows of activations (examples, or tokens) that layers are compared on."""


GPT2 = {
    "attn.c_attn": "query, key, value",
    "attn.c_proj": "attention output",
    "mlp.c_fc": "intermediate",
    "mlp.c_proj": "output",
}
"""What GPT-2 calls its layers, whose names do not say what they do."""


class Pair(NamedTuple):
    """Two layers by name, their kind, and how far apart they are (negative similarity)."""

    first: str
    second: str
    kind: str
    distance: float


def kinds(network: nn.Module) -> dict[str, list[str]]:
    """Kind -> names of the layers that may be fused with each other, in the network's order.

    A kind is a role ("query") or a last name ("conv"), with the shape where the network has several
    of it.
    """
    shapes: dict[str, dict[tuple[int, ...], list[str]]] = {}
    for name, weight in layer_weights(network).items():
        short = ".".join(name.split(".")[-2:])
        kind = GPT2.get(short, kind_of(name))
        shapes.setdefault(kind, {}).setdefault(tuple(weight.shape), []).append(name)
    found = {}
    for kind, by_shape in shapes.items():
        words = kind.replace("_", " ")
        for shape, names in by_shape.items():
            size = f" {shape[0]}x{int(np.prod(shape[1:]))}" if len(by_shape) > 1 else ""
            found[words + size] = names
    return found


def similarities(
    network: nn.Module,
    measure: str,
    *,
    batch: Mapping[str, Tensor] | None = None,
    seed: int = 0,
) -> dict[str, tuple[list[str], np.ndarray]]:
    """Kind -> (layer names, matrix of ``measure``), for kinds of two layers or more.

    ``batch`` are inputs of the network, for measures of activations; "random" draws from ``seed``.
    Raises ``ValueError`` for an unknown measure, and what the measure raises.
    """
    grouped = {kind: names for kind, names in kinds(network).items() if len(names) > 1}
    if measure == "random":
        rng = np.random.default_rng(seed)
        drawn = {kind: np.triu(rng.random((len(n), len(n))), 1) for kind, n in grouped.items()}
        return {kind: (grouped[kind], matrix + matrix.T) for kind, matrix in drawn.items()}
    if measure in MEASURES and MEASURES[measure].needs == "activations":
        if batch is None:
            raise ValueError(f"measure = {measure!r} compares activations; give a batch of inputs.")
        compared: Mapping[str, Tensor] = activations(network, batch)
    else:
        compared = {n: w.float().flatten(1) for n, w in layer_weights(network).items()}
    return {
        kind: similarity_matrix({name: compared[name] for name in names}, measure)
        for kind, names in grouped.items()
    }


def closest_pairs(
    matrices: Mapping[str, tuple[list[str], np.ndarray]],
    measure: str,
    *,
    neighbours: bool = False,
    evenly: bool = True,
) -> list[Pair]:
    """All pairs that may be fused, those to begin with first; none is redundant.

    ``evenly``: of every kind the same share of pairs is among the first; else the smallest
    distances of all kinds come first, as Algorithm 3 of the thesis has it.
    """
    larger = measure in MEASURES and MEASURES[measure].kind == "similarity"
    ranked = []
    for kind, (names, matrix) in matrices.items():
        both = (matrix + matrix.T) / 2
        place = {name: i for i, name in enumerate(names)}
        chosen = rank_pairs(both, larger_is_closer=larger, adjacent=neighbours, names=names)
        for number, (one, other) in enumerate(chosen, 1):
            value = float(both[place[one], place[other]])
            pair = Pair(one, other, kind, -value if larger else value)
            ranked.append((number / len(chosen) if evenly else pair.distance, pair))
    ranked.sort(key=lambda entry: entry[0])
    return [pair for _, pair in ranked]


def neighbour_closeness(matrix: np.ndarray, measure: str) -> float:
    r"""Chance that two neighbours are closer than two layers that are not; 0.5 is no difference.

    .. math:: P(d_{i, i+1} < d_{jk}) + \tfrac12 P(d_{i, i+1} = d_{jk}), \qquad k - j > 1

    over all pairs of pairs (the Mann-Whitney statistic over its largest value), in [0, 1].

    Args:
        matrix: (L, L) of at least three layers, in the network's order.
        measure: its name, which says whether large is close.
    """
    larger = measure in MEASURES and MEASURES[measure].kind == "similarity"
    distances = (matrix + matrix.T) / (-2 if larger else 2)
    one, other = np.triu_indices(len(matrix), 1)
    near, far = (distances[one, other][other - one == 1], distances[one, other][other - one > 1])
    below = (near[:, None] < far[None]).mean() + (near[:, None] == far[None]).mean() / 2
    return float(below)


def blind_seed(seed: int, step: int) -> int:
    """The seed of pairs that are drawn blindly."""
    return derive(seed, "pairs", step)


def activations(network: nn.Module, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Layer name -> outputs (rows, features): of each example, or of each token of a text."""
    seen: dict[str, Tensor] = {}
    modules = dict(network.named_modules())

    def keep(name: str) -> Any:
        def hook(module: nn.Module, args: Any, output: Tensor) -> None:
            flat = output.flatten(1) if output.ndim == 4 else output.flatten(0, -2)
            seen[name] = flat[:ROWS].float().cpu()

        return hook

    handles = [
        modules[name].register_forward_hook(keep(name))
        for name in fusible_layers(network)
        if name in modules
    ]
    try:
        with evaluating(network):
            device = next(network.parameters()).device
            network(**{name: tensor.to(device) for name, tensor in batch.items()})
    finally:
        for handle in handles:
            handle.remove()
    if missing := sorted(set(fusible_layers(network)) - set(seen)):
        raise ValueError(f"{missing[0]!r} is not called by itself, so it has no activations.")
    return {name: seen[name] for name in fusible_layers(network)}


def pairs_array(pairs: list[Pair], names: list[str]) -> np.ndarray:
    """The pairs among ``names`` as numbers (k, 2)."""
    place = {name: i for i, name in enumerate(names)}
    found = [(place[p.first], place[p.second]) for p in pairs if p.first in place]
    return np.array(found, dtype=np.int64).reshape(-1, 2)
