"""Each measure keeps the invariances it claims, and no other; metrics are metrics."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ortho_group

from workbench.metrics.similarity import MEASURES, similarity_matrix

UNITS, INPUTS = 12, 4
SMALL = {"centroid_wasserstein": {"clusters": 5}, "block_covariance": {"block": 2}}
CHANGES = (
    "permutation",
    "joint rotation",
    "rotation",
    "joint affine",
    "joint scale",
    "scale",
    "shift",
)


def measured(name, x, y, **options) -> float:
    return MEASURES[name].function(x, y, **(SMALL.get(name, {}) | options))


def layer(generator, units: int = UNITS) -> np.ndarray:
    """Units with a covariance and a mean of their own."""
    mixing = generator.normal(size=(INPUTS, INPUTS))
    return generator.normal(size=(units, INPUTS)) @ mixing + generator.normal(size=INPUTS)


def pair(seed: int, name: str) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    return layer(generator), layer(generator)


def changed(how: str, needs: str, x, y, seed: int):
    generator = np.random.default_rng(seed)
    if how == "permutation" and needs == "activations":
        return x[:, generator.permutation(INPUTS)], y
    if how == "permutation":
        return x[generator.permutation(UNITS)], y
    if how in ("rotation", "joint rotation"):
        turn = ortho_group.rvs(INPUTS, random_state=seed)
        return x @ turn, y @ turn if how == "joint rotation" else y
    if how == "joint affine":
        mixing = generator.normal(size=(INPUTS, INPUTS)) + 2 * np.eye(INPUTS)
        return x @ mixing, y @ mixing
    if how in ("scale", "joint scale"):
        return 3.7 * x, 3.7 * y if how == "joint scale" else y
    assert how == "shift"
    return x + generator.normal(size=INPUTS), y


@pytest.mark.parametrize("how", CHANGES)
@pytest.mark.parametrize("name", MEASURES)
def test_what_is_claimed_holds_and_nothing_else(name, how):
    needs, claimed = MEASURES[name].needs, how in MEASURES[name].invariances
    held = []
    for seed in range(3):
        x, y = pair(seed, name)
        value = measured(name, x, y)
        other = measured(name, *changed(how, needs, x, y, seed))
        held.append(other == pytest.approx(value, rel=1e-7, abs=1e-9))
    assert all(held) if claimed else not all(held)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), name=st.sampled_from(sorted(MEASURES)))
def test_symmetric_and_at_its_best_with_itself(seed, name):
    x, y = pair(seed, name)
    entry = MEASURES[name]
    if entry.symmetric:
        assert measured(name, x, y) == pytest.approx(measured(name, y, x), rel=1e-9, abs=1e-12)
    if entry.kind == "similarity":
        assert measured(name, x, x) == pytest.approx(1.0, rel=1e-9)
    else:
        assert measured(name, x, x) == pytest.approx(0.0, abs=1e-9)
        assert measured(name, x, y) > 0


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    name=st.sampled_from(sorted(name for name in MEASURES if MEASURES[name].metric)),
)
def test_metrics_keep_the_triangle_inequality(seed, name):
    generator = np.random.default_rng(seed)
    layers = [layer(generator) for _ in range(3)]
    layers[2] = layers[0] + 0.3 * (layers[1] - layers[0])  # on the way: nearly an equality
    for a, b, c in permutations(layers):
        direct = measured(name, a, c)
        assert direct <= (measured(name, a, b) + measured(name, b, c)) * (1 + 1e-9)


def scalars(*deviations):
    """Layers of one input of these standard deviations."""
    return [np.array([[-1.0], [0.0], [1.0]]) * deviation for deviation in deviations]


def test_the_root_of_the_symmetrised_kl_is_no_metric():
    """In one dimension it is |sinh ln(ratio)|, so that detours are shorter."""
    a, b, c = scalars(1.0, 3.0, 9.0)
    direct, first, second = (
        np.sqrt(measured("symmetrised_kl", *ends)) for ends in ((a, c), (a, b), (b, c))
    )
    assert first == pytest.approx(np.sinh(np.log(3.0)), rel=1e-12)
    assert direct > 1.5 * (first + second)


@pytest.mark.parametrize("name", [n for n in MEASURES if MEASURES[n].needs == "weights"])
def test_unequal_numbers_of_units(name):
    """Allowed wherever units are not paired, and a refusal otherwise says what to do."""
    generator = np.random.default_rng(0)
    x, y = layer(generator, 9), layer(generator, 14)
    if name in ("euclidean", "cosine", "block_covariance"):
        with pytest.raises(ValueError, match=r"x is \(9, 4\) and y is \(14, 4\)"):
            measured(name, x, y)
    else:
        assert np.isfinite(measured(name, x, y))


@pytest.mark.parametrize("name", [n for n in MEASURES if MEASURES[n].needs == "weights"])
def test_singular_covariances_give_numbers(name):
    """Fewer units than inputs, and an input that no unit uses."""
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(2, 8, 20))
    x[:, 3] = 0.0
    assert np.isfinite(measured(name, x, y))
    alike = MEASURES[name].kind == "similarity"
    assert measured(name, x, x) == pytest.approx(float(alike), abs=1e-7)


@pytest.mark.parametrize("name", MEASURES)
def test_tensors_of_every_kind(name):
    x, y = pair(0, name)
    value = measured(name, x, y)
    a, b = (torch.tensor(z, requires_grad=True) for z in (x, y))
    assert measured(name, a, b) == value
    # bfloat16 keeps three digits of the weights.
    assert measured(name, a.bfloat16(), b.bfloat16()) == pytest.approx(value, rel=0.1, abs=0.02)
    if MEASURES[name].needs == "weights":
        filters = (z.reshape(UNITS, 2, 2, 1) for z in (x, y))
        assert measured(name, *filters) == value


@pytest.mark.parametrize("name", MEASURES)
def test_nan_is_refused_and_the_layer_named(name):
    x, y = pair(0, name)
    y[2, 1] = np.nan
    with pytest.raises(ValueError, match="y has 1 NaN or infinite values of 48"):
        measured(name, x, y)
    with pytest.raises(ValueError, match="bad"):
        similarity_matrix({"good": x, "bad": y}, name, **SMALL.get(name, {}))
