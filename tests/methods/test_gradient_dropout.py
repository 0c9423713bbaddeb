"""Gradient dropout: which gradients are dropped, which weights move, and by how much."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from workbench.methods.gradient_dropout import GradientDropout, layer_of, maskable_parameters
from workbench.methods.gradient_dropout.bits import cut, put_back, uniform, zero_dropped

OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "adam": lambda p: torch.optim.Adam(p, lr=0.01),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1),
    "adamw one by one": lambda p: torch.optim.AdamW(p, lr=0.01, foreach=False),
    "adamw fused": lambda p: torch.optim.AdamW(p, lr=0.01, fused=True),
}


def make(seed: int = 0, dtype: torch.dtype = torch.float64) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(8, 24), nn.Tanh(), nn.Linear(24, 3)).to(dtype)


def fill(model: nn.Module, seed: int) -> dict[str, torch.Tensor]:
    """Give every parameter a random gradient, nowhere zero; return copies."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator).to(parameter)
    return {n: p.grad.clone() for n, p in model.named_parameters()}


def weights(model: nn.Module) -> dict[str, torch.Tensor]:
    return {n: p.detach().clone() for n, p in model.named_parameters()}


@pytest.mark.parametrize("granularity", ["element", "layer"])
def test_equation_10_3_is_a_step_with_masked_gradients(granularity):
    model = make()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    dropout = GradientDropout(model, p=0.5, granularity=granularity, seed=3).attach(optimizer)
    for step in range(4):
        before, gradients, masks = weights(model), fill(model, step), dropout.masks()
        optimizer.step()
        for name, after in weights(model).items():
            want = before[name] - 0.1 * gradients[name] * masks[name]
            torch.testing.assert_close(after, want, rtol=0, atol=1e-15)


@pytest.mark.parametrize("rescale", [False, True])
@pytest.mark.parametrize(("granularity", "count"), [("element", 20), ("layer", 4000)])
def test_mean_and_variance_of_a_masked_gradient(granularity, count, rescale):
    """E = (1 - p) g and Var = p (1 - p) g^2; with the factor, g and p / (1 - p) g^2."""
    p, layer = 0.3, nn.Linear(50, 40, bias=False)
    dropout = GradientDropout(layer, p=p, granularity=granularity, rescale=rescale)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.0)
    dropout.attach(optimizer)
    seen = []
    for _ in range(count):
        layer.weight.grad = torch.full((40, 50), 2.0)
        optimizer.step()
        seen.append(layer.weight.grad if granularity == "element" else layer.weight.grad[0, :1])
    values = torch.stack(seen).double()
    factor = 1 / (1 - p) if rescale else 1.0
    assert values.unique().tolist() == pytest.approx([0.0, 2 * factor])
    mean, variance = 2 * (1 - p) * factor, 4 * p * (1 - p) * factor**2
    slack = 5 * (variance / values.numel()) ** 0.5
    assert values.mean().item() == pytest.approx(mean, abs=slack)
    assert values.var().item() == pytest.approx(variance, rel=0.12)


def test_the_rate_holds_in_expectation_between_the_steps_of_a_byte():
    """0.2 is 51.2 / 256: one tensor has 51 or 52, and their mean over many is 51.2."""
    cuts = [cut(0.2, uniform(0, step)) for step in range(20000)]
    assert set(cuts) == {51, 52}
    assert sum(cuts) / len(cuts) == pytest.approx(51.2, abs=0.02)
    assert [cut(r, 0.999) for r in (0.0, 0.5, 1.0)] == [0, 128, 256]


def test_masks_of_steps_layers_and_neighbours_are_independent():
    model = nn.ModuleList(nn.Linear(100, 100, bias=False) for _ in range(2))
    dropout = GradientDropout(model, p=0.5, seed=1)
    first = dropout.masks()
    dropout.step = 1
    second = dropout.masks()
    a, b, c = first["0.weight"], first["1.weight"], second["0.weight"]
    for x, y in ((a, b), (a, c), (a[:, 1:], a[:, :-1]), (a[1:], a[:-1])):
        assert (x & y).float().mean().item() == pytest.approx(0.25, abs=0.025)


def test_masks_are_functions_of_seed_and_step():
    model = make()
    dropout, other = (GradientDropout(model, p=0.4, seed=s) for s in (5, 6))
    copied = copy.deepcopy(model)
    again = GradientDropout(copied, p=0.4, seed=5)
    dropout.step = again.step = other.step = 7
    here, there, else_ = dropout.masks(), again.masks(), other.masks()
    assert all(torch.equal(here[n], there[n]) for n in here)
    assert not all(torch.equal(here[n], else_[n]) for n in here)
    assert all(torch.equal(m, dropout.masks()[n]) for n, m in here.items())


