"""Checked layers: a matrix of units x inputs from whatever shape the weights have."""

from __future__ import annotations

from typing import Any

import numpy as np

from workbench.metrics._inputs import as_array


def as_units(weights: Any, name: str = "x", least: int = 1) -> np.ndarray:
    """``weights`` as a finite float64 matrix (units, inputs).

    A vector is that many units of one input; a convolution (out, in, kh, kw) becomes
    (out, in * kh * kw).

    Raises ``ValueError`` for a scalar or an empty tensor, fewer than ``least`` units, NaN or
    infinity.
    """
    array = as_array(weights)
    if array.ndim == 0 or array.size == 0:
        raise ValueError(
            f"{name} has shape {array.shape}; it must be (units, inputs), (units,) for scalars or "
            "(out, in, kh, kw) for a convolution, and not empty."
        )
    matrix = array.reshape(len(array), -1).astype(np.float64)
    if len(matrix) < least:
        raise ValueError(
            f"{name} has {len(matrix)} unit of {matrix.shape[1]} inputs; at least {least} units "
            "are needed for a covariance. Compare such layers with euclidean or wasserstein."
        )
    bad = int((~np.isfinite(matrix)).sum())
    if bad:
        raise ValueError(
            f"{name} has {bad} NaN or infinite values of {matrix.size}; every weight must be "
            "finite. Check the run for a diverged loss, or go back to the last checkpoint."
        )
    return matrix


def same_inputs(x: np.ndarray, y: np.ndarray) -> int:
    """The number of inputs of two layers, by their last axis.

    Raises ``ValueError`` if they differ.
    """
    if x.shape[-1] != y.shape[-1]:
        raise ValueError(
            f"a unit of x has {x.shape[-1]} inputs and one of y has {y.shape[-1]}; units can only "
            "be compared over the same inputs. Compare layers of one type, or take "
            'wasserstein(points="weights") or jensen_shannon, which see only the values.'
        )
    return int(x.shape[-1])


def softmax_rows(x: np.ndarray) -> np.ndarray:
    """Each unit as a distribution over its inputs."""
    raised = np.exp(x - x.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)
