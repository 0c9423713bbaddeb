"""Chapter 10's experiment on a tiny encoder and a made-up task."""

import dataclasses

import numpy as np
import pytest

from workbench.experiments.claims import GRADIENT_DROPOUT, assess
from workbench.experiments.gradient_dropout import METHODS, GradientDropoutTuning
from workbench.observations import Array, Checkpoint, Scalar

FROZEN = ("head only", "LoRA", "IA3")


@pytest.fixture
def experiment(folder):
    def make(method="GradDrop", **changes):
        sizes = dict(train_size=20, eval_size=8, test_size=20, epochs=3, batch_size=8)
        return GradientDropoutTuning.of_method(
            method, "smoke", task=f"folder:{folder}", device="cpu", **{**sizes, **changes}
        )

    return make


def scalars(seen, name, **labels):
    return [
        o
        for o in seen
        if isinstance(o, Scalar)
        and o.name == name
        and all(o.labels[k] == v for k, v in labels.items())
    ]


def arrays(seen, name):
    return [o for o in seen if isinstance(o, Array) and o.name == name]


@pytest.mark.parametrize("method", METHODS)
def test_every_method_is_measured_after_every_epoch(experiment, method):
    seen = list(experiment(method).run())
    for epoch in range(4):
        names = {o.name for o in seen if isinstance(o, Scalar) and o.step == epoch}
        assert names >= {"accuracy", "calibration_error"}
        assert ("updated" in names) == ("kept_share" in names) == (epoch > 0)
        assert ("gradient_norm" in names) == (epoch in (0, 2, 3))
        assert ("distance" in names) == (epoch in (2, 3))
    assert len(scalars(seen, "sharpness")) == 1 and scalars(seen, "sharpness")[0].step == 3
    assert len(scalars(seen, "train_loss")) == 9
    (whole,) = scalars(seen, "parameters", scope="all")
    (trained,) = scalars(seen, "parameters", scope="trained")
    assert (trained.value < 0.2 * whole.value) == (method in FROZEN)
    moved = [o.value for o in scalars(seen, "distance")]
    assert (max(moved) == 0) == (method == "head only")
    masks = arrays(seen, "mask")
    dropped = METHODS[method]["tuning"] == "gradient dropout"
    assert len(masks) == (3 if dropped else 0)


def test_what_is_kept_is_the_rate_of_the_schedule(experiment):
    def kept(method, **changes):
        return [o.value for o in scalars(experiment(method, **changes).run(), "kept_share")]

    assert kept("GradDrop", p=0.5) == pytest.approx([0.5] * 3, abs=0.02)
    assert kept("Anneal-GradDrop") == pytest.approx([0.1, 0.1 + 1 / 3, 0.1 + 2 / 3], abs=0.02)
    assert kept("GradDrop-Epoch") == pytest.approx([1 / 3, 2 / 3, 1], abs=0.02)
    assert kept("GradDrop-Epoch-Toggle") == pytest.approx([1 / 3] * 3, abs=0.02)
    assert kept("standard") == [1.0] * 3


def test_with_mask_update_only_what_is_kept_moves(experiment):
    """In the first epoch of GradDrop-Epoch a third of the layers' parameters may move."""

    def moved(method):
        e = experiment(method, epochs=3)
        inputs, model = e.inputs()
        inside = sum(p.numel() for n, p in model.named_parameters() if ".layer" in n)
        outside = sum(p.numel() for p in model.parameters() if p.requires_grad) - inside
        first = scalars(e.run(), "updated", scope="epoch")[0].value
        return (first - outside) / inside

    assert moved("GradDrop-Epoch (update)") == pytest.approx(1 / 3, abs=0.02)
    # The decay of weights and Adam's moments move those whose gradient is zero.
    assert moved("GradDrop-Epoch") > 0.9


def test_the_recorded_elements_of_an_epoch_mask_stay_on(experiment):
    masks = np.stack([o.values for o in arrays(experiment("GradDrop-Epoch").run(), "mask")])
    assert masks.shape[0] == 3 and masks.shape[2] == 48
    assert (np.diff(masks, axis=0) >= 0).all() and masks[-1].all()
    toggled = [o.values for o in arrays(experiment("GradDrop-Epoch-Toggle").run(), "mask")]
    assert (np.sum(toggled, axis=0) == 1).all()


