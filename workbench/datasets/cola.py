"""CoLA: is this an acceptable English sentence? Judged by linguists, in and out of domain."""

from __future__ import annotations

from pathlib import Path

from workbench.datasets.files import read
from workbench.datasets.rows import Row, grouped, official
from workbench.datasets.task import Task
from workbench.sources import Hub

IN, OUT = "in-domain", "out-of-domain"
_SHARD = "cola/{}-00000-of-00001.parquet"
_COLUMNS = ("source", "label", "mark", "sentence")
_IN_DOMAIN = 527  # rows of GLUE's validation split that come before the out-of-domain ones

SOURCE = Hub(
    "nyu-mll/glue",
    revision="bcdcba79d07bc864c1c254ccfcedcce55bcc9a8c",
    files=(_SHARD.format("train"), _SHARD.format("validation")),
    licence="published linguistics literature, for research",
    size=288_675,
)

TASK = Task(
    name="cola",
    title="Acceptable sentences (CoLA)",
    kind="classification",
    labels=("unacceptable", "acceptable"),
    pair=False,
    metric="matthews",
    source_subset=IN,
    subsets=(IN, OUT),
    sources=(SOURCE,),
    licence="published linguistics literature, for research",
    citation="A. Warstadt, A. Singh, S. R. Bowman (2019). Neural network acceptability "
    "judgments. TACL 7.",
    note="The published development sets are the test, since the test labels are hidden; train "
    "without the near-duplicates of it; validation is a tenth of train.",
)


def rows(folder: Path) -> dict[str, list[Row]]:
    """Train and test, from the hub's parquet or the original ``in_domain_train.tsv`` and so on."""
    if (folder / "in_domain_train.tsv").is_file():
        train = read(folder / "in_domain_train.tsv", _COLUMNS)
        inside = read(folder / "in_domain_dev.tsv", _COLUMNS)
        outside = read(folder / "out_of_domain_dev.tsv", _COLUMNS)
    else:
        train = read(folder / _SHARD.format("train"))
        test = sorted(read(folder / _SHARD.format("validation")), key=lambda row: row["idx"])
        inside, outside = test[:_IN_DOMAIN], test[_IN_DOMAIN:]
    sides = [("train", IN, train), ("test", IN, inside), ("test", OUT, outside)]
    found = [(split, domain, row) for split, domain, table in sides for row in table]
    roots = grouped([(row["sentence"],) for _, _, row in found])
    parts: dict[str, list[Row]] = {"train": [], "test": []}
    for (split, domain, row), root in zip(found, roots, strict=True):
        label = TASK.labels[int(row["label"])]
        parts[split].append(Row(row["sentence"], label, domain, f"sentence-{root}"))
    return parts


def parts(folder: Path, seed: int) -> dict[str, list[Row]]:
    """Train, validation and test rows."""
    return official(rows(folder), seed=seed, name=TASK.name)
