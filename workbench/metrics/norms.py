"""Norms and histograms of weights, gradients and any tensors, by layer and by type of module.

One rule, :func:`module_type`, reads a parameter's name. It knows the names of BERT, RoBERTa,
XLM-R, ELECTRA, ViT and DistilBERT; in other networks with numbered layers the module is named by
the rest of the parameter's name. Pass ``rule=`` to name them otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Literal, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

MODULES = ("query", "key", "value", "attention output", "intermediate", "output")
"""The six weight matrices of a transformer encoder layer, in the order they are applied."""

Place = tuple[int | None, str]
Grid = tuple[tuple[int | None, ...], tuple[str, ...]]
Rule = Callable[[str], Place]
AnyTensor = TypeVar("AnyTensor", bound=Tensor)

_LAYER = re.compile(r"(?:^|\.)(?:layers?|h|blocks?)\.(\d+)\.(.+)$")
_NAMES = (
    (r"(attention\.(self\.|attention\.)?(query|q_lin)|self_attn\.q_proj)", "query"),
    (r"(attention\.(self\.|attention\.)?(key|k_lin)|self_attn\.k_proj)", "key"),
    (r"(attention\.(self\.|attention\.)?(value|v_lin)|self_attn\.v_proj)", "value"),
    (r"(attention\.(output\.dense|out_lin)|self_attn\.(o_proj|out_proj))", "attention output"),
    (r"(intermediate\.dense|ffn\.lin1|fc1)", "intermediate"),
    (r"(output\.dense|ffn\.lin2|fc2)", "output"),
)
_PATTERNS = tuple((re.compile(pattern), module) for pattern, module in _NAMES)


class Norm(NamedTuple):
    """Norm of one weight matrix: ``layer`` from 0 (None outside layers), ``module``, ``norm``."""

    layer: int | None
    module: str
    norm: float


def module_type(name: str) -> Place:
    """Layer index and module type of a parameter name.

    ``"encoder.layer.3.attention.self.query.weight"`` is ``(3, "query")``; an unknown name keeps
    what follows the layer, ``"h.0.attn.c_attn.weight"`` is ``(0, "attn.c_attn")``; a name without
    a numbered layer is ``(None, "embeddings.word_embeddings")``.
    """
    bare = name.removesuffix(".weight")
    found = _LAYER.search(bare)
    if not found:
        return None, bare
    layer, rest = int(found[1]), found[2]
    for pattern, module in _PATTERNS:
        if pattern.fullmatch(rest):
            return layer, module
    return layer, rest


def layer_weights(
    model: nn.Module | Mapping[str, AnyTensor], rule: Rule = module_type
) -> list[tuple[Place, str, AnyTensor]]:
    """((layer, module), name, tensor) of the weight matrices inside numbered layers, in order.

    Of a model's parameters, or of a mapping from parameter names to tensors. Matrices have two or
    more dimensions and are called ``weight``: biases and layer norms are left out, and so are
    embeddings, pooler and classifier, which lie outside the layers. Without numbered layers all
    weight matrices are given, with layer None. Raises ``ValueError`` where there is none.
    """
    named = dict(model.named_parameters()) if isinstance(model, nn.Module) else model
    matrices = [
        (rule(name), name, tensor)
        for name, tensor in named.items()
        if tensor.ndim >= 2 and name.split(".")[-1] == "weight"
    ]
    inside = [entry for entry in matrices if entry[0][0] is not None]
    if not matrices:
        raise ValueError(
            f"{type(model).__name__} has no weight matrix (a parameter named 'weight' of two or "
            "more dimensions); there is nothing to measure."
        )
    return inside or matrices


def weight_norms(model: nn.Module, *, rule: Rule = module_type) -> list[Norm]:
    """Frobenius norm of each weight matrix of the layers; removed weights add nothing.

    Raises ``ValueError`` naming the parameter that holds NaN or infinity.
    """
    return _norms(_values(model, "weight", rule, surviving=False))


def gradient_norms(
    model: nn.Module, *, rule: Rule = module_type, surviving: bool = False
) -> list[Norm]:
    """Frobenius norm of each ``.grad`` of the layers' weight matrices, after ``loss.backward()``.

    ``surviving=True`` leaves out the gradients of removed weights (weights that are exactly 0). A
    matrix that no gradient reached has norm 0. Raises ``ValueError`` if none was reached, or a
    gradient holds NaN or infinity.
    """
    return _norms(_values(model, "gradient", rule, surviving))


def tensor_norms(tensors: Mapping[str, Tensor], *, rule: Rule = module_type) -> list[Norm]:
    """Frobenius norm of each tensor that has the name of a weight matrix of the layers.

        tensor_norms({name: now[name] - before[name] for name in now})     # how far each moved

    Args:
        tensors: parameter name -> tensor, such as updates, distances or merged adapters. Names
            that :func:`layer_weights` leaves out of a model are left out here too.
        rule: names layer and module.

    Raises:
        ValueError: there is no weight matrix, or one holds NaN or infinity.
    """
    return _norms(_checked(layer_weights(tensors, rule), "value"))


def histograms(
    model: nn.Module,
    what: Literal["weight", "gradient"] = "weight",
    *,
    bins: int = 48,
    edges: np.ndarray | None = None,
    surviving: bool = True,
    rule: Rule = module_type,
) -> tuple[np.ndarray, np.ndarray]:
    """Counts (layers, modules, bins) and the common edges (bins + 1,) of weights or gradients.

    The layers and modules are those of :func:`grid`: for a BERT the modules are ``MODULES``.
    By default the edges span 4 root-mean-squares (of all values together) on both sides of 0;
    pass the ``edges`` of an earlier call, equally spaced, to compare. Values beyond the
    edges count in the outermost bins, so that nothing is lost.

    ``surviving=True`` leaves out removed weights (exactly 0) and their gradients, which would
    otherwise drown all else in one bin.
    """
    return _histograms(_values(model, what, rule, surviving), grid(model, rule=rule), bins, edges)


def tensor_histograms(
    tensors: Mapping[str, Tensor],
    *,
    bins: int = 48,
    edges: np.ndarray | None = None,
    nonzero: bool = False,
    rule: Rule = module_type,
) -> tuple[np.ndarray, np.ndarray]:
    """As :func:`histograms`, of the tensors that :func:`tensor_norms` measures.

    ``nonzero=True`` leaves out values that are exactly 0, such as the updates of weights that did
    not move; of the weights of a model this is its ``surviving=True``.
    """
    entries = _checked(layer_weights(tensors, rule), "value")
    if nonzero:
        entries = ((place, values[values != 0]) for place, values in entries)
    return _histograms(entries, grid(tensors, rule=rule), bins, edges)


def _histograms(
    values: Iterable[tuple[Place, Tensor]], places: Grid, bins: int, edges: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    (layers, modules), entries = places, list(values)
    if edges is None:
        if bins < 1:
            raise ValueError(f"bins={bins}; at least 1 is needed.")
        squares = sum(_frobenius(part) ** 2 for _, part in entries)
        limit = 4.0 * (squares / max(1, sum(part.numel() for _, part in entries))) ** 0.5
        edges = np.linspace(-(limit or 1.0), limit or 1.0, bins + 1)
    edges = np.asarray(edges, dtype=np.float64)
    steps = np.diff(edges)
    if len(steps) < 1 or steps.min() <= 0 or not np.allclose(steps, steps[0], rtol=1e-3):
        raise ValueError("edges must be two or more increasing, equally spaced numbers.")
    counts = np.zeros((len(layers), len(modules), len(steps)), dtype=np.int64)
    for (layer, module), part in entries:
        counts[layers.index(layer), modules.index(module)] += _counts(part, edges)
    return counts, edges


def grid(model: nn.Module | Mapping[str, Tensor], *, rule: Rule = module_type) -> Grid:
    """Layers (in order) and modules (``MODULES`` first, then as found) of a model or mapping."""
    places = [place for place, _, _ in layer_weights(model, rule)]
    layers = tuple(dict.fromkeys(layer for layer, _ in places))
    found = tuple(dict.fromkeys(module for _, module in places))
    known = tuple(module for module in MODULES if module in found)
    return layers, known + tuple(module for module in found if module not in MODULES)


def _values(
    model: nn.Module, what: str, rule: Rule, surviving: bool
) -> Iterator[tuple[Place, Tensor]]:
    """(layer, module) and the checked, detached values of each weight matrix."""
    if what not in ("weight", "gradient"):
        raise ValueError(f"what={what!r}; allowed are 'weight' and 'gradient'.")
    entries = layer_weights(model, rule)
    if what == "weight":
        found = entries
    elif all(parameter.grad is None for _, _, parameter in entries):
        raise ValueError(
            "no weight matrix has a gradient. Call loss.backward() first, and measure before "
            "optimizer.zero_grad()."
        )
    else:
        found = [(place, name, _gradient(parameter)) for place, name, parameter in entries]
    for (_, _, parameter), (place, values) in zip(entries, _checked(found, what), strict=True):
        yield place, values[parameter.detach() != 0] if surviving else values


def _gradient(parameter: Tensor) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


def _checked(
    entries: Iterable[tuple[Place, str, Tensor]], what: str
) -> Iterator[tuple[Place, Tensor]]:
    """(layer, module) and the detached values, which are finite."""
    for place, name, values in entries:
        if not torch.isfinite(values).all():
            raise ValueError(
                f"the {what} of {name!r} holds NaN or infinity. Lower the learning rate, or go "
                "back to the last checkpoint."
            )
        yield place, values.detach()


def _norms(entries: Iterable[tuple[Place, Tensor]]) -> list[Norm]:
    return [Norm(*place, _frobenius(values)) for place, values in entries]


def _frobenius(values: Tensor) -> float:
    """Euclidean norm of all entries, accumulated in float64 whatever the dtype."""
    return float(torch.linalg.vector_norm(values, dtype=torch.float64))


def _counts(values: Tensor, edges: np.ndarray) -> np.ndarray:
    """Histogram over equally spaced edges; values outside go to the first and last bin."""
    low, high = float(edges[0]), float(edges[-1])
    total = np.zeros(len(edges) - 1, dtype=np.int64)
    for part in values.flatten().split(1 << 24):  # histc counts in floats: exact up to 2^24
        part = part.float().clamp(low, high)
        total += torch.histc(part, len(total), low, high).long().cpu().numpy()
    return total
