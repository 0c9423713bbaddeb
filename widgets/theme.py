"""What figures need to know about the page: light or dark, and how wide.

The page follows the reader's system and has a toggle. Its script sets two hidden menus (the
bridge), so figures follow; a cookie tells the next page before its first figure is drawn. In
JupyterLab no script runs: there the menu of the theme is visible and set by hand.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from importlib import resources

import ipywidgets as w
from traitlets import Bool, Enum, HasTraits, link

from widgets.text import Markup, show

THEMES = ("light", "dark")
WIDTHS = (360, 480, 640, 800, 960, 1100)
COOKIE = "workbench-page"


class Page(HasTraits):
    """The page that shows this kernel. Figures are drawn again when it changes."""

    theme = Enum(THEMES, default_value="light")
    width = Enum(WIDTHS, default_value=800)
    here = Bool(False, help="Whether its widgets are in their place.")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Page:
        """The page as the cookie of the request describes it; anything odd is ignored."""
        page = cls()
        found = re.search(rf"\b{COOKIE}=([a-z]+)-(\d+)\b", environment.get("HTTP_COOKIE", ""))
        if found:
            theme, width = found[1], int(found[2])
            page.theme = theme if theme in THEMES else page.theme
            page.width = width if width in WIDTHS else page.width
        return page


_page: list[Page] = []


def current_page() -> Page:
    """The one page of this kernel: a kernel serves one visitor."""
    if not _page:
        _page.append(Page.from_environment())
    return _page[0]


def in_voila(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this kernel serves a dashboard, where nobody sees or edits the code."""
    return environment.get("SERVER_SOFTWARE", "").startswith("voila/")


def bridge(page: Page) -> w.HBox:
    """Menus that follow the page: hidden in a dashboard, where its script sets them."""
    theme = w.Dropdown(options=THEMES, value=page.theme, description="Theme")
    width = w.Dropdown(options=WIDTHS, value=page.width, description="Width")
    link((page, "theme"), (theme, "value"))
    link((page, "width"), (width, "value"))
    theme.add_class("wb-bridge-theme")
    width.add_class("wb-bridge-width")
    here = w.Dropdown(options=[("waiting", False), ("here", True)], value=page.here)
    link((page, "here"), (here, "value"))
    here.add_class("wb-bridge-here")
    here.layout.display = "none"
    box = w.HBox([theme, width, here])
    box.add_class("wb-bridge")
    return box


def style() -> w.HTML:
    """The rules of our widgets for JupyterLab; the dashboards' template brings them itself."""
    rules = resources.files("widgets").joinpath("voila/templates/workbench/static/widgets.css")
    text = "" if in_voila() else f"<style>{rules.read_text('utf-8')}</style>"
    return show(Markup(text), "wb-style")
