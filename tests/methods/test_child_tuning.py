"""Child-Tuning-F and -D: masks of the gradient, random and by Fisher information."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from workbench.methods.child_tuning import ChildTuningD, child_tuning_f, fisher


def make() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 3))


@pytest.fixture
def batches():
    generator = torch.Generator().manual_seed(1)
    return [(torch.randn(4, 5, generator=generator), torch.tensor([0, 1, 2, 0])) for _ in range(3)]


def test_the_free_variant_keeps_the_expected_gradient():
    layer = nn.Linear(200, 200, bias=False)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.0)
    tuning = child_tuning_f(layer, keep=0.3).attach(optimizer)
    layer.weight.grad = torch.ones(200, 200)
    masks = tuning.masks()["weight"]
    optimizer.step()
    torch.testing.assert_close(layer.weight.grad, masks / 0.3)
    assert layer.weight.grad.mean().item() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("per_example", [False, True])
def test_fisher_information_is_a_mean_of_squares(batches, per_example):
    model = make()
    found = fisher(model, batches, per_example=per_example)
    if per_example:
        pieces = [(x[i : i + 1], y[i : i + 1]) for x, y in batches for i in range(4)]
    else:
        pieces = batches
    want = dict.fromkeys(found, 0.0)
    for x, y in pieces:
        loss = F.cross_entropy(model(x), y)
        parameters = [p for n, p in model.named_parameters() if n in found]
        for name, slope in zip(found, torch.autograd.grad(loss, parameters), strict=True):
            want[name] = want[name] + slope.square() / len(pieces)
    for name in found:
        torch.testing.assert_close(found[name], want[name])
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("mask", ["gradient", "update"])
def test_the_driven_variant_trains_the_child_only(batches, mask):
    model = make()
    start = copy.deepcopy(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.0)
    scores = fisher(model, batches)
    tuning = ChildTuningD(model, scores, keep=0.25, mask=mask).attach(optimizer)
    threshold = torch.cat([s.flatten() for s in scores.values()]).quantile(0.75)
    for x, y in batches:
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
        optimizer.zero_grad()
    for name, score in scores.items():
        child = score > threshold
        assert torch.equal(tuning.masks()[name], child)
        moved = model.get_parameter(name) != start.get_parameter(name)
        assert torch.equal(moved, child)
    assert not torch.equal(model[0].bias, start[0].bias)  # has no score, trains freely
    again = ChildTuningD(start, scores, keep=0.25)
    again.load_state_dict(tuning.state_dict())
    assert all(torch.equal(again.masks()[n], m) for n, m in tuning.masks().items())


def test_errors(batches):
    model = make()
    with pytest.raises(ValueError, match=r"keep must be in \(0, 1\].*got 0"):
        child_tuning_f(model, keep=0)
    with pytest.raises(ValueError, match="density 2 must|density must be a number"):
        ChildTuningD(model, fisher(model, batches), keep=2)
    with pytest.raises(ValueError, match=r"Linear has no parameter '0.weight' of shape \(8, 5\)"):
        ChildTuningD(nn.Linear(5, 8), fisher(model, batches))
