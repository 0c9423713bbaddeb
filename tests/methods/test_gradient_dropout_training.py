"""Gradient dropout among clipping, accumulation, mixed precision, accelerate and Trainer."""

from __future__ import annotations

import copy
import gc
import weakref

import pytest
import torch
from torch import nn
from transformers import Trainer, TrainingArguments

from workbench.methods.gradient_dropout import GradientDropout
from workbench.methods.gradient_dropout.trainer import GradientDropoutCallback


def make(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 10), nn.Tanh(), nn.Linear(10, 2))


def back(model: nn.Module, seed: int = 0) -> None:
    inputs = torch.randn(5, 6, generator=torch.Generator().manual_seed(seed))
    model(inputs).square().mean().backward()


def weights(model: nn.Module) -> list[torch.Tensor]:
    return [p.detach().clone() for p in model.parameters()]


def test_an_optimizer_is_followed_until_removed():
    model = make()
    dropout = GradientDropout(model, p=0.5, mask="update")
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    other = torch.optim.AdamW(make(1).parameters(), lr=0.1)
    masks, before = list(dropout.masks().values()), weights(model)
    back(model)
    other.step()
    optimizer.step()
    moved = [a != b for a, b in zip(before, weights(model), strict=True)]
    assert all(torch.equal(a, b) for a, b in zip(moved, masks, strict=True))
    assert dropout.step == 1 and dropout.attached
    dropout.remove()
    optimizer.step()
    assert dropout.step == 1 and not dropout.attached


def test_attached_to_one_optimizer_others_are_free():
    model = make()
    first, second = (torch.optim.SGD(model.parameters(), lr=0.1) for _ in range(2))
    dropout = GradientDropout(model, p=0.9).attach(first)
    back(model)
    gradients = [p.grad.clone() for p in model.parameters()]
    second.step()
    pairs = zip(model.parameters(), gradients, strict=True)
    assert dropout.step == 0 and all(torch.equal(p.grad, g) for p, g in pairs)
    first.step()
    assert dropout.step == 1 and any((p.grad == 0).any() for p in model.parameters())


def test_the_newest_replaces_an_older_one():
    model = make()
    old = GradientDropout(model, p=0.9)
    new = GradientDropout(model, p=0.0)
    assert not old.attached and new.attached
    optimizer, before = torch.optim.SGD(model.parameters(), lr=0.1), weights(model)
    back(model)
    optimizer.step()
    assert all((a != b).all() for a, b in zip(before, weights(model), strict=True))


def test_nothing_is_added_to_the_model_and_it_can_be_freed():
    model = make()
    GradientDropout(model, p=0.5, mask="update")
    copied = copy.deepcopy(model)
    assert list(model.state_dict()) == list(make().state_dict())
    optimizer, before = torch.optim.SGD(copied.parameters(), lr=0.1), weights(copied)
    back(copied)
    optimizer.step()
    assert all((a != b).all() for a, b in zip(before, weights(copied), strict=True))
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None


def test_parameters_without_gradient_are_left_alone():
    model = make()
    model[0].requires_grad_(False)
    optimizer, before = torch.optim.AdamW(model.parameters(), lr=0.1), weights(model)
    GradientDropout(model, p=0.5, mask="update").attach(optimizer)
    back(model)
    optimizer.step()
    assert torch.equal(before[0], model[0].weight) and not torch.equal(before[2], model[2].weight)


def test_accumulated_gradients_get_one_mask():
    model = make()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    dropout = GradientDropout(model, p=0.5).attach(optimizer)
    masks = dropout.masks()
    for batch in range(3):
        back(model, batch)
    full = {n: p.grad.clone() for n, p in model.named_parameters()}
    optimizer.step()
    assert dropout.step == 1
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter.grad, full[name] * masks[name])


def test_clipping_sees_all_gradients_or_those_that_are_left():
    norms = []
    for early in (False, True):
        model = make()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        dropout = GradientDropout(model, p=0.8, rescale=True).attach(optimizer)
        back(model)
        masks = dropout.masks()
        raw = {n: p.grad.clone() for n, p in model.named_parameters()}
        if early:
            dropout.apply()
        norms.append(float(nn.utils.clip_grad_norm_(model.parameters(), 1e9)))
        optimizer.step()
        for name, parameter in model.named_parameters():  # rescaled once
            torch.testing.assert_close(parameter.grad, raw[name] * masks[name] * 5)
    assert norms[0] != norms[1]


def test_a_closure_masks_by_itself():
    model = make()
    optimizer = torch.optim.LBFGS(model.parameters(), lr=0.1, max_iter=3)
    dropout = GradientDropout(model, p=0.5).attach(optimizer)
    masks, before = list(dropout.masks().values()), weights(model)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = model(torch.ones(3, 6)).square().mean()
        loss.backward()
        dropout.apply()
        return loss

    optimizer.step(closure)
    moved = [a != b for a, b in zip(before, weights(model), strict=True)]
    assert all((m & ~k).sum() == 0 for m, k in zip(moved, masks, strict=True))


