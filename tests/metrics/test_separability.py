"""Separability against loops over pairs, SciPy and scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import f_oneway, ortho_group
from sklearn.metrics import silhouette_score
from sklearn.neighbors import NearestCentroid

from workbench.metrics import separability

MEASURES = (
    separability.signal_to_noise,
    separability.silhouette,
    separability.fisher_ratio,
    separability.nearest_centroid_accuracy,
)


def blobs(sizes: tuple[int, ...], features: int = 3, seed: int = 0, apart: float = 2.0):
    """Gaussian classes of the given sizes, in shuffled order."""
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.repeat(np.arange(len(sizes)), sizes))
    means = apart * generator.normal(size=(len(sizes), features))
    return means[labels] + generator.normal(size=(len(labels), features)), labels


def snr_by_loops(z: np.ndarray, labels: np.ndarray) -> float:
    within, between = [], []
    for i in range(len(z)):
        for j in range(i):
            same = labels[i] == labels[j]
            (within if same else between).append(math.dist(z[i], z[j]))
    return float(np.mean(between) / np.mean(within))


@pytest.mark.parametrize("sizes", [(5, 5, 5), (2, 9, 4), (1, 6)])
def test_snr_is_the_ratio_of_mean_distances_over_all_pairs(sizes):
    z, labels = blobs(sizes)
    assert separability.snr(z, labels) == pytest.approx(snr_by_loops(z, labels), rel=1e-12)


def test_snr_does_not_depend_on_the_blocks_it_is_computed_in():
    z, labels = blobs((700, 400))  # more rows than one block
    distances = np.linalg.norm(z[:, None] - z[None], axis=2)
    same = labels[:, None] == labels[None]
    within = distances[same & ~np.eye(len(z), dtype=bool)].mean()
    expected = distances[~same].mean() / within
    assert separability.snr(z, labels) == pytest.approx(expected, rel=1e-10)


def test_printed_form_is_11_6_to_the_letter():
    z, labels = blobs((4, 4, 4))
    z = np.abs(z)
    root = np.sqrt(np.stack([z[labels == c] for c in range(3)]))
    classes, size = 3, 4
    above = sum(
        math.dist(root[c, n], root[i, n])
        for n in range(size)
        for c in range(classes)
        for i in range(classes)
        if i != c
    ) / (size * (classes - 1) ** 2)
    below = sum(
        math.dist(root[c, n], root[c, j])
        for c in range(classes)
        for n in range(size)
        for j in range(size)
        if j != n
    ) / (classes * (size - 1) ** 2)
    printed = separability.snr(z, labels, form="printed")
    assert printed == pytest.approx(above / below, rel=1e-12)


def test_printed_constants_see_signal_where_there_is_none():
    # Two classes of one distribution: no separation, so the ratio should be 1. The printed
    # constants multiply it by C / (C - 1) * (N - 1) / N, nearly 2 for two classes.
    z = np.random.default_rng(0).random((400, 8))
    labels = np.arange(400) % 2
    assert separability.snr(z, labels) == pytest.approx(1.0, abs=0.01)
    printed = separability.snr(z, labels, form="printed")
    assert printed == pytest.approx(2 * 199 / 200, abs=0.1)  # sd of a mean of 200 pairs


def test_printed_form_names_its_faults():
    z, labels = blobs((4, 4))
    with pytest.raises(ValueError, match="values are negative. Use form='corrected'"):
        separability.snr(z, labels, form="printed")
    z, labels = blobs((4, 5))
    with pytest.raises(ValueError, match=r"\[4, 5\] samples"):
        separability.snr(np.abs(z), labels, form="printed")
    with pytest.raises(ValueError, match="allowed are 'corrected' and 'printed'"):
        separability.snr(z, labels, form="other")


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), scale=st.floats(1e-3, 1e3), shift=st.floats(-100, 100))
def test_distances_only_so_rotation_shift_and_scale_change_nothing(seed, scale, shift):
    z, labels = blobs((4, 6, 5), seed=seed)
    moved = scale * (z @ ortho_group.rvs(3, random_state=seed)) + shift
    relabelled = np.array(["b", "c", "a"])[labels]
    order = np.random.default_rng(seed).permutation(len(z))
    for measure in MEASURES:
        expected = measure(z, labels)
        # The shift costs |shift| / scale of the 16 digits.
        assert measure(moved, labels) == pytest.approx(expected, rel=1e-6)
        assert measure(z[order], relabelled[order]) == pytest.approx(expected, rel=1e-9)


def test_silhouette_is_that_of_scikit_learn():
    z, labels = blobs((5, 7, 4))
    assert separability.silhouette(z, labels) == silhouette_score(z, labels)


def test_fisher_ratio_of_one_feature_is_the_f_statistic():
    z, labels = blobs((5, 7, 4), features=1)
    f = f_oneway(*(z[labels == c, 0] for c in range(3))).statistic
    expected = f * (3 - 1) / (16 - 3)
    assert separability.fisher_ratio(z[:, 0], labels) == pytest.approx(expected, rel=1e-10)


def test_fisher_ratio_splits_the_total_scatter():
    z, labels = blobs((5, 7, 4))
    total = ((z - z.mean(axis=0)) ** 2).sum()
    within = sum(((p - p.mean(axis=0)) ** 2).sum() for p in (z[labels == c] for c in range(3)))
    expected = (total - within) / within
    assert separability.fisher_ratio(z, labels) == pytest.approx(expected, rel=1e-10)


def test_nearest_centroid_leaves_each_sample_out():
    z, labels = blobs((5, 7, 4, 1), apart=1.0)  # the sample alone in its class cannot be right
    hits = 0
    for i in range(len(z)):
        rest = np.arange(len(z)) != i
        hits += NearestCentroid().fit(z[rest], labels[rest]).predict(z[i : i + 1])[0] == labels[i]
    assert 0 < hits < len(z)
    assert separability.nearest_centroid_accuracy(z, labels) == hits / len(z)


def test_nearest_centroid_with_test_samples():
    z, labels = blobs((20, 20, 20), apart=0.7)
    train, test = slice(0, 40), slice(40, None)
    model = NearestCentroid().fit(z[train], labels[train])
    found = separability.nearest_centroid_accuracy(z[train], labels[train], z[test], labels[test])
    assert found == model.score(z[test], labels[test])
    with pytest.raises(ValueError, match="both z_test and labels_test"):
        separability.nearest_centroid_accuracy(z, labels, z)
    with pytest.raises(ValueError, match="z_test has 2 features and z has 3"):
        separability.nearest_centroid_accuracy(z, labels, z[:, :2], labels)


def test_collapsed_representations_have_documented_values():
    labels = np.array([0, 0, 1, 1])
    point = np.ones((4, 2))
    assert math.isnan(separability.snr(point, labels))
    assert math.isnan(separability.fisher_ratio(point, labels))
    assert separability.silhouette(point, labels) == 0
    assert separability.nearest_centroid_accuracy(point, labels) == 0.5  # ties: the first class
    per_class = np.array([[0.0], [0.0], [3.0], [3.0]])
    assert separability.snr(per_class, labels) == math.inf
    assert separability.fisher_ratio(per_class, labels) == math.inf


@pytest.mark.parametrize("measure", MEASURES)
def test_tensors_of_any_kind_are_taken(measure):
    z, labels = blobs((4, 4))
    tensor = torch.tensor(z, requires_grad=True)
    assert measure(tensor, torch.tensor(labels)) == measure(z, labels)
    assert np.isfinite(measure(tensor.bfloat16(), torch.tensor(labels)))


@pytest.mark.parametrize("measure", MEASURES)
def test_bad_input_says_what_is_wrong(measure):
    z, labels = blobs((4, 4))
    with pytest.raises(ValueError, match=r"1 class\(es\) \[0\]; at least 2 are needed"):
        measure(z, np.zeros(8, dtype=int))
    with pytest.raises(ValueError, match="z has 1 NaN or infinite values of 24"):
        measure(np.where(np.arange(24).reshape(8, 3) == 5, np.nan, z), labels)
    with pytest.raises(ValueError, match=r"labels have shape \(7,\); .* shape \(8,\)"):
        measure(z, labels[:7])
    with pytest.raises(ValueError, match=r"z has shape \(2, 4, 3\); it must be"):
        measure(z.reshape(2, 4, 3), labels)
    with pytest.raises(ValueError, match="z has 0 samples; at least 1"):
        measure(z[:0], labels[:0])


def test_one_sample_per_class_has_no_distance_within():
    z, _ = blobs((4,))
    with pytest.raises(ValueError, match="each of the 4 classes has one sample"):
        separability.snr(z, np.arange(4))
    with pytest.raises(ValueError, match="every one of the 4 samples is its own class"):
        separability.silhouette(z, np.arange(4))
