"""CIFAR-10: photographs of 32 x 32 in ten classes, from the hub or a local subset."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from workbench.datasets.images import Images, ImageTask, divided, same_pixels
from workbench.datasets.shards import rows_of
from workbench.sources import Hub

SUBSET = "cifar10_subset.npz"  # of a local folder: x_train, y_train, x_test, y_test
_CONFIG = "plain_text"  # what the hub calls the one configuration
_SIDE = 32  # pixels

SOURCE = Hub(
    "uoft-cs/cifar10",
    revision="0b2714987fa478483af9968de7c934580d0bb9a2",
    files=tuple(f"{_CONFIG}/{part}-00000-of-00001.parquet" for part in ("train", "test")),
    licence="unknown on the hub; research",
    size=143_646_105,
)

TASK = ImageTask(
    name="cifar10",
    title="Photographs in ten classes (CIFAR-10)",
    labels=(
        *("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship"),
        "truck",
    ),
    channels=3,
    size=(_SIDE, _SIDE),
    sources=(SOURCE,),
    licence="unknown on the hub; research",
    citation="A. Krizhevsky (2009). Learning multiple layers of features from tiny images.",
    note="The published test is kept. Validation is a tenth of train (of a local subset 15%), "
    "stratified. A few percent of the published test have near-copies in train.",
)


def images(folder: Path) -> dict[str, Images]:
    """The published train and test.

    Raises:
        FileNotFoundError: there is neither the local subset nor the hub's files in ``folder``.
        ValueError: pictures or labels are not as they must be.
    """
    if (folder / SUBSET).is_file():
        return _subset(folder / SUBSET)
    return {part: _decoded(folder, part) for part in ("train", "test")}


def parts(folder: Path, seed: int) -> dict[str, Images]:
    """Train, validation and test; copies inside the published train on one side."""
    given = images(folder)
    share = 0.15 if (folder / SUBSET).is_file() else 0.1
    groups = same_pixels(given["train"].pixels)
    found = divided(given["train"], groups, name=TASK.name, seed=seed, validation=share, test=0)
    return found | {"test": given["test"]}


def _subset(path: Path) -> dict[str, Images]:
    with np.load(path, allow_pickle=False) as arrays:
        names = [f"{axis}_{part}" for part in ("train", "test") for axis in "xy"]
        missing = [name for name in names if name not in arrays]
        if missing:
            raise ValueError(f"{path} lacks {', '.join(missing)}; it must hold {', '.join(names)}.")
        found = {
            part: Images(arrays[f"x_{part}"], arrays[f"y_{part}"]) for part in ("train", "test")
        }
    for part, some in found.items():
        _check(some, f"{path}, {part}")
    return found


def _decoded(folder: Path, part: str) -> Images:
    # Pillow comes with matplotlib; only pictures need it.
    from PIL import Image

    rows = rows_of(folder, _CONFIG, part, ("img", "label"))
    pixels = np.empty((len(rows), _SIDE, _SIDE, 3), np.uint8)
    for i, row in enumerate(rows):
        with Image.open(io.BytesIO(row["img"]["bytes"]), formats=("PNG",)) as picture:
            if picture.size != (_SIDE, _SIDE):
                raise ValueError(f"cifar10: picture {i} of {part} is {picture.size}, not 32 x 32.")
            pixels[i] = np.asarray(picture.convert("RGB"))
    found = Images(pixels, np.asarray([row["label"] for row in rows], np.int64))
    _check(found, f"cifar10, {part}")
    return found


def _check(images: Images, what: str) -> None:
    if images.pixels.shape[1:] != (_SIDE, _SIDE, 3) or not np.all(
        (images.labels >= 0) & (images.labels < len(TASK.labels))
    ):
        raise ValueError(
            f"{what}: pictures are {images.pixels.shape[1:]} with labels up to "
            f"{images.labels.max(initial=0)}; they must be (32, 32, 3), with labels 0 to 9."
        )
