"""The page tells figures its theme and width, and nothing it says is believed unseen."""

from __future__ import annotations

import pytest
from traitlets import TraitError

from widgets import theme


@pytest.mark.parametrize(
    ("cookie", "expected"),
    [
        ("", ("light", 800)),
        ("workbench-page=dark-360", ("dark", 360)),
        ("_xsrf=2; workbench-page=dark-1100; a=b", ("dark", 1100)),
        ("workbench-page=pink-640", ("light", 640)),
        ("workbench-page=dark-99999", ("dark", 800)),
        ("workbench-page=<script>", ("light", 800)),
    ],
)
def test_the_cookie_describes_the_page(cookie: str, expected: tuple[str, int]) -> None:
    page = theme.Page.from_environment({"HTTP_COOKIE": cookie})
    assert (page.theme, page.width) == expected


def test_the_bridge_moves_both_ways() -> None:
    page = theme.Page()
    menus = theme.bridge(page).children
    menus[0].value = "dark"
    menus[1].value = 480
    assert (page.theme, page.width) == ("dark", 480)
    page.theme = "light"
    assert menus[0].value == "light"


def test_other_themes_are_refused() -> None:
    with pytest.raises(TraitError):
        theme.Page(theme="pink")


def test_the_rules_are_brought_to_jupyterlab_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SERVER_SOFTWARE", raising=False)
    assert ".wb-card" in theme.style().value
    monkeypatch.setenv("SERVER_SOFTWARE", "voila/0.5.13")
    assert theme.in_voila() and theme.style().value == ""
