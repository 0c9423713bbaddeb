"""Colours, markers, sizes and fonts of all figures, for a light and a dark page.

Nothing here touches ``matplotlib.rcParams``: two threads may draw at once with two themes.
Widths are in CSS pixels (96 to the inch), so that 9 points on screen are 9 points.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from workbench.plotting import words

DPI = 96
WIDTH = 720
TITLE, LABEL, SMALL = 12.0, 10.0, 9.0  # points; nothing is smaller than SMALL

# Okabe and Ito (2008), without yellow, which no white page can carry.
OKABE_ITO = {
    "orange": "#E69F00",
    "sky": "#56B4E9",
    "green": "#009E73",
    "blue": "#0072B2",
    "vermillion": "#D55E00",
    "purple": "#CC79A7",
}


@dataclass(frozen=True)
class Theme:
    """Colours of a page. ``signed`` maps differences, balanced around the page's own colour."""

    background: str
    foreground: str
    muted: str
    grid: str
    grey: str
    blue: str
    signed: str
    sequential: str = "viridis"


THEMES = {
    "light": Theme(
        "#ffffff", "#1c1e21", "#565b63", "#e0e3e8", "#757575", OKABE_ITO["blue"], "RdBu_r"
    ),
    "dark": Theme(
        "#16181c", "#e8eaed", "#aeb4bd", "#3a4049", "#909090", OKABE_ITO["sky"], "berlin"
    ),
}


@dataclass(frozen=True)
class Mark:
    """How one method or class is drawn: never told apart by colour alone."""

    color: str
    marker: str
    linestyle: Any
    linewidth: float = 1.6


def theme(name: str) -> Theme:
    """The theme ``"light"`` or ``"dark"``."""
    if name not in THEMES:
        raise ValueError(f"unknown theme {name!r}; choose one of {', '.join(THEMES)}")
    return THEMES[name]


def method_marks(methods: Iterable[str], theme_name: str = "light") -> dict[str, Mark]:
    """One mark per method. Those that figures compare most always look the same; others follow."""
    look = theme(theme_name)
    fixed = {
        "none": Mark(look.foreground, "", (0, (1, 1.2)), 1.8),
        "random": Mark(look.grey, "x", (0, (4, 2.5)), 1.3),
        "magnitude": Mark(look.blue, "s", (0, (9, 2))),
        "global magnitude": Mark(OKABE_ITO["orange"], "D", (0, (6, 1.5, 1, 1.5))),
        "SDP-KLD": Mark(OKABE_ITO["green"], "^", (0, (5, 1))),
        "SDP-COS": Mark(OKABE_ITO["purple"], "v", (0, (3, 1, 1, 1, 1, 1))),
        "SDP-CC": Mark(OKABE_ITO["vermillion"], "o", "-", 2.2),
        "global random": Mark(look.grey, "+", (0, (1, 1.5)), 1.3),
        "LAMP": Mark(OKABE_ITO["purple"], "<", (0, (2, 1)), 1.3),
        "Cosine-LMBP": Mark(look.blue, "X", (0, (3, 1, 1, 1, 1, 1))),
        "Cosine-MBP": Mark(OKABE_ITO["green"], "P", (0, (5, 1)), 2.0),
        "Frobenius-MBP": Mark(OKABE_ITO["vermillion"], "*", "-", 2.2),
        "standard": Mark(look.foreground, "", (0, (1, 1.2)), 1.8),
        "no dropout": Mark(look.grey, "x", (0, (4, 2.5)), 1.3),
        "GradDrop": Mark(look.blue, "s", (0, (9, 2))),
        "Layer-GradDrop": Mark(OKABE_ITO["green"], "^", (0, (5, 1)), 2.0),
        "GradDrop-Epoch": Mark(OKABE_ITO["vermillion"], "o", "-", 2.2),
        "GradFreeze-TopDown": Mark(OKABE_ITO["purple"], "v", (0, (3, 1, 1, 1, 1, 1))),
    }
    methods = words.order_methods(methods)
    taken = [fixed[method].color for method in methods if method in fixed]
    colors = [look.blue, *(OKABE_ITO[c] for c in ("vermillion", "green", "purple", "orange"))]
    colors = sorted(colors, key=taken.count)  # those that nobody has come first
    dashes = ["-", (0, (6, 2)), (0, (6, 1.5, 1, 1.5)), (0, (1, 1))]
    marks, other = {}, 0
    for method in methods:
        if method in fixed:
            marks[method] = fixed[method]
            continue
        color = colors[other % len(colors)]
        marks[method] = Mark(color, "hp>d8H^v1o"[other % 10], dashes[other % 4])
        other += 1
    return marks


