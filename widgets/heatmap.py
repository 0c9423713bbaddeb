"""A heatmap of layers by layers whose cells can be pressed, by mouse and by keyboard.

It is a table of buttons with a list of the same pairs under it. What is pressed reaches Python
through a hidden text field, as theme and width do through the page's bridge; whatever arrives
there is checked. Cells are coloured as the figure ``similarity_heatmap`` colours them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import ipywidgets as w

from widgets.callbacks import MessageState, guard
from widgets.text import Markup, join, markup, show

if TYPE_CHECKING:
    import numpy as np

    from workbench.experiments.what_if_fused_answer import Similarity

Place = tuple[int, int]

# Constant: no value of the page's content is ever part of them. A pressed pair is marked wherever
# it stands, without drawing anything anew, so that the keyboard's focus stays where it is.
PRESSED = (
    "const hit=event.target.closest('[data-pair]');if(!hit)return;"
    "const box=hit.type==='checkbox';"
    "const on=box?hit.checked:hit.getAttribute('aria-pressed')!=='true';"
    "for(const one of this.querySelectorAll(`[data-pair='${hit.dataset.pair}']`))"
    "one.type==='checkbox'?one.checked=on:one.setAttribute('aria-pressed',on);"
    "const said=this.closest('.wb-heat').querySelector('.wb-heat-said input');"
    "said.value=`${this.dataset.picture} ${hit.dataset.pair} ${+on} ${Date.now()}`;"
    "said.dispatchEvent(new Event('change',{bubbles:true}));"
)
MOVED = (
    "const by={ArrowLeft:[0,-1],ArrowRight:[0,1],ArrowUp:[-1,0],ArrowDown:[1,0]}[event.key];"
    "const from=event.target.closest('[data-cell]');if(!by||!from)return;"
    "event.preventDefault();event.stopPropagation();"
    "let [i,j]=from.dataset.cell.split('-').map(Number);"
    "const at=()=>this.querySelector(`[data-cell='${i}-${j}']`);"
    "i+=by[0];j+=by[1];if(i===j){i+=by[0];j+=by[1];}"
    "const to=at();if(!to)return;"
    "from.tabIndex=-1;to.tabIndex=0;to.focus();"
)


@dataclass(frozen=True, eq=False)
class Heat:
    """What a heatmap shows: short names (L,), values and colours (L, L), and pairs by closeness.

    ``near`` and ``far`` are the values of the ends of the colour scale; ``cut`` says that some
    pairs are farther still.
    """

    module: str
    measure: str
    distance: bool
    names: tuple[str, ...]
    values: np.ndarray = field(repr=False)
    colours: tuple[tuple[str, ...], ...] = field(repr=False)
    inks: tuple[tuple[str, ...], ...] = field(repr=False)
    scale: tuple[str, ...] = field(repr=False)
    near: float
    far: float
    cut: bool
    ranked: tuple[Place, ...] = field(repr=False)

    def label(self, i: int, j: int) -> str:
        """A pair in words, e.g. ``3 with 7, distance 0.12``."""
        word = "distance" if self.distance else "similarity"
        return f"{self.names[i]} with {self.names[j]}, {word} {number(self.values[i, j])}"


def heat(similar: Similarity, *, like: Similarity | None = None) -> Heat:
    """How ``similar`` is shown, on the colour scale of ``like``."""
    import matplotlib
    import numpy as np
    from matplotlib.colors import to_hex

    from workbench.plotting import style, words
    from workbench.plotting.similarity_grids import Grid, limits

    distance, values = not similar.larger_is_closer, similar.matrix
    count = len(values)
    blank, places = np.zeros(values.shape, dtype=bool), np.arange(count)
    shown = (like or similar).matrix
    norm, cut = limits(
        {"": Grid(similar.names, shown, blank, places)}, "distance" if distance else "similarity"
    )
    name = style.theme("light").sequential + ("_r" if distance else "")
    colour = matplotlib.colormaps[name]
    drawn = colour(np.clip(np.ma.filled(norm(values), 0), 0, 1))
    both = (values + values.T) / 2
    pairs = [(i, j) for i in range(count) for j in range(i + 1, count)]
    pairs.sort(key=lambda place: both[place] if distance else -both[place])
    ends = (norm.vmin, norm.vmax) if distance else (norm.vmax, norm.vmin)
    steps = np.linspace(0, 1, 9) if distance else np.linspace(1, 0, 9)
    return Heat(
        module=similar.module,
        measure=words.measure(similar.measure),
        distance=distance,
        names=tuple(short(similar.names)),
        values=values,
        colours=tuple(tuple(to_hex(cell) for cell in row) for row in drawn),
        inks=tuple(tuple(style.ink(tuple(cell[:3])) for cell in row) for row in drawn),
        scale=tuple(to_hex(one) for one in colour(steps)),
        near=float(ends[0] or 0),
        far=float(ends[1] or 0),
        cut=cut,
        ranked=tuple(pairs),
    )


def short(names: Collection[str]) -> list[str]:
    """What tells layers of one type apart, as in the figures: mostly the number of the layer."""
    import numpy as np

    from workbench.plotting.similarity_grids import Grid, short_names

    blank = np.zeros((len(names), len(names)))
    return short_names(Grid(tuple(names), blank, blank.astype(bool), np.arange(len(names))))


class Heatmap(w.VBox):
    """A :class:`Heat` with the pairs that are chosen; ``pick(i, j, chosen)`` hears of presses."""

    def __init__(self, pick: Callable[[int, int, bool], None], messages: MessageState) -> None:
        super().__init__()
        self.pick, self.messages = pick, messages
        self.heat: Heat | None = None
        self.marked: frozenset[Place] = frozenset()
        """The pairs that the page shows as chosen."""
        self.number = 0
        self.picture = show(Markup(""))
        self.said = w.Text(continuous_update=False)
        self.said.add_class("wb-heat-said")
        self.said.layout.display = "none"
        self.children = (self.picture, self.said)
        for name in ("wb-heat", "wb-column"):
            self.add_class(name)
        self.said.observe(guard(self._said, messages), "value")

    def draw(self, heat: Heat | None, chosen: Collection[Place]) -> None:
        """Show this, unless the page shows it already."""
        if heat is self.heat and frozenset(chosen) == self.marked:
            return
        self.heat, self.marked = heat, frozenset(chosen)
        self._render()

    def _render(self) -> None:
        self.number += 1
        self.picture.value = (
            Markup("") if self.heat is None else buttons(self.heat, self.marked, self.number)
        )

    def _said(self, change: dict[str, str]) -> None:
        read = re.fullmatch(r"(\d{1,9}) (\d{1,4})-(\d{1,4}) ([01]) \d{1,16}", change["new"])
        drawn, i, j, on = map(int, read.groups()) if read else (0, 0, 0, 0)
        known = self.heat is not None and 0 <= i < j < len(self.heat.names)
        if not known or drawn != self.number:
            self._render()
            raise ValueError("that pair is not in the picture any more; choose it again.")
        self.marked = self.marked | {(i, j)} if on else self.marked - {(i, j)}
        try:
            self.pick(i, j, bool(on))
        except ValueError:
            self.marked ^= {(i, j)}
            self._render()
            raise


def buttons(heat: Heat, chosen: Collection[Place], picture: int) -> Markup:
    """The heatmap as buttons, its scale, and the pairs as a list of boxes to tick."""
    first = heat.ranked[0] if heat.ranked else None

    def cell(i: int, j: int) -> Markup:
        pair = (min(i, j), max(i, j))
        return markup(
            '<button type="button" data-pair="{}-{}" data-cell="{}-{}" aria-pressed="{}" '
            'aria-label="{}" title="{}" tabindex="{}" style="color:{}"></button>',
            *pair, i, j, str(pair in chosen).lower(), heat.label(i, j), heat.label(i, j),
            0 if (i, j) == first else -1, heat.inks[i][j],
        )  # fmt: skip

    return markup(
        '<div data-picture="{}" data-lm-suppress-shortcuts="true" '
        'onclick="{}" onkeydown="{}">{}{}{}</div>',
        picture, PRESSED, MOVED, grid(heat, cell), scale(heat), choices(heat, chosen),
    )  # fmt: skip


def still(heat: Heat, chosen: Collection[Place]) -> Markup:
    """The heatmap as a picture that cannot be pressed, the ``chosen`` pairs outlined."""

    def cell(i: int, j: int) -> Markup:
        held = "wb-heat-chosen" if (min(i, j), max(i, j)) in chosen else ""
        return markup(
            '<span class="{}" title="{}" style="color:{}"></span>',
            held, heat.label(i, j), heat.inks[i][j],
        )  # fmt: skip

    return grid(heat, cell)


def grid(heat: Heat, cell: Callable[[int, int], Markup]) -> Markup:
    """The table: a head for every layer, and ``cell`` for every two."""
    head = join(markup('<th scope="col"><span>{}</span></th>', name) for name in heat.names)
    rows = []
    for i, name in enumerate(heat.names):
        cells = join(
            markup('<td style="background:{}">{}</td>', heat.colours[i][j], cell(i, j))
            if i != j
            else Markup('<td class="wb-heat-self"></td>')
            for j in range(len(heat.names))
        )
        rows.append(markup('<tr><th scope="row">{}</th>{}</tr>', name, cells))
    long = max(map(len, heat.names))
    return markup(
        '<div class="wb-scroll wb-heat-room"><table class="wb-heat-table{}" '
        'style="--layers:{};--name:{}" aria-label="{} of {} layers">'
        "<thead><tr><td></td>{}</tr></thead><tbody>{}</tbody></table></div>",
        " wb-heat-long" if long > 2 else "", len(heat.names), long, heat.measure, heat.module, head,
        join(rows),
    )  # fmt: skip


def scale(heat: Heat) -> Markup:
    """The colours from the closest to the farthest, with their values."""
    return markup(
        '<p class="wb-heat-scale"><span>{} closest</span><span class="wb-heat-bar" '
        'style="background:linear-gradient(to right,{})"></span><span>farthest {}{}</span></p>',
        number(heat.near), ",".join(heat.scale), number(heat.far), " and beyond" * heat.cut,
    )  # fmt: skip


def choices(heat: Heat, chosen: Collection[Place]) -> Markup:
    """All pairs, the closest first, each with a box to tick."""
    lines = join(
        markup(
            '<li><label><input type="checkbox" data-pair="{}-{}"{}> {}</label></li>',
            i, j, " checked" if (i, j) in chosen else "",
            f"{heat.names[i]} with {heat.names[j]}: {number(heat.values[i, j])}",
        )
        for i, j in heat.ranked
    )  # fmt: skip
    title = f"Pairs of {heat.module} layers, the closest first"
    return markup(
        '<p class="wb-heat-title" aria-hidden="true">{}</p>'
        '<ol class="wb-heat-list" aria-label="{}">{}</ol>',
        title, title, lines,
    )  # fmt: skip


def number(value: float) -> str:
    """A value of a measure in three digits."""
    return f"{value:.3g}"
