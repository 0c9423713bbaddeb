"""The what-if panel without a browser: loading, questions, the latest wins, and what is shown."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from widgets import asking, later, live
from widgets.theme import Page
from widgets.what_if import WhatIfState
from widgets.what_if_costs import costs
from widgets.what_if_view import WhatIf, beside, specs
from workbench.experiments import what_if as asked
from workbench.experiments.what_if_answer import Answer
from workbench.observations import Progress

gate = threading.Event()


def answer(criterion: str = "magnitude", scope: str = "layer", density: float = 0.5) -> Answer:
    """An answer made up, with everything that the panel shows."""
    rows: list[dict[str, Any]] = []
    for step, share in ((0, 1.0), (1, density)):
        say = lambda name, value, **labels: rows.append(  # noqa: E731
            {"method": "m", "seed": 0, "step": step, "name": name, "value": value, **labels}  # noqa: B023
        )
        say("density", share, scope="prunable")
        say("density", 0.5 + share / 2, scope="all")
        say("accuracy", 0.5 + share / 4, split="test", subset="en", phase="before")
        say("accuracy", 0.3 + share / 4, split="test", subset="de", phase="before")
        say("agreement", share, split="test", phase="before")
        for form in ("dense", "sparse"):
            say("bytes", 4e6 * (share if form == "sparse" else 1), form=form)
        say("multiply_adds", 8e6 * share, kernel="skips zeros")
        for quantile, value in (("lower", 0.009), ("median", 0.010), ("upper", 0.012)):
            say("latency", value, quantile=quantile)
        say("layer_density", share, layer="0", module="query")
    return Answer(criterion, scope, density, "accuracy", "a made-up head", pd.DataFrame(rows),
                  pd.DataFrame())  # fmt: skip


@dataclass
class FakeModel:
    """Answers at once, or when the gate is open; remembers what it was asked."""

    settings: Any
    begun: list[float] = field(default_factory=list)
    closed: list[float] = field(default_factory=list)

    def pruning(self, criterion: str, scope: str, density: float) -> Iterator[Any]:
        self.begun.append(density)
        try:
            yield Progress(0, 4, "scoring")
            gate.wait(20)
            yield Progress(1, 4, "choosing weights")
            return answer(criterion, scope, density)
        except GeneratorExit:
            self.closed.append(density)
            raise


def loading(settings: Any, *tuned: Any) -> Iterator[Progress]:
    yield Progress(0, 4, "reading <b>the</b> data")
    if settings.task == "cola":
        raise ValueError("task='cola' cannot be had; choose another.")
    gate.wait(20)
    yield Progress(3, 4, "measuring")
    return FakeModel(settings)


@pytest.fixture(autouse=True)
def fakes(monkeypatch: pytest.MonkeyPatch, sketched: None) -> Iterator[None]:
    monkeypatch.setattr(asked.WhatIf, "loading", loading)
    monkeypatch.setattr(asking, "QUIET", 0.01)
    monkeypatch.setattr(later, "_queue", [])
    gate.set()
    yield
    gate.set()


@pytest.fixture
def state() -> Iterator[WhatIfState]:
    made = WhatIfState("smoke")
    yield made
    gate.set()
    made.close()


def until(true: Callable[[], object], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.01)


def test_loading_answers_the_first_question(state: WhatIfState) -> None:
    seen: list[str] = []
    state.observe(lambda change: seen.append(change["new"]), "state")
    state.load()
    assert state.wait(20)
    assert seen == ["loading", "asking", "ready"]
    assert state.answer.density == 0.5 and not state.stale


def test_the_latest_question_wins(state: WhatIfState) -> None:
    state.load()
    assert state.wait(20)
    model: Any = state.loaded
    gate.clear()
    state.settings.set("density", 0.4)
    until(lambda: model.begun[-1] == 0.4)
    for density in (0.3, 0.2, 0.1):
        state.settings.set("density", density)
    gate.set()
    assert state.wait(20)
    assert state.answer.density == 0.1 and state.state == "ready"
    assert model.closed == [0.4] and model.begun == [0.5, 0.4, 0.1]


def test_a_change_of_what_is_loaded_is_not_a_question(state: WhatIfState) -> None:
    state.load()
    assert state.wait(20)
    state.settings.set("test_size", 7)
    assert state.wait(20) and state.stale
    assert state.loaded is not None and state.loaded.begun == [0.5]  # type: ignore[attr-defined]
    state.load()
    assert state.wait(20) and not state.stale and state.loads == 2


def test_loading_is_cancelled_after_the_step_that_is_going_on(state: WhatIfState) -> None:
    gate.clear()
    state.load()
    with pytest.raises(ValueError, match="being loaded already"):
        state.load()
    until(lambda: "reading" in state.text)
    state.cancel()
    assert state.state == "cancelling"
    gate.set()
    assert state.wait(20)
    assert (state.state, state.text, state.loaded) == ("idle", "cancelled", None)


def test_another_model_may_be_asked_for_while_a_question_is_answered(state: WhatIfState) -> None:
    state.load()
    assert state.wait(20)
    gate.clear()
    state.settings.set("density", 0.2)
    until(lambda: state.state == "asking")
    state.load()
    gate.set()
    assert state.wait(20)
    assert state.state == "ready" and state.loads == 2 and state.answer.density == 0.2


def test_it_waits_for_a_run_of_the_same_page(state: WhatIfState) -> None:
    with live._one:
        state.load()
        until(lambda: state.text == asking.BUSY)
        assert state.loaded is None
    assert state.wait(20) and state.state == "ready"


def test_a_failure_is_kept_and_the_next_try_may_start(state: WhatIfState) -> None:
    state.settings.set("task", "cola")
    state.load()
    assert state.wait(20)
    assert state.state == "failed" and "cannot be had" in str(state.failure)
    state.settings.set("task", "sentiment")
    state.load()
    assert state.wait(20) and state.state == "ready" and state.failure is None


def test_a_visitor_of_a_dashboard_names_no_folder_and_no_hub_id() -> None:
    state = WhatIfState("smoke", trusted=False, models=("somebody/encoder",))
    for value in ("/etc", "somebody/else", "folder:/etc"):
        state.settings.set("model", value)
        assert (
            "is not one of minilm, e5-small, tiny, somebody/encoder"
            in (state.settings.errors["model"])
        )
        with pytest.raises(ValueError, match="in a dashboard"):
            state.load()
    state.settings.set("model", "somebody/encoder")
    assert state.settings.errors == {}
    state.settings.set("task", "folder:/etc")
    assert "in a dashboard" in state.settings.errors["task"]
    assert "folder" not in state.settings.controls["model"].help
    state.close()


def test_a_person_in_jupyterlab_names_their_own_model(state: WhatIfState) -> None:
    state.settings.set("model", "somebody/encoder")
    assert state.settings.errors == {} and state.settings.values["model"] == "somebody/encoder"
    state.settings.set("criterion", "magic")
    assert "criterion = 'magic' is not one of" in state.settings.errors["criterion"]


def test_a_fine_tuned_head_comes_from_the_records(tmp_path: Path) -> None:
    from workbench.experiments import FineTuning
    from workbench.records import Store

    (tmp_path / "task").mkdir()
    for split in ("train", "validation", "test"):
        lines = [f"{w} film {split} {i},{w == 'good'}" for i in range(20) for w in ("good", "bad")]
        path = tmp_path / "task" / f"{split}.csv"
        path.write_text("text,label\n" + "\n".join(lines) + "\n")
    store, task = Store(tmp_path / "records"), f"folder:{tmp_path / 'task'}"
    sizes = dict(model="tiny", train_size=16, eval_size=16, test_size=4)
    held = store.collect(FineTuning(task=task, updates=4, **sizes))
    store.collect(FineTuning(task=task, updates=1, **sizes))  # newer, but hardly trained
    wanted = asked.WhatIf(
        task=task, model="tiny", head="fine-tuned", train_size=16, test_size=4, updates=3
    )
    found = asking.recorded(store, wanted.fine_tuning())
    assert found.key == held.key and found.config["updates"] == 4
    own = store.collect(wanted.fine_tuning())
    assert asking.recorded(store, wanted.fine_tuning()).key == own.key, (
        "the settings' own comes first"
    )
    other = asked.WhatIf(task="sentiment", model="tiny", head="fine-tuned")
    assert asking.recorded(store, other.fine_tuning()) is None


# The view


@pytest.fixture
def view() -> Iterator[WhatIf]:
    made = WhatIf("smoke")
    yield made
    gate.set()
    made.state.close()


def test_a_person_loads_and_moves_the_slider(view: WhatIf) -> None:
    assert "Press Load to begin" in view.progress.value and view.stop.disabled
    assert view.figures.layout.display == "none"
    view.start.click()
    assert view.state.wait(20) and later.queue().wait(20)
    assert view.figures.layout.display == "grid" and view.start.description == "Load again"
    assert "a made-up head" in view.about.value and "Nothing is retrained" in view.about.value
    first = {name: card.drawn.png for name, card in view.cards.items()}
    density = next(b for b in _inputs(view) if b.description == "density")
    density.value = 0.1
    assert view.state.wait(20) and later.queue().wait(20)
    assert all(card.drawn.png != first[name] for name, card in view.cards.items())
    assert "10.0%" in view.costs.value and view.messages.messages == []


def test_a_picture_is_not_drawn_twice(view: WhatIf) -> None:
    view.start.click()
    assert view.state.wait(20)
    for density in (0.1, 0.5, 0.1):
        view.state.settings.set("density", density)
        assert view.state.wait(20) and later.queue().wait(20)
    assert view.cards["weights"].draws == 2


def test_cancelling_is_said(view: WhatIf) -> None:
    gate.clear()
    view.start.click()
    until(lambda: "reading" in view.progress.value)
    assert view.start.disabled and not view.stop.disabled
    assert "<b>" not in view.progress.value, "what a model or a file says is escaped"
    view.stop.click()
    assert view.stop.description == "Cancelling…"
    gate.set()
    assert view.state.wait(20)
    assert "cancelled" in view.progress.value and not view.start.disabled


def test_what_fails_is_said_with_the_way_out(view: WhatIf) -> None:
    view.state.settings.set("task", "cola")
    view.start.click()
    assert view.state.wait(20)
    assert view.messages.messages == [
        "That did not work: task='cola' cannot be had; choose another."
    ]


def test_settings_that_are_not_loaded_yet_are_said(view: WhatIf) -> None:
    view.start.click()
    assert view.state.wait(20)
    view.state.settings.set("seed", 3)
    assert "not loaded yet: press Load again" in view.progress.value


def test_the_table_says_what_dense_kernels_do() -> None:
    said = costs(answer(density=0.1))
    assert "10.0 ms" in said and "9.0\N{EN DASH}12.0 ms" in said and "time does not fall" in said
    assert "4.0 MB" in said and "400 kB" in said and "0.8 M" in said
    assert "65.0%" in said, "the mean over languages, all weights there"


def test_figures_wait_for_what_is_measured() -> None:
    whole = answer()
    frame = whole.scalars
    early = frame[(frame["step"] == 0) | ~frame["name"].isin(["accuracy", "agreement"])]
    part = Answer("lamp", "global", 0.5, "accuracy", "", early, whole.histograms)
    assert specs(part)["scores"] is None and specs(part)["layers"] is not None
    assert specs(whole, "weight_norms")["layers"].figure == "weight_norms"  # type: ignore


@pytest.mark.parametrize(("page", "card"), [(1100, 480), (960, 360), (640, 480), (360, 360)])
def test_figures_beside_each_other_are_half_as_wide(page: int, card: int) -> None:
    whole = Page(width=page)
    half = beside(whole)
    assert half.width == card
    whole.theme, whole.width = "dark", 360
    assert (half.theme, half.width) == ("dark", 360)


def test_the_panel_loads_nothing_heavy(root: Path) -> None:
    code = (
        "import sys; from widgets import WhatIf; WhatIf('smoke'); print([m for m in "
        "('torch', 'pandas', 'matplotlib', 'sklearn', 'transformers') if m in sys.modules])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=root, check=True, capture_output=True, text=True
    )
    assert run.stdout.strip() == "[]"


def _inputs(widget: Any) -> Iterator[Any]:
    for child in getattr(widget, "children", ()):
        yield from _inputs(child)
    if hasattr(widget, "description"):
        yield widget
