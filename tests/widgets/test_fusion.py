"""The fusion panel without a browser: questions, picked pairs, what a page says and shows."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from widgets import asking, heatmap, later
from widgets.fusion import FusionState
from widgets.fusion_costs import costs
from widgets.fusion_view import Fusion, places, said
from widgets.heatmap import Heatmap, buttons, heat, short, still
from workbench.experiments import what_if_fused as asked
from workbench.experiments.layer_pairs import Pair
from workbench.experiments.what_if_fused_answer import Answer, Costs, Similarity, joined
from workbench.observations import Progress

gate = threading.Event()
KINDS = {
    kind: [f"encoder.layer.{i}.{kind}" for i in range(count)]
    for kind, count in (("query", 4), ("key", 3))
}


def similar(measure: str = "bures_wasserstein", module: str = "query") -> Similarity:
    """Distances that grow with how far two layers are from each other."""
    places = np.arange(len(KINDS[module]))
    matrix = np.abs(np.subtract.outer(places, places)) * (1.0 + places.max() - places / 10)
    return Similarity(measure, module, tuple(KINDS[module]), (matrix + matrix.T) / 2, False)


def answer(pairs: Sequence[Pair], before: Similarity, how: str = "mean") -> Answer:
    whole = Costs(4_000_000, 1.0, 7, 0.9, (0.009, 0.010, 0.012))
    less = len(pairs)
    fused = Costs(
        4_000_000 - 500_000 * less, 1 - less / 7, 7 - less, 0.9 - less / 10, whole.latency
    )
    told = ("accuracy", 50, "text", "a made-up network")
    return Answer(how, tuple(pairs), joined(pairs), *told, whole, fused, before, before)


@dataclass
class FakeNetwork:
    """Answers at once, or when the gate is open; remembers what it was asked."""

    settings: Any
    kinds: dict[str, list[str]] = field(default_factory=lambda: KINDS)
    begun: list[Any] = field(default_factory=list)
    closed: list[Any] = field(default_factory=list)
    seen: dict[Any, Similarity] = field(default_factory=dict)

    def most(self, module: str, among: str) -> int:
        names = [KINDS[module or "query"]] if among == "one" else KINDS.values()
        return sum(len(n) - 1 for n in names)

    def check(self, picked: Any) -> tuple[tuple[str, str], ...]:
        return tuple((min(pair), max(pair)) for pair in picked)

    def fusing(
        self, pairs: Any, how: str, measure: str, module: str, *, among: str, neighbours: bool
    ) -> Iterator[Any]:
        module = module or "query"
        self.begun.append(pairs)
        try:
            if measure == "cka":
                raise ValueError("cka is not defined here; choose another measure.")
            before = self.seen.setdefault((measure, module), similar(measure, module))
            yield before
            yield Progress(0, 3, "fusing")
            gate.wait(20)
            yield Progress(1, 3, "reading the test rows")
            if isinstance(pairs, int):
                pairs = list(pairwise(KINDS[module]))[:pairs]
            return answer([Pair(*pair, module, 1.0) for pair in pairs], before, how)
        except GeneratorExit:
            self.closed.append(pairs)
            raise


def loading(settings: Any, *trained: Any) -> Iterator[Progress]:
    yield Progress(0, 3, "reading <b>the</b> data")
    if settings.task == "enwiki":
        raise ValueError("task='enwiki' cannot be had; choose another.")
    gate.wait(20)
    yield Progress(1, 3, "measuring it whole")
    return FakeNetwork(settings)


@pytest.fixture(autouse=True)
def fakes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(asked.WhatIfFused, "loading", loading)
    monkeypatch.setattr(asked.WhatIfFused, "requirements", lambda self: {})
    monkeypatch.setattr(asking, "QUIET", 0.01)
    monkeypatch.setattr(later, "_queue", [])
    gate.set()
    yield
    gate.set()


@pytest.fixture
def state() -> Iterator[FusionState]:
    made = FusionState("smoke")
    yield made
    gate.set()
    made.close()


@pytest.fixture
def ready(state: FusionState) -> FusionState:
    state.load()
    assert state.wait(20) and state.state == "ready", state.failure
    return state


def network(state: FusionState) -> Any:
    assert state.loaded is not None
    return state.loaded


def until(true: Callable[[], object], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.01)


QUERIES = KINDS["query"]


def test_the_heatmap_is_there_before_the_answer(state: FusionState) -> None:
    seen: list[str] = []
    state.observe(lambda change: seen.append(change["name"]), ["similar", "answer"])
    state.load()
    assert state.wait(20)
    assert seen == ["similar", "answer"]
    assert state.kinds == {"query": 4, "key": 3} and state.most == 3
    assert state.pairs == ((QUERIES[0], QUERIES[1]),), "the closest pair"


def test_the_latest_question_wins(ready: FusionState) -> None:
    gate.clear()
    ready.settings.set("count", 2)
    until(lambda: network(ready).begun[-1] == 2)
    for count in (0, 3):
        ready.settings.set("count", count)
    gate.set()
    assert ready.wait(20)
    assert network(ready).begun == [1, 2, 3] and network(ready).closed == [2]
    assert len(ready.pairs) == 3


def test_a_pair_is_picked_beside_the_closest_ones_and_taken_out_again(ready: FusionState) -> None:
    ready.pick(QUERIES[3], QUERIES[0], True)
    assert ready.wait(20)
    assert ready.pairs == ((QUERIES[0], QUERIES[1]), (QUERIES[0], QUERIES[3]))
    assert network(ready).begun[-1] == ready.picked
    ready.pick(QUERIES[0], QUERIES[1], False)
    assert ready.wait(20) and ready.pairs == ((QUERIES[0], QUERIES[3]),)
    ready.closest()
    assert ready.wait(20) and ready.picked is None and ready.pairs == ((QUERIES[0], QUERIES[1]),)


def test_picked_pairs_stay_when_another_type_is_looked_at(ready: FusionState) -> None:
    ready.pick(QUERIES[1], QUERIES[2], True)
    assert ready.wait(20)
    ready.settings.set("module", "key")
    assert ready.wait(20)
    assert ready.similar.module == "key" and len(ready.answer.pairs) == 2
    ready.settings.set("count", 2)
    assert ready.wait(20) and ready.picked is None, "whoever moves the slider wants what it says"
    assert [pair.kind for pair in ready.answer.pairs] == ["key", "key"]


def test_nothing_can_be_picked_before_something_is_loaded(state: FusionState) -> None:
    with pytest.raises(ValueError, match="press Load first"):
        state.pick("a", "b", True)


def test_another_network_starts_anew(ready: FusionState) -> None:
    ready.pick(QUERIES[1], QUERIES[2], True)
    assert ready.wait(20)
    ready.load()
    assert ready.wait(20) and ready.picked is None and len(ready.pairs) == 1


def test_loading_is_cancelled_after_the_step_that_is_going_on(state: FusionState) -> None:
    gate.clear()
    state.load()
    until(lambda: "reading" in state.text)
    state.cancel()
    gate.set()
    assert state.wait(20)
    assert (state.state, state.text, state.similar) == ("idle", "cancelled", None)


def test_a_failure_is_said_and_the_next_question_is_answered(ready: FusionState) -> None:
    ready.settings.set("measure", "cka")
    assert ready.wait(20)
    assert ready.state == "failed" and "choose another measure" in str(ready.failure)
    ready.settings.set("measure", "euclidean")
    assert ready.wait(20)
    assert ready.state == "ready" and ready.failure is None
    assert ready.similar.measure == "euclidean"


def test_networks_on_offer_go_with_the_task(state: FusionState) -> None:
    assert "resnet8" in state.models() and "minilm" not in state.models()
    state.settings.set("task", "sentiment")
    assert state.models() == ("minilm", "e5-small", "tiny")
    assert state.settings.values["model"] == "minilm"
    state.settings.set("model", "/my/own")
    state.settings.set("task", "enwiki")
    assert state.settings.values["model"] == "/my/own", "a network of one's own stays"


def test_a_visitor_of_a_dashboard_names_no_folder_and_no_hub_id() -> None:
    state = FusionState("smoke", trusted=False, models=("somebody/network",), task="wikitext2")
    assert state.models() == ("gpt-small", "gpt-tiny", "somebody/network")
    for value in ("/etc", "openai-community/gpt2", "my.safetensors"):
        state.settings.set("model", value)
        assert (
            "is not one of gpt-small, gpt-tiny, somebody/network"
            in (state.settings.errors["model"])
        )
    state.settings.set("model", "somebody/network")
    assert state.settings.errors == {}
    state.settings.set("task", "folder:/etc")
    assert "in a dashboard" in state.settings.errors["task"]
    assert "folder" not in state.settings.controls["model"].help
    state.close()


def test_a_person_in_jupyterlab_names_their_own_network(state: FusionState) -> None:
    for value in ("somebody/network", "/my/network.safetensors"):
        state.settings.set("model", value)
        assert state.settings.errors == {} and state.settings.values["model"] == value


# The heatmap


@pytest.fixture
def pressed() -> list[tuple[int, int, bool]]:
    return []


@pytest.fixture
def shown(pressed: list[Any]) -> Heatmap:
    made = Heatmap(lambda *pair: pressed.append(pair), heatmap.MessageState())
    made.draw(heat(similar()), {(0, 1)})
    return made


def test_a_pressed_pair_is_heard_without_drawing_anew(shown: Heatmap, pressed: list[Any]) -> None:
    before = shown.picture.value
    shown.said.value = f"{shown.number} 1-3 1 1700000000000"
    shown.said.value = f"{shown.number} 0-1 0 1700000000001"
    assert pressed == [(1, 3, True), (0, 1, False)] and shown.marked == {(1, 3)}
    shown.draw(shown.heat, {(1, 3)})
    assert shown.picture.value == before, "the focus of the keyboard stays where it is"
    shown.draw(shown.heat, {(1, 3), (0, 2)})
    assert shown.picture.value != before


@pytest.mark.parametrize(
    "value",
    [
        "1 3-1 1 1", "1 1-1 1 1", "1 0-4 1 1", "2 0-1 1 1", "1 0-1 2 1", "1 0-1 1", "", "x" * 10**5,
        "1 -1-2 1 1", "1 0-1 1 1; import os", "1 \N{ARABIC-INDIC DIGIT ZERO}-9 1 1",
    ],
)  # fmt: skip
def test_what_a_page_says_is_checked(shown: Heatmap, pressed: list[Any], value: str) -> None:
    shown.said.value = "start"
    shown.messages.messages = []
    shown.number = 1
    shown.said.value = value
    assert pressed == [] and shown.marked == {(0, 1)}
    assert shown.messages.messages == [
        "That did not work: that pair is not in the picture any more; choose it again."
    ]


def test_a_pair_that_is_refused_is_not_left_ticked(shown: Heatmap) -> None:
    def refuse(*pair: Any) -> None:
        raise ValueError("not these two.")

    shown.pick, before = refuse, shown.picture.value
    shown.said.value = f"{shown.number} 1-3 1 1700000000000"
    assert shown.marked == {(0, 1)} and shown.picture.value != before
    assert shown.messages.messages == ["That did not work: not these two."]


def test_every_cell_says_what_it_is() -> None:
    drawn = buttons(heat(similar()), {(0, 1)}, 1)
    assert drawn.count("<button") == 12 and drawn.count('type="checkbox"') == 6
    assert drawn.count('aria-pressed="true"') == 2 and drawn.count(" checked>") == 1
    assert 'aria-label="0 with 3, distance' in drawn
    assert drawn.count('tabindex="0"') == 1, "arrows lead from there to the other cells"
    assert "<button" not in still(heat(similar()), {(0, 1)})


def test_names_are_escaped() -> None:
    evil = '"><img src=x onerror="hacked()">'
    names = tuple(f"{evil}{i}" for i in "ab")
    one = Similarity("euclidean", evil, names, np.array([[0, 1.0], [1, 0]]), False)
    for drawn in (buttons(heat(one), (), 1), still(heat(one), ())):
        assert "<img" not in drawn


def test_colours_are_those_of_the_figures() -> None:
    import matplotlib
    from matplotlib.colors import to_hex

    one = heat(similar())
    near, far = one.ranked[0], one.ranked[-1]
    colour = matplotlib.colormaps["viridis"]
    assert one.colours[near[0]][near[1]] == to_hex(colour(1.0)), "light is close"
    assert one.colours[far[0]][far[1]] == to_hex(colour(0.0))
    like = Similarity("cosine", "query", tuple(QUERIES), -similar().matrix, True)
    again = heat(like)
    assert again.colours[near[0]][near[1]] == to_hex(colour(1.0)) and again.ranked == one.ranked
    assert one.scale[0] == again.scale[0] == to_hex(colour(1.0)) and one.near < one.far


def test_short_names_tell_layers_apart() -> None:
    assert short(QUERIES) == ["0", "1", "2", "3"]


# The view


@pytest.fixture
def view() -> Iterator[Fusion]:
    made = Fusion("smoke")
    yield made
    gate.set()
    made.state.close()


def load(view: Fusion) -> None:
    view.start.click()
    assert view.state.wait(20), view.state.state
    assert view.state.failure is None and view.messages.messages == []


def test_a_person_loads_presses_a_cell_and_moves_the_slider(view: Fusion) -> None:
    assert "Press Load to begin" in view.progress.value and view.figures.layout.display == "none"
    load(view)
    assert view.figures.layout.display == "grid" and view.start.description == "Load again"
    assert "Bures-Wasserstein distance" in view.title.value and "3.50 MB" in view.costs.value
    assert view.heatmap.marked == {(0, 1)} and view.closest.layout.display == "none"
    view.heatmap.said.value = f"{view.heatmap.number} 2-3 1 1"
    assert view.state.wait(20)
    assert "3.00 MB" in view.costs.value and "query: 0 = 1; 2 = 3" in view.said.value
    assert view.closest.layout.display == ""
    slider = _input(view, "closest pairs")
    assert slider.max == 3
    slider.value = 3
    assert view.state.wait(20)
    assert view.heatmap.marked == {(0, 1), (1, 2), (2, 3)} and "2.50 MB" in view.costs.value
    assert view.messages.messages == []


def test_types_of_layers_are_those_of_the_network(view: Fusion) -> None:
    menu = _input(view, "module")
    load(view)
    assert menu.options == (("query (4 layers)", "query"), ("key (3 layers)", "key"))
    menu.value = "key"
    assert view.state.wait(20)
    assert "How alike key layers are" in view.title.value and _input(view, "closest pairs").max == 2


def test_menus_speak_in_words_and_keep_their_values(view: Fusion) -> None:
    measure = _input(view, "measure")
    assert measure.value == "bures_wasserstein" == view.state.settings.values["measure"]
    assert "random" not in [value for _, value in measure.options]
    assert ("all types at once", "closest") in _input(view, "counted among").options
    assert ("their mean", "mean") in _input(view, "what two become").options


def test_another_task_offers_its_networks(view: Fusion) -> None:
    _input(view, "task").value = "sentiment"
    assert list(_input(view, "model").options) == ["minilm", "e5-small", "tiny"]
    assert _input(view, "model").value == "minilm" == view.state.settings.values["model"]


def test_what_fails_is_said_with_the_way_out(view: Fusion) -> None:
    view.state.settings.set("task", "enwiki")
    view.start.click()
    assert view.state.wait(20)
    assert view.messages.messages == [
        "That did not work: task='enwiki' cannot be had; choose another."
    ]


def test_what_is_not_measured_yet_is_left_open() -> None:
    from dataclasses import replace

    whole = answer([Pair(*QUERIES[:2], "query", 1.0)], similar())
    assert "80.0%" in costs(whole) and "9.0\N{EN DASH}12.0 ms" in costs(whole)
    early = replace(whole, fused=replace(whole.fused, score=None, latency=None))
    assert costs(early).count("\N{HORIZONTAL ELLIPSIS}") == 3
    assert "Nothing is fused" in costs(answer([], similar()))
    assert "No pair is chosen" in said(answer([], similar()), KINDS)


def test_pairs_of_other_types_are_not_in_the_picture() -> None:
    pairs = [(QUERIES[2], QUERIES[0]), tuple(KINDS["key"][:2])]
    assert places(similar(), pairs) == {(0, 2)}


def test_the_panel_loads_nothing_heavy(root: Path) -> None:
    code = (
        "import sys; from widgets import Fusion; Fusion('smoke'); print([m for m in "
        "('torch', 'pandas', 'matplotlib', 'sklearn', 'transformers') if m in sys.modules])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=root, check=True, capture_output=True, text=True
    )
    assert run.stdout.strip() == "[]"


def _input(widget: Any, description: str) -> Any:
    return next(one for one in _inputs(widget) if one.description == description)


def _inputs(widget: Any) -> Iterator[Any]:
    for child in getattr(widget, "children", ()):
        yield from _inputs(child)
    if hasattr(widget, "description"):
        yield widget
