"""AlignReg inside a Trainer of a few steps."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import pytest
import torch
from transformers import Trainer, TrainingArguments

from workbench.methods.alignment import AlignReg, cosine, frobenius
from workbench.methods.pruning import Masks, prunable_parameters
from workbench.methods.schedules import densities
from workbench.methods.trainer import AlignRegCallback, PruningCallback

pytestmark = pytest.mark.unit


class Rows(torch.utils.data.Dataset):
    def __init__(self, count: int = 24) -> None:
        self.ids = torch.randint(60, (count, 8), generator=torch.Generator().manual_seed(1))

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, i: int) -> dict[str, torch.Tensor]:
        return {"input_ids": self.ids[i], "labels": self.ids[i, 0] % 3}


class MeanLoss(Trainer):
    """BERT's loss is a mean over each batch, which the Trainer does not see for itself."""

    loss_is_scaled_for_ga = False


class AddedToTheLoss(MeanLoss):
    """The regulariser as equation 9.3 writes it, to compare the callback with."""

    align: AlignReg

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        outputs = model(**inputs)
        loss = outputs.loss + self.align(model)
        return (loss, outputs) if return_outputs else loss


def trainer(model, folder, callbacks=(), kind=Trainer, **changes) -> Trainer:
    settings = {"output_dir": str(folder), "max_steps": 6, "per_device_train_batch_size": 4,
                "use_cpu": True, "report_to": [], "save_strategy": "no", "logging_steps": 1,
                "disable_tqdm": True, "learning_rate": 0.01, "seed": 3,
                "dataloader_pin_memory": False}  # fmt: skip
    return kind(
        model=model,
        args=TrainingArguments(**{**settings, **changes}),
        train_dataset=Rows(),
        callbacks=list(callbacks),
    )


def plain(make_bert):
    """A model without dropout, so that two runs see the same losses."""
    return make_bert(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)


def flat(model) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


@pytest.mark.parametrize(
    ("kind", "weight", "distance"), [("cosine", 20.0, cosine), ("frobenius", 1.0, frobenius)]
)
@pytest.mark.parametrize("precision", [{}, {"bf16": True}])
def test_weights_stay_nearer_the_reference(tmp_path, make_bert, kind, weight, distance, precision):
    ends = {}
    for strength in (0.0, weight):
        model = plain(make_bert)
        pretrained = copy.deepcopy(model)
        callback = AlignRegCallback(AlignReg(kind, weight=strength).towards(pretrained))
        run = trainer(model, tmp_path, [callback], **precision)
        run.train()
        ends[strength] = distance(model, pretrained).item()
        logged = [entry["align"] for entry in run.state.log_history if "align" in entry]
        assert len(logged) == 7 and logged[0] == pytest.approx(0, abs=1e-5)
    assert 0 < ends[weight] < 0.7 * ends[0.0]


@pytest.mark.parametrize("kind", ["cosine", "layer_cosine", "frobenius"])
@pytest.mark.parametrize("clip", [0.0, 0.5])
def test_it_equals_a_term_in_the_loss_whatever_the_accumulation(tmp_path, make_bert, kind, clip):
    align = AlignReg(kind, weight=3.0).towards(make_bert(seed=5))
    settings = {"max_steps": 2, "optim": "sgd", "max_grad_norm": clip}
    wanted = plain(make_bert)
    run = trainer(wanted, tmp_path, kind=AddedToTheLoss, per_device_train_batch_size=8, **settings)
    run.align = align
    run.train()
    for size, accumulate in ((8, 1), (2, 4)):
        model = plain(make_bert)
        trainer(model, tmp_path, [AlignRegCallback(align)], MeanLoss,
                per_device_train_batch_size=size, gradient_accumulation_steps=accumulate,
                **settings).train()  # fmt: skip
        torch.testing.assert_close(flat(model), flat(wanted), rtol=1e-4, atol=1e-6)


def test_with_pruning_the_pruned_weights_stay_zero(tmp_path, make_bert):
    model = make_bert()
    pretrained = copy.deepcopy(model)
    pruning = PruningCallback(densities("geometric", 3, 0.2))
    align = AlignRegCallback(AlignReg("frobenius", weight=1.0).towards(pretrained))
    run = trainer(model, tmp_path, [pruning, align], weight_decay=0.1)
    run.train()
    found = Masks.from_zeros(model)
    assert all(torch.equal(found[name], mask) for name, mask in pruning.masks.items())
    assert found.density == pytest.approx(0.2, abs=1e-3)
    assert {"align", "density"} <= run.state.log_history[0].keys()


def test_its_gradient_is_scaled_as_the_others_are(make_bert):
    model = make_bert()
    align = AlignReg("frobenius", weight=1.0).towards(make_bert(seed=5))
    found = []
    for scaler in (None, torch.amp.GradScaler("cpu", init_scale=8.0)):
        model.zero_grad()
        optimizer = SimpleNamespace(scaler=scaler)
        AlignRegCallback(align).on_step_begin(None, None, None, model=model, optimizer=optimizer)
        found.append([weight.grad for weight in prunable_parameters(model).values()])
    for once, scaled in zip(*found, strict=True):
        torch.testing.assert_close(scaled, 8 * once)


def test_refusals(tmp_path, make_bert):
    with pytest.raises(
        ValueError, match=r"make the regulariser with AlignReg\('frobenius'\).towar"
    ):
        AlignRegCallback(AlignReg("frobenius"))
    callback = AlignRegCallback(AlignReg().towards(make_bert()))
    split = SimpleNamespace(deepspeed=None, fsdp=["full_shard"], device="cpu")
    with pytest.raises(ValueError, match="override compute_loss there and add align"):
        callback.on_train_begin(split, None, None)
