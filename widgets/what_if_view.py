"""The what-if panel as a person sees it: what to load, what to prune, and what becomes of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import ipywidgets as w
from traitlets import link

from widgets.asking_view import AskView, legend, menus
from widgets.callbacks import Messages, MessageState, guard
from widgets.figure_card import FigureCard, FigureState, Spec
from widgets.text import Markup, markup, show
from widgets.theme import WIDTHS, Page, bridge, style
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


class WhatIf(AskView):
    """Load a model once, then prune it by any criterion at any density and look at it at once.

    ``models`` offers further encoders by folder or hub id; ``profile`` and ``settings`` are those
    of :class:`workbench.experiments.what_if.WhatIf`. Nothing heavy is imported before the button
    is pressed.

    >>> WhatIf(task="emoji_names", model="e5-small")  # doctest: +SKIP
    """

    state: WhatIfState
    invitation = "ready: change the criterion, the scope or the density"

    def __init__(
        self,
        profile: str = "laptop",
        *,
        store: Any = None,
        models: Sequence[str] = (),
        **settings: Any,
    ) -> None:
        super().__init__(WhatIfState(profile, store=store, models=models, **settings))
        self.beside = beside(self.page)
        self.cards = {
            name: FigureState(self.beside, self.messages, later=True)
            for name in ("layers", "weights", "scores")
        }
        self.about = show(Markup(""))
        self.costs = show(Markup(""))
        for name in ("wb-card", "wb-costs"):
            self.costs.add_class(name)
        self.layered = w.Dropdown(options=PER_LAYER, description="Per layer and module")
        self.layered.add_class("wb-control")
        self.figures = self._figures()
        loading = self._settings("Which model", [self._row(name) for name in LOADING], FURTHER)
        self.children = (
            style(), bridge(self.page), loading, self._question(), self.progress,
            Messages(self.messages), self.about, self.figures,
        )  # fmt: skip
        self.add_class("wb-what-if")
        self.layered.observe(guard(self._draw, self.messages), "value")
        self._status()

    # ---- what a person sets ----

    def _question(self) -> w.Widget:
        rows = [self._row(name) for name in ("criterion", "scope")]
        rows += [Density(self.state, self.messages), self.layered]
        box = w.VBox([legend("How to prune it"), menus(rows)])
        box.add_class("wb-column")
        return box

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
