"""What each family draws: which lines, bars and cells, where, and in whose colours."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from workbench import plotting
from workbench.plotting import style, table
from workbench.plotting.words import METHODS, MODULES


def lines(ax: Any) -> dict[str, Any]:
    """Lines by colour, those with more than one point."""
    return {line.get_color(): line for line in ax.lines if len(line.get_xdata()) > 1}


def test_curves_have_the_means_and_the_methods_looks(data: pd.DataFrame) -> None:
    ax = plotting.plot_pruning_curve(data, subset="movies")
    line = lines(ax)[style.method_marks(METHODS)["SDP-CC"].color]
    rows = data[(data["name"] == "accuracy") & (data["subset"] == "movies")]
    rows = rows[(rows["method"] == "SDP-CC") & (rows["split"] == "test")]
    np.testing.assert_allclose(line.get_ydata(), rows.groupby("step")["value"].mean())
    assert line.get_xdata()[-1] == pytest.approx(0.05)
    labels = [text.get_text() for text in ax.figure.legends[0].get_texts()]
    assert labels == ["unpruned control", *METHODS[1:]]
    assert "movies" in ax.get_ylabel()


def test_the_control_stands_where_it_was_trained_as_long(data: pd.DataFrame) -> None:
    ax = plotting.plot_pruning_curve(data)
    control = lines(ax)[style.theme("light").foreground]
    np.testing.assert_allclose(control.get_xdata(), sorted(set(control.get_xdata()), reverse=True))
    assert control.get_xdata()[-1] == pytest.approx(0.05)


def test_a_control_alone_is_a_level(make: Any) -> None:
    ax = plotting.plot_pruning_curve(make.scalars(methods=("none",)))
    assert len({*lines(ax)[style.theme("light").foreground].get_ydata()}) == 1


def test_bands_can_be_intervals_and_seeds_can_be_dots(data: pd.DataFrame) -> None:
    bands = {}
    for spread in ("range", "t95"):
        ax = plotting.plot_pruning_curve(data, spread=spread, seeds=True)
        bands[spread] = ax.collections[-1].get_datalim(ax.transData).height
        assert "seed" in ax.figure.legends[0].get_title().get_text() or spread == "t95"
        assert any(line.get_linestyle() == "None" for line in ax.lines)
    assert bands["t95"] > bands["range"]  # three seeds: the interval is wider than their range


def test_small_multiples_share_axes_and_keep_the_source_first(data: pd.DataFrame) -> None:
    axes = plotting.plot_pruning_curves(data)
    titles = [ax.get_title(loc="left") for ax in axes]
    assert titles == ["movies", "amazon", "tweets", "editorials"]
    assert len({ax.get_ylim() for ax in axes}) == len({ax.get_xlim() for ax in axes}) == 1
    with pytest.raises(ValueError, match="'snr' has no 'subset'"):
        plotting.plot_pruning_curves(data, metric="snr")


def test_mutual_information_has_its_ceiling(data: pd.DataFrame) -> None:
    ax = plotting.plot_fidelity_curve(data, estimator="histogram")
    labels = [text.get_text() for text in ax.figure.legends[0].get_texts()]
    assert labels[-1].startswith("ceiling")
    ceiling = lines(ax)[style.theme("light").muted]
    np.testing.assert_allclose(ceiling.get_ydata(), 2.6 * 1.25)
    bare = plotting.plot_fidelity_curve(data, estimator="histogram", ceiling=False)
    assert len(bare.lines) == len(ax.lines) - 1


def test_fidelity_takes_the_measures_there_are(data: pd.DataFrame) -> None:
    assert len(plotting.plot_fidelity_curves(data)) == 3
    part = data[~data["name"].isin(["cka"])]
    assert len(plotting.plot_fidelity_curves(part)) == 2
    none = data[data["name"].isin(["density", "accuracy"])]
    with pytest.raises(ValueError, match="the data hold none of mutual_information, snr, cka"):
        plotting.plot_fidelity_curves(none)


def test_recovery_runs_from_before_to_after(data: pd.DataFrame) -> None:
    ax = plotting.plot_recovery(data)
    bars = [patch for patch in ax.patches if patch.get_width() < 0.5]
    assert len(bars) == 6 * 10  # six methods, ten steps; the control is left out
    rows = data[(data["name"] == "accuracy") & (data["split"] == "validation")]
    rows = rows[(rows["method"] == "random") & (rows["step"] == 10)]
    means = rows.groupby("phase")["value"].mean()
    last = bars[9]
    assert last.get_y() == pytest.approx(means["before"])
    assert last.get_y() + last.get_height() == pytest.approx(means["after"])
    assert ax.get_ylim()[0] < means["before"]


def test_recovery_that_lowered_the_score_is_hollow(data: pd.DataFrame) -> None:
    worse = data.copy()
    worse.loc[worse["phase"] == "before", "value"] = 0.99
    bars = [patch for patch in plotting.plot_recovery(worse).patches if patch.get_width() < 0.5]
    assert all(bar.get_facecolor()[3] == 0 for bar in bars)


def test_recovery_needs_both_phases(data: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="measured only after retraining"):
        plotting.plot_recovery(data, split="test")
    with pytest.raises(ValueError, match="no rows of the methods LAMP"):
        plotting.plot_recovery(data, methods=["LAMP"])


def test_separability_has_methods_in_rows_and_densities_in_columns(make: Any) -> None:
    records = [make.record(method, classes=3) for method in ("none", "SDP-CC")]
    names = ["ai", "food", "sports"]
    points = plotting.gather("separability", None, records, class_names=names)
    axes = plotting.plot_separability(points, densities=[1.0, 0.3, 0.05])
    assert axes.shape == (2, 3)
    assert [ax.get_title(loc="left") for ax in axes[0]] == ["100%", "30%", "5%"]
    assert len(axes[1, 0].collections) == 3
    assert len({ax.get_xlim() for ax in axes[1]}) == 1
    labels = [text.get_text() for text in axes[0, 0].figure.legends[0].get_texts()]
    assert labels == names
    with pytest.raises(ValueError, match="no seed 7; there are 0"):
        plotting.plot_separability(points, seed=7)


def test_projections_that_were_not_recorded_are_named(make: Any) -> None:
    record = make.record("SDP-CC")
    record.held = []
    with pytest.raises(ValueError, match="no record has the projection 'lda'"):
        plotting.gather("separability", None, [record], projection="lda")
    with pytest.raises(ValueError, match="no record has histograms of the weights"):
        plotting.gather("weight_distributions", None, [record])
    two = [make.record("SDP-CC"), make.record("SDP-CC")]
    two[1].config = {**two[1].config, "task": "topics"}
    for name in ("separability", "weight_distributions"):
        with pytest.raises(ValueError, match="several records of 'SDP-CC' with seed 0: task diff"):
            plotting.gather(name, None, two)
    with pytest.raises(ValueError, match="no records to draw"):
        plotting.gather("table", None, [])


def test_heatmaps_are_layers_by_modules(data: pd.DataFrame) -> None:
    axes = plotting.plot_norms(data, name="weight_norm", density=0.3)
    assert len(axes) == 6  # without the control
    image = axes[-1].images[0]
    assert image.get_array().shape == (6, len(MODULES))
    assert len({(ax.images[0].norm.vmin, ax.images[0].norm.vmax) for ax in axes}) == 1
    assert axes[-1].get_title(loc="left").startswith("SDP-CC\nat 30%")
    assert axes[0].get_yticklabels()[-1].get_text() == "5"


def test_layers_are_in_the_order_of_numbers() -> None:
    from workbench.plotting import words

    assert words.order_layers(["10", "9", "pooler", "0"]) == ["0", "9", "10", "pooler"]


def test_density_heatmaps_show_what_global_pruning_moves(data: pd.DataFrame) -> None:
    axes = plotting.plot_layer_density(data, methods=["magnitude", "global magnitude"])
    even, tilted = (ax.images[0].get_array() for ax in axes)
    assert np.ptp(even) == pytest.approx(0) and np.ptp(tilted) > 0.01


def test_equal_cells_do_not_break_the_scale(data: pd.DataFrame) -> None:
    axes = plotting.plot_layer_density(data, methods=["magnitude"])
    norm = axes[0].images[0].norm
    assert norm.vmax - norm.vmin > 0.01


def test_ridges_are_one_per_density(make: Any) -> None:
    frame = plotting.gather("weight_distributions", None, [make.record("magnitude")])
    axes = plotting.plot_distributions(frame, densities=[1.0, 0.05])
    assert [ax.get_title(loc="left") for ax in axes] == list(MODULES)
    assert len(axes[0].collections) == len(axes[0].lines) == 2  # fills and outlines
    assert [label.get_text() for label in axes[0].get_yticklabels()] == ["100%", "5%"]
    for options, message in (
        ({"layer": "40"}, "no layer '40'; there are: 0, 1"),
        ({"method": "LAMP"}, "no histograms of method 'LAMP'; there are: magnitude"),
        ({"seed": 3}, "no seed 3 of 'magnitude'"),
    ):
        with pytest.raises(ValueError, match=message):
            plotting.plot_distributions(frame, **options)


def test_difference_is_taken_seed_by_seed(make: Any) -> None:
    data = make.scalars(methods=("magnitude", "SDP-CC"))
    shift = {0: 0.0, 1: 0.1, 2: 0.2}
    same = data[data["method"] == "magnitude"]
    better = same.assign(method="SDP-CC")
    better["value"] = better["value"] + np.where(better["name"] == "accuracy", 0.03, 0.0)
    both = pd.concat([same, better])
    both["value"] += np.where(both["name"] == "accuracy", both["seed"].map(shift), 0.0)
    axes = plotting.plot_difference(both)
    line = [ln for ln in axes[2].lines if len(ln.get_xdata()) > 2][0]
    np.testing.assert_allclose(line.get_ydata(), 0.03, atol=1e-12)  # what seeds do cancels out
    assert axes[2].get_ylim()[0] == -axes[2].get_ylim()[1]
    assert axes[0].get_ylim() == axes[1].get_ylim()
    assert axes[2].get_title(loc="left") == "SDP-CC \N{MINUS SIGN} magnitude"


def test_difference_of_heatmaps_is_balanced(data: pd.DataFrame) -> None:
    axes = plotting.plot_difference(
        data, left="magnitude", right="global magnitude", metric="layer_density"
    )
    norm = axes[2].images[0].norm
    assert norm.vmin == -norm.vmax
    assert axes[2].images[0].get_cmap().name == "RdBu_r"


def test_difference_can_be_between_settings(make: Any) -> None:
    frames = [make.scalars(methods=("SDP-CC",)).assign(alpha=alpha) for alpha in (0.2, 0.5)]
    axes = plotting.plot_difference(pd.concat(frames), by="alpha", metric="snr")
    assert axes[0].get_title(loc="left") == "alpha 0.2"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "method=None is not in the data; name two of: none, random"),
        ({"left": "magnitude", "right": "magnitude"}, "are both 'magnitude'"),
        ({"left": "magnitude", "right": "LAMP"}, "method='LAMP' is not in the data"),
        ({"by": "planet"}, "missing columns: planet"),
    ],
)
def test_difference_needs_two(data: pd.DataFrame, options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plotting.plot_difference(data, **options)


def test_table_cells_are_mean_and_sd(data: pd.DataFrame) -> None:
    ax = plotting.plot_table(data, densities=[1.0, 0.05], subset="movies")
    rows = data[(data["name"] == "accuracy") & (data["subset"] == "movies") & (data["step"] == 10)]
    values = rows[(rows["method"] == "SDP-CC") & (rows["split"] == "test")]["value"]
    wanted = f"{100 * values.mean():.1f}\n± {100 * values.std():.1f}"
    assert wanted in [text.get_text() for text in ax.texts]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["100%", "5%"]
    text = table.table(data, densities=[1.0, 0.05], subset="movies")
    assert text.loc["SDP-CC", "5%"] == wanted.replace("\n", " ")
    assert list(text.index)[0] == "unpruned control"


def test_table_leaves_missing_cells_empty(data: pd.DataFrame) -> None:
    part = data[(data["method"] != "SDP-CC") | (data["step"] < 4)]
    assert table.table(part).loc["SDP-CC", "5%"] == "-"


def test_reported_numbers_are_hollow_and_doubts_are_crossed(data: pd.DataFrame, make: Any) -> None:
    ours, theirs = plotting.plot_reported(data, reported=make.reported)
    assert "measured here" in ours.get_title(loc="left")
    assert "reported in Table 11.1" in theirs.get_title(loc="left")
    hollow = [line for line in theirs.lines if line.get_markersize() == 7]
    assert len(hollow) == 7 and all(line.get_markerfacecolor() == "none" for line in hollow)
    assert len([line for line in theirs.lines if line.get_markersize() == 12]) == 1
    assert ours.get_xlim() != theirs.get_xlim()


def test_shipped_tables_can_be_shown(data: pd.DataFrame, root: Any) -> None:
    shipped = pd.read_csv(root / "data" / "thesis" / "table_11_2.csv")
    _, theirs = plotting.plot_reported(data, reported=shipped)
    crossed = [line for line in theirs.lines if line.get_markersize() == 12]
    assert "Table 11.2" in theirs.get_title(loc="left") and len(crossed) == 2
    _, theirs = plotting.plot_reported(data, reported=shipped, task="XNLI")
    assert "XNLI" in theirs.get_title(loc="left")
    with pytest.raises(ValueError, match="has no column task='SNLI', score=None; it has: XNLI"):
        plotting.plot_reported(data, reported=shipped, task="SNLI")


def test_training_loss_runs_over_all_steps(data: pd.DataFrame) -> None:
    ax = plotting.plot_training_loss(data)
    runs = [line for line in ax.lines if len(line.get_xdata()) > 2]
    assert len(runs) == 21
    assert runs[0].get_xdata()[0] == 1 and runs[0].get_xdata()[-1] == 200


def test_the_callers_legend_lies_over_the_axes(data: pd.DataFrame) -> None:
    figure = Figure(figsize=(9, 4), layout="constrained")
    ax = plotting.plot_pruning_curve(data, ax=figure.subplots(1, 2)[0])
    figure.draw_without_rendering()
    assert ax.get_legend().get_window_extent().y0 >= ax.get_window_extent().y1 - 1
    assert not figure.legends


def test_claims_tell_their_verdict_by_marker_too() -> None:
    from workbench.plotting.claims import describe_claims, plot_claims

    rows = [("SDP-CC", 0.02, 0.01, 0.03, "shows"), ("SDP-COS", 0.0, -0.01, 0.01, "undecided"),
            ("random", -0.2, -0.21, -0.19, "reversed")]  # fmt: skip
    data = pd.DataFrame(rows, columns=["method", "mean", "low", "high", "verdict"])
    data = data.assign(claim="c", task="all", pairs=6, quantity="score", against="magnitude")
    data = data.assign(when="after the last epoch")
    (ax,) = plot_claims(data, theme="dark", width=400)
    markers = [line.get_marker() for line in ax.lines if line.get_marker() in "<>o"]
    assert markers == ["<", "o", ">"]
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert labels[-1].split() == ["SDP-CC", "\N{MINUS SIGN}", "magnitude"]
    assert describe_claims(data) == "Of 3 claims, 1 show, 1 are reversed and 1 stay undecided."
    with pytest.raises(ValueError, match="no claims for task 'x'; there are: all"):
        plot_claims(data, task="x")
    with pytest.raises(ValueError, match="empty"):
        plot_claims(data.iloc[:0])


def test_a_claim_at_a_density_has_a_title_in_words() -> None:
    from workbench.plotting.claims import plot_claims

    rows = [("Cosine-MBP", 0.02, 0.01, 0.03, "shows")]
    data = pd.DataFrame(rows, columns=["method", "mean", "low", "high", "verdict"])
    data = data.assign(
        claim="c", task="all", pairs=6, quantity="zero_shot at 31%", against="magnitude"
    ).assign(when="after the last epoch")
    (ax,) = plot_claims(data, width=400)
    titles = [text.get_text() for text in ax.texts] + [ax.get_title(loc="left"), ax.get_title()]
    assert any(t.replace("\n", " ") == "zero-shot score, 31% of the weights" for t in titles)
    told = ax.figure.texts[-1].get_text().replace("\n", " ")
    assert "of 6 pairs (task and seed), after the last epoch." in told
