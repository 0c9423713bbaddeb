"""Every callback of a widget runs through :func:`guard`.

Voila shows nothing when a callback fails: prints, displays and exceptions are lost. So the person
gets one short message that can be dismissed, and the server log gets the traceback.
"""

from __future__ import annotations

import functools
import uuid
from collections.abc import Callable
from typing import Any

import ipywidgets as w
from traitlets import HasTraits, List
from traitlets.log import get_logger

from widgets.text import markup, show

LONGEST = 300
MOST = 3


class MessageState(HasTraits):
    """What the person should read now; the newest is last."""

    messages: List[str] = List()

    def say(self, text: str) -> None:
        """Show ``text``; a repeated message is shown once, and at most three stay."""
        text = " ".join(str(text).split())
        if len(text) > LONGEST:
            text = text[: LONGEST - 1] + "…"
        others = [message for message in self.messages if message != text]
        self.messages = [*others, text][-MOST:]

    def dismiss(self, text: str) -> None:
        self.messages = [message for message in self.messages if message != text]

    def report(self, error: BaseException) -> None:
        """Say that something failed, and write the traceback to the server log.

        The text of a ``ValueError`` is written for people and is shown; of other errors only the
        kind is, with a number that is found again in the log.
        """
        number = uuid.uuid4().hex[:6]
        trace = (type(error), error, error.__traceback__)
        get_logger().error("widgets: error %s", number, exc_info=trace)
        if isinstance(error, ValueError):
            self.say(f"That did not work: {error}")
        else:
            kind = type(error).__name__
            self.say(f"That did not work ({kind}). The server log has it as error {number}.")


class Messages(w.VBox):
    """The messages of a state, each with a button that dismisses it."""

    def __init__(self, state: MessageState | None = None) -> None:
        super().__init__()
        self.state = state or MessageState()
        self.add_class("wb-messages")
        self.state.observe(self._draw, "messages")
        self._draw()

    def _draw(self, change: object = None) -> None:
        self.children = tuple(self._row(text) for text in self.state.messages)

    def _row(self, text: str) -> w.HBox:
        button = w.Button(description="Dismiss", tooltip=f"Dismiss: {text}")
        button.on_click(lambda _: self.state.dismiss(text))
        row = w.HBox([show(markup('<p role="alert">{}</p>', text)), button])
        row.add_class("wb-message")
        return row


def guard(function: Callable[..., Any], state: MessageState) -> Callable[..., Any]:
    """``function`` for use as a callback: errors are shown and logged, never lost or raised."""

    @functools.wraps(function)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            state.report(error)
            return None

    return guarded
