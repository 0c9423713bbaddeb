"""The fusion panel as a person sees it: a network, which of its layers are alike, and what becomes
of it when they are one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import ipywidgets as w

from widgets.asking_view import AskView, button, legend, menus
from widgets.callbacks import Messages, guard
from widgets.fusion import FusionState
from widgets.fusion_costs import costs
from widgets.heatmap import Heat, Heatmap, heat, short, still
from widgets.text import Markup, markup, show
from widgets.theme import bridge, style

if TYPE_CHECKING:
    from workbench.experiments.what_if_fused_answer import Answer, Similarity

LOADING = ("task", "model")
FURTHER = ("train_size", "test_size", "length", "base_updates", "base_learning_rate", "batch_size",
           "seed")  # fmt: skip
GAP = 16
NARROWEST = 390
"""Pixels of a card; where two do not fit beside each other, they stand below each other."""
FIRST = "the first type"
AFTER = "<p>The same layers after fusing, in the same colours; those that are one are ticked.</p>{}"
WORDS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "among": (
        "counted among",
        {"one": "this type of layer", "evenly": "every type alike", "closest": "all types at once"},
    ),
    "fusing": (
        "what two become",
        {"mean": "their mean", "freeze": "one of them", "mix": "a random mixture",
         "transport": "the mean of matched units"},
    ),
    "neighbours": ("only neighbours", {}),
}  # fmt: skip
"""Names that say more than those of the settings."""


class Fusion(AskView):
    """Load a network once, see which of its layers are alike, make them one, and see what changes.

    ``models`` offers further networks by folder, safetensors file or hub id; ``profile`` and
    ``settings`` are those of :class:`workbench.experiments.what_if_fused.WhatIfFused`. Nothing
    heavy is imported before the button is pressed.

    >>> Fusion(task="sentiment", model="minilm")  # doctest: +SKIP
    """

    state: FusionState
    invitation = "ready: press a cell or move the slider, and the network is fused at once"

    def __init__(
        self,
        profile: str = "laptop",
        *,
        store: Any = None,
        models: Sequence[str] = (),
        **settings: Any,
    ) -> None:
        super().__init__(FusionState(profile, store=store, models=models, **settings))
        self.heatmap = Heatmap(self._pick, self.messages)
        self.title, self.after, self.said = (show(Markup("")) for _ in range(3))
        self.costs = show(Markup(""), "wb-card", "wb-costs")
        self.closest = button("Back to the closest pairs", "Drops what was picked by hand", "")
        self._heats: dict[Similarity, Heat] = {}
        self.figures = self._figures()
        rows = {name: self._row(name) for name in LOADING}
        self.model = rows["model"]
        loading = self._settings("Which network", [*rows.values()], FURTHER)
        self.children = (
            style(), bridge(self.page), loading, self._question(), self.progress,
            Messages(self.messages), self.figures,
        )  # fmt: skip
        self.add_class("wb-fusion")
        self.closest.on_click(guard(lambda _: self.state.closest(), self.messages))
        self.state.observe(guard(self._draw, self.messages), ["similar", "picked"])
        self.state.settings.observe(guard(self._offer, self.messages), "values")
        self._status()
        self._draw()

    # ---- what a person sets ----

    def _question(self) -> w.Widget:
        from workbench.plotting import words

        rows = {name: self._row(name) for name in ("measure", "among", "fusing", "neighbours")}
        _in_words(rows["measure"].input, words.measure)
        for name, (label, options) in WORDS.items():
            rows[name].input.description = label
            if options:
                _in_words(rows[name].input, options.__getitem__)
        measure, *others = rows.values()
        shown = [measure, Module(self), Count(self), *others]
        box = w.VBox([legend("Which layers become one"), menus(shown)])
        box.add_class("wb-column")
        return box

    def _offer(self, change: Any) -> None:
        """Offer the networks that go with another task."""
        if change["new"]["task"] == change["old"]["task"]:
            return
        settings = self.state.settings
        chosen = settings.values["model"]  # which may have changed since the task did
        choices = dict.fromkeys((*settings.controls["model"].choices, chosen))
        self.model.input.options = tuple(choices)
        self.model.input.value = chosen

    def _pick(self, i: int, j: int, chosen: bool) -> None:
        similar = self.state.similar
        if similar is None:
            raise ValueError("nothing is loaded; press Load first.")
        self.state.pick(similar.names[i], similar.names[j], chosen)

    # ---- what a person sees ----

    def _figures(self) -> w.Widget:
        before = w.VBox([self.title, self.heatmap, self.closest])
        after = w.VBox([self.said, self.after])
        for card in (before, after):
            card.add_class("wb-card")
        stack = w.VBox([after, self.costs])
        stack.add_class("wb-column")
        columns = f"repeat(auto-fit, minmax(min(100%, {NARROWEST}px), 1fr))"
        layout = w.Layout(
            display="none", grid_template_columns=columns, grid_gap=f"0 {GAP}px",
            overflow="visible", width="100%", align_items="flex-start",
        )  # fmt: skip
        return w.GridBox([before, stack], layout=layout)

    def _draw(self, change: Any = None) -> None:
        state = self.state
        similar, answer = state.similar, state.answer
        self.figures.layout.display = "none" if similar is None else "grid"
        self.closest.layout.display = "none" if state.picked is None else ""
        if similar is None:
            self._heats.clear()
            self.heatmap.draw(None, ())
            return
        shown = self._heat(similar)
        self.title.value = title(shown)
        self.heatmap.draw(shown, places(similar, state.pairs))
        if answer is not None:
            self.said.value = said(answer, state.loaded.kinds if state.loaded else {})
            one = heat(answer.after, like=answer.before) if answer.pairs else None
            together = places(answer.after, _every_two(answer.groups))
            self.after.value = Markup("") if one is None else markup(AFTER, still(one, together))
            self.costs.value = costs(answer)

    def _heat(self, similar: Similarity) -> Heat:
        if similar not in self._heats:
            self._heats[similar] = heat(similar)
        return self._heats[similar]


class Module(w.VBox):
    """The type of layer that is looked at: those of the network that is loaded."""

    def __init__(self, panel: Fusion) -> None:
        super().__init__()
        self.state = panel.state
        self.input = w.Dropdown(options=[(FIRST, "")], description="module")
        self.input.add_class("wb-control")
        self.children = (self.input, _help("Type of layer that is compared."))
        self.add_class("wb-column")
        self.input.observe(guard(self._take, panel.messages), "value")
        self.state.observe(guard(self._show, panel.messages), "kinds")

    def _take(self, change: Any) -> None:
        if change["new"] is not None:
            self.state.settings.set("module", change["new"])

    def _show(self, change: Any) -> None:
        kinds, chosen = change["new"], self.state.settings.values["module"]
        options = [(f"{kind} ({number} layers)", kind) for kind, number in kinds.items()]
        self.input.options = options
        self.input.value = chosen if chosen in kinds else next(iter(kinds), None)


class Count(w.VBox):
    """How many of the closest pairs are fused: a slider as long as there are pairs."""

    def __init__(self, panel: Fusion) -> None:
        super().__init__()
        self.state = panel.state
        count = self.state.settings.values["count"]
        self.input = w.IntSlider(
            value=count, min=0, max=max(1, count), description="closest pairs",
            continuous_update=False,
        )  # fmt: skip
        self.input.add_class("wb-control")
        self.children = (self.input, _help(self.state.settings.controls["count"].help))
        self.add_class("wb-column")
        self.input.observe(guard(self._take, panel.messages), "value")
        self.state.observe(guard(self._limit, panel.messages), "most")
        self.state.settings.observe(guard(self._show, panel.messages), "values")

    def _take(self, change: Any) -> None:
        self.state.settings.set("count", change["new"])

    def _limit(self, change: Any) -> None:
        self.input.max = max(1, change["new"])
        self._show()

    def _show(self, change: Any = None) -> None:
        self.input.value = min(self.state.settings.values["count"], self.input.max)


def places(similar: Similarity, pairs: Sequence[Sequence[str]]) -> set[tuple[int, int]]:
    """Those of ``pairs`` that are in view, as numbers."""
    at = {name: place for place, name in enumerate(similar.names)}
    found = {(at[a], at[b]) for a, b in pairs if a in at and b in at}
    return {(min(pair), max(pair)) for pair in found}


def title(shown: Heat) -> Markup:
    """What the heatmap shows, and what to do with it."""
    return markup(
        '<h3>How alike {} layers are</h3><p class="wb-reading">{} between two layers of the whole '
        "network: light is close. Press a cell to fuse its two layers, or to leave them apart "
        "again; fused ones are ticked.</p>",
        shown.module, f"{shown.measure[0].upper()}{shown.measure[1:]}",
    )  # fmt: skip


def said(answer: Answer, kinds: dict[str, list[str]]) -> Markup:
    """What became of it in words, and which layers are one."""
    lines = [markup("<p>{}</p>", answer.sentence)]
    for kind, names in kinds.items():
        called = dict(zip(names, short(names), strict=True))
        groups = [
            [called[n] for n in names if n in group]
            for group in answer.groups
            if group[0] in called
        ]
        if groups:
            together = "; ".join(" = ".join(group) for group in groups)
            lines.append(markup("<p>One layer now, {}: {}</p>", kind, together))
    about = f"Tested is {answer.about}. Nothing is retrained after fusing; the experiment of this "
    lines.append(markup('<p class="wb-reading">{}</p>', f"{about}chapter does that as well."))
    return markup("<h3>After fusing</h3>{}", Markup("".join(lines)))


def _every_two(groups: Sequence[Sequence[str]]) -> list[tuple[str, str]]:
    return [(a, b) for group in groups for k, a in enumerate(group) for b in group[k + 1 :]]


def _in_words(menu: Any, called: Callable[[str], str]) -> None:
    """Call the options of a menu by other names."""
    chosen = menu.value
    menu.options = [(called(value), value) for _, value in menu.options]
    menu.value = chosen  # new options choose the first one


def _help(text: str) -> w.Label:
    label = w.Label(text)
    label.add_class("wb-help")
    return label
