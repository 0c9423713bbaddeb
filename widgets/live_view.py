"""A live run as a person sees it: settings, start, cancel, resume, progress, and the curve."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets as w

from widgets.callbacks import Messages, MessageState, guard
from widgets.figure_card import FigureCard, FigureState, Spec
from widgets.live import LiveRun
from widgets.panel import Panel, PanelState
from widgets.text import Markup, markup, show
from widgets.theme import bridge, current_page, style

CURVES = ("pruning_curve", "epoch_curve", "training_loss")


class Live(w.VBox):
    """Run an experiment on this page.

    ``first`` names the settings that show at once, ``finished`` is called when a run has ended
    (an explorer's ``refresh``, for instance).

    >>> Live("self-distilled-pruning", profile="laptop")  # doctest: +SKIP
    """

    def __init__(
        self,
        experiment: str | type,
        profile: str = "laptop",
        *,
        first: tuple[str, ...] = (),
        store: Any = None,
        finished: Callable[[], None] | None = None,
    ) -> None:
        super().__init__()
        self.messages = MessageState()
        self.panel = PanelState(experiment, profile)
        self.run = LiveRun(store if store is not None else _default_store)
        self.card = FigureState(current_page(), self.messages)
        self.finished = finished
        self.ran: Any = None
        self.start = _button("Start the run", "Starts the run with these settings", "success")
        self.stop = _button("Cancel", "Stops the run; what was measured is kept", "")
        self.progress = show(Markup(""), "wb-progress")
        buttons = w.HBox([self.start, self.stop])
        buttons.add_class("wb-row")
        self.children = (
            style(), bridge(self.card.page), Panel(self.panel, first, self.messages), buttons,
            self.progress, Messages(self.messages), FigureCard(self.card),
        )  # fmt: skip
        for name in ("wb-column", "wb-live", "wb-ready"):
            self.add_class(name)
        self.start.on_click(guard(self._start, self.messages))
        self.stop.on_click(guard(lambda _: self.run.cancel(), self.messages))
        buttons_again = guard(self._buttons, self.messages)
        self.panel.observe(buttons_again, ["values", "errors"])
        self.run.observe(guard(self._ended, self.messages), "state")
        self.run.observe(guard(self._draw, self.messages), "version")
        self._buttons()

    def _start(self, button: Any) -> None:
        experiment = self.panel.experiment()
        self.card.spec, self.card.drawn = None, None
        self.ran = experiment
        self.run.start(experiment)

    def _buttons(self, change: Any = None) -> None:
        busy, state = self.run.busy, self.run.state
        self.start.disabled = busy
        self.stop.disabled = state != "running"
        self.stop.description = "Cancelling…" if state == "cancelling" else "Cancel"
        self.start.description = "Resume" if self._resumes() else "Start the run"
        self.progress.value = status(self.run)

    def _resumes(self) -> bool:
        """Whether starting now goes on with the run that was cancelled (or failed)."""
        if self.run.state not in ("cancelled", "failed") or self.panel.errors:
            return False
        return self.ran is not None and self.panel.experiment() == self.ran

    def _ended(self, change: Any) -> None:
        self._buttons()
        if self.run.state == "failed" and self.run.failure is not None:
            self.messages.report(self.run.failure)
        if self.run.state == "finished" and self.finished is not None:
            self.finished()

    def _draw(self, change: Any) -> None:
        """Show how far the run is and what it has found; runs in the run's own thread."""
        self.progress.value = status(self.run)
        frame = self.run.frame()
        if len(frame):
            spec = curve(frame)
            if spec is not None:
                self.card.spec = spec


def curve(frame: Any) -> Spec | None:
    """The first figure that can be drawn from what a run has observed so far."""
    from workbench.plotting import FIGURES

    names = {*frame["name"].unique()}
    for figure in CURVES:
        family = FIGURES[figure]
        if not family.available(names):
            continue
        metric = next((m for m in family.metrics if m in names), None)
        options: dict[str, Any] = {"metric": metric} if metric else {}
        rows = frame[frame["name"] == metric] if metric else frame
        if metric and "split" in rows and not (rows["split"] == "test").any():
            options["split"] = "validation"
        return Spec(figure, frame, options, title="This run")
    return None


def status(run: LiveRun) -> Markup:
    """The progress as a bar with a name and as text; nothing before the first run."""
    if run.state == "idle":
        return Markup("")
    bar = Markup("")
    if run.total:
        bar = markup(
            '<progress max="{}" value="{}" aria-label="Progress of the run"></progress>',
            run.total, run.done,
        )  # fmt: skip
    parts = [f"{run.done} of {run.total}" if run.total else "", run.text, left(run.seconds_left)]
    text = " · ".join(part for part in parts if part)
    return markup('{}<p class="wb-run-{}" role="status">{}</p>', bar, run.state, text)


def left(seconds: float | None) -> str:
    """``about 2 min left``."""
    if seconds is None:
        return ""
    if seconds < 90:
        return f"about {max(1, round(seconds))} s left"
    if seconds < 5400:
        return f"about {round(seconds / 60)} min left"
    return f"about {seconds / 3600:.1f} h left"


def _button(label: str, tooltip: str, kind: str) -> w.Button:
    button = w.Button(description=label, tooltip=tooltip, button_style=kind)
    button.add_class("wb-button")
    return button


def _default_store() -> Any:
    from workbench.records import default_store

    return default_store()
