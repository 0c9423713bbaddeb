"""Chapter 11: iterative pruning, with the fine-tuned network itself as the teacher.

Prune a share of the remaining weights, measure at once, retrain for a fixed number of updates,
measure again, and so on. The seven methods differ only in criterion, scope and loss; data, budget,
order of batches and teacher are the same, so that what differs in the result is the method.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from workbench.experiments.base import setting
from workbench.experiments.fine_tuning import FineTuning, join_arrays, split_arrays
from workbench.experiments.text import THESIS_SIZE, Inputs, TextExperiment, measure
from workbench.observations import Array, Checkpoint, Observation, Progress, Scalar

if TYPE_CHECKING:
    from torch import nn

    from workbench.methods.pruning import Masks

METHODS: Mapping[str, Mapping[str, str]] = {
    "none": {"criterion": "none", "loss": "none"},
    "random": {"criterion": "random", "scope": "layer", "loss": "none"},
    "magnitude": {"criterion": "magnitude", "scope": "layer", "loss": "none"},
    "global magnitude": {"criterion": "magnitude", "scope": "global", "loss": "none"},
    "SDP-KLD": {"criterion": "magnitude", "scope": "layer", "loss": "kld"},
    "SDP-COS": {"criterion": "magnitude", "scope": "layer", "loss": "cos"},
    "SDP-CC": {"criterion": "magnitude", "scope": "layer", "loss": "cc"},
}
"""The seven methods of the chapter's comparison, as settings."""

COMPONENTS = 3
"""Principal components that mutual information is estimated on: with hundreds of samples the
nearest-neighbour estimate of more is far below the truth (see ``metrics.information``)."""

PRUNED = {"criterion": ("random", "magnitude")}
DISTILLED = {"loss": ("kld", "cc")}


