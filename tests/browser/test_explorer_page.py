"""The record explorer in a browser: its figure follows the controls, the page and the link."""

from __future__ import annotations

import pytest
from browsing import CHAPTER, Server, Visitor


def test_controls_change_the_figure(visit: Visitor, server: Server) -> None:
    visitor = visit().open(server.page(CHAPTER))
    page = visitor.page
    first = visitor.figure()
    page.select_option(".wb-menu-metric select", label="macro F1")
    second = visitor.changed(first)
    page.locator(".wb-methods input[type=checkbox]").nth(1).uncheck()
    third = visitor.changed(second)
    page.select_option(".wb-menu-subset select", label="books")
    visitor.changed(third)
    assert "books" in page.get_attribute(".wb-figure img", "alt")
    page.wait_for_function("location.search.includes('metric=f1')")
    visitor.clean()


def test_the_figure_follows_the_theme(visit: Visitor, server: Server) -> None:
    visitor = visit(scheme="light").open(server.page(CHAPTER))
    page = visitor.page
    light = visitor.figure()
    paper = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(paper) == "rgb(255, 255, 255)"
    page.select_option("#wb-theme", "dark")
    dark = visitor.changed(light)
    assert page.evaluate(paper) == "rgb(20, 22, 26)"
    page.select_option("#wb-theme", "system")
    assert visitor.changed(dark) == light
    page.emulate_media(color_scheme="dark")
    assert visitor.changed(light) == dark
    visitor.clean()


def test_a_telephone_shows_all_of_it(visit: Visitor, server: Server) -> None:
    visitor = visit(width=390, scheme="dark", has_touch=True).open(server.page(CHAPTER))
    page = visitor.page
    page.wait_for_selector('figure[data-look="dark-360"]')
    page.click("text=Compare two runs")
    page.click("text=More settings")
    page.wait_for_selector(".wb-comparison img")
    wide = page.evaluate(
        "[...document.querySelectorAll('main *')].filter((e) => e.offsetParent !== null"
        " && !e.closest('.wb-scroll, .wb-code, mjx-container')"
        " && e.getBoundingClientRect().right > innerWidth + 1).map((e) => e.outerHTML.slice(0, 90))"
    )
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert wide == []
    visitor.clean()


def test_a_link_restores_what_is_shown(visit: Visitor, server: Server) -> None:
    visitor = visit().open(server.page(CHAPTER))
    first = visitor.figure()
    visitor.page.select_option(".wb-menu-metric select", label="macro F1")
    shown = visitor.changed(first)
    visitor.page.wait_for_function("location.search.includes('metric=f1')")
    other = visit().open(visitor.page.url)
    assert other.figure() == shown
    assert other.page.input_value(".wb-menu-metric select") == "macro F1"
    other.clean()


@pytest.mark.parametrize(
    "query",
    ["metric=<img src=x onerror=window.hacked=1>", "figure=<script>window.hacked=1</script>"],
)
def test_a_hostile_link_is_shown_as_text(visit: Visitor, server: Server, query: str) -> None:
    visitor = visit()
    visitor.page.goto(f"{server.page(CHAPTER)}?{query}", wait_until="commit")
    visitor.page.wait_for_selector(".wb-message")
    assert "From the link: there is no" in visitor.page.inner_text(".wb-messages >> nth=0")
    assert visitor.page.evaluate("window.hacked") is None
    visitor.page.click(".wb-message button")
    visitor.page.wait_for_selector(".wb-message", state="detached")
    visitor.clean()


def test_a_hostile_name_in_a_record_is_shown_as_text(visit: Visitor, server: Server) -> None:
    visitor = visit().open(server.page(CHAPTER))
    page = visitor.page
    first = visitor.figure()
    options = page.locator(".wb-menu-data option").all_inner_texts()
    hostile = next(option for option in options if "<img" in option)
    page.select_option(".wb-menu-data select", label=hostile)
    visitor.changed(first)
    page.click("text=Download")
    page.wait_for_selector(".wb-code")
    page.click("text=Compare two runs")
    page.wait_for_timeout(1500)
    assert page.evaluate("window.hacked") is None
    assert page.locator("img[src=x]").count() == 0
    visitor.clean()


def test_downloads_are_saved(visit: Visitor, server: Server) -> None:
    visitor = visit().open(server.page(CHAPTER))
    page = visitor.page
    page.click("text=Download")
    page.wait_for_selector("a.wb-save")
    starts = {"PNG": b"\x89PNG", "SVG": b"<?xml", "Data (CSV)": b"key,", "Code": b"from pathlib"}
    for label, start in starts.items():
        with page.expect_download() as saving:
            page.click(f"a.wb-save:text-is('{label}')")
        path = saving.value.path()
        assert path.read_bytes().startswith(start), label
        assert saving.value.suggested_filename.startswith("pruning-curve-accuracy.")
    visitor.clean()


def test_two_visitors_do_not_share_a_state(visit: Visitor, server: Server) -> None:
    one, two = visit().open(server.page(CHAPTER)), visit().open(server.page(CHAPTER))
    same = one.figure()
    assert two.figure() == same
    one.page.select_option(".wb-menu-metric select", label="macro F1")
    one.changed(same)
    two.page.wait_for_timeout(1000)
    assert two.figure() == same
    assert two.page.input_value(".wb-menu-metric select") == "accuracy"
    assert "metric" not in two.page.url


def test_the_keyboard_is_enough(visit: Visitor, server: Server) -> None:
    visitor = visit().open(server.page(CHAPTER))
    page = visitor.page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "wb-skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"
    first = visitor.figure()
    for _ in range(12):
        page.keyboard.press("Tab")
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none", page.evaluate("document.activeElement.outerHTML.slice(0, 200)")
        if page.evaluate("!!document.activeElement.closest('.wb-menu-metric')"):
            break
    page.keyboard.press("ArrowDown")
    second = visitor.changed(first)
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("!!document.activeElement.closest('.wb-methods')"):
            break
    page.keyboard.press("Space")
    visitor.changed(second)
    visitor.clean()


def test_every_control_has_a_name(visit: Visitor, server: Server) -> None:
    visitor = visit().open(server.page(CHAPTER))
    visitor.page.click("text=More settings")
    visitor.page.wait_for_timeout(500)
    nameless = visitor.page.evaluate(
        """[...document.querySelectorAll(
             'main :is(input, select, textarea, button, [role=slider], progress)')]
           .filter((e) => e.offsetParent !== null)
           .filter((e) => !(e.getAttribute('aria-label') || e.textContent.trim() || e.title
             || [...(e.labels || [])].some((l) => l.textContent.trim())))
           .map((e) => e.outerHTML.slice(0, 120))"""
    )
    assert nameless == []


def test_two_runs_are_compared(visit: Visitor, server: Server) -> None:
    visitor = visit().open(server.page(CHAPTER))
    page = visitor.page
    page.click("text=Compare two runs")
    page.wait_for_selector(".wb-comparison img")
    first = visitor.figure(".wb-comparison")
    assert page.locator(".wb-difference tbody tr").count() == 5
    page.select_option(".wb-menu-left select", label="random, all seeds")
    visitor.changed(first, ".wb-comparison")
    # The picture and the table come in two messages, so the table may be a moment later.
    page.wait_for_selector(".wb-difference thead:has-text('random, all seeds')")
    visitor.clean()
