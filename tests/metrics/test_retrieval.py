"""Retrieval of translations, against scikit-learn's nearest neighbours and closed forms."""

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors

from workbench.metrics.retrieval import retrieval_accuracy


@pytest.mark.parametrize("centred", [True, False])
def test_it_is_the_accuracy_of_the_nearest_neighbour(centred):
    rng = np.random.default_rng(0)
    keys = rng.normal(1.0, 1.0, (60, 8))
    queries = keys + rng.normal(0, 1.0, keys.shape)
    sides = [x - x.mean(0) if centred else x for x in (queries, keys)]
    found = NearestNeighbors(n_neighbors=1, metric="cosine").fit(sides[1])
    nearest = found.kneighbors(sides[0], return_distance=False)[:, 0]
    value = retrieval_accuracy(queries, keys, centred=centred)
    assert value == pytest.approx((nearest == np.arange(60)).mean(), abs=1e-12)
    assert 0.2 < value < 0.95


def test_a_language_that_lies_apart_but_is_arranged_alike_is_found():
    rng = np.random.default_rng(1)
    keys = rng.normal(size=(20, 5))
    assert retrieval_accuracy(keys + 10.0, keys) == 1.0
    assert retrieval_accuracy(keys + 10.0, keys, centred=False) < 0.5


def test_what_has_become_one_point_scores_as_chance_does():
    x = np.ones((8, 3))
    assert retrieval_accuracy(x, x) == pytest.approx(1 / 8)
    assert retrieval_accuracy(x, x, centred=False) == pytest.approx(1 / 8)


def test_tensors_and_scale_do_not_matter():
    x = torch.randn(12, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    y = x + 0.7 * torch.randn(12, 4, generator=torch.Generator().manual_seed(1))
    plain = retrieval_accuracy(x.detach().numpy(), y.detach().numpy())
    assert retrieval_accuracy(3 * x, 5 * y) == plain


@pytest.mark.parametrize(
    ("queries", "keys", "said"),
    [
        (np.ones((3, 2)), np.ones((3, 4)), "one shape"),
        (np.ones((3, 2)), np.ones((2, 2)), "row i of both"),
        (np.ones((1, 2)), np.ones((1, 2)), "at least 2"),
        (np.full((3, 2), np.nan), np.ones((3, 2)), "NaN"),
    ],
)
def test_what_cannot_be_compared_is_refused(queries, keys, said):
    with pytest.raises(ValueError, match=said):
        retrieval_accuracy(queries, keys)
