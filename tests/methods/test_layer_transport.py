"""Hidden units change places, functions stay; and the places they take are the best."""

from __future__ import annotations

import copy
from itertools import permutations, product

import pytest
import torch
from torch import nn

from workbench.methods import layer_fusion
from workbench.methods.layer_fusion.transport import align, match
from workbench.methods.layer_fusion.units import hidden_units

ATOL = 1e-12  # float64, a few layers


def scramble(model: nn.Module, seed: int = 0) -> nn.Module:
    """Float64 with random biases and norms, so that nothing is symmetric by chance."""
    torch.manual_seed(seed)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    return model.double().eval()


def distance(model: nn.Module, one: str, other: str) -> float:
    a, b = (model.get_submodule(n).state_dict() for n in (one, other))
    return sum(float((a[n] - b[n]).square().sum()) for n in a if a[n].ndim > 1)


class Block(nn.Module):
    def __init__(self, width: int, swapped: bool = False) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width)
        self.swapped = swapped

    def forward(self, x):
        if self.swapped:
            return x + self.conv1(self.bn1(self.conv2(x)).relu())
        return (x + self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))).relu()


class PreActivation(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.bn1, self.conv1 = nn.BatchNorm2d(width), nn.Conv2d(width, 3, 1)
        self.bn2, self.conv2 = nn.BatchNorm2d(3), nn.Conv2d(3, width, 3, padding=1)

    def forward(self, x):
        return x + self.conv2(self.bn2(self.conv1(self.bn1(x).relu())).relu())


def bert(make_bert):
    return make_bert(num_hidden_layers=3, num_attention_heads=4), torch.randint(60, (3, 8))


def gpt2(make_bert):
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(vocab_size=50, n_embd=16, n_layer=3, n_head=4, n_positions=16,
                        bos_token_id=0, eos_token_id=0)  # fmt: skip
    return GPT2LMHeadModel(config), torch.randint(50, (3, 8))


def torch_encoder(make_bert):
    layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True)
    return nn.TransformerEncoder(layer, 3, enable_nested_tensor=False), torch.randn(2, 5, 16)


def residual(make_bert):
    return nn.Sequential(*(Block(5) for _ in range(3))), torch.randn(2, 5, 6, 6)


def pre_activation(make_bert):
    return nn.Sequential(*(PreActivation(5) for _ in range(3))), torch.randn(2, 5, 6, 6)


def chain(make_bert):
    layers = [m for _ in range(4) for m in (nn.Linear(6, 6), nn.BatchNorm1d(6), nn.ReLU())]
    return nn.Sequential(*layers, nn.Linear(6, 2)), torch.randn(4, 6)


BLOCKS = {
    bert: ("bert.encoder.layer.0", "bert.encoder.layer.2"),
    gpt2: ("transformer.h.0", "transformer.h.2"),
    torch_encoder: ("layers.0", "layers.2"),
    residual: ("0", "2"),
    pre_activation: ("0", "2"),
    chain: ("3", "6"),
}


def call(model, inputs):
    inputs = inputs.double() if inputs.is_floating_point() else inputs
    out = model(inputs)
    return out.logits if hasattr(out, "logits") else out


@pytest.mark.parametrize("make", BLOCKS, ids=lambda f: f.__name__)
def test_aligning_leaves_the_function_and_brings_blocks_nearer(make, make_bert):
    model, inputs = make(make_bert)
    scramble(model)
    one, other = BLOCKS[make]
    before, apart = call(model, inputs), distance(model, one, other)
    weights = {n: w.clone() for n, w in layer_fusion.layer_weights(model).items()}
    assert align(model, [(one, other)]) is model
    torch.testing.assert_close(call(model, inputs), before, rtol=1e-10, atol=ATOL)
    assert distance(model, one, other) < apart
    moved = {n for n, w in layer_fusion.layer_weights(model).items() if not w.equal(weights[n])}
    assert moved and all(n.startswith(other) or make is chain for n in moved)


# A layer of a chain cannot be permuted within itself.
@pytest.mark.parametrize("make", [b for b in BLOCKS if b is not chain], ids=lambda f: f.__name__)
def test_a_permuted_copy_of_a_block_fuses_to_that_block(make, make_bert):
    """The mean of a block and a permutation of it is the block: nothing is lost."""
    model, inputs = make(make_bert)
    scramble(model)
    one, other = BLOCKS[make]
    model.get_submodule(other).load_state_dict(model.get_submodule(one).state_dict())
    want = call(model, inputs)
    torch.manual_seed(1)
    for units in hidden_units(model):
        if units.block == other:
            heads = torch.randperm(units.heads)
            for stream, parts in units.streams.items():
                size = units.sizes[stream] // units.heads
                order = torch.cat([h * size + torch.randperm(size) for h in heads])
                for part in parts:
                    block = part.tensor.narrow(part.dimension, part.start, len(order))
                    block.copy_(block.index_select(part.dimension, order))
    torch.testing.assert_close(call(model, inputs), want, rtol=1e-10, atol=ATOL)
    plain = layer_fusion.fuse(copy.deepcopy(model), [(one, other)])
    assert not torch.allclose(call(plain, inputs), want, atol=1e-3)
    layer_fusion.fuse(model, [(one, other)], "transport")
    torch.testing.assert_close(call(model, inputs), want, rtol=1e-10, atol=ATOL)


