"""Pictures with labels as arrays, what is known about a task of them, and how they are split."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from workbench.datasets.rows import Row, split
from workbench.sources import Hub, Wheel

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class ImageTask:
    """Pictures of one size, (height, width), with ``channels`` 1 (grey) or 3 (red, green, blue).

    ``version`` changes when the loader gives other pictures or labels.
    """

    name: str
    title: str
    labels: tuple[str, ...]
    channels: int
    size: tuple[int, int]
    sources: tuple[Wheel | Hub, ...]
    licence: str
    citation: str
    note: str = ""
    version: int = 1


@dataclass(frozen=True, eq=False)
class Images:
    """``pixels`` (n, height, width, channels) uint8, ``labels`` (n,) int64: numbers of classes.

    Raises ValueError where shapes or dtypes are others.
    """

    pixels: np.ndarray
    labels: np.ndarray

    def __post_init__(self) -> None:
        pixels, labels = self.pixels, self.labels
        if pixels.ndim != 4 or labels.shape != pixels.shape[:1]:
            raise ValueError(
                f"pixels {pixels.shape} and labels {labels.shape}; they must be (n, height, width, "
                "channels) and (n,)."
            )
        if pixels.dtype != np.uint8 or labels.dtype != np.int64:
            raise ValueError(f"dtypes {pixels.dtype}, {labels.dtype}; must be uint8 and int64.")

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: Sequence[int] | np.ndarray) -> Images:
        """The pictures with these numbers, in this order."""
        chosen = np.asarray(indices, dtype=np.int64)
        return Images(self.pixels[chosen], self.labels[chosen])


def divided(
    images: Images,
    groups: Sequence[str],
    *,
    name: str,
    seed: int,
    validation: float = 0.1,
    test: float = 0.2,
) -> dict[str, Images]:
    """Split by group, stratified by class: see ``rows.split``."""
    rows = [
        Row(str(i), str(label), "all", group)
        for i, (label, group) in enumerate(zip(images.labels.tolist(), groups, strict=True))
    ]
    parts = split(rows, source="all", seed=seed, name=name, validation=validation, test=test)
    return {side: images.take([int(row.text) for row in parts[side]]) for side in SPLITS}


def same_pixels(pixels: np.ndarray) -> list[str]:
    """A group for each of (n, ...) pictures: those that are equal to the last bit share one."""
    return [hashlib.sha256(picture.tobytes()).hexdigest() for picture in pixels]


def alike(pixels: np.ndarray, difference: float) -> list[tuple[int, int]]:
    """Pairs i < j of (n, ...) pictures that differ by so much (root mean square) or less."""
    flat = pixels.reshape(len(pixels), -1).astype(np.float32)
    squares = (flat * flat).sum(1)
    apart = (squares[:, None] + squares - 2 * (flat @ flat.T)) / flat.shape[1]
    near = np.triu(apart <= difference**2, 1)
    return [(int(i), int(j)) for i, j in zip(*near.nonzero(), strict=True)]
