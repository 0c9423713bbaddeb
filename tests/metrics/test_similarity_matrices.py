"""Matrices of all pairs, the layers of a model, and what is refused."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from torch import nn
from transformers import BertConfig, BertModel, GPT2Config, GPT2Model
from transformers.pytorch_utils import Conv1D

from workbench.metrics import similarity
from workbench.metrics.similarity import MEASURES, layer_groups, layers_of, similarity_matrix

SMALL = dict(vocab_size=50, hidden_size=8, num_attention_heads=2, intermediate_size=16)


@pytest.fixture
def layers() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    return {name: generator.normal(size=(12, 4)) + i for i, name in enumerate("abcd")}


@pytest.mark.parametrize("name", MEASURES)
def test_every_entry_is_the_measure_of_its_pair(layers, name):
    entry = MEASURES[name]
    names, matrix = similarity_matrix(layers, name)
    assert names == ["a", "b", "c", "d"] and matrix.dtype == np.float64
    assert np.array_equal(matrix, matrix.T) == entry.symmetric
    expected = [[entry.function(x, y) for y in layers.values()] for x in layers.values()]
    np.testing.assert_allclose(matrix, expected, rtol=1e-9, atol=1e-9)
    best = 1.0 if entry.kind == "similarity" else 0.0
    np.testing.assert_allclose(matrix.diagonal(), best, atol=1e-12)


def test_options_reach_both_steps(layers):
    a, b = layers["a"], layers["b"]
    for name, options in (
        ("gaussian_kl", dict(means=True, shrinkage=0.2)),
        ("centroid_wasserstein", dict(clusters=3, seed=4, p=1)),
        ("block_covariance", dict(of="bures_wasserstein", block=4, mean=False)),
    ):
        _, matrix = similarity_matrix(layers, name, **options)
        assert matrix[0, 1] == pytest.approx(MEASURES[name].function(a, b, **options), rel=1e-12)
        assert matrix[0, 1] != pytest.approx(MEASURES[name].function(a, b), rel=1e-3)


def test_a_function_of_ones_own_is_taken_at_its_word(layers):
    def first_minus_second(x, y, *, factor=1.0):
        return factor * (x.sum() - y.sum())

    names, matrix = similarity_matrix(layers, first_minus_second, factor=2.0)
    assert np.array_equal(matrix, -matrix.T) and matrix[0, 3] < 0
    by_function = similarity_matrix(layers, similarity.covariance_cosine)[1]
    assert np.array_equal(by_function, similarity_matrix(layers, "covariance_cosine")[1])


def test_a_list_is_named_by_its_places(layers):
    names, matrix = similarity_matrix(list(layers.values()), "euclidean")
    assert names == ["0", "1", "2", "3"]
    assert np.array_equal(matrix, similarity_matrix(layers, "euclidean")[1])


def test_large_layers_are_prepared_once_and_measured_as_pairs_are():
    generator = torch.Generator().manual_seed(0)
    shapes = [(150, 140), (160, 140), (140, 140), (130, 140)]
    layers = {str(s): torch.randn(s, generator=generator).double() for s in shapes}
    _, matrix = similarity_matrix(layers, "bures_wasserstein")
    x, y = list(layers.values())[1:3]
    assert matrix[1, 2] == pytest.approx(similarity.bures_wasserstein(x, y), rel=1e-9)
    assert matrix[1, 2] == pytest.approx(similarity.bures_wasserstein(y, x), rel=1e-7)


def test_layers_of_an_encoder_by_module():
    model = BertModel(BertConfig(num_hidden_layers=3, **SMALL))
    queries = layers_of(model, "query")
    assert list(queries) == [f"encoder.layer.{i}.attention.self.query.weight" for i in range(3)]
    assert all(not weight.requires_grad and weight.shape == (8, 8) for weight in queries.values())
    assert list(layer_groups(model)) == [
        *("query", "key", "value", "attention output", "intermediate", "output"),
    ]
    names, matrix = similarity_matrix(layers_of(model, "output"))
    assert matrix.shape == (3, 3) and (matrix[np.triu_indices(3, 1)] > 0).all()


def test_weights_stored_as_inputs_by_outputs_are_turned_round():
    model = GPT2Model(GPT2Config(vocab_size=50, n_embd=8, n_layer=2, n_head=2, n_inner=24))
    assert isinstance(model.h[0].mlp.c_fc, Conv1D)
    weights = layers_of(model, "mlp.c_fc")
    assert [tuple(w.shape) for w in weights.values()] == [(24, 8), (24, 8)]
    assert torch.equal(weights["h.1.mlp.c_fc.weight"], model.h[1].mlp.c_fc.weight.T)
    up = nn.ConvTranspose2d(3, 5, 2)
    (weight,) = layers_of(up, "ConvTranspose2d 5x12").values()
    assert torch.equal(weight[4].reshape(3, 2, 2), up.weight[:, 4])


def test_networks_without_numbered_layers_are_grouped_by_class_and_shape():
    model = nn.Sequential(
        nn.Conv2d(3, 16, 3), nn.Conv2d(16, 16, 3), nn.BatchNorm2d(16), nn.Conv2d(16, 16, 3)
    ).append(nn.Linear(16, 10))
    groups = layer_groups(model)
    assert list(groups) == ["Conv2d 16x27", "Conv2d 16x144", "Linear 10x16"]
    assert list(groups["Conv2d 16x144"]) == ["1.weight", "3.weight"]
    assert groups["Conv2d 16x144"]["3.weight"].shape == (16, 144)
    named = layers_of(
        model, "odd", rule=lambda name: (int(name[0]), "even odd".split()[int(name[0]) % 2])
    )
    assert list(named) == ["1.weight", "3.weight"]


X, Y = np.random.default_rng(0).normal(size=(2, 5, 6))
REFUSED = [
    (lambda: similarity.bures_wasserstein(X, Y[:, :4]), "6 inputs and one of y has 4; units can"),
    (lambda: similarity.wasserstein(X, Y[:, :4]), 'wasserstein(points="weights") or jensen_sh'),
    (lambda: similarity.log_euclidean(X, Y[:, :4]), "Compare layers of one type"),
    (lambda: similarity.covariance_cosine(X[:1], Y), "x has 1 unit of 6 inputs; at least 2"),
    (lambda: similarity.euclidean(3.0, Y), "x has shape (); it must be (units, inputs)"),
    (lambda: similarity.euclidean(X, np.zeros((0, 6))), "y has shape (0, 6)"),
    (lambda: similarity.euclidean(X, Y[:3]), 'Give unequal="drop" or "sample"'),
    (lambda: similarity.euclidean(X, Y, unequal="pad"), "unequal='pad'; allowed are 'error', 'dr"),
    (
        lambda: similarity.gaussian_kl(X, Y, shrinkage=0),
        "the covariance of x (5 units of 6 inputs) is singular, of rank 4, and shrinkage=0 leaves",
    ),
    (lambda: similarity.affine_invariant(X, Y, shrinkage=2), "shrinkage=2; it must be between"),
    (
        lambda: similarity.affine_invariant(X, np.full((5, 6), 0.1)),
        "all 5 units of y are equal, so their covariance is zero and has no inverse",
    ),
    (
        lambda: similarity.gaussian_jensen_shannon(X, Y, form="exact"),
        "form='exact'; allowed are 'moments' and 'monte-carlo'",
    ),
    (
        lambda: similarity.gaussian_jensen_shannon(X, Y, form="monte-carlo", samples=0),
        "samples=0; at least 1 draw",
    ),
    (lambda: similarity.hellinger(X, Y, of="means"), "of='means'; allowed are 'variances'"),
    (lambda: similarity.jensen_shannon(X, Y, bins=0), "bins=0; at least 1 is needed"),
    (lambda: similarity.wasserstein(X, Y, p=0.5), "p=0.5; the order must be at least 1"),
    (lambda: similarity.wasserstein(X, Y, points="rows"), "points='rows'; allowed are 'units'"),
    (lambda: similarity.sliced_wasserstein(X, Y, directions=0), "directions=0; at least 1"),
    (lambda: similarity.centroid_wasserstein(X, Y, clusters=0), "clusters=0; at least 1"),
    (lambda: similarity.block_covariance(X, Y[:4]), "x is (5, 6) and y is (4, 6)"),
    (lambda: similarity.block_covariance(X, Y, block=1), "block=1; a block needs at least 2"),
    (lambda: similarity.rbf_cka(X, Y, bandwidth=0), "bandwidth=0; it must be positive"),
    (lambda: similarity.procrustes(X, Y[:3]), "x has 5 samples and y has 3; row i"),
    (lambda: similarity_matrix({}), "there are no layers"),
    (lambda: similarity_matrix([X, Y], "bures"), "measure='bures'; allowed are affine_invariant"),
    (
        lambda: similarity_matrix({"q": X, "k": Y[:, :4]}, "hellinger"),
        "layers 'q' (x) and 'k' (y): a unit of x has 6 inputs",
    ),
    (
        lambda: similarity_matrix({"q": X, "k": Y}, "log_euclidean", shrinkage=0),
        "the covariance of layer 'q' (5 units of 6 inputs) is singular",
    ),
    (
        lambda: layers_of(nn.Sequential(nn.Linear(2, 3)), "query"),
        "Sequential has no layers of type 'query'; it has 'Linear 3x2'.",
    ),
]


@pytest.mark.parametrize(("call", "message"), REFUSED, ids=[m[:30] for _, m in REFUSED])
def test_what_is_refused_says_what_to_do(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call()


def test_an_unknown_option_is_refused_with_those_there_are(layers):
    message = "bures_wasserstein has no option 'bins'; it has 'mean', 'squared'."
    with pytest.raises(TypeError, match=re.escape(message)):
        similarity_matrix(layers, "bures_wasserstein", bins=3)
    with pytest.raises(TypeError, match="has no option 'p'; it has none"):
        similarity_matrix(layers, "covariance_cosine", p=3)


def test_the_registry_is_what_the_package_offers():
    assert all(getattr(similarity, name) is MEASURES[name].function for name in MEASURES)
    assert {entry.kind for entry in MEASURES.values()} == {"similarity", "distance"}
    assert all(entry.function.__doc__ for entry in MEASURES.values())
