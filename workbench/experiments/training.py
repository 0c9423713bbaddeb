"""The one training loop: small, seeded, on ``accelerate``, resumable at any update.

The same code runs on a CPU, a GPU, in bf16 and over several devices. Nothing in it depends on
hidden state: batch order is a function of (seed, phase, epoch) and dropout of (seed, phase,
update), so a phase that is stopped after update ``u`` and goes on from its checkpoint ends with
the same bits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


def derive(*parts: int | str) -> int:
    """A seed in [0, 2^63) from ``parts``, the same on every machine."""
    text = "/".join(map(str, parts)).encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big") >> 1


@dataclass(frozen=True)
class Settings:
    """How to optimise: everything of a phase but its data, model and loss."""

    updates: int
    learning_rate: float
    batch_size: int = 16
    weight_decay: float = 0.01
    warmup: float = 0.1
    decay: str = "linear"
    max_grad_norm: float = 1.0
    accumulation: int = 1
    precision: str = "no"
    device: str = "auto"
    seed: int = 0
    fused: bool = False


def accelerator(settings: Settings) -> Any:
    """An ``accelerate.Accelerator`` for ``settings`` (its process-wide state made anew if needed).

    Raises ``ValueError`` where bf16 or fp16 is asked of a device that has none.
    """
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    if settings.precision == "fp16" and not torch.cuda.is_available():
        raise ValueError("precision = 'fp16' needs a GPU; use 'bf16' or 'no' on this machine.")
    if AcceleratorState._shared_state:
        AcceleratorState._reset_state()
    return Accelerator(
        mixed_precision=settings.precision,
        cpu=settings.device == "cpu",
        gradient_accumulation_steps=settings.accumulation,
    )


def batches(lengths: Sequence[int], size: int, *seed: int | str) -> list[list[int]]:
    """Indices of one epoch in batches of ``size``, shuffled, texts of like length together.

    Batches are cut from pools of eight batches sorted by length, so that little is padding, and
    then shuffled. The last, smaller batch is kept.
    """
    rng = np.random.default_rng(derive(*seed))
    order = rng.permutation(len(lengths))
    pools = np.split(order, range(8 * size, len(order), 8 * size))
    by_length = [sorted(pool.tolist(), key=lambda i: lengths[i]) for pool in pools]
    cut = [pool[i : i + size] for pool in by_length for i in range(0, len(pool), size)]
    return [cut[i] for i in rng.permutation(len(cut))]


class Phase:
    """One stretch of optimisation with its own optimizer and learning-rate schedule.

    ``loss(model, batch) -> Tensor`` gets batches made by ``collate(indices)``. Iterating
    :meth:`updates` trains and yields ``(update, loss)`` after each optimizer step. ``groups`` are
    the optimizer's, instead of all that trains; ``times`` in one is its rate over the others'.
    """

    def __init__(
        self,
        model: nn.Module,
        lengths: Sequence[int],
        collate: Callable[[list[int]], Mapping[str, Tensor]],
        loss: Callable[[nn.Module, Mapping[str, Tensor]], Tensor],
        settings: Settings,
        name: str,
        groups: Sequence[dict[str, Any]] | None = None,
    ) -> None:
        self.settings, self.name, self.loss = settings, name, loss
        self.lengths, self.collate = lengths, collate
        self.accelerator = accelerator(settings)
        if groups is None:
            decayed = [p for p in model.parameters() if p.requires_grad and p.ndim > 1]
            plain = [p for p in model.parameters() if p.requires_grad and p.ndim <= 1]
            groups = [
                {"params": decayed, "weight_decay": settings.weight_decay},
                {"params": plain, "weight_decay": 0.0},
            ]
        optimizer = torch.optim.AdamW(
            list(groups), lr=settings.learning_rate, fused=settings.fused or None
        )
        self.plain_model = model
        self.model, self.optimizer = self.accelerator.prepare(model, optimizer)
        self.done = 0

    def updates(self) -> Iterator[tuple[int, float]]:
        """Train from update ``done`` to the end; yield (number of the update, mean loss)."""
        todo = self._indices(self.done * self.settings.accumulation)
        while self.done < self.settings.updates:
            torch.manual_seed(derive(self.settings.seed, self.name, self.done))
            self._set_learning_rate()
            self.model.train()
            total = 0.0
            for _ in range(self.settings.accumulation):
                total += self._backward(next(todo))
            if self.settings.max_grad_norm:
                # After backward: Algorithm 5 prints it before, where there is nothing to clip.
                trainable = [p for p in self.model.parameters() if p.requires_grad]
                self.accelerator.clip_grad_norm_(trainable, self.settings.max_grad_norm)
            self.optimizer.step()
            self.optimizer.zero_grad()
            self.done += 1
            yield self.done, total / self.settings.accumulation

    def _backward(self, indices: list[int]) -> float:
        batch = {k: v.to(self.accelerator.device) for k, v in self.collate(indices).items()}
        with self.accelerator.autocast():
            value = self.loss(self.model, batch)
        self.accelerator.backward(value / self.settings.accumulation)
        number = float(value.detach())
        if not np.isfinite(number):
            raise FloatingPointError(
                f"The loss of {self.name} became {number} at update {self.done + 1}; "
                "lower learning_rate or check the input."
            )
        return number

    def _indices(self, skip: int) -> Iterator[list[int]]:
        """This process's batches, epoch after epoch, from number ``skip`` on."""
        ours, world = self.accelerator.process_index, self.accelerator.num_processes
        number, epoch = 0, 0
        while True:
            cut = batches(
                self.lengths,
                self.settings.batch_size * world,
                self.settings.seed,
                self.name,
                epoch,
            )
            for indices in cut:
                if number >= skip:
                    yield indices[ours::world] or indices[:1]
                number += 1
            epoch += 1

    def _set_learning_rate(self) -> None:
        """Linear warm-up, then linear decay to zero (a function of the update, so no state).

        With ``decay="none"`` the learning rate is the same at every update.
        """
        total = self.settings.updates
        warm = max(1, round(self.settings.warmup * total))
        share = min((self.done + 1) / warm, (total - self.done) / max(1, total - warm + 1))
        share = 1.0 if self.settings.decay == "none" else share
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.learning_rate * share * group.get("times", 1.0)

    def state(self) -> dict[str, np.ndarray]:
        """Optimizer moments as arrays, by position of the parameter."""
        inner = self.optimizer.state_dict()["state"]
        return {
            f"{index}.{name}": value.detach().cpu().numpy().copy()
            for index, values in inner.items()
            for name, value in values.items()
        }

    def resume(self, done: int, state: Mapping[str, np.ndarray]) -> None:
        """Go on after update ``done`` with the moments of :meth:`state`."""
        whole = self.optimizer.state_dict()
        for key, array in state.items():
            index, name = key.split(".", 1)
            whole["state"].setdefault(int(index), {})[name] = torch.from_numpy(np.array(array))
        self.optimizer.load_state_dict(whole)
        self.done = done


