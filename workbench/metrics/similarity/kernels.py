"""How alike two sets of representations of the same samples are."""

from __future__ import annotations

from typing import Any

import numpy as np

from workbench.metrics._inputs import as_pair

DEBIASED_BELOW = 10
"""Samples per feature below which ``cka`` is debiased unless told otherwise."""


def cka(x: Any, y: Any, debiased: bool | None = None) -> float:
    r"""Linear centred kernel alignment of ``x`` (n, p) and ``y`` (n, q); rows are the same samples.

    .. math:: \frac{\mathrm{HSIC}(XX^\top, YY^\top)}
                   {\sqrt{\mathrm{HSIC}(XX^\top, XX^\top)\, \mathrm{HSIC}(YY^\top, YY^\top)}},
              \quad \mathrm{HSIC} \propto \|Y_c^\top X_c\|_F^2

    Columns are centred first. Invariant to rotation, reflection, shift and a common scale of
    either side. The plain form lies in [0, 1] and is far too high with few samples: 50
    independent samples of 768 features give 0.94. ``debiased=True`` takes the unbiased HSIC
    (diagonals left out), which is near 0 for independent data and may fall slightly below;
    ``None``, the default, chooses it below 10 samples per feature (of the wider side).

    Returns NaN if either side is the same for all samples. Raises ``ValueError`` for fewer than 2
    samples (4 if debiased), different numbers of samples, NaN or infinity.

    Kornblith, Norouzi, Lee and Hinton (2019), arXiv 1905.00414; unbiased HSIC: Song et al. (2012),
    JMLR 13; for representations: Nguyen, Raghu and Kornblith (2021), arXiv 2010.15327.
    """
    x, y = as_pair(x, y, least=2)
    if debiased is None:
        debiased = len(x) < DEBIASED_BELOW * max(x.shape[1], y.shape[1])
    if debiased and len(x) < 4:
        raise ValueError(f"{len(x)} samples; debiased CKA needs at least 4. Give more samples.")
    x, y = _centred(x), _centred(y)
    if not x.any() or not y.any():
        return float("nan")
    inner = _unbiased_inner if debiased else _inner
    scale = np.sqrt(inner(x, x)) * np.sqrt(inner(y, y))
    return float(inner(x, y) / scale)


def _centred(z: np.ndarray) -> np.ndarray:
    """Columns minus their means, at unit total scale; zeros where only rounding is left."""
    centred = z - z.mean(axis=0)
    norm = np.linalg.norm(centred)
    constant = norm <= 1e-12 * np.linalg.norm(z)
    return np.zeros_like(z) if constant else centred / norm


def _inner(x: np.ndarray, y: np.ndarray) -> float:
    """Inner product of the Gram matrices of centred ``x`` and ``y``, over the smaller side."""
    if len(x) < max(x.shape[1], y.shape[1]):
        return float(((x @ x.T) * (y @ y.T)).sum())
    return float(((y.T @ x) ** 2).sum())


def _unbiased_inner(x: np.ndarray, y: np.ndarray) -> float:
    """n (n - 3) times the unbiased HSIC of Song et al., from centred features."""
    n = len(x)
    rows_x, rows_y = (x**2).sum(axis=1), (y**2).sum(axis=1)
    own = n / (n - 2) * float(rows_x @ rows_y)
    total = float(rows_x.sum() * rows_y.sum()) / ((n - 1) * (n - 2))
    return _inner(x, y) - own + total
