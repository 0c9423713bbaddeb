r"""Layers as Gaussians: KL (8.3), symmetrised KL (A.25), Jensen-Shannon and Hellinger.

The units of a layer (n, d) are samples of :math:`\mathcal{N}(\mu, \Sigma)` over its d inputs.
``means=False``, the default, takes both means to be equal, as the thesis does. Singular
covariances are shrunk: see ``shrinkage`` of :func:`gaussian_kl`. Numbers of units may differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from workbench.metrics.similarity._covariance import centred, invertible
from workbench.metrics.similarity._units import same_inputs


@dataclass(frozen=True)
class Gaussian:
    """What one layer adds: mean (d,), eigenvalues (d,), eigenvectors (d, d) of its covariance."""

    mean: np.ndarray
    values: np.ndarray
    vectors: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        return self.vectors.shape

    @property
    def logdet(self) -> float:
        return float(np.log(self.values).sum())

    @property
    def covariance(self) -> np.ndarray:
        return (self.vectors * self.values) @ self.vectors.T

    def inverse_root(self, other: np.ndarray) -> np.ndarray:
        """Rows of ``other`` in coordinates where this Gaussian is standard."""
        return (other @ self.vectors) / np.sqrt(self.values)


def prepare(x: Any, name: str = "x", *, shrinkage: float | None = None) -> Gaussian:
    """The Gaussian of a layer's units."""
    return Gaussian(*invertible(x, shrinkage, name))


def gaussian_kl(x: Any, y: Any, *, means: bool = False, shrinkage: float | None = None) -> float:
    r"""Kullback-Leibler divergence of the Gaussians of two layers (thesis 8.3), in nats.

    .. math:: \mathrm{KL}(x \| y) = \frac12 \left[ \operatorname{tr}(\Sigma_y^{-1} \Sigma_x) - d
              - \ln \frac{|\Sigma_x|}{|\Sigma_y|} \right]

    corrected: the thesis leaves out :math:`-d`, which would make a layer's divergence from itself
    d / 2, and does not say that it is undefined for a singular covariance.

    Not symmetric: ``similarity_matrix`` gives KL(row || column).

    Args:
        x: (n, d) units x inputs, or a convolution (out, in, kh, kw).
        y: (m, d); m may differ from n.
        means: add :math:`\frac12 (\mu_x - \mu_y)^\top \Sigma_y^{-1} (\mu_x - \mu_y)`.
        shrinkage: share of the average variance mixed into each covariance. ``None`` takes 0 for
            an invertible covariance and Ledoit and Wolf's estimate for a singular one; 0 refuses
            a singular one.

    Invariant to the order of units, shifts (without ``means``) and one rotation or scale of both
    layers; to any common invertible map of the inputs as long as nothing is shrunk.

    Raises:
        ValueError: different numbers of inputs, a singular covariance with ``shrinkage=0``, equal
            units, one unit only, NaN or infinity.
    """
    return compare_kl(*_pair(x, y, shrinkage), means=means)


def compare_kl(a: Gaussian, b: Gaussian, *, means: bool = False) -> float:
    """KL(a || b) in nats."""
    d = same_inputs(a.vectors, b.vectors)
    turned = b.inverse_root((a.vectors * np.sqrt(a.values)).T)
    total = (turned**2).sum() - d - a.logdet + b.logdet
    if means:
        total += (b.inverse_root(a.mean - b.mean) ** 2).sum()
    return max(0.0, float(total) / 2)  # below zero only by rounding


def symmetrised_kl(x: Any, y: Any, *, means: bool = False, shrinkage: float | None = None) -> float:
    r"""Mean of both KL divergences (thesis A.25), half of Jeffreys' divergence, in nats.

    .. math:: \frac12 \left( \mathrm{KL}(x \| y) + \mathrm{KL}(y \| x) \right)
              = \frac14 \operatorname{tr}(\Sigma_y^{-1} \Sigma_x + \Sigma_x^{-1} \Sigma_y)
              - \frac d2

    corrected: the thesis says that the covariances are vectorised, which would lose the
    determinant, and writes the invariance to inversion with one and the same matrix; meant is
    :math:`d(\Sigma_x^{-1}, \Sigma_y^{-1}) = d(\Sigma_x, \Sigma_y)`. Section 8.3.2 says that
    it acts as the square of a distance; its root breaks the triangle inequality: for one input it
    is :math:`|\sinh \ln (\sigma_x / \sigma_y)|`, which grows faster than its parts.

    Arguments, invariances and errors are those of :func:`gaussian_kl`.

    Jeffreys, "An invariant form for the prior probability in estimation problems", 1946.
    """
    return compare_symmetrised(*_pair(x, y, shrinkage), means=means)


def compare_symmetrised(a: Gaussian, b: Gaussian, *, means: bool = False) -> float:
    """Mean of KL(a || b) and KL(b || a) in nats."""
    return (compare_kl(a, b, means=means) + compare_kl(b, a, means=means)) / 2


