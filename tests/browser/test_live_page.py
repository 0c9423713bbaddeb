"""A live run in a browser: it starts, draws, is cancelled and resumed; the page never freezes."""

from __future__ import annotations

from typing import Any

from browsing import CHAPTER, Server, Visitor

LIVE = ".wb-live .wb-figure"


def start(page: Any, seed: int) -> None:
    """Start the run of ``seed``, which no other test has run: the tests share a store."""
    field = page.locator(".wb-live input[type=number]").first
    field.fill(str(seed))
    field.press("Enter")
    page.click("button:text-is('Start the run')")


def test_a_run_starts_draws_is_cancelled_and_is_resumed(visit: Visitor, server: Server) -> None:
    visitor = visit().open(server.page(CHAPTER))
    page = visitor.page
    start(page, seed=11)
    page.wait_for_selector(".wb-run-running")
    page.wait_for_selector(f"{LIVE} img")
    first = visitor.figure(LIVE)
    page.wait_for_function("document.querySelector('.wb-progress progress')?.value > 5")
    assert "left" in page.inner_text(".wb-progress")

    # The page answers while it runs.
    recorded = visitor.figure()
    page.select_option(".wb-menu-metric select", label="macro F1")
    visitor.changed(recorded)
    visitor.changed(first, LIVE)

    page.click("button:text-is('Cancel')")
    page.wait_for_selector(".wb-run-cancelled")
    assert "what was measured is kept" in page.inner_text(".wb-progress")
    done = page.evaluate("document.querySelector('.wb-progress progress').value")
    page.click("button:text-is('Resume')")
    page.wait_for_function("(v) => document.querySelector('progress')?.value > v", arg=done)
    page.wait_for_selector(".wb-run-finished")

    # The same settings again: nothing is left to do, and the page says so.
    page.click("button:text-is('Start the run'):enabled")
    page.wait_for_selector(".wb-progress:has-text('these settings were run before')")
    page.wait_for_selector(f"{LIVE} img")
    visitor.clean()


def test_a_wrong_setting_is_said_and_nothing_runs(visit: Visitor, server: Server) -> None:
    visitor = visit().open(server.page(CHAPTER))
    page = visitor.page
    seed = page.locator(".wb-live input[type=number]").first
    seed.fill("-5")
    seed.press("Enter")
    page.wait_for_selector(".wb-wrong")
    assert "seed = -5 is out of range" in page.inner_text(".wb-wrong")
    page.click("button:text-is('Start the run')")
    page.wait_for_selector(".wb-live .wb-message")
    assert page.locator(".wb-run-running").count() == 0
    assert "seed = -5 is out of range" in server.log, "errors of callbacks are logged"
    visitor.clean()


def test_closing_the_page_ends_its_kernel(visit: Visitor, server: Server) -> None:
    visitor = visit().open(server.page(CHAPTER))
    page = visitor.page
    kernel = page.evaluate(
        "JSON.parse(document.querySelector('#jupyter-config-data').textContent).kernelId"
    )
    start(page, seed=12)
    page.wait_for_selector(".wb-run-running")
    assert server.get(f"/api/kernels/{kernel}")[0] == 200
    page.goto("about:blank")
    for _ in range(60):
        if server.get(f"/api/kernels/{kernel}")[0] == 404:
            return
        page.wait_for_timeout(500)
    raise AssertionError("the kernel is still there")
