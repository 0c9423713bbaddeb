"""Attached masks hold exactly, under every way of training that moves pruned weights."""

from __future__ import annotations

import copy
import gc
import weakref

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from workbench.methods import pruning
from workbench.methods.pruning import Masks
from workbench.methods.pruning.attachment import _FOLLOWERS, _HOLDERS

pytestmark = pytest.mark.unit

OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, nesterov=True, weight_decay=0.1),
    "adam": lambda p: torch.optim.Adam(p, 0.05, weight_decay=0.1, amsgrad=True),
    "adamw": lambda p: torch.optim.AdamW(p, 0.05, weight_decay=0.1),
    "adamw-plain-loop": lambda p: torch.optim.AdamW(p, 0.05, foreach=False),
    "rmsprop": lambda p: torch.optim.RMSprop(p, 0.01, momentum=0.9),
}


def network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(12, 24), nn.GELU(), nn.Linear(24, 8), nn.Linear(8, 3))


def backward(model: nn.Module, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(16, 12, generator=generator)
    y = torch.randint(3, (16,), generator=generator)
    F.cross_entropy(model(x), y).backward()


def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int = 4) -> None:
    for step in range(steps):
        optimizer.zero_grad()
        backward(model, step)
        optimizer.step()


def zeros_held(model: nn.Module, masks: Masks) -> bool:
    return all(not model.get_parameter(n)[~m].any() for n, m in masks.items())


def moved(model: nn.Module, before: nn.Module, masks: Masks) -> bool:
    return all(
        bool((model.get_parameter(n) != before.get_parameter(n))[m].any()) for n, m in masks.items()
    )


@pytest.mark.parametrize("given", [True, False], ids=["optimizer given", "any optimizer"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_zeros_stay_under_momentum_and_decay(name, given):
    model = network()
    optimizer = OPTIMIZERS[name](model.parameters())
    train(model, optimizer)  # the optimizer has momentum when the masks come
    masks = Masks.globally(pruning.magnitude(model), 0.3)
    before = copy.deepcopy(model)
    masks.attach(model, optimizer if given else None)
    assert masks.attached and zeros_held(model, masks)
    for _ in range(3):
        train(model, optimizer, 1)
        assert zeros_held(model, masks)
    assert moved(model, before, masks)


def test_without_masks_the_same_training_moves_pruned_weights():
    # The control: what the hooks are for.
    model = network()
    optimizer = OPTIMIZERS["adam"](model.parameters())
    train(model, optimizer)
    masks = Masks.globally(pruning.magnitude(model), 0.3)
    masks.apply(model)
    train(model, optimizer, 1)
    assert not zeros_held(model, masks)


def test_gradients_of_pruned_weights_are_zero_or_kept():
    model, twin = network(), network()
    masks = Masks.layerwise(pruning.magnitude(model), 0.5)
    masks.attach(model)
    Masks(masks).attach(twin, mask_gradients=False)
    for seed in (0, 1):  # accumulated over two batches
        backward(model, seed)
        backward(twin, seed)
    for name, mask in masks.items():
        ours, theirs = model.get_parameter(name).grad, twin.get_parameter(name).grad
        assert not ours[~mask].any() and theirs[~mask].any()
        assert torch.equal(ours[mask], theirs[mask])


def test_nan_gradients_of_pruned_weights_do_not_spread():
    model = nn.Sequential(nn.Linear(3, 1, bias=False))
    masks = Masks({"0.weight": torch.tensor([[True, False, True]])})
    masks.attach(model)
    (model(torch.ones(1, 3)) * torch.tensor([[float("nan")]])).sum().backward()
    assert model[0].weight.grad[0, 1] == 0 and model[0].weight.grad[0, 0].isnan()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_mixed_precision_with_a_gradient_scaler(dtype):
    model = network()
    optimizer = OPTIMIZERS["adamw"](model.parameters())
    masks = Masks.globally(pruning.magnitude(model), 0.3).attach(model, optimizer)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    for _ in range(3):
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=dtype):
            loss = model(torch.randn(8, 12)).float().square().mean()
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()
        assert zeros_held(model, masks)


def test_accelerate_with_gradient_accumulation():
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=2)
    model = network()
    model, optimizer = accelerator.prepare(model, OPTIMIZERS["adamw"](model.parameters()))
    masks = Masks.globally(pruning.magnitude(model), 0.2).attach(model, optimizer)
    before = copy.deepcopy(model)
    for _ in range(4):
        with accelerator.accumulate(model):
            accelerator.backward(model(torch.randn(8, 12)).square().mean())
            optimizer.step()
            optimizer.zero_grad()
        assert zeros_held(model, masks)
    assert moved(model, before, masks)


