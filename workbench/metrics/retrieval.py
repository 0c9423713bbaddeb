"""Retrieval of translations: does a text lie nearest to itself in another language?"""

from __future__ import annotations

from typing import Any

import numpy as np

from workbench.metrics._inputs import as_pair


def retrieval_accuracy(queries: Any, keys: Any, *, centred: bool = True) -> float:
    r"""Share of rows of ``queries`` whose nearest row of ``keys``, by cosine, is their own.

    .. math:: \frac1n \sum_i \big[\, i = \arg\max_j \cos(q_i, k_j) \,\big]

    The usual measure of cross-lingual alignment: row :math:`i` of both says the same, in two
    languages. Chance is :math:`1/n`. Keys that tie for the nearest share the point, so that
    representations which have all become one score as chance does.

    Args:
        queries: (n, d) array or tensor, n at least 2.
        keys: (n, d), row i the translation of row i of ``queries``.
        centred: subtract the mean of each side first. A language may lie apart from another as a
            whole and still be arranged alike inside; without it that offset decides.

    Returns:
        A float in [0, 1].

    Raises:
        ValueError: shapes that differ or are not (n, d), fewer than two rows, NaN or infinity.

    References:
        Artetxe and Schwenk, "Massively multilingual sentence embeddings for zero-shot
        cross-lingual transfer and beyond", 2019 (similarity search).
    """
    q, k = as_pair(queries, keys, least=2)
    if q.shape != k.shape:
        raise ValueError(
            f"queries {q.shape} and keys {k.shape} must have one shape (n, d): a row for each "
            "text, and the row of its translation by the same encoder"
        )
    if centred:
        q, k = q - q.mean(0), k - k.mean(0)
    similarity = _directions(q) @ _directions(k).T
    # Rounding may part what is equal: ties are what lies within a few ulp of the largest.
    nearest = similarity >= similarity.max(1, keepdims=True) - 1e-12
    own = np.diagonal(nearest)
    return float((own / nearest.sum(1)).mean())


def _directions(x: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(x, axis=1, keepdims=True)
    return x / np.where(norms > 0, norms, 1)
