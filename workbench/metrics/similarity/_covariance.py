r"""Covariances of a layer's units over its inputs, made invertible where that is needed.

A layer of 768 units and 768 inputs always has a singular covariance: centring takes one degree of
freedom. What needs an inverse or a logarithm therefore shrinks it,

.. math:: \Sigma_s = (1 - s) \Sigma + s \frac{\operatorname{tr} \Sigma}{d} I,

by the :math:`s` of Ledoit and Wolf (2004), "A well-conditioned estimator for large-dimensional
covariance matrices", unless told otherwise. Each layer is shrunk by itself, so that a matrix of
layers is consistent.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from workbench.metrics.similarity._units import as_units

SINGULAR = 1e-10
"""Smallest over largest eigenvalue below which a covariance is taken to be singular."""


def centred(x: Any, name: str = "x") -> tuple[np.ndarray, np.ndarray]:
    r"""Mean unit (d,), and the units minus it over :math:`\sqrt{n - 1}` (n, d): a root of
    :math:`\Sigma`.
    """
    x = as_units(x, name, least=2)
    mean = x.mean(axis=0)
    rest = x - mean
    # Equal units leave only rounding, which must not pass for a covariance.
    if np.linalg.norm(rest) <= 1e-14 * np.linalg.norm(x):
        rest[:] = 0.0
    return mean, rest / np.sqrt(len(x) - 1)


def invertible(
    x: Any, shrinkage: float | None = None, name: str = "x"
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean (d,), and eigenvalues (d,) and eigenvectors (d, d) of the shrunk covariance.

    ``shrinkage=None`` leaves a covariance alone unless it is singular (condition above 1e10), and
    then takes Ledoit and Wolf's.

    Raises ``ValueError`` if shrinkage is not in [0, 1], if it is 0 and the covariance is singular,
    or if all units are equal.
    """
    if shrinkage is not None and not 0 <= shrinkage <= 1:
        raise ValueError(f"shrinkage={shrinkage}; it must be between 0 and 1, or None.")
    mean, root = centred(x, name)
    units, inputs = root.shape
    if not root.any():
        raise ValueError(
            f"all {units} units of {name} are equal, so their covariance is zero and has no "
            "inverse, shrunk or not. Leave this layer out, or take bures_wasserstein."
        )
    values, vectors = np.linalg.eigh(root.T @ root)
    rank = int((values > SINGULAR * values[-1]).sum())
    if shrinkage is None:
        shrinkage = 0.0 if rank == inputs else ledoit_wolf(root)
    values = (1 - shrinkage) * values + shrinkage * values.mean()
    if values[0] <= SINGULAR * values[-1]:
        raise ValueError(
            f"the covariance of {name} ({units} units of {inputs} inputs) is singular, of rank "
            f"{rank}, and shrinkage={shrinkage:g} leaves it so. Leave out shrinkage to have it "
            "estimated, give a number such as 0.1, or take bures_wasserstein, which needs no "
            "inverse."
        )
    return mean, values, vectors


def ledoit_wolf(root: np.ndarray) -> float:
    """The shrinkage in (0, 1] that is best in mean square, estimated from centred units (n, d)."""
    n, d = root.shape
    a = root * np.sqrt(n - 1)
    gram = a @ a.T if n < d else a.T @ a  # same trace and norm from the smaller side
    squares = (gram**2).sum() / n**2
    trace = np.trace(gram) / n
    spread = squares - trace**2 / d
    noise = (((a**2).sum(axis=1) ** 2).sum() / n - squares) / n
    if spread <= 0:
        return 1.0
    # A covariance of low rank needs some shrinkage even where its estimate says none.
    return float(np.clip(noise / spread, 1e-6, 1.0))
