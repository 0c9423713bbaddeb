"""The README's Python is run as printed, from top to bottom, on its tiny models."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from workbench.__main__ import build

BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def readme(root: Path) -> str:
    return (root / "README.md").read_text(encoding="utf-8")


@pytest.mark.data
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


def command_lines(readme: str) -> list[list[str]]:
    """The words after ``workbench`` of each command line in a shell block."""
    shell = "".join(re.findall(r"^```sh\n(.*?)^```", readme, re.DOTALL | re.MULTILINE))
    lines = shell.replace("\\\n", " ").splitlines()
    called = re.compile(r"(?:^\.venv/bin/workbench|-m workbench) (.*)")
    return [
        shlex.split(found[1], comments=True) for line in lines if (found := called.search(line))
    ]


def test_every_command_line_is_understood(readme: str) -> None:
    lines = command_lines(readme)
    assert {words[0] for words in lines} >= {"list", "fetch", "run", "sweep", "doctor", "records"}
    for words in lines:
        build(words[0]).parse_args(words)
