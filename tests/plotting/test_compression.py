"""Chapter 8's curves: scores against stored bytes, and against what is really saved."""

from __future__ import annotations

from typing import Any

import fusion_frames as fusion
import numpy as np
import pandas as pd
import pytest

from workbench import plotting
from workbench.plotting import compression, words


@pytest.fixture(scope="module")
def few() -> pd.DataFrame:
    return fusion.scalars()


@pytest.fixture(scope="module")
def many() -> pd.DataFrame:
    """All methods of the chapter, one seed."""
    return fusion.scalars(methods=tuple(fusion.STRENGTH), seeds=(0,))


def line(ax: Any, method: str, methods: Any = fusion.METHODS) -> Any:
    mark = compression.looks({"": words.order_methods(methods)}, "light")[method]
    return next(
        ln for ln in ax.lines
        if (ln.get_color(), ln.get_marker()) == (mark.color, mark.marker or "None")
        and len(ln.get_xdata()) > 1
    )  # fmt: skip


def of(data: pd.DataFrame, name: str, method: str, **labels: str) -> Any:
    """Values of a scalar by step and seed."""
    rows = data[(data["name"] == name) & (data["method"] == method)]
    for label, value in labels.items():
        rows = rows[rows[label] == value]
    return rows.pivot(index="step", columns="seed", values="value")


def test_scores_stand_over_stored_bytes_without_and_with_retraining(few: pd.DataFrame) -> None:
    axes = plotting.plot_compression_curve(few)
    assert [ax.get_title(loc="left") for ax in axes] == ["without retraining", "with retraining"]
    assert axes[0].get_ylim() == axes[1].get_ylim() and axes[0].get_xlim() == axes[1].get_xlim()
    assert axes[0].get_xlim()[0] > axes[0].get_xlim()[1]  # all bytes on the left
    for phase, ax in zip(("one_shot", "after"), axes, strict=True):
        drawn = line(ax, "LF mean (WS)")
        score = of(few, "accuracy", "LF mean (WS)", split="test", phase=phase)
        share = of(few, "stored_share", "LF mean (WS)", scope="compressible", phase=phase)
        np.testing.assert_allclose(drawn.get_ydata(), score.mean(axis=1))
        np.testing.assert_allclose(drawn.get_xdata(), share.mean(axis=1))
    wide = plotting.plot_compression_curve(few, scope="all")[0]
    assert "of the whole network" in wide.get_xlabel()
    assert line(wide, "LF mean (WS)").get_xdata()[-1] == pytest.approx(0.23, abs=0.01)


def test_the_control_is_a_dotted_level(few: pd.DataFrame) -> None:
    ax = plotting.plot_compression_curve(few)[0]
    level = line(ax, "none")
    last = of(few, "accuracy", "none", split="test", phase="one_shot").iloc[-1]
    np.testing.assert_allclose(level.get_ydata(), last.mean())
    assert level.get_linestyle() != "-"
    labels = [text.get_text() for text in ax.figure.legends[0].get_texts()]
    assert labels[0] == "whole network (control)"


def test_perplexities_are_averaged_and_drawn_by_their_logarithms() -> None:
    data = fusion.scalars(metric="perplexity")
    ax = plotting.plot_compression_curve(data, metric="perplexity")[0]
    assert ax.get_yscale() == "log"
    score = of(data, "perplexity", "SVD", split="test", phase="one_shot")
    np.testing.assert_allclose(line(ax, "SVD").get_ydata(), np.exp(np.log(score).mean(axis=1)))
    said = plotting.alt_text("compression_curve", data, metric="perplexity")
    assert said.startswith("Perplexity (log scale, lower is better)")
    assert "geometric mean over 3 seeds" in said
    assert "at the fewest bytes: layer pruning " in said  # the lowest is named first


@pytest.mark.parametrize("metric", ["accuracy", "perplexity"])
def test_rings_stand_where_it_gets_worse_faster(few: pd.DataFrame, metric: str) -> None:
    steps = few["step"]
    fallen = np.maximum(steps - 4, 0)
    value = 20 * np.exp(0.5 * fallen) if metric == "perplexity" else 0.8 - 0.1 * fallen
    scores = (few["name"] == "accuracy") & (few["method"] != "none")
    bent = few.assign(value=few["value"].where(~scores, value))
    bent["name"] = bent["name"].replace("accuracy", metric)
    for ax in plotting.plot_compression_curve(bent, metric=metric):
        rings = [ln for ln in ax.lines if ln.get_markersize() == 13]
        assert len(rings) == 4
        assert all(ring.get_xdata()[0] == pytest.approx(0.5, abs=0.02) for ring in rings)
    told = plotting.alt_text("compression_curve", bent, metric=metric)
    assert "LF mean (CA) 50%" in told.partition("inflection points: ")[2]
    bare = plotting.plot_compression_curve(bent, metric=metric, inflections=False)[0]
    assert not [ln for ln in bare.lines if ln.get_markersize() == 13]


