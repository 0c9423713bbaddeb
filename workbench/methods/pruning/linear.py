"""The linear layers that a parameter belongs to, for methods that watch or change their call."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear


def owners(
    model: nn.Module, parameters: Mapping[str, Tensor], method: str
) -> dict[str, list[nn.Module]]:
    """Parameter name -> the linear modules that multiply their input with it.

    Raises:
        ValueError: a parameter belongs to another module too, or to a projection of
            ``torch.nn.MultiheadAttention``, which reads its weights without calling a layer.
    """
    names = {id(parameter): name for name, parameter in parameters.items()}
    found: dict[str, list[nn.Module]] = {name: [] for name in parameters}
    for path, module in model.named_modules():
        for attribute, parameter in module._parameters.items():
            name = names.get(id(parameter))
            if name is None:
                continue
            called = isinstance(module, nn.Linear) or is_transposed(module)
            hidden = isinstance(module, NonDynamicallyQuantizableLinear)
            if attribute != "weight" or not called or hidden:
                where = f"{path}.{attribute}" if path else attribute
                raise ValueError(
                    f"{method} is defined for torch.nn.Linear and GPT-2's Conv1D, but {where!r} is "
                    f"a weight of {type(module).__name__}; leave it out with "
                    "prunable=lambda name, module: ..."
                )
            found[name].append(module)
    return found


def is_transposed(module: nn.Module) -> bool:
    """Is ``module`` GPT-2's ``Conv1D``, a linear map with weights (inputs, outputs)?"""
    return any(
        kind.__name__ == "Conv1D" and kind.__module__ == "transformers.pytorch_utils"
        for kind in type(module).__mro__
    )
