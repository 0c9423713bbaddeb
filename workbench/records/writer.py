"""Writing one record: observations are buffered and committed together with each checkpoint.

A commit writes the curves, then the arrays, and last the checkpoint, whose header says how many
observations came before it. The checkpoint's move into place is the commit: killed at any instant
before it, the previous checkpoint still names the prefix it belongs to, since both files only ever
grow; what lies beyond that prefix is dropped when the run resumes.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from workbench import __version__
from workbench.observations import Array, Checkpoint, Observation, Progress, Scalar
from workbench.records import files
from workbench.records.errors import RecordError, writing

PACKAGES = ("torch", "transformers", "numpy")
RESERVED = {*files.COLUMNS, "key", "experiment"}


class Writer:
    """The record of ``experiment`` in ``folder`` while it is being written."""

    def __init__(self, folder: Path, experiment: Any) -> None:
        self.folder = folder
        self.experiment = experiment
        self.scalars: list[Scalar] = []
        self.arrays: list[Array] = []
        self.resume: Checkpoint | None = None
        self.details: dict[str, Any] = {}
        self.seconds_before = 0.0
        self.started = time.perf_counter()

    def begin(self) -> Checkpoint | None:
        """Restore what the last checkpoint committed, mark the record as running."""
        created = datetime.now(UTC).isoformat(timespec="milliseconds")
        with writing(self.folder.parent):
            self.folder.mkdir(parents=True, exist_ok=True)
            files.clean(self.folder)
        if (self.folder / files.RECORD).exists():
            created = files.read_json(self.folder / files.RECORD).get("created", created)
        if (self.folder / files.CHECKPOINT).exists():
            self._restore()
        identity = self.experiment.identity()
        # Columns that follow from the settings, such as the name of the method.
        derived: dict[str, str] = getattr(self.experiment, "labels", dict)()
        self.details = {
            "key": self.folder.name,
            "experiment": self.experiment.name,
            "config": {**identity["config"], **derived},
            "status": "running",
            "created": created,
            "identity": identity,
        }
        self._describe("running")
        return self.resume

    def take(self, observation: Observation) -> None:
        """Keep an observation; a checkpoint commits all that came before it."""
        if isinstance(observation, Scalar):
            self.scalars.append(
                replace(observation, **_labelled(observation), value=_number(observation))
            )
        elif isinstance(observation, Array):
            values = files.plain(np.array(observation.values), f"array {observation.name!r}")
            self.arrays.append(replace(observation, **_labelled(observation), values=values))
        elif isinstance(observation, Checkpoint):
            self._commit(observation)
        elif not isinstance(observation, Progress):
            raise TypeError(
                f"{self.experiment.name} yielded {type(observation).__name__}; an experiment "
                "yields Scalar, Array, Progress or Checkpoint."
            )

    def finish(self, keep_checkpoint: bool) -> None:
        """Write all observations and mark the record as finished."""
        self._write_observations()
        self._describe("finished")
        if not keep_checkpoint:
            (self.folder / files.CHECKPOINT).unlink(missing_ok=True)

    def stop(self, status: str, error: BaseException | None = None) -> None:
        """Keep what was observed so far, as far as the disk allows; never raises over it."""
        with suppress(RecordError, OSError):
            self._write_observations()
            self._describe(status, "" if error is None else _message(error))

    def _restore(self) -> None:
        self.resume, committed = files.read_checkpoint(self.folder / files.CHECKPOINT)
        if rows := committed["scalars"]:
            table = files.read_scalars(self.folder / files.SCALARS, rows)
            self.scalars = files.scalars_of(table)
        if count := committed["arrays"]:
            self.arrays = files.read_arrays(self.folder / files.ARRAYS, count)
        self.seconds_before = committed["seconds"]

    def _commit(self, checkpoint: Checkpoint) -> None:
        self._write_observations()
        committed = {
            "scalars": len(self.scalars), "arrays": len(self.arrays), "seconds": self._seconds(),
        }  # fmt: skip
        with writing(self.folder.parent):
            files.write_checkpoint(self.folder / files.CHECKPOINT, checkpoint, committed)
        self._describe("running")

    def _write_observations(self) -> None:
        with writing(self.folder.parent):
            if self.scalars:
                files.write_scalars(self.folder / files.SCALARS, self.scalars)
            if self.arrays:
                files.write_arrays(self.folder / files.ARRAYS, self.arrays)

    def _describe(self, status: str, error: str = "") -> None:
        self.details |= {
            "status": status,
            "seconds": round(self._seconds(), 3),
            "scalars": len(self.scalars),
            "arrays": len(self.arrays),
            "versions": versions(),
            "machine": machine(),
        }
        self.details.pop("error", None)
        if error:
            self.details["error"] = error
        with writing(self.folder.parent):
            files.write_json(self.folder / files.RECORD, self.details)

    def _seconds(self) -> float:
        return self.seconds_before + time.perf_counter() - self.started


def write(writer: Writer, inputs: Mapping[str, Checkpoint], keep: bool) -> Iterator[Observation]:
    """Run the writer's experiment; yield each observation once it is buffered or committed."""
    resume = writer.begin()
    run = writer.experiment.run(resume=resume, **inputs)
    try:
        try:
            for observation in run:
                writer.take(observation)
                yield observation
        finally:
            if hasattr(run, "close"):
                run.close()
        writer.finish(keep)
    except (GeneratorExit, KeyboardInterrupt, SystemExit):
        writer.stop("interrupted")
        raise
    except BaseException as error:
        writer.stop("failed", error)
        raise


@cache
def versions() -> dict[str, str]:
    """Versions of Python, of this package and of the libraries that make the numbers."""
    found = {"python": platform.python_version(), "workbench": __version__}
    for package in PACKAGES:
        with suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


def machine() -> dict[str, Any]:
    """What kind of machine this is; nothing that tells whose."""
    facts: dict[str, Any] = {
        "system": platform.system(), "processor": platform.machine(), "cores": os.cpu_count(),
    }  # fmt: skip
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "get_num_threads"):
        facts["threads"] = torch.get_num_threads()
        if torch.cuda.is_available():
            facts["gpu"] = torch.cuda.get_device_name()
    return facts


def _labelled(observation: Scalar | Array) -> dict[str, Any]:
    labels = {str(label): str(value) for label, value in observation.labels.items()}
    if reserved := RESERVED & labels.keys():
        raise ValueError(
            f"{observation.name!r} has a label called {', '.join(sorted(reserved))}, which is a "
            "column of every record; give the label another name."
        )
    return {"step": int(observation.step), "labels": labels}


def _number(observation: Scalar) -> float:
    try:
        return float(observation.value)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"Scalar {observation.name!r} at step {observation.step} has the value "
            f"{observation.value!r}; give one number, or yield an Array."
        ) from error


def _message(error: BaseException) -> str:
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return text.replace(str(Path.home()), "~")[:2000]
