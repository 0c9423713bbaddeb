"""Criteria and scopes by name: what a setting says, as scores and masks of a model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn

    from workbench.methods.pruning import Masks

DATA_FREE = ("random", "magnitude", "lookahead", "lamp", "synflow")
NEED_DATA = (
    "gradient", "taylor", "movement", "wanda", "snip", "fisher", "optimal_brain_damage",
)  # fmt: skip
CRITERIA = (*DATA_FREE, *NEED_DATA)
"""The functions of ``workbench.methods.pruning`` that score weights."""
SCOPES = ("layer", "global", "row")
SIGNS = 4
"""Random sign vectors a batch in the Hessian diagonal of optimal brain damage."""


def scores(
    model: nn.Module,
    criterion: str,
    *,
    seed: int,
    batches: Callable[[], Iterable[Mapping[str, Tensor]]],
) -> Mapping[str, Tensor]:
    """What each prunable weight is worth: parameter name -> tensor of the parameter's shape.

    ``seed`` is of the criteria that draw (random, optimal brain damage); ``batches()`` is called
    by those that read data. Raises ``ValueError`` for a criterion that there is not, and what the
    criterion itself raises.
    """
    from workbench.methods import pruning

    if criterion not in CRITERIA:
        raise ValueError(f"criterion = {criterion!r} is not one of {', '.join(CRITERIA)}.")
    score = getattr(pruning, criterion)
    options: dict[str, Any] = {}
    if criterion in ("random", "optimal_brain_damage"):
        import torch

        options["generator"] = torch.Generator().manual_seed(seed)
    if criterion == "optimal_brain_damage":
        options["samples"] = SIGNS
    given = (batches(),) if criterion in NEED_DATA else ()
    return score(model, *given, **options)


def choose(
    scores: Mapping[str, Tensor],
    scope: str,
    density: float,
    *,
    within: Mapping[str, Tensor] | None = None,
    outputs: int = 0,
) -> Masks:
    """The highest ``scores`` of each layer, of each output unit (row), or of all.

    ``within`` are earlier masks, from which nothing comes back; ``outputs`` is the axis of output
    units, 1 for GPT-2's transposed layers. Raises ``ValueError`` for a scope that there is not.
    """
    from workbench.methods.pruning import Masks

    if scope == "row":
        return Masks.rowwise(scores, density, within=within, outputs=outputs)
    if scope not in SCOPES:
        raise ValueError(f"scope = {scope!r} is not one of {', '.join(SCOPES)}.")
    make = Masks.globally if scope == "global" else Masks.layerwise
    return make(scores, density, within=within)
