"""Weight sharing by k-means: a layer keeps a few values, and a short code for each weight."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from workbench.methods.kmeans import Clusters, Start, kmeans
from workbench.methods.layer_fusion.layers import fusible_layers
from workbench.methods.pruning.prunable import Rule, unwrap

Of = Literal["parameters", "128", "width"]


def cluster_count(weight: Tensor, keep: float, of: Of = "128") -> int:
    """How many clusters a layer gets: the thesis has three definitions.

    ================  ==========================================  ==========================
    ``of``            clusters                                    where
    ================  ==========================================  ==========================
    ``"128"``         ``keep`` x 128: 115 at "10% quantized"      A.3, after training
    ``"width"``       ``keep`` x the layer's width: 512 of        A.3, the figures
                      1024 at 50%
    ``"parameters"``  ``keep`` x the number of its weights        section 8.4.1
    ================  ==========================================  ==========================

    Only the first two make files smaller: with 50% of the weights as clusters, the codebook alone
    is half of the layer, and codes of nearly log2(n) bits are more than the rest. The width is the
    number of outputs (of a square layer also of inputs). Halves are rounded to the even number.

    Args:
        weight: outputs first.
        keep: share in (0, 1].
        of: the definition.

    Raises:
        ValueError: ``keep`` or ``of`` is out of range.
    """
    if not 0 < keep <= 1 or of not in get_args(Of):
        raise ValueError(
            f"keep must be in (0, 1] and of one of {get_args(Of)}, got {keep!r} and {of!r}"
        )
    whole = {"parameters": weight.numel(), "128": 128, "width": weight.shape[0]}[of]
    return max(1, round(keep * whole))


@torch.no_grad()
def share_weights(
    model: nn.Module,
    keep: float = 1.0,
    *,
    of: Of = "128",
    clusters: int | None = None,
    exact: bool = False,
    start: Start | None = None,
    rule: Rule | None = None,
) -> dict[str, Clusters]:
    r"""Replace each weight by the centroid of its cluster, layer by layer.

    .. math:: \min_C \sum_\ell \sum_{i=1}^{k} \sum_{\theta \in C_\ell^i} |\theta - c_\ell^i|^2

    the objective of thesis section A.3, where it is called quantisation. Filters are flattened.

    Args:
        model: changed in place.
        keep, of: the number of clusters, see ``cluster_count``.
        clusters: this number in every layer, instead.
        exact, start: see ``kmeans``.
        rule: predicate ``(module name, module) -> bool``: which layers, instead of those of
            ``layer_fusion.fusible_layers``.

    Returns:
        Parameter name -> clusters: what ``hold`` and ``stored_bytes(shared=...)`` need. A weight
        that several layers share is there once.

    Raises:
        ValueError: an option is out of range, nothing is selected, or a weight is not finite.

    References:
        Han, Mao and Dally, "Deep compression", ICLR 2016, arXiv 1510.00149.
    """
    inner = unwrap(model)
    layers = fusible_layers(inner, rule)
    names = {id(p): n for n, p in inner.named_parameters()}
    found: dict[str, Clusters] = {}
    for layer in layers.values():
        parameter = layer.parameters[layer.weight]
        name = names[id(parameter)]
        if name not in found:
            count = cluster_count(layer.matrix, keep, of) if clusters is None else clusters
            found[name] = kmeans(parameter, count, exact=exact, start=start)
    for name, parameter in inner.named_parameters():
        if name in found:
            parameter.copy_(found[name].values)
    return found


@torch.no_grad()
def project(model: nn.Module, shared: Mapping[str, Clusters]) -> None:
    """Set each weight to the mean of its cluster: the nearest weights that are shared as before.

    Raises:
        ValueError: the model has no such parameter, or one of another shape.
    """
    parameters = dict(unwrap(model).named_parameters(remove_duplicate=False))
    for name, clusters in shared.items():
        parameter = parameters.get(name)
        if parameter is None or parameter.shape != clusters.codes.shape:
            given = "no such parameter" if parameter is None else tuple(parameter.shape)
            raise ValueError(
                f"the codes of {name!r} have shape {tuple(clusters.codes.shape)}, the model has "
                f"{given}; give the model whose weights were shared"
            )
        codes = clusters.codes.reshape(-1).long().to(parameter.device)
        size = len(clusters.centroids)
        sums = torch.bincount(codes, parameter.reshape(-1).double(), size)
        means = sums / torch.bincount(codes, minlength=size).clamp(min=1)
        parameter.copy_(means[codes].reshape(parameter.shape))


def hold(model: nn.Module, shared: Mapping[str, Clusters], optimizer: torch.optim.Optimizer) -> Any:
    """Retrain shared weights: after every optimizer step, each cluster takes its mean.

    For SGD that is a step on the centroids, with the mean of the gradients of their weights (Han et
    al. sum them, which is the same with another learning rate for each centroid).

    Returns:
        A handle; ``remove()`` ends it.
    """
    project(model, shared)
    return optimizer.register_step_post_hook(lambda *_: project(model, shared))


def clusters_to_reach(weights: int, keep: float, *, bytes_each: int = 4) -> int:
    r"""The most clusters with which so many weights take at most a share ``keep`` of their bytes.

    .. math:: \max k:\quad \lceil n \lceil \log_2 k \rceil / 8 \rceil + b k \le \kappa\, b n

    Args:
        weights: n, how many share one codebook.
        keep: share :math:`\kappa` in (0, 1].
        bytes_each: b, of a weight that is not coded.

    Raises:
        ValueError: ``keep`` is out of range.
    """
    if not 0 < keep <= 1:
        raise ValueError(f"keep must be in (0, 1], the share of bytes that stays, got {keep!r}")
    budget, best = keep * bytes_each * weights, 1
    for bits in range(1, 32):
        room = int((budget - -(-weights * bits // 8)) // bytes_each)
        if room <= 2 ** (bits - 1):
            break
        best = min(room, 2**bits, weights)
    return best
