"""The numbers that chapter 8 reports: well formed, and marked wherever they cannot all be true."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

COLUMNS = ["table", "row", "method", "density", "task", "model", "measure", "retraining", "metric",
           "value", "mark", "note"]  # fmt: skip
# The cell is another one's; another table or cell disagrees; the printed share removed may be
# another; better with more removed; far from all other methods.
MARKS = {"", "copied", "conflict", "label", "order", "outlier"}
SHAPE = {"8.1": (16, 8), "8.2": (41, 3), "8.3": (12, 3), "8.4": (2, 3)}  # rows, columns
METRIC = {"8.1": "accuracy", "8.2": "perplexity", "8.3": "perplexity", "8.4": "perplexity"}
CNNS = ["ResNet-50", "ResNet-50 ELU", "Wide-ResNet", "DenseNet"]
TRANSFORMERS = ["Transformer-XL", "GPT-2", "GPT"]
DENSITIES = {
    "8.1": {"1.0", "0.75", "0.5", "0.3", "0.25", "0.2", "0.1"},
    "8.2": {"1.0", "0.9", "0.8", "0.7", "0.5", "0.3"},
    "8.3": {"0.5"},
    "8.4": {"0.5"},
}
METHODS = {
    "8.1": {"none", "mean", "freeze", "mix"},
    "8.2": {"none", "magnitude", "global magnitude", "truncated SVD", "denoising autoencoder",
            "mean", "freeze", "Global WS-LF", "Adjacent WS-LF"},
    "8.3": {"mean", "freeze", "mix"},
    "8.4": {"layer fusion", "LayerDrop"},
}  # fmt: skip
MARKED = {"8.1": {"copied": 14, "label": 4, "order": 4}, "8.2": {"copied": 7, "outlier": 2},
          "8.3": {"conflict": 3}, "8.4": {"conflict": 2}}  # fmt: skip


def read(root: Path, name: str) -> pd.DataFrame:
    """Values as printed, and as numbers; ``place`` counts the steps of removing."""
    file = root / "data" / "thesis" / f"table_{name.replace('.', '_')}.csv"
    table = pd.read_csv(file, dtype=str, keep_default_na=False)
    place = table.density.astype(float).groupby([table.method, table.model, table.retraining])
    number = pd.to_numeric(table.value, errors="coerce")
    return table.assign(number=number, place=place.rank(ascending=False, method="dense"))


@pytest.fixture(params=sorted(SHAPE))
def table(request: pytest.FixtureRequest, root: Path) -> pd.DataFrame:
    return read(root, request.param)


def test_columns_and_cells(table: pd.DataFrame) -> None:
    name = table.table.unique().item()
    rows, columns = SHAPE[name]
    assert list(table.columns) == [*COLUMNS, "number", "place"]
    assert table.row.nunique() == rows
    assert (table.groupby("row").size() == columns).all()
    key = ["row", "method", "model", "retraining"]
    assert not table.duplicated(key).any()
    assert set(table.density) == DENSITIES[name]
    assert set(table.method) == METHODS[name]
    assert list(table.model.unique()) == (CNNS if name == "8.1" else TRANSFORMERS)
    assert set(table.task) == {"CIFAR-10" if name == "8.1" else "WikiText-2"}
    assert set(table.metric) == {METRIC[name]}
    retraining = {"8.1": {"yes", "no"}, "8.2": {"no"}}.get(name, {"yes"})
    assert set(table.retraining) == retraining
    assert (table.number.dropna() > 1).all()
    assert name != "8.1" or (table.number.dropna() < 100).all()


def test_what_is_removed_agrees_with_the_row(root: Path) -> None:
    for name in ("8.1", "8.2"):
        table = read(root, name)
        printed = table.row.str.extract(r"(\d+)%$")[0]
        assert (printed.isna() == (table.method == "none")).all()
        kept = 1 - printed.astype(float).fillna(0) / 100
        assert (kept - table.density.astype(float)).abs().max() < 1e-9


def test_marks_and_gaps_are_explained(table: pd.DataFrame) -> None:
    marks = table.mark[table.mark != ""]
    assert set(table.mark) <= MARKS
    assert marks.value_counts().to_dict() == MARKED[table.table.iloc[0]]
    assert (table.note[marks.index] != "").all()
    assert (table.note[table.value == ""] == "printed as -").all()
    missing = table[table.value == ""]
    assert missing.empty or set(missing.method + missing.retraining) == {"noneyes"}


def test_copied_cells_are_copies(root: Path) -> None:
    """Values at one place of one model are printed for two methods where "copied" says so."""
    for name, source, target in (
        ("8.1", "freeze", "mix"),
        ("8.2", "magnitude", "truncated SVD"),
    ):
        table = read(root, name)
        table = table[table.method != "none"]
        originals = table[table.method == source]
        copies = table[table.mark == "copied"]
        both = copies.merge(originals, on=["model", "place", "value"], suffixes=("", "_source"))
        assert len(both) == len(copies) == MARKED[name]["copied"]
        assert set(copies.method) == {target}
        if name == "8.1":  # those of the copies' source are with retraining
            assert set(both.retraining_source) == {"yes"}
        rest = table[table.mark != "copied"]
        assert not rest.duplicated(["model", "place", "value"]).any()
        printed = both.row_source.str.extract(r"(\d+%)$")[0]
        said = [f"at {share}" in note for note, share in zip(both.note, printed, strict=True)]
        assert all(said)


def test_mixing_prints_70_where_the_others_print_75(root: Path) -> None:
    table = read(root, "8.1")
    doubted = table[(table.method == "mix") & (table.density == "0.3")]
    assert len(doubted) == 8
    assert doubted.mark.value_counts().to_dict() == {"copied": 4, "label": 4}
    assert doubted.note.str.contains("the other methods print 75% here").all()
    assert set(table.method[table.density == "0.25"]) == {"mean", "freeze"}


def test_accuracy_that_rises_with_more_removed_is_marked(root: Path) -> None:
    """Beyond half of the network; before, the text says that it may."""
    table = read(root, "8.1")
    after = table[table.density.astype(float) <= 0.5].sort_values("place")
    rising = set()
    for (method, model, retraining), cells in after.groupby(["method", "model", "retraining"]):
        for one, two in zip(cells.index, cells.index[1:], strict=False):
            if table.number[two] > table.number[one]:
                rising |= {one, two}
                assert (model, retraining) == ("DenseNet", "yes")
                assert table.note[one].startswith(f"{table.value[two]} with more"), method
                assert table.note[two].startswith(f"{table.value[one]} with less"), method
    assert rising == set(table.index[table.mark == "order"])


def test_retraining_worse_than_none_is_explained(root: Path) -> None:
    """Only one pair of cells neither of which is copied."""
    table = read(root, "8.1")
    keys = ["row", "model"]
    pairs = table[table.retraining == "no"].merge(
        table[table.retraining == "yes"], on=keys, suffixes=("", "_after")
    )
    worse = pairs[pairs.number_after < pairs.number]
    assert len(worse) == 6
    left = worse[worse.mark != "copied"]
    assert list(left.row) == ["Freeze 25%"]
    assert list(left.note_after) == ["lower than without retraining"]


def test_outliers_are_far_below_all_other_methods(root: Path) -> None:
    table = read(root, "8.2")
    pruned = table[table.method != "none"]
    for (_, _), cells in pruned.groupby(["model", "density"]):
        assert len(cells) == 8
        lowest, second = cells.number.nsmallest(2)
        assert (lowest < second / 3) == (cells.mark == "outlier").any()
        assert (cells.number[cells.mark == "outlier"] == lowest).all()
    noted = pruned[pruned.note.str.startswith("far below the other six methods")]
    others = pruned[(pruned.model == "GPT") & (pruned.density == "0.7")].drop(noted.index)
    assert set(noted.model + noted.density) == {"GPT0.7"} and len(noted) == 2
    assert (others.number.min(), others.number.max()) == (921.06, 1903.14)


def test_perplexity_grows_with_what_is_removed(root: Path) -> None:
    """Beyond 20%; no cell of Table 8.2 is out of order."""
    table = read(root, "8.2").sort_values("place")
    table = table[table.density.astype(float) <= 0.8]
    grows = table.groupby(["method", "model"]).number.agg(
        lambda cells: cells.is_monotonic_increasing
    )
    assert grows.all()


def test_table_8_4_beside_the_best_of_table_8_3(root: Path) -> None:
    """The text says that it prints them; true of Transformer-XL only."""
    inside, beside = read(root, "8.3"), read(root, "8.4")
    best = inside.loc[inside.groupby("model").number.idxmin()].set_index("model")
    printed = beside[beside.method == "layer fusion"].set_index("model")
    assert best.value.to_dict() == {"Transformer-XL": "11.13", "GPT-2": "13.58", "GPT": "18.48"}
    differs = printed.value != best.value.reindex(printed.index)
    assert (printed.mark.eq("conflict") == differs).all()
    assert list(printed.index[differs]) == ["GPT-2", "GPT"]
    for model, value in best.value[differs.reindex(best.index)].items():
        assert value in printed.note[model]
    assert printed.value["GPT"] == best.value["GPT-2"]
    # In Table 8.3 the cells that disagree: both best ones, and the one in bold.
    bold = inside[(inside.model == "GPT-2") & (inside.value == printed.value["GPT-2"])]
    cells = {*bold.index, *inside.index[inside.value.isin(["13.58", "18.48"])]}
    assert cells == set(inside.index[inside.mark == "conflict"])
    drop = beside[beside.method == "LayerDrop"].set_index("model")
    assert (drop.number > best.number.reindex(drop.index)).all()  # holds for the right cells too
