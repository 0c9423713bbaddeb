"""Pruning and self-distillation inside a Trainer of a few steps."""

from __future__ import annotations

import copy

import pytest
import torch
from transformers import TrainingArguments

from workbench.methods import pruning
from workbench.methods.pruning import Masks
from workbench.methods.schedules import densities
from workbench.methods.self_distillation import SelfDistillation, task_loss
from workbench.methods.trainer import PruningCallback, SelfDistillationTrainer

pytestmark = pytest.mark.unit

FALLING = densities("geometric", 3, 0.2)


class Rows(torch.utils.data.Dataset):
    def __init__(self, count: int = 24) -> None:
        generator = torch.Generator().manual_seed(1)
        self.ids = torch.randint(60, (count, 8), generator=generator)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, i: int) -> dict[str, torch.Tensor]:
        return {"input_ids": self.ids[i], "labels": self.ids[i, 0] % 3}


def arguments(folder, **changes) -> TrainingArguments:
    settings = {"output_dir": str(folder), "max_steps": 6, "per_device_train_batch_size": 4,
                "per_device_eval_batch_size": 4, "use_cpu": True, "report_to": [],
                "save_strategy": "no", "logging_steps": 1, "disable_tqdm": True,
                "learning_rate": 0.01, "weight_decay": 0.1, "seed": 3,
                "dataloader_pin_memory": False}  # fmt: skip
    return TrainingArguments(**{**settings, **changes})


def trainer(model, folder, loss="kld", callbacks=(), **changes) -> SelfDistillationTrainer:
    teacher = None if loss == "none" else copy.deepcopy(model)
    return SelfDistillationTrainer(
        model=model,
        args=arguments(folder, **changes),
        train_dataset=Rows(),
        eval_dataset=Rows(8),
        teacher=teacher,
        distillation=SelfDistillation(loss),
        callbacks=list(callbacks),
    )


@pytest.mark.parametrize(
    ("loss", "scope"),
    [("none", "layerwise"), ("kld", "global"), ("cos", "layerwise"), ("cc", "global")],
)
def test_a_run_prunes_step_by_step_and_ends_plain(tmp_path, make_bert, loss, scope):
    model = make_bert()
    callback = PruningCallback(FALLING, scope=scope)
    run = trainer(model, tmp_path, loss, [callback])
    dense = copy.deepcopy(run.teacher)
    run.train()
    logged = [entry["density"] for entry in run.state.log_history if "density" in entry]
    assert logged[:6] == [d for d in FALLING[1:] for _ in range(2)]
    assert callback.masks.density == pytest.approx(0.2, abs=1e-3)
    found = Masks.from_zeros(model)
    assert all(torch.equal(found[n], callback.masks[n]) for n in found)
    assert not callback.masks.attached and not any(p._backward_hooks for p in model.parameters())
    if dense is not None:  # the teacher is left as it was
        pairs = zip(dense.parameters(), run.teacher.parameters(), strict=True)
        assert all(torch.equal(a, b) and b.grad is None for a, b in pairs)


def test_the_loss_is_the_objective_in_training_and_the_task_in_evaluation(tmp_path, make_bert):
    run = trainer(
        make_bert(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0), tmp_path, "cc"
    )
    run.teacher = make_bert(seed=5)
    batch = {k: torch.stack([row[k] for row in Rows(6)]) for k in ("input_ids", "labels")}
    loss, outputs = run.compute_loss(run.model.train(), batch, return_outputs=True)
    with torch.no_grad():
        taught = run.teacher(batch["input_ids"], output_hidden_states=True)
    want = SelfDistillation("cc")(outputs, taught, batch["labels"])
    torch.testing.assert_close(loss, want)
    loss, outputs = run.compute_loss(run.model.eval(), batch, return_outputs=True)
    torch.testing.assert_close(loss, task_loss(outputs.logits, batch["labels"]))
    prediction = run.predict(Rows(8))
    assert prediction.predictions.shape == (8, 3)
    assert prediction.metrics["test_loss"] == pytest.approx(run.evaluate()["eval_loss"])


def test_gradient_accumulation_is_a_mean(tmp_path, make_bert):
    ends = []
    for size, accumulate in ((8, 1), (4, 2)):
        model = make_bert(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
        run = trainer(model, tmp_path, "kld", per_device_train_batch_size=size, max_steps=2,
                      gradient_accumulation_steps=accumulate, optim="sgd")  # fmt: skip
        run.teacher = make_bert(seed=5)
        run.train()
        ends.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    torch.testing.assert_close(*ends, rtol=1e-4, atol=1e-6)


def test_a_resumed_run_ends_as_the_whole_one(tmp_path, make_bert):
    settings = {"save_strategy": "steps", "save_steps": 3, "save_only_model": False}
    ends = []
    for resume in (None, str(tmp_path / "checkpoint-3")):
        model = make_bert(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
        callback = PruningCallback(FALLING)
        run = trainer(model, tmp_path, "kld", [callback], **settings)
        run.train(resume_from_checkpoint=resume)
        assert callback.masks.density == pytest.approx(0.2, abs=2e-3)
        ends.append(model)
    for a, b in zip(*(m.parameters() for m in ends), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_phases_of_a_given_length_and_another_criterion(tmp_path, make_bert):
    callback = PruningCallback(
        (1.0, 0.5, 0.25), criterion=pruning.random, every=1,
        prunable=lambda name, module: name.endswith("query"),
    )  # fmt: skip
    run = trainer(make_bert(), tmp_path, "none", [callback], max_steps=3)
    run.train()
    assert [e["density"] for e in run.state.log_history if "density" in e][:3] == [0.5, 0.25, 0.25]
    assert len(callback.masks) == 2 and callback.masks.density == 0.25


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"densities": (0.9, 0.5)}, "densities must start at 1.0 and not rise"),
        ({"densities": (1.0, 0.5, 0.6)}, "densities must start at 1.0 and not rise"),
        ({"densities": (1.0,)}, "densities must start at 1.0 and not rise"),
        ({"densities": FALLING, "scope": "local"}, "scope must be 'layerwise' or 'global', got"),
        ({"densities": FALLING, "every": 0}, "every must be a number of optimizer steps, got 0"),
    ],
)
def test_callback_refusals(given, message):
    with pytest.raises(ValueError, match=message):
        PruningCallback(**given)


def test_run_refusals(tmp_path, make_bert):
    model = make_bert()
    with pytest.raises(
        ValueError, match="3 pruning steps need at least 3 optimizer steps, the run has 2"
    ):
        trainer(model, tmp_path, "none", [PruningCallback(FALLING)], max_steps=2).train()
    best = {"load_best_model_at_end": True, "save_strategy": "steps", "eval_strategy": "steps",
            "save_steps": 2, "eval_steps": 2}  # fmt: skip
    with pytest.raises(ValueError, match="load_best_model_at_end would end the run with a denser"):
        trainer(model, tmp_path, "none", [PruningCallback(FALLING)], **best).train()
    with pytest.raises(ValueError, match="the teacher is the model that is trained"):
        SelfDistillationTrainer(model=model, args=arguments(tmp_path), teacher=model)
    with pytest.raises(ValueError, match="loss 'cc' needs a teacher; got None"):
        SelfDistillationTrainer(model=model, args=arguments(tmp_path))
