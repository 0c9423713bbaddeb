"""Chapter 8's tables beside our runs: which cells, on which scale, and which are in doubt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fusion_frames as fusion
import numpy as np
import pandas as pd
import pytest

from workbench import plotting

NAMES = {"mean (WS)": "LF mean (WS)", "magnitude": "layer pruning", "truncated SVD": "SVD"}


@pytest.fixture(scope="module")
def ours() -> dict[str, pd.DataFrame]:
    return {metric: fusion.scalars(metric=metric) for metric in ("accuracy", "perplexity")}


def printed(root: Path, number: int) -> pd.DataFrame:
    file = root / "data" / "thesis" / f"table_8_{number}.csv"
    return pd.read_csv(file, dtype={"table": str})


def cells(ax: Any, size: float = 7) -> dict[str, float]:
    """Values of the markers by the label of their row."""
    labels = [label.get_text() for label in ax.figure.axes[0].get_yticklabels()]
    rows = dict(zip(ax.figure.axes[0].get_yticks(), labels, strict=True))
    return {rows[ln.get_ydata()[0]]: ln.get_xdata()[0] for ln in ax.lines
            if ln.get_markersize() == size and ln.get_marker() != "None"}  # fmt: skip


@pytest.mark.parametrize(
    ("number", "metric"), [(1, "accuracy"), (2, "perplexity"), (3, "perplexity"), (4, "perplexity")]
)
def test_every_table_stands_beside_ours(
    root: Path, ours: dict[str, pd.DataFrame], number: int, metric: str
) -> None:
    table = printed(root, number)
    for model in table["model"].unique():
        here, there = plotting.plot_reported(
            ours[metric], reported=table, metric=metric, model=model, names=NAMES
        )
        title = "".join(there.get_title(loc="left").split())  # wrapped, at hyphens too
        assert f"Table8.{number},{model.replace(' ', '')},at50%ofthesize" in title
        scale = "log" if metric == "perplexity" else "linear"
        assert here.get_xscale() == there.get_xscale() == scale
        rows = table[(table["model"] == model) & table["value"].notna()]
        phase = "no" if number == 2 else "yes"
        shown = rows[(rows["density"] == 0.5) & (rows["retraining"] == phase)]
        whole = rows[rows["method"] == "none"]
        wanted = pd.concat([shown, whole])["value"] / (100 if metric == "accuracy" else 1)
        assert sorted(cells(there).values()) == pytest.approx(sorted(wanted))
        crossed = [ln for ln in there.lines if ln.get_markersize() == 12]
        assert len(crossed) == shown["mark"].notna().sum()


def test_cells_are_those_of_one_network_phase_and_share(
    root: Path, ours: dict[str, pd.DataFrame]
) -> None:
    options: dict[str, Any] = dict(metric="perplexity", reported=printed(root, 2), names=NAMES)
    here, there = plotting.plot_reported(
        ours["perplexity"], model="GPT", density=0.7, measure="ED", **options
    )
    found = cells(there)
    assert found == {"whole network (control)": 67.23, "mean (ED)": 1903.14, "freeze (ED)": 97.11}
    _, there = plotting.plot_reported(ours["perplexity"], model="GPT", density=0.7, **options)
    assert cells(there)["layer pruning"] == 1452.96  # both in one row
    data = ours["perplexity"]
    at = data[(data["method"] == "SVD") & (data["step"] == 2) & (data["phase"] == "one_shot")]
    scores = at.loc[(at["name"] == "perplexity") & (at["split"] == "test"), "value"]
    assert cells(here)["SVD"] == pytest.approx(np.exp(np.log(scores).mean()))


def test_doubts_and_other_shares_are_explained(root: Path, ours: dict[str, pd.DataFrame]) -> None:
    options: dict[str, Any] = dict(reported=printed(root, 1), density=0.25, phase="one_shot")
    axes = plotting.plot_reported(ours["accuracy"], **options)
    note = axes[0].figure._supxlabel.get_text().replace("\n", " ")
    assert note.startswith("cross: the printed cell is in doubt (mix (WS): the same as another")
    assert note.endswith("mix (WS) is printed for 30%")
    said = plotting.alt_text("reported", ours["accuracy"], **options)
    assert "not run here, 92.3% (in doubt: the same as another cell) reported" in said
    assert "whole network (control)" in said and "93.8% reported" in said


def test_both_panels_are_readable_on_a_telephone(root: Path, ours: dict[str, pd.DataFrame]) -> None:
    options: dict[str, Any] = dict(reported=printed(root, 2), metric="perplexity")
    made = plotting.figure("reported", ours["perplexity"], width=358, theme="dark", **options)
    made.draw_without_rendering()
    for ax in made.axes:
        label = ax.xaxis.label.get_window_extent()
        assert label.x0 >= 0 and label.x1 <= made.bbox.width
        boxes = [t.get_window_extent() for t in ax.get_xticklabels() if t.get_text()]
        assert not any(a.overlaps(b) for a, b in zip(boxes, boxes[1:], strict=False))


@pytest.mark.parametrize(
    ("number", "options", "message"),
    [
        (2, {}, "Table 8.2 reports perplexity, not accuracy; name metric="),
        (1, {"model": "GPT-3"}, "Table 8.1 has no model 'GPT-3'; it has: ResNet-50, ResNet-50 E"),
        (1, {"measure": "CA"}, "Table 8.1 has no measure 'CA'; it has: WS"),
        (1, {"phase": "before"}, "unknown phase 'before'; choose one of one_shot, after"),
        (1, {"density": 0.6}, "Table 8.1 has nothing near 60%; it has: 75%, 50%, 30%, 25%, 20%"),
    ],
)
def test_what_was_not_printed_is_said(
    root: Path, ours: dict[str, pd.DataFrame], number: int, options: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        plotting.plot_reported(ours["accuracy"], reported=printed(root, number), **options)
    both = pd.concat([printed(root, 1), printed(root, 2)])
    with pytest.raises(ValueError, match="reported holds the tables 8.1, 8.2; give one of them"):
        plotting.plot_reported(ours["accuracy"], reported=both)
