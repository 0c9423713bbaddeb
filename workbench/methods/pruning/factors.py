"""Scores that are a weight times a factor of its row and one of its column."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias

import torch
from torch import Tensor, nn

from workbench.methods.pruning.wiring import LinearMap

# A map (out, in), factors of its rows (out,) and of its columns (in,).
Factors: TypeAlias = tuple[LinearMap, Tensor, Tensor]


def rank_one(
    parameters: Mapping[str, nn.Parameter], factors: Iterable[Factors]
) -> dict[str, Tensor]:
    r"""Scores :math:`|W_{ij}| r_i c_j`; a map that occurs several times gets the sum.

    Args:
        parameters: parameter name -> what is to be scored.
        factors: map (out, in), factor r of its rows (out,) and c of its columns (in,).

    Returns:
        Parameter name -> scores of the parameter's shape, in float32 or float64; only for
        parameters that ``factors`` speaks of.
    """
    names = {id(parameter): name for name, parameter in parameters.items()}
    scores: dict[str, Tensor] = {}
    for linear, rows, columns in factors:
        name = names.get(id(linear.parameter))
        if name is None:
            continue
        weight = linear.parameter.detach()
        kind = torch.promote_types(weight.dtype, torch.float32)
        scale = columns.max().clamp_min(torch.finfo(torch.float64).tiny) if len(columns) else 1
        # Balanced, so that neither factor leaves the range of float32.
        rows = (rows * scale).to(weight.device, kind)
        columns = (columns / scale).to(weight.device, kind)
        scaled = linear.weight.abs().to(kind).mul_(rows[:, None]).mul_(columns)
        whole = scaled.shape == weight.shape and scaled.stride() == weight.stride()
        if name not in scores and whole and linear.weight.stride() == weight.stride():
            scores[name] = scaled  # no part of it is elsewhere, so there is nothing to add to
            continue
        if name not in scores:
            scores[name] = torch.zeros_like(weight, dtype=kind)
        linear.view(scores[name]).add_(scaled)
    return scores


def outputs(linear: LinearMap) -> Tensor:
    """(out,) float64 ones."""
    return linear.weight.new_ones(linear.weight.shape[0], dtype=torch.float64)


def inputs(linear: LinearMap) -> Tensor:
    """(in,) float64 ones."""
    return linear.weight.new_ones(linear.weight.shape[1], dtype=torch.float64)


def times(factor: Tensor, gain: Tensor | None) -> Tensor:
    """``factor`` scaled by a norm's gain, if there is one."""
    return factor if gain is None else factor * gain.to(factor.device)