def trainable_state(model: nn.Module) -> dict[str, np.ndarray]:
    """The parameters that training changes; frozen ones come from the pretrained model again."""
    return {
        name: p.detach().cpu().numpy().copy()
        for name, p in model.named_parameters()
        if p.requires_grad
    }


def load_trainable(model: nn.Module, state: Mapping[str, np.ndarray]) -> None:
    """Put :func:`trainable_state` back. Raises ``ValueError`` where names or shapes differ."""
    parameters = {n: p for n, p in model.named_parameters() if p.requires_grad}
    if missing := sorted(parameters.keys() ^ state.keys()):
        raise ValueError(f"The checkpoint and the model differ in {missing[:3]} ...")
    with torch.no_grad():
        for name, parameter in parameters.items():
            if tuple(state[name].shape) != tuple(parameter.shape):
                shapes = f"{tuple(state[name].shape)} and {tuple(parameter.shape)}"
                raise ValueError(f"{name} has shapes {shapes} in the checkpoint and the model.")
            parameter.copy_(torch.from_numpy(np.array(state[name])))


def state_arrays(model: nn.Module) -> dict[str, np.ndarray]:
    """All parameters and buffers as copies; what several names share is there once."""
    found, seen = {}, set()
    for name, tensor in model.state_dict().items():
        place = (tensor.data_ptr(), tensor.shape, tensor.stride())
        if tensor.numel() and place in seen:
            continue
        seen.add(place)
        found[name] = tensor.detach().cpu().numpy().copy()
    return found


def load_state(model: nn.Module, state: Mapping[str, np.ndarray]) -> None:
    """Put :func:`state_arrays` back into a model that shares what was shared.

    Raises ``ValueError`` where names or shapes differ.
    """
    own = model.state_dict()
    if missing := sorted(state_arrays(model).keys() ^ state.keys()):
        raise ValueError(f"The checkpoint and the model differ in {missing[:3]} ...")
    with torch.no_grad():
        for name, array in state.items():
            if tuple(array.shape) != tuple(own[name].shape):
                shapes = f"{tuple(array.shape)} and {tuple(own[name].shape)}"
                raise ValueError(f"{name} has shapes {shapes} in the checkpoint and the model.")
            own[name].copy_(torch.from_numpy(np.array(array)))
