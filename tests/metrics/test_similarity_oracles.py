"""Each measure against POT, SciPy, scikit-learn, torch or a closed form, at float64."""

from __future__ import annotations

import numpy as np
import ot
import pytest
import torch
from scipy import linalg, spatial, stats
from scipy.integrate import quad
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist, jensenshannon
from sklearn.covariance import ledoit_wolf
from sklearn.metrics.pairwise import rbf_kernel
from torch.distributions import MultivariateNormal, kl_divergence

from workbench.metrics.similarity import (
    affine_invariant,
    block_covariance,
    bures_wasserstein,
    centroid_wasserstein,
    cka,
    cosine,
    covariance_cosine,
    euclidean,
    gaussian_jensen_shannon,
    gaussian_kl,
    hellinger,
    jensen_shannon,
    log_euclidean,
    procrustes,
    rbf_cka,
    sliced_wasserstein,
    symmetrised_kl,
    wasserstein,
)

LN2 = np.log(2)


@pytest.fixture(params=[(30, 40, 5), (9, 7, 3)])
def layers(request):
    n, m, d = request.param
    generator = np.random.default_rng(n)
    mix = generator.normal(size=(2, d, d))
    return (
        generator.normal(size=(n, d)) @ mix[0] + 1.0,
        generator.normal(size=(m, d)) @ mix[1] - generator.normal(size=d),
    )


def gaussian(x: np.ndarray, mean: bool = True) -> MultivariateNormal:
    where = x.mean(axis=0) if mean else np.zeros(x.shape[1])
    return MultivariateNormal(torch.tensor(where), torch.tensor(np.cov(x.T)))


def test_euclidean_and_cosine():
    x, y = np.random.default_rng(0).normal(size=(2, 6, 4))
    assert euclidean(x, y) == pytest.approx(spatial.distance.euclidean(x.ravel(), y.ravel()))
    assert cosine(x, y) == pytest.approx(1 - spatial.distance.cosine(x.ravel(), y.ravel()))
    assert np.isnan(cosine(x, np.zeros_like(x)))


def test_layers_of_unequal_size_lose_the_smallest_weights_or_any():
    x, y = np.array([[1.0, 5.0]]), np.array([[1.0], [-0.1], [5.0]])
    assert euclidean(x, y, unequal="drop") == 0
    sampled = {euclidean(x, y, unequal="sample", seed=seed) for seed in range(30)}
    drawn = [(1.0, -0.1), (1.0, 5.0), (-0.1, 5.0)]
    expected = {float(np.linalg.norm(np.subtract((1.0, 5.0), pair))) for pair in drawn}
    assert sampled == expected


def test_equation_8_2_is_the_cosine_of_covariances(layers):
    a, b = (np.cov(x.T) for x in layers)
    expected = np.trace(a @ b) / (np.linalg.norm(a) * np.linalg.norm(b))
    assert covariance_cosine(*layers) == pytest.approx(expected, rel=1e-12)
    wide = [x.T for x in layers]  # fewer units than inputs: the other way to the same number
    a, b = (np.cov(x.T) for x in (wide[0], wide[0] ** 2))
    expected = np.trace(a @ b) / (np.linalg.norm(a) * np.linalg.norm(b))
    assert covariance_cosine(wide[0], wide[0] ** 2) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("means", [False, True])
def test_equation_8_3_corrected_is_the_divergence_of_gaussians(layers, means):
    p, q = (gaussian(x, means) for x in layers)
    there, back = (float(kl_divergence(*ends)) for ends in ((p, q), (q, p)))
    assert gaussian_kl(*layers, means=means) == pytest.approx(there, rel=1e-10)
    assert symmetrised_kl(*layers, means=means) == pytest.approx((there + back) / 2, rel=1e-10)


