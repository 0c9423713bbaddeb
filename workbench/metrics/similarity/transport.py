"""Optimal transport between layers as sets: Wasserstein, exact, sliced or between centroids."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np

from workbench.metrics.similarity._units import as_units, same_inputs, softmax_rows


def wasserstein(
    x: Any,
    y: Any,
    *,
    p: float = 2.0,
    points: Literal["units", "weights"] = "units",
    softmax: bool = False,
) -> float:
    r"""Exact Wasserstein distance of order p between two layers (thesis 8.4).

    .. math:: W_p = \Big[ \min_{\pi \ge 0} \sum_{ij} \pi_{ij} \|x_i - y_j\|_2^p \Big]^{1/p},
              \quad \sum_j \pi_{ij} = \tfrac1n, \; \sum_i \pi_{ij} = \tfrac1m

    - ``points="units"``: each unit is a point in the space of its inputs (``ot.emd2``, cubic in
      the number of units). Invariant to the order of units and one rotation of both layers.
    - ``points="weights"``, and layers of one input: each weight is a point on the line. Sorting
      solves it; tensors of any shapes. Invariant to any order of the weights.

    corrected: the thesis sums without 1/d, so that distances grow with the layer; it writes
    softmax(W1, W2) for the softmax of each unit; and its cubic cost is that of units, not of
    scalars, which need only a sort.

    Args:
        x: (n, d) units x inputs, a vector of scalars (n,), or a convolution (out, in, kh, kw).
        y: (m, d); m may differ from n.
        p: order, at least 1; the thesis takes 2. In the unit of the weights for every p.
        points: what is transported.
        softmax: turn each unit into a distribution over its inputs first.

    Raises:
        ValueError: p below 1, units of different numbers of inputs, NaN or infinity.

    Peyré and Cuturi, "Computational optimal transport", 2019.
    """
    _check_order(p)
    if points not in ("units", "weights"):
        raise ValueError(f"points={points!r}; allowed are 'units' and 'weights'.")
    x, y = as_units(x, "x"), as_units(y, "y")
    if softmax:
        x, y = softmax_rows(x), softmax_rows(y)
    if points == "weights":
        x, y = x.reshape(-1, 1), y.reshape(-1, 1)
    if same_inputs(x, y) == 1:
        return float(_on_lines(x, y, p)[0] ** (1 / p))
    uniform = np.full(len(x), 1 / len(x)), np.full(len(y), 1 / len(y))
    return _transported(x, y, *uniform, p)


def sliced_wasserstein(
    x: Any, y: Any, *, p: float = 2.0, directions: int = 128, seed: int = 0, softmax: bool = False
) -> float:
    r"""Sliced Wasserstein distance: the mean over random directions of the one on the line.

    .. math:: \Big[ \frac1L \sum_{l=1}^L W_p^p(X \theta_l, Y \theta_l) \Big]^{1/p},
              \quad \theta_l \text{ uniform on the sphere}

    At most :math:`W_p`, and a sort instead of a transport problem: for layers of thousands of
    units. A metric on multisets of units in the limit of many directions; with ``seed`` fixed it
    is a pseudo-metric. Invariant to the order of units; to rotations only in the limit.

    Arguments and errors otherwise are those of :func:`wasserstein`, for units as points.

    Bonneel, Rabin, Peyré and Pfister, "Sliced and Radon Wasserstein barycenters of measures",
    2015.
    """
    _check_order(p)
    if directions < 1:
        raise ValueError(f"directions={directions}; at least 1 is needed, the default is 128.")
    x, y = as_units(x, "x"), as_units(y, "y")
    if softmax:
        x, y = softmax_rows(x), softmax_rows(y)
    theta = np.random.default_rng(seed).standard_normal((same_inputs(x, y), directions))
    theta /= np.linalg.norm(theta, axis=0)
    return float(_on_lines(x @ theta, y @ theta, p).mean() ** (1 / p))


class Centroids(NamedTuple):
    """What one layer adds: centroids (clusters, inputs) and the share of units of each."""

    points: np.ndarray
    shares: np.ndarray


def centroid_wasserstein(
    x: Any, y: Any, *, p: float = 2.0, clusters: int = 32, seed: int = 0, softmax: bool = False
) -> float:
    r"""Wasserstein distance between the cluster centroids of two layers (section 8.3.2).

    .. math:: W_p(P_{C_x}, P_{C_y}), \quad P_C = \sum_k \frac{n_k}{n} \delta_{c_k}

    Units are grouped by k-means into ``clusters`` centroids :math:`c_k` of :math:`n_k` units, so
    that the cubic cost is that of the clusters. The thesis does not say how centroids are
    weighted; here by their share of units, which makes it exact with as many clusters as units.

    Invariant to the order of units: k-means starts from units in sorted order. A pseudo-metric
    for one seed: layers may share their centroids and differ.

    Arguments and errors otherwise are those of :func:`wasserstein`, for units as points. More
    clusters than different units are as many as these.
    """
    _check_order(p)
    options: dict[str, Any] = dict(clusters=clusters, seed=seed, softmax=softmax)
    return compare_centroids(
        prepare_centroids(x, "x", **options), prepare_centroids(y, "y", **options), p=p
    )


def prepare_centroids(
    x: Any, name: str = "x", *, clusters: int = 32, seed: int = 0, softmax: bool = False
) -> Centroids:
    """The centroids of a layer's units."""
    from sklearn.cluster import KMeans  # heavy

    if clusters < 1:
        raise ValueError(f"clusters={clusters}; at least 1 is needed, the default is 32.")
    x = as_units(x, name)
    if softmax:
        x = softmax_rows(x)
    different, counts = np.unique(x, axis=0, return_counts=True)  # sorted, whatever their order
    if clusters >= len(different):
        return Centroids(different, counts / len(x))
    found = KMeans(clusters, n_init=1, random_state=seed).fit(different, sample_weight=counts)
    shares = np.bincount(found.labels_, weights=counts, minlength=clusters) / len(x)
    return Centroids(found.cluster_centers_, shares)


