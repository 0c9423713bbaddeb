"""The front page names every chapter, links those that are here, and shows what was recorded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from widgets.cards import CHAPTERS, ChapterCards, explored, notebooks, thumbnail
from workbench.records import Store


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    cell = {"cell_type": "code", "source": ['Explorer("self-distilled-pruning")']}
    (tmp_path / "11_self_distilled_pruning.ipynb").write_text(json.dumps({"cells": [cell]}))
    (tmp_path / "12_'><img src=x>.ipynb").write_text("{}")
    (tmp_path / "notes.ipynb").write_text("{}")
    return tmp_path


def test_chapters_3_to_11_are_named() -> None:
    assert [chapter.number for chapter in CHAPTERS] == [*range(3, 12)]


def test_only_notebooks_named_like_chapters_count(folder: Path) -> None:
    assert [*notebooks(folder)] == [11]


def test_a_chapter_that_is_here_is_linked_and_the_others_are_to_come(folder: Path) -> None:
    html = ChapterCards(folder)._repr_html_()
    assert html.count("<a ") == 1 and 'href="11_self_distilled_pruning.ipynb"' in html
    assert html.count('class="wb-to-come"') == 8 and "<h2>To come</h2>" in html


def test_the_real_front_page_finds_the_real_chapter(root: Path) -> None:
    assert 11 in notebooks(root / "notebooks")
    assert explored(notebooks(root / "notebooks")[11]) == "self-distilled-pruning"


def test_the_thumbnail_is_a_recorded_figure(
    folder: Path, recorded: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKBENCH_RECORDS", str(recorded.path))
    html = thumbnail(notebooks(folder)[11])
    assert 'src="data:image/png;base64,' in html and "remaining weights" in html


def test_without_records_there_is_no_thumbnail(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKBENCH_RECORDS", str(tmp_path / "none"))
    assert thumbnail(notebooks(folder)[11]) == ""


def test_in_a_dashboard_the_server_draws_the_thumbnail(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVER_SOFTWARE", "voila/0.5.13")
    monkeypatch.setenv("VOILA_BASE_URL", "/prefix/")
    html = thumbnail(notebooks(folder)[11])
    assert 'data-address="/prefix/workbench/preview/11_self_distilled_pruning"' in html


def test_the_cards_read_as_text_too(folder: Path) -> None:
    bundle = ChapterCards(folder)._repr_mimebundle_()
    assert "Chapter 8: Layer fusion." in bundle["text/plain"]
    assert bundle["text/html"].count("<li") == 9
