"""Scores against their definitions; constant predictions without warnings."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import rankdata

from workbench.metrics.scores import score


def test_classification_scores_by_hand():
    # One class: 3 hits, 1 miss, 2 false alarms, 4 correct rejections.
    labels = np.array([1, 1, 1, 1, 0, 0, 0, 0, 0, 0])
    predicted = np.array([1, 1, 1, 0, 1, 1, 0, 0, 0, 0])
    found = score("accuracy", predicted, labels)
    assert found["accuracy"] == pytest.approx(0.7)
    assert found["f1"] == pytest.approx((6 / 9 + 8 / 11) / 2)
    assert found["matthews"] == pytest.approx((3 * 4 - 2 * 1) / math.sqrt(5 * 4 * 6 * 5))
    assert score("matthews", predicted, labels) == found


def test_logits_and_tensors_are_taken():
    logits = np.random.default_rng(0).normal(size=(50, 4))
    labels = np.random.default_rng(1).integers(0, 4, 50)
    found = score("accuracy", torch.tensor(logits), torch.tensor(labels))
    assert found == score("accuracy", logits.argmax(axis=1), labels)
    assert set(found) == {"accuracy", "f1", "matthews"}


@pytest.mark.parametrize("labels", [[0, 1, 2, 1], [1, 1, 1, 1]])
def test_one_predicted_class_has_no_matthews_correlation(labels):
    found = score("matthews", np.ones(4, dtype=int), np.array(labels))
    assert found["matthews"] == 0.0 and 0 < found["accuracy"] <= 1 and 0 < found["f1"] <= 1


def test_regression_scores_are_correlations_of_ranks_and_of_values():
    generator = np.random.default_rng(0)
    labels = generator.normal(size=40).round(1)  # with ties
    predicted = labels + generator.normal(size=40)
    found = score("spearman", predicted[:, None], labels)
    ranks = np.corrcoef(rankdata(predicted), rankdata(labels))[0, 1]
    assert found["spearman"] == pytest.approx(ranks, rel=1e-12)
    assert found["pearson"] == pytest.approx(np.corrcoef(predicted, labels)[0, 1], rel=1e-12)
    assert (
        score("pearson", torch.tensor(predicted), torch.tensor(labels))["spearman"]
        == found["spearman"]
    )


def test_constant_predictions_score_zero_and_constant_labels_nothing():
    labels = np.array([1.0, 2.0, 5.0])
    assert score("spearman", np.full(3, 0.1), labels) == {"spearman": 0.0, "pearson": 0.0}
    assert score("spearman", np.zeros(3), labels)["pearson"] == 0.0
    assert all(math.isnan(value) for value in score("spearman", labels, np.ones(3)).values())


def test_bad_input_says_what_is_wrong():
    ones = np.ones(4, dtype=int)
    with pytest.raises(ValueError, match="metric='bleu'; allowed are accuracy, f1, matthews, spea"):
        score("bleu", ones, ones)
    with pytest.raises(ValueError, match="labels are empty"):
        score("f1", ones[:0], ones[:0])
    with pytest.raises(ValueError, match=r"predictions have shape \(3,\) for 4 labels"):
        score("f1", ones[:3], ones)
    with pytest.raises(ValueError, match="predictions has 8 NaN"):
        score("f1", np.full((4, 2), np.nan), ones)
    with pytest.raises(ValueError, match="predictions has 4 NaN"):
        score("spearman", np.full(4, np.nan), ones)
    with pytest.raises(ValueError, match="regression needs one number per sample"):
        score("spearman", np.ones((4, 2)), ones)
    with pytest.raises(ValueError, match="has 1 samples; at least 2"):
        score("spearman", ones[:1], ones[:1])
