"""A link that restores what is shown: a state's choices as a query string, and back.

What arrives in an address is untrusted. Every value goes through the state's own ``choose``,
which takes only what is on offer; the rest is named to the person and ignored.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Protocol
from urllib.parse import parse_qs

import ipywidgets as w

from widgets.text import Markup, markup, query_string, show
from widgets.theme import in_voila

LONGEST = 4000
MOST_FIELDS = 60


class Choosing(Protocol):
    """A state that can be written into a link."""

    def chosen(self) -> Mapping[str, str | Sequence[str]]:
        """What differs from the default, as text."""

    def choose(self, name: str, value: str | Sequence[str]) -> None:
        """Take one choice, or raise a ``ValueError`` that says what there is."""


def encode(state: Choosing) -> str:
    """The state as a query string; empty for the default view."""
    return query_string(state.chosen())


def restore(state: Choosing, query: str, many: Sequence[str] = ("methods",)) -> list[str]:
    """Set ``state`` to what ``query`` says; returns a sentence for each part that was refused."""
    if len(query) > LONGEST:
        return [f"The link is longer than {LONGEST} characters and was ignored."]
    try:
        fields = parse_qs(query, max_num_fields=MOST_FIELDS, encoding="utf-8")
    except ValueError:
        return [f"The link has more than {MOST_FIELDS} parts and was ignored."]
    problems = []
    for name, values in fields.items():
        try:
            state.choose(name, values if name in many else values[-1])
        except ValueError as error:
            problems.append(f"From the link: {error}")
    return problems


def asked(environment: Mapping[str, str] = os.environ) -> str:
    """The query string with which this dashboard was opened; empty in JupyterLab."""
    return environment.get("QUERY_STRING", "") if in_voila(environment) else ""


class ViewLink(w.VBox):
    """Shows the link of a state: an address in a dashboard, a line of code in JupyterLab."""

    def __init__(self, state: Any, experiment: str) -> None:
        super().__init__()
        self.state, self.experiment = state, experiment
        self.text = show(Markup(""), "wb-link")
        self.children = (self.text,)
        state.observe(lambda _: self.refresh(), "version")
        self.refresh()

    def refresh(self) -> None:
        query = encode(self.state)
        if in_voila():
            self.text.value = markup('<a href="?{}">Link to this view</a>', query)
        else:
            view = f", view={query!r}" if query else ""
            shown = f"Explorer({self.experiment!r}{view})"
            self.text.value = markup("To show this again: <code>{}</code>", shown)
