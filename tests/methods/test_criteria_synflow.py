"""SynFlow against loops over paths, and the rule for encoders against automatic differentiation."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from workbench.methods import pruning
from workbench.methods.pruning import Masks
from workbench.methods.pruning.criteria.synflow import synflow

pytestmark = pytest.mark.unit


def mlp(dtype=torch.float64) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2), nn.Sequential(nn.Tanh(), nn.Linear(2, 3))
    ).to(dtype)


def paths(model: nn.Sequential) -> dict[str, torch.Tensor]:
    """Each path from an input to an output adds the product of its weights to all three."""
    weights = [m.weight.detach().abs() for m in (model[0], model[2], model[3][1])]
    scores = [torch.zeros(w.shape, dtype=torch.float64) for w in weights]
    for i, j, k, end in itertools.product(range(3), range(4), range(2), range(3)):
        steps = [(j, i), (k, j), (end, k)]
        flow = 1.0
        for weight, step in zip(weights, steps, strict=True):
            flow *= float(weight[step])
        for score, step in zip(scores, steps, strict=True):
            score[step] += flow
    return dict(zip(["0.weight", "2.weight", "3.1.weight"], scores, strict=True))


@pytest.mark.parametrize(
    ("dtype", "rtol"), [(torch.float64, 1e-14), (torch.float32, 1e-6), (torch.float16, 1e-6)]
)
def test_the_definition_in_a_chain(dtype, rtol):
    model = mlp(dtype)
    wanted = paths(model)
    for name, score in synflow(model).items():
        assert score.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
        share = wanted[name] / wanted[name].sum()
        torch.testing.assert_close(score.double(), share, rtol=rtol, atol=0)


def test_flow_is_conserved_at_layers_and_at_units():
    scores = synflow(mlp())
    for score in scores.values():
        assert float(score.sum()) == pytest.approx(1, rel=1e-14)
    torch.testing.assert_close(scores["0.weight"].sum(1), scores["2.weight"].sum(0))
    torch.testing.assert_close(scores["2.weight"].sum(1), scores["3.1.weight"].sum(0))


def test_depth_does_not_overflow():
    torch.manual_seed(0)
    model = nn.Sequential(*(nn.Linear(32, 32) for _ in range(200)))
    with torch.no_grad():
        for layer in model:
            layer.weight *= 1e4  # R is about 1e900
    for score in synflow(model).values():
        assert float(score.double().sum()) == pytest.approx(1, rel=1e-5)


def test_automatic_differentiation_finds_the_same():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.GELU(), nn.Dropout(),
                          nn.Linear(5, 4), nn.LayerNorm(4), nn.Linear(4, 2)).double()  # fmt: skip
    with torch.no_grad():
        model[1].running_var.uniform_(0.5, 2)
        model[1].weight.uniform_(-2, 2)
        model[5].weight.uniform_(-2, 2)
    ours, theirs = synflow(model), synflow(model, inputs=torch.ones(1, 3))
    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-12, atol=0)


def test_convolutions_by_an_example():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2),
                          nn.Conv2d(3, 4, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                          nn.Linear(4, 2))  # fmt: skip

    def rule(name, module):
        return isinstance(module, nn.Conv2d | nn.Linear)

    lost = "way of the signal through 3 of 3 weights of Sequential, such as '0.weight'.*inputs="
    with pytest.raises(ValueError, match=lost):
        synflow(model, rule)
    with pytest.raises(ValueError, match="1 of 1 weights"):  # the linear layer is not all of it
        synflow(model)
    scores = synflow(model, rule, inputs=torch.ones(1, 2, 8, 8))
    for score in scores.values():
        assert score.dtype == torch.float32 and float(score.sum()) == pytest.approx(1, rel=1e-6)


def oracle(layers, entry, heads) -> dict[str, torch.Tensor]:
    """R as one differentiable function of absolute weights, gates over their own constant value."""
    weights = {}

    def take(name, linear):
        weights[name] = linear.weight.detach().abs().double().requires_grad_()
        return weights[name]

    stream = entry.detach().abs().double()
    for i, layer in enumerate(layers):
        attention = layer.attention
        names = ("query", "key", "value")
        query, key, value = (take(f"{i} {n}", getattr(attention.self, n)) for n in names)
        out = take(f"{i} out", attention.output.dense)
        inner = take(f"{i} inner", layer.intermediate.dense)
        outer = take(f"{i} outer", layer.output.dense)
        gate = ((query @ stream.detach()) * (key @ stream.detach())).view(heads, -1).sum(1)
        gate = (gate / gate.detach()).repeat_interleave(len(query) // heads)
        stream = stream + out @ (gate * (value @ stream))
        stream = stream * attention.output.LayerNorm.weight.detach().abs().double()
        stream = stream + outer @ (inner @ stream)
        stream = stream * layer.output.LayerNorm.weight.detach().abs().double()
    flow = stream.sum()
    flow.backward()
    return {n: (w.grad * w.detach() / flow.detach()) for n, w in weights.items()}


def test_the_rule_for_encoders(make_bert):
    model = make_bert().double()
    for module in model.modules():
        if isinstance(module, nn.LayerNorm):
            nn.init.uniform_(module.weight, -2, 2)
    encoder = model.bert.encoder.layer
    wanted = oracle(encoder, model.bert.embeddings.LayerNorm.weight, heads=2)
    scores = synflow(model)
    assert list(scores) == list(pruning.magnitude(model))
    for (name, score), expected in zip(scores.items(), wanted.values(), strict=True):
        torch.testing.assert_close(score, expected, rtol=1e-12, atol=0, msg=name)
        assert (score > 0).all()
    sums = [float(s.sum()) for s in scores.values()]
    for i in (0, 6):
        assert sums[i : i + 4] == pytest.approx([sums[i]] * 4, rel=1e-12)  # query to attention out
        assert sums[i + 4] == pytest.approx(sums[i + 5], rel=1e-12)


@pytest.mark.parametrize("norm_first", [False, True])
def test_torch_encoders(norm_first):
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, norm_first=norm_first, batch_first=True)
    scores = synflow(nn.TransformerEncoder(layer, 2, enable_nested_tensor=False))
    fused = scores["layers.1.self_attn.in_proj_weight"].chunk(3)
    out = scores["layers.1.self_attn.out_proj.weight"]
    assert len(scores) == 8
    assert [float(s.sum()) for s in fused] == pytest.approx([float(out.sum())] * 3, rel=1e-5)


def test_the_model_is_left_as_it_was(make_bert):
    for model, inputs in ((make_bert().train(), None), (mlp().train(), torch.ones(1, 3))):
        first = next(model.parameters())
        first.grad = torch.full_like(first, 3.0)
        before = {n: t.clone() for n, t in model.state_dict().items()}
        first_scores, again = synflow(model, inputs=inputs), synflow(model, inputs=inputs)
        assert all(torch.equal(first_scores[n], again[n]) for n in again)
        assert all(torch.equal(t, before[n]) for n, t in model.state_dict().items())
        assert all(m.training and not m._forward_hooks for m in model.modules())
        assert (first.grad == 3).all() and all(p.requires_grad for p in model.parameters())
        assert all(p.grad is None for p in list(model.parameters())[1:])


def test_pruned_weights_and_dead_networks():
    model = mlp()
    first = Masks.globally(synflow(model), 0.6)
    first.apply(model)
    scores = synflow(model)
    assert all((scores[n][~first[n]] == 0).all() for n in scores)
    second = Masks.globally(scores, 0.4, within=first)
    assert all((second[n] <= first[n]).all() and second[n].any() for n in second)
    with torch.no_grad():
        model[2].weight.zero_()
    assert not any(s.any() for s in synflow(model).values())
    assert not any(s.any() for s in synflow(model, inputs=torch.ones(1, 3)).values())


def test_example_inputs_of_an_encoder_and_their_errors(make_bert, tokens):
    class Words(nn.Module):
        def __init__(self):
            super().__init__()
            self.only = nn.Linear(2, 2)

        def forward(self, x):
            return "words"

    scores = synflow(make_bert(), inputs={"input_ids": tokens[:1]})
    assert len(scores) == 12 and all(torch.isfinite(s).all() for s in scores.values())
    with pytest.raises(ValueError, match="returns str without a tensor of floating-point"):
        synflow(Words(), inputs=torch.ones(1, 2))
    with pytest.raises(ValueError, match="flow of Linear is inf in float64; scale its weights"):
        synflow(nn.Linear(2, 2), inputs=torch.full((1, 2), float("inf")))
