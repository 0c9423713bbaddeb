"""Equation 11.4 against every mask of small cases."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.methods.pruning import Masks, frobenius_distortion

pytestmark = pytest.mark.unit


def every_mask(size: int, keep: int):
    for kept in combinations(range(size), keep):
        mask = torch.zeros(size, dtype=torch.bool)
        mask[list(kept)] = True
        yield mask


def least(weight, keep, *args, **kwargs) -> float:
    masks = every_mask(len(weight), keep)
    return min(float(frobenius_distortion(weight, mask, *args, **kwargs)) for mask in masks)


numbers = st.lists(st.floats(-3, 3), min_size=8, max_size=8).map(
    lambda v: torch.tensor(v, dtype=torch.float64)
)


@given(numbers, st.integers(1, 7))
@settings(deadline=None, max_examples=30)
def test_magnitude_masks_minimise_the_first_term(weight, keep):
    mask = Masks.layerwise({"w": weight.abs()}, keep / 8)["w"]
    assert float(frobenius_distortion(weight, mask)) <= least(weight, keep) + 1e-12


@given(numbers, numbers, st.integers(1, 7), st.floats(0, 2))
@settings(deadline=None, max_examples=30)
def test_the_squared_joint_minimiser_is_a_score(weight, teacher, keep, weighting):
    score = weight.square() + weighting * teacher.square()
    mask = Masks.layerwise({"w": score}, keep / 8)["w"]
    ours = float(frobenius_distortion(weight, mask, teacher, weighting, squared=True))
    assert ours <= least(weight, keep, teacher, weighting, squared=True) + 1e-9


def test_the_printed_sum_of_norms_has_no_such_score():
    # Alone, removing the second weight is best; once the first must go as well, the third goes
    # with it. A score of single weights would have removed {0, 1}.
    weight = torch.tensor([2.0, 0.0, 2.0], dtype=torch.float64)
    teacher = torch.tensor([0.0, 1.9, 0.0], dtype=torch.float64)
    distortions = {
        keep: min(every_mask(3, keep), key=lambda m: frobenius_distortion(weight, m, teacher))
        for keep in (2, 1)
    }
    assert distortions[2].tolist() == [True, False, True]
    assert distortions[1].tolist() == [False, True, False]


def test_closed_forms_and_refusals():
    weight, mask = torch.tensor([[3.0, 1.0], [4.0, 2.0]]), torch.tensor([[0, 1], [0, 1]])
    assert frobenius_distortion(weight, mask) == 5
    assert frobenius_distortion(weight, mask.bool(), 2 * weight, 0.5) == 10
    assert frobenius_distortion(weight, mask, 2 * weight, 0.5, squared=True) == 75
    with pytest.raises(
        ValueError, match=r"mask must have the shape of the weight \(2, 2\), got \(2,\)"
    ):
        frobenius_distortion(weight, torch.ones(2))
