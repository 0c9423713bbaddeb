"""Gradient, Taylor, SNIP, Fisher, movement: against slow loops, differences and torch.func."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional as F

from workbench.methods import pruning
from workbench.methods.pruning import Masks, Movement

pytestmark = pytest.mark.unit

SIMPLE = ("gradient", "taylor", "snip", "fisher", "movement")


@pytest.fixture
def net() -> nn.Module:
    """Two layers at float64, with dropout that would show if it were on."""
    torch.manual_seed(0)
    layers = (nn.Linear(5, 7), nn.Tanh(), nn.Dropout(0.5), nn.Linear(7, 3))
    return nn.Sequential(*layers).double().train()


@pytest.fixture
def batches() -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Three batches of unequal size: 4, 4 and 3 rows."""
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(11, 5, generator=generator, dtype=torch.float64)
    targets = torch.randint(3, (11,), generator=generator)
    return list(zip(inputs.split(4), targets.split(4), strict=True))


def weights(net: nn.Module) -> dict[str, torch.Tensor]:
    return {name: net.get_parameter(name).detach() for name in ("0.weight", "3.weight")}


def example_gradients(net: nn.Module, batches) -> dict[str, torch.Tensor]:
    """The oracle: (examples, outputs, inputs) by torch.func."""
    parameters = {name: p.detach() for name, p in net.named_parameters()}
    inputs, targets = (torch.cat(parts) for parts in zip(*batches, strict=True))
    flags = net.training
    net.eval()

    def loss(parameters, x, y):
        return F.cross_entropy(functional_call(net, parameters, (x[None],)), y[None])

    found = vmap(grad(loss), in_dims=(None, 0, 0))(parameters, inputs, targets)
    net.train(flags)
    return {name: found[name] for name in weights(net)}


def close(scores, expected):
    assert scores.keys() == expected.keys()
    for name, tensor in expected.items():
        # Sums of a few dozen doubles in another order.
        torch.testing.assert_close(scores[name], tensor, rtol=1e-10, atol=1e-14)


def test_gradient_is_the_absolute_mean_over_all_examples(net, batches):
    single = example_gradients(net, batches)
    close(pruning.gradient(net, batches), {n: g.mean(0).abs() for n, g in single.items()})


def test_gradient_by_central_differences(net, batches):
    scores = pruning.gradient(net, batches)
    net.eval()
    inputs, targets = (torch.cat(parts) for parts in zip(*batches, strict=True))
    weight, step = net[3].weight, 1e-6
    for index in ((0, 0), (2, 6), (1, 3)):
        values = []
        with torch.no_grad():
            for sign in (1, -1):
                weight[index] += sign * step
                values.append(F.cross_entropy(net(inputs), targets).item())
                weight[index] -= sign * step
        # Error of order step^2 from truncation and 1e-16 / step from rounding.
        slope = abs(values[0] - values[1]) / (2 * step)
        assert scores["3.weight"][index].item() == pytest.approx(slope, abs=1e-8)


def test_taylor_of_the_mean_of_batches_and_of_examples(net, batches):
    single, at = example_gradients(net, batches), weights(net)
    close(pruning.taylor(net, batches), {n: (g.mean(0) * at[n]).abs() for n, g in single.items()})
    each = {n: (g * at[n]).abs().mean(0) for n, g in single.items()}
    close(pruning.taylor(net, batches, per="example"), each)
    parts = {n: [(g * at[n]).mean(0).abs() for g in gs.split(4)] for n, gs in single.items()}
    weighted = {n: (4 * a + 4 * b + 3 * c) / 11 for n, (a, b, c) in parts.items()}
    close(pruning.taylor(net, batches, per="batch"), weighted)
    with pytest.raises(ValueError, match="per='row'; allowed: 'all', 'batch' or 'example'"):
        pruning.taylor(net, batches, per="row")


def test_snip_is_the_gradient_of_gates_as_a_share(net, batches):
    net.eval()
    gates = {n: torch.ones_like(w, requires_grad=True) for n, w in weights(net).items()}
    gated = {n: gates[n] * w for n, w in weights(net).items()}
    inputs, targets = (torch.cat(parts) for parts in zip(*batches, strict=True))
    F.cross_entropy(functional_call(net, gated, (inputs,)), targets).backward()
    total = sum(gate.grad.abs().sum() for gate in gates.values())
    scores = pruning.snip(net, batches)
    close(scores, {n: gate.grad.abs() / total for n, gate in gates.items()})
    assert sum(s.sum().item() for s in scores.values()) == pytest.approx(1, abs=1e-12)
    taylor = pruning.taylor(net, batches)
    ranked = [Masks.globally(given, 0.3) for given in (scores, taylor)]
    assert all(torch.equal(ranked[0][n], ranked[1][n]) for n in scores)


def test_snip_of_zero_sensitivity_is_refused(net, batches):
    with torch.no_grad():
        for weight in (net[0].weight, net[3].weight):
            weight.zero_()
    with pytest.raises(ValueError, match="zero for every prunable weight"):
        pruning.snip(net, batches)


