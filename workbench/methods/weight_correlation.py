r"""Weight correlation: do the units of two networks point in the same direction?

Thesis equations 9.2 and 9.5, corrected as the docstring says; what AlignReg is made of.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor, nn

from workbench.methods.pruning.prunable import Rule, prunable_parameters, unwrap

Reference: TypeAlias = nn.Module | Mapping[str, Tensor]


def weight_correlation(weight: Tensor, reference: Tensor, *, absolute: bool = False) -> Tensor:
    r"""Mean cosine between the weight vectors of the same units in two networks.

    .. math:: \rho(W, R) = \frac1N \sum_{i=1}^N
              \frac{\langle W_i, R_i \rangle}{\|W_i\|_2 \|R_i\|_2}

    Thesis equation 9.2, corrected: the printed :math:`|\langle\cdot,\cdot\rangle|` rewards a unit
    that points the opposite way, though the same direction is asked for. Units are the rows of
    ``torch.nn.Linear.weight``, which are the columns of the printed matrix. The gradient is
    equation 9.5, corrected (the printed one is of the other argument, divides by N - 1 and sums
    over the units):

    .. math:: \frac{\partial\rho}{\partial W_{ij}} = \frac1N \left[
              \frac{R_{ij}}{\|W_i\| \|R_i\|}
              - \frac{W_{ij} \langle W_i, R_i \rangle}{\|W_i\|^3 \|R_i\|} \right]

    times the sign of :math:`\langle W_i, R_i \rangle` for the printed form. A unit without a single
    weight left points nowhere: it counts as :math:`\rho_i = 0`, and gets no gradient. It stays in
    the mean, so that the others are pulled no harder when a unit dies.

    Args:
        weight: (units, inputs).
        reference: (units, inputs).
        absolute: ``True`` gives equation 9.2 as printed.

    Returns:
        Scalar in [-1, 1] ([0, 1] if absolute).

    References:
        Jin et al., "How does weight correlation affect the generalisation ability of deep neural
        networks?", NeurIPS 2020, arXiv 2010.05983 (between units of one network, penalised).
    """
    ours, theirs = weight.square().sum(-1), reference.square().sum(-1)
    nowhere = (ours == 0) | (theirs == 0)
    # Masked before the root, so that a dead unit has gradient 0 and not NaN. Products and sums,
    # not a matrix product: autocast would compute that in half precision.
    lengths = ours.masked_fill(nowhere, 1).sqrt() * theirs.masked_fill(nowhere, 1).sqrt()
    cosines = ((weight * reference).sum(-1) / lengths).masked_fill(nowhere, 0)
    return (cosines.abs() if absolute else cosines).mean()


def correlations(
    model: nn.Module,
    reference: Reference,
    *,
    layerwise: bool = False,
    absolute: bool = False,
    masks: Mapping[str, Tensor] | None = None,
    prunable: Rule | None = None,
) -> dict[str, Tensor]:
    r"""Equation 9.2 of every layer: parameter name -> scalar :math:`\rho_l`.

    Args and raises are those of ``alignment.cosine``, whose layers these are; ``layerwise``
    compares whole layers as vectors, as ``alignment.layer_cosine`` does.
    """
    found = {}
    for layer in paired_layers(model, reference, masks, prunable):
        pair = (layer.weight, layer.reference)
        if layerwise:
            pair = (pair[0].reshape(1, -1), pair[1].reshape(1, -1))
        found[layer.name] = weight_correlation(*pair, absolute=absolute)
    return found


class PairedLayer(NamedTuple):
    """One prunable weight and its reference, (units, inputs), with zeros where it is masked."""

    name: str
    weight: Tensor
    reference: Tensor
    mask: Tensor | None


def paired_layers(
    model: nn.Module,
    reference: Reference,
    masks: Mapping[str, Tensor] | None,
    prunable: Rule | None,
) -> Iterator[PairedLayer]:
    """Every prunable weight beside its reference, which is detached; see ``alignment.cosine``."""
    if isinstance(reference, nn.Module):
        theirs: Mapping[str, Tensor] = dict(
            unwrap(reference).named_parameters(remove_duplicate=False)
        )
    elif isinstance(reference, Mapping):
        theirs = reference
    else:
        raise TypeError(
            "reference must be a torch.nn.Module or a mapping of parameter name -> tensor, "
            f"got {type(reference).__name__}"
        )
    for name, parameter in prunable_parameters(model, prunable).items():
        other = _matching(name, parameter, theirs, "the reference")
        weight, other = _wide(parameter), _wide(other.detach()).to(parameter.device)
        mask = None
        if masks is not None:
            mask = _matching(name, parameter, masks, "masks").to(parameter.device).bool()
            weight = weight.masked_fill(~mask, 0)  # a product would keep NaN
        owner = unwrap(model).get_submodule(name.rpartition(".")[0])
        yield PairedLayer(
            name,
            _by_unit(weight, owner),
            _by_unit(other.to(weight.dtype), owner),
            None if mask is None else _by_unit(mask, owner),
        )


def _by_unit(weight: Tensor, owner: nn.Module) -> Tensor:
    """(units, inputs): a row for each output of the layer."""
    # Transposed maps hold their outputs in columns; GPT-2's is told by name, without transformers.
    if type(owner).__name__ == "Conv1D" or type(owner).__name__.startswith("ConvTranspose"):
        weight = weight.transpose(0, 1)
    return weight.reshape(len(weight), -1)


def _wide(x: Tensor) -> Tensor:
    """Half precision computes in float32; float64 stays."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def _matching(name: str, parameter: Tensor, others: Mapping[str, Tensor], what: str) -> Tensor:
    if name not in others:
        raise ValueError(
            f"{what} has no {name!r}; its first names are {list(others)[:3]}. Give the same "
            "architecture, or a predicate prunable= that selects only what both have"
        )
    if others[name].shape != parameter.shape:
        raise ValueError(
            f"{name!r} has shape {tuple(parameter.shape)} in the model, "
            f"but {tuple(others[name].shape)} in {what}"
        )
    return others[name]
