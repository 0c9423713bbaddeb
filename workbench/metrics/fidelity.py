"""Does the compressed model say what its teacher says, and does its confidence hold?"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from workbench.metrics._inputs import as_array, as_labels, as_matrix

Kind = Literal["auto", "logits", "probabilities"]


def agreement(student: Any, teacher: Any) -> float:
    """Share of samples for which both predict the same class, in [0, 1].

    Each side is logits or probabilities (samples, classes) or predicted classes (samples,).
    Raises ``ValueError`` for regression outputs: use ``scores.score("spearman", ...)`` there.
    """
    student, teacher = _classes(student, "student"), _classes(teacher, "teacher")
    if student.shape != teacher.shape:
        raise ValueError(
            f"student has {len(student)} samples and teacher {len(teacher)}; they must be the same."
        )
    return float((student == teacher).mean())


def calibration_error(
    outputs: Any, labels: Any, *, bins: int = 15, adaptive: bool = False, kind: Kind = "auto"
) -> float:
    r"""Expected calibration error of the predicted class, in [0, 1].

    .. math:: \sum_b \frac{n_b}{n} |\mathrm{accuracy}(b) - \mathrm{confidence}(b)|

    over ``bins`` bins of equal width, (0, 1/bins], ..., (1 - 1/bins, 1], of the largest
    probability. ``adaptive=True`` fills bins with equally many samples instead, which
    steadies the estimate where nearly all confidences lie in the last bin.

    ``outputs`` (samples, classes) are logits or probabilities; ``kind="auto"`` takes rows of
    non-negative numbers that add to 1 for probabilities and all else for logits. ``labels`` are
    class indices (samples,).

    Guo, Pleiss, Sun and Weinberger (2017), arXiv 1706.04599; adaptive: Nixon et al. (2019),
    arXiv 1904.01685.
    """
    probabilities = _probabilities(as_matrix(outputs, "outputs"), kind)
    labels = as_array(labels)
    as_labels(labels, len(probabilities), classes=1)
    classes = probabilities.shape[1]
    if classes < 2 or not np.isin(labels, np.arange(classes)).all():
        raise ValueError(
            f"outputs have {classes} classes and labels {np.unique(labels).tolist()}; labels must "
            "be class indices from 0, and there must be at least two classes."
        )
    if bins < 1:
        raise ValueError(f"bins={bins}; at least 1 is needed.")
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == labels
    if adaptive:
        order = np.argsort(confidence, kind="stable")
        parts = np.array_split(order, min(bins, len(order)))
    else:
        bin_of = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
        parts = [np.flatnonzero(bin_of == b) for b in np.unique(bin_of)]
    gaps = [abs(correct[part].mean() - confidence[part].mean()) * len(part) for part in parts]
    return float(sum(gaps) / len(confidence))


def _classes(outputs: Any, name: str) -> np.ndarray:
    """Predicted classes (samples,) of logits, probabilities or classes."""
    array = as_array(outputs)
    if array.ndim == 1 and array.dtype.kind in "iubUSO" and len(array):
        return array
    if array.ndim == 2 and array.shape[1] > 1:
        return as_matrix(array, name, least=1).argmax(axis=1)
    raise ValueError(
        f"{name} has shape {array.shape} and type {array.dtype}; give logits (samples, classes) "
        "or whole-number classes (samples,). For regression use scores.score('spearman', ...)."
    )


def _probabilities(outputs: np.ndarray, kind: Kind) -> np.ndarray:
    """Rows that add to 1: as given, or the softmax of logits."""
    from scipy.special import softmax

    normal = bool((outputs >= 0).all() and np.allclose(outputs.sum(axis=1), 1.0, atol=1e-4))
    if kind == "probabilities" and not normal:
        raise ValueError(
            "outputs are not probabilities: rows must be non-negative and add to 1. Pass "
            "kind='logits' for raw model outputs."
        )
    if kind not in ("auto", "logits", "probabilities"):
        raise ValueError(f"kind={kind!r}; allowed are 'auto', 'logits' and 'probabilities'.")
    if kind == "probabilities" or (kind == "auto" and normal):
        return outputs
    return softmax(outputs, axis=1)
