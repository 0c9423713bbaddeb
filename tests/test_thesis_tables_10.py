"""The numbers that chapter 10 reports: well formed, and marked wherever they cannot all be true."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

COLUMNS = ["table", "row", "method", "density", "task", "language", "metric", "value", "mark",
           "note"]  # fmt: skip
# The printed mean is not its row's; another table disagrees; the row is another one's; the cells
# seem to belong to other columns.
MARKS = {"", "mean", "conflict", "copied", "columns"}
TASK = {"10.1": "XNLI", "10.2": "NC", "10.3": "QAM", "10.4": "QADSM", "10.5": "PAWSX",
        "10.6": "NER", "10.7": "POS", "10.8": "WPR", "10.9": "MLQA"}  # fmt: skip
ROWS = {"10.1": 14, "10.2": 10, "10.3": 10, "10.4": 10, "10.5": 10, "10.6": 11, "10.7": 11,
        "10.8": 10, "10.9": 11, "10.10": 13}  # fmt: skip
COLUMNS_PRINTED = {"10.1": 16, "10.2": 6, "10.3": 4, "10.4": 4, "10.5": 5, "10.6": 5, "10.7": 19,
                   "10.8": 8, "10.9": 8, "10.10": 11}  # fmt: skip
OURS = ["none", "GradFreeze-TopDown", "GradFreeze-BottomUp", "GradDrop", "Anneal-GradDrop",
        "Layer-GradDrop", "Anneal-Layer-GradDrop", "GradDrop-Epoch"]  # fmt: skip


def read(root: Path, name: str) -> pd.DataFrame:
    """Values as printed, so that "81.00" and "81.0" differ, and as numbers."""
    file = root / "data" / "thesis" / f"table_{name.replace('.', '_')}.csv"
    table = pd.read_csv(file, dtype=str, keep_default_na=False)
    return table.assign(number=pd.to_numeric(table.value, errors="coerce"))


@pytest.fixture(params=sorted(ROWS))
def table(request: pytest.FixtureRequest, root: Path) -> pd.DataFrame:
    return read(root, request.param)


def means(table: pd.DataFrame) -> pd.DataFrame:
    """Complete rows: the printed average, that of the cells, and half a unit of its last digit."""
    table = table[table.task != "#Params"]
    cells = table[table.metric != "mean"].groupby("row").number.agg(["mean", "count", "size"])
    printed = table[table.metric == "mean"].set_index("row").join(cells)
    printed = printed[printed["count"] == printed["size"]]
    digits = printed.value.str.partition(".")[2].str.len()
    return printed.assign(slack=0.5 * 10.0**-digits * 1.12)


def test_columns_and_cells(table: pd.DataFrame) -> None:
    name = table.table.unique().item()
    assert list(table.columns) == [*COLUMNS, "number"]
    assert table.row.nunique() == ROWS[name]
    assert not table.duplicated(["row", "task", "language"]).any()
    assert (table.groupby("row").size() == COLUMNS_PRINTED[name]).all()
    assert table.number[table.task != "#Params"].dropna().between(0, 100).all()
    assert set(OURS) <= set(table.method)
    if name != "10.10":
        assert set(table.task) == {TASK[name]}


def test_marks_and_gaps_are_explained(table: pd.DataFrame) -> None:
    assert set(table.mark) <= MARKS
    assert (table.note[table.mark != ""] != "").all()
    assert (table.note[table.value == ""] == "printed as -").all()


def test_means(table: pd.DataFrame) -> None:
    """An unmarked one is the mean of its row, and one marked "mean" is not."""
    found = means(table)
    near = (found.number - found["mean"]).abs() <= found.slack
    assert near[found.mark == ""].all()
    assert not near[found.mark == "mean"].any()


def test_averages_beside_table_10_10(root: Path) -> None:
    """Our rows: each task's average is in Table 10.10, or both cells are marked."""
    total = read(root, "10.10")
    conflicts = 0
    for name, task in TASK.items():
        table = read(root, name)
        for method in OURS:
            here = table[(table.method == method) & (table.metric == "mean")]
            there = total[(total.method == method) & (total.task == task)].iloc[0]
            differ = not (here.number == there.number).any()
            assert (there.mark == "conflict") == differ, (name, method)
            assert ((here.mark == "conflict") == differ).all(), (name, method)
            conflicts += differ
    assert conflicts == 7


def test_doubts_recomputed(root: Path) -> None:
    xnli, news, tagging = (
        means(read(root, n)).set_index("method") for n in ("10.1", "10.2", "10.7")
    )
    assert xnli["mean"]["GradDrop-Epoch"] == pytest.approx(80.60, abs=0.005)  # printed 79.94
    assert news["mean"]["GradDrop"] == pytest.approx(83.72, abs=0.005)  # printed 83.41
    assert tagging.value["Anneal-Layer-GradDrop"] == "80.88"
    assert tagging["mean"]["Anneal-Layer-GradDrop"] == tagging["mean"]["GradDrop"]


def test_copied_rows_are_copies(root: Path) -> None:
    def row(name: str, method: str) -> list[str]:
        table = read(root, name)
        return list(table.value[table.method == method])

    news, entities = row("10.2", "Anneal-GradDrop"), row("10.6", "Anneal-GradDrop")
    assert news == [*entities[:4], entities[4], entities[4]]  # its average is printed as Russian
    assert row("10.7", "Anneal-Layer-GradDrop")[:-1] == row("10.7", "GradDrop")[:-1]
    matching, adverts = (row(name, "GradFreeze-TopDown") for name in ("10.3", "10.4"))
    assert sorted(matching) == sorted(adverts) and matching != adverts
    copied = pd.concat([read(root, name) for name in ROWS])
    copied = copied[copied.mark == "copied"]
    assert copied.groupby("table").row.nunique().to_dict() == {"10.2": 1, "10.4": 1, "10.7": 1}
