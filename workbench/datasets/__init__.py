"""Text tasks as ``datasets.DatasetDict``: real data, pinned and checked, in splits that leak nothing.

    >>> data = load("sentiment")            # train, validation, test
    >>> data["train"].column_names
    ['text', 'label', 'subset', 'group']

``train`` and ``validation`` hold the source subset only (a domain or a language); ``test`` holds
all subsets, the source first. Rows of one ``group`` (near-duplicates, translations) are on one
side, in all subsets. ``TASKS`` describes each task without importing anything heavy.

Language models are trained on running text: ``load_corpus("enwiki")`` gives lists of documents, and
``CORPORA`` describes them.
"""  # noqa: E501

from workbench.datasets.catalogue import TASKS, describe, fingerprint, load
from workbench.datasets.corpora import CORPORA, Corpus, load_corpus
from workbench.datasets.table import limit
from workbench.datasets.task import Task

__all__ = [
    "CORPORA",
    "TASKS",
    "Corpus",
    "Task",
    "describe",
    "fingerprint",
    "limit",
    "load",
    "load_corpus",
]
