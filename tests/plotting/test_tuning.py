"""Chapter 10's figures: scores by epoch, gains by language, masks, seeds, norms and measures."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from tuning_frames import METHODS, final, line, note

from workbench import plotting
from workbench.metrics.contrasts import paired_interval
from workbench.metrics.resources import CC100_GIB
from workbench.plotting import FIGURES, style, words


def test_figures_are_offered_for_their_own_records_alone(data: pd.DataFrame, make: Any) -> None:
    arrays = {"gradient_histogram", "gradient_edges", "update_histogram", "update_edges", "mask"}
    tuned = {*make.tuning(methods=("GradDrop",), seeds=(0,))["name"], *arrays}
    held = {name for name, family in FIGURES.items() if family.available(tuned)}
    pruned = {name for name, family in FIGURES.items() if family.available({*data["name"]})}
    own = {"epoch_curve", "language_gain", "seed_spread", "tuning_heatmap", "activation_map",
           "training_measures", "epoch_gradient_norms", "update_norms", "distances",
           "update_distributions"}  # fmt: skip
    assert held == own | {"training_loss", "gradient_distributions", "difference"}
    assert not pruned & own


def test_scores_per_epoch_in_english_and_elsewhere(runs: pd.DataFrame) -> None:
    left, right = plotting.plot_epoch_curve(runs)
    assert left.get_title(loc="left") == "English (trained on)"
    assert right.get_title(loc="left") == "zero-shot: mean of 6 languages"
    rows = runs[(runs["name"] == "accuracy") & (runs["split"] == "test")]
    rows = rows[rows["method"] == "GradDrop"]
    for ax, here in ((left, rows["subset"] == "en"), (right, rows["subset"] != "en")):
        wanted = rows[here].groupby("step")["value"].mean()
        np.testing.assert_allclose(line(ax, "GradDrop").get_ydata(), wanted)
        np.testing.assert_array_equal(line(ax, "GradDrop").get_xdata(), range(7))
        assert len(ax.collections) == 4
    assert left.get_ylim() == right.get_ylim()
    assert right.get_xlabel() == "epoch (0: before training)"
    left.figure.draw_without_rendering()
    assert all(float(at).is_integer() for at in left.get_xticks())
    labels = [text.get_text() for text in left.figure.legends[0].get_texts()]
    assert labels == ["standard fine-tuning", *METHODS[1:]]
    later, _ = plotting.plot_epoch_curve(runs, before=False)
    assert line(later, "GradDrop").get_xdata()[0] == 1 and later.get_xlim()[0] > 0


def test_the_split_may_have_one_language(runs: pd.DataFrame) -> None:
    (ax,) = plotting.plot_epoch_curve(runs, split="validation", spread="t95")
    assert ax.get_title(loc="left") == "English"
    assert ax.figure._supylabel.get_text() == "accuracy, validation"
    said = plotting.alt_text("epoch_curve", runs, split="validation")
    assert said.startswith("Accuracy per epoch, validation, mean over 5 seeds; band: lowest to hig")
    with pytest.raises(ValueError, match="'accuracy' has no split='train'; it has: test, validat"):
        plotting.plot_epoch_curve(runs, split="train")
    with pytest.raises(ValueError, match="no epoch has ended yet"):
        plotting.plot_epoch_curve(runs[runs["step"] == 0], before=False)


def test_the_sentence_has_the_last_epoch_best_first(runs: pd.DataFrame) -> None:
    said = plotting.alt_text("epoch_curve", runs)
    mean = final(runs, "en").groupby("method").mean()
    assert f"English (trained on): after epoch 6 {mean.idxmax()} {100 * mean.max():.1f}%" in said
    part = runs[(runs["method"] != "GradDrop") | (runs["step"] < 4)]
    assert "after epoch 3" in plotting.alt_text("epoch_curve", part)


def test_many_methods_are_grey_and_named(make: Any) -> None:
    data = make.tuning(methods=words.TUNING, seeds=(0,), epochs=2)
    left, _ = plotting.plot_epoch_curve(data)
    assert len([ln for ln in left.lines if ln.get_alpha() == 0.5]) == len(words.TUNING) - 6
    labels = [text.get_text() for text in left.figure.legends[0].get_texts()]
    assert labels[0] == "standard fine-tuning" and labels[-1] == "other methods"
    assert "LoRA" in left.figure.legends[0].get_title().get_text()
    marks = style.method_marks(words.focus(words.TUNING), "dark")
    assert len({(mark.color, mark.marker) for mark in marks.values()}) == 6


def test_gains_are_paired_by_seed(runs: pd.DataFrame) -> None:
    axes = plotting.plot_language_gain(runs)
    assert [ax.get_title(loc="left") for ax in axes] == list(METHODS[1:])
    swahili = final(runs, "sw")
    found = paired_interval(100 * (swahili["GradDrop"] - swahili["standard"]).to_numpy())
    labels = [label.get_text() for label in axes[0].get_yticklabels()]
    assert labels[:4] == ["English (300.8)", "German (66.6)", "Chinese (46.9)", "Arabic (28)"]
    assert labels[4:] == ["Turkish (20.9)", "Urdu (5.7)", "Swahili (1.6)", "zero-shot mean"]
    (bar,) = (ln for ln in axes[0].lines if list(ln.get_ydata()) == [6, 6])
    np.testing.assert_allclose(bar.get_xdata(), [found.low, found.high])
    mean = final(runs)
    (mark,) = (ln for ln in axes[0].lines if list(ln.get_ydata()) == [7])
    wanted = 100 * (mean["GradDrop"] - mean["standard"]).mean()
    assert mark.get_xdata()[0] == pytest.approx(wanted)
    assert "mean of 5 seeds with the paired 95% interval" in note(axes[0].figure)
    assert f"{wanted:+.1f}" in plotting.alt_text("language_gain", runs)


def test_the_marker_tells_the_sign_and_whether_it_is_sure(runs: pd.DataFrame) -> None:
    up, down = runs.copy(), runs["method"] == "GradFreeze-TopDown"
    scores = runs["name"].eq("accuracy")
    base = runs[scores & (runs["method"] == "standard")]
    keys = ["seed", "step", "split", "subset"]
    level = runs.merge(base[[*keys, "value"]], on=keys, how="left")["value_y"].to_numpy()
    for method, gain in (("GradDrop", 0.02), ("Layer-GradDrop", -0.02)):
        chosen = scores & (runs["method"] == method)
        nudge = 1e-3 * (runs["seed"] - 2)
        up.loc[chosen, "value"] = (level + gain + nudge)[chosen]
    up = up[~down]
    right, left = plotting.plot_language_gain(up)
    for ax, marker in ((right, ">"), (left, "<")):
        marks = [ln for ln in ax.lines if ln.get_markersize() == 7]
        assert {ln.get_marker() for ln in marks} == {marker} and len(marks) == 8
        assert all(ln.get_markerfacecolor() == ln.get_color() for ln in marks)
    hollow = plotting.plot_language_gain(up[up["seed"] == 0])[0]
    marks = [ln for ln in hollow.lines if ln.get_markersize() == 7]
    assert all(ln.get_markerfacecolor() == "#ffffff" for ln in marks)
    assert "one seed (n = 1), so no interval" in note(hollow.figure)
    levels = [ln for ln in right.lines if list(ln.get_xdata()) == [0, 0]]
    assert len(levels) == 1


def test_gains_may_be_ordered_and_taken_against_another(runs: pd.DataFrame) -> None:
    axes = plotting.plot_language_gain(runs, methods=["Layer-GradDrop"], order="gain")
    labels = [label.get_text().split(" (")[0] for label in axes[0].get_yticklabels()]
    mean = {s: (final(runs, s)["Layer-GradDrop"] - final(runs, s)["standard"]).mean()
            for s in runs["subset"].dropna().unique() if s != "en"}  # fmt: skip
    best = sorted(mean, key=lambda s: -mean[s])
    assert labels == ["English", *map(words.language, best), "zero-shot mean"]
    other = plotting.plot_language_gain(runs, against="GradDrop")
    assert len(other) == 3 and "Gain over GradDrop" in note(other[0].figure)
    for options, message in (
        ({"order": "size"}, "unknown order 'size'; choose one of pretraining data, gain"),
        ({"against": "LoRA"}, "no runs of 'LoRA' to measure gains against; there are: standard"),
        ({"methods": ["LoRA"]}, "no gains of LoRA; there are: GradDrop"),
    ):
        with pytest.raises(ValueError, match=message):
            plotting.plot_language_gain(runs, **options)
    lone = runs[(runs["method"] == "standard") != (runs["seed"] > 1)]
    with pytest.raises(ValueError, match="no other method has a seed and an epoch in common"):
        plotting.plot_language_gain(lone)


def test_gains_are_taken_at_an_epoch_that_both_have(runs: pd.DataFrame) -> None:
    part = runs[(runs["method"] != "GradDrop") | (runs["step"] < 4)]
    axes = plotting.plot_language_gain(part, methods=["GradDrop"])
    rows = runs[(runs["name"] == "accuracy") & (runs["split"] == "test") & (runs["step"] == 3)]
    rows = rows[rows["subset"] == "sw"].set_index(["method", "seed"])["value"]
    (mark,) = (ln for ln in axes[0].lines if list(ln.get_ydata()) == [6])
    wanted = 100 * (rows["GradDrop"] - rows["standard"]).mean()
    assert mark.get_xdata()[0] == pytest.approx(wanted)


def test_every_language_of_the_figures_has_its_size() -> None:
    assert {*words.LANGUAGES} <= {*CC100_GIB}
    assert max(CC100_GIB, key=lambda code: CC100_GIB[code]) == "en"


def test_seeds_are_dots_and_failed_runs_are_crossed(runs: pd.DataFrame) -> None:
    left, right = plotting.plot_seed_spread(runs)
    for ax in (left, right):
        dots = [ln for ln in ax.lines if ln.get_marker() == "o"]
        assert len(dots) == 20
        assert len([ln for ln in dots if ln.get_markerfacecolor() == "none"]) == 1
        assert len([ln for ln in ax.lines if ln.get_marker() == "x"]) == 1
        means = [ln.get_xdata()[0] for ln in ax.lines if ln.get_marker() == "|"]
        wanted = final(runs, "en" if ax is left else None).groupby("method").mean()
        np.testing.assert_allclose(means, wanted[list(METHODS)])
    labels = [label.get_text() for label in left.get_yticklabels()]
    assert labels[0] == "standard fine-tuning\n0 of 5 failed"
    assert labels[-1] == "GradFreeze-TopDown\n1 of 5 failed"
    level = [ln for ln in left.lines if ln.get_linestyle() == ":"]
    assert level[0].get_xdata()[0] == pytest.approx(0.2)
    assert "failed, validation no better than the most frequent class" in note(left.figure)
    said = plotting.alt_text("seed_spread", runs)
    assert said.endswith("Failed runs: GradFreeze-TopDown 1 of 5.")
    fine = plotting.alt_text("seed_spread", runs[runs["method"] != "GradFreeze-TopDown"])
    assert fine.endswith("Failed runs: none of 15.")


def test_without_a_majority_nothing_is_called_failed(runs: pd.DataFrame) -> None:
    left, _ = plotting.plot_seed_spread(runs[runs["name"] != "majority_share"], spread="range")
    assert left.get_yticklabels()[0].get_text() == "standard fine-tuning"
    assert not [ln for ln in left.lines if ln.get_marker() == "x"]
    assert "failed" not in note(left.figure) and "lowest to highest seed" in note(left.figure)


def test_two_methods_differ_by_epoch_where_nothing_was_pruned(runs: pd.DataFrame) -> None:
    sides = dict(left="standard", right="GradDrop", subset="sw")
    axes = plotting.plot_difference(runs, **sides)
    gap = axes[2].lines[1]
    np.testing.assert_array_equal(gap.get_xdata(), range(7))
    last = final(runs, "sw")
    want = (last["GradDrop"] - last["standard"]).mean()
    assert gap.get_ydata()[-1] == pytest.approx(want)
    assert all("epoch" in ax.get_xlabel() for ax in axes)
    told = plotting.FIGURES["difference"].describe(runs, **sides)
    assert f"{100 * want:+.1f} points" in told and "after epoch 6" in told
    left, _, minus = plotting.plot_difference(
        runs, left="standard", right="GradDrop", metric="update_norm"
    )
    rows = runs[(runs["name"] == "update_norm") & (runs["step"] == 6)]
    means = rows.groupby(["method", "layer", "module"])["value"].mean()
    wanted = (means["GradDrop"] - means["standard"]).to_numpy()
    shown = np.asarray(minus.images[0].get_array())
    np.testing.assert_allclose(np.sort(shown.ravel()), np.sort(wanted))
    assert left.get_ylabel() == "layer" and "mean over 5 seeds, last epoch" in note(left.figure)
