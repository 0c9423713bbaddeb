"""The what-if panel as a person sees it: what to load, what to prune, and what becomes of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import ipywidgets as w
from traitlets import link

from widgets import later
from widgets.callbacks import Messages, MessageState, guard
from widgets.figure_card import FigureCard, FigureState, Spec
from widgets.panel import Row
from widgets.text import Markup, markup, show
from widgets.theme import WIDTHS, Page, bridge, current_page, style
from widgets.what_if import WhatIfState
from widgets.what_if_costs import costs

if TYPE_CHECKING:
    from workbench.experiments.what_if_answer import Answer

LOADING = ("task", "model", "head")
FURTHER = ("train_size", "test_size", "max_length", "updates", "scoring_batches", "seed")
PER_LAYER = {"Remaining weights": "layer_density", "Weight norms": "weight_norms"}
GAP = 16
LOWEST = 0.01
"""The slider's lowest density."""


READINGS = {
    "layer_density": "The share of each matrix that is left. Chosen per layer it is the same "
    "everywhere; one threshold for all spares some and empties others.",
    "weight_norms": "Bright cells hold most of the weight that is left.",
    "weight_distributions": "All weights above, those that are left below, each to its own "
    "height: pruning by magnitude cuts the middle out, a random choice keeps the shape.",
    "before_after": "Hollow with all weights, filled with those that are left: the longer the "
    "line between them, the more that domain or language lost.",
}


class AtOnce(Spec):
    """A figure of a model that was pruned and not retrained, which its words must not promise."""

    def reading(self) -> str:
        return READINGS[self.figure]


class WhatIf(w.VBox):
    """Load a model once, then prune it by any criterion at any density and look at it at once.

    ``models`` offers further encoders by folder or hub id; ``profile`` and ``settings`` are those
    of :class:`workbench.experiments.what_if.WhatIf`. Nothing heavy is imported before the button
    is pressed.

    >>> WhatIf(task="emoji_names", model="e5-small")  # doctest: +SKIP
    """

    def __init__(
        self,
        profile: str = "laptop",
        *,
        store: Any = None,
        models: Sequence[str] = (),
        **settings: Any,
    ) -> None:
        super().__init__()
        self.messages = MessageState()
        self.state = WhatIfState(profile, store=store, models=models, **settings)
        self.page = current_page()
        self.beside = beside(self.page)
        self.cards = {
            name: FigureState(self.beside, self.messages, later=True)
            for name in ("layers", "weights", "scores")
        }
        self.start = _button("Load", "Loads the model and its data", "success")
        self.stop = _button("Cancel", "Stops loading", "")
        self.progress = show(Markup(""), "wb-progress")
        self.about = show(Markup(""))
        self.costs = show(Markup(""))
        for name in ("wb-card", "wb-costs"):
            self.costs.add_class(name)
        self.layered = w.Dropdown(options=PER_LAYER, description="Per layer and module")
        self.layered.add_class("wb-control")
        self.figures = self._figures()
        self.children = (
            style(), bridge(self.page), self._settings(), self._question(), self.progress,
            Messages(self.messages), self.about, self.figures,
        )  # fmt: skip
        for name in ("wb-column", "wb-what-if", "wb-ready"):
            self.add_class(name)
        self.start.on_click(guard(self._load, self.messages))
        self.stop.on_click(guard(lambda _: self.state.cancel(), self.messages))
        self.state.observe(guard(self._status, self.messages), ["state", "text", "done"])
        self.state.observe(guard(self._failed, self.messages), "failure")
        self.state.observe(guard(self._draw, self.messages), "answer")
        self.state.settings.observe(guard(self._status, self.messages), ["values", "errors"])
        self.layered.observe(guard(self._draw, self.messages), "value")
        self._status()

    # ---- what a person sets ----

    def _settings(self) -> w.Widget:
        rows = {name: self._row(name) for name in (*LOADING, *FURTHER)}
        more = w.ToggleButton(description=f"More settings ({len(FURTHER)})")
        more.add_class("wb-button")
        rest = self._menus([rows[name] for name in FURTHER])
        rest.layout.display = "none"
        more.observe(lambda c: rest.layout.set_trait("display", "" if c["new"] else "none"),
                     "value")  # fmt: skip
        buttons = w.HBox([self.start, self.stop, more])
        buttons.add_class("wb-row")
        loading = self._menus([rows[name] for name in LOADING])
        box = w.VBox([_legend("Which model"), loading, buttons, rest])
        box.add_class("wb-column")
        return box

    def _question(self) -> w.Widget:
        rows = [self._row("criterion"), self._row("scope"), Density(self.state, self.messages)]
        box = w.VBox([_legend("How to prune it"), self._menus([*rows, self.layered])])
        box.add_class("wb-column")
        return box

    def _row(self, name: str) -> Row:
        return Row(self.state.settings, name, self.messages)

    def _menus(self, rows: list[w.Widget]) -> w.HBox:
        box = w.HBox(rows)
        box.add_class("wb-menus")
        return box

    def _load(self, button: Any) -> None:
        later.queue().open()  # whoever presses a button has the page
        self.state.load()

    # ---- what a person sees ----

    def _figures(self) -> w.Widget:
        cards = {name: FigureCard(state) for name, state in self.cards.items()}
        for card in cards.values():
            card.remove_class("wb-figure-place")  # half as wide as the page's figures
        # Two stacks, not rows: a short card leaves no hole beside a tall one.
        stacks = [
            w.VBox([cards["layers"], cards["scores"]]), w.VBox([cards["weights"], self.costs])
        ]  # fmt: skip
        for stack in stacks:
            stack.add_class("wb-column")
        columns = f"repeat(auto-fit, minmax(min(100%, {WIDTHS[0] + 30}px), 1fr))"
        layout = w.Layout(
            display="none", grid_template_columns=columns, grid_gap=f"0 {GAP}px",
            overflow="visible", width="100%", align_items="flex-start",
        )  # fmt: skip
        return w.GridBox(stacks, layout=layout)

    def _status(self, change: Any = None) -> None:
        state = self.state
        self.start.disabled = state.busy
        self.stop.disabled = state.state != "loading"
        self.stop.description = "Cancelling…" if state.state == "cancelling" else "Cancel"
        self.start.description = "Load again" if state.loaded is not None else "Load"
        self.progress.value = status(state)

    def _failed(self, change: Any) -> None:
        if change["new"] is not None:
            self.messages.report(change["new"])

    def _draw(self, change: Any = None) -> None:
        answer: Answer | None = self.state.answer
        self.figures.layout.display = "none" if answer is None else "grid"
        if answer is None:
            self.about.value = Markup("")
            for card in self.cards.values():
                card.spec, card.drawn = None, None
            return
        self.about.value = markup('<p class="wb-reading">{}</p>', words(answer))
        for name, spec in specs(answer, self.layered.value, self.state.loads).items():
            if spec is not None:
                self.cards[name].spec = spec
        if (answer.scalars["name"] == "latency").any():
            self.costs.value = costs(answer)


