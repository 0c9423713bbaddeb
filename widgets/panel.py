"""A form for the settings of an experiment, built from its dataclass and nothing else.

:class:`PanelState` holds and checks the values and is what the tests drive; :class:`Panel` shows
it. A field that is added to an experiment appears here with its help, limits and choices.
"""

from __future__ import annotations

from typing import Any

import ipywidgets as w
from traitlets import Dict, HasTraits, Unicode

from widgets.callbacks import Messages, MessageState, guard
from widgets.text import markup, show
from widgets.theme import in_voila

DASHBOARD_PROFILES = ("smoke", "laptop")
LONGEST_TEXT = 200


class PanelState(HasTraits):
    """The settings of one experiment while a person changes them.

    ``trusted=False`` (the default in a dashboard) refuses free text where a setting offers
    choices, so that a visitor cannot name folders of the server or models of the hub.
    """

    profile = Unicode()
    values = Dict()
    errors = Dict()

    def __init__(
        self, experiment: str | type, profile: str = "laptop", *, trusted: bool | None = None
    ) -> None:
        super().__init__()
        from workbench import experiments

        self.cls: Any = experiments.get(experiment) if isinstance(experiment, str) else experiment
        self.controls = {control.name: control for control in experiments.controls(self.cls)}
        self.trusted = not in_voila() if trusted is None else trusted
        self.load(profile)

    @property
    def profiles(self) -> tuple[str, ...]:
        """Profiles on offer: those that end while someone waits, or all for a trusted person."""
        return tuple(p for p in self.cls.profiles if self.trusted or p in DASHBOARD_PROFILES)

    def load(self, profile: str) -> None:
        """Set every value to the profile's own."""
        if profile not in self.profiles:
            raise ValueError(f"profile = {profile!r} is not one of {', '.join(self.profiles)}.")
        self.errors = {}
        self.values = self._defaults(profile)
        self.profile = profile

    def reset(self, name: str) -> None:
        """Set one value back to the profile's own."""
        self._known(name)
        self.errors = {key: text for key, text in self.errors.items() if key != name}
        self.values = {**self.values, name: self._defaults(self.profile)[name]}

    def set(self, name: str, value: Any) -> None:
        """Take a value from the outside: it is checked, and what is wrong is kept in ``errors``."""
        control = self._known(name)
        try:
            value = control.check(self._plain(name, value))
        except (TypeError, ValueError) as error:
            self.errors = {**self.errors, name: str(error)}
            return
        self.errors = {key: text for key, text in self.errors.items() if key != name}
        if self.values.get(name) != value:
            self.values = {**self.values, name: value}

    def applies(self, name: str) -> bool:
        """Whether a setting matters beside the other values."""
        return self._known(name).applies(self.values)

    def changed(self) -> tuple[str, ...]:
        """Names of the settings that differ from the profile."""
        own = self._defaults(self.profile)
        return tuple(name for name, value in self.values.items() if own[name] != value)

    def experiment(self) -> Any:
        """The experiment with these settings.

        Raises:
            ValueError: a value is wrong; the text says which and what is allowed.
        """
        wrong = [text for name, text in self.errors.items() if self.applies(name)]
        if wrong:
            raise ValueError(" ".join(wrong))
        return self.cls(**self.values)

    def _defaults(self, profile: str) -> dict[str, Any]:
        base = self.cls.profile(profile)
        return {name: getattr(base, name) for name in self.controls}

    def _known(self, name: str) -> Any:
        if name not in self.controls:
            raise ValueError(f"{self.cls.name} has no setting {name!r}.")
        return self.controls[name]

    def _plain(self, name: str, value: Any) -> Any:
        control = self.controls[name]
        if control.kind == "floats" and isinstance(value, str):
            return [float(part) for part in value.replace(",", " ").split()]
        if isinstance(value, str) and len(value) > LONGEST_TEXT:
            raise ValueError(f"{name} is longer than {LONGEST_TEXT} characters.")
        if control.open and not self.trusted and value not in control.choices:
            allowed = ", ".join(map(str, control.choices))
            raise ValueError(f"{name} = {value!r} is not one of {allowed} (in a dashboard).")
        return value


