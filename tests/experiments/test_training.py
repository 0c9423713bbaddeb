"""The training loop, against a loop written out in torch and against itself resumed."""

import numpy as np
import pytest
import torch
from torch import nn

from workbench.experiments.training import (
    Phase,
    Settings,
    batches,
    derive,
    load_trainable,
    trainable_state,
)

X = torch.randn(40, 6, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long()


def net(dropout=0.1):
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(6, 8), nn.Dropout(dropout), nn.Tanh(), nn.Linear(8, 2))


def loss(model, batch):
    return nn.functional.cross_entropy(model(batch["x"]), batch["y"])


def phase(model, **changes):
    settings = Settings(
        **{**dict(updates=9, learning_rate=1e-2, batch_size=8, device="cpu"), **changes}
    )
    collate = lambda i: {"x": X[i], "y": Y[i]}  # noqa: E731
    return Phase(model, [1] * 40, collate, loss, settings, "test")


def test_an_epoch_of_batches_holds_every_row_once_and_depends_on_the_seed_alone():
    lengths = np.random.default_rng(0).integers(3, 40, 103).tolist()
    cut = batches(lengths, 8, 0, "a", 0)
    assert sorted(i for batch in cut for i in batch) == list(range(103))
    assert cut == batches(lengths, 8, 0, "a", 0) != batches(lengths, 8, 0, "a", 1)
    padding = lambda cut: sum(max(lengths[i] for i in b) * len(b) for b in cut)  # noqa: E731
    unsorted = [list(range(k, min(k + 8, 103))) for k in range(0, 103, 8)]
    assert padding(cut) < 0.8 * padding(unsorted)


def test_derived_seeds_differ_and_are_stable():
    assert derive(0, "head") == derive(0, "head")
    assert len({derive(seed, name) for seed in range(20) for name in "abc"}) == 60


def test_the_loop_equals_one_written_out():
    model = net(dropout=0.0)
    losses = [value for _, value in phase(model, weight_decay=0.0, warmup=0.3).updates()]
    other, order = net(dropout=0.0), []
    for epoch in range(3):
        order += batches([1] * 40, 8, 0, "test", epoch)
    optimizer = torch.optim.AdamW(other.parameters(), weight_decay=0.0)
    expected = []
    for update in range(9):
        share = min((update + 1) / 3, (9 - update) / 7)
        optimizer.param_groups[0]["lr"] = 1e-2 * share
        value = nn.functional.cross_entropy(other(X[order[update]]), Y[order[update]])
        optimizer.zero_grad()
        value.backward()
        nn.utils.clip_grad_norm_(other.parameters(), 1.0)
        optimizer.step()
        expected.append(value.item())
    assert losses == pytest.approx(expected, abs=1e-7)
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_stopped_anywhere_and_resumed_it_ends_with_the_same_bits():
    whole = net()
    losses = [value for _, value in phase(whole).updates()]
    for stop in range(1, 9):
        first = net()
        before = phase(first)
        for update, _ in before.updates():
            if update == stop:
                break
        saved = trainable_state(first), before.state()
        second = net()
        torch.rand(stop)  # whatever the process drew meanwhile must not matter
        load_trainable(second, saved[0])
        after = phase(second)
        after.resume(stop, saved[1])
        assert [value for _, value in after.updates()] == losses[stop:]
        for a, b in zip(whole.parameters(), second.parameters(), strict=True):
            assert torch.equal(a, b)


def test_accumulation_of_halves_is_the_whole_batch():
    halves, whole = net(0.0), net(0.0)
    settings = dict(updates=1, batch_size=20, max_grad_norm=0.0)
    list(phase(halves, accumulation=2, **settings).updates())
    collate = lambda i: {"x": X, "y": Y}  # noqa: E731
    all_at_once = Phase(
        whole,
        [1] * 40,
        collate,
        loss,
        Settings(updates=1, learning_rate=1e-2, batch_size=40, max_grad_norm=0.0, device="cpu"),
        "t",
    )
    list(all_at_once.updates())
    for a, b in zip(halves.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=0)


def test_frozen_parameters_are_left_out_and_differences_are_named():
    model = net()
    model[0].requires_grad_(False)
    state = trainable_state(model)
    assert list(state) == ["3.weight", "3.bias"]
    with pytest.raises(ValueError, match="differ in \\['0.bias'"):
        load_trainable(net(), state)
    with pytest.raises(ValueError, match="3.bias has shapes"):
        load_trainable(model, {**state, "3.bias": np.zeros(5, np.float32)})


def test_a_loss_that_is_not_finite_stops_the_run_with_advice():
    model = net()
    with torch.no_grad():
        model[0].weight.fill_(float("nan"))
    with pytest.raises(FloatingPointError, match="became nan at update 1; lower learning_rate"):
        list(phase(model).updates())


def test_bf16_trains():
    model = net()
    values = [value for _, value in phase(model, precision="bf16", updates=3).updates()]
    assert np.isfinite(values).all() and model[0].weight.dtype == torch.float32