def gaussian_jensen_shannon(
    x: Any,
    y: Any,
    *,
    form: Literal["moments", "monte-carlo"] = "moments",
    means: bool = False,
    shrinkage: float | None = None,
    samples: int = 1000,
    seed: int = 0,
) -> float:
    r"""Jensen-Shannon divergence of the Gaussians of two layers, in nats.

    .. math:: \mathrm{JS} = \frac12 \mathrm{KL}(x \| M) + \frac12 \mathrm{KL}(y \| M),
              \quad M = \tfrac12 (\mathcal{N}_x + \mathcal{N}_y)

    The mixture M is no Gaussian and has no closed form, so that one of two things stands for it:

    - ``form="moments"``: the Gaussian with the mean and covariance of M, which gives
      :math:`\frac12 \ln |\Sigma_M| - \frac14 \ln |\Sigma_x| |\Sigma_y|`. An upper bound, because
      no density of that covariance has more entropy; unlike JS it may exceed ln 2.
    - ``form="monte-carlo"``: the definition, averaged over ``samples`` draws from each side;
      unbiased, at most ln 2 in expectation, with the spread of the draws. In hundreds of inputs
      two layers hardly overlap and it stands at ln 2.

    Arguments otherwise, invariances (of "moments") and errors are those of :func:`gaussian_kl`.

    Lin, "Divergence measures based on the Shannon entropy", 1991; the bound by moments: Sra,
    "Positive definite matrices and the S-divergence", 2016, of which it is half.
    """
    return compare_jensen_shannon(
        *_pair(x, y, shrinkage), form=form, means=means, samples=samples, seed=seed
    )


def compare_jensen_shannon(
    a: Gaussian,
    b: Gaussian,
    *,
    form: str = "moments",
    means: bool = False,
    samples: int = 1000,
    seed: int = 0,
) -> float:
    """The Jensen-Shannon divergence of two Gaussians in nats."""
    d = same_inputs(a.vectors, b.vectors)
    gap = b.mean - a.mean if means else np.zeros(d)
    if form == "moments":
        middle = (a.covariance + b.covariance) / 2 + np.outer(gap, gap) / 4
        return max(0.0, float(np.linalg.slogdet(middle)[1]) / 2 - (a.logdet + b.logdet) / 4)
    if form != "monte-carlo":
        raise ValueError(f"form={form!r}; allowed are 'moments' and 'monte-carlo'.")
    if samples < 1:
        raise ValueError(f"samples={samples}; at least 1 draw is needed.")
    # The same draws serve both sides, so that swapping these changes nothing.
    normal = np.random.default_rng(seed).standard_normal((samples, d))
    total = 0.0
    for own, other, shift in ((a, b, gap), (b, a, -gap)):
        away = (normal * np.sqrt(own.values)) @ own.vectors.T - shift
        ratio = (  # log of other's density over own's
            (normal**2).sum(1) - (other.inverse_root(away) ** 2).sum(1) + own.logdet - other.logdet
        ) / 2
        total += float((np.log(2) - np.logaddexp(0, ratio)).mean()) / 2
    return total


def hellinger(
    x: Any,
    y: Any,
    *,
    of: Literal["variances", "gaussians"] = "variances",
    means: bool = False,
    shrinkage: float | None = None,
) -> float:
    r"""Hellinger distance between two layers.

    - ``of="variances"`` (thesis A.3, after A.26): the Bures-Wasserstein distance of the diagonals
      of the covariances, in the unit of the weights; no inverse, nothing shrunk:

      .. math:: \left[ \sum_k \left( \sigma_{x,k} - \sigma_{y,k} \right)^2 \right]^{1/2}

    - ``of="gaussians"``: the Hellinger distance of the Gaussians, in [0, 1]; near 1 for any two
      layers of hundreds of inputs:

      .. math:: \left[ 1 - \frac{|\Sigma_x|^{1/4} |\Sigma_y|^{1/4}}{|\bar\Sigma|^{1/2}}
                e^{-\frac18 \delta^\top \bar\Sigma^{-1} \delta} \right]^{1/2},
                \quad \bar\Sigma = \tfrac12 (\Sigma_x + \Sigma_y), \; \delta = \mu_x - \mu_y

      with :math:`\delta = 0` unless ``means``.

    Arguments otherwise and errors are those of :func:`gaussian_kl`.

    Hellinger, "Neue Begründung der Theorie quadratischer Formen", 1909.
    """
    if of == "variances":
        roots = [centred(x, "x")[1], centred(y, "y")[1]]
        same_inputs(*roots)
        deviations = [np.linalg.norm(root, axis=0) for root in roots]
        return float(np.linalg.norm(deviations[0] - deviations[1]))
    if of != "gaussians":
        raise ValueError(f"of={of!r}; allowed are 'variances' and 'gaussians'.")
    a, b = _pair(x, y, shrinkage)
    same_inputs(a.vectors, b.vectors)
    middle = (a.covariance + b.covariance) / 2
    exponent = (a.logdet + b.logdet) / 4 - np.linalg.slogdet(middle)[1] / 2
    if means:
        gap = a.mean - b.mean
        exponent -= gap @ np.linalg.solve(middle, gap) / 8
    # 1 - exp(t) loses all digits for layers that are nearly equal; expm1 does not.
    return float(np.sqrt(max(0.0, -np.expm1(exponent))))


def _pair(x: Any, y: Any, shrinkage: float | None) -> tuple[Gaussian, Gaussian]:
    return prepare(x, "x", shrinkage=shrinkage), prepare(y, "y", shrinkage=shrinkage)
