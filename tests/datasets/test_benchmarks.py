"""stsb, cola and sib200 from folders with the original layout and with the hub's."""

from __future__ import annotations

from pathlib import Path

import pytest

from workbench.datasets import TASKS, fingerprint, load
from workbench.datasets.sib200 import LANGUAGES
from workbench.sources import Hub, NoNetwork

NOUNS = "cat dog boat tree lake road door lamp wolf ship bird king moon rose".split()
VERBS = "sees finds likes hides takes moves knows wants".split()


def sentences(start: int, count: int) -> list[str]:
    """Sentences that are no near-duplicates of each other."""
    made = [f"the {a} {v} a {b} by night" for v in VERBS for a in NOUNS for b in NOUNS if a != b]
    return [f"{text} {start + i}" for i, text in enumerate(made[start : start + count])]


def write(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def parquet(path: Path, **columns: list) -> None:
    import pyarrow
    import pyarrow.parquet

    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.table(columns), path)


def serve(monkeypatch, folder: Path) -> None:
    """The hub, replaced by a folder."""
    monkeypatch.setattr(Hub, "fetch", lambda self, progress=None: folder)


STSB = {"train": (0, 60), "dev": (60, 10), "test": (80, 10)}


def test_stsb_in_both_layouts(tmp_path, monkeypatch):
    for part, (start, count) in STSB.items():
        first, second = sentences(start, count), sentences(start + 200, count)
        if part == "train":
            second[0] = sentences(80, 1)[0].upper()  # a sentence of the test
        scores = [round(i % 11 / 2, 3) for i in range(count)]
        lines = [
            f'genre\tfile\t2012\t{i}\t{s:.3f}\t{a}\t{b} "quoted\textra'
            for i, (s, a, b) in enumerate(zip(scores, first, second, strict=True))
        ]
        write(tmp_path / "local" / f"sts-{part}.csv", lines)
        name = "validation" if part == "dev" else part
        parquet(
            tmp_path / f"hub/data/{name}-00000-of-00001.parquet",
            sentence1=first,
            sentence2=[f'{text} "quoted' for text in second],
            score=[s / 5 for s in scores],
        )
    local = load("stsb", source=tmp_path / "local")
    assert [len(local[s]) for s in local] == [59, 10, 10]
    assert local["test"]["text"][0] == sentences(80, 1)[0] and '"' in local["test"]["text_pair"][0]
    serve(monkeypatch, tmp_path / "hub")
    hub = load("stsb", source="hub")
    for split in local:
        assert list(hub[split]["text_pair"]) == list(local[split]["text_pair"])
        assert list(hub[split]["label"]) == pytest.approx(list(local[split]["label"]), abs=1e-5)


def test_cola_in_both_layouts(tmp_path, monkeypatch):
    from workbench.datasets import cola

    monkeypatch.setattr(cola, "_IN_DOMAIN", 20)
    train, inside, outside = sentences(0, 100), sentences(120, 20), sentences(160, 15)
    train[5] = inside[0].capitalize()
    for name, texts in (
        ("in_domain_train", train),
        ("in_domain_dev", inside),
        ("out_of_domain_dev", outside),
    ):
        lines = [f"gj04\t{i % 2}\t{'' if i % 2 else '*'}\t{t}" for i, t in enumerate(texts)]
        write(tmp_path / "local" / f"{name}.tsv", lines)
    for name, texts, labels in (
        ("train", train, [i % 2 for i in range(100)]),
        ("validation", inside + outside, [i % 2 for i in range(20)] + [i % 2 for i in range(15)]),
    ):
        path = tmp_path / f"hub/cola/{name}-00000-of-00001.parquet"
        parquet(path, sentence=texts, label=labels, idx=list(range(len(texts))))
    local = load("cola", source=tmp_path / "local")
    assert len(local["train"]) + len(local["validation"]) == 99 and len(local["test"]) == 35
    assert train[5] not in {*local["train"]["text"], *local["validation"]["text"]}
    assert list(local["test"]["subset"]) == ["in-domain"] * 20 + ["out-of-domain"] * 15
    serve(monkeypatch, tmp_path / "hub")
    hub = load("cola", source="hub")
    assert all(hub[split][:] == local[split][:] for split in local)


def sib(folder: Path, name: str) -> None:
    for code, language in LANGUAGES.items():
        for part, ids in (("train", range(30)), ("dev", range(30, 40)), ("test", range(40, 60))):
            if part == "test" or code == "en":
                topics = TASKS["sib200"].labels
                rows = [f"{i}\t{topics[i % 7]}\t{code} text {i}" for i in ids]
                path = folder / name.format(language=language, part=part)
                write(path, ["index_id\tcategory\ttext", *rows])


def test_sib200_in_both_layouts(tmp_path, monkeypatch):
    sib(tmp_path / "local", "{language}.{part}.tsv")
    sib(tmp_path / "hub", "data/{language}/{part}.tsv")
    local = load("sib200", source=tmp_path / "local")
    assert [len(local[s]) for s in local] == [30, 10, 20 * len(LANGUAGES)]
    assert list(dict.fromkeys(local["test"]["subset"])) == list(LANGUAGES)
    serve(monkeypatch, tmp_path / "hub")
    hub = load("sib200", source="hub")
    assert all(hub[split][:] == local[split][:] for split in local)
    wanted = {f"data/{language}/test.tsv" for language in LANGUAGES.values()}
    assert wanted <= set(TASKS["sib200"].sources[0].files)


def test_the_folder_of_the_environment_is_taken(tmp_path, monkeypatch):
    sib(tmp_path / "sib200", "{language}.{part}.tsv")
    before = fingerprint("sib200")
    monkeypatch.setenv("WORKBENCH_BENCHMARKS", str(tmp_path))
    assert len(load("sib200")["train"]) == 30
    assert fingerprint("sib200") != before == fingerprint("sib200", source="hub")
    assert len(load("sib200", source=tmp_path)["train"]) == 30


@pytest.mark.parametrize("task", ["stsb", "cola", "sib200"])
def test_offline_says_what_to_do(task, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv("WORKBENCH_BENCHMARKS", raising=False)
    with pytest.raises(NoNetwork, match="HF_HUB_OFFLINE.*local folder"):
        load(task)