def test_equation_8_3_as_printed_is_off_by_half_the_inputs(layers):
    x, _ = layers
    a = np.cov(x.T)
    printed = (np.trace(np.linalg.solve(a, a)) - np.log(1.0)) / 2
    assert printed == pytest.approx(x.shape[1] / 2)
    assert gaussian_kl(x, x) == pytest.approx(0, abs=1e-12)


def on_grid(x, y):
    """Densities of the Gaussians of two layers of one input, and limits that hold them."""
    p, q = (stats.norm(z.mean(), z.std(ddof=1)) for z in (x, y))
    low = min(z.mean() - 12 * z.std() for z in (x, y))
    return p.pdf, q.pdf, (low, max(z.mean() + 12 * z.std() for z in (x, y)))


def test_jensen_shannon_of_gaussians_by_integration():
    generator = np.random.default_rng(3)
    x, y = generator.normal(size=(20, 1)), 2.5 * generator.normal(size=(30, 1)) + 1.5
    p, q, limits = on_grid(x, y)

    def integrand(t):
        m = (p(t) + q(t)) / 2
        return (p(t) * np.log(p(t) / m) + q(t) * np.log(q(t) / m)) / 2

    exact = quad(integrand, *limits, limit=200)[0]
    drawn = gaussian_jensen_shannon(x, y, means=True, form="monte-carlo", samples=200_000)
    # The spread of one draw is at most ln 2 on each side.
    assert drawn == pytest.approx(exact, abs=4 * LN2 / np.sqrt(200_000))
    assert drawn == gaussian_jensen_shannon(x, y, means=True, form="monte-carlo", samples=200_000)
    assert exact < gaussian_jensen_shannon(x, y, means=True) < exact + 0.1


def test_jensen_shannon_by_moments_is_two_divergences_from_the_middle(layers):
    p, q = (gaussian(x) for x in layers)
    gap = p.loc - q.loc
    middle = MultivariateNormal(
        (p.loc + q.loc) / 2,
        (p.covariance_matrix + q.covariance_matrix) / 2 + torch.outer(gap, gap) / 4,
    )
    expected = float(kl_divergence(p, middle) + kl_divergence(q, middle)) / 2
    assert gaussian_jensen_shannon(*layers, means=True) == pytest.approx(expected, rel=1e-9)


def test_jensen_shannon_by_moments_may_exceed_ln_2_where_the_definition_does_not():
    x, y = np.random.default_rng(0).normal(size=(2, 60, 20))
    y = 20 * y
    assert gaussian_jensen_shannon(x, y) > LN2
    drawn = gaussian_jensen_shannon(x, y, form="monte-carlo")
    assert LN2 - 1e-3 < drawn <= LN2 + 1e-12


def test_jensen_shannon_of_histograms():
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(10, 30)), generator.uniform(-2, 3, size=(7, 11))
    edges = np.linspace(min(x.min(), y.min()), max(x.max(), y.max()), 17)
    p, q = (np.histogram(z, edges)[0] for z in (x, y))
    assert jensen_shannon(x, y, bins=16) == pytest.approx(jensenshannon(p, q) ** 2, rel=1e-9)
    assert jensen_shannon(x, x + 100) == pytest.approx(LN2)
    assert jensen_shannon(np.ones(4), np.ones((2, 2))) == 0


def test_hellinger_of_variances_is_bures_on_the_diagonals(layers):
    a, b = (np.diag(np.cov(x.T).diagonal()) for x in layers)
    expected = float(ot.gaussian.bures_distance(a, b))
    assert hellinger(*layers) == pytest.approx(expected, rel=1e-9)


def test_hellinger_of_gaussians_by_integration():
    generator = np.random.default_rng(3)
    x, y = generator.normal(size=(20, 1)), 2.5 * generator.normal(size=(30, 1)) + 1.5
    p, q, limits = on_grid(x, y)
    overlap = quad(lambda t: np.sqrt(p(t) * q(t)), *limits, limit=200)[0]
    value = hellinger(x, y, of="gaussians", means=True)
    assert value == pytest.approx(np.sqrt(1 - overlap), rel=1e-8)
    assert hellinger(x, y - 5, of="gaussians") == pytest.approx(hellinger(x, y, of="gaussians"))


