"""All pairs of a network's layers: which layers, and the matrix of a measure over them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.metrics.similarity.registry import MEASURES, Measure, measure_of

if TYPE_CHECKING:
    from torch import Tensor, nn


def similarity_matrix(
    layers: Mapping[str, Any] | Sequence[Any],
    measure: str | Callable[..., float] = "bures_wasserstein",
    **options: Any,
) -> tuple[list[str], np.ndarray]:
    r"""A measure between all pairs of layers: their names (L,) and a float64 matrix (L, L).

    .. math:: S_{ij} = D(W_i, W_j), \quad i < j

    corrected: Algorithm 3 starts at j = i, so that a layer's pair with itself would win. Here the
    diagonal is what a layer has with itself, and ranking looks above it. Whether the best pairs
    are the largest or the smallest values, ``MEASURES[measure].kind`` says.

    The matrix is symmetric, and only pairs i < j are computed, save for ``gaussian_kl`` and
    functions of one's own, which may be asymmetric: entry (i, j) is then the measure of i and j in
    that order. What a layer needs by itself (a decomposition, its centroids) is computed once.

    Args:
        layers: name -> tensor or array, e.g. of :func:`layers_of`; a plain sequence is named
            "0", "1", .... Weights are (units, inputs), convolutions (out, in, kh, kw) become
            (out, in * kh * kw); activations for ``cka``, ``rbf_cka`` and ``procrustes`` are
            (samples, features), of the same samples.
        measure: a name of ``MEASURES``, or a function of two tensors.
        **options: of the measure.

    Raises:
        ValueError: no layers, an unknown measure; and what the measure raises, with the names of
            the layers.
        TypeError: an option that the measure does not have.
    """
    named = layers if isinstance(layers, Mapping) else {str(i): z for i, z in enumerate(layers)}
    if not named:
        raise ValueError("there are no layers; give at least one, by name.")
    entry = measure_of(measure)
    _check_options(entry, options)
    ready, compare = _in_two_steps(named, entry, options)
    names = [str(name) for name in named]
    matrix = np.zeros((len(names), len(names)))
    for i, row in enumerate(names):
        for j, column in enumerate(names):
            if j < i and entry.symmetric:
                matrix[i, j] = matrix[j, i]
            elif i == j and entry in MEASURES.values() and entry.kind == "distance":
                continue  # zero, whatever rounding would make of it
            else:
                try:
                    matrix[i, j] = compare(ready[i], ready[j])
                except ValueError as error:
                    raise ValueError(f"layers {row!r} (x) and {column!r} (y): {error}") from error
    return names, matrix


def layers_of(
    model: nn.Module, module: str, *, rule: Callable[[str], Any] | None = None
) -> dict[str, Tensor]:
    """Parameter name -> weight matrix (units, inputs) of one type of module, in order.

    Types are those of :func:`layer_groups`: "query" or "intermediate" in an encoder, "Conv2d
    16x144" in a convolutional network.

    Raises ``ValueError`` for a type that the model does not have, naming those it has.
    """
    groups = layer_groups(model, rule=rule)
    if module not in groups:
        raise ValueError(
            f"{type(model).__name__} has no layers of type {module!r}; it has "
            f"{', '.join(map(repr, groups))}."
        )
    return groups[module]


def layer_groups(
    model: nn.Module, *, rule: Callable[[str], Any] | None = None
) -> dict[str, dict[str, Tensor]]:
    """Type of module -> parameter name -> weight matrix (units, inputs), in order, detached.

    Which matrices there are and their types are those of ``metrics.norms.layer_weights``. A
    network without numbered layers is grouped by class and shape instead ("Conv2d 16x144": 16
    filters of 16 channels of 3x3), so that the members of a group can be compared. Convolutions
    are (out, in * kh * kw); modules that store their weights as (in, out), such as GPT-2's
    ``Conv1D`` and transposed convolutions, are turned round. The queries, keys and values that
    GPT-2 keeps in one ``attn.c_attn`` are there apart as well, all three under its name.
    """
    from workbench.metrics.norms import layer_weights, module_type  # imports torch

    groups: dict[str, dict[str, Tensor]] = {}
    for (layer, kind), name, parameter in layer_weights(model, rule or module_type):
        owner = model.get_submodule(name.rpartition(".")[0])
        weight = parameter.detach()
        if type(owner).__name__ == "Conv1D" or getattr(owner, "transposed", False):
            weight = weight.transpose(0, 1)
        weight = weight.flatten(1)
        if layer is None:
            kind = f"{type(owner).__name__} {weight.shape[0]}x{weight.shape[1]}"
        groups.setdefault(kind, {})[name] = weight
        if kind == "attn.c_attn" and len(weight) == 3 * weight.shape[1]:
            for part, third in zip(("query", "key", "value"), weight.chunk(3), strict=True):
                groups.setdefault(part, {})[name] = third
    return groups


def _in_two_steps(
    named: Mapping[str, Any], entry: Measure, options: dict[str, Any]
) -> tuple[list[Any], Callable[[Any, Any], float]]:
    """What is done once per layer, done; and what is left to do for a pair."""
    if entry.prepare is None or entry.compare is None:
        return list(named.values()), partial(entry.function, **options)
    once, later = (
        {key: value for key, value in options.items() if key in inspect.signature(step).parameters}
        for step in (entry.prepare, entry.compare)
    )
    ready = [entry.prepare(layer, f"layer {name!r}", **once) for name, layer in named.items()]
    return ready, partial(entry.compare, **later)


def _check_options(entry: Measure, options: dict[str, Any]) -> None:
    parameters = inspect.signature(entry.function).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    allowed = list(parameters)[2:]
    wrong = [key for key in options if key not in allowed]
    if wrong:
        raise TypeError(
            f"{getattr(entry.function, '__name__', entry.function)} has no option "
            f"{', '.join(map(repr, wrong))}; it has {', '.join(map(repr, allowed)) or 'none'}."
        )