@dataclass(frozen=True)
class SelfDistilledPruning(TextExperiment):
    """Iterative pruning with self-distillation (thesis, chapter 11, Algorithm 5).

    Steps are pruning steps; step 0 is the dense teacher. See ``data/README.md`` for the names and
    labels of what is observed.
    """

    name = "self-distilled-pruning"
    title = "Self-distilled pruning"
    chapter = 11
    version = 1
    profiles = {
        "smoke": dict(
            model="tiny",
            train_size=48,
            eval_size=32,
            test_size=12,
            teacher_updates=4,
            pruning_steps=2,
            updates=2,
            projections="pca",
        ),
        "laptop": dict(
            train_size=400,
            eval_size=100,
            test_size=30,
            teacher_updates=50,
            pruning_steps=5,
            updates=8,
            projections="pca",
        ),
        "recorded": dict(),
        "thesis": dict(
            **THESIS_SIZE,
            teacher_updates=4_000,
            teacher_learning_rate=2e-5,
            pruning_steps=32,
            final_density=0.9**32,
            updates=267,
            learning_rate=2e-5,
            checkpoint_every=267,
        ),
    }

    criterion: Literal["none", "random", "magnitude"] = setting(
        "magnitude", "Which weights go first; none: the unpruned control.", group="Method"
    )
    scope: Literal["layer", "global"] = setting(
        "layer",
        "The same share of every layer, or one threshold for all.",
        group="Method",
        when=PRUNED,
    )
    loss: Literal["none", "kld", "cos", "cc"] = setting(
        "cc",
        "Distillation from the unpruned network while retraining (11.1 to 11.3).",
        group="Method",
    )
    alpha: float = setting(
        0.5,
        "Weight of the teacher against the labels.",
        symbol=r"\alpha",
        minimum=0,
        maximum=1,
        step=0.05,
        group="Method",
        when={"loss": ("kld", "cos", "cc")},
    )
    tau: float = setting(
        0.9,
        "Softmax temperature; below 1 it sharpens.",
        symbol=r"\tau",
        minimum=0.05,
        maximum=20,
        step=0.05,
        group="Method",
        when=DISTILLED,
    )
    beta: float = setting(
        2e-5,
        "Weight of the cross-correlation loss.",
        symbol=r"\beta",
        minimum=0,
        maximum=10,
        group="Method",
        when={"loss": ("cc",)},
    )
    beta_cos: float = setting(
        0.05,
        "Weight of the cosine loss of SDP-COS.",
        symbol=r"\beta",
        minimum=0,
        maximum=10,
        group="Method",
        when={"loss": ("cos",)},
    )
    off_diagonal: float = setting(
        0.0051,
        "Weight of the off-diagonal correlations.",
        symbol=r"\lambda",
        minimum=0,
        maximum=1,
        group="Method",
        when={"loss": ("cc",)},
    )
    schedule: Literal["geometric", "linear", "cubic"] = setting(
        "geometric",
        "How density falls; geometric: a fixed share of what remains (the thesis).",
        group="Schedule",
        when=PRUNED,
    )
    pruning_steps: int = setting(
        9, "Pruning steps.", minimum=1, maximum=200, step=1, group="Schedule"
    )
    final_density: float = setting(
        0.05,
        "Share of the prunable weights left at the end.",
        minimum=0.001,
        maximum=1,
        step=0.01,
        group="Schedule",
        when=PRUNED,
    )
    updates: int = setting(
        10,
        "Updates of retraining after each pruning step.",
        minimum=0,
        maximum=10**7,
        step=5,
        group="Training",
    )
    learning_rate: float = setting(
        1e-4, "Peak learning rate of retraining.", minimum=0, maximum=1, group="Training"
    )
    teacher_updates: int = setting(
        150,
        "Updates of fine-tuning the teacher.",
        minimum=1,
        maximum=10**7,
        step=10,
        group="Training",
    )
    teacher_learning_rate: float = setting(
        1e-4, "Peak learning rate of the teacher.", minimum=0, maximum=1, group="Training"
    )
    projections: Literal["none", "pca", "all"] = setting(
        "all",
        "Which two-dimensional projections to record (all: PCA, LDA and t-SNE).",
        group="Measures",
    )

    @classmethod
    def of_method(
        cls, method: str, profile: str = "laptop", **changes: Any
    ) -> SelfDistilledPruning:
        """The experiment for one of :data:`METHODS` at a profile's size."""
        if method not in METHODS:
            raise ValueError(f"No method {method!r}; there are {', '.join(METHODS)}.")
        return cls.profile(profile, **{**METHODS[method], **changes})

    @property
    def method(self) -> str:
        """The name of the method in the chapter's tables."""
        for name, fields in METHODS.items():
            if all(getattr(self, f) == v for f, v in fields.items()):
                return name
        scope = "global " if self.scope == "global" and self.criterion != "none" else ""
        return f"{scope}{self.criterion} + {self.loss.upper()}".replace(" + NONE", "")

    def labels(self) -> dict[str, str]:
        """Derived columns of the records."""
        return {"method": self.method}

    def densities(self) -> tuple[float, ...]:
        """Target density of every step, 1.0 first."""
        from workbench.methods import schedules

        if self.criterion == "none":
            return (1.0,) * (self.pruning_steps + 1)
        return schedules.densities(self.schedule, self.pruning_steps, self.final_density)

    def requirements(self) -> dict[str, FineTuning]:
        names = [f.name for f in dataclasses.fields(TextExperiment)]
        shared = {f: getattr(self, f) for f in names}
        return {
            "teacher": FineTuning(
                **shared, updates=self.teacher_updates, learning_rate=self.teacher_learning_rate
            )
        }

    def run(
        self, resume: Checkpoint | None = None, teacher: Checkpoint | None = None
    ) -> Iterator[Observation]:
        import copy

        from workbench.experiments.training import load_trainable

        if teacher is None:
            teacher = yield from _last_checkpoint(self.requirements()["teacher"].run())
        inputs, model = self.inputs()
        load_trainable(model, split_arrays(teacher)["model"])
        run = _Run(self, inputs, model, copy.deepcopy(model))
        yield from run.observe(resume)