@pytest.mark.parametrize("fused", [False, True])
def test_a_gradient_scaler(fused):
    """A step that overflows is skipped and draws no mask; others are as without scaling."""
    ends = []
    for scaled in (False, True):
        model = make()
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, fused=fused)
        dropout = GradientDropout(model, p=0.5, mask="update").attach(optimizer)
        scaler = torch.amp.GradScaler("cpu", init_scale=8.0, enabled=scaled)
        before = weights(model)
        if scaled and not fused:
            scaler.scale(model(torch.full((1, 6), torch.inf)).sum()).backward()
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad()
            assert dropout.step == 0
            assert all(torch.equal(a, b) for a, b in zip(before, weights(model), strict=True))
        for step in range(3):
            scaler.scale(model(torch.full((2, 6), step + 1.0)).square().mean()).backward()
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad()
        ends.append(weights(model))
    for a, b in zip(*ends, strict=True):
        torch.testing.assert_close(a, b)


def test_bfloat16_weights():
    model = make().bfloat16()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    dropout = GradientDropout(model, p=0.5, mask="update").attach(optimizer)
    masks, before = list(dropout.masks().values()), weights(model)
    model(torch.ones(2, 6, dtype=torch.bfloat16)).sum().backward()
    optimizer.step()
    moved = [a != b for a, b in zip(before, weights(model), strict=True)]
    assert all((m & ~k).sum() == 0 for m, k in zip(moved, masks, strict=True))
    assert sum(int(m.sum()) for m in moved) > 0


def test_accelerate_with_accumulation():
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState, GradientState

    AcceleratorState._reset_state(True)
    GradientState._reset_state()
    model = make()
    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=2)
    model, optimizer = accelerator.prepare(model, torch.optim.AdamW(model.parameters(), lr=0.1))
    dropout = GradientDropout(model, p=0.5, mask="update").attach(optimizer)
    masks, before = list(dropout.masks().values()), weights(model)
    for batch in range(2):
        with accelerator.accumulate(model):
            accelerator.backward(model(torch.randn(3, 6)).square().mean())
            optimizer.step()
            optimizer.zero_grad()
        assert dropout.step == batch
    moved = [a != b for a, b in zip(before, weights(model), strict=True)]
    assert all(torch.equal(a, b) for a, b in zip(moved, masks, strict=True))


class Rows(torch.utils.data.Dataset):
    def __init__(self, count: int = 24) -> None:
        self.ids = torch.randint(60, (count, 8), generator=torch.Generator().manual_seed(1))

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, i: int) -> dict[str, torch.Tensor]:
        return {"input_ids": self.ids[i], "labels": self.ids[i, 0] % 3}


def trainer(model, folder, callback, **changes) -> Trainer:
    settings = {"output_dir": str(folder), "num_train_epochs": 3, "use_cpu": True, "seed": 3,
                "per_device_train_batch_size": 8, "report_to": [], "save_strategy": "no",
                "logging_steps": 1, "disable_tqdm": True, "learning_rate": 0.01,
                "weight_decay": 0.1, "dataloader_pin_memory": False}  # fmt: skip
    args = TrainingArguments(**{**settings, **changes})
    return Trainer(model=model, args=args, train_dataset=Rows(), callbacks=[callback])


def test_a_trainer_anneals_by_its_own_epochs(tmp_path, make_bert):
    callback = GradientDropoutCallback(schedule="anneal")
    run = trainer(make_bert(), tmp_path, callback)
    run.train()
    logged = [e["gradient_dropout"] for e in run.state.log_history if "loss" in e]
    want = [0.9] * 3 + [0.9 - 1 / 3] * 3 + [0.9 - 2 / 3] * 3
    assert logged == pytest.approx(want)
    assert callback.dropout.seed == 3 and not callback.dropout.attached


def test_a_trainer_resumes_bit_for_bit(tmp_path, make_bert):
    settings = {"save_strategy": "steps", "save_steps": 4, "gradient_accumulation_steps": 1}
    ends = []
    for resume in (None, str(tmp_path / "checkpoint-4")):
        model = make_bert(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
        callback = GradientDropoutCallback(schedule="epoch-toggle", mask="update")
        trainer(model, tmp_path, callback, **settings).train(resume_from_checkpoint=resume)
        assert callback.dropout.step == 9 and callback.dropout.epochs == 3
        ends.append(model)
    for a, b in zip(*(m.parameters() for m in ends), strict=True):
        assert torch.equal(a, b)


def test_unfreezing_in_a_trainer(tmp_path, make_bert):
    model = make_bert()
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    callback = GradientDropoutCallback(schedule="top-down", mask="update", epochs=2)
    trainer(model, tmp_path, callback, num_train_epochs=1).train()
    moved = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
    assert not any(n.startswith("bert.encoder.layer.0.") for n in moved)
    assert {"bert.encoder.layer.1.output.dense.weight", "classifier.weight"} <= moved


def test_errors_of_the_callback(tmp_path, make_bert):
    with pytest.raises(TypeError, match="takes no 'rate'; its settings are"):
        GradientDropoutCallback(rate=0.2)
    with pytest.raises(TypeError, match="takes no 'steps_per_epoch'"):
        GradientDropoutCallback(steps_per_epoch=2)
    args = TrainingArguments(output_dir=str(tmp_path), use_cpu=True, report_to=[])
    args.deepspeed = {"zero": 3}
    with pytest.raises(ValueError, match="DeepSpeed and FSDP split; train with data parallelism"):
        GradientDropoutCallback().on_train_begin(args, None, None)