def class_marks(count: int, theme_name: str = "light") -> list[Mark]:
    """Marks of ``count`` classes: distinct pairs of colour and marker."""
    look = theme(theme_name)
    colors = [look.blue, OKABE_ITO["vermillion"], OKABE_ITO["green"], OKABE_ITO["purple"]]
    colors += [OKABE_ITO["orange"], look.muted]
    markers = "os^Dv*P<X>phd"
    return [
        Mark(colors[i % len(colors)], markers[(i + i // 78) % len(markers)], "")
        for i in range(count)
    ]


def dress(
    ax: Axes, theme_name: str = "light", grid: Literal["both", "x", "y", ""] = "both"
) -> None:
    """Give axes the theme's text, lines and sizes. Call last."""
    look = theme(theme_name)
    ax.set_facecolor("none")
    for side, spine in ax.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(look.muted)
    ax.tick_params(which="both", color=look.muted, labelcolor=look.foreground, labelsize=SMALL)
    for label in (ax.xaxis.label, ax.yaxis.label):
        label.set(color=look.foreground, fontsize=LABEL)
    ax.set_axisbelow(True)
    if grid:
        ax.grid(True, axis=grid, which="major", color=look.grid, linewidth=0.7)


def density_axis(
    ax: Axes,
    densities: Iterable[float],
    scale: str = "log",
    every: Callable[[float], float] | None = None,
) -> None:
    """Remaining weights on x: from all of them on the left to the fewest on the right.

    ``every`` tells what a share of the prunable weights is of all parameters; it is then written
    in brackets below each tick, since embeddings that are never pruned can be most of a network.
    """
    if scale not in ("log", "linear"):
        raise ValueError(f"unknown scale {scale!r}; choose 'log' or 'linear'")
    values = np.asarray(list(densities), dtype=float)
    low = min(values.min(), 0.8)
    if scale == "log" and low <= 0:
        raise ValueError("a density of 0 has no place on a log axis; choose scale='linear'")
    ax.set_xscale(scale)
    if scale == "log":
        pad = (1 / low) ** 0.03
        ax.set_xlim(pad, low / pad)
        room = ax.bbox.width * 0.8 / (52 if every else 42)  # labels that fit beside each other
        ticks: list[float] = []
        round_ones = (1, 0.5, 0.2, 0.1, 0.05, 0.3, 0.7, 0.02, 0.01, 0.03, 0.15, 0.005, 0.002, 0.001)
        last = min(tick for tick in round_ones if tick >= low / pad)
        for tick in (1, last, *round_ones):  # both ends first, then what fits between
            apart = np.log(1 / low) / room
            if tick >= low / pad and all(abs(np.log(tick / t)) >= apart for t in ticks):
                ticks.append(tick)
        ax.xaxis.set_major_locator(FixedLocator(sorted(ticks)))
        ax.xaxis.set_minor_locator(NullLocator())
    else:
        pad = (1 - low) * 0.03
        ax.set_xlim(1 + pad, low - pad)
        ax.xaxis.set_major_locator(MaxNLocator(int(np.clip(ax.bbox.width / 60, 2, 6))))

    def told(value: float, _: Any) -> str:
        below = f"\n({words.percent(every(value))})" if every else ""
        return words.percent(value) + below

    ax.xaxis.set_major_formatter(FuncFormatter(told))


def value_axis(ax: Axes, name: str) -> None:
    """The y axis of a scalar: percent for fractions, plain numbers otherwise."""
    if words.is_fraction(name):
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.6g}%"))
    ax.yaxis.set_major_locator(MaxNLocator(6))


def contrast(one: Any, other: Any) -> float:
    """Contrast ratio of two colours by WCAG 2: 1 (none) to 21 (black on white)."""

    def luminance(color: Any) -> float:
        rgb = np.asarray(to_rgb(color))
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        return float(linear @ (0.2126, 0.7152, 0.0722))

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def ink(color: Any) -> str:
    """Black or white, whichever reads better on ``color``."""
    return max(("#000000", "#ffffff"), key=lambda text: contrast(text, color))
