"""A figure with its title, one sentence on how to read it, and everything to take away.

The picture is a PNG with a text alternative. PNG, SVG, CSV and the code that reproduces it are
links that hold their content, so they work in a dashboard and in JupyterLab and ask no host.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import ipywidgets as w
from traitlets import Any as AnyTrait
from traitlets import HasTraits, Instance, Int, Unicode

from widgets import later
from widgets.callbacks import Messages, MessageState, guard
from widgets.text import Markup, file_name, join, markup, picture, save_link, show
from widgets.theme import Page, current_page

if TYPE_CHECKING:
    import pandas

_drawing = threading.RLock()
"""One figure at a time: a live run and a callback may both want one, and fonts are shared."""


@dataclass(frozen=True, eq=False)
class Spec:
    """What to draw: a figure of :data:`workbench.plotting.FIGURES`, its data and its options.

    ``query`` (of ``Store.find``) and ``data_options`` (of ``plotting.gather``) are for the code
    that reproduces it. Two specs with one ``key`` draw the same; without a key each draws anew.
    """

    figure: str
    data: pandas.DataFrame = field(repr=False)
    options: Mapping[str, Any] = field(default_factory=dict)
    query: Mapping[str, Any] | None = None
    data_options: Mapping[str, Any] = field(default_factory=dict)
    title: str = ""
    key: Hashable = None

    def label(self) -> str:
        from workbench.plotting import FIGURES

        return self.title or FIGURES[self.figure].title

    def reading(self) -> str:
        from workbench.plotting import FIGURES

        return FIGURES[self.figure].help


@dataclass(frozen=True)
class Drawn:
    """A drawn figure as the page shows it."""

    title: str
    reading: str
    alt: str
    png: bytes = field(repr=False)
    look: str = ""
    """Theme and width, e.g. ``dark-360``; the page waits for its own."""


def draw(spec: Spec, *, theme: str, width: int) -> Drawn:
    """The figure of ``spec`` for a page of this theme and width; matplotlib loads here first."""
    from workbench import plotting

    with _drawing:
        figure = plotting.figure(
            spec.figure, spec.data, theme=theme, width=width, title="", **spec.options
        )
        alt = plotting.alt_text(spec.figure, spec.data, **spec.options)
        png = plotting.to_png(figure)
    return Drawn(spec.label(), spec.reading(), alt, png, f"{theme}-{width}")


def downloads(spec: Spec, *, theme: str, width: int) -> Markup:
    """Links that save the figure, its data and its code, and the code itself."""
    from workbench import plotting

    figure = plotting.figure(spec.figure, spec.data, theme=theme, width=width, **spec.options)
    shown = plotting.relevant(spec.figure, spec.data, **spec.options)
    name = (spec.figure, spec.options.get("metric", ""))
    svg = plotting.to_svg(figure, title=spec.label())
    links = [
        save_link("PNG", file_name(*name, suffix="png"), "image/png", plotting.to_png(figure)),
        save_link("SVG", file_name(*name, suffix="svg"), "image/svg+xml", svg),
        save_link("Data (CSV)", file_name(*name, suffix="csv"), "text/csv", plotting.to_csv(shown)),
    ]
    lines = Markup("")
    if spec.query is not None:
        code = plotting.code(
            spec.figure, spec.query, theme=theme, width=width,
            data_options=spec.data_options, **spec.options,
        )  # fmt: skip
        source = code.encode("utf-8")
        links.append(save_link("Code", file_name(*name, suffix="py"), "text/x-python", source))
        lines = markup(
            '<p>The code that reproduces it:</p><pre class="wb-code" tabindex="0">{}</pre>', code
        )
    return markup('<p class="wb-saves">{}</p>{}', join(links, " "), lines)


class FigureState(HasTraits):
    """A spec on a page. ``drawn`` follows both; the last few pictures are kept.

    With ``later`` a thread draws once the page is there (see :mod:`widgets.later`), ``urgent``
    figures before the others: a page with many figures is usable before all are drawn.
    """

    spec = Instance(Spec, allow_none=True)
    drawn = AnyTrait(None)
    title = Unicode("", help="Shown while there is no spec yet.")
    absent = Unicode("", help="Why there is no picture and will be none.")
    draws = Int(0, help="How often something was really drawn.")

    def __init__(
        self,
        page: Page | None = None,
        messages: MessageState | None = None,
        *,
        later: bool = False,
        urgent: bool = False,
    ) -> None:
        super().__init__()
        self.page = page or current_page()
        self.messages = messages or MessageState()
        self.later, self.urgent = later, urgent
        self._kept: dict[Hashable, Drawn] = {}
        self._refresh = guard(self.refresh, self.messages)
        self.observe(self._changed, "spec")
        self.page.observe(self._changed, ["theme", "width"])

    def prepare(self, make: Callable[[], Spec], title: str) -> None:
        """Show what ``make`` returns; reading the records waits for its turn like drawing.

        A ``ValueError`` of ``make`` is the reader's to know: its text stands in the picture's
        place.
        """

        def prepared() -> None:
            try:
                self.spec = make()
            except ValueError as error:
                self.absent = str(error)

        self.title = title
        self._do(guard(prepared, self.messages))

    def refresh(self) -> None:
        """Draw the spec for the page as it is now."""
        spec, look = self.spec, (self.page.theme, self.page.width)
        if spec is None:
            return
        key = None if spec.key is None else (spec.key, *look)
        if key is not None and key in self._kept:
            self.drawn = self._kept[key]
            return
        made = draw(spec, theme=look[0], width=look[1])
        self.draws += 1
        if key is not None:
            self._kept = dict([*self._kept.items(), (key, made)][-8:])
        self.drawn = made

    def _changed(self, change: Any) -> None:
        self._do(self._refresh)

    def _do(self, call: Callable[[], Any]) -> None:
        if self.later and not later.here():
            later.add(call, urgent=self.urgent)
        else:
            call()


class FigureCard(w.VBox):
    """The view of a :class:`FigureState`. ``alone`` cards show their own messages."""

    def __init__(self, state: FigureState, *, alone: bool = False) -> None:
        super().__init__()
        self.state = state
        self.add_class("wb-card")
        self.add_class("wb-figure-place")
        self.picture = show(Markup(""), "wb-figure")
        self.toggle = w.ToggleButton(
            value=False, description="Download", tooltip="PNG, SVG, data and code"
        )
        self.toggle.add_class("wb-button")
        self.links = show(Markup(""))
        said = (Messages(state.messages),) if alone else ()
        self.children = (self.picture, *said, self.toggle, self.links)
        state.observe(guard(self._show, state.messages), ["drawn", "spec", "title", "absent"])
        self.toggle.observe(guard(self._links, state.messages), "value")
        self._show()

    def _show(self, change: Any = None) -> None:
        drawn, spec = self.state.drawn, self.state.spec
        title = spec.label() if spec else self.state.title
        self.layout.display = "" if title else "none"
        if self.state.absent:
            self.picture.value = markup("<h3>{}</h3><p>{}</p>", title, self.state.absent)
            self.toggle.layout.display = "none"
            return
        if drawn is None:
            waiting = '<h3>{}</h3><p class="wb-waiting" role="status">Drawing…</p>'
            self.picture.value = markup(waiting, title) if title else Markup("")
            return
        self.picture.value = markup(
            '<h3>{}</h3><p class="wb-reading">{}</p><figure data-look="{}">{}</figure>',
            drawn.title, drawn.reading, drawn.look, picture(drawn.png, drawn.alt),
        )  # fmt: skip
        self._links()

    def _links(self, change: Any = None) -> None:
        """Made when asked for, since an SVG and a table cost as much as the figure."""
        if not self.toggle.value or self.state.spec is None:
            self.links.value = ""
            return
        page = self.state.page
        self.links.value = downloads(self.state.spec, theme=page.theme, width=page.width)


__all__ = ["Drawn", "FigureCard", "FigureState", "Spec", "downloads", "draw"]
