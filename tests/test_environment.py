"""One statement of what is needed: pyproject.toml; everything else agrees with it."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

TESTED = ("lab", "dev")  # extras whose packages constraints.txt pins
UNPINNED = {"pip"}  # belongs to the environment, which made it


@pytest.fixture(scope="module")
def project(root: Path) -> dict:
    return tomllib.loads((root / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def pins(root: Path) -> dict[str, Version]:
    lines = (root / "constraints.txt").read_text().splitlines()
    pairs = [line.split("==") for line in lines if not line.startswith("#")]
    return {canonicalize_name(name): Version(version) for name, version in pairs}


@pytest.fixture(scope="module")
def conda(root: Path) -> list:
    return yaml.safe_load((root / "environment.yml").read_text())["dependencies"]


def requirements(project: dict, *extras: str) -> list[Requirement]:
    optional = project["optional-dependencies"]
    lists = [project["dependencies"], *(optional[extra] for extra in extras)]
    return [Requirement(line) for lines in lists for line in lines]


def test_constraints_pin_every_requirement_to_a_version_it_allows(
    project: dict, pins: dict[str, Version]
) -> None:
    for requirement in requirements(project, *TESTED):
        name = canonicalize_name(requirement.name)
        if name not in UNPINNED:
            assert name in pins, f"{requirement} has no line in constraints.txt"
            assert pins[name] in requirement.specifier, f"{requirement} excludes {pins[name]}"


def test_constraints_resolve_on_every_platform(pins: dict[str, Version]) -> None:
    local = [name for name, version in pins.items() if version.local]
    assert not local, f"a local version exists on one machine only: {local}"
    assert not {"torchvision", "torchaudio"} & set(pins)


def test_conda_asks_for_the_same_python(project: dict, conda: list) -> None:
    python = Requirement(next(x for x in conda if isinstance(x, str) and x.startswith("python")))
    assert str(python.specifier) == project["requires-python"]


def test_conda_asks_for_the_same_pip(project: dict, conda: list) -> None:
    ours = next(r for r in requirements(project) if r.name == "pip")
    theirs = Requirement(next(x for x in conda if isinstance(x, str) and x.startswith("pip")))
    assert theirs.specifier == ours.specifier


def test_conda_installs_the_project_with_the_tested_extras(project: dict, conda: list) -> None:
    through_pip = next(x["pip"] for x in conda if isinstance(x, dict))
    assert through_pip == ["-c constraints.txt", f"-e .[{','.join(TESTED)}]"]
    assert set(TESTED) <= set(project["optional-dependencies"])


def third_party(root: Path) -> set[str]:
    """Distributions that the two packages import, at the top or inside a function."""
    names = set()
    for package in ("workbench", "widgets"):
        for file in (root / package).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    names.update(alias.name.split(".")[0] for alias in node.names)
                elif isinstance(node, ast.ImportFrom) and not node.level:
                    names.add(str(node.module).split(".")[0])
    names -= {"workbench", "widgets", *sys.stdlib_module_names}
    known = packages_distributions()
    return {canonicalize_name(known.get(name, [name])[0]) for name in names}


def test_every_import_is_declared(project: dict, root: Path) -> None:
    declared = {
        canonicalize_name(r.name) for r in requirements(project, *project["optional-dependencies"])
    }
    undeclared = sorted(third_party(root) - declared)
    assert not undeclared


def test_help_lists_every_target_that_the_readme_names(root: Path) -> None:
    makefile = (root / "Makefile").read_text()
    helped = set(re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z][a-z-]+)", (root / "README.md").read_text()))
    assert named and named <= helped


def test_every_test_has_a_tier_that_m_can_choose(root: Path) -> None:
    """The marker of unit tests is given by our hook, which must come before pytest's choice."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-m", "unit"]
    files = ["tests/browser/test_jupyterlab.py", "tests/test_floors.py"]
    told = subprocess.run([*command, *files], cwd=root, capture_output=True, text=True).stdout
    assert "test_floors.py::" in told and "test_jupyterlab.py::" not in told


def test_the_browser_comes_last(root: Path) -> None:
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q"]
    files = ["tests/browser/test_jupyterlab.py", "tests/test_floors.py"]
    told = subprocess.run([*command, *files], cwd=root, capture_output=True, text=True).stdout
    assert 0 <= told.index("test_floors.py::") < told.index("test_jupyterlab.py::")
