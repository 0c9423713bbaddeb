"""Chapter 9's figures: source and zero-shot, languages in order, alignment, many methods."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from workbench import plotting
from workbench.plotting import curves, frames, style, words

LANGUAGES = ("en", "de", "tr")
METHODS = ("none", "magnitude", "Cosine-MBP")


@pytest.fixture(scope="module")
def zero(make: Any) -> pd.DataFrame:
    """Three methods in three languages, English not the first that was measured."""
    data = make.scalars(methods=METHODS, seeds=(0, 1), subsets=LANGUAGES)
    first = data["subset"].map({"tr": 0, "en": 1}).fillna(2)
    return data.iloc[np.argsort(first, kind="stable")].reset_index(drop=True)


def line(ax: Any, method: str) -> Any:
    color = style.method_marks(METHODS)[method].color
    return next(ln for ln in ax.lines if ln.get_color() == color and len(ln.get_xdata()) > 1)


def test_the_source_stands_beside_the_mean_of_the_others(zero: pd.DataFrame) -> None:
    left, right = plotting.plot_zero_shot_curve(zero)
    assert left.get_title(loc="left") == "English (trained on)"
    assert right.get_title(loc="left") == "zero-shot: mean of 2 languages"
    rows = zero[(zero["name"] == "accuracy") & (zero["split"] == "test")]
    rows = rows[rows["method"] == "Cosine-MBP"]
    for ax, here in ((left, rows["subset"] == "en"), (right, rows["subset"] != "en")):
        wanted = rows[here].groupby("step")["value"].mean()
        np.testing.assert_allclose(line(ax, "Cosine-MBP").get_ydata(), wanted)
    assert left.get_ylim() == right.get_ylim() and left.get_xlim() == right.get_xlim()
    turkish, _ = plotting.plot_zero_shot_curve(zero, source="tr")
    assert turkish.get_title(loc="left") == "Turkish (trained on)"


def test_rings_stand_at_the_inflection_points(zero: pd.DataFrame) -> None:
    bent = zero.copy()
    scores = (bent["name"] == "accuracy") & (bent["method"] != "none")
    bent.loc[scores, "value"] = 0.8 - 0.1 * np.maximum(bent.loc[scores, "step"] - 4, 0)
    for ax in plotting.plot_zero_shot_curve(bent):
        rings = [ln for ln in ax.lines if ln.get_markersize() == 13]
        assert len(rings) == 2
        assert all(ring.get_xdata()[0] == pytest.approx(0.3) for ring in rings)
    assert "inflection points: magnitude 30%" in plotting.alt_text("zero_shot_curve", bent)
    (first, _) = plotting.plot_zero_shot_curve(bent, inflections=False)
    assert not [ln for ln in first.lines if ln.get_markersize() == 13]


def test_one_language_alone_is_not_zero_shot(make: Any) -> None:
    data = make.scalars(methods=("magnitude",), subsets=("en",))
    with pytest.raises(ValueError, match="only 'en' was measured"):
        plotting.plot_zero_shot_curve(data)
    with pytest.raises(ValueError, match="no language 'xx'; there are"):
        plotting.plot_zero_shot_curve(make.scalars(methods=("magnitude",)), source="xx")


def test_both_compression_ratios_stand_on_the_axis(zero: pd.DataFrame) -> None:
    left, _ = plotting.plot_zero_shot_curve(zero)
    left.figure.draw_without_rendering()
    labels = [label.get_text() for label in left.get_xticklabels()]
    assert "5%\n(54%)" in labels and "100%\n(100%)" in labels  # 0.52 + 0.48 x
    some = zero[zero["scope"] != "all"]
    alone = plotting.plot_pruning_curve(some)
    assert alone.get_xlabel() == "remaining weights"
    assert "(of all parameters)" in plotting.plot_pruning_curve(zero).get_xlabel()


def test_languages_are_in_the_order_asked_for(zero: pd.DataFrame) -> None:
    def titles(**options: Any) -> list[str]:
        axes = plotting.plot_language_curves(zero, **options)
        return [ax.get_title(loc="left") for ax in axes]

    assert titles() == ["English", "German", "Turkish"]
    turned = zero.copy()
    turned.loc[(turned["name"] == "retrieval") & (turned["language"] == "tr"), "value"] = 0.99
    axes = plotting.plot_language_curves(turned, order="alignment")
    assert [ax.get_title(loc="left") for ax in axes] == ["English", "Turkish", "German"]
    assert titles(source="tr")[0] == "Turkish"
    with pytest.raises(ValueError, match="unknown order 'size'; choose one of score, alignment"):
        plotting.plot_language_curves(zero, order="size")


def test_a_heatmap_has_english_first_and_the_zero_shot_mean_last(zero: pd.DataFrame) -> None:
    (ax,) = plotting.plot_language_heatmap(zero, densities=[0.3], width=1100)
    names = [label.get_text() for label in ax.get_xticklabels()]
    assert names == ["English", "German", "Turkish", "zero-shot mean"]
    cells = ax.images[0].get_array()
    np.testing.assert_allclose(cells[:, -1], cells[:, 1:3].mean(1))
    assert len(ax.texts) == cells.size and ax.get_title(loc="left") == "at 30% (66% of all)"
    lost = plotting.plot_language_heatmap(zero, densities=[1.0], show="lost")[0]
    np.testing.assert_allclose(lost.images[0].get_array()[1:], 0, atol=1e-12)  # step 0 itself
    assert lost.images[0].norm.vmin == -lost.images[0].norm.vmax
    with pytest.raises(ValueError, match="unknown show='gain'"):
        plotting.plot_language_heatmap(zero, show="gain")


def test_alignment_has_its_level_of_chance(zero: pd.DataFrame) -> None:
    found, cka, far = plotting.plot_alignment_curves(zero, form="frobenius")
    assert (
        found.get_title(loc="left").replace("\n", " ") == "translations found, mean of 2 languages"
    )
    assert "frobenius" in far.get_title(loc="left") and "CKA" in cka.get_title(loc="left")
    levels = [ln.get_ydata()[0] for ln in found.lines if len({*ln.get_ydata()}) == 1]
    assert 1 / 20 in levels  # the setting parallel_size of the runs
    (one,) = plotting.plot_alignment_curves(zero, measures=["retrieval"], language="tr", chance=0)
    assert one.get_title(loc="left").replace("\n", " ") == "translations found, Turkish"
    assert 1 / 20 not in [ln.get_ydata()[0] for ln in one.lines]
    assert "Chance finds 5.0%" in plotting.alt_text("alignment", zero)


def test_steps_without_a_language_are_left_out_of_the_mean(zero: pd.DataFrame) -> None:
    gone = (zero["name"] == "language_cka") & (zero["language"] == "tr") & (zero["step"] == 10)
    axes = plotting.plot_alignment_curves(zero[~gone])
    assert len(line(axes[1], "magnitude").get_xdata()) == 10
    assert len(line(axes[0], "magnitude").get_xdata()) == 11


@pytest.fixture(scope="module")
def many(make: Any) -> pd.DataFrame:
    """All methods of chapter 9, one seed, few densities."""
    return make.scalars(methods=words.ORDER[:21], seeds=(0,), densities=(1.0, 0.3, 0.1))


def test_too_many_methods_are_grey_and_named(many: pd.DataFrame) -> None:
    ax = plotting.plot_pruning_curve(many)
    grey = [ln for ln in ax.lines if ln.get_alpha() == 0.5]
    assert len(grey) == 14
    legend = ax.figure.legends[0]
    labels = [text.get_text() for text in legend.get_texts()]
    assert labels[-1] == curves.OTHERS and len(labels) == 8
    note = legend.get_title().get_text().replace("\n", " ")
    assert "thin and grey: global random, gradient, lookahead" in note
    marks = style.method_marks(words.focus(words.ORDER[:21]))
    assert len({mark.marker for mark in marks.values()}) == len(marks) == 7
    assert len({str(mark.color) for mark in marks.values()}) == 7


@pytest.mark.parametrize("name", ["weight_norms", "recovery", "training_loss"])
def test_other_figures_name_what_they_leave_out(many: pd.DataFrame, name: str) -> None:
    made = plotting.figure(name, many)
    shown = made._supxlabel or made.legends[0].get_title()
    assert "not drawn: global random, gradient" in shown.get_text().replace("\n", " ")


def test_even_methods_are_drawn_once_and_collapse_is_written(many: pd.DataFrame) -> None:
    empty = (many["name"] == "layer_density") & (many["method"] == "global magnitude")
    empty &= (many["layer"] == "3") & (many["step"] == 2)
    data = many.assign(value=many["value"].mask(empty, 0.0004))
    data = data[data["method"] != "global random"]
    axes = plotting.plot_layer_density(data)
    titles = [ax.get_title(loc="left").split("\n")[0] for ax in axes]
    assert titles == ["magnitude", "global magnitude"]
    assert [text.get_text() for text in axes[1].texts].count("0") == 6
    note = axes[0].figure._supxlabel.get_text().replace("\n", " ")
    assert note.startswith("same share everywhere, as magnitude: random, gradient")
    assert "the same share everywhere, as magnitude" in plotting.alt_text("layer_density", data)


def test_a_frame_may_lack_the_share_of_all_parameters(zero: pd.DataFrame) -> None:
    rows = frames.against_density(zero, "accuracy", by=["subset"], split="test")
    assert rows.loc[rows["method"] == "magnitude", frames.ALL].min() == pytest.approx(0.544)
    assert curves.shares(rows[rows["method"] == "none"]) is None
