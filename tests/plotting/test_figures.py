"""Every figure in both themes and at both widths: readable, in order, nothing over another."""

from __future__ import annotations

from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from workbench.plotting import FIGURES, alt_text, figure, style

SIZES = [("light", 1100), ("dark", 360)]


@pytest.fixture(scope="module")
def drawn(inputs: dict[str, Any]) -> Any:
    """Figures drawn once for all tests of this file."""
    made: dict[tuple[str, str, int], Figure] = {}

    def draw(name: str, theme: str, width: int) -> Figure:
        if (name, theme, width) not in made:
            data, options = inputs[name]
            before, settings = data.copy(), dict(matplotlib.rcParams)
            made[name, theme, width] = figure(name, data, theme=theme, width=width, **options)
            made[name, theme, width].draw_without_rendering()
            pd.testing.assert_frame_equal(data, before)
            assert dict(matplotlib.rcParams) == settings  # global: another thread may draw
        return made[name, theme, width]

    return draw


def ticks(axis: Any) -> list[Text]:
    """Labels of an axis that lie in view."""
    low, high = sorted(axis.get_view_interval())
    slack = 1e-9 * (high - low)
    places = zip(axis.get_majorticklocs(), axis.get_ticklabels(), strict=False)
    return [t for at, t in places if low - slack <= at <= high + slack and t.get_text()]


def texts(made: Figure) -> list[Text]:
    """All text that is drawn."""
    found = [made._suptitle, made._supxlabel, made._supylabel]
    for legend in made.legends:
        found += [legend.get_title(), *legend.get_texts()]
    for ax in (ax for ax in made.axes if ax.get_visible()):
        found += [ax.title, ax._left_title, ax.xaxis.label, ax.yaxis.label, *ax.texts]
        found += ticks(ax.xaxis) + ticks(ax.yaxis)
    return [text for text in found if text is not None and text.get_text().strip()]


@pytest.mark.parametrize(("theme", "width"), SIZES)
@pytest.mark.parametrize("name", FIGURES)
def test_text_is_large_and_stays_inside(drawn: Any, name: str, theme: str, width: int) -> None:
    made = drawn(name, theme, width)
    assert made.bbox.width == pytest.approx(width)
    for text in texts(made):
        assert text.get_fontsize() >= 9, text
        box = text.get_window_extent()
        assert box.x0 >= -1 and box.x1 <= made.bbox.width + 1, text
        assert box.y0 >= -1 and box.y1 <= made.bbox.height + 1, text


@pytest.mark.parametrize(("theme", "width"), SIZES)
@pytest.mark.parametrize("name", FIGURES)
def test_text_reads_on_the_theme(drawn: Any, name: str, theme: str, width: int) -> None:
    made = drawn(name, theme, width)
    look = style.theme(theme)
    assert style.contrast(made.get_facecolor(), look.background) == pytest.approx(1)
    for text in texts(made):
        inside = text.axes is not None and text in text.axes.texts  # on the colour of its cell
        if not inside:
            assert style.contrast(text.get_color(), look.background) >= 4.5, text


@pytest.mark.parametrize(("theme", "width"), SIZES)
@pytest.mark.parametrize("name", FIGURES)
def test_nothing_lies_over_another(drawn: Any, name: str, theme: str, width: int) -> None:
    made = drawn(name, theme, width)
    areas = [ax.get_window_extent() for ax in made.axes if ax.get_visible()]
    blocks = [legend.get_window_extent() for legend in made.legends]
    titles = [ax.title for ax in made.axes] + [ax._left_title for ax in made.axes]
    loose = [*titles, *(t for t in (made._suptitle, made._supxlabel, made._supylabel) if t)]
    loose += [ax.xaxis.label for ax in made.axes] + [ax.yaxis.label for ax in made.axes]
    boxes = [t.get_window_extent() for t in loose if t.get_text() and t.get_visible()]
    everything = [*areas, *blocks, *boxes]
    for place, one in enumerate(everything):
        for other in everything[place + 1 :]:
            across = min(one.x1, other.x1) - max(one.x0, other.x0)
            down = min(one.y1, other.y1) - max(one.y0, other.y0)
            assert across <= 1 or down <= 1, (one, other)
    for axis in (axis for ax in made.axes for axis in (ax.xaxis, ax.yaxis)):
        boxes = [label.get_window_extent() for label in ticks(axis)]
        boxes.sort(key=lambda box: (box.x0, box.y0))
        assert not any(one.overlaps(other) for one, other in zip(boxes, boxes[1:], strict=False))


