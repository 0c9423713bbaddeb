"""Wanda and its comparison groups, against loops over tokens and rows."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel

from workbench.methods import pruning
from workbench.methods.pruning import Masks
from workbench.models import classifier, encode_batch

pytestmark = pytest.mark.unit


def test_scores_equal_a_loop_over_tokens_that_are_not_padding():
    model, tokenizer = classifier("tiny", 2, seed=0)
    model = model.double()
    texts = ["a good film", "bad", "the story was so boring that i left", "my dog"]
    batches = [encode_batch(tokenizer, texts[:3]), encode_batch(tokenizer, texts[3:])]
    scores = pruning.wanda(model, batches)

    # Each text by itself, so that there is no padding to leave out.
    layers = {n: model.get_submodule(n.removesuffix(".weight")) for n in scores}
    squares = {n: [0.0] * layer.in_features for n, layer in layers.items()}

    def count(name):
        def hook(module, args):
            for token in args[0].reshape(-1, module.in_features):
                squares[name] = [a + b**2 for a, b in zip(squares[name], token, strict=True)]

        return hook

    for name, layer in layers.items():
        layer.register_forward_pre_hook(count(name))
    with torch.no_grad():
        for text in texts:
            model(**encode_batch(tokenizer, [text]))
    for name, layer in layers.items():
        norms = torch.tensor(squares[name], dtype=torch.float64).sqrt()
        expected = layer.weight.detach().abs() * norms
        torch.testing.assert_close(scores[name], expected, rtol=1e-9, atol=1e-12)


def test_all_rows_of_pooled_inputs_count_and_other_layers_count_too():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    x = torch.randn(6, 3)
    scores = pruning.wanda(net, [(x[:4], None), (x[4:], None)])
    hidden = net[1](net[0](x)).detach()
    for name, inputs in (("0.weight", x), ("2.weight", hidden)):
        weight = net.get_parameter(name).detach()
        torch.testing.assert_close(scores[name], weight.abs() * inputs.norm(dim=0))


def test_a_weight_that_two_layers_share_sees_both_inputs():
    net = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Tanh(), nn.Linear(3, 3, bias=False))
    net[2].weight = net[0].weight
    x = torch.randn(5, 3)
    both = torch.cat([x, torch.tanh(net[0](x))]).detach()
    scores = pruning.wanda(net, [(x, None)])
    torch.testing.assert_close(scores["0.weight"], net[0].weight.detach().abs() * both.norm(dim=0))


def test_conv1d_holds_inputs_first():
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=20, n_positions=8, n_embd=8, n_layer=1, n_head=2)
    model = GPT2LMHeadModel(config).eval()
    ids = torch.randint(20, (3, 6))
    seen = []
    layer = model.transformer.h[0].mlp.c_fc
    handle = layer.register_forward_pre_hook(lambda m, args: seen.append(args[0].detach()))
    scores = pruning.wanda(model, [{"input_ids": ids}])
    handle.remove()
    expected = layer.weight.detach().abs() * seen[0].reshape(-1, 8).norm(dim=0)[:, None]
    torch.testing.assert_close(scores["transformer.h.0.mlp.c_fc.weight"], expected)
    masks = Masks.rowwise(scores, 0.5, outputs=1)
    for name, mask in masks.items():
        assert (mask.sum(0) == round(0.5 * len(mask))).all(), name


def test_layers_that_cannot_be_watched():
    net = nn.Sequential(nn.Conv1d(2, 3, 3))
    conv = lambda name, module: isinstance(module, nn.Conv1d)  # noqa: E731
    with pytest.raises(ValueError, match="'0.weight' is a weight of Conv1d; leave it out"):
        pruning.wanda(net, [(torch.randn(1, 2, 5), None)], conv)
    attention = nn.ModuleDict({"attention": nn.MultiheadAttention(4, 2)})
    with pytest.raises(ValueError, match="'attention.in_proj_weight' is a weight of Multihead"):
        pruning.wanda(attention, [torch.randn(2, 3, 4)])
    idle = nn.ModuleDict({"idle": nn.Linear(2, 2)})
    with pytest.raises(ValueError, match=r"the layer of 'idle.weight' was never called \(1 of 1\)"):
        pruning.wanda(idle, [(torch.randn(2, 2), None)], loss=lambda m, b: b[0].sum())


@given(st.integers(0, 2**31), st.floats(0.2, 1), st.sampled_from([0, 1]))
@settings(deadline=None, max_examples=60)
def test_rowwise_masks_equal_a_sort_of_each_row(seed, density, outputs):
    generator = torch.Generator().manual_seed(seed)
    # Few distinct values: many ties.
    score = torch.randint(4, (6, 9), generator=generator).float()
    masks = Masks.rowwise({"w": score}, density, outputs=outputs)
    rows, kept = (score, masks["w"]) if outputs == 0 else (score.t(), masks["w"].t())
    for row, mask in zip(rows, kept, strict=True):
        keep = round(density * len(row))
        best = sorted(range(len(row)), key=lambda i: (-row[i].item(), i))[:keep]
        assert mask.nonzero().squeeze(1).tolist() == sorted(best)


def test_rowwise_masks_within_earlier_ones():
    score = torch.rand(8, 20, generator=torch.Generator().manual_seed(0))
    first = Masks.rowwise({"w": score}, 0.5)
    second = Masks.rowwise({"w": 1 - score}, 0.25, within=first)
    assert (second["w"].sum(1) == 5).all() and not (second["w"] & ~first["w"]).any()
    expected = (1 - score).masked_fill(~first["w"], -1).topk(5).indices.sort().values
    assert torch.equal(second["w"].nonzero()[:, 1].view(8, 5), expected)
    with pytest.raises(ValueError, match=r"keeps 12 weights in each row of 'w'.*left only 10 in"):
        Masks.rowwise({"w": score}, 0.6, within=first)


def test_rowwise_errors():
    with pytest.raises(ValueError, match="density 0.01 keeps no weight of any row of 'w'"):
        Masks.rowwise({"w": torch.rand(4, 10)}, 0.01)
    with pytest.raises(ValueError, match=r"'b' has shape \(4,\).*rank it with Masks.layerwise"):
        Masks.rowwise({"b": torch.rand(4)}, 0.5)
    with pytest.raises(ValueError, match=r"density must be a number in \(0, 1\]"):
        Masks.rowwise({"w": torch.rand(4, 10)}, 0)
    with pytest.raises(ValueError, match="'w' hold 1 NaN or infinite"):
        Masks.rowwise({"w": torch.tensor([[1.0, float("nan")]])}, 0.5)
