"""Mixout: mixtures with the pretrained weights in training, the weights themselves after it."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from workbench.methods.mixout import Mixout


def make(size: int = 4) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(size, size), nn.Tanh(), nn.Linear(size, 2))


def test_a_mixture_equals_the_equation():
    model = nn.Sequential(nn.Linear(30, 40, bias=False))
    mixout = Mixout(model, p=0.6, generator=torch.Generator().manual_seed(0))
    start = mixout.reference["0.weight"]
    with torch.no_grad():
        model[0].weight.add_(1.0)
    mixed = mixout.sample("0.weight")
    noise = torch.rand(40, 30, generator=torch.Generator().manual_seed(0))
    kept = (noise >= 0.6).float()
    weight = model[0].weight
    want = (kept * weight + (1 - kept) * start - 0.6 * start) / 0.4
    torch.testing.assert_close(mixed, want)
    mixed.sum().backward()
    torch.testing.assert_close(weight.grad, kept / 0.4)


def test_the_mean_mixture_is_the_weight():
    model = make(60)
    mixout = Mixout(model, p=0.5, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        model[0].weight.add_(1.0)
    mean = torch.stack([mixout.sample("0.weight") for _ in range(20)]).mean()
    torch.testing.assert_close(mean, model[0].weight.mean(), rtol=0, atol=0.02)


def test_training_mixes_and_evaluation_does_not():
    model, plain = make(), make()
    mixout = Mixout(model, p=0.5)
    inputs = torch.randn(3, 4)
    torch.testing.assert_close(model.train()(inputs), plain(inputs))  # nothing has moved yet
    with torch.no_grad():
        for a, b in zip(model.parameters(), plain.parameters(), strict=True):
            b.copy_(a.add_(0.5))
    assert torch.equal(model.eval()(inputs), plain(inputs))
    assert not torch.equal(model.train()(inputs), plain(inputs))
    assert list(model.state_dict()) == list(plain.state_dict())
    copied = copy.deepcopy(model).train()
    assert torch.equal(copied(inputs), plain(inputs))
    with pytest.raises(RuntimeError):
        model(torch.ones(3, 5))
    mixout.remove()
    assert torch.equal(model(inputs), plain(inputs)) and "weight" not in model[0].__dict__


def test_a_given_reference():
    model = make()
    before = {n: t.clone() for n, t in model.state_dict().items()}
    with torch.no_grad():
        model[0].weight.zero_()
    mixout = Mixout(model, p=0.5, reference=before)
    assert torch.equal(mixout.reference["0.weight"], before["0.weight"])


def test_errors():
    with pytest.raises(ValueError, match=r"p must be a number in \[0, 1\)"):
        Mixout(make(), p=1.0)
    with pytest.raises(ValueError, match="the reference of '0.weight' is missing, the model has"):
        Mixout(make(), reference={})
    model = make()
    Mixout(model)
    with pytest.raises(ValueError, match="'0.weight' has Mixout already; remove the first"):
        Mixout(model)
    with pytest.raises(ValueError, match="Mixout is defined for torch.nn.Linear"):
        Mixout(nn.Sequential(nn.Conv1d(2, 2, 1)), prunable=lambda name, module: True)
