"""Chapter 10: what happens to fine-tuning when gradients are dropped.

A multilingual encoder is fine-tuned on English and tested in every language of the task, epoch by
epoch. The methods differ in which gradients reach the optimizer, or in what trains at all; data,
order of batches and number of updates are the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from workbench.experiments.base import setting
from workbench.experiments.named_methods import NamedMethods
from workbench.experiments.text import THESIS_SIZE, TextExperiment
from workbench.observations import Checkpoint, Observation

Fields = Mapping[str, Any]
THESIS_RATE = 0.2


def _dropped(granularity: str, schedule: str, **more: Any) -> Fields:
    kind = {"tuning": "gradient dropout", "granularity": granularity, "schedule": schedule}
    return {**kind, "mask": "gradient", "rescale": False, "dropout": 0.0, **more}


METHODS: Mapping[str, Fields] = {
    "standard": {"tuning": "full", "dropout": THESIS_RATE},
    "no dropout": {"tuning": "full", "dropout": 0.0},
    "head only": {"tuning": "head", "dropout": 0.0, "faster": 30.0},
    "GradDrop": _dropped("element", "constant", p=THESIS_RATE),
    "Anneal-GradDrop": _dropped("element", "anneal", p=0.9),
    "Layer-GradDrop": _dropped("layer", "constant", p=THESIS_RATE),
    "Anneal-Layer-GradDrop": _dropped("layer", "anneal", p=0.9),
    "GradDrop-Epoch": _dropped("element", "epoch"),
    "GradDrop-Epoch-Toggle": _dropped("element", "epoch-toggle"),
    "GradFreeze-TopDown": _dropped("layer", "top-down"),
    "GradFreeze-BottomUp": _dropped("layer", "bottom-up"),
    "GradDrop (update)": _dropped("element", "constant", p=THESIS_RATE, mask="update"),
    "GradDrop-Epoch (update)": _dropped("element", "epoch", mask="update"),
    "Child-Tuning-F": _dropped("element", "constant", p=0.7, rescale=True),
    "Mixout": {"tuning": "mixout", "dropout": 0.0, "p": 0.7},
    "LoRA": {"tuning": "lora", "dropout": 0.0, "faster": 10.0, "rank": 8},
    "IA3": {"tuning": "ia3", "dropout": 0.0, "faster": 30.0},
    "layer-wise decay": {"tuning": "layer-wise decay", "dropout": 0.0, "layer_decay": 0.9},
}
"""The methods of section 10.3.4, their controls, and what users would pick instead.

