"""Procrustes: representations compared after the best rotation."""

from __future__ import annotations

from typing import Any

import numpy as np

from workbench.metrics._inputs import as_pair


def procrustes(x: Any, y: Any) -> float:
    r"""Procrustes distance of activations ``x`` (n, p) and ``y`` (n, q); rows are the same samples.

    .. math:: \min_{Q^\top Q = I} \Big\| \frac{X_c}{\|X_c\|_F} - \frac{Y_c}{\|Y_c\|_F} Q \Big\|_F
              = \big( 2 - 2 \| \hat X_c^\top \hat Y_c \|_* \big)^{1/2}

    in :math:`[0, \sqrt 2]`, without a unit. A metric. Columns are centred first and the narrower
    side is filled up with zeros. Invariant to separate rotations of either side, shifts, and the
    scale of either. Also for the weights of two layers whose units are known to correspond;
    ``bures_wasserstein`` is the same with the roles of rows and columns exchanged.

    Returns NaN if either side is the same for all samples.

    Raises:
        ValueError: fewer than 2 samples, different numbers of samples, NaN or infinity.

    Williams, Kunz, Kornblith and Linderman, "Generalized shape metrics on neural
    representations", 2021.
    """
    x, y = as_pair(x, y, least=2)
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    norms = np.linalg.norm(x), np.linalg.norm(y)
    if norms[0] <= 1e-12 * np.sqrt(x.size) or norms[1] <= 1e-12 * np.sqrt(y.size):
        return float("nan")
    width = max(x.shape[1], y.shape[1])
    x, y = (np.pad(z / norm, ((0, 0), (0, width - z.shape[1]))) for z, norm in zip((x, y), norms))
    u, _, v = np.linalg.svd(y.T @ x)
    # What is left after the rotation, rather than 2 minus a sum near 2, which has half the digits.
    return float(np.linalg.norm(x - y @ (u @ v)))
