"""The exercises of the notebooks: what is asked, and how an answer is checked."""

from __future__ import annotations

from typing import Any

from widgets.lesson import Exercise


def steps_below(share: float = 0.1, rate: float = 0.1) -> Exercise:
    """Chapter 11: how many pruning steps leave less than ``share`` of the weights."""

    def check(answer: Any) -> str:
        if not isinstance(answer, int) or isinstance(answer, bool) or answer < 1:
            return f"The answer is a whole number of steps, not {answer!r}."
        left, before = (1 - rate) ** answer, (1 - rate) ** (answer - 1)
        if left >= share:
            return f"After {answer} steps {left:.1%} are left: more are needed."
        if before < share:
            return f"One step earlier {before:.1%} were left, which is already less."
        return ""

    task = (
        f"Each step removes {rate:.0%} of the weights that remain. After how many steps is less "
        f"than {share:.0%} left?"
    )
    return Exercise("Exercise 1.", task, check)


def signal_to_noise() -> Exercise:
    """Chapter 11: write equation 11.6 (corrected) for representations and labels."""

    def check(answer: Any) -> str:
        import numpy as np
        from scipy.spatial.distance import cdist

        def ours(z: Any, y: Any) -> float:
            distances, same = cdist(z, z), y[:, None] == y[None]
            return distances[~same].mean() / distances[same & ~np.eye(len(y), dtype=bool)].mean()

        rng = np.random.default_rng(11)
        z, y = rng.normal(size=(30, 4)), np.repeat([0, 1, 2], 10)
        z[y == 1] += 3.0
        given = float(answer(z.copy(), y.copy()))
        if not np.isclose(given, ours(z, y), rtol=1e-6):
            return f"For 30 points in three classes it gives {given:.4f}, not {ours(z, y):.4f}."
        few = np.r_[0:15, 20:30]
        if not np.isclose(float(answer(z[few], y[few])), ours(z[few], y[few]), rtol=1e-6):
            return "Right for classes of equal size, not yet for unequal ones: count every pair."
        return ""

    task = (
        "Write a function of z (samples, features) and y (samples) that returns the mean distance "
        "between samples of different classes over the mean distance within classes."
    )
    return Exercise("Exercise 2.", task, check)
