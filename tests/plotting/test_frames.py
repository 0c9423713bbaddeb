"""What figures compute: rows picked, densities joined, means and spreads over seeds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from workbench.plotting import frames


def seeds_frame(values: list[float]) -> pd.DataFrame:
    return pd.DataFrame({"method": "a", "seed": range(len(values)), "value": values})


@pytest.mark.parametrize("spread", ["range", "sd", "t95"])
def test_spread_is_that_of_a_library(spread: str) -> None:
    values = [0.71, 0.74, 0.69, 0.75]
    row = frames.summarise(seeds_frame(values), ["method"], spread=spread).iloc[0]
    mean, sd = np.mean(values), np.std(values, ddof=1)
    wanted = {
        "range": (min(values), max(values)),
        "sd": (mean - sd, mean + sd),
        "t95": stats.t.interval(0.95, 3, loc=mean, scale=stats.sem(values)),
    }[spread]
    assert row["mean"] == pytest.approx(mean, rel=1e-12)
    assert (row["low"], row["high"]) == pytest.approx(wanted, rel=1e-9)
    assert row["n"] == 4


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=6), st.sampled_from(["range", "t95"]))
@settings(max_examples=30, deadline=None)
def test_mean_lies_inside_its_spread(values: list[float], spread: str) -> None:
    row = frames.summarise(seeds_frame(values), ["method"], spread=spread).iloc[0]
    slack = 1e-9 * max(1.0, *map(abs, values))
    assert row["low"] - slack <= row["mean"] <= row["high"] + slack


def test_one_seed_has_no_spread() -> None:
    row = frames.summarise(seeds_frame([0.5]), ["method"], spread="t95").iloc[0]
    assert row["mean"] == 0.5 and np.isnan(row["low"]) and np.isnan(row["high"])
    note = frames.seeds_note(frames.summarise(seeds_frame([0.5]), ["method"]), "range")
    assert "n = 1" in note


def test_subsets_of_one_seed_count_once() -> None:
    rows = pd.concat([seeds_frame([0.6, 0.8]), seeds_frame([0.8, 1.0])])
    row = frames.summarise(rows, ["method"]).iloc[0]
    assert (row["n"], row["low"], row["high"]) == (2, pytest.approx(0.7), pytest.approx(0.9))


def test_unknown_spread_is_named() -> None:
    with pytest.raises(ValueError, match="unknown spread 'iqr'; choose one of range, sd, t95"):
        frames.summarise(seeds_frame([1.0, 2.0]), ["method"], spread="iqr")


def test_density_is_that_of_the_prunable_weights(data: pd.DataFrame) -> None:
    rows = frames.against_density(data, "snr")
    assert rows["density"].min() == pytest.approx(0.05)
    assert len(rows) == 7 * 3 * 11


def test_a_label_that_a_scalar_lacks_is_ignored(data: pd.DataFrame) -> None:
    assert len(frames.select(data, "snr", split="test")) == len(frames.select(data, "snr"))


def test_a_label_may_have_several_values(data: pd.DataFrame) -> None:
    rows = frames.select(data, "accuracy", split="test", subset=["movies", "tweets"])
    assert set(rows["subset"]) == {"movies", "tweets"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.drop(columns=["method"]), "missing columns: method; the data have seed"),
        (lambda d: d.iloc[:0], "the data are empty"),
        (lambda d: d.to_dict(), "expected a pandas DataFrame in the long format, got dict"),
        (lambda d: d[d["name"] != "snr"], "no scalar named 'snr'; the data hold: accuracy"),
        (lambda d: d.assign(value=np.nan), "every value of 'snr' is NaN or infinite"),
        (lambda d: d[d["name"] == "snr"], "no scalar named 'density'"),
        (
            lambda d: pd.concat([d, d.assign(task="topics")]),
            "several values for the same method, seed, step: task vary",
        ),
        (
            lambda d: d[(d["name"] != "density") | (d["step"] != 3)],
            "no density for method 'none', seed 0, step 3",
        ),
        (lambda d: pd.concat([d, d]), "given twice for the same method, seed, step"),
    ],
)
def test_bad_data_is_told(data: pd.DataFrame, change: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        frames.against_density(change(data), "snr")


def test_an_unknown_label_names_those_there_are(data: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="has no subset='mars'; it has: amazon, editorials, movie"):
        frames.select(data, "accuracy", subset="mars")


def test_single_nan_rows_are_dropped(data: pd.DataFrame) -> None:
    broken = data.copy()
    broken.loc[broken.index[broken["name"] == "snr"][0], "value"] = np.nan
    assert len(frames.select(broken, "snr")) == len(frames.select(data, "snr")) - 1


def test_choose_keeps_the_ends() -> None:
    values = [1.0, 0.8, 0.6, 0.4, 0.2, 0.05]
    assert frames.choose(values, 3) == [1.0, 0.4, 0.05] or frames.choose(values, 3)[1] in values
    assert frames.choose(values, 3)[0] == 1.0 and frames.choose(values, 3)[-1] == 0.05
    assert frames.choose(values, 99) == values


def test_nearest_takes_the_last_step_of_the_control(data: pd.DataFrame) -> None:
    rows = frames.nearest(frames.against_density(data, "snr"), 0.3)
    steps = rows.groupby("method")["step"].unique().map(list)
    assert steps["none"] == [10] and steps["magnitude"] == [4]
