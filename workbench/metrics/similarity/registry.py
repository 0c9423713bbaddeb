"""What the measures are called, what they need and what leaves them unchanged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from workbench.metrics.similarity import (
    bures,
    covariances,
    gaussians,
    histograms,
    kernels,
    orthogonal,
    riemannian,
    transport,
    vectors,
)


class Measure(NamedTuple):
    """A measure of two layers.

    ``kind`` says whether pairs are ranked by the largest ("similarity") or the smallest value.

    ``needs`` is "weights" (units x inputs, of layers) or "activations" (samples x features).

    ``invariances``: what may be done to generic layers without changing the value.

    - "permutation": another order of the units of either layer (features, for activations);
    - "joint rotation": one rotation or reflection of the inputs of both layers;
    - "rotation": one of the features of either side alone;
    - "joint affine": one invertible map of the inputs of both layers (if nothing is shrunk);
    - "joint scale": one positive factor for both; "scale": one for either alone;
    - "shift": the same vector added to all units (samples) of either.

    ``metric``: zero on itself, symmetric, and the triangle inequality holds (for the value that
    its default options give).

    ``symmetric``: the order of the two layers does not matter.

    ``prepare`` and ``compare`` are the function in two steps, so that a matrix of all pairs
    prepares each layer once.
    """

    function: Callable[..., float]
    kind: Literal["similarity", "distance"]
    needs: Literal["weights", "activations"]
    invariances: frozenset[str]
    metric: bool = True
    symmetric: bool = True
    prepare: Callable[..., Any] | None = None
    compare: Callable[..., float] | None = None


def _measure(
    function: Callable[..., float],
    invariances: str,
    kind: Literal["similarity", "distance"] = "distance",
    needs: Literal["weights", "activations"] = "weights",
    **rest: Any,
) -> Measure:
    named = frozenset(part for part in invariances.split(", ") if part)
    # What may be done to either layer alone may be done to both.
    implied = {"scale": "joint scale", "rotation": "joint rotation", "joint affine": "joint scale"}
    return Measure(
        function, kind, needs, named | {implied[n] for n in named & set(implied)}, **rest
    )


_GAUSSIAN = "permutation, joint rotation, joint affine, shift"
_ACTIVATIONS = "permutation, rotation, scale, shift"

MEASURES: dict[str, Measure] = {
    "euclidean": _measure(vectors.euclidean, "joint rotation"),
    "cosine": _measure(vectors.cosine, "joint rotation, scale", kind="similarity", metric=False),
    "covariance_cosine": _measure(
        covariances.covariance_cosine,
        "permutation, joint rotation, scale, shift",
        kind="similarity",
        metric=False,
        prepare=covariances.prepare,
        compare=covariances.compare,
    ),
    "block_covariance": _measure(
        covariances.block_covariance, "scale, shift", kind="similarity", metric=False
    ),
    "gaussian_kl": _measure(
        gaussians.gaussian_kl,
        _GAUSSIAN,
        metric=False,
        symmetric=False,
        prepare=gaussians.prepare,
        compare=gaussians.compare_kl,
    ),
    "symmetrised_kl": _measure(
        gaussians.symmetrised_kl,
        _GAUSSIAN,
        metric=False,
        prepare=gaussians.prepare,
        compare=gaussians.compare_symmetrised,
    ),
    "gaussian_jensen_shannon": _measure(
        gaussians.gaussian_jensen_shannon,
        _GAUSSIAN,
        metric=False,
        prepare=gaussians.prepare,
        compare=gaussians.compare_jensen_shannon,
    ),
    "jensen_shannon": _measure(histograms.jensen_shannon, "permutation, joint scale", metric=False),
    "hellinger": _measure(gaussians.hellinger, "permutation, shift"),
    "wasserstein": _measure(transport.wasserstein, "permutation, joint rotation"),
    "sliced_wasserstein": _measure(transport.sliced_wasserstein, "permutation"),
    "centroid_wasserstein": _measure(
        transport.centroid_wasserstein,
        "permutation",
        prepare=transport.prepare_centroids,
        compare=transport.compare_centroids,
    ),
    "bures_wasserstein": _measure(
        bures.bures_wasserstein,
        "permutation, joint rotation",
        prepare=bures.prepare,
        compare=bures.compare,
    ),
    "affine_invariant": _measure(
        riemannian.affine_invariant,
        _GAUSSIAN,
        prepare=gaussians.prepare,
        compare=riemannian.compare_affine,
    ),
    "log_euclidean": _measure(
        riemannian.log_euclidean,
        "permutation, joint rotation, joint scale, shift",
        prepare=riemannian.prepare_log,
        compare=riemannian.compare_log,
    ),
    "cka": _measure(
        kernels.cka, _ACTIVATIONS, kind="similarity", needs="activations", metric=False
    ),
    "rbf_cka": _measure(
        kernels.rbf_cka, _ACTIVATIONS, kind="similarity", needs="activations", metric=False
    ),
    "procrustes": _measure(orthogonal.procrustes, _ACTIVATIONS, needs="activations"),
}
"""Name -> measure. A new one is a function of two matrices and a line here."""


def measure_of(measure: str | Callable[..., float]) -> Measure:
    """The entry of a name or of one of the functions; any other function is taken at its word.

    Raises ``ValueError`` for an unknown name.
    """
    if isinstance(measure, str):
        if measure not in MEASURES:
            raise ValueError(
                f"measure={measure!r}; allowed are {', '.join(sorted(MEASURES))}, or a function "
                "of two matrices."
            )
        return MEASURES[measure]
    known = (entry for entry in MEASURES.values() if entry.function is measure)
    unknown = Measure(measure, "distance", "weights", frozenset(), metric=False, symmetric=False)
    return next(known, unknown)


def function_of(measure: str | Callable[..., float]) -> Callable[..., float]:
    """The function of a name, or the function itself; ``ValueError`` for an unknown name."""
    return measure_of(measure).function
