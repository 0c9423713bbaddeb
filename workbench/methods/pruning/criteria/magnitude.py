"""Magnitude: a weight is worth its absolute value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import Tensor, nn

from workbench.methods.pruning.prunable import Rule, prunable_parameters


def magnitude(
    model: nn.Module, prunable: Rule | None = None, *, lazy: bool = False
) -> Mapping[str, Tensor]:
    r"""Score every prunable weight by its magnitude, :math:`|W_{ij}|`.

    The criterion of magnitude-based pruning (MBP), layer-wise or global by the choice of
    ``Masks.layerwise`` or ``Masks.globally``. Removing the smallest magnitudes of a layer minimises
    the Frobenius distortion :math:`\|W - M \odot W\|_F`, the first term of thesis equation 11.4.

    Args:
        model: any module; nothing in it is changed.
        prunable: predicate ``(module name, module) -> bool`` instead of the default rule.
        lazy: ``False`` gives a dict that holds a copy of the weights as they are now. ``True``
            gives a read-only mapping that computes each tensor when it is read, so that it follows
            the weights and holds no copy: made for very large models.

    Returns:
        Parameter name -> tensor of the parameter's shape, dtype and device.

    Raises:
        ValueError: the rule selects no weight.

    References:
        Han et al., "Learning both weights and connections for efficient neural networks", 2015.
    """
    parameters = prunable_parameters(model, prunable)
    if lazy:
        return _Magnitudes(parameters)
    return {name: parameter.detach().abs() for name, parameter in parameters.items()}


class _Magnitudes(Mapping[str, Tensor]):
    """Absolute values of ``parameters``, computed on each read."""

    def __init__(self, parameters: Mapping[str, Tensor]) -> None:
        self._parameters = parameters

    def __getitem__(self, name: str) -> Tensor:
        return self._parameters[name].detach().abs()

    def __iter__(self) -> Iterator[str]:
        return iter(self._parameters)

    def __len__(self) -> int:
        return len(self._parameters)
