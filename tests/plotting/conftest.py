"""Frames with the shape of chapter 11's records, made up but plausible."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from workbench.observations import Array
from workbench.plotting.words import METHODS, MODULES

sys.path.insert(0, str(Path(__file__).parent))

import fusion_frames as fusion  # noqa: E402
import tuning_frames as tuning  # noqa: E402

DENSITIES = (1.0, 0.74, 0.55, 0.41, 0.3, 0.22, 0.165, 0.12, 0.09, 0.067, 0.05)
SUBSETS = ("movies", "amazon", "tweets", "editorials")
LAYERS = 6
STRENGTH = {
    "none": 0.0, "random": 0.9, "magnitude": 0.36, "global magnitude": 0.3, "SDP-KLD": 0.24,
    "SDP-COS": 0.27, "SDP-CC": 0.2,
}  # fmt: skip


def scalars(
    methods: tuple[str, ...] = METHODS,
    seeds: tuple[int, ...] = (0, 1, 2),
    densities: tuple[float, ...] = DENSITIES,
    subsets: tuple[str, ...] = SUBSETS,
) -> pd.DataFrame:
    """A long frame as ``Store.scalars`` gives it."""
    rows: list[dict[str, Any]] = []
    for method in methods:
        for seed in seeds:
            rows += run_scalars(method, seed, densities, subsets)
    return pd.DataFrame(rows)


def run_scalars(
    method: str, seed: int, densities: tuple[float, ...], subsets: tuple[str, ...]
) -> list[dict[str, Any]]:
    rng = np.random.default_rng([seed, len(method), sum(map(ord, method))])
    run = {
        "method": method,
        "seed": seed,
        "task": "sentiment",
        "model": "minilm",
        "parallel_size": 20,
    }
    rows: list[dict[str, Any]] = []

    def say(step: int, name: str, value: float, **labels: str) -> None:
        rows.append({**run, "step": step, "name": name, "value": float(value), **labels})

    for step, target in enumerate(densities):
        density = 1.0 if method == "none" else target
        hurt = STRENGTH.get(method, 0.3) * (-np.log(density) / 3) ** 1.5
        say(step, "density", density, scope="prunable")
        say(step, "density", 0.52 + 0.48 * density, scope="all")
        for place, subset in enumerate(subsets):
            top = 0.78 - 0.02 * place
            value = 0.5 + (top - 0.5) * np.exp(-2.2 * hurt) + rng.normal(0, 0.008)
            say(step, "accuracy", value, split="test", phase="after", subset=subset)
            say(step, "f1", value - 0.01, split="test", phase="after", subset=subset)
        after = 0.5 + 0.28 * np.exp(-2.0 * hurt) + rng.normal(0, 0.006)
        phases = {"after": after}
        if step:
            phases["before"] = after - (0.02 + 0.3 * hurt) * rng.uniform(0.5, 1.0)
        for phase, value in phases.items():
            say(step, "accuracy", value, split="validation", phase=phase, subset=subsets[0])
            say(step, "agreement", 0.97 - 0.2 * hurt, split="validation", phase=phase)
        say(step, "snr", 1.5 - 0.4 * hurt + rng.normal(0, 0.01), phase="after")
        say(step, "cka", max(0.05, 0.98 - 0.7 * hurt + rng.normal(0, 0.01)), phase="after")
        for estimator, level in (("knn", 1.9), ("histogram", 2.6), ("infonce", 3.1)):
            told = {"phase": "after", "estimator": estimator}
            value = level * np.exp(-1.2 * hurt) + rng.normal(0, 0.03)
            say(step, "mutual_information", value, role="estimate", **told)
            say(step, "mutual_information", level * 1.25, role="ceiling", **told)
        for place, language in enumerate(subsets[1:]):
            told = {"phase": "after", "language": language}
            say(step, "retrieval", max(0.05, (0.9 - 0.1 * place) * np.exp(-2 * hurt)), **told)
            say(step, "language_cka", (0.8 - 0.1 * place) * np.exp(-hurt), **told)
        for form, far in (("cosine", 0.5), ("layer_cosine", 0.4), ("frobenius", 90.0)):
            say(step, "pretrained_distance", far * (1 - density) + 0.01, form=form)
        for layer in range(LAYERS):
            for place, module in enumerate(MODULES):
                where = {"layer": str(layer), "module": module}
                norm = (8 + 3 * place + 0.8 * layer) * np.sqrt(density) * rng.uniform(0.95, 1.05)
                say(step, "weight_norm", norm, **where)
                say(step, "gradient_norm", 0.02 * norm / (1 + layer), **where)
                tilt = 1 + (0.08 * (layer - 2.5) if method.startswith("global") else 0.0)
                say(step, "layer_density", min(1.0, density * tilt), **where)
        for update in range(1, 21 if step else 1):
            loss = 0.35 + hurt * (0.4 + np.exp(-update / 6)) + rng.normal(0, 0.03)
            say(step, "train_loss", loss, update=str(update))
    return rows


@dataclass
class FakeRecord:
    """What plotting reads of a record."""

    config: dict[str, Any]
    frame: pd.DataFrame
    held: list[Array] = field(default_factory=list)

    def scalars(self) -> pd.DataFrame:
        return self.frame

    def arrays(self, name: str | None = None, **labels: Any) -> list[Array]:
        return [a for a in self.held if a.name == name and labels.items() <= dict(a.labels).items()]


def record(method: str, seed: int = 0, classes: int = 2, texts: int = 240) -> FakeRecord:
    """A record with projections and histograms of eleven steps."""
    rng = np.random.default_rng([seed, len(method)])
    frame = pd.DataFrame(run_scalars(method, seed, DENSITIES, SUBSETS))
    frame = frame.drop(columns=["method", "seed", "task", "model", "parallel_size"])
    labels = rng.integers(0, classes, texts)
    centres = 3 * np.stack([np.cos(np.arange(classes) * 6.28 / classes),
                            np.sin(np.arange(classes) * 6.28 / classes)], axis=1)  # fmt: skip
    noise = rng.normal(size=(texts, 2))
    held = [Array(0, "classes", labels)]
    for step, target in enumerate(DENSITIES):
        density = 1.0 if method == "none" else target
        apart = density ** (0.6 * STRENGTH.get(method, 0.3))
        for kind in ("pca", "lda", "tsne"):
            values = (apart * centres[labels] + noise).astype("float32")
            held.append(Array(step, "projection", values, {"projection": kind}))
        for quantity, width in (("weight", 0.05), ("gradient", 0.002)):
            edges = np.linspace(-4 * width, 4 * width, 49)
            centre = (edges[1:] + edges[:-1]) / 2
            shape = np.exp(-0.5 * (centre / width) ** 2)
            shape *= 1 - (1 - density) * np.exp(-0.5 * (centre / (0.5 * width)) ** 2)
            counts = np.round(5000 * shape * density)
            counts = np.broadcast_to(counts, (LAYERS, len(MODULES), 48)).astype("float32")
            held.append(Array(step, f"{quantity}_histogram", counts))
            held.append(Array(step, f"{quantity}_edges", edges.astype("float32")))
    return FakeRecord({"method": method, "seed": seed}, frame, held)


REPORTED = pd.DataFrame(
    [
        ("none", 1.0, 84.06, ""),
        ("random", 0.1, 66.03, ""),
        ("magnitude", 0.1, 76.48, ""),
        ("global magnitude", 0.1, 77.16, "conflict"),
        ("LAMP", 0.1, 74.03, ""),
        ("SDP-COS", 0.1, 77.83, ""),
        ("SDP-KLD", 0.1, 78.34, ""),
        ("SDP-CC", 0.1, 78.90, ""),
    ],
    columns=["method", "density", "value", "mark"],
).assign(table="11.1", task="Score", metric="mean")


TUNED = ("standard", "GradDrop", "GradDrop-Epoch", "Layer-GradDrop", "GradFreeze-TopDown")


def of_tuning(name: str) -> bool:
    """Whether the figure ``name`` is drawn from chapter 10's records alone."""
    from workbench.plotting import FIGURES

    family = FIGURES[name]
    return "kept_share" in family.scalars or "update_histogram" in family.arrays


