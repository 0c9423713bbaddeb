"""Schedules: exact endpoints, monotone, the printed formulas."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given

from workbench.methods.schedules import densities, geometric

pytestmark = pytest.mark.unit

names = st.sampled_from(["geometric", "linear", "cubic"])


@given(names, st.integers(1, 200), st.floats(1e-6, 1))
def test_schedules_fall_from_one_to_the_final_density(name, steps, final):
    values = densities(name, steps, final)
    assert len(values) == steps + 1
    assert values[0] == 1.0 and values[-1] == final
    assert all(a >= b for a, b in zip(values, values[1:], strict=False))


@given(st.floats(0, 0.99), st.integers(1, 60))
def test_geometric_rate_and_final_density_agree(rate, steps):
    by_rate = geometric(rate, steps)
    assert by_rate == pytest.approx(densities("geometric", steps, by_rate[-1]), rel=1e-9)


def test_ten_percent_of_the_remaining_weights_gives_the_densities_of_the_thesis():
    values = geometric(0.1, 32)
    for steps, percent in ((11, 31.4), (12, 28.2), (22, 9.85), (32, 3.4)):
        assert 100 * values[steps] == pytest.approx(percent, abs=0.05)


def test_linear_and_cubic_follow_their_formulas():
    assert densities("linear", 4, 0.2) == pytest.approx((1, 0.8, 0.6, 0.4, 0.2))
    # Zhu and Gupta (2017), equation 1, in sparsity: s_f + (s_i - s_f) (1 - t / (n dt))^3, s_i = 0
    sparsity = [0.9 + (0 - 0.9) * (1 - t / 10) ** 3 for t in range(11)]
    assert densities("cubic", 10, 0.1) == pytest.approx([1 - s for s in sparsity])


@pytest.mark.parametrize("final", [0, -1, 1.5, float("nan"), "0.1", True])
def test_final_density_out_of_range(final):
    with pytest.raises(ValueError, match=r"final density must be a number in \(0, 1\], got"):
        densities("linear", 3, final)


@pytest.mark.parametrize("steps", [0, -1, 2.5, True])
def test_steps_out_of_range(steps):
    with pytest.raises(ValueError, match="steps must be a whole number of at least 1, got"):
        densities("linear", steps, 0.5)
    with pytest.raises(ValueError, match="steps must be a whole number of at least 1, got"):
        geometric(0.1, steps)


def test_unknown_schedule_and_rate():
    with pytest.raises(
        ValueError, match=r"one of \['geometric', 'linear', 'cubic'\], got 'cosine'"
    ):
        densities("cosine", 3, 0.5)
    for rate in (-0.1, 1, float("nan")):
        with pytest.raises(ValueError, match=r"rate must be a number in \[0, 1\)"):
            geometric(rate, 3)
