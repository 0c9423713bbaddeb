"""Which parameters gradient dropout touches, and which layer each belongs to."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TypeAlias

from torch import nn

from workbench.methods.pruning.prunable import OUTSIDE, unwrap

Select: TypeAlias = Callable[[str, nn.Parameter], bool]


def maskable_parameters(model: nn.Module, select: Select | None = None) -> dict[str, nn.Parameter]:
    """The parameters whose gradients may be dropped.

    Args:
        model: any module; wrappers of data parallelism and ``torch.compile`` are looked through.
        select: predicate ``(parameter name, parameter) -> bool``. Left out, every parameter but
            those of the embeddings and of the head, as in thesis section 10.3.4: weights, biases
            and norms of all layers. A parameter that is also an embedding table is left out.

    Returns:
        Parameter name -> parameter in the order of ``model.named_parameters()``, bottom first.

    Raises:
        ValueError: nothing is selected.
        TypeError: ``model`` is not a module.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    model = unwrap(model)
    tables: set[int] = set()
    if select is None:
        tables = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    chosen = select or inside
    found = {
        name: parameter
        for name, parameter in model.named_parameters()
        if id(parameter) not in tables and chosen(name, parameter)
    }
    if not found:
        names = [name for name, _ in model.named_parameters()]
        which = "outside its embeddings and head" if select is None else "under this predicate"
        raise ValueError(
            f"{type(model).__name__} has no parameter {which}; it has {names[:4] or 'none'} ... "
            "Pass select=, a predicate (parameter name, parameter) -> bool that is true for some."
        )
    return found


def inside(name: str, parameter: nn.Parameter) -> bool:
    """The default rule: no component of the dotted name is of the embeddings or the head."""
    return not any(part in OUTSIDE or part.startswith("embed") for part in name.split("."))


def layer_of(name: str) -> str:
    """The layer that a parameter belongs to: its name up to the first number.

    ``encoder.layer.3.output.dense.weight`` is in ``encoder.layer.3``; a name without a number is
    in its module, ``fc1.weight`` in ``fc1``.
    """
    numbered = re.match(r"((?:[^.]+\.)*?\d+)\.", name)
    return numbered[1] if numbered else (name.rpartition(".")[0] or name)


def layers(names: Iterable[str]) -> dict[str, str]:
    """Parameter name -> layer, for all ``names``; layers come in the order of their first."""
    return {name: layer_of(name) for name in names}
