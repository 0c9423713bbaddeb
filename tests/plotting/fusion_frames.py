"""Frames and records with the shape of chapter 8's, made up but plausible."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from workbench.observations import Array

SHARES = (1.0, 0.9, 0.75, 0.6, 0.5, 0.35, 0.25, 0.15)
FUSING = {
    "LF mean (WS)": 0.3, "LF freeze (WS)": 0.36, "LF mix (WS)": 0.42, "LF transport (WS)": 0.27,
    "LF adjacent (WS)": 0.33, "LF mean (CA)": 0.31, "LF mean (ED)": 0.35, "LF mean (KL)": 0.38,
    "LF mean (random)": 0.5,
}  # fmt: skip
BASELINES = {
    "layer pruning": 0.2, "global pruning": 0.14, "k-means": 0.1, "SVD": 0.33, "autoencoder": 0.4,
    "student rollout": 0.29, "layer removal": 0.47, "LayerDrop": 0.55,
}  # fmt: skip
QUICKER = ("SVD", "autoencoder", "student rollout", "layer removal", "LayerDrop")
STRENGTH = {"none": 0.0, **FUSING, **BASELINES}
METHODS = ("none", "LF mean (WS)", "LF mean (CA)", "layer pruning", "SVD")
"""Those that most tests draw."""
MODULES = ("query", "key", "value", "attention output", "intermediate")
DISTANCES = {"bures_wasserstein": 8.0, "euclidean": 40.0, "gaussian_kl": 60.0}
SIMILARITIES = ("covariance_cosine",)


def scalars(
    methods: tuple[str, ...] = METHODS,
    seeds: tuple[int, ...] = (0, 1, 2),
    metric: str = "accuracy",
    shares: tuple[float, ...] = SHARES,
) -> pd.DataFrame:
    """A long frame as ``Store.scalars`` gives it."""
    rows: list[dict[str, Any]] = []
    for method in methods:
        for seed in seeds:
            rows += run_scalars(method, seed, metric, shares)
    return pd.DataFrame(rows)


def run_scalars(
    method: str, seed: int, metric: str, shares: tuple[float, ...]
) -> list[dict[str, Any]]:
    rng = np.random.default_rng([seed, len(method), sum(map(ord, method))])
    run = {
        "method": method, "seed": seed, "task": "made up", "model": "made up",
        "compression": "fusion" if method in FUSING else method,
    }  # fmt: skip
    rows: list[dict[str, Any]] = []

    def say(step: int, name: str, value: float, **labels: str) -> None:
        rows.append({**run, "step": step, "name": name, "value": float(value), **labels})

    for step, target in enumerate(shares):
        share = 1.0 if method == "none" or step == 0 else target * rng.uniform(0.97, 1.0)
        lost = -np.log2(share)
        hurt = STRENGTH.get(method, 0.3) * (0.35 * lost + 0.9 * max(0.0, lost - 0.7) ** 2)
        for phase, eased in (("one_shot", 1.0), ("before", 0.6), ("after", 0.35)):
            for split in ("validation", "test"):
                if phase == "before" and (split == "test" or step == 0):
                    continue
                noise = rng.normal(0, 0.006)
                if metric == "perplexity":
                    value = 24 * np.exp(min(4.2 * eased * hurt, 7.5) + noise)
                else:
                    value = 0.1 + 0.72 * np.exp(-1.6 * eased * hurt) + noise
                say(step, metric, value, split=split, phase=phase)
            if phase != "before":
                say(step, "stored_share", share, scope="compressible", phase=phase)
                say(step, "stored_share", 0.1 + 0.9 * share, scope="all", phase=phase)
        say(step, "multiply_adds", 4e7 * (share if method in QUICKER else 1))
        quick = 0.3 + 0.7 * share if method in QUICKER else 1.0
        say(step, "seconds_per_batch", 0.12 * quick * rng.uniform(0.96, 1.06), rows="8")
    return rows


def matrix(measure: str, module: str, layers: int = 12, seed: int = 0) -> np.ndarray:
    """A matrix (layers, layers): neighbours are close, and both ends lie apart."""
    place = MODULES.index(module) if module in MODULES else 5
    noise = np.random.default_rng([seed, place]).normal(0, 0.35, (layers, layers))
    depth = np.linspace(0, 3, layers)
    bend = 1.2 * np.exp(-3 * depth) + 0.5 * np.exp(-6 * (3 - depth))
    far = np.abs(depth[:, None] - depth) + np.abs(bend[:, None] - bend) + 0.6
    far = far * (1 + 0.12 * place) * np.exp(0.5 * (noise + noise.T))
    if measure == "gaussian_kl":
        far = far**1.6 * np.where(np.arange(layers)[:, None] > np.arange(layers), 1.3, 1.0)
    np.fill_diagonal(far, 0)
    if measure in SIMILARITIES:
        return np.exp(-0.5 * far)
    return DISTANCES.get(measure, 5.0) * far / 3


def names_of(module: str, layers: int = 12) -> list[str]:
    """Names of a type's layers in an encoder."""
    inner = {"query": "self.query", "key": "self.key", "value": "self.value"}
    kind = inner.get(module, "output.dense")
    return [f"encoder.layer.{i}.attention.{kind}.weight" for i in range(layers)]


def arrays(method: str, layers: int = 12) -> list[Array]:
    """Of the control the similarities, of a fusing run the pairs at two steps."""
    held = []
    for module in MODULES:
        named = {"module": module, "names": ",".join(names_of(module, layers))}
        if method == "none":
            for measure in (*DISTANCES, *SIMILARITIES):
                values = matrix(measure, module, layers)
                held.append(Array(0, "similarity", values, {"measure": measure, **named}))
        elif method in FUSING:
            for step, count in ((1, 2), (2, 4)):
                pairs = np.array(closest(module, count, layers))
                held.append(Array(step, "pairs", pairs, named))
    return held


def closest(module: str, count: int, layers: int = 12) -> list[tuple[int, int]]:
    """The closest pairs by the Bures-Wasserstein distance."""
    far = matrix("bures_wasserstein", module, layers) + 1e9 * np.tri(layers)
    order = np.argsort(far, axis=None)[:count]
    return [(int(place // layers), int(place % layers)) for place in order]


def both_sides(layers: int = 12, count: int = 4) -> pd.DataFrame:
    """Similarities before and after the closest pairs of queries and keys were fused."""
    from workbench.plotting.points import similarity_frame

    parts = []
    for when in ("before", "after"):
        matrices = {}
        for module in MODULES[:2]:
            pairs = closest(module, count, layers)
            for measure in ("bures_wasserstein", "covariance_cosine"):
                values = matrix(measure, module, layers)
                for i, j in pairs if when == "after" else ():
                    mean = (values[i] + values[j]) / 2
                    values[[i, j]], values[:, [i, j]] = mean, mean[:, None]
                for i, j in [*pairs, *((i, i) for i in range(layers))]:
                    if when == "after" or i == j:
                        values[i, j] = values[j, i] = measure in SIMILARITIES
                matrices[measure, module] = (names_of(module, layers), values)
        fused = {module: closest(module, count, layers) for module in MODULES[:2]}
        frame = similarity_frame(matrices, pairs=fused, method="LF mean (WS)")
        parts.append(frame.assign(when=when))
    return pd.concat(parts, ignore_index=True)