def test_the_order_is_the_best_of_all():
    """Against every order of two heads of three units, in two streams."""
    torch.manual_seed(0)
    heads, size = 2, 3
    compared = [(s, *torch.randn(2, heads, size, 4).double()) for s in ("a", "a", "b")]
    sizes = {"a": heads * size, "b": heads * size}

    def cost(order):
        return sum(
            float((own.reshape(heads * size, -1)[order[s]] - ref.reshape(heads * size, -1))
                  .square().sum())
            for s, own, ref in compared
        )  # fmt: skip

    every = []
    for outer in permutations(range(heads)):
        for inner in product(permutations(range(size)), repeat=2 * heads):
            order = {
                stream: torch.tensor([h * size + i for g, h in enumerate(outer)
                                      for i in inner[2 * g + n]])
                for n, stream in enumerate("ab")
            }  # fmt: skip
            every.append(cost(order))
    assert cost(match(heads, sizes, compared)) == pytest.approx(min(every), rel=1e-12)


def test_it_agrees_with_optimal_transport():
    """Between equal masses the plan is a permutation: the cost is that of POT."""
    ot = pytest.importorskip("ot")
    torch.manual_seed(0)
    own, reference = torch.randn(2, 1, 12, 5).double()
    order = match(1, {"units": 12}, [("units", own, reference)])["units"]
    cost = (own[0][order] - reference[0]).square().sum() / 12
    table = torch.cdist(reference[0], own[0]).square().numpy()
    assert float(cost) == pytest.approx(ot.emd2([], [], table), rel=1e-10)


def test_one_layer_of_a_block_is_enough(make_bert):
    model, inputs = bert(make_bert)
    scramble(model)
    before = call(model, inputs)
    for role in ("attention.self.query", "attention.output.dense", "intermediate.dense"):
        align(model, [tuple(f"bert.encoder.layer.{i}.{role}" for i in (0, 2))])
        torch.testing.assert_close(call(model, inputs), before, rtol=1e-10, atol=ATOL)


def test_tied_blocks_move_together(make_bert):
    model, inputs = bert(make_bert)
    scramble(model)
    layers = [f"bert.encoder.layer.{i}" for i in range(3)]
    # Only half of the block is tied: what moves it must move the rest of both blocks as well.
    layer_fusion.fuse(model, [tuple(f"{n}.intermediate.dense" for n in layers[1:])])
    before = call(model, inputs)
    align(model, [(layers[0], layers[2])])
    torch.testing.assert_close(call(model, inputs), before, rtol=1e-10, atol=ATOL)
    layer_fusion.fuse(model, [(layers[0], layers[2])], "transport")
    assert call(model, inputs).isfinite().all()


def test_tied_neighbours_of_a_chain_move_together(make_bert):
    model, inputs = chain(make_bert)
    layer_fusion.fuse(scramble(model), [("3", "6")])
    before = call(model, inputs)
    align(model, [("3", "9")])
    torch.testing.assert_close(call(model, inputs), before, rtol=1e-10, atol=ATOL)


def test_three_blocks_come_nearer_to_each_other(make_bert):
    model, inputs = bert(make_bert)
    scramble(model)
    names = [f"bert.encoder.layer.{i}" for i in range(3)]
    before = call(model, inputs)
    apart = sum(distance(model, a, b) for a, b in zip(names, names[1:], strict=False))
    align(model, [(names[0], names[1]), (names[1], names[2])])
    torch.testing.assert_close(call(model, inputs), before, rtol=1e-10, atol=ATOL)
    assert sum(distance(model, a, b) for a, b in zip(names, names[1:], strict=False)) < apart


def test_errors(make_bert):
    from transformers import MPNetConfig, MPNetModel

    swapped = nn.ModuleDict({"a": Block(4, swapped=True), "b": Block(4, swapped=True)})
    scramble(swapped)
    with pytest.raises(ValueError, match="the channels of 'a' cannot change places"):
        align(swapped, [("a.conv1", "b.conv1")])
    loose = nn.ModuleDict({"a": nn.Linear(2, 2), "b": nn.Linear(2, 2)})
    with pytest.raises(ValueError, match="'a' of ModuleDict is in none of them. Use how='mean'"):
        layer_fusion.fuse(loose, [("a", "b")], "transport")
    tied, _ = chain(make_bert)
    layer_fusion.fuse(tied, [("0", "3")])  # the inputs of layer 0 cannot move
    with pytest.raises(ValueError, match="weights are tied to layers that use them otherwise"):
        align(tied, [("0", "6")])
    config = MPNetConfig(vocab_size=50, hidden_size=8, num_hidden_layers=2, num_attention_heads=2,
                         intermediate_size=16)  # fmt: skip
    model = MPNetModel(config)
    with pytest.raises(ValueError, match="heads: without relative or rotary positions"):
        align(model, [("encoder.layer.0", "encoder.layer.1")])
    align(model, [tuple(f"encoder.layer.{i}.intermediate.dense" for i in (0, 1))])
