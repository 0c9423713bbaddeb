"""Optimal brain damage: the exact diagonal of the Hessian is the oracle."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.autograd.functional import hessian
from torch.func import functional_call
from torch.nn import functional as F

from workbench.methods import pruning

pytestmark = pytest.mark.unit


@pytest.fixture
def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).double()


@pytest.fixture
def batches() -> list[tuple[torch.Tensor, torch.Tensor]]:
    """5 and 2 rows."""
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(7, 4, generator=generator, dtype=torch.float64)
    targets = torch.randint(3, (7,), generator=generator)
    return list(zip(inputs.split(5), targets.split(5), strict=True))


def exact_hessian(net, inputs, targets) -> torch.Tensor:
    """(35, 35): all weights of both layers, flattened and joined."""
    first, second = net[0].weight.detach(), net[2].weight.detach()

    def loss(flat):
        split = {"0.weight": flat[:20].view(5, 4), "2.weight": flat[20:].view(3, 5)}
        return F.cross_entropy(functional_call(net, split, (inputs,)), targets)

    return hessian(loss, torch.cat([first.reshape(-1), second.reshape(-1)]))


def test_the_estimate_converges_to_the_exact_diagonal(net, batches):
    samples = 400
    generator = torch.Generator().manual_seed(0)
    scores = pruning.optimal_brain_damage(net, batches, samples=samples, generator=generator)
    weights = torch.cat([net[0].weight.detach().reshape(-1), net[2].weight.detach().reshape(-1)])
    expected, variance = torch.zeros(35).double(), torch.zeros(35).double()
    for inputs, targets in batches:
        matrix, share = exact_hessian(net, inputs, targets), len(inputs) / 7
        expected += share * matrix.diagonal()
        # The variance that the docstring states, of each batch's own signs.
        variance += share**2 * (matrix.square().sum(1) - matrix.diagonal().square()) / samples
    estimate = torch.cat([s.reshape(-1) for s in scores.values()])
    error = (estimate - expected * weights**2 / 2).abs() / (variance.sqrt() * weights**2 / 2)
    # 35 standardised errors: P(one of them above 4) = 0.2%, and about 68% lie below 1.
    assert error.max() < 4
    assert 0.4 < (error < 1).double().mean() < 0.95


def test_a_diagonal_hessian_is_exact_with_one_sample(net):
    curvature = torch.arange(1.0, 21.0, dtype=torch.float64).view(5, 4)
    scores = pruning.optimal_brain_damage(
        net, [torch.zeros(1)], samples=1, loss=lambda m, b: (curvature * m[0].weight ** 2).sum()
    )
    # h = 2 c, so the score is c w^2: what the loss rises by, exactly.
    torch.testing.assert_close(scores["0.weight"], curvature * net[0].weight.detach() ** 2)
    assert not scores["2.weight"].any()


def test_a_linear_loss_has_no_curvature(net):
    scores = pruning.optimal_brain_damage(
        net, [torch.zeros(1)], loss=lambda m, b: m[0].weight.sum() + m[2].weight.sum()
    )
    assert not any(s.any() for s in scores.values())


def test_the_seed_decides(net, batches):
    def score(seed):
        generator = torch.Generator().manual_seed(seed)
        return pruning.optimal_brain_damage(net, batches, samples=2, generator=generator)

    assert torch.equal(score(0)["0.weight"], score(0)["0.weight"])
    assert not torch.equal(score(0)["0.weight"], score(1)["0.weight"])


@pytest.mark.parametrize("samples", [0, -1, 1.5, True])
def test_bad_samples(net, batches, samples):
    with pytest.raises(ValueError, match=r"samples=.*; allowed: 1 and more"):
        pruning.optimal_brain_damage(net, batches, samples=samples)