def of_fusion(name: str) -> bool:
    """Whether the figure ``name`` is drawn from chapter 8's records alone."""
    from workbench.plotting import FIGURES

    return "stored_share" in FIGURES[name].scalars or name == "fusion_before_after"


def tuned(method: str, seed: int = 0) -> FakeRecord:
    """A record of chapter 10 with masks and histograms."""
    frame = tuning.scalars(methods=(method,), seeds=(seed,))
    frame = frame.drop(columns=["method", "seed", "task", "model"])
    return FakeRecord({"method": method, "seed": seed}, frame, tuning.arrays(method, seed))


def fused(method: str, seed: int = 0) -> FakeRecord:
    """A record of chapter 8 with similarities or pairs."""
    frame = fusion.scalars(methods=(method,), seeds=(seed,))
    frame = frame.drop(columns=["method", "seed", "task", "model"])
    config = {"method": method, "seed": seed, "task": "made up", "model": "made up"}
    return FakeRecord(config, frame, fusion.arrays(method))


@pytest.fixture(scope="session")
def make() -> Any:
    """The builders above, for tests that need other seeds, methods or densities."""

    class Make:
        scalars = staticmethod(scalars)
        record = staticmethod(record)
        reported = REPORTED
        densities = DENSITIES
        tuning = staticmethod(tuning.scalars)
        tuned = staticmethod(tuned)
        fused = staticmethod(fused)

        @staticmethod
        def one_seed(name: str) -> pd.DataFrame:
            """Three methods of the chapter that the figure ``name`` is for, one seed."""
            if of_tuning(name):
                return tuning.scalars(methods=TUNED[:3], seeds=(4,), epochs=2)
            if of_fusion(name):
                return fusion.scalars(seeds=(4,), shares=(1.0, 0.5, 0.2))
            methods = ("none", "magnitude", "SDP-CC")
            return scalars(methods=methods, seeds=(4,), densities=(1.0, 0.5, 0.05))

    return Make


