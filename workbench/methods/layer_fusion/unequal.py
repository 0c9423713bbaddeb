"""Layers of different sizes that share one tensor: which part of it each of them reads.

``pad`` shares a tensor as large as the largest layer; the others read its leading block.
``truncate`` shares one as small as the smallest; a larger layer is zero but for its strongest
units, which read the shared tensor.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

Unequal = Literal["error", "pad", "truncate"]


class Part(nn.Module):
    """Parametrisation: a layer's tensor from the shared one.

    With ``pad``, ``shared[index]``. With ``truncate``, zeros of ``shape`` but for ``[index]``,
    which are the shared tensor.
    """

    def __init__(self, shape: torch.Size, index: Sequence[Tensor], smaller: bool) -> None:
        super().__init__()
        self.shape, self.smaller = tuple(shape), smaller
        for dimension, positions in enumerate(index):
            self.register_buffer(f"index_{dimension}", positions)

    def index(self) -> tuple[Tensor, ...]:
        """Open mesh over the leading dimensions."""
        positions = list(self.buffers())
        last = len(positions) - 1
        return tuple(p.view(-1, *[1] * (last - d)) for d, p in enumerate(positions))

    def forward(self, shared: Tensor) -> Tensor:
        if self.smaller:
            return shared[self.index()]
        return shared.new_zeros(self.shape).index_put(self.index(), shared)

    def spread(self, tensor: Tensor, shape: torch.Size) -> tuple[Tensor, Tensor]:
        """The layer's own tensor in the shape of the shared one, and where it is present."""
        if not self.smaller:
            own = tensor[self.index()]
            return own, torch.ones_like(own, dtype=torch.bool)
        there = torch.zeros(shape, dtype=torch.bool, device=tensor.device)
        there[self.index()] = True
        return tensor.new_zeros(shape).index_put(self.index(), tensor), there


def shared_shape(tensors: Sequence[Tensor], unequal: Unequal) -> torch.Size:
    """The largest (``pad``) or smallest (``truncate``) size in each dimension."""
    choose = max if unequal == "pad" else min
    return torch.Size(choose(sizes) for sizes in zip(*(t.shape for t in tensors), strict=True))


def weight_part(weight: Tensor, shape: torch.Size, unequal: Unequal) -> Part:
    """What a weight reads of a shared weight of ``shape``.

    ``truncate`` keeps the outputs of largest norm, then the inputs of largest norm, in their order:
    thesis section A.1 drops single weights of least magnitude from the vectorised second tensor,
    after which no weight would stand where it stood; whole units keep their places.
    """
    index = []
    for dimension in range(2):
        own, wanted = weight.shape[dimension], shape[dimension]
        if own > wanted:
            norms = weight.detach().movedim(dimension, 0).flatten(1).norm(dim=1)
            index.append(norms.topk(wanted).indices.sort().values)
        else:
            index.append(torch.arange(own, device=weight.device))
    return Part(weight.shape, index, unequal == "pad")


def bias_part(bias: Tensor, of: Part, output_dimension: int) -> Part:
    """The same outputs of a bias."""
    return Part(bias.shape, [list(of.buffers())[output_dimension]], of.smaller)


def share(module: nn.Module, attribute: str, shared: nn.Parameter, part: Part) -> None:
    """Make the module read its ``attribute`` through ``part`` out of ``shared``."""
    parametrize.register_parametrization(module, attribute, part, unsafe=True)
    module.parametrizations[attribute].original = shared  # type: ignore[index, union-attr]


def own_again(model: nn.Module) -> None:
    """Give every layer that reads a part of a shared tensor a parameter of its own."""
    for module in list(model.modules()):
        chains = dict(getattr(module, "parametrizations", {}).items())
        if not any(isinstance(chain[0], Part) for chain in chains.values()):
            continue
        own = {
            attribute: nn.Parameter(getattr(module, attribute).detach().clone(), trained)
            for attribute, chain in chains.items()
            for trained in [chain.original.requires_grad]
        }
        # Not torch's removal: it strips the class, which copies of the module have in common.
        module.__class__ = parametrize.type_before_parametrizations(module)
        del module._modules["parametrizations"]
        module._parameters.update(own)
