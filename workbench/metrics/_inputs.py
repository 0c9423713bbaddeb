"""Checked inputs for every measure: a tensor or an array in, a finite float64 array out."""

from __future__ import annotations

from typing import Any

import numpy as np


def as_array(values: Any) -> np.ndarray:
    """A numpy array of a tensor (of any device and dtype, with or without gradient) or an array.

    Torch is not imported: whatever has ``detach`` is taken for a tensor.
    """
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        values = values.double().numpy() if values.is_floating_point() else values.numpy()
    return np.asarray(values)


def as_matrix(values: Any, name: str = "z", least: int = 1) -> np.ndarray:
    """``values`` as a finite float64 matrix (samples, features); a vector becomes one feature.

    Raises ``ValueError`` for other shapes, fewer than ``least`` samples, NaN or infinity.
    """
    array = as_array(values)
    matrix = array[:, None] if array.ndim == 1 else array
    if matrix.ndim != 2 or matrix.shape[1] == 0:
        raise ValueError(
            f"{name} has shape {array.shape}; it must be (samples, features), or (samples,) for "
            "one feature. Pool or flatten other axes first."
        )
    matrix = matrix.astype(np.float64)
    if len(matrix) < least:
        raise ValueError(f"{name} has {len(matrix)} samples; at least {least} are needed.")
    bad = int((~np.isfinite(matrix)).sum())
    if bad:
        raise ValueError(
            f"{name} has {bad} NaN or infinite values of {matrix.size}; every value must be "
            "finite. Check the run for a diverged loss, or drop those samples."
        )
    return matrix


def as_pair(x: Any, y: Any, least: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Two checked matrices ``x`` and ``y`` whose rows are the same samples in the same order."""
    x, y = as_matrix(x, "x", least), as_matrix(y, "y", least)
    if len(x) != len(y):
        raise ValueError(
            f"x has {len(x)} samples and y has {len(y)}; row i of both must be the same sample."
        )
    return x, y


def as_labels(labels: Any, samples: int, classes: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Class of every sample as an index 0..C-1, and the C class values present.

    Raises ``ValueError`` if the count differs from ``samples``, a label is NaN, or fewer than
    ``classes`` classes are present.
    """
    array = as_array(labels)
    if array.shape != (samples,):
        raise ValueError(
            f"labels have shape {array.shape}; one class per sample is needed, shape ({samples},)."
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError("labels have NaN or infinite values; give one class per sample.")
    values, index = np.unique(array, return_inverse=True)
    if len(values) < classes:
        raise ValueError(
            f"labels hold {len(values)} class(es) {values.tolist()}; at least {classes} are "
            "needed. Draw samples of more classes."
        )
    return index, values
