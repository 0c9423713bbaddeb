"""Gradient dropout for people whose loop is ``transformers.Trainer``."""

from __future__ import annotations

import math
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from workbench.methods.callbacks import log, refuse_sharded
from workbench.methods.gradient_dropout.dropout import GradientDropout


class GradientDropoutCallback(TrainerCallback):
    """Drop gradients while a Trainer trains: ``GradientDropout`` as a callback.

        Trainer(..., callbacks=[GradientDropoutCallback(p=0.2, granularity="layer")])

    Args:
        **settings: those of ``GradientDropout``. ``epochs`` is taken from the Trainer when left
            out, and the seed is that of the Trainer; epochs and steps are the Trainer's.

    Attributes:
        dropout: the ``GradientDropout`` of the present run, None before it.

    Raises:
        TypeError: a setting that ``GradientDropout`` does not have, or ``steps_per_epoch``.
        ValueError: at the start of training, its errors; DeepSpeed or FSDP, which keep their
            gradients elsewhere.

    Note:
        A run resumed from a checkpoint draws the masks of the whole run: they depend on the step.
        The present rate is logged as ``gradient_dropout``.
    """

    def __init__(self, **settings: Any) -> None:
        known = set(GradientDropout.__init__.__annotations__) - {"model", "return"}
        if odd := sorted(set(settings) - (known - {"steps_per_epoch"})):
            raise TypeError(
                f"GradientDropoutCallback takes no {odd[0]!r}; its settings are "
                f"{sorted(known - {'steps_per_epoch'})}"
            )
        self.settings = settings
        self.dropout: GradientDropout | None = None

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        refuse_sharded(
            args,
            "gradient dropout masks gradients of",
            "train with data parallelism or on one device",
        )
        epochs = max(1, math.ceil(state.num_train_epochs))
        settings = {"seed": args.seed, "epochs": epochs, **self.settings}
        self.dropout = GradientDropout(kwargs["model"], **settings).attach(kwargs["optimizer"])

    def on_step_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        if self.dropout is not None:
            self.dropout.step = state.global_step
            # The Trainer's epoch is a fraction of steps; the margin is for its last digit.
            self.dropout.set_epoch(math.floor((state.epoch or 0) + 1e-6))

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        if self.dropout is not None:
            log(state, logs, "gradient_dropout", self.dropout.rate)

    def on_train_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        if self.dropout is not None:
            self.dropout.remove()
