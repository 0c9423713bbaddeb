"""Paired intervals against SciPy."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from workbench.metrics.contrasts import Interval, contrast, paired_interval


@given(st.lists(st.floats(-5, 5), min_size=3, max_size=20, unique=True))
def test_the_interval_is_that_of_the_paired_t_test(values):
    a, b = np.array(values), np.linspace(0, 1, len(values)) ** 2
    if np.std(a - b) < 1e-6:
        return
    ours = paired_interval(a - b)
    theirs = stats.ttest_rel(a, b)
    low, high = theirs.confidence_interval(0.95)
    assert (ours.low, ours.high) == pytest.approx((low, high), rel=1e-9, abs=1e-9)
    assert (ours.verdict != "undecided") == (theirs.pvalue < 0.05)


def test_one_pair_has_no_interval_and_bad_input_is_named():
    assert paired_interval([0.5]) == Interval(0.5, -np.inf, np.inf, 1)
    assert paired_interval([0.5]).verdict == "undecided"
    with pytest.raises(ValueError, match="finite and at least one"):
        paired_interval([])
    with pytest.raises(ValueError, match="finite and at least one"):
        paired_interval([0.1, float("nan")])
    with pytest.raises(ValueError, match="confidence = 95"):
        paired_interval([0.1, 0.2], 95)


def frame():
    rows = [
        {"method": m, "task": "t", "seed": s, "step": k, "value": base + s + k}
        for m, base in (("a", 1.0), ("b", 0.0))
        for s in range(3)
        for k in range(4)
    ]
    return pd.DataFrame(rows)


def test_what_pairs_share_cancels():
    assert contrast(frame(), "a", "b") == Interval(1.0, 1.0, 1.0, 3)


def test_only_common_pairs_count_and_unknown_methods_are_named():
    data = frame()
    assert contrast(data[(data.method == "a") | (data.seed < 2)], "a", "b").n == 2
    with pytest.raises(ValueError, match="No rows of method 'c'; the frame has a, b"):
        contrast(data, "a", "c")
    with pytest.raises(ValueError, match="no task and seed in common"):
        contrast(data[(data.method == "a") ^ (data.seed == 0)], "a", "b")
