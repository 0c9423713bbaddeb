"""Downloads: the same bytes each time, no formula in a spreadsheet, code that runs."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench import plotting
from workbench.observations import Array, Scalar


def test_png_and_svg_are_the_same_each_time(data: pd.DataFrame) -> None:
    one, two = (plotting.figure("pruning_curve", data, width=500) for _ in range(2))
    png, svg = plotting.to_png(one), plotting.to_svg(one)
    assert png == plotting.to_png(one) == plotting.to_png(two)
    assert svg == plotting.to_svg(two)
    assert png.startswith(b"\x89PNG")
    size = int.from_bytes(png[16:20], "big")
    assert size == 1000


def test_svg_keeps_text_as_text_and_no_date(data: pd.DataFrame) -> None:
    made = plotting.figure("pruning_curve", data)
    svg = plotting.to_svg(made, title="a & b <c>").decode()
    assert "SDP-CC</text>" in svg and "<dc:date>" not in svg
    assert "a &amp; b &lt;c&gt;" in svg


def test_markup_in_labels_stays_text(make: Any) -> None:
    bad = "<script>alert(1)</script>"
    data = make.scalars(methods=(bad,), seeds=(0,), subsets=('"><img src=x>',))
    svg = plotting.to_svg(plotting.figure("pruning_curve", data)).decode()
    assert "<script" not in svg and "<img" not in svg


@pytest.mark.parametrize("text", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\tx", "\r=x"])
def test_csv_runs_no_formula(text: str) -> None:
    raw = plotting.to_csv(pd.DataFrame({text: [text, "fine"], "n": [-1.5, 2.0]})).decode()
    rows = list(csv.reader(io.StringIO(raw, newline="")))
    assert rows[0][0] == rows[1][0] == "'" + text
    assert rows[1][1] == "-1.5" and rows[2] == ["fine", "2.0"]


@given(st.text(max_size=12))
@settings(max_examples=100, deadline=None)
def test_no_cell_begins_like_a_formula(text: str) -> None:
    raw = plotting.to_csv(pd.DataFrame({"a": [text]})).decode("utf-8", "surrogatepass")
    cell = next(iter(list(csv.reader(io.StringIO(raw, newline="")))[1:]), [""])
    first = cell[0] if cell else ""
    if first.startswith(("=", "+", "-", "@", "\t", "\r", "\n")):
        float(first)  # a number written as text is allowed


def test_csv_holds_what_the_figure_reads(data: pd.DataFrame) -> None:
    rows = plotting.relevant("pruning_curve", data, metric="f1")
    assert set(rows["name"]) == {"density", "f1"}
    assert "estimator" not in rows.columns
    again = pd.read_csv(io.BytesIO(plotting.to_csv(rows)))
    assert len(again) == len(rows)
    redrawn = plotting.plot_pruning_curve(again, metric="f1")
    assert len(redrawn.lines) == 7


def store_of(make: Any, folder: Path) -> Any:
    """A real store at ``folder`` with four finished runs."""
    import dataclasses

    from workbench.experiments.base import Experiment
    from workbench.records import Store

    @dataclasses.dataclass(frozen=True)
    class Tiny(Experiment):
        name = "tiny"
        version = 1
        method: str = "SDP-CC"
        seed: int = 0
        task: str = "sentiment"

        def identity(self) -> dict[str, Any]:
            return {"name": self.name, "config": dataclasses.asdict(self)}

        def requirements(self) -> dict[str, Any]:
            return {}

        def run(self, resume: Any = None, **_: Any) -> Any:
            record = make.record(self.method, self.seed)
            for row in record.scalars().to_dict("records"):
                labels = {
                    k: v for k, v in row.items()
                    if k not in ("step", "name", "value") and isinstance(v, str)
                }  # fmt: skip
                yield Scalar(row["step"], row["name"], row["value"], labels)
            yield from (Array(a.step, a.name, a.values, a.labels) for a in record.held)

    store = Store(folder)
    for method in ("magnitude", "SDP-CC"):
        for seed in (0, 1):
            store.collect(Tiny(method=method, seed=seed))
    return store


@pytest.fixture(scope="module")
def store(make: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return store_of(make, tmp_path_factory.mktemp("records"))


@pytest.mark.parametrize(
    ("name", "data_options", "options"),
    [
        ("pruning_curve", {}, {"metric": "f1", "spread": "sd", "subset": "movies"}),
        ("separability", {"projection": "lda", "class_names": ["a", "b"]}, {}),
        ("difference", {}, {"left": "magnitude", "right": "SDP-CC"}),
        ("weight_distributions", {}, {"method": "SDP-CC"}),
    ],
)
def test_code_makes_the_same_picture(
    store: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    data_options: dict[str, Any],
    options: dict[str, Any],
) -> None:
    query = {"experiment": "tiny", "method": ["magnitude", "SDP-CC"]}
    records = store.find("tiny", method=["magnitude", "SDP-CC"])
    assert len(records) == 4
    data = plotting.gather(name, store, records, **data_options)
    wanted = plotting.to_png(plotting.figure(name, data, theme="dark", width=500, **options))
    lines = plotting.code(
        name, query, store=str(store.path), theme="dark", width=500,
        data_options=data_options, **options,
    )  # fmt: skip
    monkeypatch.chdir(tmp_path)
    exec(compile(lines, "<reproduce>", "exec"), {})
    assert (tmp_path / f"{name}.png").read_bytes() == wanted
    assert len(lines.splitlines()) <= 15


def test_code_reads_the_reported_table_from_where_it_ships(
    store: Any, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = pd.read_csv(root / "data" / "thesis" / "table_11_1.csv", dtype={"table": str})
    asked: Any = dict(reported=shipped, task="SST-2", score="accuracy", width=500)
    data = plotting.gather("reported", store, store.find("tiny"))
    wanted = plotting.to_png(plotting.figure("reported", data, **asked))
    lines = plotting.code("reported", {"experiment": "tiny"}, store=str(store.path), **asked)
    monkeypatch.chdir(tmp_path)
    exec(compile(lines, "<reproduce>", "exec"), {})
    assert (tmp_path / "reported.png").read_bytes() == wanted
    with pytest.raises(ValueError, match="unless it is one table of the thesis"):
        plotting.code("reported", {}, reported=shipped.assign(table="../../secret"))


def test_code_assesses_the_claims(
    store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from workbench.experiments import claims

    found = claims.assess(store.scalars(store.find("tiny")), highest_density=0.2)
    wanted = plotting.to_png(plotting.figure("claims", found, theme="dark", width=500))
    lines = plotting.code(
        "claims", {"method": ["magnitude", "SDP-CC"]}, store=str(store.path), theme="dark",
        width=500, data_options={"highest_density": 0.2},
    )  # fmt: skip
    monkeypatch.chdir(tmp_path)
    exec(compile(lines, "<reproduce>", "exec"), {})
    assert (tmp_path / "claims.png").read_bytes() == wanted
    named = plotting.code("claims", {"experiment": "zero-shot-pruning"})
    assert 'claims.assess(store.scalars(records), claims.CLAIMS["zero-shot-pruning"])' in named


def test_code_holds_nothing_but_literals() -> None:
    nasty = "x'); import os; os.system('true'); ('"
    lines = plotting.code("table", {"experiment": nasty, "a-b": nasty, "seed": [0, 1]})
    import ast

    tree = ast.parse(lines)
    assert not [node for node in ast.walk(tree) if getattr(node, "attr", "") == "system"]
    assert "default_store()" in lines
    with pytest.raises(ValueError, match="DataFrame cannot be written as code, unless it is one"):
        plotting.code("reported", {}, reported=pd.DataFrame())
    with pytest.raises(ValueError, match="no figure named 'pie'"):
        plotting.code("pie", {})


def test_menus_need_neither_matplotlib_nor_pandas() -> None:
    probe = (
        "import sys, workbench.plotting as p; assert len(p.FIGURES) > 10; "
        "assert p.FIGURES['table'].available(['density', 'accuracy']); "
        "assert not p.FIGURES['table'].available(['density', 'snr']); "
        "print([m for m in ('matplotlib', 'pandas', 'numpy') if m in sys.modules])"
    )
    root = Path(plotting.__file__).parents[2]
    run = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, check=True, cwd=root
    )
    assert run.stdout.strip() == "[]"


def test_every_name_of_the_package_can_be_had() -> None:
    for name in plotting.__all__:
        assert getattr(plotting, name) is not None
    assert set(plotting.__all__) <= set(dir(plotting))
    with pytest.raises(AttributeError, match="no attribute 'plot_pie'"):
        _ = plotting.plot_pie
    for family in plotting.FIGURES.values():
        assert callable(family.function) and callable(family.describe)
        assert family.title and family.help.endswith(".")
