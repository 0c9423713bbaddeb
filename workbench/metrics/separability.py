r"""How well representations keep the classes apart: signal-to-noise, silhouette, Fisher, centroids.

``z`` is (samples, features), ``labels`` (samples,); tensors or arrays. All numbers are ratios or
shares, so none has a unit. NaN, infinities, wrong shapes and a single class raise ``ValueError``;
representations that collapsed onto one point give the value each function documents, because a
heavily pruned network does produce them and a long run should not stop there.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from workbench.metrics._inputs import as_labels, as_matrix


def signal_to_noise(
    z: Any, labels: Any, *, form: Literal["corrected", "printed"] = "corrected"
) -> float:
    r"""Mean distance between classes over mean distance within classes (thesis 11.6).

    .. math:: \frac{\frac{1}{P_b} \sum_{c \ne c'} \sum_{n, m} \|z_{c,n} - z_{c',m}\|_2}
                   {\frac{1}{P_w} \sum_{c} \sum_{n \ne m} \|z_{c,n} - z_{c,m}\|_2},
              \quad P_b = \sum_{c \ne c'} N_c N_{c'}, \quad P_w = \sum_c N_c (N_c - 1).

    corrected: the thesis prints the square root on the representations, which have negative
    entries (it belongs to the norm), constants that are not the numbers of terms (its sums have
    N C (C-1) and C N (N-1)), and pairs only samples of equal index n. Here every pair counts
    once, so classes may differ in size; a class with one sample adds no pair within.

    ``form="printed"`` is 11.6 to the letter (roots, constants, equal-index pairs): only for
    non-negative ``z`` and equal class sizes of two or more.

    Returns infinity if every class is a single point, and NaN if all samples are one point.

    Raises ``ValueError`` for one class only, or if no class has two samples.
    """
    z = as_matrix(z)
    index, values = as_labels(labels, len(z))
    sizes = np.bincount(index)
    if sizes.max() < 2:
        raise ValueError(
            f"each of the {len(sizes)} classes has one sample, so there is no distance within a "
            "class. Give at least one class two samples."
        )
    if form == "printed":
        return _printed_signal_to_noise(z, index, sizes)
    if form != "corrected":
        raise ValueError(f"form={form!r}; allowed are 'corrected' and 'printed'.")
    member = np.eye(len(values))[index]
    sums = sum(
        member[rows].T @ _distances(z[rows], z) @ member for rows in _row_blocks(len(z))
    )  # (C, C): summed distances of each ordered pair of classes
    within, between = np.trace(sums), sums.sum() - np.trace(sums)
    pairs_within = (sizes * (sizes - 1)).sum()
    pairs_between = len(z) ** 2 - (sizes**2).sum()
    return _ratio(between / pairs_between, within / pairs_within)


snr = signal_to_noise


def silhouette(z: Any, labels: Any) -> float:
    """Mean silhouette coefficient (Rousseeuw 1987), Euclidean, from scikit-learn; in [-1, 1].

    Returns 0 if all samples are one point. Raises ``ValueError`` for one class only, or if every
    sample is its own class.
    """
    from sklearn.metrics import silhouette_score

    z = as_matrix(z)
    index, values = as_labels(labels, len(z))
    if len(values) == len(z):
        raise ValueError(
            f"every one of the {len(z)} samples is its own class; the silhouette needs fewer "
            "classes than samples."
        )
    return float(silhouette_score(z, index))


def fisher_ratio(z: Any, labels: Any) -> float:
    r"""Scatter between the classes over scatter within: tr(S_b) / tr(S_w).

    .. math:: \frac{\sum_c N_c \|\mu_c - \mu\|^2}{\sum_c \sum_n \|z_{c,n} - \mu_c\|^2}

    Sums of squares, without degrees of freedom: with one feature it is the F statistic of the
    analysis of variance times (C - 1) / (n - C). Returns infinity if every class is a single
    point, and NaN if all samples are one point.
    """
    z = as_matrix(z)
    index, _ = as_labels(labels, len(z))
    z = z - z.mean(axis=0)
    sizes, centroids = _centroids(z, index)
    between = float((sizes * (centroids**2).sum(axis=1)).sum())
    within = float(((z - centroids[index]) ** 2).sum())
    return _ratio(between, within)


def nearest_centroid_accuracy(
    z: Any, labels: Any, z_test: Any = None, labels_test: Any = None
) -> float:
    """Share of samples nearest (Euclidean) to the mean of their own class.

    With ``z_test`` and ``labels_test``, the means come from ``z`` and the share from the test
    samples. Without, each sample is left out of its own class mean (leave-one-out); a sample that
    is alone in its class then counts as wrong. Ties go to the class that sorts first.
    """
    z = as_matrix(z)
    index, values = as_labels(labels, len(z))
    sizes, centroids = _centroids(z, index)
    if (z_test is None) != (labels_test is None):
        raise ValueError("give both z_test and labels_test, or neither for leave-one-out.")
    if z_test is not None:
        z_test = as_matrix(z_test, "z_test")
        if z_test.shape[1] != z.shape[1]:
            raise ValueError(
                f"z_test has {z_test.shape[1]} features and z has {z.shape[1]}; they must agree."
            )
        index_test, values_test = as_labels(labels_test, len(z_test), classes=1)
        nearest = values[_distances(z_test, centroids).argmin(axis=1)]
        return float((nearest == values_test[index_test]).mean())
    distances = _distances(z, centroids)
    rest = np.maximum(sizes - 1, 1)[index]
    # Without itself the mean moves away: z - mean' = (z - mean) * N / (N - 1).
    own = distances[np.arange(len(z)), index] * sizes[index] / rest
    distances[np.arange(len(z)), index] = np.where(sizes[index] > 1, own, np.inf)
    return float((distances.argmin(axis=1) == index).mean())


def _printed_signal_to_noise(z: np.ndarray, index: np.ndarray, sizes: np.ndarray) -> float:
    """Equation 11.6 as printed; ``z`` non-negative, every class of the same size."""
    if z.min() < 0:
        raise ValueError(
            f"11.6 as printed takes square roots of the representations, but {(z < 0).sum()} of "
            f"{z.size} values are negative. Use form='corrected'."
        )
    if sizes.min() != sizes.max():
        raise ValueError(
            f"11.6 as printed needs classes of one size; they have {sizes.tolist()} samples. Use "
            "form='corrected', or draw as many of each class."
        )
    classes, size = len(sizes), int(sizes[0])
    root = np.sqrt(z)[np.argsort(index, kind="stable")].reshape(classes, size, -1)
    between = sum(_distances(root[:, n], root[:, n]).sum() for n in range(size))
    within = sum(_distances(points, points).sum() for points in root)
    return _ratio(
        float(between) / (size * (classes - 1) ** 2), float(within) / (classes * (size - 1) ** 2)
    )


def _distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Euclidean distances (rows of a, rows of b), exactly 0 between equal rows."""
    from scipy.spatial.distance import cdist

    return cdist(a, b)


def _row_blocks(rows: int, size: int = 1024) -> list[slice]:
    """Slices that keep a block of distances at ``size`` rows."""
    return [slice(start, start + size) for start in range(0, rows, size)]


def _centroids(z: np.ndarray, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Class sizes (C,) and class means (C, features)."""
    sizes = np.bincount(index)
    member = np.eye(len(sizes))[index]
    return sizes, (member.T @ z) / sizes[:, None]


def _ratio(above: float, below: float) -> float:
    """above / below, with infinity for x/0 and NaN for 0/0, without warnings."""
    if below > 0:
        return float(above / below)
    return float("inf") if above > 0 else float("nan")
