"""The Wikipedia dump: a made-up one in pieces, and the real one as a whole."""

from __future__ import annotations

import bz2
import re
from pathlib import Path
from xml.sax.saxutils import escape

import pytest

from workbench.datasets import CORPORA, enwiki, fingerprint, load_corpus
from workbench.datasets.corpus import SPLITS, divide
from workbench.sources import Wheel

LONG = " ".join(f"word{i}" for i in range(enwiki.MIN_WORDS))


def dump(folder: Path, *pages: tuple[str, str, str, str]) -> Path:
    """A dump of (title, namespace, what else is said of the page, markup)."""
    inside = "".join(
        f"<page><title>{title}</title><ns>{space}</ns>{more}"
        f"<revision><text>{escape(markup)}</text></revision></page>"
        for title, space, more, markup in pages
    )
    path = folder / enwiki._FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    xml = f'<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.10/">{inside}</mediawiki>'
    path.write_bytes(bz2.compress(xml.encode()))
    return path


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("'''Bold''' and ''slanted''.", "Bold and slanted."),
        ("a [[cat]], [[Felis|two cats]], [http://x.org a link]", "a cat, two cats, a link"),
        ("see http://y.org or [http://x.org]", "see or"),
        ("was<ref name=a>Book, p. 3</ref> here<ref name=b/>.<!-- note -->", "was here."),
        ("{{Infobox|a={{b|c}}}}\n\n\nText {{convert|3|km}}.", "Text."),
        ("[[File:a.jpg|thumb|A [[cat]]]]Text[[Category:Cats]]", "Text"),
        ('one\n{| class="x"\n! head\n|-\n| cell\n|}\ntwo', "one\ntwo"),
        ("so <math>x^2</math> = 4 &ndash; yes<br/>", "so = 4 – yes"),
        ("Achilles ({{lang|el|A}}; {{IPA|b}}, ''Akh'') and ({{IPA|c}}) .", "Achilles (Akh) and."),
        ("* one\n* two", "one\ntwo"),
        ("==A==\nb\n== See also ==\n* [[x]]\n=== More ===\ny\n==Work==\nz", "A\nb\nWork\nz"),
        ("unclosed ''slant and {| table\n|- row", "unclosed slant and table"),
    ],
)
def test_of_the_markup_the_words_stay(markup, text):
    assert enwiki.clean(markup) == text


def test_articles_are_the_long_pages_that_are_no_redirect_and_no_disambiguation(tmp_path):
    path = dump(
        tmp_path,
        ("One", "0", "", f"'''One''' {LONG}"),
        ("Talk:One", "1", "", LONG),
        ("Uno", "0", '<redirect title="One" />', LONG),
        ("One (disambiguation)", "0", "", f"{LONG} {{{{Disambiguation}}}}"),
        ("Stub", "0", "", "short"),
        ("Two", "0", "", f"Two\n\n{LONG}"),
    )
    assert list(enwiki.articles(path)) == [f"One\nOne {LONG}", f"Two\nTwo\n{LONG}"]


def test_a_folder_of_ones_own_is_cleaned_once(tmp_path, monkeypatch):
    dump(tmp_path, *((f"T{i}", "0", "", f"{i} {LONG}") for i in range(20)))
    first = load_corpus("enwiki", source=tmp_path)
    monkeypatch.setattr(enwiki, "articles", lambda path: pytest.fail("cleaned again"))
    assert load_corpus("enwiki", source=tmp_path) == first
    assert tuple(first) == SPLITS and [len(first[split]) for split in SPLITS] == [16, 2, 2]
    assert fingerprint("enwiki", tmp_path) != fingerprint("enwiki")


@pytest.mark.parametrize("content", [b"no bz2", bz2.compress(b"<a><b></a>"), None])
def test_a_damaged_dump_is_named(tmp_path, content):
    path = dump(tmp_path, ("One", "0", "", LONG))
    path.write_bytes(content or path.read_bytes()[:60])
    with pytest.raises(ValueError, match="shortened.bz2 is no whole dump of a wiki"):
        load_corpus("enwiki", source=tmp_path)


def test_a_dump_that_grows_without_end_is_not_read(tmp_path, monkeypatch):
    path = dump(tmp_path, ("One", "0", "", LONG))
    monkeypatch.setattr(enwiki, "MAX_BYTES", 100)
    with pytest.raises(ValueError, match="unpacks to over 100 bytes"):
        list(enwiki.pages(path))


def test_what_cannot_be_had_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"corpus='wiki' is unknown; allowed: enwiki, wikitext2"):
        load_corpus("wiki")
    with pytest.raises(ValueError, match=r"enwiki: .*shortened.bz2 is missing"):
        load_corpus("enwiki", source=tmp_path)
    with pytest.raises(ValueError, match=r"source='hub': enwiki comes from a package"):
        load_corpus("enwiki", source="hub")


def test_splits_hold_their_share_of_the_words_and_each_document_once():
    documents = [f"{i} " + "word " * (50 + 13 * i % 200) for i in range(200)]
    parts = divide(documents, name="made-up")
    assert sorted(sum(parts.values(), [])) == sorted(documents)
    words = {split: sum(len(text.split()) for text in parts[split]) for split in SPLITS}
    assert words["test"] / sum(words.values()) == pytest.approx(0.1, abs=0.01)
    assert words["validation"] / sum(words.values()) == pytest.approx(0.1, abs=0.01)
    assert divide(documents, name="made-up") == parts != divide(documents, name="another")


def test_the_catalogue_is_pinned():
    (source,) = CORPORA["enwiki"].sources
    assert isinstance(source, Wheel) and len(fingerprint("enwiki")) == 16


@pytest.mark.data
def test_the_real_articles():
    """96 articles as the survey of the data found; half a million tokens, of which 446k words."""
    corpus = load_corpus("enwiki", progress=False)
    articles = sum(corpus.values(), [])
    assert [len(corpus[split]) for split in SPLITS] == [73, 9, 14] and len({*articles}) == 96
    words = {split: sum(len(text.split()) for text in corpus[split]) for split in SPLITS}
    assert words["train"] == pytest.approx(0.8 * sum(words.values()), rel=0.01)
    tokens = [token for text in articles for token in re.findall(r"\w+|[^\w\s]", text.lower())]
    assert len(tokens) == pytest.approx(522_000, rel=0.01)
    assert len({*tokens}) == pytest.approx(33_000, rel=0.01)
    everything = "\n".join(articles)
    assert not re.search(r"<ref|\[\[|\]\]|\{\{|\}\}|\{\||^[|!]|''|https?://", everything, re.M)
