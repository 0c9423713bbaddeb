"""Iterations of Algorithm 4: more compression first, longer retraining later."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.methods.layer_fusion import intervals


@given(st.floats(0.05, 0.95), st.integers(1, 12), st.integers(0, 100), st.floats(1, 3))
def test_steps_shrink_and_intervals_grow(keep, steps, spare, growth):
    plan = intervals(keep, steps, steps + spare, growth=growth)
    assert len(plan) == steps and plan[-1].keep == pytest.approx(keep)
    assert sum(step.retrain for step in plan) == steps + spare
    shares = [1.0, *(step.keep for step in plan)]
    drops = [a - b for a, b in zip(shares, shares[1:], strict=False)]
    assert all(a > b > 0 for a, b in zip(drops, drops[1:], strict=False))
    # Rounding moves an interval by one at most.
    lengths = [step.retrain for step in plan]
    assert all(b >= a - 1 for a, b in zip(lengths, lengths[1:], strict=False))


def test_even_steps_as_printed():
    assert intervals(0.5, 2, 6, even=True) == [(0.75, 3), (0.5, 3)]


def test_errors():
    for keep, steps, total in ((1, 2, 3), (0.5, 0, 3), (0.5, 4, 3)):
        with pytest.raises(ValueError, match=f"got keep={keep}, steps={steps}, total={total}"):
            intervals(keep, steps, total)
    with pytest.raises(ValueError, match="growth at least 1"):
        intervals(0.5, 2, 3, growth=0.5)
