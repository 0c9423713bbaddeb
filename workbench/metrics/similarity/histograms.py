"""Layers as histograms of their weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from workbench.metrics.similarity._units import as_units


def jensen_shannon(x: Any, y: Any, *, bins: int = 256) -> float:
    r"""Jensen-Shannon divergence of the histograms of two layers' weights, in nats: [0, ln 2].

    .. math:: \frac12 \sum_k p_k \ln \frac{p_k}{m_k} + \frac12 \sum_k q_k \ln \frac{q_k}{m_k},
              \quad m = \tfrac12 (p + q)

    p and q are the shares of weights in ``bins`` equal bins between the smallest and the largest
    weight of both layers. Exact for these histograms; of the densities it is an estimate that
    grows with the number of bins. Its root is a metric for fixed bins. Symmetric, so that it
    cannot say which layer of a pair to freeze (section 8.3.3). For the joint distribution of a
    unit's inputs see ``gaussian_jensen_shannon``.

    Args:
        x, y: tensors of any shapes.
        bins: number of bins.

    Invariant to any order of the weights, and to one scale of both layers.

    Raises:
        ValueError: ``bins`` below 1, an empty layer, NaN or infinity.

    Lin, "Divergence measures based on the Shannon entropy", 1991.
    """
    x, y = as_units(x, "x"), as_units(y, "y")
    if bins < 1:
        raise ValueError(f"bins={bins}; at least 1 is needed, the default is 256.")
    low, high = min(x.min(), y.min()), max(x.max(), y.max())
    if low == high:
        return 0.0
    p, q = (np.histogram(z, bins, (low, high))[0] / z.size for z in (x, y))
    middle = (p + q) / 2
    return float(max(0.0, (_relative(p, middle) + _relative(q, middle)) / 2))


def _relative(p: np.ndarray, m: np.ndarray) -> float:
    """KL(p || m) in nats; empty bins add nothing."""
    some = p > 0
    return float((p[some] * np.log(p[some] / m[some])).sum())
