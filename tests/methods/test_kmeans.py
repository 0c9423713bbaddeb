"""One-dimensional k-means: optimal against every partition, and never behind scikit-learn."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.methods.kmeans import kmeans


def brute_force(values: np.ndarray, k: int) -> float:
    """The least cost of all ways to cut the sorted values into k runs."""
    ordered = np.sort(values)
    best = np.inf
    for cuts in combinations(range(1, len(ordered)), k - 1):
        runs = np.split(ordered, cuts)
        best = min(best, sum(float(((run - run.mean()) ** 2).sum()) for run in runs))
    return best


def cost(values: torch.Tensor, found) -> float:
    return float((values.double() - found.values.double()).square().sum())


@given(
    st.lists(st.integers(-30, 30), min_size=1, max_size=11),
    st.integers(1, 5),
    st.sampled_from([True, False]),
)
@settings(max_examples=150, deadline=None)
def test_the_optimum_of_all_partitions(numbers, k, exact):
    values = torch.tensor(numbers, dtype=torch.float64) / 7
    found = kmeans(values, k, exact=exact)
    distinct = len(set(numbers))
    want = brute_force(values.numpy(), min(k, len(numbers))) if k < distinct else 0.0
    # So few values are all cuts of the program: the fast way is exact as well.
    assert found.objective == pytest.approx(want, rel=1e-9, abs=1e-9)
    assert cost(values, found) == pytest.approx(want, rel=1e-9, abs=1e-9)
    assert len(found.centroids) == min(k, distinct)


@pytest.mark.parametrize("k", [2, 16, 100])
@pytest.mark.parametrize("shape", ["normal", "uniform", "heavy"])
def test_fast_is_within_a_thousandth_of_exact(k, shape):
    values = torch.randn(6000, generator=torch.Generator().manual_seed(k)).double()
    values = {"normal": values, "uniform": values.erf(), "heavy": values**3}[shape]
    best = kmeans(values, k, exact=True)
    assert best.objective * (1 - 1e-9) <= kmeans(values, k).objective <= best.objective * 1.001
    assert best.objective <= kmeans(values, k, start="density").objective * (1 + 1e-9)
    assert best.objective <= kmeans(values, k, start="quantile").objective * (1 + 1e-9)


def test_no_worse_than_scikit_learn():
    from sklearn.cluster import KMeans

    values = torch.randn(5000, 1, generator=torch.Generator().manual_seed(0)).double()
    theirs = min(KMeans(24, n_init=1, random_state=s).fit(values.numpy()).inertia_ for s in (0, 1))
    ours = kmeans(values, 24)
    assert ours.objective <= theirs
    # Where theirs starts from our centroids, Lloyd's algorithm has nothing left to do.
    fixed = KMeans(24, init=ours.centroids.reshape(-1, 1).numpy(), n_init=1).fit(values.numpy())
    assert ours.objective == pytest.approx(fixed.inertia_, rel=1e-6)


@given(st.integers(0, 1000), st.sampled_from(["exact", "density", "quantile"]))
@settings(max_examples=25, deadline=None)
def test_codes_centroids_and_objective_agree(seed, start):
    random = torch.Generator().manual_seed(seed)
    values = (torch.randn(7, 40, generator=random) * 5).round().double() / 3
    found = kmeans(values, 6, start=start)
    assert found.codes.shape == values.shape and found.codes.dtype == torch.uint8
    assert found.objective == pytest.approx(cost(values, found), rel=1e-9, abs=1e-12)
    for number, centroid in enumerate(found.centroids):
        inside = values[found.codes == number]
        assert inside.numel() and float(inside.mean()) == pytest.approx(float(centroid), abs=1e-12)
    assert (found.centroids.diff() > 0).all()


def test_moving_and_scaling_the_values_moves_and_scales_the_clusters():
    values = torch.randn(500, generator=torch.Generator().manual_seed(1)).double()
    one, other = kmeans(values, 7), kmeans(1000 - 3 * values, 7)
    torch.testing.assert_close(other.centroids, (1000 - 3 * one.centroids).flip(0))
    assert other.objective == pytest.approx(9 * one.objective, rel=1e-6)


def test_few_values_and_wide_codes():
    assert kmeans(torch.full((5, 2), 3.0), 4).centroids.tolist() == [3.0]
    values = torch.arange(300.0)
    found = kmeans(values, 1000)
    assert found.objective == 0 and found.codes.dtype == torch.int16
    assert torch.equal(found.values, values)
    assert kmeans(torch.randn(5000), 600).codes.dtype == torch.int16
    half = kmeans(torch.randn(100, dtype=torch.bfloat16), 3)
    assert half.centroids.dtype == torch.bfloat16


def test_errors():
    values = torch.randn(5)
    with pytest.raises(ValueError, match="clusters must be at least 1.*got 0"):
        kmeans(values, 0)
    with pytest.raises(ValueError, match="start one of .*got 2, 300 and 'random'"):
        kmeans(values, 2, start="random")
    for bad in (torch.tensor([1.0, float("nan")]), torch.tensor([float("inf")]), values[:0]):
        with pytest.raises(ValueError, match="needs finite values"):
            kmeans(bad, 2)
