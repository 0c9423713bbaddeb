"""No callback fails silently: the person reads a message and the log has the traceback."""

from __future__ import annotations

import logging

import pytest
from traitlets.log import get_logger

from widgets.callbacks import MOST, Messages, MessageState, guard


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    logger = get_logger()
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)


def test_an_error_is_shown_and_logged(log: pytest.LogCaptureFixture) -> None:
    state = MessageState()

    def fails(change: object) -> None:
        raise KeyError("secret path")

    with log.at_level(logging.ERROR):
        assert guard(fails, state)(None) is None
    (message,) = state.messages
    assert message.startswith("That did not work (KeyError). The server log has it as error ")
    assert "secret path" not in message
    number = message.removesuffix(".").rsplit(" ", 1)[-1]
    assert number in log.text and "secret path" in log.text and "Traceback" in log.text


def test_the_text_of_a_value_error_is_for_people(log: pytest.LogCaptureFixture) -> None:
    state = MessageState()

    def fails() -> None:
        raise ValueError("alpha = 3 is out of range: 0 to 1.")

    guard(fails, state)()
    assert state.messages == ["That did not work: alpha = 3 is out of range: 0 to 1."]


def test_a_callback_that_works_is_left_alone() -> None:
    state = MessageState()
    assert guard(lambda x: x + 1, state)(1) == 2
    assert state.messages == []


def test_messages_are_short_few_and_not_repeated() -> None:
    state = MessageState()
    for text in ("a", "b", "a", "c", "d", "x" * 1000):
        state.say(text)
    assert len(state.messages) == MOST
    assert state.messages[0] == "c" and len(state.messages[-1]) <= 300


def test_a_message_can_be_dismissed() -> None:
    view = Messages()
    view.state.say("first")
    view.state.say("second")
    assert len(view.children) == 2
    view.children[0].children[1].click()
    assert view.state.messages == ["second"]


def test_a_message_is_escaped() -> None:
    view = Messages()
    view.state.say("<img src=x onerror=alert(1)>")
    assert "<img" not in view.children[0].children[0].value
