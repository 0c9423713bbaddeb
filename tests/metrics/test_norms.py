"""Norms and histograms of tiny transformers, against torch and numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from transformers import (
    BertConfig,
    BertModel,
    DistilBertConfig,
    DistilBertModel,
    GPT2Config,
    GPT2Model,
    RobertaConfig,
    RobertaModel,
)

from workbench.metrics.norms import (
    MODULES,
    gradient_norms,
    grid,
    histograms,
    layer_weights,
    module_type,
    tensor_histograms,
    tensor_norms,
    weight_norms,
)

SMALL = dict(vocab_size=50, hidden_size=8, num_attention_heads=2, intermediate_size=16)


@pytest.fixture
def bert() -> BertModel:
    torch.manual_seed(0)
    return BertModel(BertConfig(num_hidden_layers=2, **SMALL))


def with_gradients(model: BertModel) -> BertModel:
    model.eval()(torch.arange(10)[None]).last_hidden_state.pow(2).sum().backward()
    return model


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("encoder.layer.3.attention.self.query.weight", (3, "query")),
        ("encoder.encoder.layer.11.attention.self.key.weight", (11, "key")),
        ("roberta.encoder.layer.0.attention.self.value.weight", (0, "value")),
        ("bert.encoder.layer.0.attention.output.dense.weight", (0, "attention output")),
        ("encoder.layer.0.intermediate.dense.weight", (0, "intermediate")),
        ("encoder.layer.0.output.dense.weight", (0, "output")),
        ("transformer.layer.5.attention.q_lin.weight", (5, "query")),
        ("transformer.layer.5.ffn.lin2.weight", (5, "output")),
        ("model.layers.2.self_attn.q_proj.weight", (2, "query")),
        ("h.0.attn.c_attn.weight", (0, "attn.c_attn")),
        ("encoder.layer.0.attention.self.query.bias", (0, "attention.self.query.bias")),
        ("embeddings.word_embeddings.weight", (None, "embeddings.word_embeddings")),
        ("layer1.0.conv1.weight", (None, "layer1.0.conv1")),
        ("classifier.weight", (None, "classifier")),
    ],
)
def test_one_rule_names_layer_and_module(name, place):
    assert module_type(name) == place


@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert"])
def test_encoders_have_six_matrices_a_layer(kind):
    if kind == "bert":
        model = BertModel(BertConfig(num_hidden_layers=2, **SMALL))
    elif kind == "roberta":
        model = RobertaModel(RobertaConfig(num_hidden_layers=2, **SMALL))
    else:
        config = DistilBertConfig(vocab_size=50, dim=8, n_heads=2, hidden_dim=16, n_layers=2)
        model = DistilBertModel(config)
    places = [(norm.layer, norm.module) for norm in weight_norms(model)]
    assert sorted(places) == sorted((layer, module) for layer in (0, 1) for module in MODULES)
    assert grid(model) == ((0, 1), MODULES)


def test_weight_norms_are_frobenius_norms(bert):
    found = {(norm.layer, norm.module): norm.norm for norm in weight_norms(bert)}
    weight = bert.encoder.layer[1].attention.self.key.weight.detach().double()
    assert found[1, "key"] == pytest.approx(float((weight**2).sum().sqrt()), rel=1e-12)
    expected = [float(w.detach().double().norm()) for _, _, w in layer_weights(bert)]
    assert [norm.norm for norm in weight_norms(bert)] == pytest.approx(expected, rel=1e-12)


def test_other_architectures_fall_back_to_their_own_names():
    gpt = GPT2Model(GPT2Config(vocab_size=20, n_positions=8, n_embd=8, n_layer=1, n_head=2))
    modules = [norm.module for norm in weight_norms(gpt)]
    assert modules == ["attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"]
    convolutions = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(2, 3))
    assert [(n.layer, n.module) for n in weight_norms(convolutions)] == [(None, "0"), (None, "2")]
    counts, _ = histograms(convolutions)
    assert counts.shape == (1, 2, 48) and counts.sum() == 18 + 6

    def rule(name: str) -> tuple[int, str]:
        return int(name.split(".")[0]), "any"

    assert [(n.layer, n.module) for n in weight_norms(convolutions, rule=rule)] == [
        (0, "any"),
        (2, "any"),
    ]


def test_gradient_norms_are_those_of_grad(bert):
    with_gradients(bert)
    found = [norm.norm for norm in gradient_norms(bert)]
    expected = [float(w.grad.double().norm()) for _, _, w in layer_weights(bert)]
    assert found == pytest.approx(expected, rel=1e-12) and min(found) > 0


def test_surviving_gradients_leave_out_removed_weights(bert):
    with_gradients(bert)
    weight = bert.encoder.layer[0].attention.self.query.weight
    with torch.no_grad():
        weight[:4] = 0
    found = gradient_norms(bert, surviving=True)[0].norm
    assert found == pytest.approx(float(weight.grad[4:].double().norm()), rel=1e-12)
    assert found < gradient_norms(bert)[0].norm
    bert.encoder.layer[0].attention.self.key.weight.grad = None
    assert gradient_norms(bert)[1].norm == 0.0


def test_histograms_are_those_of_numpy(bert):
    edges = np.linspace(-0.1, 0.1, 21)
    counts, same = histograms(bert, edges=edges)
    assert counts.shape == (2, 6, 20) and counts.dtype == np.int64 and np.array_equal(same, edges)
    for (layer, module), _, weight in layer_weights(bert):
        expected, _ = np.histogram(np.clip(weight.detach().numpy(), -0.1, 0.1), edges)
        assert np.array_equal(counts[layer, MODULES.index(module)], expected)


def test_histogram_edges_span_four_root_mean_squares(bert):
    values = torch.cat([w.detach().double().flatten() for _, _, w in layer_weights(bert)])
    counts, edges = histograms(bert)
    assert edges[-1] == -edges[0] == pytest.approx(4 * float(values.pow(2).mean().sqrt()))
    assert counts.shape == (2, 6, 48) and counts.sum() == len(values)  # nothing is lost


def test_histograms_leave_out_removed_weights_unless_asked(bert):
    with_gradients(bert)
    weight = bert.encoder.layer[0].attention.self.query.weight
    with torch.no_grad():
        weight[:4] = 0
    for what in ("weight", "gradient"):
        assert histograms(bert, what)[0][0, 0].sum() == 32
        assert histograms(bert, what, surviving=False)[0][0, 0].sum() == 64
    with torch.no_grad():
        for _, _, parameter in layer_weights(bert):
            parameter.zero_()
    counts, edges = histograms(bert)
    assert counts.sum() == 0 and np.isfinite(edges).all()


def test_tensors_of_a_models_names_are_measured_like_the_model(bert):
    with_gradients(bert)
    weights = dict(bert.named_parameters())
    gradients = {name: p.grad for name, p in weights.items() if p.grad is not None}
    assert tensor_norms(weights) == weight_norms(bert)
    assert tensor_norms(gradients) == gradient_norms(bert)
    assert grid(weights) == grid(bert)
    with torch.no_grad():
        weights["encoder.layer.0.attention.self.query.weight"][:4] = 0
    for found, expected in (
        (tensor_histograms(weights), histograms(bert, surviving=False)),
        (tensor_histograms(weights, nonzero=True), histograms(bert)),
        (tensor_histograms(gradients), histograms(bert, "gradient", surviving=False)),
    ):
        assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


def test_how_far_the_weights_moved(bert):
    before = {name: p.detach().clone() for name, p in bert.named_parameters()}
    with torch.no_grad():
        bert.encoder.layer[1].output.dense.weight[0, :3] += 2.0
        bert.embeddings.word_embeddings.weight += 1.0  # not of a layer
    moved = {name: p - before[name] for name, p in bert.named_parameters()}
    norms = {(n.layer, n.module): n.norm for n in tensor_norms(moved)}
    assert norms.pop((1, "output")) == pytest.approx(12**0.5) and set(norms.values()) == {0.0}
    counts, edges = tensor_histograms(moved, nonzero=True)
    assert counts.shape == (2, 6, 48) and counts.sum() == counts[1, 5].sum() == 3
    assert edges[-1] == pytest.approx(8.0)  # of what is counted: 4 root-mean-squares of 2
    assert tensor_histograms(moved, edges=edges)[0].sum() == 2 * (4 * 64 + 2 * 128)


def test_half_precision_is_measured(bert):
    expected = [norm.norm for norm in weight_norms(bert)]
    found = [norm.norm for norm in weight_norms(bert.bfloat16())]
    assert found == pytest.approx(expected, rel=2**-8)  # bfloat16 keeps 8 bits
    assert histograms(bert)[0].sum() == sum(w.numel() for _, _, w in layer_weights(bert))


def test_bad_input_says_what_is_wrong(bert):
    with pytest.raises(ValueError, match=r"Call loss.backward\(\) first"):
        gradient_norms(bert)
    with pytest.raises(ValueError, match="what='bias'; allowed are 'weight' and 'gradient'"):
        histograms(bert, "bias")
    with pytest.raises(ValueError, match="bins=0; at least 1"):
        histograms(bert, bins=0)
    for edges in ([0.0], [0.0, 1.0, 1.5], [1.0, 0.0]):
        with pytest.raises(ValueError, match="increasing, equally spaced"):
            histograms(bert, edges=np.array(edges))
    with pytest.raises(ValueError, match="LayerNorm has no weight matrix"):
        weight_norms(nn.LayerNorm(4))
    with pytest.raises(ValueError, match="dict has no weight matrix"):
        tensor_norms({"encoder.layer.0.output.dense.bias": torch.ones(2)})
    with pytest.raises(ValueError, match="the value of 'layer.0.weight' holds NaN"):
        tensor_norms({"layer.0.weight": torch.full((2, 2), torch.nan)})
    with torch.no_grad():
        bert.encoder.layer[1].output.dense.weight[0, 0] = torch.nan
    with pytest.raises(ValueError, match="the weight of 'encoder.layer.1.output.dense.weight'"):
        weight_norms(bert)
