"""Chapter 8's experiment: every method on a tiny encoder, and a convolutional network of blocks."""

import copy
import dataclasses

import numpy as np
import pytest
import torch
from scipy.stats import mannwhitneyu

from workbench.experiments import claims, compressors
from workbench.experiments.compressors import COMPRESSORS, Bytes, Unreachable, distinct_layers
from workbench.experiments.layer_fusion import METHODS, LayerFusion
from workbench.experiments.layer_pairs import (
    activations,
    closest_pairs,
    kinds,
    neighbour_closeness,
    pairs_array,
    similarities,
)
from workbench.methods.layer_fusion import tied_layers
from workbench.methods.storage import stored_bytes
from workbench.observations import Array, Checkpoint, Scalar

SHARES = (0.75, 0.5)
RECONSTRUCTED = ("autoencoder", "student rollout")


@pytest.fixture(autouse=True)
def few_clusters(monkeypatch):
    """Of layers of a thousand weights 256 values are many, and take long to find."""
    monkeypatch.setattr(compressors, "MOST_CLUSTERS", 8)


@pytest.fixture
def experiment(folder):
    def make(method="LF mean (WS)", **changes):
        sizes = dict(model="tiny", shares=SHARES, updates=3, base_updates=3, timed=1, test_size=20)
        sizes |= dict(reconstruction_steps=2, length=16, device="cpu", similarities="none")
        return LayerFusion.of_method(
            method, "smoke", task=f"folder:{folder}", **{**sizes, **changes}
        )

    return make


@pytest.fixture(scope="module")
def begun(folder):
    """A tiny encoder of four layers with its problem, whose layers differ."""
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    config = BertConfig(vocab_size=60, hidden_size=16, num_hidden_layers=4, num_attention_heads=2,
                        intermediate_size=32, max_position_embeddings=16)  # fmt: skip
    return BertModel(config, add_pooling_layer=False).eval()


def scalars(seen, name, **labels):
    return [
        o
        for o in seen
        if isinstance(o, Scalar) and o.name == name and labels.items() <= dict(o.labels).items()
    ]


@pytest.mark.parametrize("method", METHODS)
def test_every_method_reaches_its_share_of_bytes_and_is_measured(experiment, method):
    seen = list(experiment(method).run())
    for phase in ("one_shot", "after"):
        assert [o.step for o in scalars(seen, "accuracy", split="test", phase=phase)] == [0, 1, 2]
        shares = scalars(seen, "stored_share", scope="compressible", phase=phase)
        assert shares[0].value == 1
        for target, measured in zip(SHARES, shares[1:], strict=True):
            limit = 1 if method == "none" else target
            # Ranks and biases of reconstructions are whole numbers beside small layers.
            spare = 0.04 if method in (*RECONSTRUCTED, "SVD") else 0.005
            assert measured.value <= limit + spare
    assert [o.step for o in scalars(seen, "accuracy", phase="before")] == [0, 1, 2]
    assert len(scalars(seen, "train_loss")) == (4 if method in RECONSTRUCTED else 3)
    assert [o.value for o in scalars(seen, "target_share")] == list(SHARES)
    for name in ("multiply_adds", "seconds_per_batch", "layers"):
        assert len(scalars(seen, name)) == 3


@pytest.mark.parametrize("method", ["none", "LF mix (WS)", "layer pruning", "k-means", "SVD",
                                    "student rollout", "layer removal", "LayerDrop"])  # fmt: skip
def test_from_every_checkpoint_the_rest_is_the_same(experiment, measured, method):
    e = experiment(method, timed=0)
    whole = list(e.run())
    places = [i for i, o in enumerate(whole) if isinstance(o, Checkpoint)]
    assert len(places) == 1 + len(SHARES)
    for place in places[:-1]:
        assert measured(e.run(resume=whole[place])) == measured(whole[place + 1 :])


@pytest.mark.parametrize("method", ["LF mean (WS)", "layer pruning", "k-means", "SVD"])
def test_without_updates_nothing_is_retrained(experiment, method):
    seen = list(experiment(method, updates=0).run())
    assert not scalars(seen, "train_loss")
    assert {o.labels["phase"] for o in scalars(seen, "accuracy")} == {"one_shot"}


def test_what_cannot_be_so_small_is_said_and_the_run_goes_on(experiment):
    seen = list(experiment("LF mean (WS)", shares=(0.5, 0.2)).run())
    (said,) = scalars(seen, "unreachable")
    assert (said.step, said.value) == (2, 0.2) and "pairs leave" in said.labels["why"]
    assert [o.step for o in scalars(seen, "accuracy", split="test", phase="after")] == [0, 1]


