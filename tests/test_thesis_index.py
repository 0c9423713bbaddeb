"""Every name in THESIS_INDEX.md exists: functions, tests, notebooks and their headings."""

from __future__ import annotations

import importlib
import re
from functools import cache
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parent.parent
INDEX = ROOT / "THESIS_INDEX.md"
HEADER = ("Thesis", "What", "Code", "Test", "Notebook")


def rows() -> list[dict[str, str]]:
    """The lines of all tables, as column -> cell."""
    lines = [line for line in INDEX.read_text(encoding="utf-8").splitlines() if line[:1] == "|"]
    cells = [[c.strip() for c in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    return [
        dict(zip(HEADER, row, strict=True))
        for row in cells
        if tuple(row) != HEADER and not set("".join(row)) <= set("-: ")
    ]


def quoted(column: str) -> list[str]:
    """Names in backticks in one column, each once."""
    return sorted({name for row in rows() for name in re.findall(r"`([^`]+)`", row[column])})


def linked(column: str) -> list[tuple[str, str]]:
    """Text and target of the links in one column, each once."""
    cells = (row[column] for row in rows())
    return sorted({link for cell in cells for link in re.findall(r"\[(.+?)\]\((.+?)\)", cell)})


@cache
def headings(notebook: Path) -> set[str]:
    """The headings of a notebook, without their marks."""
    cells = nbformat.read(notebook, as_version=4).cells
    prose = "\n".join(c.source for c in cells if c.cell_type == "markdown")
    return {found.strip() for found in re.findall(r"^#+ (.*)$", prose, re.MULTILINE)}


def resolve(name: str) -> object:
    """The object of a dotted name: the longest importable prefix, then attributes."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        module = ".".join(parts[:end])
        try:
            found: object = importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name and not module.startswith(error.name):
                raise
            continue
        for attribute in parts[end:]:
            found = getattr(found, attribute)
        return found
    raise ModuleNotFoundError(name)


def test_chapter_11_is_there_in_full() -> None:
    named = {row["Thesis"] for row in rows()}
    wanted = [f"Equation 11.{n}" for n in range(1, 9)]
    wanted += [f"Figure 11.{n}" for n in range(1, 6)]
    wanted += ["Table 11.1", "Table 11.2", "Algorithm 5"]
    assert not [name for name in wanted if name not in named]


def test_chapter_9_is_there_in_full() -> None:
    named = " ".join(row["Thesis"] for row in rows())
    wanted = [f"Equation 9.{n}" for n in range(1, 8)]
    wanted += ["9.1, 9.3, 9.4, 9.5", "9.2, 9.5", "9.6, 9.7", "Figure 9.8", "Table 9.1"]
    assert not [name for name in wanted if name not in named]


def test_no_line_is_empty() -> None:
    assert not [row for row in rows() if not (row["Thesis"] and row["What"])]


@pytest.mark.parametrize("name", quoted("Code"))
def test_code_exists(name: str) -> None:
    if "/" in name:
        assert (ROOT / name).exists()
    else:
        assert name.startswith(("workbench.", "widgets."))
        resolve(name)


@pytest.mark.parametrize("name", quoted("Test"))
def test_test_exists(name: str) -> None:
    file, _, function = name.partition("::")
    assert (ROOT / file).is_file()
    if function:
        assert re.search(rf"^\s*def {re.escape(function)}\(", (ROOT / file).read_text(), re.M)


@pytest.mark.parametrize("link", linked("Notebook"), ids=" ".join)
def test_notebook_and_heading_exist(link: tuple[str, str]) -> None:
    heading, file = link
    assert (ROOT / file).is_file()
    assert heading in headings(ROOT / file)


def test_a_wrong_name_is_seen() -> None:
    with pytest.raises(AttributeError):
        resolve("workbench.observations.NoSuchThing")
    with pytest.raises((ModuleNotFoundError, AttributeError)):
        resolve("workbench.no_such_module.thing")