class Density(w.VBox):
    """The share of weights left: a slider whose steps are shares of what is left, not of all."""

    def __init__(self, state: WhatIfState, messages: MessageState) -> None:
        super().__init__()
        self.settings, control = state.settings, state.settings.controls["density"]
        self.input = w.FloatLogSlider(
            value=self.settings.values["density"], base=10, min=math.log10(LOWEST), max=0,
            step=0.05, readout_format=".1%", description="density", continuous_update=False,
        )  # fmt: skip
        self.input.add_class("wb-control")
        help_text = w.Label(control.help)
        help_text.add_class("wb-help")
        self.children = (self.input, help_text)
        self.add_class("wb-column")
        self.input.observe(guard(self._take, messages), "value")
        self.settings.observe(guard(self._show, messages), "values")

    def _take(self, change: Any) -> None:
        self.settings.set("density", min(1.0, change["new"]))

    def _show(self, change: Any) -> None:
        self.input.value = max(LOWEST, self.settings.values["density"])


def beside(page: Page) -> Page:
    """The place of one of two figures beside each other, which follows ``page``."""

    def room(width: int) -> int:
        half = (width - GAP) // 2 - 30  # a card's padding and border
        return max((w for w in WIDTHS if w <= half), default=min(width, 480))

    own = Page(theme=page.theme, width=room(page.width))
    link((page, "theme"), (own, "theme"))
    page.observe(lambda change: own.set_trait("width", room(change["new"])), "width")
    return own


def specs(answer: Answer, layered: str = "layer_density", loads: int = 0) -> dict[str, Spec | None]:
    """The figures of an answer; None for those that wait for what is not measured yet.

    ``loads`` tells models apart: what was drawn for one question of one model is not drawn again.
    """
    asked = (loads, answer.method, answer.density)
    shown: dict[str, Spec | None] = {
        "layers": AtOnce(layered, answer.scalars, key=(*asked, layered)),
        "weights": AtOnce("weight_distributions", answer.histograms, key=(*asked, "weights")),
        "scores": None,
    }
    pruned = answer.scalars[answer.scalars["step"] == 1]
    if (pruned["name"] == answer.metric).any():
        options = {"metric": answer.metric, "phase": "before"}
        shown["scores"] = AtOnce("before_after", answer.scalars, options, key=(*asked, "scores"))
    return shown


def words(answer: Answer) -> str:
    """What the score is of, and what this is not."""
    return (
        f"The score is that of {answer.about}. Nothing is retrained after pruning: iterative "
        "pruning, as the chapters do it, keeps far more."
    )


def status(state: WhatIfState) -> Markup:
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
        text = "ready: change the criterion, the scope or the density"
        if state.stale:
            text = "these settings are not loaded yet: press Load again"
    return markup('{}<p class="wb-run-{}" role="status">{}</p>', bar, state.state, text)


def _legend(text: str) -> w.HTML:
    return show(markup("<h3>{}</h3>", text), "wb-group")


def _button(label: str, tooltip: str, kind: str) -> w.Button:
    button = w.Button(description=label, tooltip=tooltip, button_style=kind)
    button.add_class("wb-button")
    return button
