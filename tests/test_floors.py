"""No import runs upward: the floors of the house, read from the source of every module."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

# Each floor and the floors it may stand on. A module belongs to its longest prefix here.
SIDE_BY_SIDE = {"workbench.datasets", "workbench.models", "workbench.methods", "workbench.metrics"}
FLOORS: dict[str, set[str]] = {
    "workbench.observations": set(),
    "workbench.sources": set(),
    "workbench.datasets": {"workbench.sources"},
    "workbench.models": {"workbench.sources"},
    "workbench.methods": set(),
    "workbench.metrics": set(),
    "workbench.records": {"workbench.observations"},
    "workbench.plotting": {"workbench.metrics"},
    "workbench.experiments": {"workbench.observations"} | SIDE_BY_SIDE,
    "widgets": {
        "workbench.observations",
        "workbench.experiments",
        "workbench.records",
        "workbench.plotting",
    },
}
FLOORS["workbench.sweeps"] = {"workbench.experiments", "workbench.records"}
FLOORS["workbench.cli"] = set(FLOORS)  # the command line stands on everything
FLOORS["workbench.__main__"] = set(FLOORS)


def modules(root: Path) -> dict[str, Path]:
    """Dotted name -> file of every module of both packages."""
    files = [*(root / "workbench").rglob("*.py"), *(root / "widgets").rglob("*.py")]
    return {
        ".".join(file.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): file
        for file in files
    }


def floor_of(name: str) -> str | None:
    fitting = [floor for floor in FLOORS if name == floor or name.startswith(floor + ".")]
    return max(fitting, key=len, default=None)


def imports(source: str, module: str, is_package: bool) -> Iterator[tuple[int, str]]:
    """Line and dotted name of each import, those inside functions and relative ones included."""
    package = module if is_package else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*parts, *filter(None, [node.module])]) if node.level else node.module
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)


def upward(source: str, module: str, is_package: bool = False) -> list[str]:
    """A sentence for each import of the module that its floor does not allow."""
    own = floor_of(module)
    allowed = FLOORS[own] if own else set()
    wrong = []
    for line, name in imports(source, module, is_package):
        target = floor_of(name)
        if name.split(".")[0] in ("workbench", "widgets") and target not in {own, None} | allowed:
            wrong.append(f"line {line}: {module} ({own}) may not import {name} ({target})")
    return wrong


def test_every_module_has_a_floor(root: Path) -> None:
    homeless = [m for m in modules(root) if m != "workbench" and floor_of(m) is None]
    assert not homeless, f"say in FLOORS on which floor these stand: {homeless}"


def test_no_import_runs_upward(root: Path) -> None:
    found = modules(root)
    assert len(found) > 2
    wrong = [
        sentence
        for name, file in found.items()
        for sentence in upward(file.read_text(encoding="utf-8"), name, file.stem == "__init__")
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("workbench.methods.pruning", "from workbench.models import classifier"),
        ("workbench.methods.pruning", "from ..models import classifier"),
        ("workbench.methods.pruning", "from .. import experiments"),
        ("workbench.metrics.norms", "def f():\n    import workbench.experiments.base"),
        ("workbench.records", "from workbench import experiments"),
        ("workbench.plotting.curves", "from workbench.records import Store"),
        ("workbench.experiments.base", "import widgets"),
        ("widgets.panel", "from workbench.methods import pruning"),
    ],
)
def test_an_upward_import_is_seen(module: str, source: str) -> None:
    assert upward(source, module)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("workbench.methods.trainer", "from . import pruning\nfrom .pruning import Masks"),
        ("workbench.experiments.base", "from workbench.observations import Scalar"),
        ("workbench.experiments.sdp", "def f():\n    from ..methods.pruning import Masks"),
        ("workbench.records", "import numpy\nfrom workbench import __version__"),
        ("widgets.panel", "from workbench import experiments, plotting"),
    ],
)
def test_a_downward_import_is_allowed(module: str, source: str) -> None:
    assert not upward(source, module)
