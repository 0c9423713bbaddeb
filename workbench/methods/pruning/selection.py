"""The exact selection of the largest scores over many tensors, without sorting or joining them.

The threshold is found as Floyd and Rivest (1975) do: a sample brackets it, one pass counts what
lies above the bracket and collects what lies inside, and only that little is searched.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch
from torch import Tensor

_CHUNK = 1 << 17  # elements at a time: temporary arrays stay in the cache
_SAMPLE = 1 << 16


def count_to_keep(density: float, total: int) -> int:
    """``density * total`` rounded half to even, the exact number of weights that stay."""
    return round(float(density) * total)


def check_scores(scores: Mapping[str, Tensor]) -> dict[str, int]:
    """Refuse scores that have no order, naming the layer; else the number of scores of each.

    Raises:
        TypeError: a score is not a tensor of floating-point numbers.
        ValueError: there are no scores, or one is NaN or infinite.
    """
    sizes = {}
    for name, score in scores.items():
        if not isinstance(score, Tensor) or not score.is_floating_point():
            kind = score.dtype if isinstance(score, Tensor) else type(score).__name__
            raise TypeError(f"scores of {name!r} must be a floating-point tensor, got {kind}")
        sizes[name] = score.numel()
        for chunk in _chunks(score):
            if chunk.numel() and not all(map(math.isfinite, torch.aminmax(chunk))):
                bad = int((~torch.isfinite(score)).sum())
                raise ValueError(
                    f"scores of {name!r} hold {bad} NaN or infinite values of {score.numel()}, "
                    "which have no rank; look for diverged weights or gradients, or replace them "
                    "with torch.nan_to_num before pruning"
                )
    if not sum(sizes.values()):
        raise ValueError("there are no scores to rank; got an empty mapping")
    return sizes


@torch.no_grad()
def keep_largest(
    scores: Mapping[str, Tensor], keep: int, within: Mapping[str, Tensor] | None = None
) -> dict[str, Tensor]:
    """Boolean masks with exactly ``keep`` True entries, at the largest scores.

    Ties are broken by position: the earlier tensor, then the lower flat index, stays.

    Args:
        scores: name -> finite scores; read one tensor at a time, a few times over.
        keep: how many entries stay, at most the number of eligible ones.
        within: name -> boolean mask of eligible entries; all of them when left out.

    Returns:
        Name -> boolean tensor of the score's shape and device. Besides these, no more memory is
        taken than one copy of the scores in the worst case, and usually a few per cent of it.
    """
    if len({score.dtype for score in scores.values()}) > 1:
        scores = {name: score.double() for name, score in scores.items()}  # compare exactly
    threshold = _kth_largest(scores, keep, within) if keep else math.inf
    masks: dict[str, Tensor] = {}
    missing = keep
    for name, score in scores.items():
        masks[name] = (score > threshold).contiguous()
        if within is not None:
            masks[name] &= within[name]
        missing -= int(torch.count_nonzero(masks[name]))
    for name, score in scores.items():
        if missing == 0:
            break
        ties = score == threshold
        if within is not None:
            ties &= within[name]
        chosen = ties.reshape(-1).nonzero().squeeze(1)[:missing]
        masks[name].view(-1)[chosen] = True
        missing -= len(chosen)
    return masks


@torch.no_grad()
def keep_share_of_rows(
    name: str, score: Tensor, density: float, within: Tensor | None = None, outputs: int = 0
) -> Tensor:
    """A boolean mask with the same share of each row, at its largest scores.

    A row is all that one index of dimension ``outputs`` leads to. Of ties the lower index stays.

    Raises:
        ValueError: there are no rows, the share is no weight, or ``within`` leaves too few.
    """
    if score.dim() < 2 or not -score.dim() <= outputs < score.dim():
        raise ValueError(
            f"{name!r} has shape {tuple(score.shape)}: no rows along outputs={outputs} to compare "
            "within; rank it with Masks.layerwise"
        )
    rows = score.movedim(outputs, 0)
    ranked = rows.flatten(1)
    keep = count_to_keep(density, ranked.shape[1])
    if keep == 0:
        raise ValueError(f"density {density} keeps no weight of any row of {name!r}; raise it")
    if within is not None:
        eligible = within.movedim(outputs, 0).flatten(1)
        left = int(eligible.sum(1).min())
        if keep > left:
            raise ValueError(
                f"density {density} keeps {keep} weights in each row of {name!r}, but the masks in "
                f"within= left only {left} in one: pruned weights do not come back. Lower the "
                "density, or rank without within="
            )
        ranked = ranked.masked_fill(~eligible, -math.inf)
    order = ranked.sort(dim=1, descending=True, stable=True).indices[:, :keep]
    mask = torch.zeros(ranked.shape, dtype=torch.bool, device=score.device).scatter_(1, order, True)
    return mask.view(rows.shape).movedim(0, outputs).contiguous()


def _kth_largest(
    scores: Mapping[str, Tensor], rank: int, within: Mapping[str, Tensor] | None
) -> float:
    """The value of the ``rank``-th largest eligible score (``rank`` counts from 1)."""
    counted = scores if within is None else within
    total = sum(
        t.numel() if within is None else int(torch.count_nonzero(t)) for t in counted.values()
    )
    sample = _sample(scores, within).sort(descending=True).values
    size = len(sample)
    if size == total:
        return float(sample[rank - 1])
    share = rank / total
    margin = 6 * math.sqrt(size * share * (1 - share)) + 6  # six standard deviations
    above, below = math.floor(share * size - margin), math.ceil(share * size + margin)
    high = float(sample[above]) if above >= 0 else math.inf
    low = float(sample[below]) if below < size else -math.inf
    value = _search(scores, rank, within, low, high)
    if value is None:  # the sample was not representative (periodic scores): search them all
        value = _rank_of(_join(_eligible(scores, within)), rank)
    return value


def _search(
    scores: Mapping[str, Tensor],
    rank: int,
    within: Mapping[str, Tensor] | None,
    low: float,
    high: float,
) -> float | None:
    """The ``rank``-th largest score if it lies in ``[low, high]``, else None."""
    at_least_high, inside = 0, []
    for chunk in _eligible(scores, within):
        at_least_high += int(torch.count_nonzero(chunk >= high))
        inside.append(chunk[(chunk > low) & (chunk < high)])
    between = _join(inside)
    if rank <= at_least_high:
        above = sum(int(torch.count_nonzero(c > high)) for c in _eligible(scores, within))
        return high if rank > above else None
    rank -= at_least_high
    if rank <= len(between):
        return _rank_of(between, rank)
    at_low = sum(int(torch.count_nonzero(c == low)) for c in _eligible(scores, within))
    return low if rank <= len(between) + at_low else None


def _rank_of(values: Tensor, rank: int) -> float:
    if values.device.type != "cpu":
        return float(values.kthvalue(len(values) - rank + 1).values)
    array = (values.float() if values.dtype.itemsize < 4 else values).numpy()
    array.partition(len(array) - rank)  # in place: ``values`` is ours
    return float(array[len(array) - rank])


def _sample(scores: Mapping[str, Tensor], within: Mapping[str, Tensor] | None) -> Tensor:
    """An evenly spaced part of the eligible scores; all of them if they are few."""
    total = sum(t.numel() for t in (within or scores).values())
    # An odd stride does not fall into step with rows of 2^k or 3 * 2^k entries.
    stride = 1 if total <= _SAMPLE else total // _SAMPLE | 1
    parts = []
    for name, score in scores.items():
        part = score.reshape(-1)[::stride]
        if within is not None:
            part = part[within[name].reshape(-1)[::stride]]
        parts.append(part.clone())  # a view would keep all of a lazily computed score alive
    return _join(parts)


def _eligible(
    scores: Mapping[str, Tensor], within: Mapping[str, Tensor] | None
) -> Iterator[Tensor]:
    for name, score in scores.items():
        if within is None:
            yield from _chunks(score)
        else:
            for chunk, eligible in zip(_chunks(score), _chunks(within[name]), strict=True):
                yield chunk[eligible]


def _chunks(tensor: Tensor) -> Sequence[Tensor]:
    return tensor.detach().reshape(-1).split(_CHUNK)


def _join(parts: Iterable[Tensor]) -> Tensor:
    first, *rest = parts
    return torch.cat([first, *(part.to(first.device) for part in rest)])