def test_heatmaps_are_in_the_controls_record_and_pairs_in_those_of_fusion(experiment):
    control = experiment("none", similarities="some", updates=0, shares=(0.75,))
    control = [o for o in control.run() if isinstance(o, Array)]
    fused = [o for o in experiment("LF mean (CA)").run() if isinstance(o, Array)]
    assert {o.name for o in control} == {"similarity"} and {o.name for o in fused} == {"pairs"}
    told = {(o.labels["measure"], o.labels["module"]) for o in control}
    assert ("bures_wasserstein", "query") in told and ("cka", "attention output") in told
    for o in control:
        names = o.labels["names"].split(",")
        assert o.values.shape == (len(names), len(names))
    for o in fused:
        assert o.values.shape[1:] == (2,) and (o.values < len(o.labels["names"].split(","))).all()


def test_only_what_was_fused_retrains(experiment):
    e = experiment(trained="fused", shares=(0.75,))
    first, last = (o for o in e.run() if isinstance(o, Checkpoint))
    moved = {
        name
        for name, array in last.arrays.items()
        if name in first.arrays and not np.array_equal(array, first.arrays[name])
    }
    fused = {pair[0] for pair in last.meta["method"]["pairs"]}
    assert moved and all(any(f"{layer}." in name for layer in fused) for name in moved)


def test_settings_that_cannot_be_are_refused():
    for shares in ((0.5, 0.75), (1.0, 0.5), (0.5, 0.5), (0.0,)):
        with pytest.raises(ValueError, match="must fall"):
            LayerFusion(shares=shares)


@pytest.mark.parametrize(
    "task, model, instead",
    [("enwiki", "resnet20", "gpt-small"), ("mnist5k", "minilm", "resnet20"),
     ("sentiment", "gpt-small", "minilm")],
)  # fmt: skip
def test_a_network_that_cannot_read_the_task_is_refused(task, model, instead):
    with pytest.raises(ValueError, match=f"does not read.*{instead}"):
        LayerFusion(task=task, model=model).problem()


def test_a_network_that_comes_trained_needs_no_training():
    assert not LayerFusion(task="cifar10", model="cifar10-resnet20").requirements()
    assert not LayerFusion(task="wikitext2", model="openai-community/gpt2").requirements()
    assert LayerFusion(task="cifar10", model="resnet20").requirements()
    assert LayerFusion(task="enwiki", model="gpt-small").requirements()


@pytest.mark.parametrize("task, model, rate", [("sentiment", "minilm", 2e-4),
                                               ("mnist5k", "resnet20", 2e-3),
                                               ("enwiki", "gpt-small", 2e-3)])  # fmt: skip
def test_a_pretrained_encoder_is_trained_more_gently(task, model, rate):
    needed = LayerFusion(task=task, model=model).requirements()["whole"]
    assert needed.learning_rate == pytest.approx(rate)


def test_intervals_grow_and_add_up():
    e = LayerFusion(updates=100, growth=2.0, shares=(0.75, 0.5, 0.25))
    assert e.intervals() == (14, 29, 57)
    assert LayerFusion(updates=31, growth=1.0, shares=(0.75, 0.5, 0.25)).intervals() == (10, 11, 10)


# ---- pairs ----


def test_kinds_tell_roles_and_shapes_apart(begun):
    found = kinds(begun)
    assert list(found) == [
        "query", "key", "value", "attention output", "intermediate", "output",
    ]  # fmt: skip
    assert all(len(names) == 4 for names in found.values())
    from workbench.models.convnets import convnet

    found = kinds(convnet("resnet20", 10))
    assert len(found["conv 64x576"]) == 5 and len(found["conv 16x144"]) == 6


def test_kinds_of_gpt2_say_what_its_layers_do():
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(vocab_size=50, n_embd=16, n_layer=3, n_head=4, n_positions=16)
    found = kinds(GPT2LMHeadModel(config))
    assert list(found) == ["query, key, value", "attention output", "intermediate", "output"]
    assert found["output"] == [f"transformer.h.{i}.mlp.c_proj" for i in range(3)]


def test_evenly_takes_of_every_kind_in_turn_and_otherwise_the_closest(begun):
    matrices = similarities(begun, "euclidean")
    evenly = closest_pairs(matrices, "euclidean")
    assert len({pair.kind for pair in evenly[:6]}) == 6 and len(evenly) == 18
    plain = closest_pairs(matrices, "euclidean", evenly=False)
    assert [p.distance for p in plain] == sorted(p.distance for p in plain)
    near = closest_pairs(matrices, "euclidean", neighbours=True)
    assert all(int(p.second.split(".")[2]) - int(p.first.split(".")[2]) == 1 for p in near)


def test_similarities_rank_the_largest_first(begun):
    matrices = similarities(begun, "covariance_cosine")
    (first, *_) = [p for p in closest_pairs(matrices, "covariance_cosine") if p.kind == "query"]
    names, matrix = matrices["query"]
    ((i, j),) = pairs_array([first], names)
    assert matrix[i, j] == np.triu(matrix, 1).max() == pytest.approx(-first.distance)


