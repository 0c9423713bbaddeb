"""Random bytes, the masks that are made of them, and how a mask acts on a tensor.

A mask of ten million elements in every step must be cheap. Drawing one float each takes longer
than the multiplication by far, so each element gets one random byte, eight of them from each
number that the generator makes. Nothing need be stored: bytes come from a generator that is seeded
with what they are for, and can be had again at any time.
"""

from __future__ import annotations

import hashlib
import math
import threading
from collections.abc import Iterable, Iterator
from typing import TypeAlias

import torch
from torch import Tensor

# Start of a piece, and its mask as int8: -1 (all bits set) where an element is kept, else 0. It is
# good until the next piece is asked for.
Piece: TypeAlias = tuple[int, Tensor]

# On a CPU a piece, its bytes and its bits should fit into the cache of one core; a multiple of 8.
PIECE = 2**18

# Room to widen one piece, of each thread: to ask for it anew each time takes a fifth of the time.
_ROOM = threading.local()

_INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def derive(*parts: int | str) -> int:
    """A seed in [0, 2^63) from ``parts``, the same on every machine."""
    text = "/".join(map(str, parts)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 1


def uniform(*parts: int | str) -> float:
    """A number in [0, 1) from ``parts``, the same on every machine."""
    return (derive(*parts) >> 10) / 2**53


def cut(rate: float, dither: float) -> int:
    r"""The number of byte values that a share ``rate`` of the bytes lies below.

    :math:`\lfloor 256 \cdot rate + dither \rfloor`, between 0 and 256. With ``dither`` uniform in
    [0, 1) its mean is exactly :math:`256 \cdot rate`: rates that are no multiple of 1/256 hold in
    expectation, not only to the nearest one. For one dither it never falls as the rate rises, so
    that windows which meet at a rate are disjoint.
    """
    return min(256, math.floor(256 * rate + dither))


class RandomPieces:
    """Maker of random masks on one device; holds a generator and room for one piece."""

    def __init__(self, device: torch.device) -> None:
        self.generator = torch.Generator(device)
        self._room = torch.empty(0, dtype=torch.int64, device=device)

    def __call__(self, count: int, seed: int, low: int, high: int) -> Iterator[Piece]:
        """A mask that keeps the elements whose random byte is in [low, high).

        Args:
            count: number of elements.
            seed: of these bytes.
            low, high: from ``cut``, with ``0 <= low < high <= 256``.
        """
        size = _size(self._room, count)
        if len(self._room) < (size + 7) // 8:
            self._room = self._room.new_empty((size + 7) // 8)
        self.generator.manual_seed(seed)
        for start in range(0, count, size):
            here = min(size, count - start)
            words = self._room[: (here + 7) // 8]
            # All 64 bits: from the least integer, with no upper end.
            values = words.random_(-(2**63), None, generator=self.generator)
            values = values.view(torch.uint8)[:here]
            # uint8 wraps around, so that one comparison will do for a window.
            kept = values.ge_(low) if high == 256 else values.sub_(low).lt_(high - low)
            yield start, kept.view(torch.int8).neg_()


def pieces_of(mask: Tensor) -> Iterator[Piece]:
    """Pieces of a stored mask: boolean, or int8 as ``gather`` gives it."""
    flat = mask.reshape(-1)
    size = _size(flat, len(flat))
    for start in range(0, len(flat), size):
        piece = flat[start : start + size]
        yield start, (piece.view(torch.int8).neg() if mask.dtype == torch.bool else piece)


def gather(pieces: Iterable[Piece], like: Tensor) -> Tensor:
    """The mask that ``pieces`` make up, in int8 and of the shape of ``like``."""
    mask = torch.empty(like.numel(), dtype=torch.int8, device=like.device)
    for start, keep in pieces:
        mask[start : start + len(keep)] = keep
    return mask.view(like.shape)


@torch.no_grad()
def zero_dropped(tensor: Tensor, pieces: Iterable[Piece]) -> None:
    """Set elements of ``tensor`` that are not kept to zero, in place.

    By bits, so that NaN and infinity become zero too, and what is kept keeps its bits: a wider
    integer made of -1 has all bits set.
    """
    flat = _flat(tensor)
    for start, keep in pieces:
        flat[start : start + len(keep)].bitwise_and_(_spread(keep, flat.dtype))
    _write(tensor, flat)


@torch.no_grad()
def put_back(tensor: Tensor, old: Tensor, pieces: Iterable[Piece]) -> None:
    """Set elements of ``tensor`` that are not kept to those of ``old``, bit by bit, in place."""
    flat, before = _flat(tensor), _flat(old)
    for start, keep in pieces:
        now, then = (t[start : start + len(keep)] for t in (flat, before))
        # Kept: then ^ (then ^ now). Dropped: then ^ 0.
        changed = (now ^ then).bitwise_and_(_spread(keep, flat.dtype))
        torch.bitwise_xor(then, changed, out=now)
    _write(tensor, flat)


def _size(tensor: Tensor, count: int) -> int:
    return PIECE if tensor.device.type == "cpu" and count > PIECE else max(1, count)


def _flat(tensor: Tensor) -> Tensor:
    # A view where memory is in order; a copy for other layouts, which _write puts back.
    return tensor.detach().view(_INTEGERS[tensor.element_size()]).reshape(-1)


def _write(tensor: Tensor, flat: Tensor) -> None:
    if not tensor.is_contiguous():
        tensor.copy_(flat.view(tensor.dtype).view(tensor.shape))


def _spread(keep: Tensor, dtype: torch.dtype) -> Tensor:
    if keep.device.type != "cpu" or len(keep) > PIECE:
        return keep.to(dtype)
    rooms = _ROOM.__dict__
    if dtype not in rooms:
        rooms[dtype] = torch.empty(PIECE, dtype=dtype)
    return rooms[dtype][: len(keep)].copy_(keep)
