"""Text tasks as ``datasets.DatasetDict``: real data, pinned and checked, in splits that leak nothing.

    >>> data = load("sentiment")            # train, validation, test
    >>> data["train"].column_names
    ['text', 'label', 'subset', 'group']

``train`` and ``validation`` hold the source subset only (a domain or a language); ``test`` holds
all subsets, the source first. Rows of one ``group`` (near-duplicates, translations) are on one
side, in all subsets. ``TASKS`` describes each task without importing anything heavy.

Pictures come as arrays: ``load_images("mnist5k")``, described by ``IMAGE_TASKS``.

Language models are trained on running text: ``load_corpus("enwiki")`` gives lists of documents, and
``CORPORA`` describes them.
"""  # noqa: E501

from workbench.datasets.catalogue import TASKS, describe, fingerprint, load
from workbench.datasets.corpora import CORPORA, Corpus, load_corpus
from workbench.datasets.image_tasks import IMAGE_TASKS, load_images
from workbench.datasets.images import Images, ImageTask
from workbench.datasets.table import limit
from workbench.datasets.task import Task

__all__ = [
    "CORPORA",
    "IMAGE_TASKS",
    "TASKS",
    "Corpus",
    "ImageTask",
    "Images",
    "Task",
    "describe",
    "fingerprint",
    "limit",
    "load",
    "load_corpus",
    "load_images",
]