def compare_centroids(a: Centroids, b: Centroids, *, p: float = 2.0) -> float:
    """The Wasserstein distance of two sets of centroids."""
    same_inputs(a.points, b.points)
    return _transported(a.points, b.points, a.shares, b.shares, p)


def _check_order(p: float) -> None:
    if not 1 <= p < np.inf:
        raise ValueError(f"p={p}; the order must be at least 1 and finite. The thesis takes 2.")


def _transported(x: np.ndarray, y: np.ndarray, a: np.ndarray, b: np.ndarray, p: float) -> float:
    """Root of the least cost to carry weights a on points x to weights b on points y."""
    import ot  # heavy: it imports the array libraries that it finds, torch among them
    from scipy.spatial.distance import cdist

    # cdist subtracts before it squares, so that a point is at distance zero from itself.
    cost = cdist(x, y) ** p
    # POT stops at 100,000 steps unless told otherwise: too few for a thousand units.
    return float(max(0.0, ot.emd2(a, b, cost, numItermax=10**8)) ** (1 / p))


def _on_lines(x: np.ndarray, y: np.ndarray, p: float) -> np.ndarray:
    """p-th power of the distance of each column of x (n, l) and y (m, l): quantiles go together."""
    n, m = len(x), len(y)
    x, y = np.sort(x, axis=0), np.sort(y, axis=0)
    if n == m:
        return (np.abs(x - y) ** p).mean(axis=0)
    # Both quantile functions are constant between multiples of 1/n and 1/m; counted in 1/(nm).
    steps = np.union1d(np.arange(n + 1) * m, np.arange(m + 1) * n)
    share = np.diff(steps) / (n * m)
    gaps = np.abs(x[steps[:-1] // m] - y[steps[:-1] // n]) ** p
    return share @ gaps
