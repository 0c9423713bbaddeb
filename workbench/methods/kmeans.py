"""K-means in one dimension, where the best clusters are intervals: fast, and exact if asked for."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import numpy as np
import torch
from torch import Tensor

Start = Literal["exact", "density", "quantile"]
# Cuts that the exact start considers; refinement finds those in between.
_CUTS = 1024
# Above these numbers of clusters the exact start, and refinement, take longer than they save.
_MANY, _TOO_MANY = 256, 4096


class Clusters(NamedTuple):
    """Centroids in rising order, the number of each value's centroid, and the squared distances."""

    centroids: Tensor  # (clusters,), dtype of the values
    codes: Tensor  # shape of the values, uint8, int16 or int32
    objective: float

    @property
    def values(self) -> Tensor:
        """Every value replaced by its centroid."""
        return self.centroids[self.codes.long()]


def kmeans(
    values: Tensor,
    clusters: int,
    *,
    exact: bool = False,
    start: Start | None = None,
    iterations: int = 300,
) -> Clusters:
    r"""Cluster numbers so that the sum of squared distances to the centroids is least.

    .. math:: \min_{c_1, \dots, c_k} \sum_i \min_j (x_i - c_j)^2

    The best clusters of numbers are runs of them in sorted order, so that k - 1 cuts are all there
    is to find, and prefix sums give the cost of any run at once. By default: the best of a
    thousand cuts (a dynamic program), Lloyd's algorithm on all cuts to its fixed point, then cuts
    moved together, by dynamic programs over a window around each, until no such move helps. That
    comes within two thousandths of the optimum, in a second or two for 590k weights;
    ``exact=True`` alone is proven to be the optimum.

    Args:
        values: any shape, finite; computed in float64.
        clusters: k, at least 1; no more clusters than distinct values are made.
        exact: the optimum by the dynamic program over all distinct values,
            :math:`O(k n \log n)` time (minutes for 590k values and 128 clusters) and
            4 k n bytes.
        start: ``"exact"`` as above (the default up to 256 clusters), ``"density"`` (cuts by the
            cube root of the density, refined up to 4096 clusters), or ``"quantile"`` (equal counts,
            and Lloyd's algorithm alone).
        iterations: of Lloyd's algorithm at most.

    Raises:
        ValueError: nothing to cluster, a value that is not finite, or an option out of range.

    References:
        Wang and Song, "Ckmeans.1d.dp", The R Journal 3, 2011.
        Grønlund et al., "Fast exact k-means, k-medians and Bregman divergence clustering in 1D",
        2017, arXiv 1701.07204.
    """
    flat = values.detach().cpu().reshape(-1).double().numpy()
    if start is None:
        start = "exact" if clusters <= _MANY else "density"
    if clusters < 1 or iterations < 0 or start not in get_args(Start):
        raise ValueError(
            f"clusters must be at least 1, iterations at least 0 and start one of "
            f"{get_args(Start)}; got {clusters}, {iterations} and {start!r}"
        )
    if not len(flat) or not np.isfinite(flat).all():
        raise ValueError(f"k-means needs finite values, got {values.numel()} with NaN or infinity")
    sums = _Sums(flat)
    count = min(clusters, sums.size)
    if count == sums.size:
        cuts = np.arange(sums.size + 1)
    elif exact:
        cuts = _best(sums, np.arange(sums.size + 1), count)
    else:
        cuts = _lloyd(sums, _first(sums, count, start), iterations)
        if start != "quantile" and 2 < len(cuts) <= _TOO_MANY + 1:
            cuts = _refine(sums, cuts)
    centroids = torch.from_numpy(sums.means(cuts)).to(values)
    # The narrowest type of torch that can index; codes take fewer bits still when they are stored.
    narrow = torch.uint8 if count <= 256 else torch.int16 if count <= 2**15 else torch.int32
    codes = np.searchsorted(sums.points[cuts[1:-1]], flat, side="right")
    shaped = torch.from_numpy(codes).to(narrow).reshape(values.shape).to(values.device)
    return Clusters(centroids, shaped, float(sums.cost(cuts[:-1], cuts[1:]).sum()))


class _Sums:
    """Sorted distinct values, and the cost of any run of them in constant time."""

    def __init__(self, flat: np.ndarray) -> None:
        ordered = np.sort(flat)
        first = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
        self.points = ordered[first]
        self.size = len(first)
        counts = np.diff(np.append(first, len(flat)))
        self.middle = float(ordered.mean())  # squares of centred values cancel less
        centred = self.points - self.middle
        start = np.zeros(1)
        self.weight = np.concatenate([start, np.cumsum(counts)])
        self.linear = np.concatenate([start, np.cumsum(counts * centred)])
        self.square = np.concatenate([start, np.cumsum(counts * centred**2)])

    def cost(self, i: np.ndarray, j: np.ndarray) -> np.ndarray:
        """Squared distances of points i, ..., j - 1 to their mean; infinite for none."""
        weight, linear = self.weight[j] - self.weight[i], self.linear[j] - self.linear[i]
        some = weight > 0
        spread = self.square[j] - self.square[i] - linear**2 / np.where(some, weight, 1)
        return np.where(some, np.maximum(spread, 0), np.inf)

    def means(self, cuts: np.ndarray) -> np.ndarray:
        return np.diff(self.linear[cuts]) / np.diff(self.weight[cuts]) + self.middle


def _first(sums: _Sums, count: int, start: Start) -> np.ndarray:
    if start == "exact":
        cuts = _spread(sums, min(sums.size, max(_CUTS, 8 * count)), 1 / 3)
        return _best(sums, cuts, count)
    return _spread(sums, count, 1 if start == "quantile" else 1 / 3)


