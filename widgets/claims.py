"""The claims of a chapter, judged by the records: a table with intervals and verdicts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ipywidgets as w

from widgets import later
from widgets.callbacks import Messages, MessageState, guard
from widgets.text import Markup, markup, show, table
from widgets.theme import in_voila

if TYPE_CHECKING:
    import pandas

NAMES = {"all": "all together"}


class Claims(w.VBox):
    """Each claim of the thesis with the difference measured here and its 95% interval.

    ``store`` is any ``Store``; by default the user's over the shipped records. Only the recorded
    profile counts: runs of other sizes would mix budgets.
    """

    def __init__(self, experiment: str, *, store: Any = None, metric: str = "accuracy") -> None:
        super().__init__()
        self.messages = MessageState()
        self.add_class("wb-card")
        self.add_class("wb-claims")

        def judge() -> None:
            self.children = (show(verdicts(experiment, store, metric)),)

        if in_voila():  # reading all records takes seconds, and the page need not wait
            waiting = show(markup('<p class="wb-waiting" role="status">Judging…</p>'))
            said: tuple[w.Widget, ...] = (Messages(self.messages), waiting)
            self.children = said
            later.add(guard(judge, self.messages))
        else:
            judge()


def verdicts(experiment: str, store: Any = None, metric: str = "accuracy") -> Markup:
    """The table of :func:`judged`, a row for each claim and a column for each task."""
    found = judged(experiment, store, metric)
    if found is None or found.empty:
        return markup("<p>There are no recorded runs of {} to judge by.</p>", experiment)
    tasks = list(dict.fromkeys(found["task"]))
    rows = [
        (claim, *(_cell(part, task) for task in tasks))
        for claim, part in found.groupby("claim", sort=False)
    ]
    head = ("Claim", *(NAMES.get(task, task) for task in tasks))
    few, many = found["pairs"].min(), found["pairs"].max()
    caption = (
        f"Difference [95% interval] and verdict; {found['when'].iloc[0]}; "
        f"paired by seed, {many if few == many else f'{few} to {many}'} pairs"
    )
    return table(head, rows, caption=caption)


def _cell(part: pandas.DataFrame, task: str) -> str:
    """The difference, its interval and the verdict of one claim on one task."""
    rows = part[part["task"] == task]
    if rows.empty:
        return "not run"
    row = rows.iloc[0]
    if row["pairs"] == 1:
        return f"{row['mean']:+.3f} (one pair)"
    return f"{row['mean']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}] {row['verdict']}"


def judged(experiment: str, store: Any = None, metric: str = "accuracy") -> pandas.DataFrame | None:
    """:func:`workbench.experiments.claims.assess` over the finished recorded-size runs."""
    from workbench import experiments
    from workbench.experiments.claims import CLAIMS, assess

    if store is None:
        from workbench.records import default_store

        store = default_store()
    size = experiments.get(experiment).profile("recorded")
    agreed = {name: value for name, value in size.config().items() if name in size.budget}
    records = store.find(experiment, status="finished")
    alike = [r for r in records if all(r.config.get(n) == value for n, value in agreed.items())]
    if not alike:
        return None
    return assess(store.scalars(alike), CLAIMS[experiment], metric=metric)
