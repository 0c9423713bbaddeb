"""Two layers as two long vectors: Euclidean distance and cosine. Unit i goes with unit i."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from workbench.metrics.similarity._units import as_units

Unequal = Literal["error", "drop", "sample"]


def euclidean(x: Any, y: Any, *, unequal: Unequal = "error", seed: int = 0) -> float:
    r"""Frobenius norm of the difference of two layers, in the unit of the weights.

    .. math:: \|X - Y\|_F

    Args:
        x, y: (units, inputs) each, or convolutions (out, in, kh, kw).
        unequal: for layers of different shapes, "drop" the weights of smallest magnitude of the
            larger one (thesis A.1), or "sample" as many of its weights as the smaller one has
            (section 8.3.1), both keeping their order. The thesis says both.
        seed: of the sampling.

    Raises:
        ValueError: shapes that differ with ``unequal="error"``, NaN or infinity.
    """
    x, y = _vectors(x, y, unequal, seed)
    return float(np.linalg.norm(x - y))


def cosine(x: Any, y: Any, *, unequal: Unequal = "error", seed: int = 0) -> float:
    r"""Cosine of the angle between two vectorised layers, in [-1, 1]; 1 is the same direction.

    .. math:: \frac{\langle \operatorname{vec} X, \operatorname{vec} Y \rangle}{\|X\|_F \|Y\|_F}

    Arguments and errors are those of :func:`euclidean`. Returns NaN if a layer is all zeros.
    """
    x, y = _vectors(x, y, unequal, seed)
    norms = np.linalg.norm(x), np.linalg.norm(y)
    if not all(norms):
        return float("nan")
    return float((x / norms[0]) @ (y / norms[1]))


def _vectors(x: Any, y: Any, unequal: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    if unequal not in ("error", "drop", "sample"):
        raise ValueError(f"unequal={unequal!r}; allowed are 'error', 'drop' and 'sample'.")
    x, y = as_units(x, "x"), as_units(y, "y")
    if x.shape == y.shape:
        return x.ravel(), y.ravel()
    if unequal == "error":
        raise ValueError(
            f"x is {x.shape} and y is {y.shape} (units, inputs); this measure goes weight by "
            'weight. Give unequal="drop" or "sample" to shorten the larger one, or take a measure '
            "that allows different numbers of units, such as bures_wasserstein."
        )
    count = min(x.size, y.size)
    return _shortened(x.ravel(), count, unequal, seed), _shortened(y.ravel(), count, unequal, seed)


def _shortened(weights: np.ndarray, count: int, how: str, seed: int) -> np.ndarray:
    """``count`` of the weights, in their order."""
    if len(weights) == count:
        return weights
    if how == "drop":
        kept = np.argsort(-np.abs(weights), kind="stable")[:count]
    else:
        kept = np.random.default_rng(seed).choice(len(weights), count, replace=False)
    return weights[np.sort(kept)]
