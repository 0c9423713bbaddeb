"""The server draws recorded figures once, and only those that a page may ask for."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from widgets.preview import Previews
from workbench.records import Store


@pytest.fixture
def previews(tmp_path: Path, recorded: Store, monkeypatch: pytest.MonkeyPatch) -> Previews:
    monkeypatch.setenv("WORKBENCH_RECORDS", str(recorded.path))
    cell = {"cell_type": "code", "source": ['Explorer("self-distilled-pruning")']}
    (tmp_path / "11_chapter.ipynb").write_text(json.dumps({"cells": [cell]}))
    (tmp_path / "00_index.ipynb").write_text("{}")
    return Previews(tmp_path)


def ask(previews: Previews, *asked: object) -> bytes | None:
    return asyncio.run(previews.png(*asked))  # type: ignore[arg-type]


def test_a_figure_is_drawn_once(previews: Previews) -> None:
    first = ask(previews, "11_chapter", "dark", 360)
    assert first is not None and first.startswith(b"\x89PNG")
    assert ask(previews, "11_chapter", "dark", 360) is first
    words = previews.words("11_chapter")
    assert words is not None and words["title"] == "Score against remaining weights"
    assert "accuracy" in words["alt"].lower()


@pytest.mark.parametrize(
    "asked",
    [
        ("00_index", "light", 360), ("nothing", "light", 360), ("11_chapter", "pink", 360),
        ("11_chapter", "light", 361),
    ],
)  # fmt: skip
def test_nothing_else_is_drawn(previews: Previews, asked: tuple[str, str, int]) -> None:
    assert ask(previews, *asked) is None
    assert previews.words(asked[0]) is None or asked[0] == "11_chapter"


def test_without_records_there_is_no_preview(
    previews: Previews, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKBENCH_RECORDS", str(tmp_path / "none"))
    assert previews.words("11_chapter") is None