def test_a_deepcopy_is_plain_and_independent():
    model = network()
    optimizer = OPTIMIZERS["adam"](model.parameters())
    masks = Masks.globally(pruning.magnitude(model), 0.3).attach(model, optimizer)
    train(model, optimizer, 1)
    twin = copy.deepcopy(model)
    assert all(
        torch.equal(a, b) for a, b in zip(model.parameters(), twin.parameters(), strict=True)
    )
    assert not any(p._backward_hooks for p in twin.parameters())
    other = OPTIMIZERS["adam"](twin.parameters())
    train(twin, other)
    assert not zeros_held(twin, masks) and zeros_held(model, masks)
    again = copy.deepcopy(masks).attach(twin, other)
    train(twin, other)
    assert zeros_held(twin, again)
    copy.deepcopy(optimizer).step()  # does not call hooks of the first


def test_state_dict_sees_nothing():
    model = network()
    names = list(model.state_dict())
    memory = sum(p.numel() for p in model.parameters())
    masks = Masks.globally(pruning.magnitude(model), 0.3).attach(model)
    assert list(model.state_dict()) == names and not list(model.buffers())
    assert sum(p.numel() for p in model.parameters()) == memory
    plain = network(1)
    plain.load_state_dict(model.state_dict())
    assert zeros_held(plain, masks)


def test_load_state_dict_of_masks_is_applied():
    model = network()
    masks = Masks.globally(pruning.magnitude(model), 0.8).attach(model)
    sparser = Masks.globally(pruning.magnitude(model), 0.2, within=masks)
    masks.load_state_dict(sparser.state_dict())
    assert zeros_held(model, sparser)


def test_attaching_again_replaces_and_detaching_frees():
    model = network()
    optimizer = OPTIMIZERS["adamw"](model.parameters())
    first = Masks.globally(pruning.magnitude(model), 0.6).attach(model, optimizer)
    second = Masks.globally(pruning.magnitude(model), 0.3, within=first).attach(model, optimizer)
    assert second.attached and not first.attached
    assert len(optimizer._optimizer_step_post_hooks) == 1
    first.detach()  # no effect on the second
    train(model, optimizer)
    assert zeros_held(model, second)
    second.detach()
    second.detach()
    assert not optimizer._optimizer_step_post_hooks and not second.attached
    assert not any(p._backward_hooks for p in model.parameters())
    assert zeros_held(model, second)
    train(model, optimizer)
    assert not zeros_held(model, second)


def test_finalize_leaves_a_plain_model():
    gc.collect()
    model = network()
    masks = Masks.globally(pruning.magnitude(model), 0.3).attach(model)
    with torch.no_grad():
        model[0].weight.add_(1)  # somebody loaded other weights
    assert pruning.finalize(model) is model
    assert zeros_held(model, masks) and not masks.attached
    assert not any(p._backward_hooks for p in model.parameters())
    assert not any(p in _HOLDERS for p in model.parameters()) and not list(_FOLLOWERS)
    assert pruning.finalize(network()) is not None  # nothing attached: nothing to do


def test_a_forgotten_model_is_freed():
    model = network()
    optimizer = OPTIMIZERS["sgd"](model.parameters())
    Masks.globally(pruning.magnitude(model), 0.3).attach(model, optimizer)
    train(model, optimizer)
    gone = weakref.ref(model)
    del model, optimizer
    gc.collect()
    assert gone() is None
    other = network()
    train(other, OPTIMIZERS["sgd"](other.parameters()), 1)  # no stale hook complains


def test_masks_need_not_be_kept_alive():
    model = network()
    optimizer = OPTIMIZERS["adam"](model.parameters())
    masks = Masks.globally(pruning.magnitude(model), 0.3)
    copy.copy(masks).attach(model)  # dropped at once; the hooks remain
    gc.collect()
    train(model, optimizer)
    assert zeros_held(model, masks)


def test_frozen_and_moved_parameters():
    model = network()
    model[0].weight.requires_grad_(False)
    optimizer = OPTIMIZERS["adamw"](model.parameters())
    masks = Masks.globally(pruning.magnitude(model), 0.3).attach(model, optimizer)
    train(model, optimizer)
    model.to(torch.float64)
    assert zeros_held(model, masks)


def test_wrong_model_or_optimizer_is_refused():
    model = network()
    masks = Masks.globally(pruning.magnitude(model), 0.3)
    with pytest.raises(ValueError, match="SGD trains none of the masked parameters"):
        masks.attach(model, torch.optim.SGD(network().parameters(), 0.1))
    assert not masks.attached and model[0].weight.all()
    with pytest.raises(ValueError, match="Linear has no parameter '0.weight'"):
        masks.attach(nn.Linear(2, 2))
    with pytest.raises(ValueError, match=r"'0.weight' has shape \(5, 12\) in the model"):
        masks.attach(nn.Sequential(nn.Linear(12, 5), nn.GELU(), nn.Linear(24, 8), nn.Linear(8, 3)))


def test_data_parallel_and_compiled_wrappers_are_looked_through():
    model = network()
    wrapped = nn.DataParallel(model)
    assert list(pruning.magnitude(wrapped)) == ["0.weight", "2.weight", "3.weight"]
    masks = Masks.globally(pruning.magnitude(wrapped), 0.3).attach(wrapped)
    assert zeros_held(model, masks)
