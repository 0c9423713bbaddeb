"""Gradients of a loss for scoring: a batch goes in, and the model comes back as it was."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from workbench.methods.pruning.prunable import Rule, prunable_parameters, unwrap

Batch: TypeAlias = Any  # a mapping, or a pair (inputs, targets); anything, if a loss is given
Loss: TypeAlias = Callable[[nn.Module, Batch], Tensor]
Per: TypeAlias = Literal["all", "batch", "example"]


def mean_over_examples(
    model: nn.Module,
    batches: Iterable[Batch],
    prunable: Rule | None = None,
    loss: Loss | None = None,
    *,
    of: Callable[[Tensor, Tensor], Tensor] = lambda gradient, weight: gradient,
    per: Literal["batch", "example"] = "batch",
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    r"""Average a function of gradient and weight over a calibration set.

    .. math:: \frac{1}{N} \sum_b n_b \, f(g_b, w), \qquad g_b = \nabla_w \frac{1}{n_b}
        \sum_{n \in b} \ell_n

    for batches :math:`b` of :math:`n_b` rows, :math:`N = \sum_b n_b`: batches weigh as much as they
    have rows, so that a short last batch is not overrated. With the identity for :math:`f` this is
    the gradient of the mean loss of all examples, however they are cut into batches.

    Args:
        model: any module; wrappers are looked through. Scored in evaluation mode (no dropout) and
            given back as it was, also when something fails: training flags, ``requires_grad``,
            ``.grad`` and weights. Only prunable weights are differentiated, frozen or not.
        batches: mappings, scored by ``model(**batch).loss``; or pairs ``(inputs, targets)``, by the
            cross-entropy of ``model(inputs)`` for integer targets and the mean squared error for
            others. Moved to the model's device. Read once, so a generator will do.
        prunable: predicate ``(module name, module) -> bool`` instead of the default rule.
        loss: ``(model, batch) -> scalar``, the mean over the rows of the batch, instead.
        of: :math:`f`, of gradient and weight, both in float32 (float64 for such weights).
        per: what :math:`b` is. ``example`` runs each row of a batch by itself, exactly and slowly:
            rows are cut from every tensor whose first dimension is the batch's.

    Returns:
        The weights (copies, in float32 or float64), and the averages; parameter name -> tensor.

    Raises:
        ValueError: there are no batches or no loss; the loss is not a finite scalar, or depends on
            none of the prunable weights. A weight that the loss does not use has gradient zero.
        TypeError: a batch is of another kind.

    Note:
        Attached masks zero the gradients of pruned weights here as in training, unless they were
        attached with ``mask_gradients=False``.
    """
    with undisturbed(model, prunable) as parameters:
        weights = {name: widen(parameter) for name, parameter in parameters.items()}
        sums = {name: torch.zeros_like(weight) for name, weight in weights.items()}
        total = 0
        for value, rows in losses(model, batches, loss, per=per):
            total += rows
            for name, gradient in gradients(value, parameters).items():
                sums[name].add_(of(widen(gradient), weights[name]), alpha=rows)
        return weights, {name: tensor.div_(total) for name, tensor in sums.items()}


@contextmanager
def undisturbed(
    model: nn.Module, prunable: Rule | None = None
) -> Iterator[dict[str, nn.Parameter]]:
    """The prunable parameters of a model in evaluation mode, differentiable; undone at the end."""
    inner = unwrap(model)
    parameters = prunable_parameters(model, prunable)
    training = [(module, module.training) for module in inner.modules()]
    required = [(parameter, parameter.requires_grad) for parameter in parameters.values()]
    try:
        inner.eval()
        for parameter in parameters.values():
            parameter.requires_grad_(True)
        with torch.inference_mode(False), torch.enable_grad():
            yield parameters
    finally:
        for module, flag in training:
            module.training = flag
        for parameter, flag in required:
            parameter.requires_grad_(flag)


def losses(
    model: nn.Module,
    batches: Iterable[Batch],
    loss: Loss | None = None,
    *,
    per: Literal["batch", "example"] = "batch",
) -> Iterator[tuple[Tensor, int]]:
    """Yield (loss, number of rows) of each batch, or of each of its rows."""
    if per not in ("batch", "example"):
        raise ValueError(f"per={per!r}; allowed: 'batch' or 'example'")
    inner = unwrap(model)
    for number, batch in enumerate(moved(batches, inner)):
        rows = _rows(batch)
        if rows == 0:
            raise ValueError(f"batch {number} has no rows; leave empty batches out")
        parts = [batch] if per == "batch" else [_row(batch, i, rows) for i in range(rows)]
        for part in parts:
            value = loss(inner, part) if loss is not None else _loss(inner, part)
            yield _checked(value, number), rows if per == "batch" else 1


def moved(batches: Iterable[Batch], model: nn.Module) -> Iterator[Batch]:
    """The batches on the model's device; refused when there are none."""
    if isinstance(batches, Mapping | Tensor | str):
        raise TypeError(
            f"batches must be an iterable of batches, got one {type(batches).__name__}; "
            "wrap it: [batch]"
        )
    device = next(model.parameters()).device
    empty = True
    for batch in batches:
        empty = False
        yield _apply(batch, lambda tensor: tensor.to(device))
    if empty:
        raise ValueError(
            "there are no batches to score on; give at least one (a generator is used up after "
            "one pass: make a new one, or a list)"
        )


