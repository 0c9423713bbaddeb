"""A linear head on frozen representations: what an encoder tells apart, without training it."""

from __future__ import annotations

import numpy as np


def linear_probe(
    hidden: np.ndarray, labels: np.ndarray, classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Fit logistic regression, or a line to one value (``classes`` is 1), with an L2 penalty.

    Args:
        hidden: representations (texts, units).
        labels: (texts,), classes from 0 on or values. A class that no text has is never chosen.

    Returns:
        Weights (classes, units) and biases (classes,) for the representations as they are: they
        are standardised for the fit only.
    """
    from sklearn.linear_model import LogisticRegression, Ridge  # a second or two, the first time

    mean, scale = hidden.mean(0), hidden.std(0)
    scale = np.where(scale > 1e-6, scale, 1.0)  # some encoders have units that never change
    z = (hidden - mean) / scale
    if classes == 1:
        line = Ridge(alpha=len(z) / 10).fit(z, labels)
        weight, bias = line.coef_.reshape(1, -1), np.reshape(line.intercept_, 1)
    else:
        held = np.unique(labels)
        weight, bias = np.zeros((classes, z.shape[1])), np.full(classes, -20.0)
        if len(held) < 2:
            bias[held] = 0.0
        else:
            fitted = LogisticRegression(C=0.01, max_iter=1000).fit(z, labels)
            two = len(held) == 2  # then there is one row, for the second class
            weight[held] = np.vstack([-fitted.coef_, fitted.coef_]) / 2 if two else fitted.coef_
            offset = fitted.intercept_
            bias[held] = np.concatenate([-offset, offset]) / 2 if two else offset
    weight = weight / scale
    return weight.astype(np.float32), (bias - weight @ mean).astype(np.float32)
