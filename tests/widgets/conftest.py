"""Records made up once for all tests of the widgets, and a page of their own for each."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from synthetic import make_store  # noqa: E402

from widgets import figure_card, theme  # noqa: E402
from workbench.records import Store  # noqa: E402


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Seven methods, two seeds; read only."""
    path = tmp_path_factory.mktemp("recorded")
    make_store(path, seeds=2)
    return Store(path, read_only=True)


@pytest.fixture(autouse=True)
def own_page(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No test sees the page of another, and none is in a dashboard unless it says so."""
    monkeypatch.delenv("SERVER_SOFTWARE", raising=False)
    monkeypatch.delenv("QUERY_STRING", raising=False)
    monkeypatch.setattr(theme, "_page", [])
    yield


@pytest.fixture
def sketched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures that cost nothing: as different as what they would show."""

    def sketch(spec: figure_card.Spec, *, theme: str, width: int) -> figure_card.Drawn:
        png = repr((spec.figure, spec.key, theme, width)).encode()
        return figure_card.Drawn(spec.label(), spec.reading(), "a sketch", png)

    monkeypatch.setattr(figure_card, "draw", sketch)
