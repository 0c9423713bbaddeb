"""What masks gradients between a backward pass and an optimizer's step, whatever the mask."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Literal, Protocol, Self, get_args

import torch
from torch import Tensor, nn
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)
from torch.utils.weak import WeakIdKeyDictionary

from workbench.methods.gradient_dropout.bits import Piece, gather, put_back, zero_dropped

What = Literal["gradient", "update"]

# Parameter -> what masks its gradients. Beside the parameters, not on them, so that deepcopy,
# pickle and saved files know nothing of it; it keeps a mask alive as long as its model.
_HOLDERS: WeakIdKeyDictionary = WeakIdKeyDictionary()


class _Handle(Protocol):
    def remove(self) -> None: ...


class GradientMask:
    """Base of ``GradientDropout`` and ``ChildTuningD``: two hooks around each optimizer step.

    A subclass says by ``_kept`` what trains in a step. Gradients are masked when the step begins:
    accumulated, averaged over devices, unscaled and clipped by then, once per step. With
    ``mask="update"`` the dropped weights are put back after it as well; a copy of the weights
    exists only for the time of the step. Parameters are held by weak references.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], mask: What) -> None:
        if mask not in get_args(What):
            raise ValueError(
                f"mask must be 'gradient' (the gradient is zeroed, as printed in 10.3) or 'update' "
                f"(the weight stays), got {mask!r}"
            )
        self.mask = mask
        self.step = 0
        self._parameters = {name: weakref.ref(p) for name, p in parameters.items()}
        self._handles: list[_Handle] = []
        self._saved: dict[str, Tensor] = {}
        self._applied = self._follows = False
        self.attach()

    def attach(self, optimizer: torch.optim.Optimizer | None = None) -> Self:
        """Act on the steps of ``optimizer``, or ``accelerate``'s wrapper of one.

        Args:
            optimizer: left out, as when the object is made, any torch optimizer that trains the
                parameters is followed, and ``step`` counts the steps of all of them.

        Returns:
            This object. Another one that acts on the same parameters is removed first.

        Raises:
            ValueError: the optimizer trains none of the parameters.
        """
        inner = None if optimizer is None else _innermost(optimizer)
        if inner is not None and not self._trained_by(inner):
            raise ValueError(
                f"{type(inner).__name__} trains none of the {len(self._parameters)} selected "
                "parameters; make the optimizer from model.parameters() of the same model "
                "(a deepcopy needs its own)"
            )
        self.remove()
        for _, parameter in self._present():
            if (holder := _HOLDERS.get(parameter)) is not None:
                holder.remove()
            _HOLDERS[parameter] = self
        if inner is None:
            _follow_every_optimizer()
            self._follows = True
        else:
            self._handles = [
                inner.register_step_pre_hook(self._before_step),
                inner.register_step_post_hook(self._after_step),
            ]
        return self

    def remove(self) -> None:
        """Act no more; safe to call twice. Weights and gradients are left as they are."""
        for handle in self._handles:
            handle.remove()
        self._handles, self._follows = [], False
        for _, parameter in self._present():
            if _HOLDERS.get(parameter) is self:
                del _HOLDERS[parameter]

    @property
    def attached(self) -> bool:
        """Whether steps of an optimizer are acted on at present."""
        return self._follows or bool(self._handles)

    def apply(self) -> None:
        """Mask the present gradients now instead of when the step begins.

        For clipping that should see what is left, and inside the closure of optimizers such as
        LBFGS. Once per backward pass: rescaling would be done twice.
        """
        self._mask_gradients(dict(self._present()))
        self._applied = True

    def masks(self) -> dict[str, Tensor]:
        """Parameter name -> boolean mask of the next step, True where the gradient is kept.

        Made anew by every call. With ``step`` set before it, those of any other step.
        """
        return {name: self._mask(name, parameter) for name, parameter in self._present()}

    def _kept(self, name: str, parameter: Tensor) -> bool | Iterator[Piece]:
        """What is kept of a parameter in this step: all, nothing, or these pieces."""
        raise NotImplementedError

    def _step_done(self) -> None:
        """What a subclass kept for one step may go."""

    def _scale(self) -> float:
        """Factor of the gradients that are kept."""
        return 1.0

    def _mask(self, name: str, parameter: Tensor) -> Tensor:
        kept = self._kept(name, parameter)
        if isinstance(kept, bool):
            return torch.full_like(parameter, kept, dtype=torch.bool, requires_grad=False)
        return gather(kept, parameter).bool()

    def _present(self) -> Iterator[tuple[str, nn.Parameter]]:
        for name, reference in self._parameters.items():
            if (parameter := reference()) is not None:
                yield name, parameter

    def _trained_by(self, optimizer: torch.optim.Optimizer) -> dict[str, nn.Parameter]:
        held = {id(p) for group in optimizer.param_groups for p in group["params"]}
        return {name: p for name, p in self._present() if id(p) in held}

    @torch.no_grad()
    def _mask_gradients(self, parameters: Mapping[str, nn.Parameter]) -> None:
        scale = self._scale()
        for name, parameter in parameters.items():
            gradient = parameter.grad
            if gradient is None:
                continue
            if gradient.layout != torch.strided:
                raise ValueError(f"the gradient of {name!r} is sparse; leave it out by select=")
            kept = self._kept(name, parameter)
            if kept is False:
                gradient.zero_()
            elif kept is not True:
                zero_dropped(gradient, kept)
            if kept is not False and scale != 1:
                gradient.mul_(scale)

    def _before_step(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        parameters = self._trained_by(optimizer)
        if not self._applied:
            self._mask_gradients(parameters)
        self._saved = {}
        if self.mask == "update":
            self._saved = {
                name: p.detach().clone()
                for name, p in parameters.items()
                if p.requires_grad and self._kept(name, p) is not True
            }

    @torch.no_grad()
    def _after_step(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        parameters = dict(self._present())
        for name, old in self._saved.items():
            kept = self._kept(name, old)
            if isinstance(kept, bool):
                parameters[name].copy_(old)
            else:
                put_back(parameters[name], old, kept)
        self._saved, self._applied = {}, False
        self.step += 1
        self._step_done()


@cache
def _follow_every_optimizer() -> None:
    register_optimizer_step_pre_hook(_before_any_step)
    register_optimizer_step_post_hook(_after_any_step)


def _followers(optimizer: torch.optim.Optimizer) -> list[GradientMask]:
    """The masks that were given no optimizer and whose parameters this one trains."""
    parameters = (p for group in optimizer.param_groups for p in group["params"])
    found = {id(h): h for p in parameters if (h := _HOLDERS.get(p)) is not None}
    return [holder for holder in found.values() if holder._follows]


def _before_any_step(optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
    for holder in _followers(optimizer):
        holder._before_step(optimizer, args, kwargs)


def _after_any_step(optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
    for holder in _followers(optimizer):
        holder._after_step(optimizer, args, kwargs)


def _innermost(optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """The optimizer inside wrappers such as accelerate's ``AcceleratedOptimizer``."""
    while isinstance(inner := getattr(optimizer, "optimizer", None), torch.optim.Optimizer):
        optimizer = inner
    return optimizer
