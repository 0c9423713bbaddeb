"""What the panels over a loaded model have in common: settings, buttons, progress, messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ipywidgets as w

from widgets import later
from widgets.asking import AskState
from widgets.callbacks import MessageState, guard
from widgets.panel import Row
from widgets.text import Markup, markup, show
from widgets.theme import current_page


class AskView(w.VBox):
    """A panel with a state; a subclass lays out its parts and draws the answer."""

    invitation = "ready"
    """What is said once a model is loaded and its first question answered."""

    def __init__(self, state: AskState) -> None:
        super().__init__()
        self.state, self.messages = state, MessageState()
        self.page = current_page()
        self.start = button("Load", "Loads the model and its data", "success")
        self.stop = button("Cancel", "Stops loading", "")
        self.progress = show(Markup(""), "wb-progress")
        for name in ("wb-column", "wb-ready"):
            self.add_class(name)
        self.start.on_click(guard(self._load, self.messages))
        self.stop.on_click(guard(lambda _: state.cancel(), self.messages))
        state.observe(guard(self._status, self.messages), ["state", "text", "done"])
        state.observe(guard(self._failed, self.messages), "failure")
        state.observe(guard(self._draw, self.messages), "answer")
        state.settings.observe(guard(self._status, self.messages), ["values", "errors"])

    def _settings(self, title: str, first: Sequence[w.Widget], further: Sequence[str]) -> w.Widget:
        """What to load: the ``first`` rows, the buttons, and the ``further`` ones unfolding."""
        more = w.ToggleButton(description=f"More settings ({len(further)})")
        more.add_class("wb-button")
        rest = menus([self._row(name) for name in further])
        rest.layout.display = "none"
        more.observe(lambda c: rest.layout.set_trait("display", "" if c["new"] else "none"),
                     "value")  # fmt: skip
        buttons = w.HBox([self.start, self.stop, more])
        buttons.add_class("wb-row")
        box = w.VBox([legend(title), menus(first), buttons, rest])
        box.add_class("wb-column")
        return box

    def _row(self, name: str) -> Row:
        return Row(self.state.settings, name, self.messages)

    def _load(self, pressed: Any) -> None:
        later.queue().open()  # whoever presses a button has the page
        self.state.load()

    def _status(self, change: Any = None) -> None:
        state = self.state
        self.start.disabled = state.busy
        self.stop.disabled = state.state != "loading"
        self.stop.description = "Cancelling…" if state.state == "cancelling" else "Cancel"
        self.start.description = "Load again" if state.loaded is not None else "Load"
        self.progress.value = status(state, self.invitation)

    def _failed(self, change: Any) -> None:
        if change["new"] is not None:
            self.messages.report(change["new"])

    def _draw(self, change: Any = None) -> None:
        raise NotImplementedError


def status(state: AskState, invitation: str) -> Markup:
    """What the panel does now, as a bar with a name and as text."""
    if state.state == "idle" and not state.text:
        return markup('<p class="wb-run-idle" role="status">{}</p>', "Press Load to begin.")
    bar, text = Markup(""), state.text or state.state
    if state.busy and state.total:
        bar = markup(
            '<progress max="{}" value="{}" aria-label="Progress of loading"></progress>',
            state.total, state.done,
        )  # fmt: skip
    if state.state == "ready":
        text = invitation
        if state.stale:
            text = "these settings are not loaded yet: press Load again"
    return markup('{}<p class="wb-run-{}" role="status">{}</p>', bar, state.state, text)


def menus(rows: Sequence[w.Widget]) -> w.HBox:
    """Controls beside each other, as many as there is room for."""
    box = w.HBox(list(rows))
    box.add_class("wb-menus")
    return box


def legend(text: str) -> w.HTML:
    """The name of a group of controls."""
    return show(markup("<h3>{}</h3>", text), "wb-group")


def button(label: str, tooltip: str, kind: str) -> w.Button:
    """A button of the panels."""
    made = w.Button(description=label, tooltip=tooltip, button_style=kind)
    made.add_class("wb-button")
    return made
