"""Running text for language models: documents in train, validation and test, by name."""

from __future__ import annotations

import os
from types import ModuleType

from workbench.datasets import enwiki, wikitext
from workbench.datasets.corpus import Corpus
from workbench.datasets.places import folders, missing_files
from workbench.sources.progress import Progress

_LOADERS: dict[str, ModuleType] = {module.CORPUS.name: module for module in (enwiki, wikitext)}
CORPORA: dict[str, Corpus] = {name: module.CORPUS for name, module in _LOADERS.items()}


def load_corpus(
    name: str, *, source: str | os.PathLike[str] = "auto", progress: Progress = None
) -> dict[str, list[str]]:
    """The documents of a corpus as train, validation and test; the splits are fixed.

    ``name``: a key of ``CORPORA``. ``source``: "auto" takes ``$WORKBENCH_BENCHMARKS/<name>`` for a
    corpus of the hub where it exists, and else fetches the pinned files once; "hub" or "package"
    always fetches; a path is a folder with the same files. Raises ValueError for what cannot be
    used and SourceError for what cannot be had.
    """
    if name not in _LOADERS:
        raise ValueError(f"corpus={name!r} is unknown; allowed: {', '.join(_LOADERS)}.")
    loader = _LOADERS[name]
    (folder,) = folders(loader.CORPUS, source, progress)
    with missing_files(name):
        return loader.parts(folder)
