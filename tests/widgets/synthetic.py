"""A store of made-up records with the shape of chapter 11's, written in a moment."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from workbench.experiments.self_distilled_pruning import METHODS, SelfDistilledPruning
from workbench.observations import Array, Checkpoint, Observation, Progress, Scalar
from workbench.records import Store

MODULES = ("query", "key", "value", "attention output", "intermediate", "output")
SUBSETS = ("movies", "books", "electronics")


@dataclass(frozen=True)
class MadeUp(SelfDistilledPruning):
    """Chapter 11's experiment with invented numbers; no model, no data."""

    def data(self) -> dict[str, str]:
        return {"task": "made up", "model": "made up"}

    def requirements(self) -> dict[str, Any]:
        return {}

    def densities(self) -> tuple[float, ...]:
        if self.criterion == "none":
            return (1.0,) * (self.pruning_steps + 1)
        share = self.final_density ** (1 / self.pruning_steps)
        return tuple(share**k for k in range(self.pruning_steps + 1))

    def run(self, resume: Checkpoint | None = None, **_: Any) -> Iterator[Observation]:
        rng = np.random.default_rng(self.seed)
        place = [*METHODS].index(self.method) if self.method in METHODS else 0
        labels = np.arange(40) % 2
        yield Array(0, "classes", labels)
        for step, density in enumerate(self.densities()):
            score = 0.9 - (1 - density) ** 6 * (0.35 - 0.03 * place)
            yield from self._step(step, density, score, rng)
            spread = np.stack([labels * 4.0 * density, np.zeros(40)], axis=1)
            yield Array(
                step, "projection", spread + rng.normal(size=(40, 2)), {"projection": "pca"}
            )
            yield Checkpoint(step, {"step": np.array([step])})
            yield Progress(step, self.pruning_steps, f"pruning step {step}")

    def _step(
        self, step: int, density: float, score: float, rng: np.random.Generator
    ) -> Iterator[Scalar]:
        for scope in ("prunable", "all"):
            yield Scalar(step, "density", density, {"scope": scope})
        phases = ("after",) if step == 0 else ("before", "after")
        for phase in phases:
            told = {"split": "validation", "subset": "movies", "phase": phase}
            value = score - (0.1 if phase == "before" else 0) + 0.01 * rng.normal()
            yield Scalar(step, "accuracy", value, told)
        for place, subset in enumerate(SUBSETS):
            told = {"split": "test", "subset": subset, "phase": "after"}
            yield Scalar(step, "accuracy", score - 0.03 * place + 0.01 * rng.normal(), told)
            yield Scalar(step, "f1", score - 0.05 * place + 0.01 * rng.normal(), told)
        for name in ("snr", "cka"):
            yield Scalar(step, name, score + rng.normal() * 0.02, {"phase": "after"})
        for estimator in ("knn", "histogram", "infonce"):
            for role in ("estimate", "ceiling"):
                told = {"estimator": estimator, "role": role, "phase": "after"}
                yield Scalar(step, "mutual_information", score + (role == "ceiling"), told)
        for layer in range(2):
            for module in MODULES:
                told = {"layer": str(layer), "module": module}
                yield Scalar(step, "weight_norm", 10 * density + layer + rng.random(), told)
                yield Scalar(step, "layer_density", density, told)
        for update in range(1, 4):
            yield Scalar(step, "train_loss", 1 / (step + update), {"update": str(update)})


@dataclass(frozen=True)
class Slow(MadeUp):
    """The same, a minute in its smoke profile: time to watch and cancel it. Resumed, it hurries."""

    def run(self, resume: Checkpoint | None = None, **_: Any) -> Iterator[Observation]:
        done = resume.step + 1 if resume is not None else 0
        total = 60 * (self.pruning_steps + 1)
        for observation in super().run():
            if isinstance(observation, Checkpoint):
                if observation.step >= done:
                    pause = 0.02 if resume is not None else 0.5 if observation.step else 0.1
                    yield from self._work(observation.step, total, pause)
            if not isinstance(observation, Progress) and observation.step >= done:
                yield observation

    def _work(self, step: int, total: int, pause: float) -> Iterator[Progress]:
        for part in range(60):
            time.sleep(pause)
            yield Progress(60 * step + part + 1, total, f"pruning step {step}")


def make_store(path: Path, seeds: int = 2, **changes: Any) -> Store:
    """Finished records of all seven methods in a new store at ``path``."""
    store = Store(path)
    for method, fields in METHODS.items():
        for seed in range(seeds):
            settings = {**fields, "pruning_steps": 4, "seed": seed, **changes}
            made = MadeUp(**settings)
            assert made.method == method
            store.collect(made)
    return store
