"""Records: runs that were written down, and the store that finds, runs and resumes them.

Importing this loads neither torch nor pandas.
"""

from workbench.records.errors import (
    DamagedRecord,
    ReadOnlyStore,
    RecordError,
    StoreFull,
    UnknownRecord,
)
from workbench.records.record import Record
from workbench.records.store import Store, default_store

__all__ = [
    "DamagedRecord",
    "ReadOnlyStore",
    "Record",
    "RecordError",
    "Store",
    "StoreFull",
    "UnknownRecord",
    "default_store",
]
