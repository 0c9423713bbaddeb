"""Run linear layers with other weights than their own, without touching their parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

Weight = Callable[[str, bool], Tensor | None]


def reweight(
    layers: Mapping[str, Iterable[nn.Module]], weight: Weight, owner: object
) -> list[RemovableHandle]:
    """Make each call of ``layers`` use ``weight(name, training)``; None leaves the layer's own.

    The other tensor goes into the module's ``__dict__``, which Python looks at before the module's
    parameters, so that the parameter itself never moves: optimizers, ``state_dict`` and masks know
    nothing of it. ``copy.deepcopy`` and pickling give the model without it.

    Args:
        layers: parameter name -> the modules whose ``weight`` it is (``pruning.linear.owners``).
        weight: (parameter name, whether the module is in training mode) -> tensor of its shape.
        owner: who asks; the same kind of owner may not ask for a layer twice.

    Returns:
        Handles; ``remove()`` them all to end it.

    Raises:
        ValueError: a layer is reweighted by an owner of this kind already; nothing is changed.
    """
    layers = {name: list(modules) for name, modules in layers.items()}
    for name, modules in layers.items():
        for hook in (h for m in modules for h in m._forward_pre_hooks.values()):
            if isinstance(hook, _Hide) and type(hook.owner) is type(owner):
                kind = type(owner).__name__
                raise ValueError(
                    f"{name!r} has {kind} already; remove the first before you make another"
                )
    handles: list[RemovableHandle] = []
    for name, modules in layers.items():
        for module in modules:
            handles.append(module.register_forward_pre_hook(_Hide(owner, weight, name)))
            # Also after a call that failed, or the layer would keep the other weight.
            handles.append(module.register_forward_hook(_Restore(), always_call=True))
    return handles


class _Hide:
    """Before a layer's call: hides its weight behind another."""

    def __init__(self, owner: object, weight: Weight, name: str) -> None:
        self.owner, self.weight, self.name = owner, weight, name

    def __call__(self, module: nn.Module, args: Any) -> None:
        other = self.weight(self.name, module.training)
        if other is not None:
            module.__dict__["weight"] = other

    def __reduce__(self) -> tuple[type[_Inert], tuple[()]]:
        return _Inert, ()


class _Restore:
    """After a layer's call."""

    def __call__(self, module: nn.Module, args: Any, output: Any) -> None:
        module.__dict__.pop("weight", None)

    def __reduce__(self) -> tuple[type[_Inert], tuple[()]]:
        return _Inert, ()


class _Inert:
    """What a hook becomes in a copy of its model."""

    def __call__(self, *args: Any) -> None:
        pass
