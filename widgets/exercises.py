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


def lamp_scores() -> Exercise:
    """Chapter 9: write the LAMP score of a vector of weights."""

    def check(answer: Any) -> str:
        import numpy as np

        def ours(w: Any) -> Any:
            squares = np.asarray(w, float) ** 2
            return np.array([s / squares[squares >= s].sum() for s in squares])

        w = np.array([0.5, -2.0, 1.0, 0.25])
        given = np.asarray(answer(w.copy()), float)
        if given.shape != w.shape:
            return f"Four weights need four scores, not {given.shape}."
        if not np.isclose(given.max(), 1.0):
            return (
                f"The largest weight scores 1 (all of what is no smaller), not {given.max():.4f}."
            )
        if not np.allclose(given, ours(w), rtol=1e-9):
            return f"For {w.tolist()} it is {ours(w).round(4).tolist()}, not {given.tolist()}."
        if not np.allclose(answer(10 * w), ours(w), rtol=1e-9):
            return "Right here, but ten times the weights must have the same scores."
        return ""

    task = (
        "Write a function of w (n,) that returns for each weight its square over the sum of all "
        "squares that are no smaller than it."
    )
    return Exercise("Exercise 1.", task, check)


def weight_correlation() -> Exercise:
    """Chapter 9: write equation 9.2 (corrected) for a matrix before and after pruning."""

    def check(answer: Any) -> str:
        import numpy as np

        def ours(w: Any, pruned: Any) -> float:
            norms = np.linalg.norm(w, axis=1) * np.linalg.norm(pruned, axis=1)
            return float((np.sum(w * pruned, 1) / norms).mean())

        w = np.random.default_rng(9).normal(size=(6, 4))
        if not np.isclose(float(answer(w.copy(), -w)), -1.0):
            return "A matrix and its opposite have -1: the printed |.| would hide that they differ."
        pruned = np.where(np.abs(w) > 0.5, w, 0.0) + 0.3
        given = float(answer(w.copy(), pruned.copy()))
        if np.isclose(given, ours(w.T, pruned.T)) and not np.isclose(given, ours(w, pruned)):
            return "That is by columns; the units of torch.nn.Linear are the rows."
        if not np.isclose(given, ours(w, pruned), rtol=1e-9):
            return f"For a 6 by 4 matrix it gives {given:.4f}, not {ours(w, pruned):.4f}."
        return ""

    task = (
        "Write a function of w and pruned, both (units, inputs), that returns the mean over units "
        "of the cosine between the weights of the unit before and after."
    )
    return Exercise("Exercise 2.", task, check)


def dropped_step() -> Exercise:
    """Chapter 10: write one step of equation 10.3 (corrected)."""

    def check(answer: Any) -> str:
        import numpy as np

        rng = np.random.default_rng(10)
        w, g, u = rng.normal(size=200), rng.normal(size=200), rng.uniform(size=200)

        def ours(p: float) -> Any:
            return w - 0.1 * g * (u >= p)

        given = np.asarray(answer(w.copy(), g.copy(), u.copy(), 0.2, 0.1), float)
        if given.shape != w.shape:
            return f"200 weights give 200 weights, not {given.shape}."
        moved = float((given != w).mean())
        if np.allclose(given, w - 0.1 * g * (u < 0.2)):
            return "That keeps a share p, as printed; p is the share that is dropped."
        if np.allclose(given, w - 0.1 * g * (u >= 0.2) / 0.8):
            return "That rescales by 1 / (1 - p) as Child-Tuning-F does; equation 10.3 does not."
        if not np.allclose(given, ours(0.2)):
            return (
                f"{moved:.0%} of the weights move; {(u >= 0.2).mean():.0%} should, each by -lr g."
            )
        if not np.allclose(answer(w.copy(), g.copy(), u.copy(), 0.9, 0.1), ours(0.9)):
            return "Right for p = 0.2, not yet for p = 0.9."
        return ""

    task = (
        "Write a function of the weights w, their gradients g, uniform numbers u in [0, 1) (all of "
        "shape (n,)), the rate p and the learning rate lr that returns the weights after one step "
        "of plain SGD; a gradient is dropped where u is below p."
    )
    return Exercise("Exercise 1.", task, check)


