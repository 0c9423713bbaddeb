"""Layers taken out, and layers left out at random in training."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from workbench.methods.layer_removal import (
    LayerDrop,
    find_layers,
    layers_to_remove,
    removable,
    remove_layers,
)


def gpt2(layers: int = 4):
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    config = GPT2Config(vocab_size=50, n_embd=16, n_layer=layers, n_head=4, n_positions=16,
                        bos_token_id=0, eos_token_id=0)  # fmt: skip
    return GPT2LMHeadModel(config).eval()


def test_a_removed_layer_is_one_whose_input_passes_by(make_bert, tokens):
    model = make_bert(num_hidden_layers=4)
    layers = model.bert.encoder.layer
    skip = copy.deepcopy(model)
    for number in (1, 3):
        skip.bert.encoder.layer[number].register_forward_hook(lambda m, args, out: args[0])
    kept = layers[2]
    assert remove_layers(model, [1, 3]) is model
    assert torch.equal(model(tokens).logits, skip(tokens).logits)
    assert len(model.bert.encoder.layer) == 2 and model.bert.encoder.layer[1] is kept
    assert model.config.num_hidden_layers == 2


def test_what_is_left_saves_loads_and_generates(tmp_path):
    model = remove_layers(gpt2(), [0, 2])
    assert [block.attn.layer_idx for block in model.transformer.h] == [0, 1]
    inputs = torch.randint(50, (2, 5))
    cached = model(inputs[:, 4:], past_key_values=model(inputs[:, :4]).past_key_values)
    torch.testing.assert_close(cached.logits[:, -1], model(inputs).logits[:, -1])
    model.save_pretrained(tmp_path)
    again = type(model).from_pretrained(tmp_path)
    assert torch.equal(again(inputs).logits, model(inputs).logits)


@given(st.integers(1, 30), st.data())
def test_which_layers_go(count, data):
    remove = data.draw(st.integers(0, count - 1))
    for which in ("every_other", "first", "middle", "last"):
        gone = layers_to_remove(count, remove, which)
        assert len(set(gone)) == remove and all(0 <= n < count for n in gone)
    assert layers_to_remove(12, 6) == [1, 3, 5, 7, 9, 11]
    assert layers_to_remove(12, 2, "middle") == [5, 6] and layers_to_remove(4, 1, "last") == [3]


def test_layerdrop_passes_inputs_by_at_its_rate():
    class Add(nn.Module):
        def forward(self, hidden_states):
            return hidden_states + 1, "attention"

    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList(Add() for _ in range(10))

        def forward(self, x):
            for number, layer in enumerate(self.layers):
                x, rest = layer(x) if number % 2 else layer(hidden_states=x)
                assert rest == "attention"
            return x

    model = Encoder().train()
    drop = LayerDrop(model, 0.3, seed=0)
    counts = torch.stack([model(torch.zeros(1)) for _ in range(400)])
    # Binomial(4000, 0.7): five standard deviations.
    assert abs(counts.mean() / 10 - 0.7) < 5 * (0.21 / 4000) ** 0.5
    copied = copy.deepcopy(model)
    assert len({float(copied(torch.zeros(1))) for _ in range(50)}) > 1
    assert model.eval()(torch.zeros(1)) == 10
    drop.remove()
    assert model.train()(torch.zeros(1)) == 10 and not model.layers[0]._forward_hooks


def test_layerdrop_trains_what_is_kept(make_bert, tokens):
    model = make_bert(num_hidden_layers=4).train()
    names = list(model.state_dict())
    LayerDrop(model, 0.5, seed=1)
    model(tokens).logits.sum().backward()
    touched = [layer.output.dense.weight.grad is not None for layer in model.bert.encoder.layer]
    assert True in touched and False in touched and list(model.state_dict()) == names


def test_errors(make_bert):
    model = make_bert()
    for wrong in ([2], [0, 0], [0, 1], [-1]):
        with pytest.raises(ValueError, match="different numbers from 0 to 1, and leave one"):
            remove_layers(model, wrong)
    assert len(model.bert.encoder.layer) == 2
    with pytest.raises(ValueError, match="Linear has no torch.nn.ModuleList of equal layers; it"):
        find_layers(nn.Linear(2, 2))
    with pytest.raises(ValueError, match="called 'layers'; it has .'bert.encoder.layer'"):
        find_layers(model, "layers")
    with pytest.raises(ValueError, match="remove must be from 0 to 1 of 2 layers.*got 2"):
        layers_to_remove(2, 2)
    with pytest.raises(ValueError, match="which one of .*'random'"):
        layers_to_remove(2, 1, "random")
    with pytest.raises(ValueError, match=r"p must be in \[0, 1\).*got 1"):
        LayerDrop(model, 1)
    widening = nn.ModuleDict({"layers": nn.ModuleList([nn.Linear(2, 3)])}).train()
    LayerDrop(widening, 0.99, seed=0)
    with pytest.raises(ValueError, match="its input cannot take the place of its output"):
        widening["layers"][0](torch.ones(1, 2))


def test_blocks_of_a_residual_network_are_the_identity_without_their_inside():
    from workbench.models.convnets import convnet

    torch.manual_seed(0)
    network = convnet("resnet20", 10).eval()
    pixels = torch.randn(2, 3, 32, 32)
    names = removable(network)
    assert names == [f"layer{stage}.{block}" for stage in (1, 2, 3) for block in (1, 2)]
    skip = copy.deepcopy(network)
    for number in (1, 4):
        skip.get_submodule(names[number]).register_forward_hook(lambda m, args, out: args[0])
    assert torch.equal(remove_layers(network, [1, 4])(pixels), skip(pixels))
    assert len(removable(network)) == 4
    remove_layers(network, range(4))  # the first block of each stage stays
    assert network(pixels).shape == (2, 10)


def test_layer_drop_of_a_residual_network_is_stochastic_depth():
    from workbench.models.convnets import convnet

    torch.manual_seed(0)
    network = convnet("resnet20", 10).train()
    drop = LayerDrop(network, 0.5, seed=0)
    seen = []
    for name in removable(network):
        block = network.get_submodule(name)
        block.register_forward_hook(lambda m, args, out: seen.append(torch.equal(args[0], out)))
    for _ in range(20):
        network(torch.randn(2, 3, 32, 32))
    assert 0.35 < sum(seen) / len(seen) < 0.65
    drop.remove()


def test_layers_of_a_dense_network_cannot_be_removed():
    from workbench.models.convnets import convnet

    with pytest.raises(ValueError, match="no torch.nn.ModuleList"):
        removable(convnet("densenet40-12", 10))
