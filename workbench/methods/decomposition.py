"""Tensor decomposition: a layer as the product of two thin ones (thesis sections 8.4.1 and A.3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear

from workbench.methods.layer_fusion.layers import Layer, fusible_layers
from workbench.methods.pruning.linear import is_transposed
from workbench.methods.pruning.prunable import Rule, unwrap


def saving_rank(outputs: int, inputs: int, keep: float = 1.0) -> int:
    r"""The largest rank whose two factors hold at most a share ``keep`` of an m x n matrix.

    .. math:: r (m + n) \le \kappa\, m n, \qquad r < \frac{m n}{m + n}

    Corrected: the thesis counts any rank below min(m, n) as a reduction; a square layer is made
    smaller only below half of its width.

    Raises:
        ValueError: ``keep`` is not in (0, 1], or not even rank 1 is small enough.
    """
    if not 0 < keep <= 1:
        raise ValueError(f"keep must be in (0, 1], the share of weights that stays, got {keep!r}")
    # The nudge keeps a product that is a whole number in exact arithmetic from falling below it.
    rank = int(keep * outputs * inputs / (outputs + inputs) + 1e-9)
    if rank == outputs * inputs / (outputs + inputs):
        rank -= 1
    if rank < 1:
        raise ValueError(
            f"no rank keeps {keep} of a {outputs} x {inputs} matrix: rank 1 takes "
            f"{outputs + inputs} of {outputs * inputs} weights; leave this layer out"
        )
    return rank


def truncated_svd(
    weight: Tensor, rank: int, *, oversample: int = 10, iterations: int = 4, seed: int = 0
) -> tuple[Tensor, Tensor]:
    r"""Randomised truncated SVD, its singular values shared between both factors.

    .. math:: W \approx (U_r \Sigma_r^{1/2}) (\Sigma_r^{1/2} V_r^T)

    Cost :math:`O(m n (r + p))` for each pass over the matrix. Corrected: the printed
    :math:`O(m n \log k)` holds for structured sketches alone, not for Gaussian ones.

    Args:
        weight: (m, n).
        rank: r, from 1 to min(m, n).
        oversample: p, more directions than are kept.
        iterations: power iterations; with 4 the error is the best one of this rank to about 1%.
        seed: of the sketch; torch's global generator is left as it was.

    Returns:
        (m, r) and (r, n).

    Raises:
        ValueError: the rank is out of range.

    References:
        Halko, Martinsson and Tropp, "Finding structure with randomness", SIAM Review 53, 2011.
    """
    if not 1 <= rank <= min(weight.shape):
        raise ValueError(f"rank must be from 1 to {min(weight.shape)}, got {rank!r}")
    matrix = weight.detach()
    matrix = matrix.float() if matrix.dtype in (torch.float16, torch.bfloat16) else matrix
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        size = min(rank + oversample, *matrix.shape)
        left, values, right = torch.svd_lowrank(matrix, size, iterations)
    root = values[:rank].sqrt()
    return (left[:, :rank] * root).to(weight.dtype), (right[:, :rank] * root).T.to(weight.dtype)


def decompose(
    model: nn.Module,
    keep: float,
    *,
    iterations: int = 4,
    seed: int = 0,
    rule: Rule | None = None,
) -> dict[str, int]:
    """Replace each layer by two thin ones of the largest rank that keeps this share of its weights.

    ``torch.nn.Linear`` and GPT-2's ``Conv1D`` become two ``Linear``; a convolution becomes one with
    fewer outputs and a 1x1 convolution. Each pair is an ``nn.Sequential`` under the old name, so
    that parameters are called ``NAME.0.weight``, ``NAME.1.weight`` and ``NAME.1.bias``; weights are
    read into a model that was decomposed in the same way.

    Args:
        model: changed in place.
        keep: share of each layer's weights, in (0, 1].
        iterations, seed: see ``truncated_svd``.
        rule: predicate ``(module name, module) -> bool``: which layers, instead of those of
            ``layer_fusion.fusible_layers``.

    Returns:
        Layer name -> rank.

    Raises:
        ValueError: no rank is small enough for a layer, or it is of a kind that cannot be replaced.
            Nothing is changed.
    """
    inner = unwrap(model)
    ranks: dict[str, int] = {}
    made: dict[str, nn.Sequential] = {}
    for name, layer in fusible_layers(inner, rule).items():
        matrix = flat_matrix(name, layer)
        outputs, inputs = matrix.shape
        ranks[name] = saving_rank(outputs, inputs, keep)
        factors = truncated_svd(matrix, ranks[name], iterations=iterations, seed=seed)
        made[name] = two_layers(layer, *factors)
    for name, pair in made.items():
        pair.decomposed = True  # told by ``merge`` from a sequence that somebody built
        put(inner, name, pair)
    return ranks


@torch.no_grad()
def merge(model: nn.Module) -> list[str]:
    """Undo ``decompose``: each pair of thin layers becomes one layer again, their product.

    The network computes what it did. So a decomposed network that was retrained can be decomposed
    once more, to a lower rank; as its layers' rank is that of the factors, nothing is lost.

    Returns:
        Names of the layers that were merged; only pairs that ``decompose`` made are.
    """
    inner = unwrap(model)
    names = [
        name
        for name, module in inner.named_modules()
        if isinstance(module, nn.Sequential) and getattr(module, "decomposed", False)
    ]
    for name in names:
        first, second = inner.get_submodule(name)
        if isinstance(first, nn.Linear):
            whole: nn.Module = nn.Linear(
                first.in_features, second.out_features, bias=second.bias is not None
            )
            weight = second.weight @ first.weight
        else:
            whole = type(first)(
                first.in_channels, second.out_channels, first.kernel_size, first.stride,
                first.padding, first.dilation, bias=second.bias is not None,
                padding_mode=first.padding_mode,
            )  # fmt: skip
            left, right = second.weight.flatten(1), first.weight.flatten(1)
            weight = (left @ right).reshape(len(left), *first.weight.shape[1:])
        whole.to(weight)
        whole.weight.copy_(weight)
        if second.bias is not None:
            whole.bias.copy_(second.bias)
        put(inner, name, whole.train(first.training))
    return names


def flat_matrix(name: str, layer: Layer) -> Tensor:
    """(outputs, everything else) weight of a layer that can be replaced by two.

    Raises:
        ValueError: it cannot.
    """
    module = layer.module
    hidden = isinstance(module, NonDynamicallyQuantizableLinear | nn.MultiheadAttention)
    if hidden or getattr(module, "groups", 1) != 1:
        what = "grouped convolution" if not hidden else "part of torch.nn.MultiheadAttention"
        raise ValueError(
            f"{name!r} is a {what} and cannot be replaced by two layers; leave it out with "
            "rule=lambda name, module: ..."
        )
    return layer.matrix.flatten(1)


def two_layers(
    layer: Layer,
    left: Tensor,
    right: Tensor,
    *,
    hidden_bias: Tensor | None = None,
    bias: Tensor | None = None,
    between: nn.Module | None = None,
) -> nn.Sequential:
    """``layer`` as two: ``right`` (rank, inputs), then ``left`` (outputs, rank) and the bias.

    Args:
        layer: what is replaced; strides, padding and the bias are its own.
        left, right: the factors.
        hidden_bias: (rank,) bias of the first layer; none when left out.
        bias: (outputs,) bias of the second; that of the layer when left out.
        between: an activation between the two.
    """
    module, rank = layer.module, len(right)
    old = layer.parameters.get(layer.bias)
    bias = old if bias is None else bias
    if isinstance(module, nn.Linear) or is_transposed(module):
        first: nn.Module = nn.Linear(right.shape[1], rank, bias=hidden_bias is not None)
        second: nn.Module = nn.Linear(rank, len(left), bias=bias is not None)
    else:
        kind = type(module)
        first = kind(
            module.in_channels, rank, module.kernel_size, module.stride, module.padding,
            module.dilation, bias=hidden_bias is not None, padding_mode=module.padding_mode,
        )  # fmt: skip
        second = kind(rank, module.out_channels, 1, bias=bias is not None)
    for target, weight, shift in ((first, right, hidden_bias), (second, left, bias)):
        shape = target.weight.shape
        target.weight = nn.Parameter(weight.detach().reshape(shape).clone())
        if shift is not None:
            target.bias = nn.Parameter(shift.detach().clone())
    parts = [first, second] if between is None else [first, between, second]
    return nn.Sequential(*parts).train(module.training)


def put(model: nn.Module, name: str, module: nn.Module) -> None:
    """Put ``module`` where the one called ``name`` was.

    Raises:
        ValueError: that is the model itself.
    """
    if not name:
        raise ValueError("the model is a single layer; put it into nn.Sequential to replace it")
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, module)
