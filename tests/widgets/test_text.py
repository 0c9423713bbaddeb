"""Whatever a label or a file name holds, it is shown and never run."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from widgets import text

HOSTILE = [
    '<img src=x onerror="alert(1)">',
    '"><script>alert(1)</script>',
    "' onmouseover='alert(1)",
    "</pre><svg onload=alert(1)>",
    "javascript:alert(1)",
]


class Tags(HTMLParser):
    """The tags and attributes that a browser would see."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_markup_in_a_value_becomes_text(hostile: str) -> None:
    made = text.markup('<p title="{}">{}</p>', hostile, hostile)
    seen = Tags(made)
    assert seen.tags == ["p"]
    assert seen.attributes == ["title"]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_markup_in_a_table_a_picture_and_a_link_becomes_text(hostile: str) -> None:
    table = Tags(text.table([hostile], [[hostile, hostile]], caption=hostile))
    assert {*table.tags} <= {"div", "table", "caption", "thead", "tbody", "tr", "th", "td"}
    picture = Tags(text.picture(b"png", hostile))
    assert (picture.tags, picture.attributes) == (["img"], ["class", "src", "alt"])
    link = Tags(text.save_link(hostile, hostile, "text/csv", b"a,b"))
    assert (link.tags, link.attributes) == (["a"], ["class", "download", "href"])


@given(st.text())
def test_any_text_stays_one_text(value: str) -> None:
    assert Tags(text.markup("<b>{}</b>", value)).tags == ["b"]


def test_markup_built_here_is_not_escaped_twice() -> None:
    inner = text.markup("<b>{}</b>", "a & b")
    assert text.markup("<p>{}</p>", inner) == "<p><b>a &amp; b</b></p>"


def test_marks_that_reorder_text_are_dropped() -> None:
    assert text.escape("abc\u202etxt.exe\x00") == "abctxt.exe"
    family = "\U0001f469\u200d\U0001f467"
    assert text.escape(family) == family, "joined emoji stay joined"


@pytest.mark.parametrize("hostile", [*HOSTILE, "../../etc/passwd", "a" * 500, "", "日本"])
def test_a_file_name_is_plain(hostile: str) -> None:
    name = text.file_name("figure", hostile, suffix="png")
    assert len(name) < 80 and name.endswith(".png")
    assert name.removesuffix(".png").replace("-", "").isalnum()


def test_plain_strings_are_not_shown_as_html() -> None:
    with pytest.raises(TypeError, match="takes Markup, got str; build it with markup"):
        text.show("<b>bold</b>")  # type: ignore[arg-type]


def test_a_query_string_repeats_names_and_quotes_values() -> None:
    made = text.query_string({"methods": ("a b", "c&d"), "metric": "f1"})
    assert made == "methods=a%20b&methods=c%26d&metric=f1"
