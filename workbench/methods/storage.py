"""How many bytes a compressed model takes when it is stored as well as its method allows."""

from __future__ import annotations

import math
from collections.abc import Collection

import numpy as np
import torch
from torch import Tensor, nn

from workbench.methods.pruning.packing import pack
from workbench.methods.pruning.prunable import unwrap


def stored_bytes(model: nn.Module, *, shared: Collection[str] = (), sparse: bool = True) -> int:
    r"""Bytes of all tensors of a model's state, each stored once and in its smallest form.

    ============================  ==========================================================
    dense                         n b bytes, for n elements of b bytes
    sparse (``save_sparse``)      :math:`\lceil n / 8 \rceil` bytes of bitmask and b for each
                                  element that is not zero, where that is less
    codes (k-means)               :math:`\lceil n \lceil \log_2 k \rceil / 8 \rceil` bytes of codes
                                  and k b bytes of codebook, for those named in ``shared``
    ============================  ==========================================================

    Fused layers count once, as any parameters that are the same; the two factors of a decomposed
    layer are plain tensors. Names and shapes are left out: a hundred bytes a tensor, in any method.

    Args:
        model: any module; wrappers are looked through.
        shared: names of parameters with shared weights, as ``share_weights`` returns them. Their
            clusters are counted, not believed: where training has moved the weights apart, codes
            would be larger, and the tensor counts as dense.
        sparse: whether zeros may be left out.

    Raises:
        ValueError: a name in ``shared`` is unknown.
    """
    state = unwrap(model).state_dict()
    unknown = [name for name in shared if name not in state]
    if unknown:
        raise ValueError(
            f"{type(unwrap(model)).__name__} has no parameter {unknown[0]!r} ({len(unknown)} "
            "unknown); give the names that share_weights returned"
        )
    total, seen = 0, set()
    for name, tensor in state.items():
        place = (tensor.data_ptr(), tensor.device, tensor.shape, tensor.stride(), tensor.dtype)
        if place in seen and tensor.numel():
            continue
        seen.add(place)
        sizes = [tensor.numel() * tensor.element_size()]
        if sparse and (packed := pack(tensor)) is not None:
            sizes.append(sum(part.numel() * part.element_size() for part in packed))
        if name in shared:
            clusters = len(torch.unique(tensor))
            codes = math.ceil(tensor.numel() * code_bits(clusters) / 8)
            sizes.append(codes + clusters * tensor.element_size())
        total += min(sizes)
    return total


def code_bits(clusters: int) -> int:
    r"""Bits of a code, :math:`\lceil \log_2 k \rceil`; 0 for one cluster."""
    return (clusters - 1).bit_length()


def pack_codes(tensor: Tensor) -> tuple[Tensor, Tensor]:
    """A tensor of few distinct values as (codebook, codes in as few bits as will do).

    Returns:
        The distinct values in rising order, and ceil(n code_bits(k) / 8) bytes (uint8).
    """
    codebook, codes = torch.unique(tensor.detach().cpu(), return_inverse=True)
    bits = code_bits(len(codebook))
    planes = codes.reshape(-1, 1).numpy() >> np.arange(bits) & 1
    packed = np.packbits(planes.astype(np.uint8).reshape(-1), bitorder="little")
    return codebook, torch.from_numpy(packed)


def unpack_codes(codebook: Tensor, packed: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The tensor of ``shape`` that ``pack_codes`` packed, bit for bit (but -0.0, which is 0.0).

    Raises:
        ValueError: sizes do not agree.
    """
    bits, count = code_bits(len(codebook)), math.prod(shape)
    if len(packed) != math.ceil(count * bits / 8):
        raise ValueError(
            f"{len(packed)} bytes do not hold {count} codes of {bits} bits; give the shape and "
            "the codebook that belong to them"
        )
    planes = np.unpackbits(packed.numpy(), count=count * bits, bitorder="little")
    codes = planes.reshape(count, bits).astype(np.int64) @ (1 << np.arange(bits))
    if count and codes.max(initial=0) >= len(codebook):
        raise ValueError(f"a code is {codes.max()}, the codebook has {len(codebook)} values")
    return codebook[torch.from_numpy(codes)].reshape(shape)