Two controls: *standard* has dropout at the rate at which the others drop gradients, as the thesis
has it; *no dropout* has none, as all other methods here, so that what dropping gradients does and
what leaving out dropout does can be told apart.
"""

FEW_SHOT = dict(
    task="emoji_names",
    model="e5-small",
    train_size=160,
    eval_size=60,
    test_size=16,
    learning_rate=2e-4,
)
"""Ten updates an epoch; at this rate no run failed."""
DRAWN = ("constant", "anneal", "epoch-fresh")
"""Schedules that draw at a rate; the others hand out shares until all train."""
MASKED = {"tuning": ("gradient dropout",)}
RATED = {"tuning": ("gradient dropout", "mixout"), "schedule": DRAWN}


@dataclass(frozen=True)
class GradientDropoutTuning(NamedMethods, TextExperiment):
    """Fine-tuning on English with gradients dropped, tested in other languages (chapter 10).

    Steps are epochs; step 0 is before training. See ``data/README.md`` for the names and labels of
    what is observed.
    """

    name = "gradient-dropout"
    title = "Fine-tuning with gradient dropout"
    chapter = 10
    version = 1
    budget = ("epochs", "batch_size", "learning_rate", "test_size")
    methods: ClassVar = METHODS
    profiles = {
        "smoke": dict(
            task="emoji_names",
            model="tiny",
            train_size=48,
            eval_size=32,
            test_size=6,
            epochs=3,
            measured_texts=8,
        ),
        "laptop": dict(**FEW_SHOT, epochs=4),
        "recorded": dict(**FEW_SHOT, epochs=6, measure_every=3),
        "thesis": {
            **THESIS_SIZE,
            **dict(task="xnli", model="FacebookAI/xlm-roberta-large", max_length=256),
            **dict(epochs=10, learning_rate=5e-6, checkpoint_every=1000, measured_texts=128),
        },
    }

    tuning: Literal[
        "full", "gradient dropout", "mixout", "layer-wise decay", "lora", "ia3", "head"
    ] = setting("gradient dropout", "What trains, and how.", group="Method")
    p: float = setting(
        THESIS_RATE,
        "Share of gradients that is dropped (of the first epoch where it falls); in Mixout of "
        "weights that are the pretrained ones.",
        symbol="p",
        minimum=0,
        maximum=0.99,
        step=0.05,
        group="Method",
        when=RATED,
    )
    granularity: Literal["element", "layer"] = setting(
        "element", "Single gradients, or those of whole layers.", group="Method", when=MASKED
    )
    schedule: Literal[
        "constant", "anneal", "epoch", "epoch-toggle", "epoch-fresh", "top-down", "bottom-up"
    ] = setting(
        "constant",
        "constant, anneal: drawn anew for every update; epoch: one more share each epoch; "
        "epoch-toggle: only the newest; top-down, bottom-up: whole layers in their order.",
        group="Method",
        when=MASKED,
    )
    mask: Literal["gradient", "update"] = setting(
        "gradient",
        "gradient: momentum and weight decay still move the weight; update: it really stays.",
        group="Method",
        when=MASKED,
    )
    rescale: bool = setting(
        False,
        "Divide what is kept by 1 - p, so that the mean gradient is the full one.",
        group="Method",
        when=MASKED,
    )
    rank: int = setting(
        8,
        "Rank of LoRA's update.",
        symbol="r",
        minimum=1,
        maximum=512,
        step=1,
        group="Method",
        when={"tuning": ("lora",)},
    )
    layer_decay: float = setting(
        0.9,
        "Learning rate of a layer over that of the layer above.",
        symbol=r"\xi",
        minimum=0.1,
        maximum=1,
        step=0.05,
        group="Method",
        when={"tuning": ("layer-wise decay",)},
    )
    faster: float = setting(
        1.0,
        "Learning rate over that of full fine-tuning, where few parameters train.",
        minimum=0.01,
        maximum=1e4,
        group="Method",
        when={"tuning": ("lora", "ia3", "head")},
    )
    dropout: float = setting(
        0.0,
        "Ordinary dropout while training, of every dropout layer of the encoder and the head.",
        minimum=0,
        maximum=0.9,
        step=0.05,
        group="Method",
    )
    epochs: int = setting(
        8, "Passes over the training rows.", symbol="T", minimum=1, maximum=1000, step=1,
        group="Training",
    )  # fmt: skip
    learning_rate: float = setting(
        1e-4, "Peak learning rate.", minimum=0, maximum=1, group="Training"
    )
    measured_texts: int = setting(
        16,
        "Training rows that gradients, the noise scale and sharpness are measured on "
        "(0: none of these).",
        minimum=0,
        maximum=10**4,
        step=8,
        group="Measures",
    )
    measure_every: int = setting(
        2,
        "Epochs between these measurements (the first and the last are always measured).",
        minimum=1,
        maximum=1000,
        step=1,
        group="Measures",
    )

    def _unnamed(self) -> str:
        if self.tuning != "gradient dropout":
            more = {
                "lora": f"r = {self.rank}",
                "layer-wise decay": f"\u03be = {self.layer_decay:g}",
            }
            told = [more.get(self.tuning, ""), f"dropout {self.dropout:g}" * bool(self.dropout)]
            return f"{self.tuning} ({', '.join(t for t in told if t) or 'other settings'})"
        told = [f"{self.granularity} {self.schedule}"]
        if self.schedule in DRAWN:
            told.append(f"p = {self.p:g}")
        told += ["update"] if self.mask == "update" else []
        told += ["rescaled"] if self.rescale else []
        told += [f"dropout {self.dropout:g}"] if self.dropout else []
        return f"gradient dropout ({', '.join(told)})"

    def run(self, resume: Checkpoint | None = None) -> Iterator[Observation]:
        from workbench.experiments.gradient_dropout_run import GradientDropoutRun

        inputs, model = self.inputs()
        yield from GradientDropoutRun(self, inputs, model).observe(resume)
