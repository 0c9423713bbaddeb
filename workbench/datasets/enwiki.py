"""A hundred articles of the English Wikipedia, as a dump of 2015 has them, without their markup.

Redirects, disambiguation pages and stubs are left out. Of the markup, templates, tables, footnotes,
formulas, pictures and categories go with all they say; of links and emphasis the words stay.
"""

from __future__ import annotations

import bz2
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING
from xml.etree import ElementTree

from workbench.datasets.corpus import Corpus, divide
from workbench.sources import Local, Made, Wheel
from workbench.sources.unpack import MAX_BYTES

if TYPE_CHECKING:
    from mwparserfromhell.wikicode import Wikicode

MIN_WORDS = 200
_FILE = "gensim/test/test_data/enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2"
_CLEANED = "articles.json"
_NO_TEXT = ("file:", "image:", "media:", "category:")
_DROPPED = {"ref", "references", "table"}  # beside those that the parser calls invisible
_BACK_MATTER = {
    *("references", "notes", "footnotes", "notes and references", "citations", "sources"),
    *("bibliography", "further reading", "external links", "see also"),
}
_DISAMBIGUATION = re.compile(r"\{\{\s*(disambig|geodis|hndis|place name disambig)", re.IGNORECASE)

SOURCE = Wheel(
    package="gensim",
    version="4.4.0",
    sha256="91a7fa5e814e7b1bad4b2dffa8d62c1e55410d5cbdf930714c1997ffb4404db8",
    members=(_FILE,),
    licence="CC BY-SA 3.0",
    size=27_809_988,
)

CORPUS = Corpus(
    name="enwiki",
    title="96 articles of the English Wikipedia",
    sources=(SOURCE,),
    licence="CC BY-SA 3.0",
    citation="The authors of the English Wikipedia, dump of 2015, as shipped with gensim 4.4.0.",
    note="Articles that begin with A, for the most part. Split by article, 80/10/10 by words.",
)


def parts(folder: Path) -> dict[str, list[str]]:
    """The articles of ``folder``, in splits; cleaned once (seconds), then read from the cache."""
    dump = folder / _FILE
    if not dump.is_file():
        raise FileNotFoundError(2, "no such file", str(dump))
    made = Made(
        "corpora", CORPUS.name, {"dump": Local(dump).fingerprint(), "loader": CORPUS.version}
    )

    def clean_all(target: Path) -> None:
        text = json.dumps(list(articles(dump)), ensure_ascii=False)
        (target / _CLEANED).write_text(text, encoding="utf-8")

    text = (made.ensure(clean_all) / _CLEANED).read_text(encoding="utf-8")
    return divide(json.loads(text), name=CORPUS.name)


def articles(dump: Path) -> Iterator[str]:
    """The text of each article of a dump (XML in bz2): the title, then a line per paragraph."""
    for title, markup in pages(dump):
        text = "" if _DISAMBIGUATION.search(markup) else clean(markup)
        if len(text.split()) >= MIN_WORDS:
            yield f"{title}\n{text}"


def pages(dump: Path) -> Iterator[tuple[str, str]]:
    """Title and markup of each page in the main namespace that is no redirect.

    The file is read as a stream. Raises ValueError where it is damaged, is no XML, or unpacks to
    over a gibibyte; expat itself refuses entities that multiply.
    """
    with bz2.open(dump) as stream:
        try:
            for _, page in ElementTree.iterparse(_Bounded(stream)):
                space, _, tag = page.tag.rpartition("}")
                if tag != "page":
                    continue
                name = f"{space}}}" if space else ""
                redirect = page.find(f"{name}redirect") is not None
                if page.findtext(f"{name}ns") == "0" and not redirect:
                    markup = page.findtext(f"{name}revision/{name}text") or ""
                    yield page.findtext(f"{name}title") or "", markup
                page.clear()
        except (ElementTree.ParseError, EOFError, OSError) as error:
            raise ValueError(f"{dump.name} is no whole dump of a wiki: {error}.") from error


class _Bounded:
    """A stream that fails where it is longer than anything that is unpacked here."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self._left = stream, MAX_BYTES

    def read(self, size: int = -1, /) -> bytes:
        data = self._stream.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise OSError(f"it unpacks to over {MAX_BYTES:,} bytes")
        return data


def clean(markup: str) -> str:
    """The words of wiki markup, one line per paragraph, list item or heading."""
    import mwparserfromhell

    text = "".join(_words(mwparserfromhell.parse(markup)))
    # What the parser could not match in pairs is left as it was written.
    text = re.sub(r"(?m)^\s*(\{\||\||!).*$", "", text)
    text = re.sub(r"</?[a-z]+( [^<>]*)?/?>|'{2,}|\{\||\[\[|\]\]|\{\{|\}\}|__[A-Z]+__", "", text)
    text = re.sub(r"\(\s*(?:[,;:]\s*)*", "(", text)  # a template stood there: "Achilles (; ...)"
    text = re.sub(r" ?\(\)| +(?=[,.;:)\n])", "", text.replace("\xa0", " "))
    lines = (" ".join(line.split()) for line in text.splitlines())
    return "\n".join(line for line in lines if line)


def _words(code: Wikicode) -> Iterator[str]:
    from mwparserfromhell import nodes
    from mwparserfromhell.definitions import is_visible

    until = 0  # the level of the heading whose section is being left out
    for node in code.nodes:
        if isinstance(node, nodes.Heading):
            title = "".join(_words(node.title)).strip()
            if until and node.level > until:
                continue
            until = node.level if title.casefold() in _BACK_MATTER else 0
            yield "" if until else f"\n{title}\n"
        elif until:
            continue
        elif isinstance(node, nodes.Text):
            yield node.value
        elif isinstance(node, nodes.HTMLEntity):
            yield node.normalize()
        elif isinstance(node, nodes.Wikilink):
            if not node.title.strip().casefold().startswith(_NO_TEXT):
                yield from _words(node.title if node.text is None else node.text)
        elif isinstance(node, nodes.ExternalLink):
            if node.title is not None:
                yield from _words(node.title)
        elif isinstance(node, nodes.Tag) and node.contents is not None:
            tag = str(node.tag).strip().casefold()
            if is_visible(tag) and tag not in _DROPPED:
                yield from _words(node.contents)
