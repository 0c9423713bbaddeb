r"""How much one representation tells about another: mutual information, in nats.

corrected: thesis 11.7 stands; 11.8 prints the logarithm's ratio upside down, epsilon for the
expectation, and describes two estimators as one ("nearest neighbours ... 256 bins with Gaussian
smoothing, k = 5"). Here they are two, ``knn`` and ``histogram``, with an ``infonce`` bound beside.

None is credible on raw wide representations (768 correlated pairs that share 392 nats: the
nearest-neighbour estimate is about 1), so both sides are first reduced to a few principal
components, and :func:`ceiling` gives the most that the estimator could have said at this sample
size. Read an estimate between :func:`floor` (shuffled pairs) and :func:`ceiling`.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from workbench.metrics._inputs import as_pair

Estimator = Literal["knn", "histogram", "infonce"]
Critic = Literal["bilinear", "cosine"]
ESTIMATORS: tuple[Estimator, ...] = ("knn", "histogram", "infonce")


def mutual_information(
    x: Any,
    y: Any,
    *,
    estimator: Estimator = "knn",
    components: int | None = 5,
    k: int = 5,
    bins: int = 256,
    smoothing: float = 1.0,
    critic: Critic = "bilinear",
    temperature: float = 0.1,
) -> float:
    r"""Estimate I(X; Y) in nats from ``x`` (n, p) and ``y`` (n, q); rows are the same samples.

    A side wider than ``components`` is replaced by that many principal components (fitted on that
    side alone); ``None`` keeps it raw. Then every column is scaled to unit variance and constant
    columns are dropped; a side that is constant altogether gives 0.

    ``knn``: estimator 1 of Kraskov, Stoegbauer and Grassberger (2004), arXiv cond-mat/0305641,
    maximum norm, thesis 11.8 corrected:

    .. math:: \psi(k) + \psi(n) - \mathbb{E}[\psi(n_x + 1) + \psi(n_y + 1)]

    with n_x, n_y the samples strictly nearer than the ``k``-th neighbour in the joint space. It
    never exceeds psi(n) - psi(k), and may fall slightly below 0. For continuous data: many equal
    rows, as of a representation that collapsed onto its classes, mislead it.

    ``histogram``: a joint histogram of ``bins`` x ``bins`` equal cells over the range, blurred by
    a Gaussian of ``smoothing`` bins, then the plug-in sum of p log(p / p_x p_y). A histogram of
    more than two dimensions is empty nearly everywhere, so with several components the sum over
    their canonical pairs is given, which is exact for Gaussian data. Biased upwards by nats
    with hundreds of samples: compare with :func:`floor`.

    ``infonce``: the lower bound of van den Oord et al. (2018), arXiv 1807.03748, with a critic in
    closed form. ``bilinear`` is the log density ratio of the Gaussian fitted to the components of
    a random half of the samples (always the same one), measured on the other half and the
    reverse; it cannot exceed log(n / 2). ``cosine`` is the cosine of the raw centred rows over
    ``temperature``, needs p = q and ignores ``components``; it cannot exceed log n.

    Raises ``ValueError`` for an unknown estimator, ``k`` not in 1..n-1, different numbers of
    samples, NaN or infinity.
    """
    x, y = as_pair(x, y, least=4)
    _check(estimator, components, k, bins, smoothing, critic, temperature, len(x))
    if estimator == "infonce" and critic == "cosine":
        return _infonce(_cosine_critic(x, y, temperature))
    x, y = _reduced(x, components), _reduced(y, components)
    if x.shape[1] == 0 or y.shape[1] == 0:
        return 0.0
    if estimator == "knn":
        return _kraskov(x, y, k)
    if estimator == "histogram":
        u, v, _ = _canonical(x, y)
        pairs = zip((x @ u).T, (y @ v).T, strict=True)
        return sum(_smoothed_histogram(a, b, bins, smoothing) for a, b in pairs)
    halves = np.array_split(np.random.default_rng(0).permutation(len(x)), 2)
    bounds = [_infonce(_gaussian_critic(x, y, a, b)) for a, b in (halves, halves[::-1])]
    return float(np.mean(bounds))


def ceiling(x: Any, **options: Any) -> float:
    """I(X; X) by the same estimator: the most it can report for these samples, in nats.

    The true value is infinite for continuous data; ``knn`` says psi(n) - psi(k). Takes the
    options of :func:`mutual_information`.
    """
    return mutual_information(x, x, **options)


def floor(x: Any, y: Any, *, shuffles: int = 5, seed: int = 0, **options: Any) -> float:
    """Mean estimate over ``shuffles`` random pairings of the rows, whose truth is 0, in nats.

    What the estimator reports for unrelated samples of this number and shape: its bias.
    """
    x, y = as_pair(x, y, least=4)
    if shuffles < 1:
        raise ValueError(f"shuffles={shuffles}; at least 1 is needed.")
    generator = np.random.default_rng(seed)
    orders = [generator.permutation(len(y)) for _ in range(shuffles)]
    return float(np.mean([mutual_information(x, y[order], **options) for order in orders]))


def _kraskov(x: np.ndarray, y: np.ndarray, k: int) -> float:
    """Estimator 1 of Kraskov et al.; no clipping at 0, so that means over runs stay unbiased.

    All pairs are compared, in blocks of rows: search trees do not help at these widths.
    """
    from scipy.spatial.distance import cdist
    from scipy.special import digamma

    counts = []
    for start in range(0, len(x), 512):
        rows = slice(start, start + 512)
        near_x, near_y = cdist(x[rows], x, "chebyshev"), cdist(y[rows], y, "chebyshev")
        joint = np.maximum(near_x, near_y)
        radius = np.partition(joint, k, axis=1)[:, k : k + 1]  # position 0 is the sample itself
        for near in (near_x, near_y):
            inside = (near < radius).sum(axis=1)  # holds the sample itself: n_x + 1
            counts.append(digamma(np.maximum(inside, (near == 0).sum(axis=1))).sum())
    return float(digamma(k) + digamma(len(x)) - sum(counts) / len(x))


def _smoothed_histogram(a: np.ndarray, b: np.ndarray, bins: int, smoothing: float) -> float:
    """Plug-in mutual information of two variables from a blurred joint histogram."""
    from scipy.ndimage import gaussian_filter

    joint = np.histogram2d(a, b, bins=bins)[0]
    if smoothing > 0:
        joint = gaussian_filter(joint, sigma=smoothing, mode="constant")
    joint /= joint.sum()
    independent = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    filled = joint > 0
    return float((joint[filled] * np.log(joint[filled] / independent[filled])).sum())


def _gaussian_critic(x: np.ndarray, y: np.ndarray, fit: np.ndarray, test: np.ndarray) -> np.ndarray:
    """log p(y_j | x_i) / p(y_j) (rows i, columns j) on ``test``, of the Gaussian of ``fit``."""
    u, v, rho = _canonical(x[fit] - x[fit].mean(axis=0), y[fit] - y[fit].mean(axis=0))
    a, b = (x[test] - x[fit].mean(axis=0)) @ u, (y[test] - y[fit].mean(axis=0)) @ v
    noise = np.maximum(1 - rho**2, 1e-6)
    miss = (b[None] - rho * a[:, None]) ** 2 / noise
    return 0.5 * (b[None] ** 2 - miss - np.log(noise)).sum(axis=2)


def _cosine_critic(x: np.ndarray, y: np.ndarray, temperature: float) -> np.ndarray:
    """Cosine of the centred rows over ``temperature`` (rows of x, rows of y)."""
    if x.shape[1] != y.shape[1]:
        raise ValueError(
            f"the cosine critic compares rows of one width; x has {x.shape[1]} features and y "
            f"{y.shape[1]}. Use critic='bilinear'."
        )
    units = []
    for z in (x, y):
        z = z - z.mean(axis=0)
        norms = np.linalg.norm(z, axis=1, keepdims=True)
        units.append(z / np.where(norms > 0, norms, 1.0))
    return units[0] @ units[1].T / temperature


def _infonce(scores: np.ndarray) -> float:
    """E_i[score_ii - log mean_j exp(score_ij)], at most the log of the number of samples."""
    from scipy.special import logsumexp

    normaliser = logsumexp(scores, axis=1) - np.log(len(scores))
    return float((np.diag(scores) - normaliser).mean())


def _reduced(z: np.ndarray, components: int | None) -> np.ndarray:
    """Columns, or leading principal components, at mean 0 and variance 1; constant ones dropped."""
    size = np.abs(z).max(initial=0.0)
    z = z - z.mean(axis=0)
    if components is not None and z.shape[1] > components:
        left, values, _ = np.linalg.svd(z, full_matrices=False)
        z = (left * values)[:, :components]
        z = z - z.mean(axis=0)
    spread = z.std(axis=0)
    varies = spread > 1e-12 * max(size, np.finfo(float).tiny)
    return z[:, varies] / spread[varies]


def _canonical(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Maps of centred ``x`` and ``y`` to their canonical pairs, and the canonical correlations."""
    (basis_x, map_x), (basis_y, map_y) = _whitened(x), _whitened(y)
    left, rho, right = np.linalg.svd(basis_x.T @ basis_y, full_matrices=False)
    scale = np.sqrt(len(x))
    return map_x @ left * scale, map_y @ right.T * scale, np.clip(rho, 0.0, 1.0)