def gradients(value: Tensor, parameters: Mapping[str, Tensor], **kwargs: Any) -> dict[str, Tensor]:
    """Parameter name -> gradient, without touching ``.grad``; zero where there is none."""
    found = torch.autograd.grad(value, list(parameters.values()), allow_unused=True, **kwargs)
    if all(gradient is None for gradient in found):
        raise ValueError("the loss depends on none of the prunable weights; check loss= and model")
    return {
        name: torch.zeros_like(parameter) if gradient is None else gradient
        for (name, parameter), gradient in zip(parameters.items(), found, strict=True)
    }


def widen(tensor: Tensor) -> Tensor:
    """A detached copy in at least float32: squares of 16-bit gradients underflow."""
    wide = torch.promote_types(tensor.dtype, torch.float32)
    return tensor.detach().to(wide, copy=True)


def forward(model: nn.Module, batch: Batch) -> Any:
    """What the model says of a batch: ``model(**mapping)``, or ``model(inputs)`` of a pair."""
    if isinstance(batch, Mapping):
        return model(**batch)
    if isinstance(batch, tuple | list) and len(batch) == 2:
        inputs = batch[0]
        return model(**inputs) if isinstance(inputs, Mapping) else model(inputs)
    raise TypeError(
        f"a batch must be a mapping for model(**batch), or a pair (inputs, targets), got "
        f"{type(batch).__name__}; for other batches pass loss=lambda model, batch: ..."
    )


def _loss(model: nn.Module, batch: Batch) -> Tensor:
    output = forward(model, batch)
    if isinstance(batch, Mapping):
        value = output.get("loss") if isinstance(output, Mapping) else getattr(output, "loss", None)
        if value is None:
            raise ValueError(
                f"{type(model).__name__} returned no loss for a batch with the keys "
                f"{sorted(map(str, batch))}; add its labels, or pass loss=lambda model, batch: ..."
            )
        return value
    logits, targets = getattr(output, "logits", output), batch[1]
    if not targets.is_floating_point():
        return F.cross_entropy(logits.flatten(0, -2), targets.flatten())
    if logits.shape != targets.shape:
        if logits.shape != (*targets.shape, 1):
            raise ValueError(
                f"outputs of shape {tuple(logits.shape)} and float targets of shape "
                f"{tuple(targets.shape)} do not pair for a squared error; make the shapes equal, "
                "or pass loss=lambda model, batch: ..."
            )
        logits = logits.squeeze(-1)
    return F.mse_loss(logits, targets.to(logits.dtype))


def _checked(value: Any, number: int) -> Tensor:
    if not isinstance(value, Tensor) or value.numel() != 1:
        shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise ValueError(
            f"the loss of batch {number} must be a scalar tensor, got {shape}; take the mean"
        )
    if not math.isfinite(float(value.detach())):
        raise ValueError(f"the loss of batch {number} is {float(value.detach())}; look at its rows")
    if not value.requires_grad:
        raise ValueError(
            f"the loss of batch {number} has no gradient: it depends on no prunable weight, or "
            "was computed under torch.no_grad or detached"
        )
    return value.reshape(())


def _apply(batch: Batch, change: Callable[[Tensor], Tensor]) -> Batch:
    """The same structure with each tensor changed."""
    if isinstance(batch, Tensor):
        return change(batch)
    if isinstance(batch, Mapping):
        return {key: _apply(value, change) for key, value in batch.items()}
    if isinstance(batch, tuple | list):
        parts = [_apply(value, change) for value in batch]
        return type(batch)(*parts) if hasattr(batch, "_fields") else type(batch)(parts)
    return batch


def _rows(batch: Batch) -> int:
    """The first dimension of the first tensor that has one."""
    sizes: list[int] = []

    def look(tensor: Tensor) -> Tensor:
        sizes.extend(tensor.shape[:1])
        return tensor

    _apply(batch, look)
    if not sizes:
        raise TypeError(
            f"a batch of type {type(batch).__name__} holds no tensor with rows; give a mapping of "
            "tensors or a pair (inputs, targets)"
        )
    return sizes[0]


def _row(batch: Batch, index: int, rows: int) -> Batch:
    def cut(tensor: Tensor) -> Tensor:
        return tensor[index : index + 1] if tensor.shape[:1] == (rows,) else tensor

    return _apply(batch, cut)
