"""Colours that can be told apart and read, text that does no harm, layouts that do not overlap."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from workbench.plotting import layout, style
from workbench.plotting.words import METHODS


@pytest.mark.parametrize(
    ("one", "other", "ratio"),
    [("#000000", "#ffffff", 21.0), ("#777777", "#ffffff", 4.48), ("#ffffff", "#ffffff", 1.0)],
)
def test_contrast_is_that_of_wcag(one: str, other: str, ratio: float) -> None:
    assert style.contrast(one, other) == pytest.approx(ratio, abs=0.01)


@pytest.mark.parametrize("name", ["light", "dark"])
def test_text_reads_on_the_page(name: str) -> None:
    look = style.theme(name)
    for color in (look.foreground, look.muted):
        assert style.contrast(color, look.background) >= 4.5


def test_lines_read_on_a_dark_page() -> None:
    background = style.theme("dark").background
    for mark in [*style.method_marks(METHODS, "dark").values(), *style.class_marks(13, "dark")]:
        assert style.contrast(mark.color, background) >= 4.5


def test_the_thesis_methods_always_look_the_same_and_differ() -> None:
    marks = style.method_marks(METHODS)
    assert style.method_marks(["SDP-CC"])["SDP-CC"] == marks["SDP-CC"]
    for value in ("color", "marker", "linestyle"):
        assert len({str(getattr(mark, value)) for mark in marks.values()}) == len(METHODS)


def test_other_methods_get_looks_of_their_own() -> None:
    marks = style.method_marks(["lookahead", "LAMP", "magnitude"])
    assert len({(m.color, m.marker) for m in marks.values()}) == 3


def test_classes_differ_by_colour_and_marker() -> None:
    marks = style.class_marks(40)
    assert len({(mark.color, mark.marker) for mark in marks}) == 40


def test_ink_reads_on_every_colour_of_the_map() -> None:
    import matplotlib

    for color in matplotlib.colormaps["viridis"](np.linspace(0, 1, 64)):
        assert style.contrast(style.ink(color[:3]), color[:3]) >= 4.5


def test_text_from_data_is_harmless() -> None:
    assert layout.safe("a $x$ b") == r"a \$x\$ b"
    assert layout.safe("\u4e2d\u6587") == "\N{REPLACEMENT CHARACTER}" * 2
    assert layout.safe("\N{GREEK SMALL LETTER ALPHA} \N{PLUS-MINUS SIGN}") == "\u03b1 \u00b1"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: style.theme("sepia"), "unknown theme 'sepia'; choose one of light, dark"),
        (lambda: layout.new_figure(9, 300), "width=9 is in CSS pixels"),
        (lambda: layout.given(np.empty(2, object), 3), "3 panels need 3 axes, got 2"),
        (
            lambda: style.density_axis(Figure().add_subplot(), [1.0, 0.0]),
            "a density of 0 has no place on a log axis",
        ),
        (lambda: style.density_axis(Figure().add_subplot(), [1.0], "sqrt"), "unknown scale 'sqrt'"),
    ],
)
def test_bad_settings_are_told(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("scale", ["log", "linear"])
@pytest.mark.parametrize("low", [0.9, 0.3, 0.05, 0.002])
def test_compression_grows_to_the_right(scale: str, low: float) -> None:
    ax = layout.single(360, "light")
    style.density_axis(ax, [1.0, low], scale)
    left, right = ax.get_xlim()
    assert left > 1 > low > right
    ax.figure.draw_without_rendering()
    labels = [
        t for t in ax.get_xticklabels() if t.get_text() and right <= t.get_position()[0] <= left
    ]
    assert all(label.get_text().endswith("%") for label in labels)
    boxes = sorted((label.get_window_extent() for label in labels), key=lambda box: box.x0)
    assert all(a.x1 <= b.x0 for a, b in zip(boxes, boxes[1:], strict=False))


def test_panels_fill_rows_evenly() -> None:
    axes = layout.panels(14, width=1100, theme_name="light", least=160, sharex=True)
    assert len(axes) == 14
    assert axes[0].get_subplotspec().get_gridspec().ncols == 5
    assert len(layout.panels(3, width=360, theme_name="light")[0].figure.axes) == 3
