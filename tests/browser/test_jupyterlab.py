"""The same notebook in JupyterLab: it opens, runs, and its widgets work."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from browsing import CHAPTER, LAB, ROOT, Server, Start, Visitor


@pytest.fixture(scope="module")
def lab(start: Start, notebooks: Path, tmp_path_factory: pytest.TempPathFactory) -> Server:
    folder = tmp_path_factory.mktemp("lab")
    shutil.copy(notebooks / f"{CHAPTER}.ipynb", folder)
    options = ["--no-browser", "--allow-root", "--ip=127.0.0.1", "--ServerApp.port={port}"]
    options += ["--IdentityProvider.token=", f"--ServerApp.root_dir={folder}"]
    settings = str(ROOT / "widgets" / "jupyter")
    return start(LAB, *options, ready="/api", JUPYTER_CONFIG_PATH=settings)


def test_a_notebook_runs_with_its_widgets(lab: Server, visit: Visitor) -> None:
    visitor = visit(width=1400, address=lab.address)
    page = visitor.page
    page.goto(f"{lab.address}/lab/tree/{CHAPTER}.ipynb")
    page.wait_for_selector(".jp-Notebook .jp-Cell")
    page.wait_for_selector(".jp-Notebook-ExecutionIndicator[data-status=idle]")
    page.click(".jp-Notebook .jp-Cell >> nth=0")
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    page.wait_for_selector(".wb-figure img")
    first = visitor.figure()
    page.select_option(".wb-menu-metric select", label="macro F1")
    second = visitor.changed(first)
    page.select_option(".wb-bridge-theme select >> nth=0", label="dark")
    visitor.changed(second)
    assert "Explorer(" in page.inner_text(".wb-link")
    page.wait_for_selector(".wb-live .wb-control")
    assert page.locator(".jp-OutputArea-output pre:has-text('Error')").count() == 0
    assert visitor.foreign == []


def test_callbacks_and_cells_share_a_thread(lab: Server) -> None:
    """With subshells two threads would run Python at once, and figures would get mixed up."""
    name = "@jupyterlab/apputils-extension:kernels-settings"
    status, _, text = lab.get(f"/lab/api/settings/{name}")
    assert status == 200
    assert json.loads(text)["schema"]["properties"]["commsOverSubshells"]["default"] == "disabled"
