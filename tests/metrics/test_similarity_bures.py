"""Bures-Wasserstein against POT and closed forms: small, large, singular, nearly equal."""

from __future__ import annotations

import numpy as np
import ot
import pytest
from scipy import linalg
from scipy.stats import ortho_group

from workbench.metrics.similarity import bures_wasserstein
from workbench.metrics.similarity.bures import DROPPED, SMALL, _between, _nuclear_norm, prepare


def pot(x: np.ndarray, y: np.ndarray) -> float:
    means, covariances = zip(*((z.mean(axis=0), np.cov(z.T)) for z in (x, y)))
    return float(np.squeeze(ot.gaussian.bures_wasserstein_distance(*means, *covariances)))


def by_singular_values(x: np.ndarray, y: np.ndarray) -> float:
    """Squared distance from all digits of the singular values, without means."""
    x, y = ((z - z.mean(axis=0)) / np.sqrt(len(z) - 1) for z in (x.astype(float), y.astype(float)))
    norm = np.linalg.svd(x @ y.T, compute_uv=False).sum()
    return float((x**2).sum() + (y**2).sum() - 2 * norm)


@pytest.mark.parametrize("shape", [(30, 40, 5), (300, 260, 180)], ids=["small", "large"])
def test_equation_8_5_corrected_is_pots(shape):
    n, m, d = shape
    generator = np.random.default_rng(0)
    x = generator.normal(size=(n, d)) @ generator.normal(size=(d, d)) + 1
    y = generator.normal(size=(m, d)) @ generator.normal(size=(d, d))
    assert bures_wasserstein(x, y) == pytest.approx(pot(x, y), rel=1e-8)
    squared = bures_wasserstein(x, y, squared=True)
    assert squared == pytest.approx(pot(x, y) ** 2, rel=1e-8)


def test_equation_a_26_has_no_means():
    x, y = np.random.default_rng(0).normal(size=(2, 20, 4))
    a, b = np.cov(x.T), np.cov(y.T)
    expected = float(ot.gaussian.bures_distance(a, b))
    assert bures_wasserstein(x, y, mean=False) == pytest.approx(expected, rel=1e-9)
    moved = bures_wasserstein(x, y + 3.0, mean=False)
    assert moved == pytest.approx(expected, rel=1e-9)
    gap = np.linalg.norm(x.mean(axis=0) - y.mean(axis=0) - 3.0)
    assert bures_wasserstein(x, y + 3.0) == pytest.approx(np.hypot(expected, gap), rel=1e-9)


def test_equation_8_5_as_printed_is_negative_for_a_layer_and_itself():
    x = 2 * np.random.default_rng(0).normal(size=(20, 4))
    a = np.cov(x.T)
    root = linalg.sqrtm(a)
    assert 2 * np.trace(a) - 2 * np.trace(root @ a @ root) < 0
    assert bures_wasserstein(x, x) == pytest.approx(0, abs=1e-12)


def test_separate_rotations_change_it_though_section_8_3_1_wishes_they_did_not():
    x, y = np.random.default_rng(0).normal(size=(2, 20, 4)) * [1.0, 2.0, 3.0, 4.0]
    turned = x @ ortho_group.rvs(4, random_state=0)
    assert bures_wasserstein(turned, y) != pytest.approx(bures_wasserstein(x, y), rel=0.01)


def test_commuting_covariances_have_a_closed_form():
    generator = np.random.default_rng(0)
    # Orthogonal columns of mean zero: both covariances are diagonal.
    base = np.linalg.qr(generator.normal(size=(300, 150)))[0]
    base -= base.mean(axis=0)
    base = np.linalg.qr(base)[0] * np.sqrt(299)
    base -= base.mean(axis=0)
    a, b = generator.uniform(0.1, 3, size=(2, 150))
    expected = np.linalg.norm(a - b)
    assert bures_wasserstein(base * a, base * b) == pytest.approx(expected, rel=1e-9)


