"""The fusion panel in a browser: cells are pressed by mouse and keyboard, and sizes follow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from browsing import Server, Visitor

PAGE = "fusion_made_up"  # without a number it is no chapter of the front page
PANEL = ".wb-fusion"
TABLE = f"{PANEL} .wb-costs table"


@pytest.fixture(scope="module")
def page_of_it(notebooks: Path) -> str:
    cells = [
        nbformat.v4.new_markdown_cell("# Layers that become one"),
        nbformat.v4.new_code_cell("from widgets import Fusion\nFusion('smoke')"),
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
    nbformat.write(notebook, notebooks / f"{PAGE}.ipynb")
    return PAGE


def says(page: Any, text: str) -> None:
    """Wait until everything is measured, and the table says this."""
    page.wait_for_function(
        "([place, text]) => { const said = document.querySelector(place)?.innerText || '';"
        " return said.includes(text) && !said.includes('\N{HORIZONTAL ELLIPSIS}'); }",
        arg=[TABLE, text],
    )
    page.wait_for_selector(f"{PANEL} .wb-run-ready")


@pytest.mark.parametrize("width", [1200, 390])
def test_a_pressed_cell_changes_what_is_stored(
    visit: Visitor, server: Server, page_of_it: str, width: int
) -> None:
    visitor = visit(width).open(server.page(page_of_it))
    page = visitor.page
    assert "Press Load to begin" in page.inner_text(PANEL)
    models = page.locator(f"{PANEL} .wb-control select").nth(1).inner_text()
    assert "resnet8" in models and "minilm" not in models, "those that read pictures"
    page.click(f"{PANEL} button:text-is('Load')")
    says(page, "1 pair fused by mean")

    cell = page.locator(f"{PANEL} .wb-heat button[tabindex='0']")
    assert cell.get_attribute("aria-pressed") == "true"
    assert "conv1 with conv2, distance" in (cell.get_attribute("aria-label") or "")
    box = cell.bounding_box()
    assert box and min(box["width"], box["height"]) >= 20
    fused = page.inner_text(TABLE)
    cell.click()
    says(page, "Nothing is fused")
    assert page.inner_text(TABLE) != fused
    assert not page.locator(f"{PANEL} .wb-heat-list input").is_checked()

    cell.focus()
    page.keyboard.press("Space")
    says(page, "1 pair fused by mean")
    assert cell.get_attribute("aria-pressed") == "true"
    assert cell.evaluate("(one) => one === document.activeElement"), "the focus is not lost"
    page.locator(f"{PANEL} .wb-heat-list input").uncheck()
    says(page, "Nothing is fused")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    visitor.clean()


def test_arrows_lead_from_cell_to_cell(visit: Visitor, server: Server, page_of_it: str) -> None:
    visitor = visit().open(server.page(page_of_it))
    page = visitor.page
    page.click(f"{PANEL} button:text-is('Load')")
    says(page, "1 pair fused by mean")
    page.locator(f"{PANEL} .wb-heat button[tabindex='0']").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("document.activeElement.dataset.cell") == "0-1", "nothing is beyond it"
    visitor.clean()
