"""What our callbacks for ``transformers.Trainer`` share."""

from __future__ import annotations

from transformers import TrainerState, TrainingArguments


def refuse_sharded(args: TrainingArguments, does: str, instead: str) -> None:
    """Raise ``ValueError`` under DeepSpeed or FSDP, which split parameters and their gradients.

    ``does`` is what the callback does to whole parameters, ``instead`` the way out.
    """
    if args.deepspeed or args.fsdp:
        raise ValueError(f"{does} whole parameters, which DeepSpeed and FSDP split; {instead}")


def log(state: TrainerState, logs: dict[str, float] | None, name: str, value: float) -> None:
    """Add ``value`` to what is being logged.

    Other callbacks read ``logs``; the history was written just before ``on_log``.
    """
    for entry in (logs, state.log_history[-1] if state.log_history else None):
        if entry is not None:
            entry[name] = value
