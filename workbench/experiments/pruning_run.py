"""The loop of iterative pruning: prune, measure at once, retrain, measure again, and so on.

An experiment says which weights go (:meth:`PruningRun.scores`), what is minimised while
retraining (:meth:`PruningRun.terms`) and what else is measured (:meth:`PruningRun.compared`).
Everything else is the same, so that what differs in the results is the method.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from workbench.experiments.fine_tuning import join_arrays, split_arrays
from workbench.experiments.text import Inputs, measure
from workbench.observations import Array, Checkpoint, Observation, Progress, Scalar

if TYPE_CHECKING:
    from torch import Tensor, nn

    from workbench.experiments.training import Phase
    from workbench.methods.pruning import Masks

AFTER = {"phase": "after"}


class PruningRun:
    """The state of one run: the student, its dense teacher, masks and what is measured against."""

    fused = False
    """Whether the optimizer makes one pass over the weights. Chapter 11 was recorded without, and
    the last bits differ."""

    def __init__(
        self, experiment: Any, inputs: Inputs, model: nn.Module, tuned: Mapping[str, Any]
    ) -> None:
        from workbench.experiments.inputs import predict
        from workbench.experiments.training import accelerator, load_trainable
        from workbench.metrics.projections import Method, Projector

        self.experiment, self.inputs, self.student = experiment, inputs, model
        load_trainable(model, tuned)
        self.teacher = copy.deepcopy(model)
        device = accelerator(experiment.settings(1, 0.0)).device
        self.student.to(device)
        self.teacher = self.teacher.to(device).eval().requires_grad_(False)
        self.masks: Masks | None = None
        every: tuple[Method, ...] = ("pca", "lda", "tsne") if inputs.by_class else ("pca",)
        kinds = {"none": (), "pca": every[:1], "all": every}[experiment.projections]
        self.projectors = {kind: Projector(kind) for kind in kinds}
        self.teacher_logits, self.teacher_hidden = predict(self.teacher, inputs.validation)

    # ---- what an experiment says for itself ----

    def scores(self, step: int) -> Mapping[str, Tensor]:
        """What each weight is worth at pruning step ``step``."""
        from workbench.experiments import scoring
        from workbench.experiments.training import derive

        e = self.experiment
        seed = derive(e.seed, "random mask", step)
        return scoring.scores(
            self.student, e.criterion, seed=seed, batches=lambda: self._scoring_batches(step)
        )

    def terms(self, model: nn.Module, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Weighted terms of the objective of retraining; their sum is minimised."""
        raise NotImplementedError

    def compared(self, step: int) -> Iterator[Observation]:
        """What the chapter measures beside what every pruning run does."""
        yield from ()

    def phase(self, step: int) -> Phase:
        """The retraining that follows a pruning step."""
        from workbench.experiments.training import Phase

        e, train = self.experiment, self.inputs.train
        settings = dataclasses.replace(e.settings(e.updates, e.learning_rate), fused=self.fused)
        return Phase(
            self.student, train.lengths, train.collate, self._loss, settings, f"retraining {step}"
        )

    def kept(self) -> dict[str, dict]:
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

    def restore(self, groups: Mapping[str, dict]) -> None:
        """Put what :meth:`kept` gave back."""
        import torch

        from workbench.methods.pruning import Masks

        if "masks" in groups:
            self.masks = Masks({n: torch.from_numpy(m.copy()) for n, m in groups["masks"].items()})
        for kind, projector in self.projectors.items():
            projector.previous = groups.get(f"projector.{kind}", {}).get("previous")

    # ---- the loop ----

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
                    yield Array(0, "classes", self.inputs.validation.classes)
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
            arrays = {"model": trainable_state(self.student), **self.kept()}
            yield Checkpoint(step, join_arrays(**arrays), {"pruning_step": step, "update": None})
            yield Progress(step * e.updates, total, f"pruning step {step} of {e.pruning_steps}")

    def _prune(self, step: int, density: float) -> None:
        """Remove weights until ``density`` of the prunable ones is left; none comes back."""
        from workbench.experiments.scoring import choose

        e = self.experiment
        if e.criterion != "none":
            self.masks = choose(self.scores(step), e.scope, density, within=self.masks)
            self.masks.apply(self.student)

    def _scoring_batches(self, step: int) -> Iterator[dict[str, Tensor]]:
        """The training batches that a criterion with data reads, drawn anew at each step."""
        from workbench.experiments.training import batches

        e = self.experiment
        cut = batches(self.inputs.train.lengths, e.batch_size, e.seed, "scoring", step)
        return (self.rows(indices) for indices in cut[: e.scoring_batches])

    def _loss(self, model: nn.Module, batch: Mapping[str, Any]) -> Any:
        import torch

        return torch.stack(list(self.terms(model, batch).values())).sum()

    def _retrain(
        self, step: int, total: int, inside: Mapping[str, Any] | None
    ) -> Iterator[Observation]:
        from workbench.experiments.training import trainable_state

        e = self.experiment
        phase = self.phase(step)
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
                    yield Checkpoint(step, join_arrays(**arrays, **self.kept()), meta)
        finally:
            if self.masks is not None:
                self.masks.detach()

    def _restore(self, resume: Checkpoint) -> tuple[int, Mapping[str, Any] | None]:
        """Put a checkpoint back; return the step to go on with and the phase it lies in, if any."""
        from workbench.experiments.training import load_trainable

        groups = split_arrays(resume)
        load_trainable(self.student, groups["model"])
        self.restore(groups)
        update = resume.meta["update"]
        if update is None:
            return resume.step + 1, None
        return resume.step, {"update": update, "optimizer": groups["optimizer"]}

    # ---- what is measured ----

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
        """What is measured on the validation representations and on the weights."""
        from workbench.metrics import compression, similarity

        for scope, value in compression.density(self.student).items():
            yield Scalar(step, "density", float(value), {"scope": scope})
        yield Scalar(step, "cka", similarity.cka(self.hidden, self.teacher_hidden), AFTER)
        yield from self.compared(step)
        if self.inputs.by_class:
            yield from self._separability(step)
        for kind, projector in self.projectors.items():
            points = projector.add(self.hidden, self.inputs.validation.classes)
            yield Array(step, "projection", points.astype("float32"), {"projection": kind})
        yield from self._norms(step)

    def _separability(self, step: int) -> Iterator[Scalar]:
        from workbench.metrics import separability

        z, y = self.hidden, self.inputs.validation.labels
        values = {
            "snr": separability.signal_to_noise(z, y),
            "silhouette": separability.silhouette(z, y),
            "fisher_ratio": separability.fisher_ratio(z, y),
            "nearest_centroid": separability.nearest_centroid_accuracy(z, y),
        }
        for name, value in values.items():
            yield Scalar(step, name, float(value), AFTER)

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
        terms = self.terms(self.student, self.rows(range(min(16, len(self.inputs.train)))))
        torch.stack(list(terms.values())).sum().backward()
        return {name: float(value.detach()) for name, value in terms.items()}

    def rows(self, indices: Sequence[int]) -> dict[str, Any]:
        """A batch of training rows, where the student is."""
        device = next(self.student.parameters()).device
        return {k: v.to(device) for k, v in self.inputs.train.collate(indices).items()}
