"""CKA against a direct computation of HSIC from Gram matrices, and its invariances."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ortho_group

from workbench.metrics.similarity import cka


def hsic(x: np.ndarray, y: np.ndarray) -> float:
    """tr(K H L H) with the centring matrix H, Gretton et al. (2005)."""
    h = np.eye(len(x)) - 1 / len(x)
    return float(np.trace(x @ x.T @ h @ y @ y.T @ h))


def unbiased_hsic(x: np.ndarray, y: np.ndarray) -> float:
    """Song et al. (2012), equation 5, to the letter; features need not be centred."""
    n, k, m = len(x), x @ x.T, y @ y.T
    np.fill_diagonal(k, 0)
    np.fill_diagonal(m, 0)
    ones = np.ones(n)
    total = np.trace(k @ m) + (ones @ k @ ones) * (ones @ m @ ones) / ((n - 1) * (n - 2))
    return float(total - 2 / (n - 2) * (ones @ k @ m @ ones)) / (n * (n - 3))


def ratio(product, x, y):
    return product(x, y) / math.sqrt(product(x, x) * product(y, y))


def related(n: int, p: int, q: int, seed: int = 0):
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(n, p)) + 3.0
    return x, x @ generator.normal(size=(p, q)) + 2 * generator.normal(size=(n, q))


@pytest.mark.parametrize("shape", [(30, 4, 6), (12, 40, 30), (5, 5, 2)])
def test_cka_is_the_normalised_hsic(shape):
    x, y = related(*shape)
    assert cka(x, y, debiased=False) == pytest.approx(ratio(hsic, x, y), rel=1e-9)
    # Sums of off-diagonal terms cancel to about 1e-3 of their size.
    assert cka(x, y, debiased=True) == pytest.approx(ratio(unbiased_hsic, x, y), rel=1e-7)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), scale=st.floats(1e-4, 1e4), debiased=st.booleans())
def test_rotation_scale_shift_and_order_change_nothing(seed, scale, debiased):
    x, y = related(15, 4, 3, seed)
    expected = cka(x, y, debiased)
    turned = scale * x @ ortho_group.rvs(4, random_state=seed) + 7.0
    order = np.random.default_rng(seed).permutation(15)
    assert cka(turned, y, debiased) == pytest.approx(expected, rel=1e-6, abs=1e-8)
    assert cka(y, x, debiased) == pytest.approx(expected, rel=1e-9)
    assert cka(x[order], y[order], debiased) == pytest.approx(expected, rel=1e-9)
    assert cka(x, turned, debiased) == pytest.approx(1.0, rel=1e-6)


def test_plain_cka_of_independent_data_is_far_from_zero():
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(2, 50, 768))
    # E = 0.94 for plain; the debiased one scatters around 0 with sd about 1 / 50.
    assert cka(x, y, debiased=False) == pytest.approx(0.94, abs=0.01)
    assert abs(cka(x, y, debiased=True)) < 0.08
    assert cka(x, y) == cka(x, y, debiased=True)


def test_debiased_by_default_below_ten_samples_per_feature():
    x, y = related(99, 10, 2)
    assert cka(x, y) == cka(x, y, debiased=True) != cka(x, y, debiased=False)
    x, y = related(100, 10, 2)
    assert cka(x, y) == cka(x, y, debiased=False)


def test_collapsed_side_has_no_similarity():
    x, _ = related(8, 3, 2)
    assert math.isnan(cka(x, np.full((8, 2), 0.1)))


def test_tensors_and_bad_input():
    x, y = related(8, 3, 2)
    assert cka(torch.tensor(x), torch.tensor(y)) == cka(x, y)
    with pytest.raises(ValueError, match="x has 8 samples and y has 7; row i"):
        cka(x, y[:7])
    with pytest.raises(ValueError, match="3 samples; debiased CKA needs at least 4"):
        cka(x[:3], y[:3])
    with pytest.raises(ValueError, match="y has 16 NaN"):
        cka(x, y * np.nan)
