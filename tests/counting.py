"""A small experiment that counts: a random walk that can be slow, fail, or need another one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from workbench.experiments.base import Experiment, setting
from workbench.observations import Array, Checkpoint, Observation, Progress, Scalar


@dataclass(frozen=True)
class Counting:
    """Each step draws from a generator whose state travels in the checkpoint."""

    steps: int = 6
    seed: int = 0
    pause: float = 0.0
    fail_at: int = -1
    needs: bool = False
    keep_checkpoint: bool = False
    name: ClassVar[str] = "counting"

    def identity(self) -> dict[str, Any]:
        ignored = ("pause", "fail_at", "keep_checkpoint")
        config = {k: v for k, v in asdict(self).items() if k not in ignored}
        return {"experiment": self.name, "config": config, "data": {}, "code": 1}

    def requirements(self) -> dict[str, Counting]:
        return {"teacher": Counting(2, self.seed, keep_checkpoint=True)} if self.needs else {}

    def run(self, resume: Checkpoint | None = None, **inputs: Checkpoint) -> Iterator[Observation]:
        assert inputs.keys() == self.requirements().keys()
        random = np.random.default_rng(self.seed)
        position, first = np.zeros(3), 0
        if inputs:
            position = inputs["teacher"].arrays["position"].copy()
        if resume is not None:
            random.bit_generator.state = resume.meta["random"]
            position, first = resume.arrays["position"].copy(), resume.step + 1
        for step in range(first, self.steps):
            yield Progress(step, self.steps, f"step {step}")
            position += random.normal(size=3)
            for i, value in enumerate(position):
                time.sleep(self.pause)
                yield Scalar(step, "position", value, {"axis": str(i)})
            if step == self.fail_at:
                raise ValueError(f"no step {step} today")
            yield Scalar(step, "norm", np.linalg.norm(position))
            yield Array(step, "walk", position, {"kind": "raw"})
            yield Array(step, "walk", position.astype(np.float16), {"kind": "half"})
            yield Checkpoint(step, {"position": position}, {"random": random.bit_generator.state})
        yield Scalar(self.steps, "end", float("nan"))
        yield Progress(self.steps, self.steps)


@dataclass(frozen=True)
class Walk(Experiment):
    """Counting as a registered experiment, with a control of every kind."""

    name = "walk"
    title = "A random walk"
    chapter = 0
    profiles = {"smoke": {"steps": 2}, "laptop": {"steps": 3, "rate": 0.25}}
    presets = {"mood": {"calm": {"style": "plain"}, "LOUD": {"style": "loud", "rate": 1.0}}}

    steps: int = setting(4, "Steps; 100% of them.", minimum=1, maximum=100)
    seed: int = setting(0, "Seed.", minimum=0)
    rate: float = setting(0.5, "Rate.", minimum=0, maximum=1, when={"style": ("loud",)})
    style: Literal["plain", "loud"] = setting("plain", "Style.", group="Looks")
    place: str = setting("park", "Where.", choices=("park", "town"), open=True)
    brisk: bool = setting(True, "Briskly.")
    stops: tuple[float, ...] = setting((0.1, 0.2), "Stops.")
    needs: bool = setting(False, "Whether a teacher walks first.", group="Machine")
    broken: bool = setting(False, "Whether it fails.", group="Machine")
    pause: float = setting(0.0, "Seconds a value.", group="Machine", identity=False)

    def requirements(self) -> dict[str, Walk]:
        teacher = Walk(steps=2, seed=self.seed, broken=self.broken)
        return {"teacher": teacher} if self.needs else {}

    def run(self, resume: Checkpoint | None = None, **inputs: Checkpoint) -> Iterator[Observation]:
        if self.broken:
            raise RuntimeError("the shoe is broken")
        counting = Counting(self.steps, self.seed, self.pause, needs=self.needs)
        yield from counting.run(resume, **inputs)
