"""Covariances as points of the manifold of positive definite matrices (A.23 and A.24)."""

from __future__ import annotations

from typing import Any

import numpy as np

from workbench.metrics.similarity._covariance import invertible
from workbench.metrics.similarity._units import same_inputs
from workbench.metrics.similarity.gaussians import Gaussian, prepare


def affine_invariant(x: Any, y: Any, *, shrinkage: float | None = None) -> float:
    r"""Affine-invariant Riemannian distance of two layers' covariances (thesis A.23).

    .. math:: \| \log(\Sigma_x^{-1/2} \Sigma_y \Sigma_x^{-1/2}) \|_F
              = \Big[ \sum_k \ln^2 \lambda_k \Big]^{1/2},
              \quad \Sigma_y v = \lambda \Sigma_x v

    A metric; without a unit (logarithms of ratios of variances).

    Args:
        x: (n, d) units x inputs, or a convolution (out, in, kh, kw).
        y: (m, d); m may differ from n.
        shrinkage: share of the average variance mixed into each covariance. ``None`` takes 0 for
            an invertible covariance and Ledoit and Wolf's estimate for a singular one; 0 refuses
            a singular one.

    Invariant to the order of units, shifts, one rotation or scale of both layers, and to any
    common invertible map of the inputs as long as nothing is shrunk.

    Raises:
        ValueError: different numbers of inputs, a singular covariance with ``shrinkage=0``, equal
            units, one unit only, NaN or infinity.

    Pennec, Fillard and Ayache, "A Riemannian framework for tensor computing", 2006.
    """
    return compare_affine(
        prepare(x, "x", shrinkage=shrinkage), prepare(y, "y", shrinkage=shrinkage)
    )


def compare_affine(a: Gaussian, b: Gaussian) -> float:
    """The distance of two prepared covariances."""
    same_inputs(a.vectors, b.vectors)
    # Singular values of the quotient of roots: the eigenvalues would be their squares, and lose
    # half of the digits of the small ones.
    quotient = a.inverse_root((b.vectors * np.sqrt(b.values)).T)
    return float(2 * np.linalg.norm(np.log(np.linalg.svd(quotient, compute_uv=False))))


def log_euclidean(x: Any, y: Any, *, shrinkage: float | None = None) -> float:
    r"""Log-Euclidean distance of two layers' covariances (thesis A.24).

    .. math:: \| \log \Sigma_x - \log \Sigma_y \|_F

    A metric, without a unit; the logarithm is taken once per layer, so that all pairs cost little
    more than their layers. Invariant to the order of units, shifts and one rotation or scale of
    both layers. Arguments and errors are those of :func:`affine_invariant`, which it equals for
    covariances that commute.

    Arsigny, Fillard, Pennec and Ayache, "Log-Euclidean metrics for fast and simple calculus on
    diffusion tensors", 2006.
    """
    return compare_log(
        prepare_log(x, "x", shrinkage=shrinkage), prepare_log(y, "y", shrinkage=shrinkage)
    )


def prepare_log(x: Any, name: str = "x", *, shrinkage: float | None = None) -> np.ndarray:
    """The logarithm (d, d) of a layer's covariance."""
    _, values, vectors = invertible(x, shrinkage, name)
    return (vectors * np.log(values)) @ vectors.T


def compare_log(a: np.ndarray, b: np.ndarray) -> float:
    """The distance of two logarithms."""
    same_inputs(a, b)
    return float(np.linalg.norm(a - b))
