"""Figures and verdicts for a notebook, over made-up records, whatever those hold."""

import pytest
from synthetic import make_store

from widgets.claims import Claims
from widgets.figure_card import FigureCard
from widgets.gallery import claims, recorded, reported
from workbench.records import Store

NAME = "self-distilled-pruning"


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("records")
    make_store(folder, seeds=2)
    return Store(folder)


def test_a_figure_of_the_records_is_a_card(store):
    card = recorded(NAME, "recovery", data="sentiment", store=store)
    assert isinstance(card, FigureCard) and card.state.spec.figure == "recovery"


def test_methods_that_were_not_run_are_left_out(store):
    chosen = ["SDP-CC", "magic"]
    card = recorded(NAME, "separability", data="sentiment", store=store, methods=chosen)
    assert set(card.state.spec.data["method"]) == {"SDP-CC"}
    assert set(card.state.spec.data["class"]) == {"negative", "positive"}


def test_what_is_not_there_is_said_and_the_page_goes_on(store, tmp_path):
    empty = Store(tmp_path)
    for view in (
        recorded(NAME, "recovery", data="<b>other</b>", store=store),
        recorded(NAME, "recovery", store=empty),
        reported(NAME, "11.2", data="<b>other</b>", store=store),
    ):
        assert "There are no recorded runs" in view.value and "<b>" not in view.value
    wrong = recorded(NAME, "recovery", data="sentiment", metric="charm", store=store)
    assert "cannot be drawn: there is no metric" in wrong.value


def test_runs_of_another_size_are_not_judged(tmp_path):
    assert "There are no recorded runs" in claims(NAME, store=Store(tmp_path)).value
    assert "There are no recorded runs" in Claims(NAME, store=Store(tmp_path)).children[0].value


def test_our_numbers_stand_beside_the_reported_ones(store):
    card = reported(NAME, "11.1", data="sentiment", task="SST-2", score="accuracy", store=store)
    assert set(card.state.spec.options["reported"]["table"]) == {"11.1"}
    card.toggle.value = True
    assert "table_11_1.csv" in card.links.value and 'download="reported' in card.links.value
