"""Equation 9.7, corrected: small changes of the weights are small changes of the activations."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from workbench.methods.alignment import GELU_LIPSCHITZ, activation_gap_bound

pytestmark = pytest.mark.unit


@given(st.integers(1, 8), st.integers(1, 6), st.floats(0.01, 20), st.integers(0, 99))
@settings(deadline=None, max_examples=40)
def test_9_7_corrected_bounds_the_change_of_activations(rows, inputs, size, seed):
    generator = torch.Generator().manual_seed(seed)
    z = size * torch.randn(rows, inputs, generator=generator, dtype=torch.float64)
    weight = torch.randn(5, inputs, generator=generator, dtype=torch.float64)
    pruned = weight * (torch.rand(5, inputs, generator=generator) < 0.5)
    for activation, lipschitz in ((F.gelu, GELU_LIPSCHITZ), (torch.tanh, 1.0), (F.relu, 1.0)):
        gap = (activation(z @ weight.T) - activation(z @ pruned.T)).norm()
        assert gap <= activation_gap_bound(z, weight, pruned, lipschitz) * (1 + 1e-12)


def test_9_7_as_printed_fails():
    weight = torch.tensor([[1.0, 2.0]])
    pruned = torch.tensor([[0.0, 2.0]])
    z = torch.tensor([[0.0, 1.0]])  # of norm 1, but blind to the weight that was pruned
    gap = (F.gelu(z @ weight.T) - F.gelu(z @ pruned.T)).norm()
    assert gap == 0 < (weight - pruned).norm()


def test_gelu_is_steepest_at_the_root_of_two():
    z = torch.linspace(-6, 6, 120_001, dtype=torch.float64, requires_grad=True)
    slopes = torch.autograd.grad(F.gelu(z).sum(), z)[0]
    assert float(slopes.abs().max()) == pytest.approx(GELU_LIPSCHITZ, abs=1e-9)
    assert z[slopes.argmax()].item() == pytest.approx(2**0.5, abs=1e-4)
    assert pytest.approx(1.129, abs=1e-4) == GELU_LIPSCHITZ
    assert -0.171 < F.gelu(z).min().item() < -0.169  # the thesis has it tend to -1


def test_the_bound_is_reached():
    # A step from pruned to kept around the steepest point, seen by one input of length one.
    top = torch.tensor([[2**0.5]], dtype=torch.float64)
    z, step = torch.ones(1, 1, dtype=torch.float64), 1e-5
    gap = (F.gelu(z * (top + step)) - F.gelu(z * (top - step))).norm()
    bound = activation_gap_bound(z, top + step, top - step)
    assert float(gap / bound) == pytest.approx(1, abs=1e-6)
