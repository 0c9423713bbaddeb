"""The what-if panel in a browser: it loads, follows the slider, and can be cancelled."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from browsing import Server, Visitor

PAGE = "09_what_if_made_up"
PANEL = ".wb-what-if"


@pytest.fixture(scope="module")
def page_of_it(notebooks: Path) -> str:
    cells = [
        nbformat.v4.new_markdown_cell("# What if it were pruned"),
        nbformat.v4.new_code_cell("from widgets import WhatIf\nWhatIf('smoke')"),
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
    nbformat.write(notebook, notebooks / f"{PAGE}.ipynb")
    return PAGE


def test_a_model_is_loaded_and_follows_the_slider(
    visit: Visitor, server: Server, page_of_it: str
) -> None:
    visitor = visit().open(server.page(page_of_it))
    page = visitor.page
    assert "Press Load to begin" in page.inner_text(PANEL)
    models = page.locator(f"{PANEL} .wb-control select").nth(1)
    assert "tiny" in models.inner_text(), "a visitor chooses from a menu"
    page.click(f"{PANEL} button:text-is('Load')")
    page.wait_for_selector(".wb-run-ready")
    page.wait_for_function(
        f"document.querySelectorAll('{PANEL} figure img[alt]').length === 3"
        f" && document.querySelector('{PANEL} table')"
    )
    assert "linear probe (no fine-tuned classifier)" in page.inner_text(PANEL)

    before = page.get_attribute(f"{PANEL} figure img", "src")
    page.locator(f"{PANEL} [role=slider]").first.focus()
    for _ in range(4):
        page.keyboard.press("ArrowLeft")
    page.wait_for_function(
        f"(old) => document.querySelector('{PANEL} figure img').src !== old", arg=before
    )
    page.wait_for_function(f"document.querySelector('{PANEL} table').innerText.includes('31.')")
    page.wait_for_selector(".wb-run-ready")

    page.select_option(f"{PANEL} .wb-control select >> nth=3", label="random")
    page.wait_for_function(f"document.querySelector('{PANEL} table').innerText.includes('random')")
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= page.viewport_size["width"]
    visitor.clean()
