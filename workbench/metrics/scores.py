"""Task scores from scikit-learn and SciPy: accuracy, macro F1, Matthews, Spearman, Pearson."""

from __future__ import annotations

from typing import Any

import numpy as np

from workbench.metrics._inputs import as_array, as_labels, as_matrix

CLASSIFICATION = ("accuracy", "f1", "matthews")
REGRESSION = ("spearman", "pearson")


def score(metric: str, predictions: Any, labels: Any) -> dict[str, float]:
    """All scores of the family that ``metric`` belongs to; ``result[metric]`` is the one asked for.

    Classification (``accuracy``, ``f1``, ``matthews``): ``predictions`` are classes (samples,) or
    logits (samples, classes), whose largest wins. F1 is the unweighted mean over the classes found
    in labels or predictions. A model that predicts one class has Matthews 0.

    Regression (``spearman``, ``pearson``): ``predictions`` are (samples,) or (samples, 1).
    Constant predictions carry no order and score 0; constant labels give NaN.

    Accuracy and F1 lie in [0, 1], the others in [-1, 1]. Raises ``ValueError`` for an unknown
    metric, no samples, different lengths, NaN or infinity.
    """
    if metric in CLASSIFICATION:
        return _classification(predictions, labels)
    if metric in REGRESSION:
        return _regression(predictions, labels)
    allowed = ", ".join(CLASSIFICATION + REGRESSION)
    raise ValueError(f"metric={metric!r}; allowed are {allowed}.")


def _classification(predictions: Any, labels: Any) -> dict[str, float]:
    from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

    predicted, labels = as_array(predictions), as_array(labels)
    if predicted.ndim == 2 and predicted.shape[1] > 1:
        predicted = as_matrix(predicted, "predictions").argmax(axis=1)
    if labels.size == 0:
        raise ValueError("labels are empty; give at least one sample.")
    as_labels(labels, len(labels), classes=1)
    if predicted.shape != labels.shape:
        raise ValueError(
            f"predictions have shape {predicted.shape} for {len(labels)} labels; give classes "
            "(samples,) or logits (samples, classes) of the same samples."
        )
    as_labels(predicted, len(labels), classes=1)
    single = len(np.unique(predicted)) == 1 or len(np.unique(labels)) == 1
    return {
        "accuracy": float(accuracy_score(labels, predicted)),
        "f1": float(f1_score(labels, predicted, average="macro", zero_division=0.0)),
        "matthews": 0.0 if single else float(matthews_corrcoef(labels, predicted)),
    }


def _regression(predictions: Any, labels: Any) -> dict[str, float]:
    from scipy.stats import pearsonr, spearmanr

    predicted, target = as_matrix(predictions, "predictions", 2), as_matrix(labels, "labels", 2)
    if predicted.shape != target.shape or predicted.shape[1] != 1:
        raise ValueError(
            f"predictions have shape {predicted.shape} and labels {target.shape}; regression "
            "needs one number per sample on both sides."
        )
    predicted, target = predicted[:, 0], target[:, 0]
    if np.ptp(target) == 0:
        return dict.fromkeys(REGRESSION, float("nan"))
    if np.ptp(predicted) <= 1e-12 * np.abs(predicted).max():
        return dict.fromkeys(REGRESSION, 0.0)
    return {
        "spearman": float(spearmanr(predicted, target).statistic),
        "pearson": float(pearsonr(predicted, target).statistic),
    }
