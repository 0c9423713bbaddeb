"""How a notebook reads: short cells, more prose than code, no outputs, one cell of parameters."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
CHAPTERS = [path for path in NOTEBOOKS if not path.stem.startswith("00")]
LONGEST_CELL = 15
MACHINE_PATH = re.compile(r"/(?:home|Users|root|tmp|work)/\w|[A-Z]:\\\\")

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
every_chapter = pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.name)


def cells(path: Path, kind: str) -> list[nbformat.NotebookNode]:
    return [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == kind]


@every_notebook
def test_is_a_valid_notebook(path: Path) -> None:
    nbformat.validate(nbformat.read(path, as_version=4))


@every_notebook
def test_holds_no_outputs(path: Path) -> None:
    code = cells(path, "code")
    assert not [c.source for c in code if c.outputs or c.execution_count], "run: make format"


@every_notebook
def test_code_cells_are_short(path: Path) -> None:
    long = [c.source for c in cells(path, "code") if len(c.source.splitlines()) > LONGEST_CELL]
    assert not long, f"over {LONGEST_CELL} lines:\n{long[0]}"


@every_notebook
def test_defines_no_classes(path: Path) -> None:
    assert not [c.source for c in cells(path, "code") if re.search(r"^class ", c.source, re.M)]


@every_notebook
def test_names_no_path_of_one_machine(path: Path) -> None:
    assert not MACHINE_PATH.search(path.read_text(encoding="utf-8"))


@every_chapter
def test_at_least_half_of_the_cells_are_prose(path: Path) -> None:
    assert len(cells(path, "markdown")) >= len(cells(path, "code"))


@every_chapter
def test_one_cell_is_tagged_parameters(path: Path) -> None:
    tagged = [c for c in cells(path, "code") if "parameters" in c.metadata.get("tags", [])]
    assert len(tagged) == 1
    assert "WORKBENCH_PROFILE" in tagged[0].source, "the profile is read from the environment"


def test_there_are_notebooks() -> None:
    assert CHAPTERS and any(path.stem == "00_index" for path in NOTEBOOKS)
