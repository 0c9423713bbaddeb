"""Agreement and calibration error against loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax

from workbench.metrics.fidelity import agreement, calibration_error


def outputs(n: int = 200, classes: int = 3, seed: int = 0):
    generator = np.random.default_rng(seed)
    return 2 * generator.normal(size=(n, classes)), generator.integers(0, classes, n)


def error_by_loops(probabilities: np.ndarray, labels: np.ndarray, bins: int) -> float:
    """Guo et al., equation 3, with bins (low, high]."""
    total = 0.0
    for b in range(bins):
        low, high = b / bins, (b + 1) / bins
        inside = [i for i, row in enumerate(probabilities) if low < row.max() <= high]
        if inside:
            right = np.mean([probabilities[i].argmax() == labels[i] for i in inside])
            sure = np.mean([probabilities[i].max() for i in inside])
            total += len(inside) / len(labels) * abs(right - sure)
    return total


@pytest.mark.parametrize("bins", [1, 7, 15, 100])
def test_calibration_error_is_the_sum_over_bins(bins):
    logits, labels = outputs()
    probabilities = softmax(logits, axis=1)
    expected = error_by_loops(probabilities, labels, bins)
    assert calibration_error(logits, labels, bins=bins) == pytest.approx(expected, rel=1e-12)
    assert calibration_error(probabilities, labels, bins=bins) == pytest.approx(expected, rel=1e-6)


def test_adaptive_bins_hold_equally_many_samples():
    logits, labels = outputs(30)
    probabilities = softmax(logits, axis=1)
    order = probabilities.max(axis=1).argsort()
    expected = 0.0
    for part in order.reshape(5, 6):
        right = (probabilities[part].argmax(axis=1) == labels[part]).mean()
        expected += abs(right - probabilities[part].max(axis=1).mean()) / 5
    found = calibration_error(logits, labels, bins=5, adaptive=True)
    assert found == pytest.approx(expected, rel=1e-12)
    assert 0 <= calibration_error(logits, labels, bins=99, adaptive=True) <= 1


def test_calibrated_and_overconfident_models():
    generator = np.random.default_rng(0)
    sure = generator.uniform(0.5, 1.0, 20_000)
    probabilities = np.stack([sure, 1 - sure], axis=1)
    labels = (generator.random(20_000) > sure).astype(int)
    # Each of 8 filled bins scatters by sqrt(p (1 - p) / 2500), at most 0.01.
    assert calibration_error(probabilities, labels) < 0.01
    certain = np.tile([1.0, 0.0], (10, 1))
    assert calibration_error(certain, np.ones(10, dtype=int)) == 1.0
    assert calibration_error(certain, np.zeros(10, dtype=int)) == 0.0


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), shift=st.floats(-50, 50), adaptive=st.booleans())
def test_error_is_a_share_and_ignores_order_and_shift_of_logits(seed, shift, adaptive):
    logits, labels = outputs(40, 4, seed)
    order = np.random.default_rng(seed).permutation(40)
    expected = calibration_error(logits, labels, adaptive=adaptive)
    moved = calibration_error((logits + shift)[order], labels[order], adaptive=adaptive)
    assert 0 <= expected <= 1 and moved == pytest.approx(expected, abs=1e-9)


def test_agreement_counts_equal_predictions():
    logits, _ = outputs()
    other = logits.copy()
    other[:50] = -other[:50]
    expected = (logits.argmax(axis=1) == other.argmax(axis=1)).mean()
    assert agreement(logits, other) == expected
    assert agreement(logits.argmax(axis=1), other) == expected
    assert agreement(softmax(logits, axis=1), 3 * logits) == 1.0
    assert agreement(torch.tensor(logits), torch.tensor(other)) == expected


def test_bad_input_says_what_is_wrong():
    logits, labels = outputs(10)
    with pytest.raises(ValueError, match=r"shape \(10,\) and type float64; .* regression use"):
        agreement(logits[:, 0], logits[:, 0])
    with pytest.raises(ValueError, match=r"shape \(10, 1\)"):
        agreement(logits[:, :1], logits)
    with pytest.raises(ValueError, match="student has 9 samples and teacher 10"):
        agreement(logits[:9], logits)
    with pytest.raises(ValueError, match="teacher has 30 NaN"):
        agreement(logits, logits * np.nan)
    with pytest.raises(ValueError, match="teacher has shape"):
        agreement(labels, labels[:0])
    with pytest.raises(ValueError, match="3 classes and labels .*must be class indices from 0"):
        calibration_error(logits, labels + 1)
    with pytest.raises(ValueError, match="at least two classes"):
        calibration_error(logits[:, 0], np.zeros(10, dtype=int))
    with pytest.raises(ValueError, match="bins=0; at least 1"):
        calibration_error(logits, labels, bins=0)
    with pytest.raises(ValueError, match="rows must be non-negative and add to 1"):
        calibration_error(logits, labels, kind="probabilities")
    with pytest.raises(ValueError, match="kind='odds'; allowed are"):
        calibration_error(logits, labels, kind="odds")
    with pytest.raises(ValueError, match=r"labels have shape \(9,\)"):
        calibration_error(logits, labels[:9])