def unfreezing_order() -> Exercise:
    """Chapter 10: hand out elements to epochs, without replacement."""

    def check(answer: Any) -> str:
        import numpy as np

        given = np.asarray(answer(1000, 4))
        if given.shape != (1000,) or given.dtype.kind not in "iu":
            return "It should be 1000 whole numbers, the epoch in which each element begins."
        counts = np.bincount(given.clip(0), minlength=4)
        if given.min() < 0 or given.max() > 3:
            return f"Epochs are 0 to 3, not {given.min()} to {given.max()}."
        if counts.max() - counts.min() > 1:
            held = ", ".join(map(str, counts))
            return f"Epochs get {held} elements: drawn without replacement they get equal shares."
        if (np.diff(given) >= 0).all() or (given == np.arange(1000) % 4).all():
            return "Equal shares, but in order: draw which element begins when."
        return ""

    task = (
        "Write a function of n and T that returns for each of n elements the epoch, 0 to T - 1, in "
        "which GradDrop-Epoch begins to train it: at random, and the same number in every epoch."
    )
    return Exercise("Exercise 2.", task, check)


def covariance_cosine() -> Exercise:
    """Chapter 8: write equation 8.2 for two layers."""

    def check(answer: Any) -> str:
        import numpy as np

        def ours(a: Any, b: Any) -> float:
            one, other = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
            return float((one * other).sum() / np.linalg.norm(one) / np.linalg.norm(other))

        rng = np.random.default_rng(8)
        a, b = rng.normal(size=(12, 4)) + 1.0, rng.normal(size=(20, 4)) * [1, 2, 3, 4]
        if not np.isclose(float(answer(a.copy(), a.copy())), 1.0):
            return "A layer and itself have 1: 8.2 is a similarity, though printed as a distance."
        given, about_zero = float(answer(a.copy(), b.copy())), (a.T @ a, b.T @ b)
        plain = (about_zero[0] * about_zero[1]).sum()
        plain /= np.linalg.norm(about_zero[0]) * np.linalg.norm(about_zero[1])
        if np.isclose(given, plain) and not np.isclose(given, ours(a, b)):
            return "That takes the mean for zero; subtract the mean unit first."
        if not np.isclose(given, ours(a, b), rtol=1e-9):
            return f"For 12 and 20 units of 4 inputs it gives {given:.4f}, not {ours(a, b):.4f}."
        return ""

    task = (
        "Write a function of a and b, layers of (units, inputs) with as many inputs, that returns "
        "the cosine between the covariances of their units, in the Frobenius inner product."
    )
    return Exercise("Exercise 1.", task, check)


def saving_rank() -> Exercise:
    """Chapter 8: the largest rank of two factors that are small enough."""

    def check(answer: Any) -> str:
        cases = (
            (768, 768, 0.5, 192),
            (3072, 768, 0.5, 307),
            (64, 576, 0.25, 14),
        )
        for m, n, share, wanted in cases:
            given = answer(m, n, share)
            if given == round(share * min(m, n)):
                return (
                    f"Rank {given} of {m} x {n} has {given * (m + n):,} numbers in its factors, "
                    f"which is not {share:.0%} of {m * n:,}."
                )
            if given != wanted:
                return f"For {m} x {n} and a share of {share:.0%} it is {wanted}, not {given}."
        return ""

    task = (
        "Write a function of m, n and share that returns the largest rank r for which an m x r and "
        "an r x n matrix together hold at most that share of the numbers of an m x n matrix."
    )
    return Exercise("Exercise 2.", task, check)
