"""What every tier shares: one thread, nobody's own files, a marker for each test, a browser."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

# Before numpy and torch are imported: several threads on two cores only fight each other.
for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
# Nothing may depend on a hub that answers; tests of the hub source set this for themselves.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
# jupyter_core warns until it is told where to look, and warnings are errors.
os.environ["JUPYTER_PLATFORM_DIRS"] = "1"

import pytest  # noqa: E402

TIERS = ("unit", "data", "notebooks", "browser")
ROOT = Path(__file__).resolve().parent.parent
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> Iterator[None]:
    """A test without a tier is a unit test, before ``-m`` chooses; then the quick tiers run first.

    The browser comes last: its driver keeps an event loop in the main thread for as long as it
    lives, and tests that start a loop of their own would fail beside it. Processes side by side
    take the long files first, so that none waits for another at the end.
    """
    order = TIERS
    if hasattr(config, "workerinput"):
        order = ("notebooks", "data", "unit", "browser")
    for item in items:
        if item.path.parent == ROOT / "tests" / "browser":
            item.add_marker(pytest.mark.browser)
        elif not any(item.get_closest_marker(tier) for tier in TIERS):
            item.add_marker(pytest.mark.unit)
    yield
    items.sort(key=lambda item: next(i for i, t in enumerate(order) if item.get_closest_marker(t)))


@pytest.fixture(scope="session")
def root() -> Path:
    """The top folder of the checkout."""
    return ROOT


@pytest.fixture(autouse=True, scope="session")
def nobodys_records(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test writes into the user's own records, nor does a server that a test starts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKBENCH_STORE", str(tmp_path_factory.mktemp("records")))
        yield


@pytest.fixture(autouse=True)
def nobodys_files(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[None]:
    """A unit test has an empty store and an empty cache of its own.

    The other tiers keep the user's cache, so that the packages are fetched once.
    """
    with pytest.MonkeyPatch.context() as patch:
        if request.node.get_closest_marker("unit"):
            patch.setenv("WORKBENCH_STORE", str(tmp_path / "own-records"))
            patch.setenv("WORKBENCH_CACHE", str(tmp_path / "own-cache"))
        yield


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a Chromium. Without one, browser tests skip, and fail where ``CI`` is set."""
    named = os.environ.get("WORKBENCH_CHROMIUM", "")
    found = named or next(filter(None, map(shutil.which, BROWSERS)), None)
    if found:
        return found
    refuse: Callable[[str], None] = pytest.fail if os.environ.get("CI") else pytest.skip
    refuse(
        f"no browser: none of {', '.join(BROWSERS)} is on PATH. Install Chromium "
        "(apt-get install chromium, brew install --cask chromium) or name one in WORKBENCH_CHROMIUM"
    )
    raise AssertionError("unreachable")
