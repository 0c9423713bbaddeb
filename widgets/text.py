"""The one place where text becomes HTML.

``ipywidgets.HTML`` and ``display(HTML(...))`` run event handlers that arrive in their text, so
nothing that comes from a record, a file name, a link or a person is put there except through
:func:`markup`.
"""

from __future__ import annotations

import base64
import html
import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

import ipywidgets as w

REORDERING = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")


class Markup(str):
    """HTML that was built here and is safe to show as it is."""

    __slots__ = ()


def _hidden(character: str) -> bool:
    reorders = unicodedata.bidirectional(character) in REORDERING
    return unicodedata.category(character) == "Cc" or reorders


def escape(value: object) -> Markup:
    """``value`` as HTML text that is also safe inside a quoted attribute.

    Control characters and the invisible marks that reorder text are dropped: they can make a
    label read as something else.
    """
    if isinstance(value, Markup):
        return value
    kept = (c for c in str(value) if c in "\n\t" or not _hidden(c))
    return Markup(html.escape("".join(kept), quote=True))


def markup(template: str, *args: Any, **values: Any) -> Markup:
    """``template.format(...)`` with every argument escaped unless it is :class:`Markup`."""
    shown = {name: escape(value) for name, value in values.items()}
    return Markup(template.format(*map(escape, args), **shown))


def join(parts: Iterable[object], between: str = "") -> Markup:
    """The escaped ``parts`` one after the other."""
    return Markup(between.join(escape(part) for part in parts))


def data_uri(mime: str, content: bytes) -> Markup:
    """``content`` as an address that a page can show or save without asking a host."""
    return Markup(f"data:{mime};base64,{base64.b64encode(content).decode('ascii')}")


def file_name(*parts: object, suffix: str) -> str:
    """A short file name of plain letters, e.g. ``curves-accuracy.png``."""
    words = "-".join(str(part) for part in parts if str(part))
    plain = unicodedata.normalize("NFKD", words).encode("ascii", "ignore").decode()
    plain = re.sub(r"[^A-Za-z0-9]+", "-", plain).strip("-").lower()[:60].strip("-")
    return f"{plain or 'figure'}.{suffix}"


def save_link(label: str, name: str, mime: str, content: bytes) -> Markup:
    """A link that saves ``content`` as the file ``name``."""
    return markup(
        '<a class="wb-save" download="{}" href="{}">{}</a>', name, data_uri(mime, content), label
    )


def picture(png: bytes, alt: str, *, width: int | None = None) -> Markup:
    """An image with its text alternative; never wider than its place."""
    size = markup(' width="{}"', width) if width else Markup("")
    source = data_uri("image/png", png)
    return markup('<img class="wb-picture" src="{}" alt="{}"{}>', source, alt, size)


def table(head: Iterable[object], rows: Iterable[Iterable[object]], *, caption: str = "") -> Markup:
    """A table whose first column names the rows."""
    cells = join(markup('<th scope="col">{}</th>', name) for name in head)
    lines = []
    for first, *rest in rows:
        values = join(markup("<td>{}</td>", value) for value in rest)
        lines.append(markup('<tr><th scope="row">{}</th>{}</tr>', first, values))
    title = markup("<caption>{}</caption>", caption) if caption else Markup("")
    body = join(lines)
    inner = markup("{}<thead><tr>{}</tr></thead><tbody>{}</tbody>", title, cells, body)
    return markup(
        '<div class="wb-scroll" tabindex="0" role="region" aria-label="{}">'
        '<table class="wb-table">{}</table></div>',
        caption or "table",
        inner,
    )


def query_string(values: Mapping[str, object]) -> str:
    """``values`` as the part of a link behind the question mark; sequences repeat their name."""
    pairs = []
    for name, value in values.items():
        many = value if isinstance(value, (tuple, list)) else [value]
        pairs += [f"{quote(name)}={quote(str(one), safe='')}" for one in many]
    return "&".join(pairs)


def show(content: Markup, *classes: str) -> w.HTML:
    """A widget that shows ``content``; plain strings are refused so that nothing slips through."""
    if not isinstance(content, Markup):
        raise TypeError(
            f"show() takes Markup, got {type(content).__name__}; build it with markup()."
        )
    view = w.HTML(content)
    view.add_class("wb-html")
    for name in classes:
        view.add_class(name)
    return view
