"""Lookahead against loops over the definition, and the rule for encoders written out by hand."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from workbench.methods import pruning
from workbench.methods.pruning import Masks
from workbench.methods.pruning.criteria.lookahead import lookahead

pytestmark = pytest.mark.unit


def norm(values) -> float:
    return sum(float(v.detach()) ** 2 for v in values) ** 0.5


def slow(before, weight, after) -> torch.Tensor:
    scores = torch.zeros(weight.shape, dtype=torch.float64)
    for i in range(weight.shape[0]):
        for j in range(weight.shape[1]):
            left = 1 if before is None else norm(before[j, k] for k in range(before.shape[1]))
            right = 1 if after is None else norm(after[k, i] for k in range(after.shape[0]))
            scores[i, j] = abs(float(weight[i, j].detach())) * left * right
    return scores


def mlp(dtype=torch.float64) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(5, 7), nn.ReLU(), nn.Sequential(nn.Dropout(), nn.Linear(7, 4)), nn.Linear(4, 3)
    ).to(dtype)


@pytest.mark.parametrize(
    ("dtype", "rtol"), [(torch.float64, 1e-14), (torch.float32, 1e-6), (torch.bfloat16, 1e-6)]
)
def test_the_definition_in_a_chain(dtype, rtol):
    model = mlp(dtype)
    first, second, third = (m.weight.detach() for m in (model[0], model[2][1], model[3]))
    scores = lookahead(model)
    kind = torch.float64 if dtype == torch.float64 else torch.float32
    for name, wanted in {
        "0.weight": slow(None, first, second),
        "2.1.weight": slow(first, second, third),
        "3.weight": slow(second, third, None),
    }.items():
        assert scores[name].dtype == kind
        torch.testing.assert_close(scores[name].double(), wanted, rtol=rtol, atol=0)


def test_it_is_the_distortion_of_the_product():
    model = mlp()
    first, second, third = (m.weight.detach() for m in (model[0], model[2][1], model[3]))
    pruned = second.clone()
    pruned[1, 3] = 0
    lost = torch.linalg.norm(third @ second @ first - third @ pruned @ first)
    assert float(lookahead(model)["2.1.weight"][1, 3]) == pytest.approx(float(lost), rel=1e-12)


def test_gains_between_layers_multiply():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2),
                          nn.LayerNorm(2)).double().eval()  # fmt: skip
    with torch.no_grad():
        model[1].weight.copy_(torch.tensor([1.0, -2.0, 0.5, 3.0]))
        model[1].running_var.copy_(torch.tensor([1.0, 4.0, 9.0, 0.25]))
        model[4].weight.copy_(torch.tensor([2.0, -5.0]))
    factor = model[1].weight.abs() / (model[1].running_var + model[1].eps).sqrt()
    folded = model[0].weight * factor[:, None]
    end = model[3].weight * model[4].weight[:, None]
    scores = lookahead(model)
    torch.testing.assert_close(scores["0.weight"], slow(None, folded, model[3].weight))
    torch.testing.assert_close(scores["3.weight"], slow(folded, end, None))


def test_rescaling_that_keeps_the_function_keeps_the_scores():
    model = mlp()
    scaled = copy.deepcopy(model)
    factors = torch.tensor([2.0, 0.5, 3.0, 1.0, 7.0, 0.1, 4.0], dtype=torch.float64)
    with torch.no_grad():
        scaled[0].weight.mul_(factors[:, None])
        scaled[0].bias.mul_(factors)
        scaled[2][1].weight.div_(factors)
    x = torch.randn(4, 5, dtype=torch.float64)
    torch.testing.assert_close(model.eval()(x), scaled.eval()(x))
    ours, theirs = lookahead(model), lookahead(scaled)
    for name in ("0.weight", "2.1.weight"):
        torch.testing.assert_close(ours[name], theirs[name])
    assert not torch.allclose(
        pruning.magnitude(model)["0.weight"], pruning.magnitude(scaled)["0.weight"]
    )


def test_a_lone_layer_is_magnitude():
    layer = nn.Linear(4, 3)
    assert torch.equal(lookahead(layer)["weight"], layer.weight.detach().abs())
    alone = nn.ModuleDict({"only": nn.Linear(4, 3)})
    assert torch.equal(lookahead(alone)["only.weight"], alone["only"].weight.detach().abs())


def test_the_rule_for_post_norm_encoders(make_bert):
    model = make_bert().double()
    torch.manual_seed(1)
    for module in model.modules():
        if isinstance(module, nn.LayerNorm):
            nn.init.uniform_(module.weight, -2, 2)
    scores = lookahead(model)
    first, layer = model.bert.encoder.layer
    attention = layer.attention
    query, key, value = (getattr(attention.self, n).weight for n in ("query", "key", "value"))
    out, inner, outer = attention.output.dense, layer.intermediate.dense, layer.output.dense
    stream = first.output.LayerNorm.weight.abs()
    middle = attention.output.LayerNorm.weight.abs()
    end = layer.output.LayerNorm.weight.abs()
    prefix = "bert.encoder.layer.1"
    for name, wanted in {
        "attention.self.query": query.abs() * key.norm(dim=1)[:, None] * stream,
        "attention.self.key": key.abs() * query.norm(dim=1)[:, None] * stream,
        "attention.self.value": value.abs() * out.weight.norm(dim=0)[:, None] * stream,
        "attention.output.dense": out.weight.abs() * middle[:, None] * value.norm(dim=1),
        "intermediate.dense": inner.weight.abs() * outer.weight.norm(dim=0)[:, None] * middle,
        "output.dense": outer.weight.abs() * end[:, None] * inner.weight.norm(dim=1),
    }.items():
        torch.testing.assert_close(scores[f"{prefix}.{name}.weight"], wanted.detach(), msg=name)
    entry = model.bert.embeddings.LayerNorm.weight.abs()
    value, out = first.attention.self.value.weight, first.attention.output.dense.weight
    wanted = value.abs() * out.norm(dim=0)[:, None] * entry
    torch.testing.assert_close(
        scores["bert.encoder.layer.0.attention.self.value.weight"], wanted.detach()
    )


def test_the_rule_for_pre_norm_and_fused_projections():
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, norm_first=True).double()
    for module in (layer.norm1, layer.norm2):
        nn.init.uniform_(module.weight, -2, 2)
    query, key, value = layer.self_attn.in_proj_weight.detach().chunk(3)
    out = layer.self_attn.out_proj.weight.detach()
    scores = lookahead(layer)
    reads = layer.norm1.weight.detach().abs()
    wanted = torch.cat([
        query.abs() * key.norm(dim=1)[:, None] * reads,
        key.abs() * query.norm(dim=1)[:, None] * reads,
        value.abs() * out.norm(dim=0)[:, None] * reads,
    ])  # fmt: skip
    torch.testing.assert_close(scores["self_attn.in_proj_weight"], wanted)
    torch.testing.assert_close(scores["self_attn.out_proj.weight"], out.abs() * value.norm(dim=1))


def test_rescaling_value_and_output_of_an_encoder_keeps_its_function_and_scores(make_bert, tokens):
    model = make_bert().double()
    scaled = copy.deepcopy(model)
    with torch.no_grad():
        attention = scaled.bert.encoder.layer[0].attention
        attention.self.value.weight *= 4
        attention.self.value.bias *= 4
        attention.output.dense.weight /= 4
        attention.self.query.weight *= 8
        attention.self.query.bias *= 8
        attention.self.key.weight /= 8
        attention.self.key.bias /= 8
    torch.testing.assert_close(model(tokens).logits, scaled(tokens).logits)
    ours, theirs = lookahead(model), lookahead(scaled)
    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name])


def test_unknown_neighbours_are_said():
    class Unknown(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(3, 3), nn.Linear(3, 3)

    with pytest.warns(UserWarning, match="no neighbours of 2 of 2 weights, such as 'a.weight'"):
        scores = lookahead(model := Unknown())
    assert torch.equal(scores["b.weight"], model.b.weight.detach().abs())
    with pytest.raises(ValueError, match="under this rule"):
        lookahead(model, lambda name, module: False)


def test_other_rules_masks_and_repeats(make_bert):
    model = make_bert()
    some = lookahead(model, lambda name, module: name.endswith("query"))
    scores = lookahead(model)
    assert len(some) == 2 and all(torch.equal(some[n], scores[n]) for n in some)
    assert list(scores) == list(pruning.magnitude(model))
    first = Masks.globally(scores, 0.5)
    first.apply(model)
    again = lookahead(model)
    assert all((again[n][~first[n]] == 0).all() for n in again)
    second = Masks.globally(again, 0.25, within=first)
    assert all((second[n] <= first[n]).all() for n in second)
    shared = nn.Linear(4, 4)
    twice = lookahead(nn.Sequential(shared, nn.ReLU(), shared))
    weight = shared.weight.detach()
    wanted = slow(None, weight, weight) + slow(weight, weight, None)
    torch.testing.assert_close(twice["0.weight"].double(), wanted, rtol=1e-5, atol=0)
