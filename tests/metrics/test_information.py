"""Mutual information against closed forms, scikit-learn and loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import digamma
from sklearn.feature_selection import mutual_info_regression
from sklearn.metrics import mutual_info_score

from workbench.metrics.information import ESTIMATORS, ceiling, floor, mutual_information


def gaussians(n: int, features: int = 1, rho: float = 0.8, seed: int = 0):
    """x, y with correlation rho in each feature, independent across features."""
    x, noise = np.random.default_rng(seed).normal(size=(2, n, features))
    return x, rho * x + math.sqrt(1 - rho**2) * noise


def truth(features: int = 1, rho: float = 0.8) -> float:
    """-d/2 log(1 - rho^2), in nats."""
    return -features / 2 * math.log(1 - rho**2)


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.8, 0.95])
def test_knn_finds_the_information_of_gaussians(rho):
    found = [mutual_information(*gaussians(600, rho=rho, seed=seed)) for seed in range(5)]
    # Kraskov et al., figure 4: bias below 0.02; the spread of one estimate is about 0.04.
    assert np.mean(found) == pytest.approx(truth(1, rho), abs=0.06)


def test_knn_finds_the_information_of_two_and_three_features():
    two = [mutual_information(*gaussians(1000, 2, 0.6, seed)) for seed in range(3)]
    assert np.mean(two) == pytest.approx(truth(2, 0.6), abs=0.08)
    three = [mutual_information(*gaussians(1000, 3, 0.6, seed)) for seed in range(3)]
    assert np.mean(three) == pytest.approx(truth(3, 0.6), abs=0.12)  # bias grows with features


@pytest.mark.parametrize("k", [1, 3, 5, 20])
def test_knn_equals_scikit_learn_in_one_dimension(k):
    x, y = gaussians(300, rho=0.7)
    # They add noise of 1e-10, which never swaps neighbours here.
    expected = mutual_info_regression(x, y[:, 0], n_neighbors=k, random_state=0)[0]
    assert mutual_information(x, y, k=k) == pytest.approx(expected, abs=1e-9)


def test_knn_equals_a_loop_over_samples_in_several_dimensions():
    x, y = gaussians(60, 3)
    x, y = x / x.std(axis=0), y / y.std(axis=0)
    k, terms = 4, []
    for i in range(60):
        near_x, near_y = np.abs(x - x[i]).max(axis=1), np.abs(y - y[i]).max(axis=1)
        others = np.arange(60) != i
        radius = np.sort(np.maximum(near_x, near_y)[others])[k - 1]
        counts = [(near[others] < radius).sum() for near in (near_x, near_y)]
        terms.append(sum(digamma(count + 1) for count in counts))
    expected = digamma(k) + digamma(60) - np.mean(terms)
    assert mutual_information(x, y, k=k) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("shape", [(100, 1), (700, 40)])
def test_knn_ceiling_is_a_difference_of_digammas(shape):
    x = np.random.default_rng(0).normal(size=shape)
    assert ceiling(x, k=5) == pytest.approx(digamma(shape[0]) - digamma(5), rel=1e-12)


def test_raw_wide_representations_are_not_credible():
    # 768 features share 392 nats; the estimator cannot even reach its own ceiling of 4.5.
    x, y = gaussians(400, 768)
    assert truth(768) == pytest.approx(392, abs=1)
    raw = mutual_information(x, y, components=None)
    assert raw < 2 < 4 < ceiling(x, components=None)
    # At ten features it already misses more than half.
    ten = mutual_information(*gaussians(400, 10), components=None)
    assert truth(10) == pytest.approx(5.11, abs=0.01) and ten < 0.5 * truth(10)


def test_components_recover_what_few_directions_carry():
    # Two strong shared directions in 40 noisy features: the reduced estimate is the true one.
    generator = np.random.default_rng(0)
    shared = 10 * gaussians(800, 2, 0.9)[0]
    other = 10 * gaussians(800, 2, 0.9)[1]
    maps = np.linalg.qr(generator.normal(size=(40, 4)))[0].T
    x = shared @ maps[:2] + 0.1 * generator.normal(size=(800, 40))
    y = other @ maps[2:] + 0.1 * generator.normal(size=(800, 40))
    found = mutual_information(x, y, components=2)
    # Four features in the joint space bias the estimate down by about 0.15 here.
    assert found == pytest.approx(truth(2, 0.9), abs=0.25)


def test_histogram_finds_the_information_of_gaussians_with_many_samples():
    x, y = gaussians(200_000, rho=0.8)
    # Plug-in bias is at most filled cells / 2n, about 0.03; blurring by a 256th of the range of
    # about 9 standard deviations lowers the correlation by 0.001.
    found = mutual_information(x, y, estimator="histogram")
    assert found == pytest.approx(truth(), abs=0.04)


def test_histogram_without_blur_equals_scikit_learn():
    x, y = gaussians(500)
    table = np.histogram2d(x[:, 0], y[:, 0], bins=32)[0]
    expected = mutual_info_score(None, None, contingency=table)
    found = mutual_information(x, y, estimator="histogram", bins=32, smoothing=0)
    assert found == pytest.approx(expected, rel=1e-3)  # a canonical sign may mirror the cells


def test_histogram_adds_the_canonical_pairs():
    x, y = gaussians(200_000, 2, 0.8)
    mixed = x @ np.array([[1.0, 0.5], [-0.3, 2.0]])
    found = mutual_information(mixed, y[:, ::-1], estimator="histogram")
    assert found == pytest.approx(truth(2), abs=0.08)  # twice the bias of one pair


def test_histogram_at_hundreds_of_samples_is_mostly_bias():
    x, y = gaussians(300, rho=0.0)
    found = mutual_information(x, y, estimator="histogram")
    assert found > 1.0  # the truth is 0
    chance = floor(x, y, estimator="histogram")
    assert found == pytest.approx(chance, abs=0.2)  # and chance level says so


def test_infonce_is_a_lower_bound_that_is_nearly_tight_for_gaussians():
    found = [
        mutual_information(*gaussians(1000, 2, seed=seed), estimator="infonce") for seed in range(5)
    ]
    assert 0.9 * truth(2) < np.mean(found) < truth(2) + 0.05  # sd of the mean is about 0.02


@pytest.mark.parametrize("critic", ["bilinear", "cosine"])
def test_infonce_is_capped_by_the_log_of_the_samples(critic):
    x, y = gaussians(200, 20, rho=0.999)
    cap = math.log(100 if critic == "bilinear" else 200) + 1e-9  # rounding
    found = mutual_information(x, y, estimator="infonce", critic=critic)
    top = ceiling(x, estimator="infonce", critic=critic)
    assert found <= cap and 0.9 * cap < top <= cap


def test_infonce_cosine_rises_with_the_correlation():
    found = [
        mutual_information(*gaussians(300, 10, rho), estimator="infonce", critic="cosine")
        for rho in (0.0, 0.3, 0.6, 0.9)
    ]
    assert found == sorted(found) and found[0] < 0.3


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), scale=st.floats(1e-3, 1e3), shift=st.floats(-10, 10))
def test_order_shift_scale_and_swap_change_nothing(seed, scale, shift):
    x, y = gaussians(80, 2, 0.7, seed)
    order = np.random.default_rng(seed).permutation(80)
    expected = mutual_information(x, y)
    assert mutual_information(y, x) == pytest.approx(expected, rel=1e-9)
    assert mutual_information(x[order], y[order]) == pytest.approx(expected, rel=1e-9)
    moved = x * np.array([scale, -1.0]) + shift
    # Rounding may move one of 160 neighbours across a boundary: at most 1 / 80 each.
    assert mutual_information(moved, y) == pytest.approx(expected, abs=0.02)
    nce = mutual_information(x, y, estimator="infonce")
    assert mutual_information(moved, y, estimator="infonce") == pytest.approx(nce, abs=1e-6)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_unrelated_estimate_and_ceiling_are_in_order(estimator):
    x, y = gaussians(300, 8, 0.9)
    low = floor(x, y, estimator=estimator)
    middle = mutual_information(x, y, estimator=estimator)
    assert low < middle < ceiling(x, estimator=estimator)
    assert floor(x, y, estimator=estimator) == low  # seeded


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_collapsed_side_tells_nothing(estimator):
    x, _ = gaussians(50, 8)
    assert mutual_information(x, np.full((50, 8), 0.1), estimator=estimator) == 0
    one_varies = np.hstack([x[:, :1], np.full((50, 3), 0.1)])
    assert np.isfinite(mutual_information(x, one_varies, estimator=estimator))


def test_infonce_of_representations_that_are_their_classes():
    labels = np.arange(400) % 4  # rows in a pattern: the halves must not split by class
    x = np.eye(6)[labels]
    found = mutual_information(x, x @ np.diag(np.arange(6.0)), estimator="infonce")
    assert 0.5 * math.log(3) < found < math.log(4) + 0.05  # column 0 is lost: three classes of four
    half = np.arange(400) % 2
    assert 0.5 < mutual_information(half, half, estimator="infonce") < math.log(2) + 0.01


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_repeated_samples_do_not_break_the_estimate(estimator):
    x, y = gaussians(20, 2)
    x, y = np.repeat(x, 10, axis=0), np.repeat(y, 10, axis=0)
    assert np.isfinite(mutual_information(x, y, estimator=estimator))


def test_tensors_are_taken():
    x, y = gaussians(50, 2)
    assert mutual_information(torch.tensor(x), torch.tensor(y)) == mutual_information(x, y)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"estimator": "bins"}, "estimator='bins'; allowed are knn, histogram, infonce"),
        ({"k": 0}, r"k=0 with 20 samples; k must lie in 1..19"),
        ({"k": 20}, r"k=20 with 20 samples"),
        ({"components": 0}, "components=0; give 1 or more, or None"),
        ({"bins": 1}, "bins must be 2 or more"),
        ({"smoothing": -1.0}, "smoothing 0 or more"),
        ({"critic": "mlp"}, "critic='mlp'; allowed are bilinear and cosine"),
        ({"temperature": 0.0}, "temperature=0.0; it must be above 0"),
    ],
)
def test_bad_options_say_what_is_allowed(options, message):
    with pytest.raises(ValueError, match=message):
        mutual_information(*gaussians(20), **options)


def test_bad_data_says_what_is_wrong():
    x, y = gaussians(20, 3)
    with pytest.raises(ValueError, match="x has 20 samples and y has 19"):
        mutual_information(x, y[:19])
    with pytest.raises(ValueError, match="x has 60 NaN or infinite values of 60"):
        mutual_information(x * np.inf, y)
    with pytest.raises(ValueError, match="x has 3 samples; at least 4"):
        mutual_information(x[:3], y[:3])
    with pytest.raises(ValueError, match="x has 3 features and y 2. Use critic='bilinear'"):
        mutual_information(x, y[:, :2], estimator="infonce", critic="cosine")
    with pytest.raises(ValueError, match="shuffles=0; at least 1"):
        floor(x, y, shuffles=0)