@pytest.mark.parametrize("schedule", ["constant", "epoch", "epoch-toggle", "epoch-fresh"])
@pytest.mark.parametrize("mask", ["gradient", "update"])
def test_remembered_masks_are_those_drawn_again(schedule, mask):
    """Also of tensors of more than one piece."""
    ends = []
    for remember in (False, True):
        torch.manual_seed(0)
        layer = nn.Linear(700, 500)
        optimizer = torch.optim.AdamW(layer.parameters(), lr=0.1)
        settings = {"p": 0.6, "epochs": 3, "steps_per_epoch": 2, "remember": remember}
        dropout = GradientDropout(layer, schedule=schedule, mask=mask, **settings)
        dropout.attach(optimizer)
        held = []
        for step in range(6):
            fill(layer, step)
            optimizer.step()
            held.append(sum(m.numel() for _, m in dropout._remembered.values()))
        lasting = remember and schedule != "constant"
        last = 0 if schedule == "epoch" else 700 * 500 + 500
        assert held == ([700 * 500 + 500] * 4 + [last] * 2 if lasting else [0] * 6)
        ends.append(weights(layer))
    assert all(torch.equal(ends[0][n], ends[1][n]) for n in ends[0])


def test_whole_layers_are_dropped():
    torch.manual_seed(0)
    model = nn.Sequential(*(nn.Linear(3, 3) for _ in range(10)))
    dropout = GradientDropout(model, p=0.5, granularity="layer")
    states = set()
    for dropout.step in range(5):
        masks = dropout.masks()
        assert all(m.all() or not m.any() for m in masks.values())
        states.add(tuple(bool(masks[f"{i}.weight"].all()) for i in range(10)))
        assert all(torch.equal(masks[f"{i}.weight"][0], masks[f"{i}.bias"]) for i in range(10))
    assert len(states) == 5


def moved(model, before) -> dict[str, torch.Tensor]:
    return {n: p.detach() != before[n] for n, p in model.named_parameters()}


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("granularity", ["element", "layer"])
@pytest.mark.parametrize("mask", ["gradient", "update"])
def test_which_weights_move_in_each_step(name, granularity, mask):
    """Update: those of the mask. Gradient: all that momentum or decay reach as well."""
    model = make()
    optimizer = OPTIMIZERS[name](model.parameters())
    dropout = GradientDropout(model, p=0.6, granularity=granularity, mask=mask).attach(optimizer)
    ever = {n: torch.zeros_like(m) for n, m in dropout.masks().items()}
    for step in range(4):
        before, masks = weights(model), dropout.masks()
        ever = {n: ever[n] | masks[n] for n in ever}
        fill(model, step)
        optimizer.step()
        if mask == "update" or name == "sgd":
            want = masks
        elif name.startswith("adamw"):
            want = {n: torch.ones_like(m) for n, m in masks.items()}
        else:
            want = ever
        for n, m in moved(model, before).items():
            assert torch.equal(m, want[n]), (step, n)


def test_under_adam_most_masked_weights_move_soon():
    """A weight moves from its first gradient on: a share 1 - p^k has by step k."""
    shares = {}
    for mask in ("gradient", "update"):
        layer = nn.Linear(300, 300, bias=False)
        optimizer = torch.optim.Adam(layer.parameters(), lr=0.01)
        dropout = GradientDropout(layer, p=0.7, mask=mask).attach(optimizer)
        for _ in range(2):
            before = layer.weight.detach().clone()
            dropped = ~dropout.masks()["weight"]
            layer.weight.grad = torch.ones(300, 300)
            optimizer.step()
        shares[mask] = (layer.weight != before)[dropped].float().mean().item()
    assert shares["gradient"] == pytest.approx(0.3, abs=0.01)  # of those dropped in step 2
    assert shares["update"] == 0


