"""All 66 Bures-Wasserstein pairs of twelve 768 x 768 layers, against each backend of POT.

Run with ``make bench``. Both sides run on one thread and are timed by what the processor did, so
that a busy machine changes little. POT is given means and covariances; ours makes its own. POT
computes each pair anew, so a few of its pairs stand for all.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_limits

from workbench.metrics.similarity import similarity_matrix

LAYERS, SIZE, SAMPLED = 12, 768, 6
PAIRS = LAYERS * (LAYERS - 1) // 2


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with threadpool_limits(1):
        yield
    torch.set_num_threads(before)


def network(rank: int, dtype: str) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    layers = {}
    for layer in range(LAYERS):
        weight = generator.normal(size=(SIZE, SIZE)) * 0.04
        if rank < SIZE:
            weight[:, rank:] = weight[:, :rank] @ generator.normal(size=(rank, SIZE - rank)) * 0.1
        layers[str(layer)] = weight.astype(dtype)
    return layers


def processor_seconds(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def pot_seconds(layers: dict[str, np.ndarray]) -> tuple[dict[str, float], np.ndarray]:
    """Seconds for all pairs by backend, and the distances of the sampled pairs from the best."""
    import ot

    gaussians = [(w.mean(axis=0), np.cov(w.T, dtype=w.dtype)) for w in layers.values()]
    pairs = list(combinations(range(LAYERS), 2))[:SAMPLED]
    seconds, found = {}, {}
    for name, convert in (("numpy", np.asarray), ("torch", torch.from_numpy)):
        ready = [tuple(convert(part) for part in gaussian) for gaussian in gaussians]

        def run(name=name, ready=ready):
            found[name] = np.array(
                [
                    float(
                        ot.gaussian.bures_wasserstein_distance(
                            ready[i][0], ready[j][0], ready[i][1], ready[j][1]
                        ).squeeze()
                    )
                    for i, j in pairs
                ]
            )

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # its roots of negative eigenvalues
            seconds[name] = processor_seconds(run) * PAIRS / SAMPLED
    return seconds, found["torch"]


@pytest.mark.parametrize(
    ("rank", "dtype", "times"),
    # In single precision POT is more than twice as fast as in double, and ours less than twice:
    # 5.0 times is what was measured, and a busy machine takes a part of it.
    [(SIZE, "float64", 5), (300, "float64", 5), (SIZE, "float32", 4)],
    ids=["float64", "float64, rank 300", "float32"],
)
def test_bures_is_five_times_faster_than_the_best_backend(benchmark, rank, dtype, times):
    if benchmark.disabled:
        pytest.skip("measured by `make bench`")
    layers = network(rank, dtype)
    similarity_matrix({"0": layers["0"], "1": layers["1"]}, "bures_wasserstein")  # imports
    ours, seconds = float("inf"), {}
    for _ in range(2):  # in turn, so that a busy memory slows both
        ours = min(ours, processor_seconds(lambda: similarity_matrix(layers, "bures_wasserstein")))
        again, expected = pot_seconds(layers)
        seconds = {name: min(value, seconds.get(name, value)) for name, value in again.items()}
    names, matrix = benchmark.pedantic(
        similarity_matrix, args=(layers, "bures_wasserstein"), rounds=1
    )
    best = min(seconds, key=lambda name: seconds[name])
    ratio = seconds[best] / ours
    benchmark.extra_info |= {"pot_seconds": seconds, "seconds": ours, "times_faster": ratio}
    print(
        f"\n{dtype}, rank {rank}: ours {ours:.2f} s, POT "
        + ", ".join(f"{name} {value:.1f} s" for name, value in seconds.items())
        + f": {ratio:.1f} times"
    )
    assert np.isfinite(matrix).all()
    if dtype == "float64" and np.isfinite(expected).all():
        np.testing.assert_allclose(matrix[0, 1 : 1 + SAMPLED], expected, rtol=1e-6)
    assert ratio >= times
