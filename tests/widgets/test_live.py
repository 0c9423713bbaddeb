"""A run starts, draws, is cancelled and is resumed, and the page is never blocked by it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from synthetic import MadeUp

from widgets import live
from widgets.live import LiveRun, Pace
from widgets.live_view import Live, left, status
from workbench.experiments.base import setting
from workbench.observations import Observation, Progress
from workbench.records import Store


@dataclass(frozen=True)
class Slow(MadeUp):
    """Waits at every observation until the test lets it go on."""

    def run(self, resume: object = None, **inputs: object) -> Iterator[Observation]:
        for observation in super().run(resume):  # type: ignore[arg-type]
            gate.wait(10)
            time.sleep(0.002)
            yield observation


@dataclass(frozen=True)
class Failing(MadeUp):
    def run(self, resume: object = None, **inputs: object) -> Iterator[Observation]:
        yield Progress(1, 4, "before it fails")
        raise RuntimeError("the disk burned down")


@dataclass(frozen=True)
class Listing(MadeUp):
    """An experiment with a list among its settings, which a record holds as a list."""

    shares: tuple[float, ...] = setting((0.75, 0.5), "Shares.")


gate = threading.Event()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "PAUSE", 0.02)
    gate.set()


@pytest.fixture
def run(tmp_path: Path) -> Iterator[LiveRun]:
    made = LiveRun(Store(tmp_path))
    yield made
    gate.set()
    made.close()


def until(true: Callable[[], object], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.01)


def test_a_setting_that_is_a_list_is_a_column(run: LiveRun) -> None:
    for _ in range(2):  # anew, and from its record
        run.start(Listing(pruning_steps=2))
        run.join(20)
        assert run.state == "finished" and set(run.frame()["shares"]) == {(0.75, 0.5)}


def test_a_run_goes_through_its_states(run: LiveRun) -> None:
    states, drawn = [], []
    run.observe(lambda change: states.append(change["new"]), "state")
    run.observe(lambda change: drawn.append(len(run.frame())), "version")
    run.start(Slow(pruning_steps=3))
    assert run.busy
    run.join(20)
    assert states == ["running", "finished"]
    assert run.done == run.total > 0
    assert drawn == sorted(drawn) and drawn[-1] == len(run.frame()) > 50
    assert {"method", "seed", "split", "subset"} <= {*run.frame().columns}


def test_starting_does_not_wait_for_the_run(run: LiveRun) -> None:
    gate.clear()
    before = time.monotonic()
    run.start(Slow(pruning_steps=3))
    assert time.monotonic() - before < 1 and run.state == "running"


def test_cancelled_and_resumed_it_ends_as_if_never_stopped(run: LiveRun, tmp_path: Path) -> None:
    experiment = Slow(pruning_steps=6)
    run.observe(lambda _: run.cancel() if run.done >= 2 else None, "done")
    run.start(experiment)
    run.join(20)
    assert run.state == "cancelled"
    held = len(run.frame())
    run.unobserve_all("done")
    run.start(experiment)
    run.join(20)
    assert run.state == "finished"
    frame = run.frame()
    assert len(frame) > held
    whole = Store(tmp_path / "whole").collect(experiment).scalars()
    assert len(frame) == len(whole), "what was observed twice counts once"
    shared = ["step", "name", "value"]
    order = lambda f: f[shared].sort_values(shared).reset_index(drop=True)  # noqa: E731
    assert order(frame).equals(order(whole))


def test_only_one_run_at_a_time(run: LiveRun, tmp_path: Path) -> None:
    gate.clear()
    run.start(Slow(pruning_steps=3))
    with pytest.raises(ValueError, match="still going; cancel it first"):
        run.start(Slow(pruning_steps=2))
    other = LiveRun(Store(tmp_path / "other"))
    with pytest.raises(ValueError, match="still going"):
        other.start(Slow(pruning_steps=2))
    gate.set()
    run.join(20)
    other.start(Slow(pruning_steps=2))
    other.join(20)
    assert other.state == "finished"


def test_a_failure_is_kept_and_the_next_run_may_start(run: LiveRun) -> None:
    run.start(Failing())
    run.join(20)
    assert run.state == "failed"
    assert run.error == "RuntimeError: the disk burned down"
    run.start(Slow(pruning_steps=2))
    run.join(20)
    assert run.state == "finished" and run.error == ""


def test_a_read_only_store_fails_with_its_own_words(tmp_path: Path) -> None:
    run = LiveRun(Store(tmp_path, read_only=True))
    run.start(Slow())
    run.join(20)
    assert run.state == "failed" and "read" in run.error.lower()


def test_a_finished_run_shows_its_record(run: LiveRun) -> None:
    for _ in range(2):
        run.start(Slow(pruning_steps=2))
        run.join(20)
        assert run.state == "finished" and len(run.frame()) > 50
    assert "nothing ran" in run.text and "seed is a new run" in run.text
    assert run.total == 0, "no bar for what did not run"


def test_the_page_is_told_at_most_as_often_as_it_can_draw(
    run: LiveRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "PAUSE", 0.2)
    began = time.monotonic()
    run.start(Slow(pruning_steps=4))
    run.join(20)
    assert run.version <= (time.monotonic() - began) / 0.2 + 3


def test_closing_interrupts_the_run(tmp_path: Path) -> None:
    run = LiveRun(Store(tmp_path))
    run.start(Slow(pruning_steps=100))
    until(lambda: run.done >= 1)
    run.close()
    (record,) = Store(tmp_path).find("self-distilled-pruning")
    assert record.status == "interrupted"


def test_the_time_left_comes_from_the_pace() -> None:
    now = [0.0]
    pace = Pace(lambda: now[0])
    pace.at(Progress(10, 100))
    assert pace.left(Progress(10, 100)) is None
    now[0] = 5.0
    pace.at(Progress(20, 100))
    assert pace.left(Progress(20, 100)) == pytest.approx(40.0)
    pace.at(Progress(0, 50, "another phase"))
    now[0] = 6.0
    assert pace.left(Progress(1, 50)) == pytest.approx(49.0)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, ""), (0.2, "about 1 s left"), (200, "about 3 min left"), (7200, "about 2.0 h left")],
)
def test_the_time_left_in_words(seconds: float | None, text: str) -> None:
    assert left(seconds) == text


# The view


@pytest.fixture
def view(tmp_path: Path) -> Iterator[Live]:
    made = Live(Slow, "smoke", first=("loss", "seed"), store=Store(tmp_path))
    yield made
    gate.set()
    made.run.close()


def test_a_person_starts_cancels_and_resumes(view: Live) -> None:
    assert view.progress.value == "" and view.stop.disabled
    gate.clear()
    view.panel.set("pruning_steps", 8)
    view.start.click()
    assert view.start.disabled and not view.stop.disabled
    assert 'role="status"' in view.progress.value
    gate.set()
    until(lambda: view.run.done >= 1)
    view.stop.click()
    view.run.join(20)
    assert view.run.state == "cancelled" and view.start.description == "Resume"
    assert "what was measured is kept" in view.progress.value
    view.start.click()
    view.run.join(20)
    assert view.run.state == "finished" and view.start.description == "Start the run"
    assert view.card.draws > 1, "the curve grew as the run went on"
    assert view.messages.messages == []


def test_other_settings_are_another_run(view: Live) -> None:
    gate.clear()
    view.start.click()
    view.stop.click()
    gate.set()
    view.run.join(20)
    assert view.start.description == "Resume"
    view.panel.set("seed", 5)
    assert view.start.description == "Start the run"


def test_a_wrong_setting_is_said_and_nothing_starts(view: Live) -> None:
    view.panel.set("seed", -1)
    view.start.click()
    assert view.run.state == "idle"
    assert "seed = -1 is out of range" in view.messages.messages[0]


def test_a_failing_run_says_so(tmp_path: Path) -> None:
    ended = []
    view = Live(Failing, "smoke", store=Store(tmp_path), finished=lambda: ended.append(1))
    view.start.click()
    view.run.join(20)
    assert "That did not work (RuntimeError)" in view.messages.messages[0]
    assert ended == [] and not view.start.disabled


def test_whoever_waits_is_told_of_the_end(tmp_path: Path) -> None:
    ended = []
    view = Live(Slow, "smoke", store=Store(tmp_path), finished=lambda: ended.append(1))
    view.start.click()
    view.run.join(20)
    assert ended == [1]


def test_a_hostile_text_of_a_run_is_escaped(run: LiveRun) -> None:
    run.total, run.text, run.state = 3, "<img src=x onerror=alert(1)>", "running"
    assert "<img" not in status(run)
    run.state = "idle"
