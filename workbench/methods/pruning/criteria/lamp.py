"""LAMP: a weight's share of what would be left of its layer if all smaller weights were gone."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor, nn

from workbench.methods.pruning.prunable import Rule, prunable_parameters

_LARGEST = 0x7FFFFFFF  # above the bit pattern of any non-negative float32


@torch.no_grad()
def lamp(model: nn.Module, prunable: Rule | None = None) -> dict[str, Tensor]:
    r"""Score every prunable weight by layer-adaptive magnitude.

    .. math:: \mathrm{score}(u; W) = \frac{W_u^2}{\sum_{v \ge u} W_v^2}

    with the weights of one layer indexed in ascending order of magnitude, so that the sum runs over
    the weight itself and all that are larger. Inside a layer the order is that of the magnitude;
    the scores only decide how a budget is shared between layers, so they are meant for
    ``Masks.globally``. The largest weight of every layer scores 1: no layer loses all its weights
    while the budget exceeds their number. Scores do not change if a layer is scaled.

    Of equal magnitudes the one of lower index counts as larger, as in ``Masks``. Sums are taken in
    float64: in float32 the tail of a large layer drowns in its total. Weights that are exactly zero
    score 0, so a pruned weight never outranks a living one.

    Args:
        model: any module; nothing in it is changed.
        prunable: predicate ``(module name, module) -> bool`` instead of the default rule.

    Returns:
        Parameter name -> tensor in [0, 1] of the parameter's shape, on its device; float64 for
        float64 weights, else float32.

    Raises:
        ValueError: the rule selects no weight. (NaN or infinite weights give NaN scores, which
            ``Masks`` refuses by name.)

    References:
        Lee et al., "Layer-adaptive sparsity for the magnitude-based pruning", ICLR 2021, eq. 4.
    """
    parameters = prunable_parameters(model, prunable)
    # A sort keeps one core busy, so layers are shared among the threads that torch may use; each
    # thread keeps its scratch arrays, because fresh ones cost as much as the arithmetic.
    workers = min(max(1, torch.get_num_threads()), len(parameters))
    items = sorted(parameters.items(), key=lambda item: -item[1].numel())
    with ThreadPoolExecutor(workers) as pool:
        parts = pool.map(_score_all, [items[i::workers] for i in range(workers)])
        scores = {name: score for part in parts for name, score in part.items()}
    return {name: scores[name] for name in parameters}


@torch.no_grad()  # the mode of the calling thread does not hold in a pool
def _score_all(items: Sequence[tuple[str, Tensor]]) -> dict[str, Tensor]:
    packed = [w.numel() for _, w in items if _is_packed(w)]
    scratch = _Scratch(max(packed, default=0))
    return {
        name: _by_packed_sort(weight.detach(), scratch)
        if _is_packed(weight)
        else _by_argsort(weight.detach())
        for name, weight in items
    }


def _is_packed(weight: Tensor) -> bool:
    return weight.dtype != torch.float64 and not weight.is_cuda


def _by_argsort(weight: Tensor) -> Tensor:
    """The definition as it stands: sort, running sum from the largest down, back into place."""
    magnitudes, order = weight.abs().flatten().sort(descending=True, stable=True)
    squares = magnitudes.double().square_()
    shares = (squares / squares.cumsum(0)).masked_fill_(squares == 0, 0)
    scores = torch.empty_like(shares).scatter_(0, order, shares)
    return scores.to(torch.promote_types(weight.dtype, torch.float32)).view(weight.shape)


class _Scratch:
    def __init__(self, size: int) -> None:
        self.keys, self.index = np.empty(size, np.int64), np.empty(size, np.int64)
        self.positions, self.squares = np.arange(size), np.empty(size)
        self.single = np.empty(size, np.float32)


def _by_packed_sort(weight: Tensor, scratch: _Scratch) -> Tensor:
    """The same for at most 32 bits, some five times faster.

    The bit patterns of non-negative floats are in the order of the floats. Pattern and index packed
    into one integer sort by vectorised code that has no counterpart for pairs, and no two are
    equal, so that the sort need not be stable.
    """
    size = weight.numel()
    keys, index, squares = scratch.keys[:size], scratch.index[:size], scratch.squares[:size]
    single = scratch.single[:size]
    bits = single.view(np.int32)
    np.abs(weight.to("cpu", torch.float32).numpy().reshape(-1), out=single)
    np.subtract(_LARGEST, bits, out=keys, dtype=np.int64)
    keys <<= 32
    keys |= scratch.positions[:size]
    keys.sort()
    np.bitwise_and(keys, 0xFFFFFFFF, out=index)
    keys >>= 32
    np.subtract(_LARGEST, keys, out=bits, casting="unsafe")
    np.multiply(single, single, out=squares, dtype=np.float64)
    sums = np.cumsum(squares, out=keys.view(np.float64))
    if size and sums[0] == 0:  # a layer of zeros alone: 0 / 0
        sums += 1
    with np.errstate(invalid="ignore"):  # NaN scores are refused by Masks, with the layer's name
        np.divide(squares, sums, out=single, casting="unsafe")
    scores = np.empty(size, np.float32)
    scores[index] = single
    return torch.from_numpy(scores).view(weight.shape).to(weight.device)
