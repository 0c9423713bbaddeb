"""What an experiment says while it runs: four small frozen values, numpy only.

An experiment's ``run()`` yields observations; whoever iterates decides what to do with them. The
store writes them, a progress bar counts them, a dashboard draws them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np


@dataclass(frozen=True)
class Scalar:
    """One measured number: ``value`` of ``name`` at ``step``, told apart by ``labels``."""

    step: int
    name: str
    value: float
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Array:
    """One measured array of any shape: ``values`` of ``name`` at ``step``."""

    step: int
    name: str
    values: np.ndarray
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Progress:
    """How far the run is: ``done`` of ``total`` units of work (optimizer updates)."""

    done: int
    total: int
    text: str = ""


@dataclass(frozen=True)
class Checkpoint:
    """All that ``run(resume=...)`` needs to go on after ``step``, bit for bit.

    ``arrays`` are written as safetensors and ``meta`` as JSON, so neither can carry code.
    """

    step: int
    arrays: Mapping[str, np.ndarray]
    meta: Mapping[str, Any] = field(default_factory=dict)


Observation: TypeAlias = Scalar | Array | Progress | Checkpoint
