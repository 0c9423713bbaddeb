"""Projections against scikit-learn, and axes that stay comparable between steps."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from scipy.spatial.distance import pdist
from scipy.stats import ortho_group
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import silhouette_score

from workbench.metrics.projections import METHODS, Projector, project


def classes(n: int = 60, features: int = 12, count: int = 3, seed: int = 0):
    generator = np.random.default_rng(seed)
    labels = np.arange(n) % count
    means = 4 * generator.normal(size=(count, features))
    return means[labels] + generator.normal(size=(n, features)), labels


def test_pca_is_that_of_scikit_learn_up_to_signs():
    z, _ = classes()
    found = project([z])[0]
    expected = PCA(2).fit_transform(z)
    assert np.abs(found) == pytest.approx(np.abs(expected), abs=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_a_rotated_representation_gives_the_same_view(method):
    z, labels = classes()
    turned = z @ ortho_group.rvs(12, random_state=1) + 5.0
    first, second = project([z, turned], labels, method)
    if method == "tsne":  # started from the first view, so it need not end at the same optimum
        assert np.corrcoef(pdist(first), pdist(second))[0, 1] > 0.7
    else:
        assert second == pytest.approx(first, abs=1e-6 * np.abs(first).max())


@pytest.mark.parametrize("method", METHODS)
def test_aligning_keeps_classes_in_their_place(method):
    z, labels = classes()
    generator = np.random.default_rng(1)
    steps = [z + 0.3 * k * generator.normal(size=z.shape) for k in range(4)]
    steps = [-step if k % 2 else step for k, step in enumerate(steps)]  # mirrored every other step
    views = project(steps, labels, method)
    for before, after in zip(views, views[1:], strict=False):
        centre = [
            np.stack([v[labels == c].mean(axis=0) for c in range(3)]) for v in (before, after)
        ]
        moved = np.linalg.norm(centre[1] - centre[0], axis=1).max()
        assert moved < 0.5 * pdist(centre[0]).min()


def test_aligning_keeps_distances_within_a_step():
    z, labels = classes()
    other, _ = classes(seed=5)
    alone, aligned = project([other])[0], project([z, other])[1]
    assert pdist(aligned) == pytest.approx(pdist(alone), abs=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_streaming_equals_all_at_once_and_can_go_on_from_its_state(method):
    z, labels = classes()
    steps = [z, z + 0.5, 2 * z[:, ::-1]]
    at_once = project(steps, labels, method)
    first = Projector(method)
    streamed = [first.add(step, labels) for step in steps[:2]]
    resumed = Projector(method, previous=streamed[-1].copy())
    streamed.append(resumed.add(steps[2], labels))
    for one, two in zip(at_once, streamed, strict=True):
        assert one.shape == (60, 2) and np.array_equal(one, two)


def test_lda_is_that_of_scikit_learn_with_many_samples():
    z, labels = classes(3000, 5)
    ours = project([z], labels, "lda")[0]
    theirs = LinearDiscriminantAnalysis(solver="eigen").fit(z, labels).transform(z)
    for axis in range(2):  # shrinkage is about features / samples
        assert abs(np.corrcoef(ours[:, axis], theirs[:, axis])[0, 1]) > 0.999
        means = np.array([ours[labels == c, axis].mean() for c in range(3)])
        spread = (ours[:, axis] - means[labels]).std()
        assert spread == pytest.approx(1.0, abs=0.05)  # its sd is 1 / sqrt(2n), 0.013


def test_lda_of_classes_that_are_points_or_single_samples():
    labels = np.arange(40) % 4
    points = 3 * np.eye(6)[labels] + 1e-13 * np.random.default_rng(0).normal(size=(40, 6))
    assert np.array_equal(project([points], labels, "lda")[0], project([points])[0])
    alone = np.r_[0, 1, 2, np.full(37, 3)]
    z = np.random.default_rng(0).normal(size=(40, 6))
    assert np.isfinite(project([z], alone, "lda")[0]).all()


def test_lda_separates_what_pca_does_not_see():
    generator = np.random.default_rng(0)
    labels = np.arange(120) % 3
    z = np.hstack([3 * np.eye(3)[labels], np.zeros((120, 5))])
    z += generator.normal(size=z.shape) * np.r_[np.full(3, 0.5), np.full(5, 8.0)]
    pca, lda = (silhouette_score(project([z], labels, m)[0], labels) for m in ("pca", "lda"))
    assert pca < 0.1 < 0.6 < lda


@pytest.mark.parametrize("count", [2, 3])
def test_lda_does_not_separate_noise(count):
    z = np.random.default_rng(0).normal(size=(150, 384))
    labels = np.arange(150) % count
    assert silhouette_score(project([z], labels, "lda")[0], labels) < 0.15


def test_lda_of_two_classes_keeps_its_discriminant_axis():
    z, labels = classes(count=2)
    views = project([z, -z, z + 0.1], labels, "lda")
    for view in views:
        sides = [view[labels == c, 0].mean() for c in (0, 1)]
        assert np.sign(sides[0]) == np.sign(views[0][labels == 0, 0].mean())
        assert abs(sides[0] - sides[1]) > 5 * view[labels == 0, 0].std()
        means = [view[labels == c, 1].mean() for c in (0, 1)]
        assert abs(means[0] - means[1]) < 2 * view[:, 1].std()


@pytest.mark.parametrize("method", METHODS)
def test_150_samples_take_less_than_a_second(method):
    z, labels = classes(150, 384)
    project([z[:20]], labels[:20], method)  # imports
    start = time.process_time()
    project([z], labels, method)
    assert time.process_time() - start < 1.0


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(5, 3), (6, 1), (31, 2)])
def test_few_samples_and_few_features(method, shape):
    z = np.random.default_rng(0).normal(size=shape)
    views = project([z, z + 1], np.arange(shape[0]) % 2, method)
    assert all(view.shape == (shape[0], 2) and np.isfinite(view).all() for view in views)


@pytest.mark.parametrize("method", METHODS)
def test_a_collapsed_step_is_a_point_and_the_next_one_goes_on(method):
    z, labels = classes()
    views = project([z, np.full_like(z, 0.1), z], labels, method)
    assert not views[1].any() and np.isfinite(views[2]).all() and views[2].std() > 0


def test_tensors_are_taken():
    z, labels = classes()
    tensor = torch.tensor(z, requires_grad=True)
    assert np.array_equal(project([tensor])[0], project([z])[0])


def test_bad_input_says_what_is_wrong():
    z, labels = classes()
    with pytest.raises(ValueError, match="method='umap'; allowed are pca, lda, tsne"):
        project([z], labels, "umap")
    with pytest.raises(ValueError, match="lda needs labels"):
        project([z], None, "lda")
    with pytest.raises(ValueError, match="at least 2 are needed"):
        project([z], np.zeros(60), "lda")
    with pytest.raises(ValueError, match="z has 59 samples, the step before had 60"):
        project([z, z[:59]])
    with pytest.raises(ValueError, match="z has 3 samples; at least 4"):
        project([z[:3]], labels[:3], "tsne")
    with pytest.raises(ValueError, match="NaN or infinite"):
        project([z * np.nan])
    with pytest.raises(ValueError, match=r"previous has shape \(60, 12\)"):
        Projector(previous=z)