def test_fisher_per_example_and_per_batch(net, batches):
    single, at = example_gradients(net, batches), weights(net)
    exact = {n: (g**2).mean(0) * at[n] ** 2 / 2 for n, g in single.items()}
    close(pruning.fisher(net, batches), exact)
    whole = [tuple(torch.cat(parts) for parts in zip(*batches, strict=True))]
    close(pruning.fisher(net, whole), exact)  # however the examples are cut
    rows = [(x[None], y[None]) for x, y in zip(*whole[0], strict=True)]
    close(pruning.fisher(net, rows, per="batch"), exact)
    square = {n: g.mean(0) ** 2 * at[n] ** 2 / 2 for n, g in single.items()}
    close(pruning.fisher(net, whole, per="batch"), square)
    with pytest.raises(ValueError, match="per='all'; allowed: 'batch' or 'example'"):
        pruning.fisher(net, batches, per="all")


def test_movement_at_fixed_weights(net, batches):
    single, at = example_gradients(net, batches), weights(net)
    scores = pruning.movement(net, batches)
    close(scores, {n: -g.mean(0) * at[n] for n, g in single.items()})
    taylor = pruning.taylor(net, batches)
    close({n: s.abs() for n, s in scores.items()}, taylor)


def train(net, moved, batches, steps, optimizer):
    for step in range(steps):
        inputs, targets = batches[step % len(batches)]
        optimizer.zero_grad()
        F.cross_entropy(net(inputs), targets).backward()
        moved.update()
        optimizer.step()


def test_movement_accumulates_along_training_and_resumes(net, batches):
    net.eval()  # the same numbers twice
    moved = Movement(net)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    expected = {n: torch.zeros_like(w) for n, w in weights(net).items()}
    for inputs, targets in batches:
        optimizer.zero_grad()
        F.cross_entropy(net(inputs), targets).backward()
        for name, total in expected.items():
            parameter = net.get_parameter(name)
            total -= parameter.detach() * parameter.grad
        moved.update()
        optimizer.step()
    close(moved.scores(), expected)

    resumed = Movement(net)
    resumed.load_state_dict({n: t.clone() for n, t in moved.state_dict().items()})
    before = {n: p.detach().clone() for n, p in net.named_parameters()}
    train(net, moved, batches, 4, optimizer)
    net.load_state_dict(before)
    train(net, resumed, batches, 4, optimizer)
    assert all(torch.equal(moved.scores()[n], s) for n, s in resumed.scores().items())
    scores = moved.scores()
    scores["0.weight"].zero_()
    assert moved.scores()["0.weight"].any()  # copies


def test_movement_follows_the_direction_of_descent(net, batches):
    net.eval()
    scores, before = pruning.movement(net, batches), weights(net)
    before = {n: w.clone() for n, w in before.items()}
    inputs, targets = (torch.cat(parts) for parts in zip(*batches, strict=True))
    F.cross_entropy(net(inputs), targets).backward()
    torch.optim.SGD(net.parameters(), lr=1e-4).step()
    for name, weight in weights(net).items():
        assert torch.equal(weight.abs() > before[name].abs(), scores[name] > 0)


def test_movement_errors(net, batches):
    moved = Movement(net)
    with pytest.raises(ValueError, match=r"call update\(\) after backward\(\)"):
        moved.update()
    net[0].weight.grad = torch.ones_like(net[0].weight)
    net[3].weight.grad = torch.full_like(net[3].weight, float("inf"))
    with pytest.raises(ValueError, match="gradient of '3.weight' is not finite; under a gradient"):
        moved.update()
    assert not any(s.any() for s in moved.scores().values())
    with pytest.raises(ValueError, match=r"name different parameters: \['3.weight'\]"):
        moved.load_state_dict({"0.weight": torch.zeros(7, 5)})
    with pytest.raises(ValueError, match=r"'0.weight' has shape \(5, 7\) in the state"):
        moved.load_state_dict({"0.weight": torch.zeros(5, 7), "3.weight": torch.zeros(3, 7)})


@pytest.mark.parametrize("name", SIMPLE)
def test_duplicating_every_example_changes_nothing(net, batches, name):
    criterion = getattr(pruning, name)
    close(criterion(net, batches + batches), criterion(net, batches))


@pytest.mark.parametrize("name", SIMPLE)
def test_pruned_weights_under_attached_masks(net, batches, name):
    masks = Masks.globally(pruning.magnitude(net), 0.5).attach(net)
    scores = getattr(pruning, name)(net, batches)
    assert all(not scores[n][~masks[n]].any() for n in masks)
    further = Masks.globally(scores, 0.2, within=masks)
    assert all(bool((masks[n] | ~further[n]).all()) for n in masks)


@pytest.mark.parametrize("name", SIMPLE)
def test_regression_targets_and_a_loss_of_ones_own(net, batches, name):
    criterion = getattr(pruning, name)
    pairs = [(x, x[:, :3].clone()) for x, _ in batches]
    own = criterion(net, [{"x": x} for x, _ in batches], loss=lambda m, b: F.mse_loss(
        m(b["x"]), b["x"][:, :3]))  # fmt: skip
    close(criterion(net, pairs), own)