def test_blind_pairs_depend_on_the_seed_alone(begun):
    one, other = (similarities(begun, "random", seed=s)["query"][1] for s in (1, 2))
    assert np.array_equal(one, similarities(begun, "random", seed=1)["query"][1])
    assert not np.array_equal(one, other) and np.array_equal(one, one.T)


def test_activations_are_the_layers_outputs(begun):
    batch = {"input_ids": torch.arange(5, 17).reshape(2, 6)}
    found = activations(begun, batch)
    seen = []
    layer = begun.encoder.layer[1].output.dense
    handle = layer.register_forward_hook(lambda m, a, out: seen.append(out))
    with torch.no_grad():
        begun(**batch)
    handle.remove()
    assert torch.equal(found["encoder.layer.1.output.dense"], seen[0].flatten(0, 1))


def test_closeness_of_neighbours_is_the_statistic_of_mann_and_whitney():
    rng = np.random.default_rng(0)
    matrix = rng.random((6, 6))
    matrix += matrix.T
    one, other = np.triu_indices(6, 1)
    near, far = (matrix[one, other][m] for m in (other - one == 1, other - one > 1))
    statistic = mannwhitneyu(far, near).statistic / (len(near) * len(far))
    assert neighbour_closeness(matrix, "euclidean") == pytest.approx(statistic)
    assert neighbour_closeness(matrix, "cosine") == pytest.approx(1 - statistic)


# ---- bytes ----


def test_bytes_are_those_of_the_layers_that_may_be_smaller(begun):
    sizes = Bytes(begun)
    linear = sum(
        p.numel() * 4 for n, p in begun.named_parameters() if "encoder" in n and "Norm" not in n
    )
    assert sizes.layers == linear and sizes.total == stored_bytes(begun)
    assert sizes.share(sizes.total) == 1 and sizes.share(sizes.rest) == 0


def test_distinct_layers_counts_fused_ones_once(begun):
    from workbench.methods.layer_fusion import fuse

    model = copy.deepcopy(begun)
    assert distinct_layers(model) == 24
    fuse(
        model,
        [(p.first, p.second) for p in closest_pairs(similarities(model, "euclidean"), "")][:5],
    )
    assert distinct_layers(model) == 24 - 5 and tied_layers(model)


@pytest.mark.parametrize("compression", [name for name in COMPRESSORS if name != "none"])
def test_a_share_of_next_to_nothing_is_unreachable(experiment, begun, compression):
    e = dataclasses.replace(experiment("none"), compression=compression)
    problem = e.problem()
    method = COMPRESSORS[compression](e, problem, problem.network)
    with pytest.raises(Unreachable):
        method.compress(copy.deepcopy(problem.network), 0.001, 1)


# ---- claims ----


def test_claims_pair_networks_and_not_copies_of_one(experiment):
    import pandas as pd

    rows = []
    for model, seeds in (("cifar10-resnet20", (0, 1, 2)), ("cifar10-resnet56", (0,))):
        for seed in seeds:
            for method, value in (("LF mean (WS)", 0.6), ("SVD", 0.5 if "20" in model else 0.4)):
                run = dict(method=method, task="cifar10", model=model, seed=seed, step=2)
                scored = dict(name="accuracy", value=value, split="test", phase="one_shot")
                rows += [{**run, **scored}, {**run, "name": "target_share", "value": 0.5}]
    found = claims.assess(pd.DataFrame(rows), claims.LAYER_FUSION)
    row = found[(found["against"] == "SVD") & (found["quantity"] == "one_shot at 50%")]
    assert len(row) == 1 and row["pairs"].item() == 2
    assert row["mean"].item() == pytest.approx(0.15)


def test_methods_that_no_network_has_in_common_are_not_compared():
    import pandas as pd

    rows = []
    for model, method in (("cifar10-resnet20", "LF mean (WS)"), ("cifar10-resnet56", "SVD")):
        run = dict(method=method, task="cifar10", model=model, seed=0, step=2)
        scored = dict(name="accuracy", value=0.5, split="test", phase="one_shot")
        rows += [{**run, **scored}, {**run, "name": "target_share", "value": 0.5}]
    assert claims.assess(pd.DataFrame(rows), claims.LAYER_FUSION).empty


def test_perplexities_are_compared_as_log_likelihoods():
    import pandas as pd

    rows = []
    for seed in (0, 1, 2):
        for method, value in (("LF mean (WS)", 100.0), ("SVD", 100.0 * np.e**2)):
            run = dict(method=method, task="enwiki", model="gpt-small", seed=seed, step=3)
            scored = dict(name="perplexity", value=value, split="test", phase="after")
            rows += [{**run, **scored}, {**run, "name": "target_share", "value": 0.25}]
    found = claims.assess(pd.DataFrame(rows), claims.LAYER_FUSION)
    assert found["mean"].tolist() == pytest.approx([2.0])
