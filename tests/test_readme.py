"""The README's Python is run as printed, from top to bottom, on its tiny models."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def readme(root: Path) -> str:
    return (root / "README.md").read_text(encoding="utf-8")


def test_every_python_block_runs(
    readme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = BLOCK.findall(readme)
    assert blocks
    names: dict = {"__name__": "readme"}
    for number, block in enumerate(blocks, start=1):
        exec(compile(block, f"README.md, Python block {number}", "exec"), names)


def test_every_link_leads_to_a_file(readme: str, root: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", readme)
    missing = [x for x in links if not x.startswith("http") and not (root / x).exists()]
    assert not missing


def test_every_folder_of_the_tour_exists(readme: str, root: Path) -> None:
    folders = re.findall(r"^\| `([\w/]+)` \|", readme, re.MULTILINE)
    assert len(folders) > 5
    assert not [folder for folder in folders if not (root / folder).exists()]


def test_every_command_line_is_one_that_the_parser_knows(readme: str) -> None:
    from workbench.__main__ import main

    verbs = set(re.findall(r"workbench (list|fetch|run|sweep|serve|doctor)\b", readme))
    assert {"list", "fetch", "run", "sweep", "doctor"} <= verbs
    for verb in verbs:
        with pytest.raises(SystemExit) as stop:
            main([verb, "--help"])
        assert stop.value.code == 0
