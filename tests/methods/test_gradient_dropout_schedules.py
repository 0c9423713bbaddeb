"""What trains in which epoch: annealing, shares without replacement, unfreezing, resuming."""

from __future__ import annotations

import copy
import json

import pytest
import torch
from torch import nn

from workbench.methods.gradient_dropout import GradientDropout
from workbench.methods.gradient_dropout.rates import annealed, frozen


def matrix(rows: int = 200) -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(rows, rows, bias=False)


def stack(count: int) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(*(nn.Linear(2, 2) for _ in range(count)))


def by_epoch(dropout: GradientDropout, epochs: int) -> list[torch.Tensor]:
    """One boolean vector of all elements per epoch."""
    out = []
    for epoch in range(epochs):
        dropout.set_epoch(epoch)
        dropout.step = 10 * epoch  # shares that are drawn once do not depend on it
        out.append(torch.cat([m.flatten() for m in dropout.masks().values()]))
    return out


def layers_on(dropout: GradientDropout, epochs: int) -> list[list[int]]:
    """The numbers of the layers that train, per epoch."""
    out = []
    for epoch in range(epochs):
        dropout.set_epoch(epoch)
        masks = dropout.masks()
        out.append([i for i in range(len(masks) // 2) if bool(masks[f"{i}.weight"].all())])
    return out


def test_the_annealed_rate_is_clamped():
    """As printed, 0.9 less 1/T in each epoch is -0.1 after T."""
    assert 0.9 - 10 * (1 / 10) == pytest.approx(-0.1)
    rates = [annealed(epoch, 10) for epoch in range(11)]
    assert rates == pytest.approx([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0, 0], abs=1e-12)
    assert min(rates) >= 0
    assert [annealed(epoch, 3) for epoch in range(3)] == pytest.approx([0.9, 0.9 - 1 / 3, 0.7 / 3])


@pytest.mark.parametrize("granularity", ["element", "layer"])
def test_annealing_drops_its_rate_anew_in_each_step(granularity):
    model = matrix() if granularity == "element" else stack(500)
    dropout = GradientDropout(
        model, schedule="anneal", epochs=3, granularity=granularity, steps_per_epoch=2
    )
    means, masks = [], []
    for dropout.step in range(8):
        masks.append(torch.cat([m.flatten() for m in dropout.masks().values()]))
        means.append(1 - masks[-1].float().mean().item())
    want = [0.9, 0.9, 0.5667, 0.5667, 0.2333, 0.2333, 0.2333, 0.2333]
    assert means == pytest.approx(want, abs=0.07)
    assert all(not torch.equal(a, b) for a, b in zip(masks[:-1], masks[1:], strict=True))
    assert dropout.rate == pytest.approx(0.2333, abs=1e-4)


def test_a_function_of_the_epoch_as_schedule():
    model, last = matrix(), 4
    dropout = GradientDropout(model, schedule=lambda epoch: 0.9 * (1 - epoch / (last - 1)))
    shares = [1 - m.float().mean().item() for m in by_epoch(dropout, last)]
    assert shares == pytest.approx([0.9, 0.6, 0.3, 0.0], abs=0.01)


@pytest.mark.parametrize("epochs", [1, 3, 5, 7])
def test_graddrop_epoch_is_cumulative_without_replacement(epochs):
    model, other = matrix(), matrix()
    opened = by_epoch(GradientDropout(model, schedule="epoch", epochs=epochs), epochs)
    toggled = by_epoch(GradientDropout(other, schedule="epoch-toggle", epochs=epochs), epochs)
    for early, late in zip(opened, opened[1:], strict=False):
        assert (late | ~early).all() and late.sum() > early.sum()
    shares = torch.stack(toggled)
    assert (shares.sum(0) == 1).all()  # disjoint, and every element once
    assert all(torch.equal(shares[: e + 1].any(0), opened[e]) for e in range(epochs))
    sizes = shares.float().mean(1)
    torch.testing.assert_close(sizes, torch.full((epochs,), 1 / epochs), rtol=0, atol=0.01)
    assert opened[-1].all()


def test_graddrop_epoch_of_layers_has_exact_counts():
    model = stack(12)
    dropout = GradientDropout(model, schedule="epoch", epochs=4, granularity="layer", seed=2)
    on = layers_on(dropout, 4)
    assert [len(each) for each in on] == [3, 6, 9, 12]
    assert all(set(a) < set(b) for a, b in zip(on, on[1:], strict=False))
    assert on[0] not in ([0, 1, 2], [9, 10, 11])
    again = GradientDropout(model, schedule="epoch-toggle", epochs=4, granularity="layer", seed=2)
    newest = layers_on(again, 4)
    assert [sorted(set(b) - set(a)) for a, b in zip([[], *on], on, strict=False)] == newest


def test_p_says_how_much_the_first_epoch_drops():
    model = matrix()
    dropout = GradientDropout(model, p=0.75, schedule="epoch")
    assert dropout.epochs == 4
    shares = [m.float().mean().item() for m in by_epoch(dropout, 4)]
    assert shares == pytest.approx([0.25, 0.5, 0.75, 1], abs=0.01)
    dropout = GradientDropout(model, p=0.5, schedule="epoch", epochs=3)
    shares = [m.float().mean().item() for m in by_epoch(dropout, 3)]
    assert shares == pytest.approx([0.5, 0.75, 1], abs=0.01)
    assert frozen(0, 1, 0.5) == 0


def test_a_fresh_mask_per_epoch():
    model = matrix()
    dropout = GradientDropout(model, p=0.5, schedule="epoch-fresh", steps_per_epoch=3)
    masks = []
    for dropout.step in range(6):
        masks.append(dropout.masks()["weight"])
    assert torch.equal(masks[0], masks[2]) and torch.equal(masks[3], masks[5])
    assert (masks[0] & masks[3]).float().mean().item() == pytest.approx(0.25, abs=0.01)


def test_gradual_unfreezing_from_either_end():
    model = stack(6)
    down = GradientDropout(model, schedule="top-down", epochs=3)
    assert layers_on(down, 4) == [[4, 5], [2, 3, 4, 5], [0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 5]]
    up = GradientDropout(model, schedule="bottom-up", epochs=3)
    assert layers_on(up, 3) == [[0, 1], [0, 1, 2, 3], [0, 1, 2, 3, 4, 5]]
    one_by_one = GradientDropout(model, schedule="top-down")  # Howard and Ruder: a layer an epoch
    assert layers_on(one_by_one, 6) == [list(range(5 - e, 6)) for e in range(6)]
    few = GradientDropout(model, schedule="top-down", epochs=8)
    assert [len(on) for on in layers_on(few, 8)] == [1, 2, 3, 3, 4, 5, 6, 6]


def test_six_of_24_layers_after_three_of_twelve_epochs():
    """The example of thesis section 10.4.1."""
    model = stack(24)
    dropout = GradientDropout(model, schedule="top-down", epochs=12)
    dropout.set_epoch(2)
    masks = dropout.masks()
    assert sum(bool(masks[f"{i}.weight"].all()) for i in range(24)) == 6


@pytest.mark.parametrize("schedule", ["epoch", "top-down"])
def test_frozen_shares_stay_until_their_epoch(schedule):
    """Under AdamW with decay, by ``mask="update"`` exactly; by ``mask="gradient"`` not."""
    for mask in ("update", "gradient"):
        model = stack(4)
        start = [p.detach().clone() for p in model.parameters()]
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.1)
        dropout = GradientDropout(model, schedule=schedule, epochs=4, steps_per_epoch=3, mask=mask)
        dropout.attach(optimizer)
        for _ in range(6):
            masks = dropout.masks()
            model(torch.ones(1, 2)).sum().backward()
            optimizer.step()
            optimizer.zero_grad()
        changed = [(p.detach() != s) for p, s in zip(model.parameters(), start, strict=True)]
        if mask == "update":
            assert all(torch.equal(c, masks[n]) for c, n in zip(changed, masks, strict=True))
        else:
            assert all(c.any() for c in changed)


SETTINGS = [
    {"p": 0.4},
    {"p": 0.4, "granularity": "layer", "mask": "update"},
    {"schedule": "anneal", "epochs": 3, "steps_per_epoch": 2},
    {"schedule": "epoch-toggle", "epochs": 3, "steps_per_epoch": 2, "mask": "update"},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_a_resumed_run_ends_as_the_whole_one(settings):
    def steps(model, optimizer, numbers):
        for number in numbers:
            model(torch.full((2, 2), float(number + 1))).square().sum().backward()
            optimizer.step()
            optimizer.zero_grad()

    whole = stack(3)
    optimizer = torch.optim.AdamW(whole.parameters(), lr=0.01)
    dropout = GradientDropout(whole, seed=4, **settings).attach(optimizer)
    steps(whole, optimizer, range(3))
    saved = json.loads(json.dumps(dropout.state_dict()))
    weights = {n: t.clone() for n, t in whole.state_dict().items()}
    moments = copy.deepcopy(optimizer.state_dict())
    steps(whole, optimizer, range(3, 6))

    half = stack(3)
    half.load_state_dict(weights)
    optimizer = torch.optim.AdamW(half.parameters(), lr=0.01)
    optimizer.load_state_dict(moments)
    dropout = GradientDropout(half, seed=4, **settings).attach(optimizer)
    dropout.load_state_dict(saved)
    assert dropout.step == 3
    steps(half, optimizer, range(3, 6))
    for a, b in zip(whole.parameters(), half.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_state_of_other_settings_is_refused():
    model = stack(2)
    state = GradientDropout(model, p=0.3, seed=1).state_dict()
    with pytest.raises(ValueError, match=r"written with p=0.3 \(here 0.2\), seed=1 \(here 0\); "):
        GradientDropout(model, p=0.2).load_state_dict(state)
    assert "schedule='constant', mask='gradient'" in repr(GradientDropout(model))


def test_epochs_are_told_in_one_way():
    model = stack(2)
    dropout = GradientDropout(model, schedule="epoch", epochs=2, steps_per_epoch=5)
    dropout.set_epoch(0)
    with pytest.raises(ValueError, match="at step 0 with steps_per_epoch=5, which makes it epoch"):
        dropout.set_epoch(1)
    with pytest.raises(ValueError, match="epoch must be at least 0, got -1"):
        GradientDropout(model).set_epoch(-1)
