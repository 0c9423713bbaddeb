"""Pruning, AlignReg and self-distillation for people whose loop is ``transformers.Trainer``.

Each works without the others. Pruning and self-distillation together are SDP (Algorithm 5):

    trainer = SelfDistillationTrainer(
        model=model,
        teacher=copy.deepcopy(model),
        distillation=SelfDistillation("cc"),
        callbacks=[PruningCallback(densities("geometric", steps=10, final=0.1))],
        args=args, train_dataset=train,
    )
    trainer.train()

Pruning and AlignReg together are cosine-MBP or frobenius-MBP of chapter 9:

    align = AlignReg("cosine").towards(pretrained)
    Trainer(model=model, callbacks=[PruningCallback(steps), AlignRegCallback(align)], ...)

Gradient dropout (chapter 10) has its callback in ``workbench.methods.gradient_dropout.trainer``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from workbench.methods.alignment import AlignReg
from workbench.methods.callbacks import log, refuse_sharded
from workbench.methods.pruning import Masks, finalize, magnitude
from workbench.methods.pruning.prunable import Rule, unwrap
from workbench.methods.self_distillation import SelfDistillation, task_loss

Criterion = Callable[..., Mapping[str, Tensor]]


class PruningCallback(TrainerCallback):
    """Prune step by step while a Trainer trains.

    The run is cut into as many phases as there are pruning steps; each phase begins by pruning to
    the next density and goes on by retraining. Pruned weights stay pruned, and at the end of
    training the model is plain again.

    Args:
        densities: from ``schedules.densities`` or ``schedules.geometric``; starts at 1.0, which is
            the model as it comes, and does not rise.
        criterion: function ``(model, prunable=...) -> scores``, such as ``pruning.magnitude``.
        scope: ``"layerwise"`` or ``"global"``.
        every: optimizer steps per phase; an equal share of the whole run when left out.
        prunable: predicate ``(module name, module) -> bool`` instead of the default rule.

    Attributes:
        masks: the present masks, None before the first pruning step.

    Raises:
        ValueError: densities that rise or start elsewhere; at the start of training, a run with
            fewer steps than pruning steps, or ``load_best_model_at_end``, which would bring back a
            denser model.

    Note:
        A run resumed from a checkpoint takes its masks from the zeros in the weights.
    """

    def __init__(
        self,
        densities: Sequence[float],
        *,
        criterion: Criterion = magnitude,
        scope: Literal["layerwise", "global"] = "layerwise",
        every: int | None = None,
        prunable: Rule | None = None,
    ) -> None:
        self.densities = tuple(densities)
        falls = all(a >= b for a, b in zip(self.densities, self.densities[1:], strict=False))
        if len(self.densities) < 2 or self.densities[0] != 1 or not falls:
            raise ValueError(
                "densities must start at 1.0 and not rise after it, got "
                f"{self.densities}; make them with workbench.methods.schedules.densities"
            )
        if scope not in ("layerwise", "global"):
            raise ValueError(f"scope must be 'layerwise' or 'global', got {scope!r}")
        if every is not None and every < 1:
            raise ValueError(f"every must be a number of optimizer steps, got {every!r}")
        self.criterion, self.scope, self.every, self.prunable = criterion, scope, every, prunable
        self.masks: Masks | None = None
        self._step = 0

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        if args.load_best_model_at_end:
            raise ValueError(
                "load_best_model_at_end would end the run with a denser model than was asked for; "
                "set it to False and pick among checkpoints of the last density yourself"
            )
        steps = len(self.densities) - 1
        needed = steps if self.every is None else (steps - 1) * self.every + 1
        if needed > state.max_steps:
            raise ValueError(
                f"{steps} pruning steps need at least {needed} optimizer steps, "
                f"the run has {state.max_steps}; train longer, or prune in fewer steps"
            )
        self.masks, self._step = None, 0
        if state.global_step:  # resumed: the last update of the checkpoint belongs to this phase
            self._step = self._phase(state.global_step - 1, state.max_steps)
            masks = Masks.from_zeros(kwargs["model"], self.prunable)
            self.masks = masks.attach(kwargs["model"], kwargs["optimizer"])

    def on_step_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        step = self._phase(state.global_step, state.max_steps)
        if step == self._step:
            return
        model = kwargs["model"]
        scores = self.criterion(model, prunable=self.prunable)
        choose = Masks.globally if self.scope == "global" else Masks.layerwise
        masks = choose(scores, self.densities[step], within=self.masks)
        self.masks = masks.attach(model, kwargs["optimizer"])
        self._step = step

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        log(state, logs, "density", self.densities[self._step])

    def on_train_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        finalize(kwargs["model"])

    def _first_update(self, step: int, updates: int) -> int:
        """The optimizer step before which pruning step ``step`` (from 1) happens."""
        if self.every is not None:
            return (step - 1) * self.every
        return (step - 1) * updates // (len(self.densities) - 1)

    def _phase(self, update: int, updates: int) -> int:
        steps = range(1, len(self.densities))
        return sum(self._first_update(step, updates) <= update for step in steps)


class AlignRegCallback(TrainerCallback):
    """Add the gradient of AlignReg to that of the loss while a Trainer trains.

    The term depends on the weights alone, so it is differentiated once per optimizer step, before
    the first batch of that step: whatever the accumulation, the loss of the Trainer and its
    ``compute_loss``, the sum of gradients is that of equation 9.4. It is clipped with them, scaled
    as they are in float16, and held back at pruned weights by attached masks. The logged loss is
    the task's; the weighted term is logged as ``align``.

    Args:
        align: with its reference, ``AlignReg(...).towards(pretrained)``. Not taken from the model
            at the start of training, which in a resumed run is no longer the pretrained one.

    Raises:
        ValueError: no reference; at the start of training, DeepSpeed or FSDP, which keep their
            gradients elsewhere.

    Note:
        List it after ``PruningCallback``: both act when a step begins, and the term should see the
        weights that are left.
    """

    def __init__(self, align: AlignReg) -> None:
        if align.reference is None:
            raise ValueError(
                "AlignRegCallback needs the weights to align with; make the regulariser with "
                f"AlignReg({align.kind!r}).towards(pretrained_model)"
            )
        self.align = align
        self._latest: Tensor | None = None

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        refuse_sharded(
            args,
            "AlignRegCallback adds to the gradients of",
            "override compute_loss there and add align(model) to the loss",
        )
        self.align, self._latest = self.align.to(args.device), None

    def on_step_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        term = self.align(kwargs["model"])
        self._latest = term.detach()
        # In float16 the Trainer's optimizer unscales all gradients, so ours must be scaled too.
        scaler = getattr(kwargs["optimizer"], "scaler", None)
        (term if scaler is None else scaler.scale(term)).backward()

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        if self._latest is not None:
            log(state, logs, "align", self._latest.item())


class SelfDistillationTrainer(Trainer):
    """A ``Trainer`` whose training loss is ``SelfDistillation``, with the dense model as teacher.

    In training the teacher runs without gradients and in evaluation mode, on the same batch. In
    evaluation the loss is the task's alone, so that it can be compared between methods.

    Args:
        teacher: the fine-tuned dense model, usually ``copy.deepcopy(model)`` made before pruning;
            None for a loss of ``"none"``.
        distillation: the objective; ``SelfDistillation()`` when left out.
        **kwargs: those of ``transformers.Trainer``.

    Raises:
        ValueError: no teacher where the loss needs one, or the teacher is the model itself.
    """

    # Ours is a mean over the batch, for the Trainer to divide by accumulation steps.
    loss_is_scaled_for_ga = False

    def __init__(
        self,
        *args: Any,
        teacher: nn.Module | None = None,
        distillation: SelfDistillation | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.distillation = distillation or SelfDistillation()
        if teacher is None and self.distillation.loss != "none":
            raise ValueError(f"loss {self.distillation.loss!r} needs a teacher; got None")
        if teacher is not None and unwrap(teacher) is unwrap(self.model):
            raise ValueError(
                "the teacher is the model that is trained; give a copy made before pruning: "
                "teacher=copy.deepcopy(model)"
            )
        self.teacher = None if teacher is None else teacher.eval().to(self.args.device)
        self.model_accepts_loss_kwargs = False

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """The distillation loss in training, the task's loss in evaluation."""
        labels = inputs.get("labels")
        features = {name: value for name, value in inputs.items() if name != "labels"}
        if not model.training:
            outputs = model(**features)
            loss = task_loss(outputs.logits, labels)
            return (loss, outputs) if return_outputs else loss
        if self.distillation.needs_representation:
            features["output_hidden_states"] = True
        outputs, taught = model(**features), None
        if self.teacher is not None and self.distillation.loss != "none":
            with torch.no_grad():
                taught = self.teacher.eval()(**features)
        loss = self.distillation(outputs, taught, labels)
        return (loss, outputs) if return_outputs else loss
