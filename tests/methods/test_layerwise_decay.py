"""Layer-wise learning rates: one factor per layer, every parameter in exactly one group."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from workbench.methods.layerwise_decay import layerwise_decay


def test_rates_fall_from_the_head_to_the_embeddings(make_bert):
    model = make_bert(num_hidden_layers=3)
    groups = layerwise_decay(model, lr=0.1, decay=0.5, weight_decay=0.01)
    rates = {g["layer"].removeprefix("bert.encoder."): g["lr"] for g in groups}
    want = {"head": 0.1, "layer.2": 0.1, "layer.1": 0.05, "layer.0": 0.025, "embeddings": 0.0125}
    assert rates == pytest.approx(want)
    assert all(g["times"] == pytest.approx(g["lr"] / 0.1) for g in groups)
    grouped = [id(p) for g in groups for p in g["params"]]
    assert sorted(grouped) == sorted(id(p) for p in model.parameters())
    assert all((p.ndim > 1) == (g["weight_decay"] > 0) for g in groups for p in g["params"])


def test_a_step_of_plain_descent_moves_each_layer_by_its_rate():
    model = nn.Sequential(*(nn.Linear(2, 2) for _ in range(3)))
    before = [m.weight.detach().clone() for m in model]
    optimizer = torch.optim.SGD(layerwise_decay(model, lr=1.0, decay=0.5), lr=1.0)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    for layer, old, rate in zip(model, before, (0.25, 0.5, 1.0), strict=True):
        torch.testing.assert_close(old - layer.weight, torch.full((2, 2), rate))


def test_errors():
    with pytest.raises(ValueError, match=r"decay must be in \(0, 1\].*got 1.5"):
        layerwise_decay(nn.Linear(2, 2), lr=0.1, decay=1.5)
    with pytest.raises(ValueError, match="lr=-1 and weight_decay=0.0 must be at least 0"):
        layerwise_decay(nn.Linear(2, 2), lr=-1)
    with pytest.raises(ValueError, match="Linear has no trainable parameter"):
        layerwise_decay(nn.Linear(2, 2).requires_grad_(False), lr=0.1)
