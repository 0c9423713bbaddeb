"""Chapter 9's experiment on a tiny encoder, a made-up task and made-up translations."""

import dataclasses

import numpy as np
import pytest

from workbench.experiments import languages
from workbench.experiments.zero_shot_pruning import METHODS, ZeroShotPruning
from workbench.observations import Checkpoint, Scalar

PER_STEP = {"accuracy", "f1", "density", "cka", "snr", "silhouette", "weight_norm", "gradient_norm",
            "layer_density", "loss_term", "pretrained_distance", "retrieval"}  # fmt: skip


@pytest.fixture
def translated(monkeypatch):
    """Two languages that say the same in words that the tiny tokenizer reads."""
    from workbench import models
    from workbench.experiments.inputs import Encoded

    _, tokenizer = models.load_encoder("tiny")
    words = [f"text number {i}" for i in range(5)]
    columns = tokenizer(words + [w + " too" for w in words])
    tokens = [{name: columns[name][i] for name in columns} for i in range(10)]
    texts = Encoded(tokens, np.zeros(10), np.array(["en"] * 5 + ["xx"] * 5), {"input_ids": 0})
    monkeypatch.setattr(languages, "parallel_texts", lambda model, size: texts)


@pytest.fixture
def experiment(folder, translated):
    def make(method="magnitude", **changes):
        sizes = dict(pruning_steps=2, updates=2, test_size=20, projections="none")
        return ZeroShotPruning.of_method(
            method, "smoke", task=f"folder:{folder}", device="cpu", **{**sizes, **changes}
        )

    return make


def scalars(seen, name):
    return [o for o in seen if isinstance(o, Scalar) and o.name == name]


@pytest.mark.parametrize("method", METHODS)
def test_every_method_is_pruned_to_its_density_and_measured(experiment, method):
    seen = list(experiment(method).run())
    for step in range(3):
        assert {o.name for o in seen if isinstance(o, Scalar) and o.step == step} >= PER_STEP
    density = [o.value for o in scalars(seen, "density") if o.labels["scope"] == "prunable"]
    targets = (1.0, 0.1**0.5, 0.1) if method != "none" else (1.0, 1.0, 1.0)
    # Wanda rounds in every row of a tiny network.
    assert density == pytest.approx(targets, abs=2e-2 if method == "Wanda" else 2e-3)
    assert {o.labels["language"] for o in scalars(seen, "retrieval")} == {"xx"}


@pytest.mark.parametrize("method", [m for m, f in METHODS.items() if f["regulariser"] != "none"])
def test_the_regulariser_is_a_term_of_the_loss(experiment, method):
    seen = list(experiment(method).run())
    assert {o.labels["term"] for o in scalars(seen, "loss_term")} == {
        "task", METHODS[method]["regulariser"],
    }  # fmt: skip


def test_at_the_pretrained_weights_there_is_no_distance(experiment):
    e = experiment("none", teacher_learning_rate=0.0, learning_rate=0.0)
    for o in scalars(e.run(), "pretrained_distance"):
        assert o.value == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("form", ["cosine", "frobenius"])
def test_a_strong_regulariser_keeps_the_weights_near(experiment, form):
    def distance(method, **changes):
        e = experiment(method, updates=8, learning_rate=1e-2, **changes)
        last = [o for o in scalars(e.run(), "pretrained_distance") if o.labels["form"] == form]
        return last[-1].value

    name = {"cosine": "Cosine-MBP", "frobenius": "Frobenius-MBP"}
    assert distance(name[form], regulariser_weight=100.0) < 0.9 * distance("magnitude")


@pytest.mark.parametrize("method", ["movement", "L0", "Cosine-MBP"])
def test_from_every_checkpoint_the_rest_is_the_same(experiment, measured, method):
    e = experiment(method, checkpoint_every=1)
    whole = list(e.run())
    places = [i for i, o in enumerate(whole) if isinstance(o, Checkpoint)]
    for place in places[:-1]:
        assert measured(e.run(resume=whole[place])) == measured(whole[place + 1 :])


def test_rewinding_puts_the_fine_tuned_weights_back(experiment):
    e = experiment("magnitude", retraining="rewind", updates=0)
    teacher = [o for o in e.requirements()["teacher"].run() if isinstance(o, Checkpoint)][-1]
    last = [o for o in e.run(teacher=teacher) if isinstance(o, Checkpoint)][-1]
    for name, array in teacher.arrays.items():
        now = last.arrays[name]
        assert ((now == array) | (now == 0)).all()


def test_fine_tuning_keeps_a_low_and_constant_rate(experiment):
    from workbench.experiments.zero_shot_run import FINE_TUNED, ZeroShotRun

    e = experiment("magnitude", retraining="fine-tune", updates=5)
    teacher = [o for o in e.requirements()["teacher"].run() if isinstance(o, Checkpoint)][-1]
    inputs, model = e.inputs()
    tuned = {n.removeprefix("model/"): a for n, a in teacher.arrays.items()}
    phase = ZeroShotRun(e, inputs, model, tuned).phase(1)
    rates = [phase.optimizer.param_groups[0]["lr"] for _ in phase.updates()]
    assert rates == pytest.approx([FINE_TUNED * e.learning_rate] * 5)


def test_another_weight_of_a_regulariser_has_a_name_of_its_own():
    e = ZeroShotPruning.of_method("Cosine-MBP", "smoke")
    assert e.method == "Cosine-MBP"
    assert dataclasses.replace(e, regulariser_weight=0.25).method == "Cosine-MBP (\u03bb = 0.25)"
    assert dataclasses.replace(e, scope="global").method == "global-wise magnitude + cosine"


def test_nan_weights_are_refused(experiment):
    e = experiment("LAMP")
    teacher = [o for o in e.requirements()["teacher"].run() if isinstance(o, Checkpoint)][-1]
    arrays = {n: a.copy() for n, a in teacher.arrays.items()}
    broken = next(n for n in arrays if "attention.self.query.weight" in n)
    arrays[broken][0, 0] = np.nan
    with pytest.raises(ValueError, match="(?i)nan"):
        list(e.run(teacher=dataclasses.replace(teacher, arrays=arrays)))


@pytest.mark.data
def test_the_parallel_texts_are_translations():
    texts = languages.parallel_texts("tiny", 6)
    assert len(texts) == 14 * 6
    assert texts.subsets.tolist()[:6] == ["en"] * 6
    assert len(set(texts.subsets.tolist())) == 14