@pytest.mark.parametrize("p", [1, 2, 3.5])
def test_wasserstein_of_scalars_is_a_sort(p):
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(6, 8)), generator.normal(size=(5, 7)) ** 3
    expected = ot.wasserstein_1d(x.ravel(), y.ravel(), p=p) ** (1 / p)
    assert wasserstein(x, y, p=p, points="weights") == pytest.approx(expected, rel=1e-12)
    assert wasserstein(x.ravel(), y.ravel(), p=p) == pytest.approx(expected, rel=1e-12)
    if p == 1:
        assert expected == pytest.approx(stats.wasserstein_distance(x.ravel(), y.ravel()))
    same = wasserstein(x, x[:, ::-1] + 2, p=p, points="weights")
    assert same == pytest.approx(2.0, rel=1e-12)


@pytest.mark.parametrize("p", [1, 2])
def test_equation_8_4_of_units_is_an_assignment(p):
    x, y = np.random.default_rng(0).normal(size=(2, 15, 4))
    cost = cdist(x, y) ** p
    best = cost[linear_sum_assignment(cost)].mean() ** (1 / p)
    assert wasserstein(x, y, p=p) == pytest.approx(best, rel=1e-12)
    rows = [torch.tensor(z).softmax(dim=1).numpy() for z in (x, y)]
    expected = wasserstein(*rows, p=p)
    assert wasserstein(x, y, p=p, softmax=True) == pytest.approx(expected, rel=1e-12)


def test_wasserstein_of_unequal_numbers_of_units(layers):
    x, y = layers
    weights = [np.full(len(z), 1 / len(z)) for z in layers]
    expected = ot.emd2(*weights, cdist(x, y) ** 2) ** 0.5
    assert wasserstein(x, y) == pytest.approx(expected, rel=1e-9)
    # As many clusters as units: nothing is lost.
    assert centroid_wasserstein(x, y, clusters=50) == pytest.approx(expected, rel=1e-9)


def test_centroids_are_the_means_of_tight_groups():
    generator = np.random.default_rng(0)
    centres = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    x = np.repeat(centres, [5, 3, 2], axis=0) + 1e-6 * generator.normal(size=(10, 2))
    y = np.repeat(centres, [5, 2, 3], axis=0) + 1e-6 * generator.normal(size=(10, 2))
    # A tenth of the units goes from one corner to the other.
    expected = np.sqrt(0.1 * 200)
    assert centroid_wasserstein(x, y, clusters=3) == pytest.approx(expected, rel=1e-4)


def test_sliced_wasserstein(layers):
    x, y = layers
    theta = np.random.default_rng(5).standard_normal((x.shape[1], 64))
    theta /= np.linalg.norm(theta, axis=0)
    expected = ot.sliced_wasserstein_distance(x, y, projections=theta)
    assert sliced_wasserstein(x, y, directions=64, seed=5) == pytest.approx(expected, rel=1e-9)
    assert sliced_wasserstein(x, y) < wasserstein(x, y)


def test_equations_a_23_and_a_24(layers):
    a, b = (np.cov(x.T) for x in layers)
    root = np.linalg.inv(linalg.sqrtm(a))
    expected = np.linalg.norm(linalg.logm(root @ b @ root))
    assert affine_invariant(*layers) == pytest.approx(expected, rel=1e-8)
    expected = np.linalg.norm(linalg.logm(a) - linalg.logm(b))
    assert log_euclidean(*layers) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("shape", [(20, 6), (6, 20), (12, 12)])