@pytest.mark.parametrize("mask", ["gradient", "update"])
def test_adamw_equals_a_loop_over_single_weights(mask):
    """lr 0.01, betas 0.9 and 0.99, eps 1e-8, decay 0.1, in float64."""
    model = make()
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=0.01, betas=(0.9, 0.99), eps=1e-8, weight_decay=0.1
    )
    dropout = GradientDropout(model, p=0.5, mask=mask).attach(optimizer)
    want = {n: w.flatten().tolist() for n, w in weights(model).items()}
    state = {n: [(0.0, 0.0)] * len(w) for n, w in want.items()}
    for step in range(1, 6):
        masks, gradients = dropout.masks(), fill(model, step)
        for name, row in want.items():
            flags, slopes = masks[name].flatten().tolist(), gradients[name].flatten().tolist()
            for i, (keep, slope) in enumerate(zip(flags, slopes, strict=True)):
                g = slope if keep else 0.0
                m, v = state[name][i]
                m, v = 0.9 * m + 0.1 * g, 0.99 * v + 0.01 * g * g
                state[name][i] = m, v
                if keep or mask == "gradient":
                    hat, root = m / (1 - 0.9**step), (v / (1 - 0.99**step)) ** 0.5
                    row[i] -= 0.01 * (hat / (root + 1e-8) + 0.1 * row[i])
        optimizer.step()
    for name, after in weights(model).items():
        torch.testing.assert_close(after.flatten().tolist(), want[name], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_dropped_by_bits(dtype):
    """NaN and infinity become zero, or stay as they were; minus zero is kept."""
    values = torch.tensor([1.5, float("nan"), float("inf"), -0.0, 3.0], dtype=dtype)
    old = torch.tensor([float("nan"), 2.0, 4.0, 5.0, 6.0], dtype=dtype)
    keep = torch.tensor([0, 0, 0, -1, -1], dtype=torch.int8)
    zeroed, back = values.clone(), values.clone()
    zero_dropped(zeroed, [(0, keep[:2]), (2, keep[2:])])
    assert zeroed.tolist() == [0, 0, 0, 0, 3] and torch.signbit(zeroed).tolist()[3]
    put_back(back, old, [(0, keep[:2]), (2, keep[2:])])
    torch.testing.assert_close(back, torch.where(keep.bool(), values, old), equal_nan=True)


def test_tensors_in_another_memory_order():
    layer = nn.Conv2d(6, 5, 3, bias=False).to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(layer.parameters(), lr=1.0, weight_decay=0.1)
    dropout = GradientDropout(layer, p=0.5, mask="update").attach(optimizer)
    before, masks = weights(layer), dropout.masks()
    layer.weight.grad = torch.ones_like(layer.weight)
    assert not layer.weight.is_contiguous() and not layer.weight.grad.is_contiguous()
    optimizer.step()
    assert torch.equal(layer.weight.grad != 0, masks["weight"])
    assert torch.equal(moved(layer, before)["weight"], masks["weight"])


def test_embeddings_and_head_train_throughout(make_bert):
    model = make_bert()
    names = set(maskable_parameters(model))
    free = {n for n, _ in model.named_parameters()} - names
    assert all(n.startswith(("bert.embeddings.", "bert.pooler.", "classifier.")) for n in free)
    assert all(n.startswith("bert.encoder.layer.") for n in names)
    assert {layer_of(n) for n in names} == {"bert.encoder.layer.0", "bert.encoder.layer.1"}
    assert layer_of("fc1.weight") == "fc1" and layer_of("0.weight") == "0"
    assert layer_of("layer1.0.conv1.weight") == "layer1.0" and layer_of("scale") == "scale"
    chosen = maskable_parameters(model, lambda name, p: name.startswith("bert.embeddings"))
    assert len(chosen) == 5


BAD = [
    ({"p": 1.0}, r"p must be a number in \[0, 1\).*got 1.0.*requires_grad_\(False\)"),
    ({"p": True}, "p must be a number"),
    ({"granularity": "row"}, "granularity must be 'element' or 'layer', got 'row'"),
    ({"schedule": "cosine"}, r"schedule must be one of \['constant', 'anneal', .*got 'cosine'"),
    ({"mask": "weight"}, "mask must be 'gradient' .* or 'update' .*, got 'weight'"),
    ({"schedule": "anneal"}, "schedule='anneal' needs epochs=, the length of the run"),
    ({"schedule": "epoch"}, "schedule='epoch' needs epochs="),
    ({"schedule": "top-down", "granularity": "element"}, "unfreezes layers; granularity='layer'"),
    ({"schedule": "epoch", "epochs": 3, "rescale": True}, "rescale=True has no meaning under"),
    ({"schedule": lambda epoch: 0.5, "p": 0.1}, "p or a schedule that returns the rate, not both"),
    ({"epochs": 0}, "epochs must be a whole number of at least 1, got 0"),
    ({"steps_per_epoch": 2.5}, "steps_per_epoch must be a whole number of at least 1, got 2.5"),
    ({"select": lambda name, p: False}, "Sequential has no parameter under this predicate"),
]


@pytest.mark.parametrize(("settings", "text"), BAD)
def test_settings_that_do_not_fit(settings, text):
    with pytest.raises(ValueError, match=text):
        GradientDropout(make(), **settings)


def test_other_errors():
    with pytest.raises(TypeError, match="model must be a torch.nn.Module, got list"):
        GradientDropout([])
    with pytest.raises(ValueError, match="Embedding has no parameter outside its embeddings"):
        GradientDropout(nn.Embedding(3, 2))
    with pytest.raises(ValueError, match="SGD trains none of the 4 selected parameters"):
        GradientDropout(make()).attach(torch.optim.SGD(make().parameters(), lr=0.1))
    model = make()
    dropout = GradientDropout(model, schedule=lambda epoch: 1.5)
    with pytest.raises(ValueError, match=r"schedule\(0\) must be a number in \[0, 1\)"):
        dropout.masks()
    table = nn.Embedding(4, 2, sparse=True)
    GradientDropout(table, select=lambda name, p: True)
    table(torch.tensor([1])).sum().backward()
    with pytest.raises(ValueError, match="the gradient of 'weight' is sparse; leave it out"):
        torch.optim.SGD(table.parameters(), lr=0.1).step()
