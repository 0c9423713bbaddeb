"""Covariances of two layers side by side: their cosine (8.2), whole or in blocks (A.1, A.22)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from workbench.metrics.similarity._covariance import centred
from workbench.metrics.similarity._units import as_units, same_inputs


def covariance_cosine(x: Any, y: Any) -> float:
    r"""Cosine between the covariances of two layers (thesis 8.2), in [0, 1]; 1 is the same shape.

    .. math:: \frac{\operatorname{tr}(\Sigma_x \Sigma_y)}{\|\Sigma_x\|_F \|\Sigma_y\|_F}

    corrected: the thesis calls it a distance, but 1 means identical, so it is a similarity. It
    assumes weights of mean zero; here each layer is centred.

    With :math:`\Sigma = X_c^\top X_c / (n - 1)` the trace is :math:`\|X_c Y_c^\top\|_F^2` up to
    constants, so that the smaller of units and inputs decides the cost.

    Args:
        x: (n, d) units x inputs, or a convolution (out, in, kh, kw).
        y: (m, d); m may differ from n.

    Invariant to the order of units, one rotation of both layers' inputs, the scale of either and
    shifts; not to separate rotations, as section 8.3.1 wishes. Returns NaN if all units of a
    layer are equal.

    Raises:
        ValueError: different numbers of inputs, one unit only, NaN or infinity.
    """
    return compare(prepare(x, "x"), prepare(y, "y"))


def prepare(x: Any, name: str = "x") -> np.ndarray:
    """What one layer adds: a root of its covariance, scaled to a covariance of norm 1."""
    _, root = centred(x, name)
    if root.any():
        root = root / np.linalg.norm(root)
        root = root / np.sqrt(np.sqrt(_inner(root, root)))
    return root


def compare(a: np.ndarray, b: np.ndarray) -> float:
    """The cosine of two prepared layers."""
    same_inputs(a, b)
    if not a.any() or not b.any():
        return float("nan")
    return min(1.0, _inner(a, b))


def _inner(a: np.ndarray, b: np.ndarray) -> float:
    """tr(A'A B'B), over units or over inputs, whichever is smaller."""
    if max(len(a), len(b)) <= a.shape[1]:
        return float(((a @ b.T) ** 2).sum())
    return float(((a.T @ a) * (b.T @ b)).sum())


def block_covariance(
    x: Any,
    y: Any,
    *,
    of: str | Callable[..., float] = "covariance_cosine",
    block: int = 128,
    **options: Any,
) -> float:
    r"""Mean of a measure over the blocks of two layers of one shape (thesis A.1 and A.22).

    .. math:: \frac{1}{mn} \sum_{i=1}^m \sum_{j=1}^n d_{cov}(\Sigma_{x_{ij}}, \Sigma_{y_{ij}}),
              \quad m = \operatorname{round}(n_{units} / 128),
              \quad n = \operatorname{round}(n_{inputs} / 128)

    corrected: the thesis writes :math:`\mathbb{E}[\Sigma_W]` for what is a mean of similarities,
    and restricts blocks to "d_r <= d_r <= 128". Here each axis is cut into round(size / block)
    parts, at least one, of sizes that differ by at most one; a part may so have up to 1.5 times
    ``block`` rows or columns.

    The order of units counts here, because it decides their block.

    Args:
        x, y: (units, inputs) each, of one shape, or convolutions.
        of: the measure of each block, a name of ``MEASURES`` for weights or a function of two
            matrices. The result is a similarity or a distance as that measure is one.
        block: size of a block; the thesis takes 128.
        **options: of the measure.

    Raises:
        ValueError: different shapes, ``block`` below 2, and what the measure raises.
    """
    from workbench.metrics.similarity.registry import function_of

    x, y = as_units(x, "x"), as_units(y, "y")
    if x.shape != y.shape:
        raise ValueError(
            f"x is {x.shape} and y is {y.shape} (units, inputs); blocks are compared one by one, "
            "so both layers need one shape. Compare layers of one type."
        )
    if block < 2:
        raise ValueError(f"block={block}; a block needs at least 2 units. The thesis takes 128.")
    distance = function_of(of)
    parts = [_parts(size, block) for size in x.shape]
    values = [
        distance(x[rows][:, columns], y[rows][:, columns], **options)
        for rows in parts[0]
        for columns in parts[1]
    ]
    return float(np.mean(values))


def _parts(size: int, block: int) -> list[np.ndarray]:
    return np.array_split(np.arange(size), max(1, round(size / block)))
