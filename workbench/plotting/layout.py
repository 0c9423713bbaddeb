"""Where things stand in a figure: its size, panels, titles and legend, none over another."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from workbench.plotting.style import DPI, LABEL, SMALL, TITLE, WIDTH, theme


def new_figure(width: float | None, height: float, theme_name: str = "light") -> Figure:
    """An empty figure of ``width`` by ``height`` CSS pixels with the theme's background."""
    width = WIDTH if width is None else width
    if not 200 <= width <= 4000:
        raise ValueError(f"width={width!r} is in CSS pixels and must lie between 200 and 4000")
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    figure.patch.set_facecolor(theme(theme_name).background)
    return figure


def single(width: float | None, theme_name: str, height: float | None = None) -> Axes:
    """One pair of axes in a figure of its own."""
    width = WIDTH if width is None else width
    height = height or float(np.clip(width * 0.5, 280, 460))
    return new_figure(width, height, theme_name).add_subplot()


def panels(
    count: int,
    *,
    width: float | None,
    theme_name: str,
    least: float = 220,
    most: int = 6,
    height: float = 230,
    **shared: Any,
) -> np.ndarray:
    """``count`` small multiples, as many in a row as fit at ``least`` pixels each."""
    width = WIDTH if width is None else width
    columns = int(np.clip(width // least, 1, min(count, most)))
    columns = -(-count // -(-count // columns))  # as even as the same number of rows allows
    rows = -(-count // columns)
    figure = new_figure(width, height * rows + 30, theme_name)
    axes = figure.subplots(rows, columns, squeeze=False, **shared).ravel()
    for spare in axes[count:]:
        spare.remove()
        above = axes[list(axes).index(spare) - columns]
        above.xaxis.set_tick_params(labelbottom=True)
    return axes[:count]


def given(axes: Any, count: int) -> np.ndarray:
    """The caller's axes as a flat array, of which the first ``count`` are used."""
    flat = np.ravel(np.asarray(axes, dtype=object))
    if len(flat) < count:
        raise ValueError(f"{count} panels need {count} axes, got {len(flat)}")
    return flat[:count]


def panel_title(
    ax: Axes, text: str, theme_name: str = "light", *, width: float | None = None
) -> None:
    """A title over one panel, at its left, wrapped to its width (or to ``width`` pixels)."""
    room = max(10, int((ax.bbox.width if width is None else width) / (LABEL * 0.74)))
    lines = [line for part in safe(text).split("\n") for line in textwrap.wrap(part, room)]
    color = theme(theme_name).foreground
    ax.set_title("\n".join(lines), loc="left", fontsize=LABEL, color=color)


def beside(ax: Axes, labels: Sequence[str]) -> float:
    """Pixels that are left for a lone panel beside its ``labels``, which may be long."""
    longest = max(len(line) for label in labels for line in label.split("\n"))
    return max(90.0, ax.figure.bbox.width - longest * SMALL * 0.82 - 30)


def wrap(text: str, figure: Figure, size: float = SMALL) -> str:
    """``text`` on as many lines as the width of the figure asks for."""
    return "\n".join(textwrap.wrap(text, max(20, int(figure.bbox.width / (size * 0.78)))))


def label_outer(axes: np.ndarray, xlabel: str, ylabel: str, theme_name: str = "light") -> None:
    """Label the x axes of the lowest row, and all y axes once."""
    look, figure = theme(theme_name), axes[0].figure
    if ylabel:
        figure.supylabel(ylabel, color=look.foreground, fontsize=LABEL)
    for ax in axes:
        place = ax.get_subplotspec()
        if place is None or place.is_last_row():
            ax.set_xlabel(xlabel)


def legend(
    ax: Axes,
    handles: Sequence[Any],
    labels: Sequence[str],
    *,
    title: str = "",
    theme_name: str = "light",
    outside: bool = True,
) -> None:
    """A legend that cannot cover data: under the whole figure, or above the caller's axes.

    A figure of our own grows by the height of its legend, so the axes keep their size.
    """
    look, figure = theme(theme_name), ax.figure
    style = dict(
        fontsize=SMALL, title_fontsize=SMALL, labelcolor=look.foreground, frameon=False,
        alignment="left", handlelength=3.2, columnspacing=1.4, borderpad=0.2, labelspacing=0.35,
    )  # fmt: skip
    width = figure.bbox.width if outside else ax.bbox.width
    title = "\n".join(textwrap.wrap(safe(title), max(20, int(width / (SMALL * 0.78)))))
    labels = [safe(label) for label in labels]
    rows_of = {-(-len(labels) // rows) for rows in range(1, len(labels) + 1)}  # even columns
    for columns in sorted(rows_of or {1}, reverse=True):
        if outside:
            made = figure.legend(
                handles, labels, loc="outside lower left", ncols=columns, title=title, **style
            )
        else:
            made = ax.legend(
                handles, labels, loc="lower left", bbox_to_anchor=(0, 1.01), borderaxespad=0,
                ncols=columns, title=title, **style,
            )  # fmt: skip
        box = made.get_window_extent()
        if box.width <= width - 8 or columns == 1:
            break
        made.remove()
    made.get_title().set_color(look.muted)
    if outside and isinstance(figure, Figure):
        across, high = figure.get_size_inches()
        figure.set_size_inches(across, high + box.height / figure.dpi)


def footnote(figure: Any, text: str, theme_name: str = "light") -> None:
    """Small print along the bottom of a figure that has no legend."""
    figure.supxlabel(
        wrap(text, figure), x=0.01, ha="left", fontsize=SMALL, color=theme(theme_name).muted
    )


def headline(figure: Figure, title: str, theme_name: str = "light") -> None:
    """A title over the figure, wrapped to its width; the figure grows by its height."""
    if not title:
        return
    width = max(16, int(figure.bbox.width / (TITLE * 0.8)))
    lines = textwrap.wrap(safe(title), width)
    across, high = figure.get_size_inches()
    figure.set_size_inches(across, high + len(lines) * TITLE * 1.35 / 72)
    figure.suptitle(
        "\n".join(lines), x=0.01, ha="left", fontsize=TITLE, color=theme(theme_name).foreground
    )


def settle(figure: Figure) -> None:
    """Lay the figure out and keep it so: drawn twice, it looks the same twice."""
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
        figure.set_layout_engine("none")


@lru_cache(maxsize=1)
def _glyphs() -> frozenset[int]:
    from matplotlib.font_manager import findfont, get_font

    return frozenset(get_font(findfont("DejaVu Sans")).get_charmap())


def safe(text: object) -> str:
    """Text from data, made harmless: no mathematics by accident, no missing glyphs."""
    known = _glyphs()
    shown = "".join(
        c if c == "\n" or ord(c) in known else "\N{REPLACEMENT CHARACTER}" for c in str(text)
    )
    return shown.replace("$", r"\$")