class _Run:
    """The state of one run: student, frozen teacher, masks and what is measured against."""

    def __init__(
        self,
        experiment: SelfDistilledPruning,
        inputs: Inputs,
        teacher: nn.Module,
        student: nn.Module,
    ) -> None:
        from workbench.experiments.inputs import predict
        from workbench.experiments.training import accelerator
        from workbench.methods.self_distillation import SelfDistillation
        from workbench.metrics.projections import Method, Projector

        self.experiment, self.inputs, self.student = experiment, inputs, student
        device = accelerator(experiment.settings(1, 0.0)).device
        self.student.to(device)
        self.teacher = teacher.to(device).eval().requires_grad_(False)
        self.masks: Masks | None = None
        self.distillation = SelfDistillation(
            loss=experiment.loss,
            alpha=experiment.alpha,
            tau=experiment.tau,
            beta=experiment.beta_cos if experiment.loss == "cos" else experiment.beta,
            off_diagonal=experiment.off_diagonal,
        )
        every: tuple[Method, ...] = ("pca", "lda", "tsne") if inputs.classes > 1 else ("pca",)
        kinds = {"none": (), "pca": every[:1], "all": every}[experiment.projections]
        self.projectors = {kind: Projector(kind) for kind in kinds}
        self.teacher_logits, self.teacher_hidden = predict(self.teacher, inputs.validation)

    def observe(self, resume: Checkpoint | None) -> Iterator[Observation]:
        from threadpoolctl import threadpool_limits

        from workbench.experiments.training import trainable_state

        e, total = self.experiment, self.experiment.pruning_steps * self.experiment.updates
        first, inside = self._restore(resume) if resume is not None else (0, None)
        for step, density in enumerate(e.densities()):
            if step < first:
                continue
            if inside is None:
                if step == 0:
                    yield Array(0, "classes", self.inputs.validation.labels)
                else:
                    self._prune(step, density)
                    yield from self._scores(step, "validation", "before")
            if step > 0:
                yield from self._retrain(step, total, inside)
                inside = None
            yield from self._scores(step, "validation", "after")
            yield from self._scores(step, "test", "after")
            with threadpool_limits(1, user_api="blas"):
                # Small matrices: on a busy machine a second thread waits a hundred times longer.
                measured = list(self._measures(step))
            yield from measured
            arrays = {"model": trainable_state(self.student), **self._kept()}
            yield Checkpoint(step, join_arrays(**arrays), {"pruning_step": step, "update": None})
            yield Progress(step * e.updates, total, f"pruning step {step} of {e.pruning_steps}")

    def _prune(self, step: int, density: float) -> None:
        """Remove weights until ``density`` of the prunable ones is left; none comes back."""
        import torch

        from workbench.experiments.training import derive
        from workbench.methods import pruning

        e = self.experiment
        if e.criterion == "none":
            return
        if e.criterion == "random":
            generator = torch.Generator().manual_seed(derive(e.seed, "random mask", step))
            scores = dict(pruning.random(self.student, generator=generator))
        else:
            scores = dict(pruning.magnitude(self.student))
        make = pruning.Masks.globally if e.scope == "global" else pruning.Masks.layerwise
        self.masks = make(scores, density, within=self.masks)
        self.masks.apply(self.student)

    def _terms(self, model: nn.Module, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Weighted terms of the objective; the teacher in evaluation mode, without gradients."""
        import torch

        inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
        student, teacher = model(**inputs), None
        if self.experiment.loss != "none":
            with torch.no_grad():
                teacher = self.teacher(**inputs)
        return self.distillation.terms(student, teacher, batch["labels"])

    def _loss(self, model: nn.Module, batch: Mapping[str, Any]) -> Any:
        import torch

        return torch.stack(list(self._terms(model, batch).values())).sum()

    def _phase(self, step: int) -> Any:
        from workbench.experiments.training import Phase

        e, train = self.experiment, self.inputs.train
        settings = e.settings(e.updates, e.learning_rate)
        return Phase(
            self.student, train.lengths, train.collate, self._loss, settings, f"retraining {step}"
        )

    def _retrain(
        self, step: int, total: int, inside: Mapping[str, Any] | None
    ) -> Iterator[Observation]:
        from workbench.experiments.training import trainable_state

        e = self.experiment
        phase = self._phase(step)
        if inside is not None:
            phase.resume(inside["update"], inside["optimizer"])
        if self.masks is not None:
            self.masks.attach(self.student, phase.optimizer)
        text = f"pruning step {step} of {e.pruning_steps}"
        try:
            for update, loss in phase.updates():
                yield Scalar(step, "train_loss", loss, {"update": str(update)})
                yield Progress((step - 1) * e.updates + update, total, text)
                if e.checkpoint_every and update % e.checkpoint_every == 0 < e.updates - update:
                    arrays = {"optimizer": phase.state(), "model": trainable_state(self.student)}
                    meta = {"pruning_step": step, "update": update}
                    yield Checkpoint(step, join_arrays(**arrays, **self._kept()), meta)
        finally:
            if self.masks is not None:
                self.masks.detach()

    def _scores(self, step: int, split: str, phase: str) -> Iterator[Scalar]:
        """The task's scores, and agreement with the teacher, per domain or language."""
        from workbench.experiments.inputs import predict

        logits, hidden = predict(self.student, getattr(self.inputs, split))
        yield from measure(step, self.inputs, split, logits, phase=phase)
        if split == "validation":
            self.hidden = hidden
            if self.inputs.classes > 1:
                from workbench.metrics.fidelity import agreement

                value = agreement(logits, self.teacher_logits)
                yield Scalar(step, "agreement", float(value), {"split": split, "phase": phase})

    def _measures(self, step: int) -> Iterator[Observation]:
        """What chapter 11 measures on the validation representations and on the weights."""
        from workbench.metrics import compression, information, similarity

        told = {"phase": "after"}
        for scope, value in compression.density(self.student).items():
            yield Scalar(step, "density", float(value), {"scope": scope})
        yield Scalar(step, "cka", similarity.cka(self.hidden, self.teacher_hidden), told)
        for estimator in information.ESTIMATORS:
            values: dict[str, Callable[..., float]] = {
                "estimate": information.mutual_information,
                "ceiling": lambda ours, theirs, **options: information.ceiling(theirs, **options),
                "floor": information.floor,
            }
            for role, measured in values.items():
                value = measured(
                    self.hidden, self.teacher_hidden, estimator=estimator, components=COMPONENTS
                )
                labels = {**told, "estimator": estimator, "role": role}
                yield Scalar(step, "mutual_information", float(value), labels)
        if self.inputs.classes > 1:
            yield from self._separability(step, told)
        for kind, projector in self.projectors.items():
            points = projector.add(self.hidden, self.inputs.validation.labels)
            yield Array(step, "projection", points.astype("float32"), {"projection": kind})
        yield from self._norms(step)

    def _separability(self, step: int, told: Mapping[str, str]) -> Iterator[Scalar]:
        from workbench.metrics import separability

        z, y = self.hidden, self.inputs.validation.labels
        values = {
            "snr": separability.signal_to_noise(z, y),
            "silhouette": separability.silhouette(z, y),
            "fisher_ratio": separability.fisher_ratio(z, y),
            "nearest_centroid": separability.nearest_centroid_accuracy(z, y),
        }
        for name, value in values.items():
            yield Scalar(step, name, float(value), told)

    def _norms(self, step: int) -> Iterator[Observation]:
        """Norms and histograms of weights, and of gradients on one fixed batch of training rows."""
        from workbench.metrics import compression, norms

        for term, value in self._gradients().items():
            yield Scalar(step, "loss_term", float(value), {"term": term})
        for name, rows in (
            ("weight_norm", norms.weight_norms(self.student)),
            ("gradient_norm", norms.gradient_norms(self.student)),
            ("layer_density", compression.layer_densities(self.student)),
        ):
            for layer, module, value in rows:
                labels = {"layer": str(layer), "module": module}
                yield Scalar(step, name, float(value), labels)
        for what in ("weight", "gradient"):
            counts, edges = norms.histograms(self.student, what)
            yield Array(step, f"{what}_histogram", counts.astype("int32"))
            yield Array(step, f"{what}_edges", edges.astype("float32"))
        self.student.zero_grad(set_to_none=True)

    def _gradients(self) -> dict[str, float]:
        """Gradients of the objective on the same 16 training rows at every step, no dropout.

        Returns the weighted terms of the loss there.
        """
        import torch

        self.student.eval().zero_grad(set_to_none=True)
        device = next(self.student.parameters()).device
        rows = range(min(16, len(self.inputs.train)))
        batch = {k: v.to(device) for k, v in self.inputs.train.collate(rows).items()}
        terms = self._terms(self.student, batch)
        torch.stack(list(terms.values())).sum().backward()
        return {name: float(value.detach()) for name, value in terms.items()}

    def _kept(self) -> dict[str, dict]:
        """What a checkpoint needs beside the model: masks and the state of the projections."""
        kept: dict[str, dict] = {
            f"projector.{kind}": {"previous": projector.previous}
            for kind, projector in self.projectors.items()
            if projector.previous is not None
        }
        if self.masks is not None:
            masks = self.masks.state_dict().items()
            kept["masks"] = {name: mask.cpu().numpy() for name, mask in masks}
        return kept

    def _restore(self, resume: Checkpoint) -> tuple[int, Mapping[str, Any] | None]:
        """Put a checkpoint back; return the step to go on with and the phase it lies in, if any."""
        import torch

        from workbench.experiments.training import load_trainable
        from workbench.methods.pruning import Masks

        groups = split_arrays(resume)
        load_trainable(self.student, groups["model"])
        if "masks" in groups:
            self.masks = Masks({n: torch.from_numpy(m.copy()) for n, m in groups["masks"].items()})
        for kind, projector in self.projectors.items():
            projector.previous = groups.get(f"projector.{kind}", {}).get("previous")
        update = resume.meta["update"]
        if update is None:
            return resume.step + 1, None
        return resume.step, {"update": update, "optimizer": groups["optimizer"]}


def _last_checkpoint(
    observations: Iterator[Observation],
) -> Generator[Observation, None, Checkpoint]:
    """Pass progress on; return the last checkpoint (for runs without a store)."""
    last = None
    for observation in observations:
        if isinstance(observation, Checkpoint):
            last = observation
        elif isinstance(observation, Progress):
            yield observation
    if last is None:
        raise ValueError("The teacher's run ended without a checkpoint.")
    return last