class Panel(w.VBox):
    """The form. ``first`` names the settings that show at once; the others wait behind a button."""

    def __init__(
        self, state: PanelState, first: tuple[str, ...] = (), messages: MessageState | None = None
    ) -> None:
        super().__init__()
        self.state = state
        self.messages = messages or MessageState()
        self.add_class("wb-controls")
        self.rows = {name: Row(state, name, self.messages) for name in state.controls}
        first = tuple(name for name in first if name in self.rows) or tuple(self.rows)[:6]
        rest = [name for name in self.rows if name not in first]
        self.profile = w.Dropdown(
            options=state.profiles, value=state.profile, description="Profile"
        )
        self.profile.add_class("wb-control")
        self.profile.observe(guard(self._load, self.messages), "value")
        self.restore = w.Button(description="Reset to the profile")
        self.restore.add_class("wb-button")
        self.restore.on_click(guard(lambda _: state.load(state.profile), self.messages))
        self.more = w.ToggleButton(description=f"More settings ({len(rest)})")
        self.more.add_class("wb-button")
        self.rest = w.VBox(self._groups(rest))
        self.rest.layout.display = "none"
        self.more.observe(self._unfold, "value")
        own = [] if messages else [Messages(self.messages)]
        buttons = w.HBox([self.restore, self.more] if rest else [self.restore])
        buttons.add_class("wb-row")
        self.children = (
            *own, self.profile, *(self.rows[name] for name in first), buttons, self.rest,
        )  # fmt: skip
        for part in (self, self.rest):
            part.add_class("wb-column")
        state.observe(lambda _: self.profile.set_trait("value", state.profile), "profile")

    def _load(self, change: Any) -> None:
        if change["new"] != self.state.profile:
            self.state.load(change["new"])

    def _unfold(self, change: Any) -> None:
        self.rest.layout.display = "" if change["new"] else "none"

    def _groups(self, names: list[str]) -> list[w.Widget]:
        groups: dict[str, list[w.Widget]] = {}
        for name in names:
            groups.setdefault(self.state.controls[name].group, []).append(self.rows[name])
        boxes = []
        for title, rows in groups.items():
            box = w.VBox([show(markup("<h3>{}</h3>", title), "wb-group"), *rows])
            box.add_class("wb-column")
            boxes.append(box)
        return boxes


class Row(w.VBox):
    """One setting: its control, its help, and what is wrong with its value."""

    def __init__(self, state: PanelState, name: str, messages: MessageState) -> None:
        super().__init__()
        self.state, self.name = state, name
        control = state.controls[name]
        self.input = make_input(control, state.values[name], state.trusted)
        self.input.description = name.replace("_", " ")
        self.input.tooltip = control.help
        self.input.add_class("wb-control")
        symbol = f" In the thesis: ${control.symbol}$" if control.symbol else ""
        help_text = w.Label(f"{control.help}{symbol}")  # a Label typesets but never runs markup
        help_text.add_class("wb-help")
        self.wrong = w.VBox()
        self.children = (self.input, help_text, self.wrong)
        self.add_class("wb-column")
        self.input.observe(guard(self._take, messages), "value")
        state.observe(guard(self._show_value, messages), "values")
        state.observe(guard(self._show_error, messages), "errors")
        self._show_value()

    def _take(self, change: Any) -> None:
        self.state.set(self.name, change["new"])

    def _show_value(self, change: Any = None) -> None:
        self.layout.display = "" if self.state.applies(self.name) else "none"
        value = self.state.values[self.name]
        shown = _shown(self.state.controls[self.name], value)
        if self.name not in self.state.errors and self.input.value != shown:
            self.input.value = shown

    def _show_error(self, change: Any = None) -> None:
        text = self.state.errors.get(self.name)
        note = markup('<p class="wb-wrong" role="alert">{}</p>', text or "")
        self.wrong.children = (show(note),) if text else ()
        if text is None:
            self._show_value()


def make_input(control: Any, value: Any, trusted: bool = False) -> w.Widget:
    """The input for one control. Every one can be reached and read out by keyboard users."""
    value = _shown(control, value)
    if control.kind == "bool":
        return w.Checkbox(value=value, indent=False)
    if control.kind == "choice":
        if control.open and trusted:
            return w.Combobox(
                options=[str(c) for c in control.choices],
                value=str(value), ensure_option=False, continuous_update=False,
            )  # fmt: skip
        choices = control.choices if value in control.choices else (*control.choices, value)
        return w.Dropdown(options=[(str(c), c) for c in choices], value=value)
    if control.kind in ("int", "float") and _slides(control, value):
        make = w.IntSlider if control.kind == "int" else w.FloatSlider
        return make(
            value=value, min=control.minimum, max=control.maximum, step=control.step,
            continuous_update=False, readout=True,
        )  # fmt: skip
    if control.kind == "int":
        return w.IntText(value=value, step=int(control.step or 1), continuous_update=False)
    if control.kind == "float":
        return w.FloatText(value=value, step=control.step, continuous_update=False)
    return w.Text(value=value, continuous_update=False)


def _shown(control: Any, value: Any) -> Any:
    return " ".join(map(str, value)) if control.kind == "floats" else value


def _slides(control: Any, value: float) -> bool:
    """A slider only where its steps can be hit: at most 120 of them, and the value on one."""
    low, high, step = control.minimum, control.maximum, control.step
    if low is None or high is None or not step or (high - low) / step > 120:
        return False
    places = (value - low) / step
    return abs(places - round(places)) < 1e-9
