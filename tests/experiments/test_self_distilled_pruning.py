"""Chapter 11's experiment on a tiny encoder and a task of two hundred made-up sentences."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from workbench.experiments.self_distilled_pruning import METHODS, SelfDistilledPruning
from workbench.observations import Array, Checkpoint, Scalar
from workbench.records import Store

PER_STEP = {"accuracy", "f1", "matthews", "calibration_error", "agreement", "density", "cka", "snr",
            "silhouette", "fisher_ratio", "nearest_centroid", "mutual_information", "weight_norm",
            "gradient_norm", "layer_density", "loss_term"}  # fmt: skip
ARRAYS = {"projection", "weight_histogram", "weight_edges", "gradient_histogram", "gradient_edges"}


@pytest.fixture
def experiment(folder):
    def make(method="SDP-CC", **changes):
        sizes = dict(pruning_steps=3, updates=3, test_size=20, projections="all")
        return SelfDistilledPruning.of_method(
            method, "smoke", task=f"folder:{folder}", device="cpu", **{**sizes, **changes}
        )

    return make


@pytest.mark.parametrize("method", METHODS)
def test_every_method_yields_what_the_figures_need(experiment, method):
    seen = list(experiment(method, pruning_steps=2, updates=1).run())
    for step in range(3):
        assert {o.name for o in seen if isinstance(o, Scalar) and o.step == step} >= PER_STEP
        assert {o.name for o in seen if isinstance(o, Array) and o.step == step} >= ARRAYS
    density = {o.step: o.value for o in seen if isinstance(o, Scalar) and o.name == "density"
               and o.labels["scope"] == "prunable"}  # fmt: skip
    targets = (1.0, 0.05**0.5, 0.05) if method != "none" else (1.0, 1.0, 1.0)
    assert [density[k] for k in range(3)] == pytest.approx(targets, abs=2e-3)
    phases = {o.labels["phase"] for o in seen if getattr(o, "name", "") == "accuracy" and o.step}
    assert phases == {"before", "after"}


def test_terms_of_the_loss_are_those_of_the_method(experiment):
    def terms(method):
        run = experiment(method, pruning_steps=1, updates=1).run()
        return {o.labels["term"] for o in run if getattr(o, "name", "") == "loss_term"}

    assert terms("magnitude") == {"task"}
    assert terms("SDP-KLD") == {"task", "teacher"}
    assert terms("SDP-COS") == {"task", "representation"}
    assert terms("SDP-CC") == {"task", "teacher", "representation"}


def test_pruned_weights_stay_pruned_and_the_teacher_and_embeddings_do_not_move(experiment):
    e = experiment("SDP-KLD", pruning_steps=3, updates=4, weight_decay=0.1)
    checkpoints = [o for o in e.run() if isinstance(o, Checkpoint)]
    masks = [
        {n[6:]: m for n, m in c.arrays.items() if n.startswith("masks/")} for c in checkpoints[1:]
    ]
    for before, after in zip(masks, masks[1:], strict=False):
        assert all(not (after[name] & ~before[name]).any() for name in after)
    for checkpoint, kept in zip(checkpoints[1:], masks, strict=True):
        for name, mask in kept.items():
            assert not checkpoint.arrays[f"model/{name}"][~mask].any()
    assert not any("embeddings.word" in name for name in checkpoints[-1].arrays)


@pytest.mark.parametrize("every", [0, 1])
def test_from_every_checkpoint_the_rest_is_the_same_bit_for_bit(experiment, measured, every):
    e = experiment("SDP-CC", checkpoint_every=every)
    whole = list(e.run())
    places = [i for i, o in enumerate(whole) if isinstance(o, Checkpoint)]
    assert len(places) == (4 if not every else 4 + 3 * 2)
    for place in places[:-1]:
        rest = list(e.run(resume=whole[place]))
        assert measured(rest) == measured(whole[place + 1 :])


def test_a_run_does_not_depend_on_what_the_process_did_before(experiment, measured):
    import torch

    first = measured(experiment("random", pruning_steps=1).run())
    torch.rand(17)
    assert measured(experiment("random", pruning_steps=1).run()) == first
    assert measured(experiment("random", pruning_steps=1, seed=1).run()) != first


def test_killed_at_any_moment_the_record_ends_the_same(experiment, tmp_path):
    e = experiment("SDP-CC", pruning_steps=3, updates=3, checkpoint_every=1)
    script = (
        "import sys, json\n"
        "from workbench.records import Store\n"
        "from workbench.experiments.self_distilled_pruning import SelfDistilledPruning\n"
        "Store(sys.argv[1]).collect(SelfDistilledPruning(**json.loads(sys.argv[2])))\n"
    )
    killed, whole = Store(tmp_path / "killed"), Store(tmp_path / "whole")
    folder = tmp_path / "killed" / killed.key(e)
    command = [sys.executable, "-c", script, str(tmp_path / "killed"), json.dumps(e.config())]
    child = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})
    deadline = time.monotonic() + 120
    while not (folder / "checkpoint.safetensors").exists():
        assert time.monotonic() < deadline and child.poll() in (None, 0)
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait()
    a, b = killed.collect(e), whole.collect(e)
    assert a.status == b.status == "finished"
    columns = [c for c in b.scalars().columns if c != "seconds"]
    order = ["step", "name", *sorted(set(columns) - {"step", "name", "value"})]
    frames = [r.scalars()[columns].sort_values(order).reset_index(drop=True) for r in (a, b)]
    pd.testing.assert_frame_equal(*frames, check_exact=True)
    for ours, theirs in zip(a.arrays(), b.arrays(), strict=True):
        assert (ours.name, ours.step) == (theirs.name, theirs.step)
        assert np.array_equal(ours.values, theirs.values)


def test_the_teacher_is_a_record_of_its_own_and_reused(experiment, tmp_path):
    store = Store(tmp_path)
    store.collect(experiment("magnitude", pruning_steps=1))
    store.collect(experiment("SDP-KLD", pruning_steps=1))
    assert len(store.find("fine-tuning")) == 1
    assert store.find("fine-tuning")[0].checkpoint() is not None
    assert store.find("self-distilled-pruning")[0].checkpoint() is None


def test_regression_has_spearman_and_no_classes(folder, tmp_path):
    for split in ("train", "validation", "test"):
        lines = ["text,label", *(f"word{i % 7} number {i} {split},{i % 7}.5" for i in range(40))]
        (tmp_path / f"{split}.csv").write_text("\n".join(lines) + "\n")
    e = SelfDistilledPruning.of_method(
        "SDP-CC", "smoke", task=f"folder:{tmp_path}", pruning_steps=1, updates=1
    )
    names = {o.name for o in e.run() if isinstance(o, Scalar)}
    assert {"spearman", "pearson", "cka"} <= names and not {"accuracy", "snr"} & names


def test_nan_weights_are_refused_with_their_name(experiment):
    e = experiment("magnitude", pruning_steps=1)
    teacher = [o for o in e.requirements()["teacher"].run() if isinstance(o, Checkpoint)][-1]
    arrays = {n: a.copy() for n, a in teacher.arrays.items()}
    broken = next(n for n in arrays if "attention.self.query.weight" in n)
    arrays[broken][0, 0] = np.nan
    with pytest.raises(ValueError, match="(?i)nan"):
        list(e.run(teacher=dataclasses.replace(teacher, arrays=arrays)))
