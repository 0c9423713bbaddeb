"""The numbers that the thesis reports: well formed, and marked wherever they cannot all be true."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

COLUMNS = ["table", "row", "method", "density", "task", "metric", "value", "mark", "note"]
KEY = ["table", "row", "task", "metric"]
MARKS = {"", "mean", "conflict"}  # the printed mean is not its row's; another table disagrees
METRICS = {"accuracy", "f1", "matthews", "pearson", "spearman", "ndcg", "mean"}
TASKS = {
    "9.1": {"XNLI", "NC", "NER", "PAWSX", "POS", "QAM", "QADSM", "WPR", "Avg."},
    "11.1": {"CoLA", "SST-2", "MNLI", "MRPC", "STS-B", "QQP", "RTE", "QNLI", "Score"},
    "11.2": {"XNLI", "NC", "NER", "PAWSX", "POS", "QAM", "QADSM", "WPR", "Avg."},
}
ROWS = {"9.1": 12, "11.1": 17, "11.2": 13}
DOUBTED_MEANS = {"9.1": 0, "11.1": 17, "11.2": 2}


@pytest.fixture(params=sorted(TASKS))
def table(request: pytest.FixtureRequest, root: Path) -> pd.DataFrame:
    return read(root, request.param)


def read(root: Path, name: str) -> pd.DataFrame:
    file = root / "data" / "thesis" / f"table_{name.replace('.', '_')}.csv"
    return pd.read_csv(file, dtype={"table": str}, keep_default_na=False, na_values={"value": [""]})


def row_means(table: pd.DataFrame) -> pd.DataFrame:
    """Each row's printed mean beside the mean of its cells (two metrics of one task averaged)."""
    cells = table[table.metric != "mean"].groupby(["row", "task"]).value.mean()
    printed = table[table.metric == "mean"].set_index("row")
    return printed.assign(cells=cells.groupby("row").mean())


def test_columns_and_cells(table: pd.DataFrame) -> None:
    name = table.table.unique().item()
    assert list(table.columns) == COLUMNS
    assert set(table.task) == TASKS[name]
    assert table.row.nunique() == ROWS[name]
    assert set(table.metric) <= METRICS
    assert not table.duplicated(KEY).any()
    assert (table.groupby("row").size() == len(table) / ROWS[name]).all()
    assert table.value.dropna().between(0, 100).all()
    assert table.density.between(0, 1, inclusive="right").all()


def test_marks_and_gaps_are_explained(table: pd.DataFrame) -> None:
    assert set(table.mark) <= MARKS
    assert (table.note[table.mark != ""] != "").all()
    assert table.note[table.value.isna()].str.startswith("printed as").all()


def test_the_dense_model_comes_first_and_once(table: pd.DataFrame) -> None:
    dense = table[table.method == "none"]
    assert dense.row.nunique() == 1
    assert (dense.density == 1.0).all()
    assert table.method.iloc[0] == "none"


def test_an_unmarked_mean_is_the_mean_of_its_row(table: pd.DataFrame) -> None:
    means = row_means(table)
    plain = means[means.mark == ""]
    # Half a unit of the last printed digit, and a little for the rounding of the cells.
    assert ((plain.value - plain.cells).abs() < 0.0056).all()


def test_a_marked_mean_is_not(table: pd.DataFrame) -> None:
    means = row_means(table)
    doubted = means[means.mark == "mean"]
    assert len(doubted) == DOUBTED_MEANS[table.table.iloc[0]]
    assert ((doubted.value - doubted.cells).abs() > 0.0056).all()


def test_the_doubted_means_of_table_11_2_recomputed(root: Path) -> None:
    table = pd.read_csv(root / "data" / "thesis" / "table_11_2.csv", keep_default_na=False)
    means = row_means(table).set_index("method")
    assert means.value["Taylor"] == 69.09
    assert means.cells["Taylor"] == pytest.approx(69.42)
    assert means.value["SDP-CC"] == 70.76
    assert means.cells["SDP-CC"] == pytest.approx(70.64)


def test_table_9_1_beside_the_rows_that_table_11_2_repeats(root: Path) -> None:
    here, there = (read(root, name) for name in ("9.1", "11.2"))
    assert set(here.density[here.method != "none"]) == {0.31}  # 0.9 ** 11 = 31.4%
    assert set(there.density[there.method != "none"]) == {0.3}
    both = here.merge(there, on=["row", "method", "task", "metric"], suffixes=("", "_there"))
    assert both.row.nunique() == 9
    differs = both.value != both.value_there
    assert set(both.row[differs]) == {"L2-Global-MBP"} and differs.sum() == 6
    assert (both.mark.eq("conflict") == differs).all()
    assert (both.mark_there.eq("conflict") == differs).all()
    for cell in both[differs].itertuples():
        assert cell.note == f"Table 11.2 prints {cell.value_there:.2f} for the same row"
        assert cell.note_there == f"Table 9.1 prints {cell.value:.2f} for the same row"
    repeated = both[~differs & (both.method != "none")]
    assert (repeated.note == "Table 11.2 prints the same value for 30%").all()
    only_here = set(here.row) - set(there.row)
    assert only_here == {"Cosine-LMBP", "Cosine-MBP", "Frobenius-MBP"}
