"""Chapter 10 from inside: masks, norms, ridges and measures by epoch, and its tables."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from tuning_frames import METHODS, final, line, note

from workbench import plotting
from workbench.plotting import style, words


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
    assert axes[0].figure.get_supylabel() == "epoch"
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
    assert all("$" not in label.get_text() for label in axes[3].get_yticklabels())
    some = plotting.plot_training_measures(runs[~runs["name"].isin(["parameters", "sharpness"])])
    assert len(some) == 3
    with pytest.raises(ValueError, match="no measure snr; choose of kept_share, updated"):
        plotting.plot_training_measures(runs, measures=["snr"])
    with pytest.raises(ValueError, match="the data hold none of sharpness"):
        plotting.plot_training_measures(runs[runs["step"] == 2], measures=["sharpness"])


def test_what_was_measured_once_stands_side_by_side(runs: pd.DataFrame) -> None:
    once = runs[(runs["name"] == "sharpness") & (runs["step"] == 6)]
    (ax,) = plotting.plot_training_measures(once, spread="sd")
    places = [float(np.asarray(ln.get_xdata())[0]) for ln in ax.lines]
    np.testing.assert_allclose(places, [5.88, 5.96, 6.04, 6.12])
    assert [ln.get_marker() for ln in ax.lines][0] == "_"  # the control has no marker elsewhere
    assert len(ax.collections) == 4


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
    assert max(float(np.max(ln.get_xdata())) for ln in ax.lines) == 60
    assert ax.get_xlabel() == "updates (dotted: a new epoch)"
    assert plotting.alt_text("training_loss", runs).startswith("Training loss over 60 updates: ")
