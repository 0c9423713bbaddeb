"""The recorded runs that ship: complete, small, found again, and without anybody's machine."""

from pathlib import Path

import pytest

from workbench.experiments.gradient_dropout import METHODS as DROPPED_METHODS
from workbench.experiments.gradient_dropout import GradientDropoutTuning
from workbench.experiments.layer_fusion import METHODS as FUSION_METHODS
from workbench.experiments.layer_fusion import LayerFusion
from workbench.experiments.self_distilled_pruning import METHODS, SelfDistilledPruning
from workbench.experiments.zero_shot_pruning import METHODS as ZERO_SHOT_METHODS
from workbench.experiments.zero_shot_pruning import ZeroShotPruning
from workbench.records import Store

SWEEPS = (
    dict(task="sentiment", model="minilm"),
    dict(task="emoji_names", model="e5-small", test_size=30, teacher_updates=200),
)
SEEDS = (0, 1, 2)


@pytest.fixture(scope="module")
def store(root) -> Store:
    return Store(root / "data" / "records", read_only=True)


@pytest.mark.parametrize("changes", SWEEPS, ids=lambda c: c["task"])
def test_every_method_and_seed_is_found_under_its_settings(store, changes):
    """What ``collect`` would look for is there: asking for a recorded run never runs it again."""
    held = {record.key for record in store.find("self-distilled-pruning", status="finished")}
    for method in METHODS:
        for seed in SEEDS:
            run = SelfDistilledPruning.of_method(method, "recorded", seed=seed, **changes)
            assert store.key(run) in held, (method, seed)


def test_ten_densities_from_one_to_a_twentieth(store):
    records = store.find("self-distilled-pruning", method="SDP-CC")
    frame = store.scalars(records)
    shares = frame[(frame["name"] == "density") & (frame["scope"] == "prunable")]
    for _, run in shares.groupby("key"):
        values = sorted(run["value"])
        assert len(values) == 10 and values[-1] == 1.0
        assert values[0] == pytest.approx(0.05, abs=1e-4)


def test_all_domains_and_languages_are_measured(store):
    frame = store.scalars(store.find("self-distilled-pruning", method="magnitude", seed=0))
    tested = frame[(frame["name"] == "accuracy") & (frame["split"] == "test")]
    counts = tested.groupby("task")["subset"].nunique()
    assert counts["sentiment"] == 4 and counts["emoji_names"] == 14


@pytest.mark.parametrize("task", ["emoji_names", "topics"])
def test_every_method_of_chapter_9_is_found_under_its_settings(store, task):
    held = {record.key for record in store.find("zero-shot-pruning", status="finished")}
    for method in ZERO_SHOT_METHODS:
        for seed in SEEDS:
            run = ZeroShotPruning.of_method(method, "recorded", seed=seed, task=task)
            assert store.key(run) in held, (method, seed)


def test_chapter_9_is_measured_in_every_language_at_nine_densities(store):
    frame = store.scalars(store.find("zero-shot-pruning", method="magnitude", seed=0))
    tested = frame[(frame["name"] == "accuracy") & (frame["split"] == "test")]
    counts = tested.groupby("task")[["subset", "step"]].nunique()
    assert counts.loc["emoji_names"].tolist() == [14, 9]
    assert counts.loc["topics"].tolist() == [7, 9]
    assert frame[frame["name"] == "retrieval"]["language"].nunique() == 13


def test_every_method_of_chapter_10_is_found_under_its_settings_with_five_seeds(store):
    held = {record.key for record in store.find("gradient-dropout", status="finished")}
    for method in DROPPED_METHODS:
        for seed in range(5):
            run = GradientDropoutTuning.of_method(method, "recorded", seed=seed)
            assert store.key(run) in held, (method, seed)


def test_chapter_10_is_measured_in_every_language_after_every_epoch(store):
    frame = store.scalars(store.find("gradient-dropout", method="GradDrop"))
    tested = frame[(frame["name"] == "accuracy") & (frame["split"] == "test")]
    assert tested["seed"].nunique() == 5
    assert tested["subset"].nunique() == 14 and tested["step"].nunique() == 7


ENWIKI = dict(task="enwiki", model="gpt-small", batch_size=16, test_size=200, eval_size=50,
              base_updates=600, learning_rate=5e-4)  # fmt: skip
NOT_OF_TEXT = ("LF recalibrated (WS)", "autoencoder")
"""A language model has no batch norms; autoencoders of its layers take ten minutes a run."""


def test_every_method_of_chapter_8_is_found_under_its_settings(store):
    held = {record.key for record in store.find("layer-fusion", status="finished")}
    for method in FUSION_METHODS:
        for seed in SEEDS:
            run = LayerFusion.of_method(method, "recorded", seed=seed, **ENWIKI)
            assert store.key(run) in held or method in NOT_OF_TEXT, (method, seed)


def test_the_published_networks_of_chapter_8_are_there(store):
    """By settings, not by key: the pictures were read from a folder that does not ship."""
    found = store.find("layer-fusion", task="cifar10", model="cifar10-resnet20", updates=90)
    runs = {(record.config["method"], record.config["seed"]) for record in found}
    assert runs == {(method, seed) for method in FUSION_METHODS for seed in SEEDS}
    for depth in (32, 44, 56):
        found = store.find("layer-fusion", model=f"cifar10-resnet{depth}", updates=0)
        assert {"none", "LF mean (WS)", "LF mean (random)", "SVD"} <= {
            record.config["method"] for record in found
        }


def test_chapter_8_is_measured_at_shares_of_stored_bytes(store):
    frame = store.scalars(store.find("layer-fusion", method="layer pruning", task="enwiki"))
    shares = frame[(frame["name"] == "stored_share") & (frame["scope"] == "compressible")]
    for _, run in shares[shares["phase"] != "before"].groupby(["key", "phase"]):
        assert run["value"].tolist() == pytest.approx([1, 0.75, 0.5, 0.25], abs=0.01)
    tested = frame[(frame["name"] == "perplexity") & (frame["split"] == "test")]
    assert tested.groupby("phase").size().to_dict() == {"one_shot": 12, "after": 12}


def test_they_are_small_and_hold_no_checkpoints(root: Path):
    files = [f for f in (root / "data" / "records").rglob("*") if f.is_file()]
    assert sum(f.stat().st_size for f in files) < 30 * 2**20
    assert not [f for f in files if "checkpoint" in f.name]


def test_they_name_no_path_and_no_person(root: Path):
    for file in (root / "data" / "records").glob("*/record.json"):
        text = file.read_text(encoding="utf-8")
        assert "/home" not in text and "/root" not in text and "/work" not in text


@pytest.mark.parametrize("experiment", ["zero-shot-pruning", "gradient-dropout"])
def test_distributions_are_on_offer_though_only_one_seed_has_its_arrays(store, experiment):
    from widgets.explorer import ExplorerState

    offered = ExplorerState(experiment, store).offers("figure")
    assert "gradient_distributions" in offered
    assert ("update_distributions" in offered) == (experiment == "gradient-dropout")
