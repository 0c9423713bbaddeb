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
from traitlets import HasTraits, Instance, Int

from widgets.callbacks import MessageState, guard
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

    A ``spec`` given here is drawn at once. With ``later``, a thread draws what changes afterwards,
    one figure after the other, so that a change of theme does not hold up what a person does next.
    """

    spec = Instance(Spec, allow_none=True)
    drawn = AnyTrait(None)
    draws = Int(0, help="How often something was really drawn.")

    def __init__(
        self,
        page: Page | None = None,
        messages: MessageState | None = None,
        *,
        later: bool = False,
        spec: Spec | None = None,
    ) -> None:
        super().__init__()
        self.spec = spec
        self.page = page or current_page()
        self.messages = messages or MessageState()
        self._kept: dict[Hashable, Drawn] = {}
        self._refresh = guard(self.refresh, self.messages)
        again = (lambda _: _later.add(self._refresh)) if later else (lambda _: self._refresh())
        self.observe(again, "spec")
        self.page.observe(again, ["theme", "width"])
        if spec is not None:
            # Now, not later: a kernel that still draws while the page asks for its widgets answers
            # too slowly on a busy machine, and the page shows "model not found".
            self._refresh()

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


class Later:
    """A thread that calls what it is given, in order; what waits already is not called twice."""

    def __init__(self) -> None:
        self._waiting: dict[Callable[[], Any], None] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def add(self, call: Callable[[], Any]) -> None:
        with self._changed:
            self._waiting.setdefault(call)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="figures", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def wait(self, seconds: float = 60) -> bool:
        """Wait until nothing is left to do; whether that was so in time."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting, seconds)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                call = next(iter(self._waiting))
                del self._waiting[call]
            call()
            with self._changed:
                self._changed.notify_all()


_later = Later()


class FigureCard(w.VBox):
    """The view of a :class:`FigureState`."""

    def __init__(self, state: FigureState) -> None:
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
        self.children = (self.picture, self.toggle, self.links)
        state.observe(guard(self._show, state.messages), ["drawn", "spec"])
        self.toggle.observe(guard(self._links, state.messages), "value")
        self._show()

    def _show(self, change: Any = None) -> None:
        drawn, spec = self.state.drawn, self.state.spec
        self.layout.display = "none" if spec is None else ""
        if drawn is None:
            waiting = markup('<p class="wb-waiting" role="status">Drawing…</p>')
            title = markup("<h3>{}</h3>{}", spec.label(), waiting) if spec else Markup("")
            self.picture.value = title
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