@pytest.fixture(scope="session")
def data() -> pd.DataFrame:
    """Seven methods, three seeds, eleven densities, four domains."""
    return scalars()


CLAIMS = pd.DataFrame(
    [
        (f"{m} does more.", "11.5", quantity, m, against, task, *interval, "at 31%")
        for quantity in ("score", "snr", "recovery")
        for m, against, interval in (
            ("SDP-KLD", "magnitude", (0.02, 0.01, 0.03, 6, "shows")),
            ("SDP-CC", "magnitude", (-0.02, -0.03, -0.01, 6, "reversed")),
            ("SDP-CC", "global magnitude", (0.01, float("-inf"), float("inf"), 1, "undecided")),
        )
        for task in ("sentiment", "all")
    ],
    columns=["claim", "where", "quantity", "method", "against", "task", "mean", "low", "high",
             "pairs", "verdict", "when"],
)  # fmt: skip


@pytest.fixture(scope="session")
def inputs(data: pd.DataFrame) -> dict[str, tuple[pd.DataFrame, dict[str, Any]]]:
    """For every figure its data and the options it cannot do without."""
    from workbench.plotting import FIGURES, gather

    records = [record(method, texts=80) for method in ("none", "magnitude", "SDP-CC")]
    out: dict[str, tuple[pd.DataFrame, dict[str, Any]]] = {}
    epochs = tuning.scalars(methods=TUNED, seeds=(0, 1, 2))
    for name, family in FIGURES.items():
        if family.data == "claims":
            out[name] = (CLAIMS, {})
            continue
        if of_tuning(name):
            held = [tuned(method) for method in TUNED[:3]] if family.data != "scalars" else []
            out[name] = (gather(name, None, held) if held else epochs, {})
            continue
        if of_fusion(name):
            held = [fused(method) for method in ("none", "LF mean (WS)")]
            if name == "fusion_before_after":
                out[name] = (fusion.both_sides(), {"costs": {"stored_bytes": (91_000, 62_000)}})
                continue
            frame = fusion.scalars() if family.data == "scalars" else gather(name, None, held)
            out[name] = (frame, {})
            continue
        frame = data if family.data == "scalars" else gather(name, None, records)
        out[name] = (frame, {})
    out["difference"] = (data, {"left": "magnitude", "right": "SDP-CC"})
    out["reported"] = (data, {"reported": REPORTED})
    return out


@pytest.fixture(scope="session")
def runs() -> pd.DataFrame:
    """Four methods, five seeds, six epochs, seven languages of fine-tuning; one run has failed."""
    return tuning.scalars(methods=tuning.METHODS)