def test_many_methods_have_a_row_for_each_way_to_compress(many: pd.DataFrame) -> None:
    axes = plotting.plot_compression_curve(many)
    titles = [ax.get_title(loc="left") for ax in axes]
    assert titles == ["fusion: without retraining", "fusion: with retraining",
                      "others: without retraining", "others: with retraining"]  # fmt: skip
    assert [sum(ln.get_alpha() == 0.45 for ln in ax.lines) for ax in axes] == [8, 8, 9, 9]
    labels = [text.get_text() for text in axes[0].figure.legends[0].get_texts()]
    assert labels[0] == "whole network (control)" and len({*labels}) == 20
    assert len({ax.get_ylim() for ax in axes}) == 1


def test_no_two_methods_look_the_same(many: pd.DataFrame) -> None:
    grouped = compression.groups(many)
    marks = compression.looks(grouped, "dark")
    assert len({(mark.color, mark.marker) for mark in marks.values()}) == len(marks) == 18
    for held in grouped.values():
        assert len({marks[method].marker for method in held}) == len(held)


def test_one_way_with_too_many_methods_names_the_grey_ones() -> None:
    names = tuple(f"fuse {place:02}" for place in range(12))
    data = fusion.scalars(methods=("none", *names), seeds=(0,)).assign(compression="fusion")
    axes = plotting.plot_compression_curve(data)
    title = axes[0].figure.legends[0].get_title().get_text().replace("\n", " ")
    assert "thin and grey: fuse 09, fuse 10, fuse 11" in title


def test_a_method_that_reached_no_share_is_named(few: pd.DataFrame) -> None:
    part = few[(few["method"] != "SVD") | (few["step"] == 0)]
    axes = plotting.plot_compression_curve(part)
    title = axes[0].figure.legends[0].get_title().get_text().replace("\n", " ")
    assert title.endswith("could not be made so small: SVD")
    assert "SVD could not be made so small" in plotting.alt_text("compression_curve", part)


def test_what_grew_stays_in_view(few: pd.DataFrame) -> None:
    grown = few.copy()
    grown.loc[(grown["name"] == "stored_share") & (grown["step"] == 1), "value"] = 1.2
    ax = plotting.plot_compression_curve(grown)[0]
    assert ax.get_xlim()[0] > 1.2


def test_what_is_missing_is_said(few: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="missing columns: phase"):
        plotting.plot_compression_curve(few.drop(columns="phase"))
    with pytest.raises(ValueError, match="unknown scope 'some'; choose one of compressible, all"):
        plotting.plot_compression_curve(few, scope="some")
    lost = few[(few["name"] != "stored_share") | (few["step"] != 3)]
    with pytest.raises(ValueError, match="no stored_share for method 'none', seed 0, step 3"):
        plotting.plot_compression_curve(lost)
    two = pd.concat([few, few.assign(task="another")])
    with pytest.raises(ValueError, match="task vary; narrow the data"):
        plotting.plot_compression_curve(two)


def test_costs_are_shares_of_the_same_runs_first_step(few: pd.DataFrame) -> None:
    axes = plotting.plot_compression_costs(few)
    titles = [ax.get_title(loc="left") for ax in axes]
    assert titles == ["stored bytes", "multiply-adds", "measured time"]
    assert len({ax.get_xlim() for ax in axes}) == len({ax.get_ylim() for ax in axes}) == 1
    bytes_left, sums, time = (line(ax, "LF mean (WS)") for ax in axes)
    assert bytes_left.get_xdata()[-1] == pytest.approx(0.15, abs=0.01)
    np.testing.assert_allclose(sums.get_xdata(), 1)  # as many sums as before
    seconds = of(few, "seconds_per_batch", "LF mean (WS)")
    np.testing.assert_allclose(time.get_xdata(), (seconds / seconds.iloc[0]).mean(axis=1))
    assert line(axes[1], "SVD").get_xdata()[-1] == pytest.approx(0.15, abs=0.01)
    (noise,) = [patch for patch in axes[2].patches if patch.get_alpha() == 0.2]
    control = of(few, "seconds_per_batch", "none")
    control = control / control.iloc[0]
    assert noise.get_width() == pytest.approx(np.ptp(control.to_numpy()))


def test_costs_take_what_was_measured(few: pd.DataFrame) -> None:
    untimed = few[few["name"] != "seconds_per_batch"]
    assert len(plotting.plot_compression_costs(untimed, phase="after")) == 2
    late = few[(few["name"] != "seconds_per_batch") | (few["step"] > 0)]
    with pytest.raises(ValueError, match="no run has seconds_per_batch of step 0"):
        plotting.plot_compression_costs(late)
    with pytest.raises(ValueError, match="unknown phase 'before'; choose one of one_shot, after"):
        plotting.plot_compression_costs(few, phase="before")
    once = few[few["phase"] != "after"]
    with pytest.raises(ValueError, match="'accuracy' was not measured with retraining"):
        plotting.plot_compression_costs(once, phase="after")
    assert len(plotting.plot_compression_curve(once)) == 1
