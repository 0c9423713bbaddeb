"""Two-dimensional views of representations whose axes stay comparable from step to step.

Each step gets its own best view (its principal components, its discriminants, its t-SNE map), and
is then turned and mirrored as a whole to lie as near as it can to the step before. Distances
within a step are untouched, and a class keeps its side of the picture. (Projecting all steps on
the first step's axes would instead show how far the representation has drifted from them, and
would call a network that separates the classes along new axes unseparated.)
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, get_args

import numpy as np

from workbench.metrics._inputs import as_labels, as_matrix

Method = Literal["pca", "lda", "tsne"]
METHODS: tuple[Method, ...] = get_args(Method)


class Projector:
    """Projects one step after another, each aligned to the one before.

    Equal inputs in equal order give equal outputs. ``previous`` (n, 2) is the whole state: keep
    it in a checkpoint and pass it to a new projector to go on.

    - ``pca``: the first two principal components, about their mean.
    - ``lda``: the first two discriminants, in units of the spread within the classes; with two
      classes, the discriminant and the main direction left beside it. Fitted on the very
      samples it shows, LDA separates even noise when features are many, so it sees at most one
      principal component per 10 samples, and shrinks (Ledoit-Wolf). Where every class is a
      point, the principal components are shown.
    - ``tsne``: van der Maaten and Hinton (2008), started from the previous map (the first from
      principal components), perplexity 30 or a third of the samples if that is less. Distances
      between far clusters mean nothing.

    A side that is the same for all samples projects to zeros. Raises ``ValueError`` for an unknown
    method, fewer than 4 samples, another number of samples than before, one class for ``lda``,
    NaN or infinity.
    """

    def __init__(self, method: Method = "pca", *, seed: int = 0, previous: Any = None) -> None:
        if method not in METHODS:
            raise ValueError(f"method={method!r}; allowed are {', '.join(METHODS)}.")
        self.method = method
        self.seed = seed
        self.previous = None if previous is None else as_matrix(previous, "previous")
        if self.previous is not None and self.previous.shape[1] != 2:
            raise ValueError(f"previous has shape {self.previous.shape}; it must be (samples, 2).")

    def add(self, z: Any, labels: Any = None) -> np.ndarray:
        """The view (n, 2) of ``z`` (n, features); ``labels`` (n,) are needed by ``lda`` only."""
        z = as_matrix(z, least=4)
        if self.previous is not None and len(self.previous) != len(z):
            raise ValueError(
                f"z has {len(z)} samples, the step before had {len(self.previous)}; views are "
                "aligned sample by sample. Start a new Projector for other samples."
            )
        centred = z - z.mean(axis=0)
        if self.method == "lda":
            if labels is None:
                raise ValueError("lda needs labels: pass one class per sample, or use pca.")
            index, values = as_labels(labels, len(z))
        if np.linalg.norm(centred) <= 1e-12 * np.linalg.norm(z):
            view, turn = np.zeros((len(z), 2)), True
        elif self.method == "pca":
            view, turn = _principal(centred, 2), True
        elif self.method == "lda":
            view, turn = _discriminants(centred, index), len(values) > 2
        else:
            view, turn = _neighbour_map(centred, self.previous, self.seed), True
        if self.previous is not None:
            view = _aligned(view, self.previous, turn)
        self.previous = view
        return view.copy()


def project(
    zs: Iterable[Any], labels: Any = None, method: Method = "pca", *, seed: int = 0
) -> list[np.ndarray]:
    """The views (n, 2) of several steps ``zs``, each (n, features) of the same samples, aligned."""
    projector = Projector(method, seed=seed)
    return [projector.add(z, labels) for z in zs]


def _principal(centred: np.ndarray, count: int) -> np.ndarray:
    """Scores (n, count) of the leading components, each with its largest loading positive."""
    left, values, right = np.linalg.svd(centred, full_matrices=False)
    largest = np.abs(right).argmax(axis=1)
    signs = np.where(right[np.arange(len(right)), largest] < 0, -1.0, 1.0)
    scores = (left * values * signs)[:, :count]
    missing = count - scores.shape[1]
    return np.pad(scores, ((0, 0), (0, missing)))


def _discriminants(centred: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Two discriminants, or with two classes one and the main direction beside it.

    Directions that maximise the scatter between over the shrunk scatter within the classes.
    """
    from scipy.linalg import eigh
    from sklearn.covariance import ledoit_wolf

    count = max(2, min(centred.shape[1], len(centred) // 10))
    reduced = _principal(centred, count)
    spread = reduced.std(axis=0)
    reduced = reduced[:, spread > 1e-9 * spread.max()] / spread.max()
    member = np.eye(index.max() + 1)[index]
    means = (member.T @ reduced) / member.sum(axis=0)[:, None]
    apart = reduced - means[index]
    if reduced.shape[1] == 1 or np.linalg.norm(apart) <= 1e-9 * np.linalg.norm(reduced):
        return _principal(centred, 2)  # one direction is all there is, or classes are points
    within = ledoit_wolf(apart, assume_centered=True)[0]
    between = means[index].T @ means[index] / len(reduced)
    axes = eigh(between, within)[1][:, ::-1][:, : min(2, len(means) - 1)]
    axes *= np.where(axes[np.abs(axes).argmax(axis=0), range(axes.shape[1])] < 0, -1.0, 1.0)
    view = reduced @ axes
    if view.shape[1] == 1:
        axis = axes[:, 0] / np.linalg.norm(axes[:, 0])
        beside = _principal(reduced - np.outer(reduced @ axis, axis), 1)
        view = np.hstack([view, beside * (view.std() / beside.std())])
    return view


def _neighbour_map(centred: np.ndarray, previous: np.ndarray | None, seed: int) -> np.ndarray:
    """t-SNE map, started from the previous one at the small scale that t-SNE starts from."""
    from sklearn.manifold import TSNE

    start = previous
    if start is None or start.std() == 0:
        start = _principal(centred, 2)
    start = (start / start.std() * 1e-4).astype(np.float32)
    perplexity = min(30.0, max(1.0, (len(centred) - 1) / 3))
    tsne = TSNE(perplexity=perplexity, init=start, random_state=seed, max_iter=500)
    scale = np.abs(centred).max()
    view = tsne.fit_transform(_principal(centred, min(50, *centred.shape)) / scale)
    return view.astype(np.float64) - view.mean(axis=0)


def _aligned(view: np.ndarray, previous: np.ndarray, turn: bool) -> np.ndarray:
    """``view`` rotated and mirrored (or, without ``turn``, only mirrored) towards ``previous``."""
    cross = view.T @ (previous - previous.mean(axis=0))
    if not turn:
        return view * np.where(np.diag(cross) < 0, -1.0, 1.0)
    if not cross.any():
        return view
    left, _, right = np.linalg.svd(cross)  # orthogonal Procrustes
    return view @ (left @ right)
