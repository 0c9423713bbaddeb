"""Hooks that hold pruned weights at zero, and their removal."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook
from torch.utils.weak import WeakIdKeyDictionary

# Parameter -> what holds it. Kept beside the parameters, not on them, so that deepcopy, pickle and
# state_dict of a model see nothing of it.
_HOLDERS: WeakIdKeyDictionary = WeakIdKeyDictionary()

# Attachments that were given no optimizer. One hook of torch, registered with the first of them,
# asks after each step of any optimizer whether it concerns one.
_FOLLOWERS: weakref.WeakSet[Attachment] = weakref.WeakSet()


class _Handle(Protocol):
    def remove(self) -> None: ...


class Attachment:
    """Holds ``parameters`` at zero where their masks are False; made by ``Masks.attach``.

    Two hooks do it: one on each parameter zeroes its gradient before it is accumulated (and before
    data parallelism reduces it); one on the optimizer zeroes the weights after each step, since
    momentum and weight decay move weights whose gradient is zero. Masks are shared, not copied,
    and no weight is copied.
    """

    def __init__(
        self,
        pairs: Sequence[tuple[nn.Parameter, Tensor]],
        optimizer: torch.optim.Optimizer | None,
        mask_gradients: bool,
    ) -> None:
        inner = None if optimizer is None else _innermost(optimizer)
        if inner is not None and not _holds_any(inner, [parameter for parameter, _ in pairs]):
            raise ValueError(
                f"{type(inner).__name__} trains none of the masked parameters; make the optimizer "
                "from model.parameters() of the model that is attached (a deepcopy needs its own)"
            )
        for parameter, _ in pairs:
            if (holder := _HOLDERS.get(parameter)) is not None:
                holder.remove()
        self._pairs = [(weakref.ref(parameter), mask) for parameter, mask in pairs]
        self._handles: list[_Handle] = []
        self._active = True
        for parameter, mask in pairs:
            _HOLDERS[parameter] = self
            if mask_gradients and parameter.requires_grad:
                self._handles.append(parameter.register_hook(_gradient_hook(mask)))
        if inner is not None:
            self._handles.append(inner.register_step_post_hook(self._after_step))
        else:
            _follow_every_optimizer()
            _FOLLOWERS.add(self)
        self.apply()

    @property
    def active(self) -> bool:
        return self._active

    @torch.no_grad()
    def apply(self) -> None:
        """Zero the pruned weights in place."""
        for reference, mask in self._pairs:
            if (parameter := reference()) is not None:
                parameter.masked_fill_(~mask.to(parameter.device), 0)

    def remove(self) -> None:
        """Take off every hook; safe to call twice."""
        for handle in self._handles:
            handle.remove()
        self._handles, self._active = [], False
        _FOLLOWERS.discard(self)
        for reference, _ in self._pairs:
            parameter = reference()
            if parameter is not None and _HOLDERS.get(parameter) is self:
                del _HOLDERS[parameter]

    def trained_by(self, optimizer: torch.optim.Optimizer) -> bool:
        """Whether ``optimizer`` holds one of the masked parameters."""
        parameters = [
            parameter for reference, _ in self._pairs if (parameter := reference()) is not None
        ]
        return _holds_any(optimizer, parameters)

    def _after_step(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        self.apply()


def finalize(model: nn.Module) -> nn.Module:
    """Turn a model under training into a plain one: zeros in place, every hook gone.

    Args:
        model: a model with or without attached masks; changed in place.

    Returns:
        The same model. ``save_pretrained`` writes it as a dense model with zeros;
        ``pruning.save_sparse`` writes it smaller.
    """
    holders = {id(h): h for p in model.parameters() if (h := _HOLDERS.get(p)) is not None}
    for holder in holders.values():
        holder.apply()
        holder.remove()
    return model


def _gradient_hook(mask: Tensor) -> Callable[[Tensor], Tensor]:
    # A new tensor and not in place, as autograd asks; masked_fill, since NaN * 0 is NaN.
    return lambda gradient: gradient.masked_fill(~mask.to(gradient.device), 0)


@cache
def _follow_every_optimizer() -> None:
    register_optimizer_step_post_hook(_after_any_step)


def _after_any_step(optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
    """Apply the attachments that were given no optimizer and are trained by this one."""
    for attachment in list(_FOLLOWERS):
        if attachment.trained_by(optimizer):
            attachment.apply()


def _innermost(optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """The optimizer inside wrappers such as accelerate's ``AcceleratedOptimizer``."""
    while isinstance(inner := getattr(optimizer, "optimizer", None), torch.optim.Optimizer):
        optimizer = inner
    return optimizer


def _holds_any(optimizer: torch.optim.Optimizer, parameters: Sequence[Tensor]) -> bool:
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    return any(id(parameter) in held for parameter in parameters)
