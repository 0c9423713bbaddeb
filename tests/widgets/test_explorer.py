"""The explorer shows what was chosen, offers only what there is, and reads no more than it must."""

from __future__ import annotations

from pathlib import Path

import pytest
from synthetic import SUBSETS, make_store

from widgets import link
from widgets.explorer import ExplorerState
from widgets.explorer_view import Explorer
from widgets.theme import current_page
from workbench.experiments.self_distilled_pruning import METHODS
from workbench.records import Store

NAME = "self-distilled-pruning"
PNG = b"\x89PNG"


@pytest.fixture
def state(recorded: Store) -> ExplorerState:
    return ExplorerState(NAME, recorded)


def test_the_store_is_read_when_it_is_needed() -> None:
    class Untouched:
        def find(self, *args: object, **kwargs: object) -> None:
            raise AssertionError("read too early")

    ExplorerState(NAME, Untouched())  # type: ignore[arg-type]


def test_offers_come_from_the_records(state: ExplorerState) -> None:
    assert state.offers("methods") == tuple(METHODS)
    assert state.offers("metric") == ("accuracy", "f1")
    assert state.offers("subset") == ("all", *SUBSETS)
    assert {"pruning_curve", "separability", "weight_norms"} <= {*state.offers("figure")}
    assert "weight_distributions" not in state.offers("figure"), "no histograms were recorded"


@pytest.mark.parametrize(
    "figure", ["pruning_curve", "recovery", "separability", "weight_norms", "table"]
)
def test_figures_are_drawn(state: ExplorerState, figure: str) -> None:
    state.choose("figure", figure)
    state.choose("methods", ["magnitude", "SDP-CC"])
    drawn = state.drawn(theme="dark", width=360)
    assert drawn.png.startswith(PNG)
    assert drawn.title and drawn.reading.endswith(".") and len(drawn.alt) > 20


def test_choices_change_the_figure(state: ExplorerState) -> None:
    state.choose("methods", ["SDP-CC"])
    keys, pictures = set(), set()
    for name, value in [("metric", "f1"), ("subset", "books"), ("methods", ["random", "SDP-CC"])]:
        state.choose(name, value)
        keys.add(state.spec().key)
        pictures.add(state.drawn(theme="light", width=360).png)
    assert len(keys) == len(pictures) == 3


def test_a_density_narrows_the_figure(state: ExplorerState) -> None:
    state.choose("figure", "weight_norms")
    assert state.offers("density")[:2] == ("lowest", "100%")
    state.choose("density", "100%")
    assert state.spec().options["density"] == 1.0
    state.choose("figure", "separability")
    assert state["density"] == "100%"
    assert state.spec().options["densities"] == [1.0, 1.0]
    state.choose("figure", "pruning_curve")
    assert state["density"] == "", "a figure over all densities has none to choose"


def test_a_heatmap_of_languages_is_of_the_chosen_density_alone(state: ExplorerState) -> None:
    state.choose("figure", "language_heatmap")
    assert "densities" not in state.spec().options
    density = state.offers("density")[-1]
    state.choose("density", density)
    assert state.spec().options["densities"] == [float(density.rstrip("%")) / 100]
    assert state.drawn(theme="light", width=360).alt.count("of the weights") == 1


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("metric", "bleu", "there is no metric 'bleu'; there is: accuracy, f1."),
        ("methods", ["SDP-CC", "<b>"], "there is no methods '<b>'"),
        ("methods", [], "choose at least one"),
        ("__class__", "x", "a view has no part '__class__'"),
    ],
)
def test_what_is_not_on_offer_is_refused(
    state: ExplorerState, name: str, value: object, text: str
) -> None:
    with pytest.raises(ValueError, match=".") as caught:
        state.choose(name, value)  # type: ignore[arg-type]
    assert text in str(caught.value)


def test_a_link_restores_the_view(state: ExplorerState, recorded: Store) -> None:
    assert link.encode(state) == ""
    state.choose("figure", "table")
    state.choose("metric", "f1")
    state.choose("methods", ["global magnitude", "SDP-CC"])
    query = link.encode(state)
    assert "methods=global%20magnitude" in query
    other = ExplorerState(NAME, recorded)
    assert link.restore(other, query) == []
    assert other.spec().key == state.spec().key
    assert link.encode(other) == query


@pytest.mark.parametrize(
    "query",
    [
        "metric=<script>alert(1)</script>",
        "figure=../../etc/passwd",
        "methods=&methods=none%00",
        "a=1&" * 100,
        "x" * 10_000,
        "__class__=1",
        "metric=%ff%fe",
    ],
)
def test_a_hostile_link_changes_nothing(state: ExplorerState, query: str) -> None:
    before = state.spec().key
    assert link.restore(state, query)
    assert state.spec().key == before


def test_an_empty_store_says_what_to_do(tmp_path: Path) -> None:
    view = Explorer(NAME, store=Store(tmp_path / "none"))
    assert "There is no recorded run" in view.messages.messages[0]
    with pytest.raises(ValueError, match="no finished record yet"):
        view.state.spec()


def test_new_records_appear_on_reload(tmp_path: Path) -> None:
    state = ExplorerState(NAME, Store(tmp_path))
    assert state.empty
    make_store(tmp_path, seeds=1)
    state.reload()
    assert state.offers("methods") == tuple(METHODS)


def test_runs_of_another_budget_are_another_group(tmp_path: Path) -> None:
    make_store(tmp_path, seeds=2)
    make_store(tmp_path, seeds=1, train_size=400)
    state = ExplorerState(NAME, Store(tmp_path))
    assert len(state.offers("data")) == 2
    for data in state.offers("data"):
        state.choose("data", data)
        assert state.drawn(theme="light", width=360).png.startswith(PNG)
    assert state.spec().query == {
        "experiment": NAME, "task": "sentiment", "model": "minilm", "train_size": 400,
    }  # fmt: skip