def test_singular_covariances_are_shrunk_as_scikit_learn_shrinks_them(shape):
    generator = np.random.default_rng(1)
    scales = np.linspace(0.2, 3, shape[1])
    x, y = generator.normal(size=(2, *shape)) * scales
    singular = shape[0] <= shape[1]

    def covariance(z):
        share = ledoit_wolf(z)[1] if singular else 0.0
        plain = np.cov(z.T)
        return (1 - share) * plain + share * np.trace(plain) / len(plain) * np.eye(len(plain))

    expected = np.linalg.norm(linalg.logm(covariance(x)) - linalg.logm(covariance(y)))
    assert log_euclidean(x, y) == pytest.approx(expected, rel=1e-8)


def test_a_given_shrinkage_is_taken(layers):
    x, _ = layers
    plain = np.cov(x.T)
    shrunk = 0.7 * plain + 0.3 * np.trace(plain) / len(plain) * np.eye(len(plain))
    values = np.log(np.linalg.eigvalsh(shrunk))
    spherical = np.sqrt(3) * np.vstack([np.eye(x.shape[1]), -np.eye(x.shape[1])])
    target = np.cov(spherical.T)[0, 0]  # a multiple of the identity, shrunk or not
    expected = np.linalg.norm(values - np.log(target))
    assert log_euclidean(x, spherical, shrinkage=0.3) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("measure", [covariance_cosine, bures_wasserstein, euclidean])
@pytest.mark.parametrize("by_name", [False, True])
def test_equations_a_1_and_a_22_are_a_mean_over_blocks(measure, by_name):
    x, y = np.random.default_rng(0).normal(size=(2, 7, 5))
    blocks = [
        measure(x[rows, columns], y[rows, columns])
        for rows in (slice(0, 3), slice(3, 5), slice(5, 7))  # round(7 / 2.2) = 3
        for columns in (slice(0, 3), slice(3, 5))
    ]
    value = block_covariance(x, y, of=measure.__name__ if by_name else measure, block=2.2)
    assert value == pytest.approx(np.mean(blocks), rel=1e-12)


def test_procrustes_is_scipys():
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(20, 4)), generator.normal(size=(20, 4)) + 1
    # SciPy also scales: its disparity is 1 - s^2, where ours is the root of 2 - 2 s.
    disparity = spatial.procrustes(x, y)[2]
    expected = np.sqrt(2 - 2 * np.sqrt(1 - disparity))
    assert procrustes(x, y) == pytest.approx(expected, rel=1e-9)
    padded = np.hstack([y[:, :2], np.zeros((20, 2))])
    assert procrustes(x, y[:, :2]) == pytest.approx(procrustes(x, padded), rel=1e-9)
    assert np.isnan(procrustes(x, np.full((20, 3), 0.1)))


@pytest.mark.parametrize("debiased", [False, True])
def test_rbf_cka_is_the_normalised_hsic_of_scikit_learns_kernel(debiased):
    generator = np.random.default_rng(0)
    x = generator.normal(size=(12, 3))
    y = np.tanh(x @ generator.normal(size=(3, 5)))
    n, h = 12, np.eye(12) - 1 / 12

    def kernel(z):
        width = 0.5 * np.median(spatial.distance.pdist(z))
        return rbf_kernel(z, gamma=1 / (2 * width**2))

    def hsic(k, m):
        if not debiased:
            return np.trace(k @ h @ m @ h)
        k, m = k - np.eye(n), m - np.eye(n)
        ones = np.ones(n)
        inner = np.trace(k @ m) + ones @ k @ ones * (ones @ m @ ones) / ((n - 1) * (n - 2))
        return inner - 2 / (n - 2) * (ones @ k @ m @ ones)

    k, m = kernel(x), kernel(y)
    expected = hsic(k, m) / np.sqrt(hsic(k, k) * hsic(m, m))
    value = rbf_cka(x, y, bandwidth=0.5, debiased=debiased)
    assert value == pytest.approx(expected, rel=1e-9)


def test_a_wide_kernel_gives_linear_cka():
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(2, 30, 4))
    assert rbf_cka(x, y, bandwidth=1e3, debiased=False) == pytest.approx(
        cka(x, y, debiased=False), rel=1e-5
    )
