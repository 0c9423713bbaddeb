"""A card shows one figure, draws it no more often than needed, and lets it be taken along."""

from __future__ import annotations

import threading
import time

import pytest

from widgets import figure_card
from widgets.callbacks import MessageState
from widgets.explorer import ExplorerState
from widgets.figure_card import FigureCard, FigureState, Later, Spec
from widgets.theme import Page
from workbench.records import Store


@pytest.fixture
def spec(recorded: Store) -> Spec:
    state = ExplorerState("self-distilled-pruning", recorded)
    state.choose("methods", ["SDP-CC"])
    return state.spec()


def test_a_picture_is_kept_for_each_page(sketched: None, spec: Spec) -> None:
    page = Page()
    state = FigureState(page, MessageState())
    state.spec = spec
    light = state.drawn
    page.theme = "dark"
    assert state.drawn != light and state.draws == 2
    page.theme = "light"
    assert state.drawn is light and state.draws == 2


def test_an_error_of_a_figure_is_said_and_the_card_stays(spec: Spec) -> None:
    state = FigureState(Page(), MessageState())
    card = FigureCard(state)
    state.spec = Spec("pruning_curve", spec.data, {"metric": "bleu"})
    assert "no scalar named 'bleu'" in state.messages.messages[0]
    state.spec = spec
    assert "data:image/png" in card.picture.value


def test_the_picture_has_its_words(spec: Spec) -> None:
    state = FigureState(Page(theme="dark", width=360), MessageState())
    state.spec = spec
    html = FigureCard(state).picture.value
    assert '<figure data-look="dark-360">' in html
    assert 'alt="Accuracy' in html and "<h3>Score against remaining weights</h3>" in html


def test_nothing_is_shown_before_there_is_something() -> None:
    card = FigureCard(FigureState(Page(), MessageState()))
    assert card.layout.display == "none"


def test_later_means_not_now(sketched: None, spec: Spec, monkeypatch: pytest.MonkeyPatch) -> None:
    later = Later()
    monkeypatch.setattr(figure_card, "_later", later)
    hold = threading.Event()
    later.add(lambda: hold.wait(10))
    page = Page()
    state = FigureState(page, MessageState(), later=True)
    card = FigureCard(state)
    state.spec = spec
    page.theme = "dark"
    assert state.drawn is None and "Drawing" in card.picture.value
    hold.set()
    assert later.wait(10)
    end = time.monotonic() + 10
    while state.drawn is None and time.monotonic() < end:
        time.sleep(0.01)
    assert state.drawn is not None and b"dark" in state.drawn.png
    assert state.draws == 1, "two changes before the drawing are one drawing"
