"""Fused layers are one: in values, in training, in copies, and in gradients."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from workbench.methods import layer_fusion
from workbench.methods.layer_fusion import divergence_shares, fuse, tied_layers, unfuse
from workbench.methods.layer_fusion.combining import combine

ALL = ("mean", "freeze", "mix", "transport")


def mlp(depth: int = 5, width: int = 6, seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    layers = [m for _ in range(depth) for m in (nn.Linear(width, width), nn.Tanh())]
    return nn.Sequential(*layers, nn.Linear(width, 2)).double()


def weight(model: nn.Module, name: str) -> torch.Tensor:
    return model.get_submodule(name).weight.detach().clone()


# Values


def test_mean_is_the_mean_and_of_equal_layers_the_layer():
    model = mlp()
    a, b = weight(model, "0"), weight(model, "4")
    bias = (model[0].bias + model[4].bias).detach() / 2
    assert fuse(model, [("0", "4")]) is model
    torch.testing.assert_close(model[4].weight, (a + b) / 2, rtol=0, atol=0)
    torch.testing.assert_close(model[0].bias, bias, rtol=0, atol=1e-16)
    same = mlp().float()
    same.load_state_dict({n: t if n[0] != "2" else same.state_dict()["0" + n[1:]]
                          for n, t in same.state_dict().items()})  # fmt: skip
    x = torch.randn(3, 6)
    before = same(x)
    assert torch.equal(fuse(same, [("0", "2")])(x), before)


@pytest.mark.parametrize("pair", [("0", "2"), ("0", "4"), ("2", "6")])
def test_freeze_keeps_the_layer_nearest_to_the_middle(pair):
    # Layers 0, 2, ..., 10 are numbers 0 to 5 of six: the middle is between 4 and 6.
    away = {name: abs(int(name) / 2 - 2.5) for name in pair}
    near, outer = sorted(pair, key=away.get)
    model, other = mlp(), mlp()
    kept, lost = weight(model, near), weight(model, outer)
    assert torch.equal(weight(fuse(model, [pair], "freeze"), outer), kept)
    assert torch.equal(weight(fuse(other, [pair], "freeze", keep="outer"), near), lost)


def test_freeze_of_two_equally_near_layers_keeps_the_earlier():
    model = mlp()
    earlier = weight(model, "4")
    assert torch.equal(weight(fuse(model, [("6", "4")], "freeze"), "6"), earlier)


def test_mix_takes_each_weight_from_one_layer_and_averages_biases():
    model = mlp(width=60)
    a, b, bias = weight(model, "0"), weight(model, "2"), (model[0].bias + model[2].bias) / 2
    again, drawn, other = (copy.deepcopy(model) for _ in range(3))
    mixed = weight(fuse(model, [("0", "2")], "mix", seed=1), "0")
    from_a, from_b = mixed == a, mixed == b
    assert (from_a ^ from_b).all()
    # 3600 fair coins: five standard deviations.
    assert abs(from_a.double().mean() - 0.5) < 5 * 0.5 / 60
    assert torch.equal(weight(fuse(again, [("0", "2")], "mix", seed=1), "0"), mixed)
    assert not torch.equal(weight(fuse(other, [("0", "2")], "mix", seed=2), "0"), mixed)
    torch.testing.assert_close(model[2].bias, bias)
    fuse(drawn, [("0", "2")], "mix", mix_biases=True)
    assert not torch.isclose(drawn[0].bias, bias).any()


def test_mixing_three_draws_each_a_third():
    tensors = [torch.full((90, 90), float(i)) for i in range(3)]
    mixed = combine(tensors, "mix", generator=torch.Generator().manual_seed(0))
    for i in range(3):
        assert abs((mixed == i).double().mean() - 1 / 3) < 5 * (2 / 9) ** 0.5 / 90


def test_pairs_that_share_a_layer_are_one_group_and_earlier_fusions_come_along():
    model, later = mlp(), mlp()
    mean = sum(weight(model, n) for n in ("0", "2", "6")) / 3
    fuse(model, [("0", "2"), ("2", "6")])
    assert tied_layers(model) == [("0", "2", "6")]
    torch.testing.assert_close(model[6].weight, mean)
    # Fused one after the other, each layer counts once as well.
    fuse(fuse(later, [("0", "2")]), [("6", "2")])
    assert tied_layers(later) == [("0", "2", "6")]
    torch.testing.assert_close(later[0].weight, mean)


def test_numbers_names_parameters_and_blocks_say_the_same(make_bert):
    block = "bert.encoder.layer"
    by_block = fuse(make_bert(), [(f"{block}.0", f"{block}.1")])
    layers = list(layer_fusion.fusible_layers(make_bert()))
    by_name = fuse(make_bert(), [(n, n.replace("layer.0", "layer.1")) for n in layers[:6]])
    by_parameter = fuse(
        make_bert(), [(f"{n}.weight", f"{n}.weight".replace(".0.", ".1.")) for n in layers[:6]]
    )
    by_number = fuse(make_bert(), [(i, i + 6) for i in range(6)])
    groups = tied_layers(by_block)
    assert len(groups) == 6 and len(layers) == 12
    for model in (by_name, by_parameter, by_number):
        assert tied_layers(model) == groups
        for a, b in zip(model.parameters(), by_block.parameters(), strict=True):
            assert torch.equal(a, b)


@pytest.mark.parametrize("how", ALL)
def test_convolutions(how):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1),
        nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1, stride=2), nn.MaxPool2d(2), nn.Conv2d(4, 2, 1),
    )  # fmt: skip
    fuse(model, [("3", "5")], how)
    assert model[3].weight is model[5].weight and model[3].bias is model[5].bias
    assert model(torch.randn(2, 3, 8, 8)).shape == (2, 2, 2, 2)


# One parameter


def test_an_optimizer_sees_one_parameter_and_training_keeps_them_tied():
    model = mlp()
    count = sum(p.numel() for p in model.parameters())
    fuse(model, [("0", "2"), ("4", "6")])
    assert sum(p.numel() for p in model.parameters()) == count - 2 * (36 + 6)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    start = weight(model, "0")
    for _ in range(5):
        optimizer.zero_grad()
        model(torch.randn(4, 6).double()).square().sum().backward()
        optimizer.step()
    assert torch.equal(model[0].weight, model[2].weight) and model[4].bias is model[6].bias
    assert not torch.equal(model[0].weight, start)
    assert tied_layers(copy.deepcopy(model)) == [("0", "2"), ("4", "6")]


def test_an_optimizer_from_before_forgets_what_is_gone():
    model = mlp()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    model(torch.randn(4, 6).double()).sum().backward()
    optimizer.step()
    gone = model[2].weight
    fuse(model, [("0", "2")], optimizer=optimizer)
    (group,) = optimizer.param_groups
    assert {id(p) for p in group["params"]} == {id(p) for p in model.parameters()}
    assert gone not in optimizer.state and model[0].weight not in optimizer.state
    assert model[4].weight in optimizer.state
    optimizer.zero_grad()
    model(torch.randn(4, 6).double()).sum().backward()
    optimizer.step()


def test_gradients_add():
    model = mlp()
    fuse(model, [("0", "4")])
    apart = unfuse(copy.deepcopy(model))
    assert tied_layers(apart) == []
    x = torch.randn(3, 6).double()
    for m in (model, apart):
        m(x).square().sum().backward()
    both = apart[0].weight.grad + apart[4].weight.grad
    torch.testing.assert_close(model[0].weight.grad, both, rtol=1e-12, atol=1e-14)


# Equation 8.6


def test_shares_are_the_corrected_gamma():
    a, b = torch.randn(2, 4, 5).double()
    p, q = a.softmax(1), b.softmax(1)
    middle = (p + q) / 2
    one = (p * (p / middle).log()).sum(1).mean()
    other = (q * (q / middle).log()).sum(1).mean()
    shares = divergence_shares([a, b])
    torch.testing.assert_close(shares[0], one / (one + other), rtol=1e-10, atol=0)
    torch.testing.assert_close(shares.sum(), torch.tensor(1.0).double())
    torch.testing.assert_close(divergence_shares([b, a]), shares.flip(0))


def test_equal_layers_share_equally_where_the_printed_gamma_would_be_zero():
    a = torch.randn(4, 5)
    assert divergence_shares([a, a]).tolist() == [0.5, 0.5]
    assert divergence_shares([a, a + 1e-12]).tolist() == [0.5, 0.5]


@pytest.mark.parametrize("gradients", ["mean", "kl", "kept"])
def test_equation_8_6_weighs_the_gradients(gradients):
    model = mlp()
    gamma = divergence_shares([weight(model, "0"), weight(model, "4")])
    # Layer 4 is nearer to the middle, so that it is the one kept.
    shares = {"mean": (0.5, 0.5), "kl": gamma.tolist(), "kept": (0.0, 1.0)}[gradients]
    fuse(model, [("0", "4")], "freeze", gradients=gradients)
    apart = unfuse(copy.deepcopy(model))
    copied = copy.deepcopy(model)
    x = torch.randn(3, 6).double()
    assert torch.equal(model(x), apart(x))
    for m in (model, apart, copied):
        m(x).square().sum().backward()
    for attribute in ("weight", "bias"):
        first, second = (getattr(apart[i], attribute).grad for i in (0, 4))
        want = shares[0] * first + shares[1] * second
        for m in (model, copied):
            torch.testing.assert_close(getattr(m[0], attribute).grad, want)
    # Nothing is left behind in the modules, also after a call that failed.
    with pytest.raises(RuntimeError):
        model(torch.ones(2, 5).double())
    assert "weight" not in model[0].__dict__ and list(model.state_dict()) == list(
        apart.state_dict()
    )
    fuse(model, [("0", "4")])
    assert not model[0]._forward_pre_hooks and not model[0]._forward_hooks


# Unequal sizes


def funnel() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)).double()


def test_padding_averages_what_both_have_and_keeps_the_rest():
    model = funnel()
    a, b = weight(model, "0"), weight(model, "2")
    x = torch.randn(5, 4).double()
    fuse(model, [("0", "2")], unequal="pad")
    assert model[0].weight.shape == (6, 4) and model[2].weight.shape == (3, 6)
    torch.testing.assert_close(model[0].weight[:3], (a[:3] + b[:, :4]) / 2)
    torch.testing.assert_close(model[0].weight[3:], a[3:])
    torch.testing.assert_close(model[2].weight[:, 4:], b[:, 4:])
    assert sum(p.numel() for p in model.parameters()) == 6 * 6 + 6
    copied = copy.deepcopy(model)
    copied(x).sum().backward()
    copied(x)
    apart = unfuse(model)
    assert torch.equal(apart(x), copied(x)) and isinstance(apart[2].weight, nn.Parameter)
    assert sum(p.numel() for p in apart.parameters()) == 24 + 6 + 18 + 3


def test_truncating_keeps_the_strongest_units_and_zeros_the_rest():
    model = funnel()
    with torch.no_grad():
        model[0].weight[[1, 4]] = 0  # the weakest outputs of the larger layer
        model[0].weight[3] /= 100
    rows = model[0].weight[[0, 2, 5]].detach().clone()
    fuse(model, [("0", "2")], unequal="truncate")
    assert sum(p.numel() for p in model.parameters()) == 3 * 4 + 3
    assert not model[0].weight[[1, 3, 4]].any() and not model[0].bias[[1, 3, 4]].any()
    assert model[2].weight.count_nonzero() == 12 and rows.shape == (3, 4)
    before = model[0].weight.detach().clone()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    model(torch.randn(5, 4).double()).sum().backward()
    optimizer.step()
    assert not torch.equal(model[0].weight, before) and not model[0].weight[[1, 3, 4]].any()
    shared = model[0].weight[[0, 2, 5]]
    columns = model[2].weight.any(0)
    assert torch.equal(shared, model[2].weight[:, columns])


# Errors


def test_errors_change_nothing(make_bert):
    model = mlp()
    state = copy.deepcopy(model.state_dict())
    for pairs, options, message in (
        ([("0", "10")], {}, r"'0' has shape \(6, 6\) and '10' \(2, 6\).*unequal='pad'"),
        ([("0", "99")], {}, r"Sequential has no layer or block '99'.*its layers are \['0'"),
        ([("0", "0")], {}, "'0' cannot be fused with itself"),
        ([(0, 17)], {}, "there is no layer 17: Sequential has 6 layers"),
        ([("0",)], {}, r"a pair is two layers, got \('0',\)"),
        (["02"], {}, "a pair is two layers, got '02'"),
        ([("0", "2")], {"how": "sum"}, r"how must be one of \('freeze', .*got 'sum'"),
        ([("0", "2")], {"keep": "inner"}, "keep must be one of"),
        ([("0", "2")], {"unequal": "drop"}, "unequal must be one of"),
        ([("0", "2")], {"gradients": "max"}, "gradients must be one of"),
        ([("0", "2")], {"gradients": "kept"}, "goes with how='freeze'"),
        ([("0", "10")], {"unequal": "pad", "gradients": "kl"}, "are for layers of one shape"),
    ):
        with pytest.raises(ValueError, match=message):
            fuse(model, pairs, **options)
    assert all(torch.equal(t, state[n]) for n, t in model.state_dict().items())
    assert tied_layers(model) == []
    bert = make_bert()
    with pytest.raises(ValueError, match="hold different layers"):
        fuse(bert, [("bert.encoder.layer.0", "bert.encoder.layer.1.attention")])
    with pytest.raises(ValueError, match="has no layer or block .*LayerNorm"):
        fuse(bert, [("bert.encoder.layer.0.output.LayerNorm", "bert.embeddings.LayerNorm")])


def test_layers_that_do_not_match():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3, bias=False), nn.Linear(3, 3).double())
    with pytest.raises(ValueError, match="only one of '0' and '1' has a bias"):
        fuse(model, [("0", "1")])
    with pytest.raises(ValueError, match=r"'0' is torch.float32 on cpu and '2' is torch.float64"):
        fuse(model, [("0", "2")])
    convolutions = nn.Sequential(nn.Conv2d(2, 2, 3), nn.Conv2d(2, 2, 1))
    with pytest.raises(ValueError, match="kernels must agree"):
        fuse(convolutions, [("0", "1")], unequal="pad")


def test_a_layer_on_the_embeddings_is_not_fused():
    from transformers import GPT2Config, GPT2LMHeadModel
    from transformers.pytorch_utils import Conv1D

    config = GPT2Config(vocab_size=8, n_embd=8, n_layer=1, n_head=2, bos_token_id=0, eos_token_id=0)
    model = GPT2LMHeadModel(config)
    model.extra = nn.Linear(8, 8, bias=False)
    with pytest.raises(ValueError, match="'lm_head' shares a parameter with 'transformer.wte'"):
        fuse(model, [("lm_head", "extra")])
    pair = nn.Sequential(Conv1D(3, 3), nn.Linear(3, 3))
    with pytest.raises(ValueError, match="'0' is a Conv1D and '1' a Linear; one keeps its weight"):
        fuse(pair, [("0", "1")])


def test_the_output_of_torch_attention_is_read_without_a_call():
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    model = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
    fuse(model, [("layers.0", "layers.1")])
    assert len(tied_layers(model)) == 4
    with pytest.raises(ValueError, match="reads the weight of its out_proj without calling it"):
        fuse(model, [("layers.0", "layers.1")], gradients="mean")
