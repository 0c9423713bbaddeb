"""The inflection point: exact on broken lines, none on straight ones, not moved by noise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.metrics.inflection import inflection

DENSITIES = 0.5 ** np.arange(7)  # one halving a step


def broken(at: int, before: float, after: float) -> np.ndarray:
    """Scores that change by ``before`` a halving up to step ``at`` and by ``after`` from there."""
    steps = np.arange(7)
    return 0.9 + before * np.minimum(steps, at) + after * np.maximum(steps - at, 0)


@pytest.mark.parametrize("at", [1, 2, 3, 4, 5])
def test_a_broken_line_bends_where_it_breaks(at: int) -> None:
    found = inflection(DENSITIES, broken(at, -0.01, -0.1))
    assert found is not None
    assert found.place == at and found.density == 0.5**at
    assert found.before == pytest.approx(-0.01) and found.after == pytest.approx(-0.1)
    drop = 0.01 * at + 0.1 * (6 - at)
    assert found.bend == pytest.approx(at / 6 - 0.01 * at / drop)
    assert found.score == pytest.approx(0.9 - 0.01 * at)


@pytest.mark.parametrize(
    "scores",
    [
        broken(3, -0.05, -0.05),  # a straight line
        broken(1, -0.3, -0.01),  # falls at once, then levels off
        broken(3, 0.0, -0.001),  # hardly falls
        broken(3, 0.05, 0.02),  # rises
    ],
)
def test_other_curves_have_none(scores: np.ndarray) -> None:
    assert inflection(DENSITIES, scores) is None


def test_a_collapse_to_chance_bends_at_its_upper_edge() -> None:
    found = inflection(DENSITIES, [0.9, 0.9, 0.88, 0.5, 0.25, 0.25, 0.25])
    assert found is not None and found.place == 2


def test_one_noisy_step_on_a_plateau_decides_nothing() -> None:
    scores = broken(4, 0.0, -0.2)
    scores[1] -= 0.02
    found = inflection(DENSITIES, scores)
    assert found is not None and found.place == 4


@given(
    st.lists(st.floats(0, 1), min_size=7, max_size=7),
    st.permutations(range(7)),
    st.floats(0.1, 10),
    st.floats(-1, 1),
)
@settings(max_examples=60, deadline=None)
def test_order_scale_and_offset_do_not_matter(
    scores: list[float], order: list[int], scale: float, offset: float
) -> None:
    s = np.asarray(scores)
    one = inflection(DENSITIES, s)
    two = inflection(DENSITIES[order], scale * s[order] + offset, least_drop=0.02 * scale)
    if one is None or two is None or one.bend < 0.11 or s[0] - s[-1] < 0.03:
        return  # at a threshold rounding may decide
    assert two.density == one.density
    assert two.bend == pytest.approx(one.bend, abs=1e-6)
    assert one.after < one.before + 1e-12


@pytest.mark.parametrize(
    ("densities", "scores", "message"),
    [
        ([1.0, 0.5], [0.1], "must be of one shape"),
        ([1.0, 0.5, 0.5], [0.1, 0.2, 0.3], "different shares"),
        ([1.0, 0.5, 0.0], [0.1, 0.2, 0.3], "different shares"),
        ([1.0, 0.5, 0.2], [0.1, float("nan"), 0.3], "NaN or infinity"),
    ],
)
def test_bad_curves_are_told(densities: Any, scores: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        inflection(densities, scores)


def test_two_steps_are_too_few() -> None:
    assert inflection([1.0, 0.1], [0.9, 0.1]) is None