KINDS = ["full", "square", "wide", "low rank", "decaying", "dead inputs", "one outlier"]


def layers(kind: str) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    n, d = {"square": (200, 200), "wide": (150, 400)}.get(kind, (260, 200))
    x, y = generator.normal(size=(2, n, d))
    if kind == "low rank":
        x, y = (z[:, :140] @ generator.normal(size=(140, d)) for z in (x, y))
    if kind == "decaying":
        x, y = (
            z * 0.9 ** np.arange(d) @ ortho_group.rvs(d, random_state=i)
            for i, z in ((0, x), (1, y))
        )
    if kind == "dead inputs":
        x[:, :50] = y[:, 20:70] = 0
    if kind == "one outlier":
        x[:, 0] *= 100
    return x, y


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("dtype", "share"), [("float64", 3e-8), ("float32", 5e-6)])
def test_large_layers_of_every_kind_are_as_good_as_promised(kind, dtype, share):
    x, y = (z.astype(dtype) for z in layers(kind))
    value = bures_wasserstein(x, y, mean=False, squared=True)
    assert value == pytest.approx(by_singular_values(x, y), rel=share)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("kind", ["full", "square", "wide", "low rank"])
def test_layers_that_are_nearly_equal_keep_their_digits(kind, dtype):
    x, step = layers(kind)
    x = x.astype(dtype)
    for size in (1e-2, 1e-4):
        y = (x + size * step).astype(dtype)
        # The distance is that to the rotated layer, of the order of the step.
        a, b = (z.astype(float) - z.astype(float).mean(axis=0) for z in (x, y))
        u, _, v = np.linalg.svd(a @ b.T)
        expected = np.linalg.norm(a - u @ v @ b) / np.sqrt(len(x) - 1)
        assert bures_wasserstein(x, y, mean=False) == pytest.approx(expected, rel=5e-6)
    assert bures_wasserstein(x, x) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_the_estimate_of_what_rounding_took_is_no_less_than_a_third_of_it(kind, precision):
    x, y = layers(kind)
    a, b = prepare(x), prepare(y)
    assert min(a.rank, b.rank) >= SMALL
    norm, lost = _nuclear_norm(a, b, np.dtype(precision))
    scale = np.sqrt(a.trace * b.trace)
    exact = (a.trace + b.trace - by_singular_values(x, y)) / 2 / scale
    assert abs(norm - exact) <= 3 * lost + DROPPED


def test_scales_far_from_one_and_far_from_each_other():
    x, y = layers("full")
    value = bures_wasserstein(x, y)
    for scale in (1e-30, 1e30):
        assert bures_wasserstein(scale * x, scale * y) / scale == pytest.approx(value, rel=1e-9)
    single = (z.astype("float32") * np.float32(1e-20) for z in (x, y))
    assert bures_wasserstein(*single) * 1e20 == pytest.approx(value, rel=1e-5)
    expected = np.sqrt(np.trace(np.cov(y.T)) + (y.mean(axis=0) ** 2).sum())
    assert bures_wasserstein(1e-12 * x, y) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_layers_that_share_no_input_are_as_far_apart_as_their_variances(dtype):
    x, y = np.random.default_rng(0).normal(size=(2, 400, 320)).astype(dtype)
    x[:, :160] = y[:, 160:] = 0
    expected = np.sqrt(np.trace(np.cov(x.T)) + np.trace(np.cov(y.T)))
    assert bures_wasserstein(x, y, mean=False) == pytest.approx(expected, rel=1e-6)


def test_equal_units_have_a_covariance_of_zero():
    x, _ = layers("full")
    flat = np.full_like(x, 0.1)
    assert bures_wasserstein(flat, flat + 1) == pytest.approx(np.sqrt(x.shape[1]))
    expected = np.sqrt(np.trace(np.cov(x.T)))
    assert bures_wasserstein(x, flat, mean=False) == pytest.approx(expected, rel=1e-12)
    assert _between(prepare(flat), prepare(flat)) == 0