def _whitened(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """An orthonormal basis of the columns of ``z``, and the map with z @ map = basis.

    Columns have variance 1 (over all samples), so what is far below is rounding.
    """
    left, values, right = np.linalg.svd(z, full_matrices=False)
    keep = values > 1e-6 * np.sqrt(len(z))
    return left[:, keep], (right.T / np.where(keep, values, 1.0))[:, keep]


def _check(
    estimator: str,
    components: int | None,
    k: int,
    bins: int,
    smoothing: float,
    critic: str,
    temperature: float,
    samples: int,
) -> None:
    """Raise ``ValueError`` on options outside their range."""
    if estimator not in ESTIMATORS:
        raise ValueError(f"estimator={estimator!r}; allowed are {', '.join(ESTIMATORS)}.")
    if components is not None and components < 1:
        raise ValueError(f"components={components}; give 1 or more, or None for raw features.")
    if estimator == "knn" and not 1 <= k < samples:
        raise ValueError(f"k={k} with {samples} samples; k must lie in 1..{samples - 1}.")
    if bins < 2 or smoothing < 0:
        raise ValueError(
            f"bins={bins}, smoothing={smoothing}; bins must be 2 or more, smoothing 0 or more."
        )
    if critic not in ("bilinear", "cosine"):
        raise ValueError(f"critic={critic!r}; allowed are bilinear and cosine.")
    if temperature <= 0:
        raise ValueError(f"temperature={temperature}; it must be above 0.")
