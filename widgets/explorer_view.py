"""The record explorer as a person sees it: menus, the figure, its link, and the comparison."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets as w

from widgets.callbacks import Messages, MessageState, guard
from widgets.compare import Comparison, ComparisonState
from widgets.explorer import ALL, LOWEST, ExplorerState
from widgets.figure_card import FigureCard, FigureState
from widgets.link import ViewLink, asked, restore
from widgets.text import markup, show
from widgets.theme import bridge, current_page, in_voila, style

MAIN = ("data", "figure", "metric", "subset", "density")
WORDS = {
    "data": "Data",
    "figure": "Figure",
    "metric": "Metric",
    "subset": "Domain or language",
    "density": "Remaining weights",
    "split": "Split",
    "spread": "Spread",
    "seeds": "One dot per seed",
    "scale": "Scale",
    "estimator": "Estimator",
    "projection": "Projection",
}
VALUES = {
    ALL: "all",
    LOWEST: "fewest",
    "range": "lowest to highest seed",
    "sd": "standard deviation",
    "t95": "95% interval",
    "True": "yes",
    "False": "no",
    "knn": "nearest neighbours",
    "infonce": "InfoNCE bound",
    "pca": "PCA",
    "lda": "LDA",
    "tsne": "t-SNE",
}


class Explorer(w.VBox):
    """Recorded runs of an experiment, to choose from, look at, compare, and link to.

    >>> Explorer("self-distilled-pruning")  # doctest: +SKIP
    """

    def __init__(self, experiment: str, *, store: Any = None, view: str = "") -> None:
        super().__init__()
        self.messages = MessageState()
        self.state = ExplorerState(experiment, store)
        self.card = FigureState(current_page(), self.messages, later=in_voila(), urgent=True)
        self.menus: dict[str, Menu] = {}
        self.methods = Methods(self.state, self.messages)
        self.rows, self.further = w.HBox(), w.HBox()
        for box in (self.rows, self.further):
            box.add_class("wb-menus")
        self.more = w.ToggleButton(description="More options", tooltip="Split, spread, scale")
        self.more.add_class("wb-button")
        self.compare = w.ToggleButton(
            description="Compare two runs", tooltip="Two runs side by side, and their difference"
        )
        self.compare.add_class("wb-button")
        self.comparison = w.VBox()
        self.link = ViewLink(self.state, experiment)
        self.children = (
            style(), bridge(self.card.page), Messages(self.messages), self.rows, self.methods,
            self.more, self.further, FigureCard(self.card), self.link, self.compare,
            self.comparison,
        )  # fmt: skip
        for name in ("wb-column", "wb-controls", "wb-ready"):
            self.add_class(name)
        self.compare.observe(guard(self._toggle, self.messages), "value")
        self.more.observe(guard(self._show, self.messages), "value")
        for problem in guard(restore, self.messages)(self.state, view or asked()) or ():
            self.messages.say(problem)
        self.state.observe(guard(self._show, self.messages), "version")
        guard(self._show, self.messages)()

    def refresh(self) -> None:
        """Look for new records, e.g. when a run has finished."""
        guard(self.state.reload, self.messages)()

    def _show(self, change: Any = None) -> None:
        if self.state.empty:
            self.compare.layout.display = "none"
            self.messages.say(_empty(self.state.experiment))
            return
        self.compare.layout.display = ""
        self._fill(self.rows, MAIN)
        self._fill(self.further, self.state.options())
        self.more.layout.display = "" if self.further.children else "none"
        self.further.layout.display = "" if self.more.value else "none"
        self.methods.offer()
        self.card.spec = self.state.spec()

    def _fill(self, box: w.Box, names: tuple[str, ...]) -> None:
        for name in names:
            if name not in self.menus:
                self.menus[name] = Menu(name, self._choose)
        shown = tuple(self.menus[name] for name in names if self.menus[name].offer(self.state))
        if box.children != shown:
            box.children = shown

    def _choose(self, name: str, value: str) -> None:
        guard(self.state.choose, self.messages)(name, value)

    def _toggle(self, change: Any) -> None:
        if change["new"] and not self.comparison.children:
            state = ComparisonState(self.state)
            self.comparison.children = (Comparison(state, self.card.page, self.messages),)
        self.comparison.layout.display = "" if change["new"] else "none"


class Menu(w.Dropdown):
    """One choice of a state. It follows what the state offers and says what a person picks."""

    options: Any  # a trait, whose type the base class leaves open

    def __init__(self, name: str, pick: Callable[[str, str], None], label: str = "") -> None:
        super().__init__(description=label or WORDS.get(name, name.replace("_", " ")))
        self.name, self.pick = name, pick
        self.following = False
        self.add_class("wb-control")
        self.add_class(f"wb-menu-{name}")
        self.observe(self._picked, "value")

    def offer(self, state: Any) -> bool:
        """Show what ``state`` offers now; whether there is anything to choose."""
        offered = state.offers(self.name)
        by_measure = self.name == "metric" and getattr(state, "by_measure", False)
        kind = "measure" if by_measure else self.name
        pairs = tuple((_word(kind, value), value) for value in offered)
        self.following = True
        try:
            if self.options != pairs:
                self.options = pairs
            if offered:
                self.value = state[self.name]
        finally:
            self.following = False
        return len(offered) > 1 or (self.name in ("data", "figure") and bool(offered))

    def _picked(self, change: Any) -> None:
        if not self.following and change["new"] is not None:
            self.pick(self.name, change["new"])


class Methods(w.VBox):
    """One checkbox a method: more can be shown at once than a menu lets one see."""

    def __init__(self, state: ExplorerState, messages: MessageState) -> None:
        super().__init__()
        self.state, self.messages = state, messages
        self.boxes: dict[str, w.Checkbox] = {}
        self.row = w.HBox()
        self.row.add_class("wb-methods")
        self.children = (show(markup('<p class="wb-legend">Methods</p>')), self.row)
        self.following = False
        self.add_class("wb-column")

    def offer(self) -> None:
        from workbench.plotting import words

        offered = self.state.offers("methods")
        self.following = True
        try:
            for name in offered:
                if name not in self.boxes:
                    box = w.Checkbox(description=words.method(name), indent=False)
                    box.observe(guard(self._picked, self.messages), "value")
                    self.boxes[name] = box
                self.boxes[name].value = name in self.state["methods"]
            shown = tuple(self.boxes[name] for name in offered)
            if self.row.children != shown:
                self.row.children = shown
        finally:
            self.following = False

    def _picked(self, change: Any) -> None:
        if self.following:
            return
        picked = [name for name in self.state.offers("methods") if self.boxes[name].value]
        if not picked:
            change["owner"].value = True  # nothing at all cannot be drawn
            return
        self.state.choose("methods", picked)


def _word(name: str, value: str) -> str:
    from workbench.plotting import FIGURES, words

    if name == "figure":
        return FIGURES[value].title
    if name == "metric":
        return words.scalar(value)
    if name == "measure":
        return words.measure(value)
    return VALUES.get(value, value)


def _empty(experiment: str) -> str:
    return (
        f"There is no recorded run of {experiment} yet. Start one on this page, or record some "
        f"with: python -m workbench sweep {experiment}"
    )
