"""Single figures of the records for a notebook: drawn once, with their downloads."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import ipywidgets as w

from widgets.callbacks import MessageState
from widgets.explorer import ExplorerState
from widgets.figure_card import FigureCard, FigureState, Spec
from widgets.text import markup, show
from widgets.theme import current_page, in_voila

TABLES = Path(__file__).resolve().parent.parent / "data" / "thesis"


@cache
def _explored(experiment: str) -> ExplorerState:
    """One reading of the records for all figures of a page."""
    return ExplorerState(experiment)


def recorded(
    experiment: str,
    figure: str,
    *,
    data: str = "",
    store: Any = None,
    **choices: str | Sequence[str],
) -> w.Widget:
    """A figure of the recorded runs, as :data:`workbench.plotting.FIGURES` names it.

    ``data`` is a part of the label of the runs, such as ``"emoji_names"``; ``choices`` are those
    of the explorer (``metric``, ``methods``, ``subset``, ``density``); methods that were not run
    are left out. What the records cannot show is said in its place, so that a page goes on.
    """
    state = _explored(experiment) if store is None else ExplorerState(experiment, store)
    if not _choose_data(state, data):
        return _missing(experiment, data)
    try:
        state.choose("figure", figure)
        for name, value in choices.items():
            if name == "methods":
                value = [one for one in value if one in state.offers(name)] or state.offers(name)
            state.choose(name, value)
    except ValueError as error:
        return show(markup("<p>This figure cannot be drawn: {}</p>", error))
    return card(state.spec())


def reported(
    experiment: str, table: str, *, data: str = "", store: Any = None, **options: Any
) -> w.Widget:
    """Our scores beside those the thesis reports in ``table`` (``"11.1"``)."""
    import pandas

    state = _explored(experiment) if store is None else ExplorerState(experiment, store)
    if not _choose_data(state, data):
        return _missing(experiment, data)
    rows = pandas.read_csv(TABLES / f"table_{table.replace('.', '_')}.csv", dtype={"table": str})
    drawn = {"reported": rows, "metric": "accuracy", **options}
    return card(Spec("reported", state.frame(), drawn, key=(experiment, table, data, str(options))))


def claims(experiment: str, *, store: Any = None, task: str | None = None) -> w.Widget:
    """The verdicts of :func:`widgets.claims.judged` as a picture."""
    from widgets.claims import judged

    found = judged(experiment, store)
    if found is None or found.empty:
        return _missing(experiment, "the recorded size")
    options = {"task": task} if task else {}
    return card(Spec("claims", found, options, key=(experiment, "claims", task)))


def card(spec: Spec) -> FigureCard:
    """``spec`` drawn as a card that follows the page."""
    return FigureCard(FigureState(current_page(), MessageState(), later=in_voila(), spec=spec))


def _choose_data(state: ExplorerState, data: str) -> bool:
    """Choose the runs whose label holds ``data``; whether there are any."""
    labels = [label for label in state.offers("data") if data in label]
    if labels:
        state.choose("data", labels[0])
    return bool(labels)


def _missing(experiment: str, data: str) -> w.Widget:
    """What stands where there are no records."""
    return show(markup("<p>There are no recorded runs of {} ({}) yet.</p>", experiment, data))