def test_another_setting_of_a_method_has_a_name_of_its_own(tmp_path: Path) -> None:
    make_store(tmp_path, seeds=2)
    from synthetic import MadeUp

    Store(tmp_path).collect(MadeUp(**METHODS["SDP-CC"], pruning_steps=4, alpha=0.1))
    state = ExplorerState(NAME, Store(tmp_path))
    assert "SDP-CC alpha=0.1" in state.offers("methods")
    assert "SDP-CC alpha=0.1" in state.drawn(theme="light", width=480).alt


# The view


@pytest.fixture
def view(recorded: Store) -> Explorer:
    return Explorer(NAME, store=recorded)


def test_the_first_figure_shows_at_once(view: Explorer) -> None:
    assert view.messages.messages == []
    assert view.card.drawn.png.startswith(PNG)
    assert "wb-ready" in view._dom_classes


def test_menus_and_boxes_change_the_figure(sketched: None, view: Explorer) -> None:
    draws = view.card.draws
    view.menus["metric"].value = "f1"
    assert view.state["metric"] == "f1" and view.card.draws == draws + 1
    view.methods.boxes["random"].value = False
    assert "random" not in view.state["methods"] and view.card.draws == draws + 2
    view.menus["metric"].value = "accuracy"
    view.methods.boxes["random"].value = True
    assert view.card.draws == draws + 3, "a picture that was drawn before is kept"


def test_the_last_method_cannot_be_taken_away(sketched: None, view: Explorer) -> None:
    for name, box in view.methods.boxes.items():
        box.value = name == "SDP-CC"
    view.methods.boxes["SDP-CC"].value = False
    assert view.state["methods"] == ("SDP-CC",) and view.methods.boxes["SDP-CC"].value


def test_the_figure_follows_theme_and_width(sketched: None, view: Explorer) -> None:
    light = view.card.drawn.png
    current_page().theme = "dark"
    dark = view.card.drawn.png
    current_page().width = 360
    assert len({light, dark, view.card.drawn.png}) == 3


def test_downloads_are_made_when_asked_for(view: Explorer) -> None:
    card = next(child for child in view.children if hasattr(child, "toggle"))
    assert card.links.value == ""
    card.toggle.value = True
    for part in ("image/png", "image/svg+xml", "text/csv", 'download="pruning-curve-accuracy.png"'):
        assert part in card.links.value
    assert "store.find(&quot;self-distilled-pruning&quot;" in card.links.value
    view.menus["metric"].value = "f1"
    assert 'download="pruning-curve-f1.png"' in card.links.value


def test_the_code_to_reproduce_runs(view: Explorer, recorded: Store, tmp_path: Path) -> None:
    from workbench import plotting

    view.state.choose("methods", ["magnitude", "SDP-CC"])
    spec = view.state.spec()
    code = plotting.code(spec.figure, spec.query, store=str(recorded.path), **spec.options)
    code = code.replace('Path("', f'Path("{tmp_path}/')
    exec(compile(code, "code", "exec"), {})
    assert (tmp_path / "pruning_curve.png").read_bytes().startswith(PNG)


def test_a_view_opens_as_its_link_says(sketched: None, recorded: Store) -> None:
    view = Explorer(NAME, store=recorded, view="metric=f1&methods=SDP-CC&figure=nope")
    assert view.state["metric"] == "f1" and view.state["methods"] == ("SDP-CC",)
    assert view.messages.messages[0].startswith("From the link: there is no figure 'nope'")
    assert "metric=f1" in view.link.text.value


def test_a_dashboard_opens_as_its_address_says(
    sketched: None, recorded: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVER_SOFTWARE", "voila/0.5.13")
    monkeypatch.setenv("QUERY_STRING", "metric=f1")
    view = Explorer(NAME, store=recorded)
    assert view.state["metric"] == "f1"
    assert '<a href="?metric=f1">' in view.link.text.value


def test_two_runs_are_compared(view: Explorer) -> None:
    assert view.comparison.children == ()
    view.compare.value = True
    (comparison,) = view.comparison.children
    state = comparison.state
    assert (state["left"], state["right"]) == ("magnitude, all seeds", "SDP-CC, all seeds")
    first = comparison.card.drawn.png
    rows = state.rows()
    assert rows[0][0] == "100%" and rows[-1][-1].startswith("+"), "the made-up SDP-CC is better"
    menus = {menu.name: menu for menu in comparison.menus}
    menus["right"].value = "SDP-COS, seed 1"
    assert comparison.card.drawn.png != first
    menus["left"].value = "SDP-COS, seed 0"
    assert state.spec().options["by"] == "seed"
    menus["metric"].value = "weight_norm"
    assert "density" in [menu.name for menu in comparison.row.children]
    assert view.messages.messages == []


def test_two_sides_that_overlap_are_refused(sketched: None, view: Explorer) -> None:
    view.compare.value = True
    view.comparison.children[0].state.choose("left", "SDP-CC, seed 0")
    assert "both sides hold the same run" in view.messages.messages[0]


def test_no_widget_runs_a_label(sketched: None, tmp_path: Path) -> None:
    hostile = '<img src=x onerror="document.title=1">'
    make_store(tmp_path, seeds=1, task=f"folder:{hostile}")
    view = Explorer(NAME, store=Store(tmp_path))
    view.compare.value = True
    html = [*_html(view)]
    assert html and not any("<img src=x" in value for value in html)


def _html(widget: object) -> list[str]:
    own = [widget.value] if type(widget).__name__ == "HTML" else []  # type: ignore[attr-defined]
    return own + [value for child in getattr(widget, "children", ()) for value in _html(child)]