@pytest.mark.parametrize("name", FIGURES)
def test_alt_text_is_a_sentence_with_numbers(inputs: dict[str, Any], name: str) -> None:
    data, options = inputs[name]
    said = alt_text(name, data, **options)
    assert said.endswith(".") and said[0].isupper() and any(c.isdigit() for c in said)
    assert "\n" not in said and "nan" not in said.lower().split()


@pytest.mark.parametrize("name", FIGURES)
def test_pictures_of_an_empty_frame_are_refused(inputs: dict[str, Any], name: str) -> None:
    data, options = inputs[name]
    with pytest.raises(ValueError, match="empty"):
        figure(name, data.iloc[:0], **options)
    with pytest.raises(ValueError, match="missing columns"):
        figure(name, data.drop(columns=["method"]), **options)


@pytest.mark.parametrize("name", [n for n, f in FIGURES.items() if f.data == "scalars"])
def test_nothing_but_nan_is_refused(inputs: dict[str, Any], name: str) -> None:
    data, options = inputs[name]
    with pytest.raises(ValueError, match="NaN"):
        figure(name, data.assign(value=np.nan), **options)


@pytest.mark.parametrize("name", [n for n, f in FIGURES.items() if f.data == "scalars"])
def test_one_seed_is_drawn_and_said(make: Any, inputs: dict[str, Any], name: str) -> None:
    made = figure(name, make.one_seed(name), **inputs[name][1])
    shown = " ".join(text.get_text() for text in texts(made)).replace("\n", " ")
    assert "n = 1" in shown or "one seed" in shown or "1 seed" in shown
    assert not [c for ax in made.axes for c in ax.collections if type(c).__name__ == "FillBetween"]


@pytest.mark.parametrize("name", [n for n, f in FIGURES.items() if f.data == "scalars"])
def test_a_run_that_stopped_early_is_drawn(inputs: Any, name: str) -> None:
    data, options = inputs[name]
    part = data[data["method"].isin(["none", "magnitude", "SDP-CC", "standard", "GradDrop"])]
    part = part[~part["method"].isin(["SDP-CC", "GradDrop"]) | (part["step"] < 4)]
    assert figure(name, part, **options).axes


def test_a_figure_may_be_transparent(data: pd.DataFrame) -> None:
    made = figure("pruning_curve", data, background="transparent", title="")
    assert made.patch.get_alpha() == 0 and made._suptitle is None


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda d: figure("pie", d), "no figure named 'pie'; there are: epoch_curve"),
        (lambda d: figure("table", d, background="red"), "unknown background 'red'"),
        (lambda d: figure("table", d, theme="sepia"), "unknown theme 'sepia'"),
        (lambda d: figure("separability", d), r"plotting.points\(records\)|gather"),
    ],
)
def test_bad_calls_are_told(data: pd.DataFrame, call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(data)


TWO: dict[str, Any] = {"methods": ["GradDrop", "GradDrop-Epoch"], "epochs": [4, 6]}
FEWER: dict[str, dict[str, Any]] = {  # of what would need more axes than six
    "separability": {"densities": [1.0, 0.05]},
    **dict.fromkeys(["activation_map", "epoch_gradient_norms", "update_norms", "distances"], TWO),
}


def test_figures_draw_on_the_callers_axes(inputs: dict[str, Any]) -> None:
    for name, family in FIGURES.items():
        data, options = inputs[name]
        own = Figure(figsize=(14, 14))
        if name in ("pruning_curve", "recovery", "table", "training_loss"):
            axes: Any = own.add_subplot()
            got = family.function(data, ax=axes, **{**family.fixed, **options})
            assert got is axes
            continue
        axes = own.subplots(2, 3)
        options = {**options, **FEWER.get(name, {})}
        got = family.function(data, axes=axes, **{**family.fixed, **options})
        assert all(isinstance(ax, Axes) and ax.figure is own for ax in got.ravel())
