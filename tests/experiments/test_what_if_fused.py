"""A loaded network is fused in copies, and is the same network after every answer."""

import copy
import dataclasses
import subprocess
import sys

import numpy as np
import pytest
import torch

from workbench.experiments.compressors import distinct_layers
from workbench.experiments.what_if_fused import WhatIfFused, fitting
from workbench.experiments.what_if_fused_answer import Answer, Similarity, joined
from workbench.methods import layer_fusion
from workbench.methods.storage import stored_bytes
from workbench.metrics.similarity import similarity_matrix
from workbench.observations import Progress


@pytest.fixture(scope="module")
def settings(folder):
    return WhatIfFused.profile(
        "smoke", task=f"folder:{folder}", model="tiny", length=16, base_updates=3
    )


@pytest.fixture(scope="module")
def loaded(settings):
    return settings.load()


@pytest.fixture(scope="module")
def deeper(settings):
    """One with four layers, so that there are several pairs of every type."""
    from workbench.experiments.what_if_fused_model import LoadedNetwork

    problem = settings.problem()
    layers = problem.network.get_submodule("encoder.encoder.layer")
    for _ in range(2):
        layers.extend([copy.deepcopy(layers[-1])])
        with torch.no_grad():
            for parameter in layers[-1].parameters():
                parameter.add_(0.05 * torch.randn_like(parameter))
    network = LoadedNetwork(settings, problem)
    network.measure_whole()
    network.time_whole()
    return network


def bits(network):
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def name(loaded, kind, place):
    return loaded.kinds[kind][place]


@pytest.mark.parametrize("how", ["mean", "freeze", "mix", "transport"])
def test_an_answer_is_what_fusing_a_copy_gives_and_the_network_stays(deeper, how):
    before = bits(deeper.network)
    pairs = [(name(deeper, "query", 0), name(deeper, "query", 2))]
    answer = deeper.fuse(pairs, how, module="query")
    small = layer_fusion.fuse(copy.deepcopy(deeper.network), pairs, how, seed=deeper._mixing())
    assert answer.complete and answer.groups == (pairs[0],)
    assert answer.fused.stored == stored_bytes(small) < answer.whole.stored
    assert answer.whole.stored == stored_bytes(deeper.network)
    assert answer.fused.layers == distinct_layers(small) == answer.whole.layers - 1
    assert answer.fused.score == deeper.problem.evaluate(small, "test")
    weights = layer_fusion.layer_weights(small)
    _, matrix = similarity_matrix({n: weights[n] for n in answer.after.names}, "bures_wasserstein")
    np.testing.assert_allclose(answer.after.matrix, matrix)
    assert answer.after.matrix[0, 2] == pytest.approx(0, abs=1e-6)
    assert layer_fusion.tied_layers(deeper.network) == []
    for key, tensor in deeper.network.state_dict().items():
        assert torch.equal(tensor, before[key]), key


def test_the_share_is_of_the_layers_that_may_be_fused(deeper):
    names = deeper.kinds["query"]
    answer = deeper.fuse(list(zip(names, names[1:], strict=False)), module="query")
    layers = layer_fusion.fusible_layers(deeper.network)
    sizes = {n: sum(p.numel() for p in x.parameters.values()) for n, x in layers.items()}
    gone = sum(sizes[n] for n in names[1:])
    assert answer.fused.share == pytest.approx(1 - gone / sum(sizes.values()))
    assert answer.whole.share == 1


def test_the_closest_pairs_are_those_of_the_matrix(deeper):
    similar = deeper.similarity("bures_wasserstein", "key")
    far = np.where(np.triu(np.ones_like(similar.matrix), 1) > 0, similar.matrix, np.inf)
    i, j = np.unravel_index(far.argmin(), far.shape)
    (pair,) = deeper.fuse(1, module="key").pairs
    assert pair[:3] == (similar.names[i], similar.names[j], "key")
    assert pair.distance == pytest.approx(far.min())


def test_pairs_are_sought_in_one_type_in_every_type_alike_or_in_all_at_once(deeper):
    count = len(deeper.kinds)
    assert deeper.most("key", "one") == 3 and deeper.most("key", "closest") == 3 * count
    assert {p.kind for p in deeper.fuse(2, module="key").pairs} == {"key"}
    even = deeper.fuse(count, among="evenly").pairs
    assert {p.kind for p in even} == deeper.kinds.keys()
    closest = deeper.fuse(3, among="closest").pairs
    assert [p.distance for p in closest] == sorted(p.distance for p in closest)
    near = deeper.fuse(3, module="query", neighbours=True).pairs
    places = deeper.kinds["query"]
    assert all(places.index(p.second) - places.index(p.first) == 1 for p in near)


