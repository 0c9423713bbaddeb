"""Centred kernel alignment: how alike two sets of representations of the same samples are."""

from __future__ import annotations

from typing import Any

import numpy as np

from workbench.metrics._inputs import as_pair

DEBIASED_BELOW = 10
"""Samples per feature below which ``cka`` is debiased unless told otherwise."""


def cka(x: Any, y: Any, debiased: bool | None = None) -> float:
    r"""Linear centred kernel alignment of ``x`` (n, p) and ``y`` (n, q); rows are the same samples.

    .. math:: \frac{\mathrm{HSIC}(XX^\top, YY^\top)}
                   {\sqrt{\mathrm{HSIC}(XX^\top, XX^\top)\, \mathrm{HSIC}(YY^\top, YY^\top)}},
              \quad \mathrm{HSIC} \propto \|Y_c^\top X_c\|_F^2

    Columns are centred first. Invariant to rotation, reflection, shift and a common scale of
    either side. The plain form lies in [0, 1] and is far too high with few samples: 50
    independent samples of 768 features give 0.94. ``debiased=True`` takes the unbiased HSIC
    (diagonals left out), which is near 0 for independent data and may fall slightly below;
    ``None``, the default, chooses it below 10 samples per feature (of the wider side).

    Returns NaN if either side is the same for all samples. Raises ``ValueError`` for fewer than 2
    samples (4 if debiased), different numbers of samples, NaN or infinity.

    Kornblith, Norouzi, Lee and Hinton (2019), arXiv 1905.00414; unbiased HSIC: Song et al. (2012),
    JMLR 13; for representations: Nguyen, Raghu and Kornblith (2021), arXiv 2010.15327.
    """
    x, y = as_pair(x, y, least=2)
    debiased = _is_debiased(x, y, debiased)
    x, y = _centred(x), _centred(y)
    if not x.any() or not y.any():
        return float("nan")
    inner = _unbiased_inner if debiased else _inner
    scale = np.sqrt(inner(x, x)) * np.sqrt(inner(y, y))
    return float(inner(x, y) / scale)


def rbf_cka(x: Any, y: Any, *, bandwidth: float = 1.0, debiased: bool | None = None) -> float:
    r"""Centred kernel alignment with a Gaussian kernel; rows of ``x``, ``y`` are the same samples.

    .. math:: \frac{\mathrm{HSIC}(K, L)}{\sqrt{\mathrm{HSIC}(K, K)\, \mathrm{HSIC}(L, L)}},
              \quad K_{ij} = \exp \Big( -\frac{\|x_i - x_j\|^2}{2 \sigma_x^2} \Big)

    :math:`\sigma` is ``bandwidth`` times the median distance between different samples, on each
    side by itself, which makes it invariant to the scale of either side, as to rotations and
    shifts. A large bandwidth gives linear CKA, a small one looks at nearest neighbours only.

    ``debiased`` is as in :func:`cka`, where ``None`` decides by the samples per feature, though
    the bias of a narrow kernel does not depend on the features. Returns NaN if either side is the
    same for all samples (or for more than half of all pairs). Errors are those of :func:`cka`,
    and ``ValueError`` for a bandwidth that is not positive.
    """
    x, y = as_pair(x, y, least=2)
    if not bandwidth > 0:
        raise ValueError(f"bandwidth={bandwidth}; it must be positive, in median distances.")
    debiased = _is_debiased(x, y, debiased)
    k, m = _gaussian_kernel(x, bandwidth), _gaussian_kernel(y, bandwidth)
    if k is None or m is None:
        return float("nan")
    inner = _unbiased_kernel_inner if debiased else _kernel_inner
    scale = np.sqrt(inner(k, k)) * np.sqrt(inner(m, m))
    return float(inner(k, m) / scale)


def _is_debiased(x: np.ndarray, y: np.ndarray, debiased: bool | None) -> bool:
    """What was asked for, or what the number of samples calls for."""
    if debiased is None:
        debiased = len(x) < DEBIASED_BELOW * max(x.shape[1], y.shape[1])
    if debiased and len(x) < 4:
        raise ValueError(f"{len(x)} samples; debiased CKA needs at least 4. Give more samples.")
    return debiased


def _centred(z: np.ndarray) -> np.ndarray:
    """Columns minus their means, at unit total scale; zeros where only rounding is left."""
    centred = z - z.mean(axis=0)
    norm = np.linalg.norm(centred)
    constant = norm <= 1e-12 * np.linalg.norm(z)
    return np.zeros_like(z) if constant else centred / norm


def _inner(x: np.ndarray, y: np.ndarray) -> float:
    """Inner product of the Gram matrices of centred ``x`` and ``y``, over the smaller side."""
    if len(x) < max(x.shape[1], y.shape[1]):
        return float(((x @ x.T) * (y @ y.T)).sum())
    return float(((y.T @ x) ** 2).sum())


def _unbiased_inner(x: np.ndarray, y: np.ndarray) -> float:
    """n (n - 3) times the unbiased HSIC of Song et al., from centred features."""
    n = len(x)
    rows_x, rows_y = (x**2).sum(axis=1), (y**2).sum(axis=1)
    own = n / (n - 2) * float(rows_x @ rows_y)
    total = float(rows_x.sum() * rows_y.sum()) / ((n - 1) * (n - 2))
    return _inner(x, y) - own + total


def _gaussian_kernel(z: np.ndarray, bandwidth: float) -> np.ndarray | None:
    """Gaussian kernel (n, n), less 1, at ``bandwidth`` median distances; None if that is zero.

    Neither HSIC sees the constant, and without it a wide kernel keeps its digits.
    """
    from scipy.spatial.distance import pdist, squareform

    centred = _centred(z)
    distances = pdist(centred)
    width = bandwidth * np.median(distances)
    if width == 0:
        return None
    return np.expm1(-(squareform(distances) ** 2) / (2 * width**2))


def _kernel_inner(k: np.ndarray, m: np.ndarray) -> float:
    """tr(K H M H) with the centring matrix H: (n - 1)^2 times the plain HSIC."""
    k, m = (z - z.mean(axis=0) - z.mean(axis=1)[:, None] + z.mean() for z in (k, m))
    return float((k * m).sum())


def _unbiased_kernel_inner(k: np.ndarray, m: np.ndarray) -> float:
    """n (n - 3) times the unbiased HSIC of Song et al. (2012), equation 5."""
    n = len(k)
    k, m = (z - np.diag(np.diag(z)) for z in (k, m))
    rows_k, rows_m = k.sum(axis=1), m.sum(axis=1)
    total = rows_k.sum() * rows_m.sum() / ((n - 1) * (n - 2))
    return float((k * m).sum() + total - 2 / (n - 2) * (rows_k @ rows_m))
