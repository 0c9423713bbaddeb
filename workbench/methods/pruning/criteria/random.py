"""Random: every weight is worth the same; the floor that any criterion must beat."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from workbench.methods.pruning.prunable import Rule, prunable_parameters


def random(
    model: nn.Module,
    generator: torch.Generator | None = None,
    prunable: Rule | None = None,
) -> dict[str, Tensor]:
    r"""Score every prunable weight by an independent draw from :math:`U[0, 1)`.

    Numbers are drawn on the generator's device (the CPU by default) and then moved, so one seed
    gives the same masks on every device. In iterative pruning pass the previous masks as
    ``within=`` to ``Masks``: otherwise fresh scores would bring pruned weights back.

    Args:
        model: any module; nothing in it is changed.
        generator: a seeded ``torch.Generator``; the global generator of torch when left out.
        prunable: predicate ``(module name, module) -> bool`` instead of the default rule.

    Returns:
        Parameter name -> float32 tensor of the parameter's shape, on its device.

    Raises:
        ValueError: the rule selects no weight.
    """
    device = generator.device if generator is not None else "cpu"
    return {
        name: torch.rand(
            parameter.shape, generator=generator, device=device, dtype=torch.float32
        ).to(parameter.device)
        for name, parameter in prunable_parameters(model, prunable).items()
    }