def test_the_majority_is_the_score_of_the_most_frequent_class(experiment):
    (share,) = scalars(experiment().run(), "majority_share", split="validation")
    assert share.step == 0 and share.value == pytest.approx(0.5, abs=0.13)


@pytest.mark.parametrize("method", ["GradDrop", "Mixout", "LoRA", "GradDrop-Epoch (update)"])
def test_from_every_checkpoint_the_rest_is_the_same(experiment, measured, method):
    e = experiment(method, checkpoint_every=2, epochs=2)
    whole = list(e.run())
    places = [i for i, o in enumerate(whole) if isinstance(o, Checkpoint)]
    assert len(places) == 3
    for place in places:
        assert measured(e.run(resume=whole[place])) == measured(whole[place + 1 :])


def test_measuring_does_not_change_what_is_trained(experiment):
    def losses(**changes):
        return [o.value for o in scalars(experiment("Mixout", **changes).run(), "train_loss")]

    assert losses() == losses(measured_texts=0)


def test_layer_wise_decay_moves_lower_layers_less(experiment):
    seen = list(experiment("layer-wise decay", layer_decay=0.1, learning_rate=1e-3).run())
    last = {
        (o.labels["layer"], o.labels["module"]): o.value
        for o in scalars(seen, "distance")
        if o.step == 3
    }
    layers = sorted({layer for layer, _ in last})
    assert last[layers[0], "query"] < 0.5 * last[layers[-1], "query"]


def test_names_tell_methods_apart():
    for method in METHODS:
        assert GradientDropoutTuning.of_method(method, "smoke").method == method
    e = GradientDropoutTuning.of_method("GradDrop", "smoke")
    assert dataclasses.replace(e, p=0.5).method == "gradient dropout (element constant, p = 0.5)"
    told = dataclasses.replace(e, schedule="epoch", dropout=0.1, mask="update").method
    assert told == "gradient dropout (element epoch, update, dropout 0.1)"
    lora = GradientDropoutTuning.of_method("LoRA", "smoke")
    assert dataclasses.replace(lora, rank=4).method == "lora (r = 4)"


def test_a_rate_that_does_not_matter_is_not_part_of_the_identity():
    e = GradientDropoutTuning.of_method("GradDrop-Epoch", "smoke")
    assert e.identity() == dataclasses.replace(e, p=0.7).identity()
    e = GradientDropoutTuning.of_method("GradDrop", "smoke")
    assert e.identity() != dataclasses.replace(e, p=0.7).identity()


def frame():
    """Five seeds; GradDrop is one point higher and half as spread, most of all in Turkish."""
    import pandas as pd

    rows = []
    for seed in range(5):
        for method, up, width in (("standard", 0.0, 2.0), ("GradDrop", 0.1, 1.0)):
            for step in (1, 2):
                for language, more in (("en", 0.9), ("de", 0.0), ("tr", 0.05)):
                    gain = up + (more if up else 0.0) * (1 + 0.01 * seed)
                    value = 0.5 + gain + 0.01 * width * (seed - 2) + 0.1 * (step == 1)
                    rows.append(
                        {"method": method, "task": "t", "seed": seed, "step": step, "value": value,
                         "name": "accuracy", "split": "test", "subset": language, "phase": "after"}
                    )  # fmt: skip
    return pd.DataFrame(rows)


def test_claims_are_read_at_the_last_epoch():
    found = assess(frame(), GRADIENT_DROPOUT).set_index("claim")
    final = found.loc["GradDrop ends with a higher zero-shot score than standard fine-tuning."]
    assert final["mean"] == pytest.approx(0.1 + 0.05 / 2 * 1.02, rel=1e-2)
    assert final["verdict"] == "shows" and final["pairs"] == 5
    spread = found.loc["Standard fine-tuning varies more from seed to seed than GradDrop."]
    assert spread["mean"] == pytest.approx(0.012, rel=0.05)
    peak = found.loc[
        "GradDrop keeps more of its best epoch's zero-shot score than standard fine-tuning."
    ]
    assert peak["mean"] == pytest.approx(0, abs=1e-12)
    gain = found.loc["Languages with little pretraining data gain more from GradDrop than others."]
    assert gain["mean"] == pytest.approx(0.05 * 1.02, rel=1e-6) and gain["verdict"] == "shows"
    assert set(found["when"]) == {"after the last epoch"}
    assert set(found["where"]) == {"Table 10.10", "10.4.5", "Figure 10.2", "Figure 10.3"}
