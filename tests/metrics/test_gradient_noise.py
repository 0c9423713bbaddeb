"""The gradient noise scale: closed forms, and exact expectations over all batches."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from workbench.metrics.gradient_noise import noise_scale


def examples(count: int = 4, size: int = 3) -> torch.Tensor:
    """Gradients of single examples, one a row."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, size, dtype=torch.float64, generator=generator)


def means(sets: list[tuple[tuple[int, ...], ...]], rows: torch.Tensor, size: int) -> np.ndarray:
    """Mean of |G|^2 and of tr(Sigma) over sets of batches of indices."""
    found = [noise_scale([rows[list(batch)].mean(0) for batch in s], size)[1:] for s in sets]
    return np.mean(found, axis=0)


@pytest.mark.parametrize(("size", "number"), [(1, 2), (2, 2), (1, 3)])
def test_both_parts_are_without_bias_over_all_draws_with_replacement(size: int, number: int):
    rows = examples()
    batches = list(itertools.product(range(4), repeat=size))
    found = means(list(itertools.product(batches, repeat=number)), rows, size)
    covariance = np.cov(rows.numpy().T, bias=True)  # of the population
    square = float(rows.mean(0).square().sum())
    assert found == pytest.approx([square, np.trace(covariance)], rel=1e-12)


def test_disjoint_parts_of_a_small_data_set_estimate_its_unbiased_covariance():
    rows = examples(6)
    orders = [tuple(zip(o[::2], o[1::2])) for o in itertools.permutations(range(6))]
    trace = np.trace(np.cov(rows.numpy().T))
    square = float(rows.mean(0).square().sum()) - trace / 6
    assert means(orders, rows, 2) == pytest.approx([square, trace], rel=1e-12)


def test_gaussian_gradients_against_their_parameters():
    generator = torch.Generator().manual_seed(1)
    mean = torch.linspace(-1, 1, 40, dtype=torch.float64)
    spread = torch.linspace(0.5, 3, 40, dtype=torch.float64)
    batch = 8

    def draw() -> torch.Tensor:
        noise = torch.randn(40, dtype=torch.float64, generator=generator)
        return mean + spread * noise / batch**0.5

    found = noise_scale((draw() for _ in range(4000)), batch)
    trace, square = float(spread.square().sum()), float(mean.square().sum())
    assert found.noise_trace == pytest.approx(trace, rel=0.01)
    assert found.gradient_square == pytest.approx(square, rel=0.03)
    assert found.noise_scale == pytest.approx(trace / square, rel=0.03)
    assert found.noise_scale == found.noise_trace / found.gradient_square


def test_it_is_the_sample_variance_of_the_batches():
    rows = examples(5, 7)
    found = noise_scale(rows, 16)
    assert found.noise_trace == pytest.approx(16 * float(rows.var(0).sum()), rel=1e-12)
    square = float(rows.mean(0).square().sum()) - found.noise_trace / 16 / 5
    assert found.gradient_square == pytest.approx(square, rel=1e-12)


def test_gradients_come_in_any_form_and_may_be_overwritten():
    rows = examples(5, 6)
    want = noise_scale(list(rows), 2)
    named = ({"a": row[:2].view(2, 1), "b": row[2:]} for row in rows)
    assert noise_scale(named, 2) == pytest.approx(want, rel=1e-12)
    assert noise_scale((row.split(3) for row in rows), 2) == pytest.approx(want, rel=1e-12)
    buffer = torch.nn.Linear(6, 1, bias=False).double()

    def overwritten():
        for row in rows:
            buffer.zero_grad(set_to_none=False)
            buffer(row).backward()
            yield [p.grad for p in buffer.parameters()]

    assert noise_scale(overwritten(), 2) == pytest.approx(want, rel=1e-12)
    half = noise_scale((row.half() for row in rows), 2)
    assert half == pytest.approx(want, rel=0.02)


def test_what_has_no_noise_scale():
    same = noise_scale([torch.ones(3)] * 4, 8)
    assert same == (0.0, pytest.approx(3.0), 0.0)
    opposite = noise_scale([torch.ones(3), -torch.ones(3)], 8)
    assert opposite.noise_scale == math.inf and opposite.gradient_square == pytest.approx(-3.0)
    nothing = noise_scale([torch.zeros(3)] * 2, 8)
    assert math.isnan(nothing.noise_scale) and nothing[1:] == (0.0, 0.0)


def test_errors():
    with pytest.raises(ValueError, match="1 gradients; two batches or more"):
        noise_scale([torch.ones(3)], 8)
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        noise_scale([torch.ones(3)] * 2, 0)
    with pytest.raises(ValueError, match=r"gradient 1 has shapes \[\(2,\)\], the first \[\(3,\)\]"):
        noise_scale([torch.ones(3), torch.ones(2)], 8)
    with pytest.raises(ValueError, match="gradient 1 holds NaN"):
        noise_scale([torch.ones(3), torch.full((3,), torch.nan)], 8)
