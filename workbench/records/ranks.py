"""Several processes on one run (``accelerate launch``): the first writes, the others compute along.

Each process goes through the same experiment from the same checkpoint, since gradients are
exchanged between them; only the one with ``RANK`` 0 has a record.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from workbench.observations import Checkpoint, Observation, Progress
from workbench.records import files


def writes() -> bool:
    """Whether this process is the only one, or the first, of its run."""
    return os.environ.get("RANK", "0") == "0" or os.environ.get("WORLD_SIZE", "1") == "1"


def compute_along(
    experiment: Any, folder: Path, inputs: Mapping[str, Checkpoint]
) -> Iterator[Observation]:
    """Run ``experiment`` from the checkpoint in ``folder``; yield progress, write nothing.

    Returns once the first process has finished the record.
    """
    resume = None
    if (folder / files.CHECKPOINT).exists():
        resume = files.read_checkpoint(folder / files.CHECKPOINT)[0]
    for observation in experiment.run(resume=resume, **inputs):
        if isinstance(observation, Progress):
            yield observation
    while True:
        status = files.read_json(folder / files.RECORD)["status"]
        if status == "finished":
            return
        if status in ("failed", "interrupted"):
            raise RuntimeError(f"The first process of this run ended early; see {folder}.")
        time.sleep(0.1)
