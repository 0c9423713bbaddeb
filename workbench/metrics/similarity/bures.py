r"""Bures-Wasserstein distance (8.5, A.26), fast enough for all pairs of a network's layers.

With :math:`F_x^\top F_x = \Sigma_x` for each layer,

.. math:: \operatorname{tr} \big( \Sigma_x^{1/2} \Sigma_y \Sigma_x^{1/2} \big)^{1/2}
          = \| F_x F_y^\top \|_*,

the sum of the singular values of one product: no square root of a matrix, no inverse. Those are
the roots of the eigenvalues of :math:`F_y \Sigma_x F_y^\top`, and eigenvalues alone come from a
tridiagonal form in a third of the time of singular values. Squaring costs digits of the small
ones, so :func:`_nuclear_norm` estimates what was lost; where that matters, for layers that are
nearly equal, the distance is computed again from a singular value decomposition.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.linalg import lapack  # here, so that a caller's limit on threads finds SciPy's BLAS

from workbench.metrics.similarity._covariance import centred
from workbench.metrics.similarity._units import same_inputs

SMALL = 128
"""Rank below which singular values cost nothing worth saving."""

PRECISIONS = np.dtype(np.float32), np.dtype(np.float64)
LOST = dict(zip(PRECISIONS, (5e-5, 2e-7)))
"""Share of the squared distance that rounding may take by estimate, by precision of the weights.
Errors measured on trained layers are a quarter of their estimates or less, on random ones a tenth.
"""

DROPPED = 1e-8
"""What directions beyond the rank of a factor may add to a nuclear norm of at most 1: the root of
a rounding error."""


@dataclass
class Root:
    """What one layer adds: its mean unit, the trace of its covariance, and a root of the rest.

    ``rows`` (n, d) is a root of the covariance scaled to trace 1. Where there are as many rows as
    inputs or more, ``upper`` (d, d) is one too, triangular once the inputs are in ``order``, with
    zeros below its ``rank``, and ``gram`` is the scaled covariance.

    ``single`` is whether single precision may be tried first. A layer whose spectrum it did not
    suit once is not tried again with another such layer.
    """

    mean: np.ndarray
    trace: float
    single: bool
    precision: np.dtype
    rows: np.ndarray
    rank: int
    upper: np.ndarray | None = None
    order: np.ndarray | None = None
    gram: np.ndarray | None = None
    _cast: dict[str, np.ndarray] = field(default_factory=dict)

    def factor(self) -> np.ndarray:
        """The thinnest root at hand (rank, d), with inputs in their own order."""
        if self.upper is None or self.order is None:
            return self.rows
        factor = np.empty((self.rank, len(self.order)))
        factor[:, self.order] = np.triu(self.upper)[: self.rank]
        return factor

    def cast(self, name: str, precision: np.dtype) -> np.ndarray:
        """``upper`` or ``gram`` in a precision, kept for the next pair."""
        whole: np.ndarray = getattr(self, name)
        if precision == whole.dtype:
            return whole
        if name not in self._cast:
            self._cast[name] = whole.astype(precision)
        return self._cast[name]


def bures_wasserstein(x: Any, y: Any, *, mean: bool = True, squared: bool = False) -> float:
    r"""2-Wasserstein distance of the Gaussians of two layers (thesis 8.5; A.26 without means).

    .. math:: \Big[ \|\mu_x - \mu_y\|^2 + \operatorname{tr} \Sigma_x + \operatorname{tr} \Sigma_y
              - 2 \operatorname{tr} \big( \Sigma_x^{1/2} \Sigma_y \Sigma_x^{1/2} \big)^{1/2}
              \Big]^{1/2}

    corrected: 8.5 leaves out the outer square root inside the trace, which makes a layer's
    distance from itself negative, and calls the square a distance.

    Args:
        x: (n, d) units x inputs, or a convolution (out, in, kh, kw).
        y: (m, d); m may differ from n.
        mean: with the term of the means, as in 8.5; without it, as in A.26.
        squared: the square, which is what 8.5 prints.

    Returns:
        The distance in the unit of the weights, of singular covariances too. Exact to rounding for
        layers of fewer than 128 units or inputs. For larger ones it is computed in the precision
        of the weights: good to about 1e-7 of itself for float64, to 1e-5 (1e-6 as a rule) for
        float32 and below.

    A metric on Gaussians. Invariant to the order of units and one rotation of both layers' inputs
    (and to shifts with ``mean=False``), not to separate rotations as section 8.3.1 wishes.

    Raises:
        ValueError: different numbers of inputs, one unit only, NaN or infinity.

    Bhatia, Jain and Lim, "On the Bures-Wasserstein distance between positive definite matrices",
    2019.
    """
    return compare(prepare(x, "x"), prepare(y, "y"), mean=mean, squared=squared)


def prepare(x: Any, name: str = "x") -> Root:
    """Centre a layer and take a root of its covariance, the thinnest that is cheap."""
    given = str(getattr(x, "dtype", "")).removeprefix("torch.")
    precision = PRECISIONS[given not in ("float32", "float16", "bfloat16")]
    single = precision == np.float32
    mean, root = centred(x, name)
    trace = float((root**2).sum())
    if trace > 0:
        root /= np.sqrt(trace)  # nothing over- or underflows later, whatever the scale
    units, inputs = root.shape
    if units < inputs or inputs < SMALL or trace == 0:
        return Root(mean, trace, single, precision, root, units)
    gram = root.T @ root
    upper, failed = lapack.dpotrf(gram, clean=0)
    order = np.arange(inputs)
    # Centring leaves a square layer nothing but rounding in its last pivot.
    rounding = inputs * np.finfo(np.float64).eps * gram.diagonal().max()
    rank = inputs - int(upper[-1, -1] ** 2 <= rounding)
    if 0 < failed < inputs:
        # Three times as slow, but with pivots Cholesky stops at the rank.
        upper, pivots, rank, _ = lapack.dpstrf(gram)
        order = pivots - 1
    upper[rank:] = 0
    return Root(mean, trace, single, precision, root, int(rank), upper, order, gram)


def compare(a: Root, b: Root, *, mean: bool = True, squared: bool = False) -> float:
    """The distance of two prepared layers."""
    same_inputs(a.mean, b.mean)
    between = _between(a, b)
    if mean:
        between += float(((a.mean - b.mean) ** 2).sum())
    return between if squared else float(np.sqrt(between))


def _between(a: Root, b: Root) -> float:
    """Squared Bures distance of two covariances."""
    if not (a.trace and b.trace):
        return a.trace + b.trace
    if min(a.rank, b.rank) < SMALL:
        return _aligned(a, b)
    scale = np.sqrt(a.trace) * np.sqrt(b.trace)
    wanted = max(a.precision, b.precision)
    single = wanted == np.float32 and (a.single or b.single)
    for precision in PRECISIONS[not single :]:
        norm, lost = _nuclear_norm(a, b, precision)
        lost += DROPPED * any(z.upper is not None and z.rank < len(z.upper) for z in (a, b))
        total = a.trace + b.trace - 2 * scale * norm
        if 2 * scale * lost <= LOST[wanted] * total:
            return float(total)
        a.single = b.single = False
    return _aligned(a, b)


def _aligned(a: Root, b: Root) -> float:
    """The squared distance as what is left when one root is rotated onto the other.

    Slower, and exact for layers that are nearly equal: no large numbers are subtracted.
    """
    # From the rows: the factor comes from squares, and small directions are lost in it.
    thin = [z.rows if z.upper is None else np.linalg.qr(z.rows, mode="r") for z in (a, b)]
    size = max(map(len, thin))
    x, y = (np.pad(z, ((0, size - len(z)), (0, 0))) for z in thin)
    u, _, v = np.linalg.svd(x @ y.T)
    rest = np.sqrt(a.trace) * x - np.sqrt(b.trace) * (u @ (v @ y))
    return float((rest**2).sum())


def _nuclear_norm(a: Root, b: Root, precision: np.dtype) -> tuple[float, float]:
    """Sum of the singular values of a's root times b's, and an estimate of its error."""
    if precision == np.float32:
        turned, tridiagonal, values = lapack.ssygst, lapack.ssytrd, lapack.ssterf
    else:
        turned, tridiagonal, values = lapack.dsygst, lapack.dsytrd, lapack.dsterf
    if a.rank < b.rank:
        a, b = b, a
    if a.gram is not None and b.order is not None and 2 * b.rank > len(a.gram):
        # U S U' with U triangular takes a third of the work of two products.
        inner = a.cast("gram", precision).take(b.order, 0).take(b.order, 1)
        square, _ = turned(inner.T, b.cast("upper", precision), itype=2, overwrite_a=1)
        square = square[: b.rank, : b.rank]
    else:
        thin = [z.factor().astype(precision) for z in (a, b)]
        product = thin[1] @ thin[0].T
        square = (product @ product.T).T
    _, diagonal, beside, _, failed = tridiagonal(square, lwork=64 * b.rank, overwrite_a=1)
    eigenvalues, stuck = values(diagonal, beside)
    if failed or stuck:
        return 0.0, np.inf
    return _sum_of_roots(eigenvalues.astype(np.float64), float(np.finfo(precision).eps))


def _sum_of_roots(eigenvalues: np.ndarray, eps: float) -> tuple[float, float]:
    """Sum of the roots of eigenvalues in order, and an estimate of what rounding did to it.

    Each has moved by about half an ``eps`` of the largest. Those well above that moved either way,
    so that their errors add as independent ones do; of those below, nothing is known.
    """
    moved = eps * max(eigenvalues[-1], 0.0) / 2
    clear = eigenvalues[eigenvalues > moved]
    unclear = len(eigenvalues) - len(clear)
    lost = np.linalg.norm(moved / np.sqrt(clear) / 2) + unclear * np.sqrt(moved)
    return float(np.sqrt(np.maximum(eigenvalues, 0)).sum()), float(lost)
