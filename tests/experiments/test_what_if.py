"""A loaded model is asked again and again, and is the same model after every answer."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
import torch

from workbench import plotting
from workbench.experiments.probe import linear_probe
from workbench.experiments.scoring import CRITERIA, SCOPES
from workbench.experiments.what_if import WhatIf, in_words
from workbench.methods import pruning
from workbench.observations import Progress


@pytest.fixture(scope="module")
def settings(folder):
    return WhatIf.profile("smoke", task=f"folder:{folder}", test_size=20, updates=3)


@pytest.fixture(scope="module")
def loaded(settings):
    return settings.load()


def state(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def value(answer, step, name, **labels):
    rows = answer.scalars[(answer.scalars["name"] == name) & (answer.scalars["step"] == step)]
    for label, wanted in labels.items():
        rows = rows[rows[label] == wanted]
    assert len(rows) == 1
    return rows["value"].iloc[0]


@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize("scope", SCOPES)
def test_every_question_is_answered_and_the_weights_come_back(loaded, criterion, scope):
    before = state(loaded.model)
    answer = loaded.prune(criterion, scope, 0.25)
    assert value(answer, 1, "density", scope="prunable") == pytest.approx(0.25, abs=0.01)
    for name, tensor in loaded.model.state_dict().items():
        assert torch.equal(tensor.view(torch.int32), before[name].view(torch.int32)), name


def test_the_density_is_exact_and_counts_all_parameters_too(loaded):
    answer = loaded.prune("random", "global", 0.1)
    prunable = sum(p.numel() for p in loaded.prunable.values())
    everything = sum(p.numel() for p in loaded.model.parameters())
    kept = round(0.1 * prunable)
    assert value(answer, 1, "density", scope="prunable") == kept / prunable
    share = (everything - prunable + kept) / everything
    assert value(answer, 1, "density", scope="all") == pytest.approx(share)
    assert value(answer, 0, "density", scope="prunable") == 1


def test_scores_are_made_once_and_few_are_kept(settings, monkeypatch):
    loaded = settings.load()
    called = []
    original = pruning.gradient
    monkeypatch.setattr(
        pruning, "gradient", lambda *a: called.append(1) or original(*a), raising=False
    )
    for density in (0.5, 0.2):
        loaded.prune("gradient", "layer", density)
    assert called == [1]
    for criterion in ("magnitude", "random", "taylor", "snip"):
        loaded.scores(criterion)
    assert "gradient" not in loaded._scores and len(loaded._scores) == 4


def test_all_weights_are_the_dense_model(loaded):
    answer = loaded.prune("magnitude", "layer", 1.0)
    for name in ("accuracy", "weight_norm", "density", "bytes", "multiply_adds"):
        rows = answer.scalars[answer.scalars["name"] == name]
        one, two = (rows[rows["step"] == step]["value"].to_numpy() for step in (0, 1))
        np.testing.assert_array_equal(one, two)
    assert value(answer, 1, "agreement", split="test") == 1


def test_the_bytes_are_those_of_a_saved_file(loaded, tmp_path):
    answer = loaded.prune("magnitude", "global", 0.3)
    with loaded.pruned(loaded.masks("magnitude", "global", 0.3)) as model:
        path = pruning.save_sparse(model, tmp_path / "small.safetensors")
    header = int.from_bytes(path.read_bytes()[:8], "little") + 8
    size = value(answer, 1, "bytes", form="sparse")
    # An entry that would save less than its own header is stored as it is.
    assert abs(path.stat().st_size - header - size) <= 128 * len(loaded.prunable)


def test_the_figures_of_the_records_draw_an_answer(loaded):
    answer = loaded.prune("magnitude", "global", 0.1)
    for name in ("layer_density", "weight_norms"):
        assert plotting.figure(name, answer.scalars).axes
        assert "magnitude, global at 10%" in plotting.alt_text(name, answer.scalars)
    assert plotting.figure("weight_distributions", answer.histograms).axes
    drawn = plotting.figure("before_after", answer.scalars, phase="before", metric=answer.metric)
    assert "test" in drawn.axes[0].get_xlabel()


def test_the_histograms_count_what_is_left(loaded):
    answer = loaded.prune("magnitude", "global", 0.1)
    counts = answer.histograms.groupby("step")["count"].sum()
    assert counts[1] == round(0.1 * counts[0])


def test_a_question_that_is_dropped_leaves_the_dense_weights(loaded):
    before = state(loaded.model)
    steps = loaded.pruning("magnitude", "global", 0.1)
    while not isinstance(step := next(steps), Progress) or step.done < 2:
        pass
    assert int((loaded.prunable[next(iter(loaded.prunable))] == 0).sum()) > 0
    steps.close()
    assert all(torch.equal(t, before[n]) for n, t in loaded.model.state_dict().items())


def test_a_probe_learns_what_the_encoder_tells_apart(loaded):
    answer = loaded.prune("magnitude", "layer", 0.5)
    assert "linear probe (no fine-tuned classifier)" in answer.about
    assert "20 test texts" in answer.about
    assert value(answer, 0, "accuracy") >= 0.5


@pytest.mark.parametrize("held", [(0, 1), (0, 2), (0, 1, 2), (1,)])
def test_a_probe_separates_what_is_separable_and_never_names_a_class_it_never_saw(held):
    rng = np.random.default_rng(0)
    labels = np.array(held)[np.arange(60) % len(held)]
    hidden = 5 + rng.normal(size=(60, 4)).astype("float32")
    hidden[:, 0] += 8 * labels
    hidden[:, 3] = 1.0  # a unit that never changes
    weight, bias = linear_probe(hidden, labels, 3)
    assert weight.shape == (3, 4) and weight.dtype == np.float32
    predicted = (hidden @ weight.T + bias).argmax(1)
    assert (predicted == labels).mean() > 0.85


def test_a_probe_of_values_is_a_line():
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(200, 3)).astype("float32")
    weight, bias = linear_probe(hidden, hidden @ [1.0, 2.0, 0.0] + 3, 1)
    assert (
        weight.shape == (1, 3) and np.corrcoef(hidden @ weight[0], hidden @ [1, 2, 0])[0, 1] > 0.99
    )
    assert bias[0] == pytest.approx(3, abs=0.2)


def test_a_fine_tuned_head_says_so(settings):
    tuned = dataclasses.replace(settings, head="fine-tuned")
    assert set(tuned.requirements()) == {"tuned"} and settings.requirements() == {}
    loaded = tuned.load()
    assert "fine-tuned for 3 updates" in loaded.about
    *_, checkpoint = (o for o in tuned.fine_tuning().run() if hasattr(o, "arrays"))
    again = tuned.load(checkpoint)
    assert all(torch.equal(t, again.dense[n]) for n, t in loaded.dense.items())


def test_a_model_of_ones_own_comes_from_a_folder(settings, tmp_path):
    from workbench import models

    model, tokenizer = models.load_encoder("tiny")
    with torch.no_grad():
        next(model.parameters()).add_(1.0)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    loaded = dataclasses.replace(settings, model=str(tmp_path)).load()
    assert loaded.prune("lamp", "global", 0.5).scalars["value"].notna().all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(model="/no/such/folder"), "no folder '/no/such/folder'"),
        (dict(model="minilmm"), "Did you mean 'minilm'"),
        (dict(task="sentimant"), "task='sentimant' is unknown; allowed: sentiment"),
    ],
)
def test_what_cannot_be_loaded_is_said_with_the_way_out(settings, changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(settings, **changes).load()


def test_what_a_source_says_is_said_and_other_errors_stay_what_they_are():
    from workbench.sources.errors import NoNetwork

    with pytest.raises(ValueError, match="no network; try again"), in_words():
        raise NoNetwork("no network; try again")
    with pytest.raises(RuntimeError, match="out of memory"), in_words():
        raise RuntimeError("out of memory")


@pytest.mark.parametrize(
    ("question", "message"),
    [
        (("magnitud", "global", 0.1), "criterion = 'magnitud' is not one of random, magnitude"),
        (("magnitude", "everywhere", 0.1), "scope = 'everywhere' is not one of layer, global"),
        (("magnitude", "global", 0.0), r"density must be a number in \(0, 1\]"),
        (("magnitude", "row", 0.001), "keeps no weight of any row"),
    ],
)
def test_what_cannot_be_asked_is_said(loaded, question, message):
    with pytest.raises(ValueError, match=message):
        loaded.prune(*question)


def test_importing_it_loads_nothing_heavy(root):
    code = (
        "import sys, workbench.experiments.what_if; "
        "print([m for m in ('torch', 'pandas', 'sklearn', 'transformers') if m in sys.modules])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=root, check=True, capture_output=True, text=True
    )
    assert run.stdout.strip() == "[]"
