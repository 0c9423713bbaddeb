"""Equations 9.2 and 9.5 against loops over units, closed forms and numerical derivatives."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from workbench.methods.weight_correlation import correlations, weight_correlation

pytestmark = pytest.mark.unit


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def gradient(weight: torch.Tensor, reference: torch.Tensor, **options) -> torch.Tensor:
    weight = weight.clone().requires_grad_()
    return torch.autograd.grad(weight_correlation(weight, reference, **options), weight)[0]


def by_hand(weight: torch.Tensor, reference: torch.Tensor, absolute: bool) -> torch.Tensor:
    """Equation 9.5, corrected, one element at a time."""
    units, inputs = weight.shape
    found = torch.zeros_like(weight)
    for i in range(units):
        w, r = weight[i], reference[i]
        product = sum(float(a * b) for a, b in zip(w, r, strict=True))
        sign = 1.0 if product > 0 or not absolute else -1.0
        for j in range(inputs):
            first = r[j] / (w.norm() * r.norm())
            second = w[j] * product / (w.norm() ** 3 * r.norm())
            found[i, j] = sign * (first - second) / units
    return found


@given(st.integers(1, 6), st.integers(1, 5), st.integers(0, 99), st.booleans())
@settings(deadline=None, max_examples=25)
def test_equation_9_2_is_a_mean_of_cosines_over_units(units, inputs, seed, absolute):
    weight, reference = draw(units, inputs, seed=seed), draw(units, inputs, seed=seed + 100)
    cosines = F.cosine_similarity(weight, reference, dim=1)
    want = (cosines.abs() if absolute else cosines).mean()
    torch.testing.assert_close(weight_correlation(weight, reference, absolute=absolute), want)


def test_the_printed_absolute_value_rewards_the_opposite_direction():
    reference = draw(4, 3)
    assert weight_correlation(-reference, reference) == pytest.approx(-1)
    assert weight_correlation(-reference, reference, absolute=True) == pytest.approx(1)


def test_the_length_of_a_unit_does_not_count():
    weight, reference, lengths = draw(4, 3), draw(4, 3, seed=1), draw(4, 1, seed=2).abs()
    torch.testing.assert_close(
        weight_correlation(lengths * weight, reference), weight_correlation(weight, reference)
    )


@pytest.mark.parametrize("absolute", [False, True])
def test_the_gradient_is_equation_9_5_corrected(absolute):
    weight, reference = draw(5, 4), draw(5, 4, seed=1)
    found = gradient(weight, reference, absolute=absolute)
    torch.testing.assert_close(found, by_hand(weight, reference, absolute))
    # No pull along the unit itself: only its direction counts.
    torch.testing.assert_close((found * weight).sum(1), torch.zeros(5, dtype=torch.float64))


def test_the_printed_9_5_is_not_that_gradient():
    weight, reference = draw(5, 4), draw(5, 4, seed=1)
    product = (weight * reference).sum(1, keepdim=True)
    w, r = weight.norm(dim=1, keepdim=True), reference.norm(dim=1, keepdim=True)
    printed = product.sign() * (weight / (r * w) - reference * product / (r**3 * w)) / (5 - 1)
    assert not torch.allclose(gradient(weight, reference, absolute=True), printed, atol=1e-2)
    # But for 1/N it is the derivative with respect to the other argument, the reference.
    other = gradient(reference, weight, absolute=True)
    torch.testing.assert_close(other, printed * 4 / 5)


@pytest.mark.parametrize("absolute", [False, True])
def test_gradcheck_with_a_dead_unit(absolute):
    weight, reference = draw(5, 4), draw(5, 4, seed=1)
    alive = torch.arange(5) != 2

    def among_dead(living: torch.Tensor) -> torch.Tensor:
        whole = torch.zeros(5, 4, dtype=torch.float64).index_put((alive,), living)
        return weight_correlation(whole, reference, absolute=absolute)

    assert torch.autograd.gradcheck(among_dead, weight[alive].requires_grad_())


@pytest.mark.parametrize("dead", ["weight", "reference"])
def test_a_dead_unit_counts_as_zero_and_gets_no_gradient(dead):
    weight, reference = draw(4, 3), draw(4, 3, seed=1)
    rest = F.cosine_similarity(weight, reference, dim=1)[1:].sum() / 4
    (weight if dead == "weight" else reference)[0] = 0
    torch.testing.assert_close(weight_correlation(weight, reference), rest)
    found = gradient(weight, reference)
    assert torch.equal(found[0], torch.zeros(3, dtype=torch.float64))
    torch.testing.assert_close(found[1:], by_hand(weight[1:], reference[1:], False) * 3 / 4)


def test_a_network_without_a_weight_left_has_no_gradient_and_no_nan():
    weight = torch.zeros(3, 2)
    assert weight_correlation(weight, draw(3, 2).float()) == 0
    assert torch.equal(gradient(weight, draw(3, 2).float()), weight)


def test_tiny_weights_keep_their_direction():
    weight, reference = draw(4, 3).float(), draw(4, 3, seed=1).float()
    torch.testing.assert_close(
        weight_correlation(1e-15 * weight, 1e-15 * reference),
        weight_correlation(weight, reference),
    )


def test_units_are_the_outputs_of_any_kind_of_layer():
    from transformers.pytorch_utils import Conv1D

    def outputs(module: nn.Module, axis: int) -> float:
        torch.manual_seed(0)
        other = type(module)(*sizes)
        a, b = (m.weight.detach().transpose(0, axis).flatten(1) for m in (module, other))
        want = F.cosine_similarity(a, b, dim=1).mean()
        rule = lambda name, module: True  # noqa: E731
        found = correlations(module, other, prunable=rule)["weight"]
        torch.testing.assert_close(found.detach(), want)

    sizes = (3, 5)
    outputs(nn.Linear(*sizes), 0)
    outputs(Conv1D(*sizes), 1)
    sizes = (3, 5, 2)
    outputs(nn.Conv2d(*sizes), 0)
    outputs(nn.ConvTranspose2d(*sizes), 1)
