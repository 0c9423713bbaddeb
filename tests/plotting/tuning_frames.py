"""Frames and records with the shape of chapter 10's, made up but plausible."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from workbench.observations import Array
from workbench.plotting import style
from workbench.plotting.words import MODULES, TUNING

METHODS = ("standard", "GradDrop", "Layer-GradDrop", "GradFreeze-TopDown")
"""Those that most tests draw."""
EPOCHS, LAYERS, ELEMENTS = 6, 4, 48
LANGUAGES = ("en", "de", "zh", "ar", "tr", "ur", "sw")
GAIN = {"standard": 0.0, "no dropout": -0.01, "head only": -0.15, "GradDrop": 0.012,
        "Layer-GradDrop": 0.025, "GradDrop-Epoch": 0.018, "GradFreeze-TopDown": -0.008}  # fmt: skip
MASKED = tuple(m for m in TUNING if m.startswith(("Grad", "Anneal", "Layer", "Child")))


def scalars(
    methods: tuple[str, ...] = TUNING,
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4),
    languages: tuple[str, ...] = LANGUAGES,
    epochs: int = EPOCHS,
    layers: int = LAYERS,
) -> pd.DataFrame:
    """A long frame as ``Store.scalars`` gives it; GradFreeze-TopDown's seed 1 has failed."""
    rows: list[dict[str, Any]] = []
    for method in methods:
        for seed in seeds:
            rows += run_scalars(method, seed, languages, epochs, layers)
    return pd.DataFrame(rows)


def run_scalars(
    method: str, seed: int, languages: tuple[str, ...], epochs: int, layers: int
) -> list[dict[str, Any]]:
    rng = np.random.default_rng([seed, len(method), sum(map(ord, method))])
    run = {"method": method, "seed": seed, "task": "emoji_names", "model": "minilm"}
    rows: list[dict[str, Any]] = []

    def say(step: int, name: str, value: float, **labels: str) -> None:
        rows.append({**run, "step": step, "name": name, "value": float(value), **labels})

    failed = method == "GradFreeze-TopDown" and seed == 1
    offset = rng.normal(0, 0.008)
    for split in ("validation", "test"):
        for language in languages if split == "test" else languages[:1]:
            say(0, "majority_share", 0.2, split=split, subset=language)
    say(0, "parameters", 1_000_000, scope="trained")
    say(0, "parameters", 4_000_000, scope="all")
    for step in range(epochs + 1):
        learned = 0.0 if failed else 1 - np.exp(-1.1 * step)
        for split in ("validation", "test"):
            for place, language in enumerate(languages if split == "test" else languages[:1]):
                told = {"split": split, "subset": language, "phase": "after"}
                far = place / len(languages)
                top = 0.82 - 0.3 * far + GAIN.get(method, 0.0) * (1 + 1.5 * far) + offset
                value = 0.2 + (top - 0.2) * learned - 0.01 * max(0, step - 3) * far
                value += 0 if failed else rng.normal(0, 0.006)
                say(step, "accuracy", value, **told)
                say(step, "f1", value - 0.02, **told)
                say(step, "calibration_error", 0.05 + 0.02 * step, **told)
        measured = step in (0, 2, 4, epochs)
        if step:
            kept = 1.0 if method not in MASKED else min(1.0, 0.6 + 0.08 * step)
            say(step, "kept_share", kept)
            say(step, "updated", 900_000 * kept, scope="epoch")
            say(step, "updated", 1_000_000 * (1 - 0.5 * (1 - kept) ** step), scope="run")
            for update in range(1, 11):
                loss = 1.6 * np.exp(-0.5 * (step - 1) - 0.05 * update) + rng.normal(0, 0.03)
                say(step, "train_loss", loss, update=str(10 * (step - 1) + update))
        if measured:
            say(step, "noise_scale", 40 * np.exp(0.4 * step) * rng.uniform(0.7, 1.4))
        if step in (0, epochs):
            say(step, "sharpness", 30 + 8 * step * (1 - GAIN.get(method, 0)) + rng.normal(0, 3))
        for layer in range(layers if measured else 0):
            for place, module in enumerate(MODULES):
                where = {"layer": str(layer), "module": module}
                norm = (1 + 0.3 * place + 0.2 * layer) * rng.uniform(0.95, 1.05)
                say(step, "gradient_norm", norm * np.exp(-0.3 * step), **where)
                if step:
                    say(step, "update_norm", 0.4 * norm / step, **where)
                    say(step, "distance", 0.3 * norm * np.sqrt(step), **where)
    return rows


def arrays(method: str, seed: int = 0, epochs: int = EPOCHS, layers: int = LAYERS) -> list[Array]:
    """Histograms of the measured epochs, and the masks of every epoch where there are any."""
    rng = np.random.default_rng([seed, len(method)])
    held: list[Array] = []
    for step in (0, 2, 4, epochs):
        for quantity, width in (("gradient", 0.002), ("update", 0.0005)):
            if quantity == "update" and step == 0:
                continue
            edges = np.linspace(-4 * width, 4 * width, 33)
            centre = (edges[1:] + edges[:-1]) / 2
            counts = 4000 * np.exp(-0.5 * (centre * (1 + 0.2 * step) / width) ** 2)
            counts = np.broadcast_to(counts, (layers, len(MODULES), 32)).astype("float32")
            held.append(Array(step, f"{quantity}_histogram", counts))
            held.append(Array(step, f"{quantity}_edges", edges.astype("float32")))
    if method not in MASKED:
        return held
    turn = rng.integers(1, epochs + 1, (layers, ELEMENTS))  # the epoch of each element
    whole = np.arange(layers)[:, None] + np.zeros((1, ELEMENTS), int)
    for step in range(1, epochs + 1):
        if method == "GradDrop-Epoch-Toggle":
            kept = turn == step
        elif method.startswith("GradDrop-Epoch"):
            kept = turn <= step
        elif method == "GradFreeze-TopDown":
            kept = whole >= layers - step
        elif method == "GradFreeze-BottomUp":
            kept = whole < step
        elif "Layer" in method:
            kept = np.broadcast_to(rng.random((layers, 1)) > 0.2, turn.shape)
        else:
            kept = rng.random(turn.shape) > 0.2
        held.append(Array(step, "mask", kept.astype("int8")))
    return held


def line(ax: Any, method: str, methods: Any = METHODS) -> Any:
    mark = style.method_marks(methods)[method]
    return next(
        ln for ln in ax.lines
        if ln.get_color() == mark.color and len(ln.get_xdata()) > 1
    )  # fmt: skip


def note(figure: Any) -> str:
    return figure._supxlabel.get_text().replace("\n", " ")


def final(runs: pd.DataFrame, language: str | None = None) -> pd.Series:
    """Test accuracy after the last epoch by method and seed."""
    rows = runs[(runs["name"] == "accuracy") & (runs["split"] == "test") & (runs["step"] == 6)]
    rows = rows[rows["subset"] == language if language else rows["subset"] != "en"]
    return rows.groupby(["method", "seed"])["value"].mean()
