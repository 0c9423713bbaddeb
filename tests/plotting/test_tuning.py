"""Chapter 10's figures: scores by epoch, gains by language, masks, seeds, norms and measures."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from workbench import plotting
from workbench.metrics.contrasts import paired_interval
from workbench.metrics.resources import CC100_GIB
from workbench.plotting import FIGURES, style, words

METHODS = ("standard", "GradDrop", "Layer-GradDrop", "GradFreeze-TopDown")


@pytest.fixture(scope="module")
def runs(make: Any) -> pd.DataFrame:
    """Four methods, five seeds, six epochs, seven languages; one run has failed."""
    return make.tuning(methods=METHODS)


def line(ax: Any, method: str, methods: Any = METHODS) -> Any:
    mark = style.method_marks(methods)[method]
    return next(
        ln for ln in ax.lines
        if ln.get_color() == mark.color and len(ln.get_xdata()) > 1
    )  # fmt: skip


def note(figure: Any) -> str:
    return figure._supxlabel.get_text().replace("\n", " ")


def final(runs: pd.DataFrame, language: str | None = None) -> pd.Series:
    """Test accuracy after the last epoch by method and seed."""
    rows = runs[(runs["name"] == "accuracy") & (runs["split"] == "test") & (runs["step"] == 6)]
    rows = rows[rows["subset"] == language if language else rows["subset"] != "en"]
    return rows.groupby(["method", "seed"])["value"].mean()


def test_figures_are_offered_for_their_own_records_alone(data: pd.DataFrame, make: Any) -> None:
    arrays = {"gradient_histogram", "gradient_edges", "update_histogram", "update_edges", "mask"}
    tuned = {*make.tuning(methods=("GradDrop",), seeds=(0,))["name"], *arrays}
    held = {name for name, family in FIGURES.items() if family.available(tuned)}
    pruned = {name for name, family in FIGURES.items() if family.available({*data["name"]})}
    own = {"epoch_curve", "language_gain", "seed_spread", "tuning_heatmap", "activation_map",
           "training_measures", "epoch_gradient_norms", "update_norms", "distances",
           "update_distributions"}  # fmt: skip
    assert held == own | {"training_loss", "gradient_distributions"}
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


@pytest.fixture(scope="module")
def masks(make: Any) -> pd.DataFrame:
    """Masks of three methods, and a run that has none."""
    names = ("standard", "GradDrop-Epoch", "GradDrop-Epoch-Toggle", "GradFreeze-TopDown")
    return plotting.gather("activation_map", None, [make.tuned(name) for name in names])


def test_masks_are_read_from_the_runs_that_have_them(masks: pd.DataFrame, make: Any) -> None:
    assert {*masks["method"]} == {"GradDrop-Epoch", "GradDrop-Epoch-Toggle", "GradFreeze-TopDown"}
    assert len(masks) == 3 * 6 * 4 * 48
    with pytest.raises(ValueError, match="no record has masks of its gradients; choose runs of a"):
        plotting.gather("activation_map", None, [make.tuned("standard")])
    flat = make.tuned("GradDrop")
    flat.held = [type(a)(a.step, a.name, np.ones(3, "int8")) for a in flat.held if a.name == "mask"]
    with pytest.raises(ValueError, match=r"mask of shape \(3,\); expected \(layers, elements\)"):
        plotting.gather("activation_map", None, [flat])


def test_ages_count_from_when_an_element_was_last_turned_on() -> None:
    from workbench.plotting.activation_map import ages

    on = {1: [1, 0], 2: [1, 1], 3: [1, 0], 4: [1, 1], 5: [1, 1], 6: [0, 1]}
    rows = [{"step": step, "layer": 0, "element": e, "kept": kept[e]}
            for step, kept in on.items() for e in (0, 1)]  # fmt: skip
    found = {step: table[0].tolist() for step, table in ages(pd.DataFrame(rows)).items()}
    assert found == {1: [0, -1], 2: [1, 0], 3: [2, -1], 4: [3, 0], 5: [3, 1], 6: [-1, 2]}


def test_the_map_has_methods_in_rows_and_layers_going_up(masks: pd.DataFrame) -> None:
    axes = plotting.plot_activation_map(masks, width=1100)
    assert axes.shape == (3, 6)
    assert [ax.get_xlabel() for ax in axes[-1]] == [f"epoch {n}" for n in range(1, 7)]
    titles = [line[0].get_title(loc="left") for line in axes]
    assert titles == ["GradDrop-Epoch", "GradDrop-Epoch-Toggle", "GradFreeze-TopDown"]
    epoch, toggle, freeze = (line[-1].images[0].get_array() for line in axes)
    assert epoch.shape == (4, 48) and (epoch > 0).all() and {*np.unique(toggle)} == {0, 1}
    assert [freeze[layer, 0] for layer in range(4)] == [3, 4, 4, 4]
    second = axes[2, 1].images[0]
    assert [second.get_array()[layer, 0] for layer in range(4)] == [0, 0, 1, 2]
    assert second.origin == "lower" and axes[0, 0].get_ylim()[0] < axes[0, 0].get_ylim()[1]
    shades = [second.cmap(second.norm(value))[:3] for value in range(5)]
    assert style.contrast(shades[0], shades[1]) > 3
    assert all(style.contrast(a, "#ffffff") > style.contrast(b, "#ffffff")
               for a, b in zip(shades[1:], shades[2:], strict=False))  # fmt: skip
    legend = axes[0, 0].figure.legends[0]
    assert "48 fixed elements of each layer's query matrix" in legend.get_title().get_text()
    assert "one recorded run" in legend.get_title().get_text().replace("\n", " ")
    assert legend.get_texts()[0].get_text() == "frozen"
    assert plotting.plot_activation_map(masks, width=358).shape == (3, 3)
    said = plotting.alt_text("activation_map", masks, methods=["GradFreeze-TopDown"])
    assert "GradFreeze-TopDown 25% in epoch 1 and 100% in epoch 6, of which 0% turned" in said


def test_bad_choices_of_masks_are_told(masks: pd.DataFrame) -> None:
    for options, message in (
        ({"seed": 7}, "no seed 7; there are: 0"),
        ({"methods": ["LoRA"]}, "no masks of LoRA with seed 0; there are: GradDrop-Epoch, "),
        ({"epochs": [9]}, "no masks of epoch 9"),
    ):
        with pytest.raises(ValueError, match=message):
            plotting.plot_activation_map(masks, **options)


def test_norms_are_layers_by_modules_for_each_epoch(runs: pd.DataFrame) -> None:
    axes = plotting.plot_epoch_norms(runs, name="distance", methods=["standard", "GradDrop"])
    assert axes.shape == (2, 3)
    assert [ax.get_xlabel() for ax in axes[-1]] == ["epoch 2", "epoch 4", "epoch 6"]
    rows = runs[(runs["name"] == "distance") & (runs["method"] == "GradDrop") & (runs["step"] == 6)]
    wanted = rows[(rows["layer"] == "3") & (rows["module"] == "key")]["value"].mean()
    cells = axes[1, 2].images[0].get_array()
    assert cells.shape == (4, 6) and cells[3, 1] == pytest.approx(wanted)
    assert len({ax.images[0].norm.vmax for ax in axes.ravel()}) == 1
    assert "mean over 5 seeds; not drawn: Layer-" in note(axes[0, 0].figure)
    first = plotting.plot_epoch_norms(runs, name="gradient_norm", epochs=[0], scale="log")
    assert first[-1, 0].get_xlabel() == "before" and first[0, 0].images[0].norm.vmin > 0
    for options, message in (
        ({"methods": ["LoRA"]}, "'update_norm' has no rows of the methods LoRA; there are"),
        ({"epochs": [1]}, r"epoch 1 was not measured; there are: \[2, 4, 6\]"),
        ({"scale": "root"}, "unknown scale 'root'; choose one of linear, log"),
    ):
        with pytest.raises(ValueError, match=message):
            plotting.plot_epoch_norms(runs, **options)


def test_frozen_matrices_are_empty_on_a_log_scale(runs: pd.DataFrame) -> None:
    frozen = (runs["name"] == "update_norm") & (runs["layer"] == "0")
    data = runs.assign(value=runs["value"].mask(frozen, 0.0))
    axes = plotting.plot_epoch_norms(data, scale="log", methods=["GradDrop"])
    cells = np.ma.filled(axes[0, 0].images[0].get_array().astype(float), np.nan)
    assert np.isnan(cells[0]).all() and np.isfinite(cells[1:]).all()
    none = runs.assign(value=runs["value"].mask(runs["name"] == "update_norm", 0.0))
    with pytest.raises(ValueError, match="every 'update_norm' is 0"):
        plotting.plot_epoch_norms(none, scale="log")


def test_ridges_are_epochs_where_nothing_was_pruned(make: Any) -> None:
    frame = plotting.gather("update_distributions", None, [make.tuned("GradDrop")])
    axes = plotting.figure("update_distributions", frame).axes
    assert [label.get_text() for label in axes[0].get_yticklabels()] == ["2", "4", "6"]
    assert axes[0].figure._supylabel.get_text() == "epoch"
    assert "change of a weight that moved in an epoch (GradDrop" in note(axes[0].figure)
    said = plotting.alt_text("update_distributions", frame)
    assert said.startswith("Distribution of the updates per module type and epoch for GradDrop")
    assert "at epoch 2 and " in said and said.endswith("at epoch 6.")
    gradients = plotting.gather("gradient_distributions", None, [make.tuned("GradDrop")])
    made = plotting.figure("gradient_distributions", gradients.drop(columns="density"))
    assert [label.get_text() for label in made.axes[0].get_yticklabels()] == ["0", "2", "4", "6"]
    with pytest.raises(ValueError, match="the records have no density to choose from"):
        plotting.plot_distributions(frame, densities=[0.5])


def test_measures_are_small_multiples_over_epochs(runs: pd.DataFrame) -> None:
    axes = plotting.plot_training_measures(runs)
    assert len(axes) == 5
    kept, updated, distance, noise, sharp = axes
    assert kept.get_title(loc="left").startswith("gradient elements kept")
    rows = runs[(runs["name"] == "updated") & (runs["scope"] == "run")]
    rows = rows[rows["method"] == "GradDrop"].groupby("step")["value"].mean() / 4_000_000
    np.testing.assert_allclose(line(updated, "GradDrop").get_ydata(), rows)
    far = runs[(runs["name"] == "distance") & (runs["method"] == "GradDrop")]
    far = far.assign(value=far["value"] ** 2).groupby(["seed", "step"])["value"].sum() ** 0.5
    wanted = far.groupby("step").mean()
    np.testing.assert_allclose(line(distance, "GradDrop").get_ydata(), wanted)
    assert list(line(sharp, "GradDrop").get_xdata()) == [0, 6]
    assert list(line(noise, "GradDrop").get_xdata()) == [0, 2, 4, 6]
    wide = runs.assign(
        value=runs["value"].where(runs["name"] != "noise_scale", 10.0 ** runs["step"])
    )
    assert plotting.plot_training_measures(wide, measures=["noise_scale"])[0].get_yscale() == "log"
    some = plotting.plot_training_measures(runs[~runs["name"].isin(["parameters", "sharpness"])])
    assert len(some) == 3
    with pytest.raises(ValueError, match="no measure snr; choose of kept_share, updated"):
        plotting.plot_training_measures(runs, measures=["snr"])
    with pytest.raises(ValueError, match="the data hold none of sharpness"):
        plotting.plot_training_measures(runs[runs["step"] == 2], measures=["sharpness"])


def test_the_table_has_languages_or_epochs_across(runs: pd.DataFrame) -> None:
    (ax,) = plotting.plot_tuning_heatmap(runs)
    names = [label.get_text() for label in ax.get_xticklabels()]
    assert names == ["English", "German", "Chinese", "Arabic", "Turkish", "Urdu", "Swahili",
                     "zero-shot mean"]  # fmt: skip
    cells = ax.images[0].get_array()
    wanted = 100 * final(runs, "sw").groupby("method").mean()
    np.testing.assert_allclose(cells[:, 6], wanted[list(METHODS)])
    np.testing.assert_allclose(cells[:, 7], cells[:, 1:7].mean(1))
    left, right = plotting.plot_tuning_heatmap(runs, columns="epochs", show="gain")
    assert [label.get_text() for label in left.get_yticklabels()] == list(METHODS[1:])
    norm, cells = right.images[0].norm, right.images[0].get_array()
    assert norm.vmin == -norm.vmax and cells.shape == (3, 7)
    mean = final(runs)
    assert cells[0, 6] == pytest.approx(100 * (mean["GradDrop"] - mean["standard"]).mean())
    assert "percentage points" in note(left.figure)
    with pytest.raises(ValueError, match="unknown show='lost'; choose one of score, gain"):
        plotting.plot_tuning_heatmap(runs, show="lost")


def test_a_narrow_table_is_cut_in_pieces(make: Any) -> None:
    languages = ("en", "ar", "bg", "de", "el", "es", "fr", "hi", "ru", "sw", "th", "tr", "ur")
    data = make.tuning(methods=METHODS, seeds=(0,), languages=languages, epochs=1)
    axes = plotting.plot_tuning_heatmap(data, width=358)
    assert len(axes) == 2 and sum(ax.images[0].get_array().shape[1] for ax in axes) == 14
    assert all(ax.texts for ax in axes)


@pytest.mark.parametrize("number", range(1, 11))
def test_every_table_of_the_chapter_can_stand_beside_ours(
    runs: pd.DataFrame, root: Any, number: int
) -> None:
    table = pd.read_csv(root / f"data/thesis/table_10_{number}.csv", dtype={"table": str})
    ours, theirs = plotting.plot_reported(runs, reported=table)
    assert "measured here, after epoch 6, 5 seeds" in ours.get_title(loc="left").replace("\n", " ")
    assert f"Table 10.{number}" in theirs.get_title(loc="left")
    names = [label.get_text() for label in ours.get_yticklabels()]
    assert names[0] == "standard fine-tuning" and "Anneal-GradDrop" in names
    hollow = [ln for ln in theirs.lines if ln.get_markersize() == 7]
    assert len(hollow) == (9 if number == 7 else 8)  # one method is printed twice in Table 10.7
    doubts = table[table["metric"].eq("mean") & table["mark"].notna()]["method"]
    doubts = doubts[doubts.isin([*words.TUNING, "none"])]
    crosses = [ln for ln in theirs.lines if ln.get_markersize() == 12]
    assert len(crosses) == len(doubts)
    mean = runs[(runs["name"] == "accuracy") & (runs["split"] == "test") & (runs["step"] == 6)]
    mean = mean[mean["method"] == "standard"]["value"].mean()
    assert f"standard fine-tuning {100 * mean:.1f}% here, " in plotting.alt_text(
        "reported", runs, reported=table
    )


def test_one_language_or_all_but_english_can_be_compared(runs: pd.DataFrame, root: Any) -> None:
    table = pd.read_csv(root / "data/thesis/table_10_1.csv", dtype={"table": str})
    said = plotting.alt_text("reported", runs, reported=table, subset="sw")
    assert "71.0 in Table 10.1, Swahili" in said
    rows = table[(table["method"] == "none") & ~table["language"].isin(["en", "avg"])]
    zero = plotting.alt_text("reported", runs, reported=table, subset="zero-shot")
    assert f"{rows['value'].mean():.1f} in Table 10.1, zero-shot" in zero
    with pytest.raises(ValueError, match="Table 10.1 and these runs have no 'nl' in common"):
        plotting.plot_reported(runs, reported=table, subset="nl")


def test_updates_counted_over_the_run_are_not_counted_twice(runs: pd.DataFrame) -> None:
    ax = plotting.plot_training_loss(runs)
    lines = [ln for ln in ax.lines if len(ln.get_xdata()) > 2]
    assert lines[0].get_xdata()[-1] == 60 and ax.get_xlabel() == "updates (dotted: a new epoch)"
    assert plotting.alt_text("training_loss", runs).startswith("Training loss over 60 updates: ")
