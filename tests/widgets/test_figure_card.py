"""A card shows one figure, draws it no more often than needed, and lets it be taken along."""

from __future__ import annotations

import pytest

from widgets import later
from widgets.callbacks import MessageState
from widgets.explorer import ExplorerState
from widgets.figure_card import FigureCard, FigureState, Spec
from widgets.theme import Page, bridge, current_page
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


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> later.Queue:
    """The kernel's queue, for this test alone; it opens when the page is there."""
    monkeypatch.setattr(later, "_queue", [])
    return later.queue()


def test_a_page_is_drawn_when_it_is_there(sketched: None, spec: Spec, queue: later.Queue) -> None:
    page = current_page()
    state = FigureState(page, MessageState(), later=True)
    card = FigureCard(state)
    state.spec = spec
    page.theme = "dark"
    page.width = 480
    assert state.drawn is None and "Drawing" in card.picture.value
    bridge(page).children[2].label = "here"
    assert queue.wait(10)
    assert b"'dark', 480" in state.drawn.png
    assert state.draws == 1, "three changes before the drawing are one drawing"


def test_what_is_prepared_is_read_in_its_turn(
    sketched: None, spec: Spec, queue: later.Queue
) -> None:
    said = MessageState()
    state = FigureState(current_page(), said, later=True)
    card = FigureCard(state, alone=True)
    state.prepare(lambda: spec, "A title")
    assert "<h3>A title</h3>" in card.picture.value
    broken = FigureState(current_page(), said, later=True)
    broken.prepare(lambda: spec.data["nothing"], "Another")
    current_page().here = True
    assert queue.wait(10)
    assert state.drawn is not None
    assert "KeyError" in said.messages[0]


def test_where_nothing_is_recorded_that_is_said(queue: later.Queue) -> None:
    said = MessageState()
    state = FigureState(current_page(), said, later=True)
    card = FigureCard(state, alone=True)

    def missing() -> Spec:
        raise ValueError("There are no recorded runs of <it> yet.")

    state.prepare(missing, "A title")
    current_page().here = True
    assert queue.wait(10)
    assert "runs of &lt;it&gt; yet" in card.picture.value and "Drawing" not in card.picture.value
    assert not said.messages


def test_urgent_work_comes_first() -> None:
    queue, called = later.Queue(), []
    for name in "ab":
        queue.add(lambda name=name: called.append(name))
    queue.add(lambda: called.append("now"), urgent=True)
    queue.open()
    assert queue.wait(10)
    assert called == ["now", "a", "b"]


def test_work_begins_even_if_no_page_ever_comes() -> None:
    queue, called = later.Queue(longest=0.05), []
    queue.add(lambda: called.append(1))
    assert queue.wait(10) and called == [1]


def test_a_call_that_waits_is_not_called_twice() -> None:
    queue, called = later.Queue(), []

    def call() -> None:
        called.append(1)

    for _ in range(5):
        queue.add(call)
    queue.open()
    assert queue.wait(10) and called == [1]
