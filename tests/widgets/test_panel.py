"""A form is built from a dataclass alone, and what is typed into it is checked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import ipywidgets as w
import pytest

from widgets.panel import Panel, PanelState
from workbench.experiments.base import Experiment, controls, setting
from workbench.observations import Observation


@dataclass(frozen=True)
class Sample(Experiment):
    name = "sample"
    title = "Sample"
    chapter = 0
    profiles = {"smoke": {"steps": 1}, "laptop": {"steps": 5}, "thesis": {"steps": 500}}

    task: str = setting("a", "What to do.", choices=("a", "b"), open=True)
    loss: Literal["none", "cc"] = setting("cc", "Which loss.")
    alpha: float = setting(0.5, "A weight.", minimum=0, maximum=1, step=0.1, symbol=r"\alpha")
    beta: float = setting(2e-5, "Another.", minimum=0, maximum=10, when={"loss": ("cc",)})
    steps: int = setting(3, "How many.", minimum=1, maximum=1000, group="Size")
    deep: bool = setting(False, "Deeper.", group="Size")
    rates: tuple[float, ...] = setting((0.1, 0.2), "Rates.", group="Size")

    def run(self, resume: object = None, **inputs: object) -> Iterator[Observation]:
        yield from ()


@pytest.fixture
def state() -> PanelState:
    return PanelState(Sample, "laptop", trusted=True)


def test_values_begin_as_the_profile_has_them(state: PanelState) -> None:
    assert state.experiment() == Sample.profile("laptop")
    assert state.changed() == ()


def test_every_field_has_a_control_with_its_help(state: PanelState) -> None:
    panel = Panel(state)
    assert [*panel.rows] == [control.name for control in controls(Sample)]
    kinds = {name: type(row.input) for name, row in panel.rows.items()}
    assert kinds == {
        "task": w.Combobox, "loss": w.Dropdown, "alpha": w.FloatSlider, "beta": w.FloatText,
        "steps": w.IntText, "deep": w.Checkbox, "rates": w.Text,
    }  # fmt: skip
    assert panel.rows["alpha"].children[1].value == r"A weight. In the thesis: $\alpha$"
    assert panel.rows["alpha"].input.readout


def test_a_control_changes_the_experiment(state: PanelState) -> None:
    panel = Panel(state)
    panel.rows["alpha"].input.value = 0.2
    panel.rows["rates"].input.value = "0.5, 0.25"
    assert state.experiment() == Sample.profile("laptop", alpha=0.2, rates=(0.5, 0.25))
    assert state.changed() == ("alpha", "rates")


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("alpha", 3.0, "alpha = 3.0 is out of range: 0 to 1."),
        ("alpha", float("nan"), "finite"),
        ("steps", 0, "out of range"),
        ("loss", "cd", "not one of none, cc"),
        ("deep", 1, "True or False"),
        ("rates", "0.1 x", "could not convert"),
        ("task", "x" * 500, "longer than 200"),
    ],
)
def test_a_wrong_value_is_named_and_never_run(
    state: PanelState, name: str, value: object, text: str
) -> None:
    state.set(name, value)
    assert text in state.errors[name]
    with pytest.raises(ValueError, match="."):
        state.experiment()
    state.reset(name)
    assert state.experiment() == Sample.profile("laptop")


def test_what_is_wrong_stands_below_the_control(state: PanelState) -> None:
    panel = Panel(state)
    row = panel.rows["steps"]
    row.input.value = 0
    assert "out of range" in row.wrong.children[0].value
    row.input.value = 7
    assert row.wrong.children == () and state.values["steps"] == 7


def test_a_setting_that_does_not_matter_is_hidden(state: PanelState) -> None:
    panel = Panel(state)
    state.set("beta", -1.0)
    assert panel.rows["beta"].layout.display != "none"
    panel.rows["loss"].input.value = "none"
    assert panel.rows["beta"].layout.display == "none"
    assert state.experiment().loss == "none", "a wrong value that does not matter is no obstacle"


def test_a_visitor_names_no_folder_and_no_large_profile() -> None:
    state = PanelState(Sample, "smoke", trusted=False)
    assert state.profiles == ("smoke", "laptop")
    state.set("task", "folder:/etc")
    assert "not one of a, b" in state.errors["task"]
    with pytest.raises(ValueError, match="profile = 'thesis' is not one of smoke, laptop"):
        state.load("thesis")
    assert isinstance(Panel(state).rows["task"].input, w.Dropdown)


def test_in_a_dashboard_nobody_is_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVER_SOFTWARE", "voila/0.5")
    assert PanelState(Sample).trusted is False


def test_another_profile_and_the_reset_bring_back_its_values(state: PanelState) -> None:
    panel = Panel(state)
    panel.rows["alpha"].input.value = 0.9
    panel.profile.value = "smoke"
    assert state.experiment() == Sample.profile("smoke")
    assert panel.rows["alpha"].input.value == 0.5
    panel.rows["steps"].input.value = 9
    panel.restore.click()
    assert state.experiment() == Sample.profile("smoke")


def test_only_the_first_settings_show_at_once(state: PanelState) -> None:
    panel = Panel(state, first=("loss", "alpha"))
    assert panel.rest.layout.display == "none"
    assert panel.more.description == "More settings (5)"
    panel.more.value = True
    assert panel.rest.layout.display == ""
    titles = [box.children[0].value for box in panel.rest.children]
    assert titles == ["<h3>Experiment</h3>", "<h3>Size</h3>"]


def test_the_panel_of_chapter_11_is_built_without_torch() -> None:
    state = PanelState("self-distilled-pruning", "laptop", trusted=True)
    panel = Panel(state, first=("criterion", "loss", "alpha", "tau", "seed"))
    panel.rows["loss"].input.value = "cos"
    assert state.experiment().method == "SDP-COS"
    assert panel.rows["beta_cos"].layout.display == ""