def _spread(sums: _Sums, count: int, power: float) -> np.ndarray:
    """``count`` runs of equal mass under the density to this power.

    The best quantiser of many levels has levels as dense as the cube root of the density (Panter
    and Dite 1951).
    """
    if power == 1:
        mass = sums.weight
    else:
        edges = np.linspace(sums.points[0], sums.points[-1], 4097)
        at = np.searchsorted(sums.points, edges[1:-1])
        heights = np.diff(sums.weight[np.concatenate([[0], at, [sums.size]])]) ** power
        total = np.concatenate([[0.0], np.cumsum(heights)])
        # Each point at the middle of the step that it makes in its bin.
        mass = np.interp(np.append(sums.points, edges[-1]), edges, total)
    wanted = np.linspace(mass[0], mass[-1], count + 1)[1:-1]
    cuts = np.searchsorted(mass, wanted)
    return _rising(sums, cuts)


def _rising(sums: _Sums, inner: np.ndarray) -> np.ndarray:
    """All cuts from the inner ones, moved so far that each run has at least one value."""
    steps = np.arange(1, len(inner) + 1)
    inner = np.maximum.accumulate(np.maximum(inner, steps) - steps) + steps
    inner = np.minimum(inner, sums.size - 1 - len(inner) + steps)
    return np.concatenate([[0], inner, [sums.size]])


def _best(sums: _Sums, allowed: np.ndarray, count: int) -> np.ndarray:
    r"""The ``count`` runs of least cost that begin and end at ``allowed`` cuts.

    :math:`D_c(j) = \min_{i < j} D_{c-1}(i) + \mathrm{cost}(i, j)`. The best i rises with j, so that
    the best of the middle j bounds those to its left and right: each halving looks at O(n) pairs,
    all at once.
    """
    last = len(allowed) - 1
    distance = np.concatenate([[np.inf], sums.cost(allowed[:1], allowed[1:])])
    back = np.zeros((count + 1, last + 1), np.int32)
    for c in range(2, count):
        distance, back[c] = _layer(sums, allowed, distance, c)
    cuts = [last]
    if count > 1:
        final = distance[:-1] + sums.cost(allowed[:-1], allowed[-1:])
        cuts.append(int(final.argmin()))
        for c in range(count - 1, 1, -1):
            cuts.append(int(back[c, cuts[-1]]))
    return allowed[np.array([0, *cuts[::-1]])]


def _layer(
    sums: _Sums, allowed: np.ndarray, distance: np.ndarray, c: int
) -> tuple[np.ndarray, np.ndarray]:
    last = len(allowed) - 1
    room = last - c + 1  # ends c, ..., last, numbered from 1
    size = 1 << room.bit_length()
    best = np.full(size + 1, last - 1)
    best[0] = c - 1
    found = np.full(last + 1, np.inf)
    stride = size // 2
    while stride:
        place = np.arange(stride, room + 1, 2 * stride)
        end = place + c - 1
        low = best[place - stride]
        length = np.minimum(best[place + stride], end - 1) - low + 1
        offset = np.concatenate([[0], np.cumsum(length)[:-1]])
        owner = np.repeat(np.arange(len(place)), length)
        begin = np.arange(len(owner)) + (low - offset)[owner]
        value = distance[begin] + sums.cost(allowed[begin], allowed[end[owner]])
        least = np.minimum.reduceat(value, offset)
        hits = np.flatnonzero(value == least[owner])[::-1]  # of equal ones the first stays
        best[place[owner[hits]]] = begin[hits]
        found[end] = least
        stride //= 2
    back = np.zeros(last + 1, np.int32)
    back[c:] = best[1 : room + 1]
    return found, back


def _lloyd(sums: _Sums, cuts: np.ndarray, iterations: int) -> np.ndarray:
    """Cuts half-way between neighbouring means, means of the runs between cuts, and so on."""
    for _ in range(iterations):
        means = sums.means(cuts)
        moved = _rising(sums, np.searchsorted(sums.points, (means[1:] + means[:-1]) / 2))
        if (moved == cuts).all():
            break
        cuts = moved
    return cuts


def _refine(sums: _Sums, cuts: np.ndarray, places: int = 12) -> np.ndarray:
    """Move all cuts together, each to the best place in a window, in finer and finer steps.

    Windows are measured in clusters, at first two to either side: so a cluster can move to where
    it is worth more, with all those between shifted by one. Lloyd's algorithm cannot do that.
    """
    cost = sums.cost(cuts[:-1], cuts[1:]).sum()
    numbers = np.arange(len(cuts))
    width = 2.0
    while True:
        wanted = numbers[1:-1, None] + width * np.arange(-places, places + 1) / places
        window = np.rint(np.interp(wanted, numbers, cuts)).astype(np.int64)
        moved = _lloyd(sums, _shift(sums, np.clip(window, 1, sums.size - 1)), 20)
        lower = sums.cost(moved[:-1], moved[1:]).sum()
        if lower < cost * (1 - 1e-9):
            cuts, cost = moved, lower
        elif width * np.diff(cuts).max() < places:
            return cuts
        else:
            width /= 4


def _shift(sums: _Sums, window: np.ndarray) -> np.ndarray:
    """The best cuts with one in each row of ``window``: a dynamic program."""
    total = sums.cost(np.zeros_like(window[0]), window[0])
    # (cut, its place, the place of the next)
    between = sums.cost(window[:-1, :, None], window[1:, None, :])
    back = []
    for table in between:
        reached = total[:, None] + table
        back.append(reached.argmin(0))
        total = reached.min(0)
    places = [int((total + sums.cost(window[-1], np.array(sums.size))).argmin())]
    for choice in reversed(back):
        places.append(int(choice[places[-1]]))
    inner = window[np.arange(len(window)), places[::-1]]
    return np.concatenate([[0], inner, [sums.size]])