def test_more_pairs_than_there_are_is_all_of_them(loaded):
    assert len(loaded.fuse(10**4, among="evenly").pairs) == loaded.most("", "evenly")


def test_no_pair_is_the_whole_network(loaded):
    answer = loaded.fuse(0)
    assert answer.fused == answer.whole and answer.before is answer.after
    assert "No pair is chosen" in answer.sentence


def test_layers_are_compared_once(loaded, monkeypatch):
    from workbench.experiments import what_if_fused_model

    first = loaded.similarity("euclidean", "value")
    monkeypatch.setattr(what_if_fused_model.similarity, "similarity_matrix", None)
    assert loaded.similarity("euclidean", "value") is first


@pytest.mark.parametrize("measure", ["wasserstein", "cosine", "cka", "block_covariance"])
def test_every_kind_of_measure_gives_the_matrix_of_its_own(deeper, measure):
    from workbench.experiments.layer_pairs import activations

    found = deeper.similarity(measure, "query")
    layers = (
        activations(deeper.network, deeper._batch)
        if measure == "cka"
        else layer_fusion.layer_weights(deeper.network)
    )
    names, matrix = similarity_matrix({n: layers[n] for n in found.names}, measure)
    assert list(found.names) == names and found.larger_is_closer == (measure != "wasserstein")
    np.testing.assert_allclose(found.matrix, matrix, rtol=1e-5)


def test_slow_measures_can_be_dropped_between_two_pairs(deeper):
    steps = deeper.comparing("wasserstein", "output")
    said = [next(steps) for _ in range(3)]
    assert all(isinstance(step, Progress) for step in said) and said[-1].total == 6
    steps.close()


def test_what_is_known_comes_first(loaded):
    seen = [s for s in loaded.fusing(1) if not isinstance(s, Progress)]
    assert isinstance(seen[0], Similarity)
    sizes, scored = (s for s in seen[1:] if isinstance(s, Answer))
    assert sizes.fused.score is None and "before" not in sizes.sentence
    assert scored.fused.score is not None and not scored.complete


def test_the_network_says_how_it_was_trained(settings, loaded):
    assert "trained for 3 updates" in loaded.about and "32 test texts" in loaded.fuse(1).tested
    *_, checkpoint = (o for o in settings.requirements()["whole"].run() if hasattr(o, "arrays"))
    again = settings.load(checkpoint)
    for key, tensor in loaded.network.state_dict().items():
        assert torch.equal(tensor, again.network.state_dict()[key]), key


@pytest.mark.parametrize(
    ("question", "message"),
    [
        (dict(pairs=1, measure="random"), "measure = 'random' is not one of euclidean"),
        (dict(pairs=1, module="wings"), "module = 'wings' is no type of layer of tiny.*query, key"),
        (dict(pairs=1, how="glue"), "how must be one of"),
        (dict(pairs=["ab"]), "a pair is two layers by name"),
        (dict(pairs=[("query", "nowhere")]), "tiny has no layer 'query'"),
    ],
)
def test_what_cannot_be_asked_is_said(loaded, question, message):
    with pytest.raises(ValueError, match=message):
        loaded.fuse(**question)


def test_layers_of_different_types_are_refused_by_name(loaded):
    one, other = name(loaded, "query", 0), name(loaded, "output", 1)
    with pytest.raises(ValueError, match="type query.*of type output; only layers of one type"):
        loaded.fuse([(one, other)])
    with pytest.raises(ValueError, match="cannot be fused with itself"):
        loaded.fuse([(one, one)])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(model="/no/such/folder"), "no folder '/no/such/folder'"),
        (dict(task="sentimant"), "task='sentimant' is unknown; allowed: sentiment"),
        (dict(model="resnet8"), "does not read texts to classify"),
    ],
)
def test_what_cannot_be_loaded_is_said_with_the_way_out(settings, changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(settings, **changes).load()


def test_networks_that_fit_a_task_are_of_its_kind():
    assert fitting("sentiment") == fitting("folder:/mine") and "minilm" in fitting("topics")
    assert "gpt-tiny" in fitting("enwiki") and "resnet8" in fitting("mnist5k")
    assert "cifar10-resnet20" in fitting("cifar10") and "cifar10-resnet20" not in fitting("mnist5k")


def test_pairs_that_share_a_layer_are_one_group():
    groups = joined([("a", "b"), ("c", "d"), ("b", "c"), ("x", "y")])
    assert sorted(map(sorted, groups)) == [["a", "b", "c", "d"], ["x", "y"]]


def test_importing_it_loads_nothing_heavy(root):
    code = (
        "import sys, workbench.experiments.what_if_fused; "
        "print([m for m in ('torch', 'pandas', 'sklearn', 'transformers') if m in sys.modules])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=root, check=True, capture_output=True, text=True
    )
    assert run.stdout.strip() == "[]"
