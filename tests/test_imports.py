"""What a page that only shows records may cost: no heavy library, and under a second."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("torch", "transformers", "datasets", "accelerate", "sklearn", "matplotlib.pyplot")
LIGHT = (
    "workbench",
    "widgets",
    "workbench.observations",
    "workbench.datasets",
    "workbench.models",
    "workbench.experiments",
    "workbench.records",
    "workbench.plotting",
)
PROBE = """
import json, sys, time
start = time.perf_counter()
import {module}
seconds = time.perf_counter() - start
print(json.dumps([seconds, [name for name in {heavy} if name in sys.modules]]))
"""


def probe(module: str, root: Path) -> tuple[float, list[str]]:
    """Seconds that a fresh interpreter needs for the import, and the heavy modules it loaded."""
    code = PROBE.format(module=module, heavy=HEAVY)
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=root, check=True, capture_output=True, text=True
    )
    seconds, loaded = json.loads(run.stdout)
    return seconds, loaded


@pytest.mark.parametrize("module", LIGHT)
def test_import_loads_nothing_heavy(module: str, root: Path) -> None:
    assert probe(module, root)[1] == []


@pytest.mark.parametrize("module", ["workbench", "widgets"])
def test_import_takes_under_a_second(module: str, root: Path) -> None:
    # The best of three: the machine may be busy with something else.
    assert min(probe(module, root)[0] for _ in range(3)) < 1.0
