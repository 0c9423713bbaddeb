"""Single figures of the records for a notebook: drawn once, with their downloads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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


class Missing(ValueError):
    """There are no records of what a figure would show."""


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
    from workbench.plotting import FIGURES

    def make() -> Spec:
        state = _choose_data(experiment, data, store)
        state.choose("figure", figure)
        for name, value in choices.items():
            if name == "methods":
                value = [one for one in value if one in state.offers(name)] or state.offers(name)
            state.choose(name, value)
        return state.spec()

    return card(make, FIGURES[figure].title)


def reported(
    experiment: str, table: str, *, data: str = "", store: Any = None, **options: Any
) -> w.Widget:
    """Our scores beside those the thesis reports in ``table`` (``"11.1"``)."""
    from workbench.plotting import FIGURES

    def make() -> Spec:
        import pandas

        state = _choose_data(experiment, data, store)
        path = TABLES / f"table_{table.replace('.', '_')}.csv"
        rows = pandas.read_csv(path, dtype={"table": str})
        drawn = {"reported": rows, "metric": "accuracy", **options}
        key = (experiment, table, data, str(options))
        group = state.groups[state["data"]]
        query = {"experiment": experiment, **group.query(group.runs)}
        return Spec("reported", state.frame(), drawn, query, key=key)

    return card(make, FIGURES["reported"].title)


def claims(experiment: str, *, store: Any = None, task: str | None = None) -> w.Widget:
    """The verdicts of :func:`widgets.claims.judged` as a picture."""
    from workbench.plotting import FIGURES

    def make() -> Spec:
        from widgets.claims import judged
        from workbench import experiments

        found = judged(experiment, store)
        if found is None or found.empty:
            raise Missing(_missing(experiment, "the recorded size"))
        options = {"task": task} if task else {}
        size = experiments.get(experiment).profile("recorded")
        agreed = {name: getattr(size, name) for name in size.budget}
        # A list in a query means any of them.
        single = {name: value for name, value in agreed.items() if not isinstance(value, tuple)}
        query = {"status": "finished"} | single
        query = {"experiment": experiment, **query}
        return Spec("claims", found, options, query, key=(experiment, "claims", task))

    return card(make, FIGURES["claims"].title)


def card(make: Callable[[], Spec], title: str) -> w.Widget:
    """What ``make`` returns as a card that follows the page; in a dashboard when its turn comes."""
    state = FigureState(current_page(), MessageState(), later=in_voila())
    if state.later:
        state.prepare(make, title)
        return FigureCard(state, alone=True)
    try:
        state.spec = make()
    except Missing as error:
        return show(markup("<p>{}</p>", error))
    except ValueError as error:
        return show(markup("<p>This figure cannot be drawn: {}</p>", error))
    return FigureCard(state, alone=True)


def _choose_data(experiment: str, data: str, store: Any) -> ExplorerState:
    """The records whose label holds ``data``."""
    state = _explored(experiment) if store is None else ExplorerState(experiment, store)
    labels = [label for label in state.offers("data") if data in label]
    if not labels:
        raise Missing(_missing(experiment, data))
    state.choose("data", labels[0])
    return state


def _missing(experiment: str, data: str) -> str:
    return f"There are no recorded runs of {experiment} ({data}) yet."
