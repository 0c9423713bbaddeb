"""Tasks of pictures, by name: train, validation and test as arrays."""

from __future__ import annotations

import os
from types import ModuleType

from workbench.datasets import cifar10, emoji_images, mnist5k
from workbench.datasets.images import Images, ImageTask
from workbench.datasets.places import folders, missing_files
from workbench.sources.progress import Progress

_MODULES = (emoji_images, mnist5k, cifar10)
_LOADERS: dict[str, ModuleType] = {module.TASK.name: module for module in _MODULES}
IMAGE_TASKS: dict[str, ImageTask] = {name: module.TASK for name, module in _LOADERS.items()}


def load_images(
    name: str,
    *,
    source: str | os.PathLike[str] = "auto",
    seed: int = 0,
    progress: Progress = None,
) -> dict[str, Images]:
    """The pictures of a task as train, validation and test; ``seed`` decides who goes where.

    ``name``: a key of ``IMAGE_TASKS``. ``source``: "auto" takes ``$WORKBENCH_BENCHMARKS/<name>``
    for pictures of the hub where it exists, and else fetches the pinned files once; "hub" or
    "package" always fetches; a path is a folder with the same files. Raises ValueError for what
    cannot be used and SourceError for what cannot be had.
    """
    if name not in _LOADERS:
        raise ValueError(f"task={name!r} has no pictures; allowed: {', '.join(_LOADERS)}.")
    loader = _LOADERS[name]
    found = folders(loader.TASK, source, progress)
    with missing_files(name):
        return loader.parts(found[0] if len(found) == 1 else found, seed)
