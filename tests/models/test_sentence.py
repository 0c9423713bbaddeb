"""The classifier against closed forms, and inside other people's tools."""

from __future__ import annotations

import copy
import math

import accelerate
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    AutoModelForSequenceClassification,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
)

from workbench.models import (
    SentenceClassifier,
    SentenceClassifierConfig,
    classifier,
    encode_batch,
    freeze_embeddings,
    load_encoder,
    parameter_report,
)
from workbench.models.sentence import pool

TEXTS = ["a good film", "bad", "the story was so boring that i left", "苹果 !"]


@pytest.fixture
def small():
    return classifier("tiny", 3, seed=0)


def equal(a, b):
    a, b = a.state_dict(), b.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_the_pretrained_encoder_is_taken_over_unchanged(small):
    assert equal(small[0].encoder, load_encoder("tiny")[0])
    assert not small[0].training


def test_the_head_follows_its_seed_or_the_current_random_state():
    weight = [classifier("tiny", 3, seed=seed)[0].classifier.weight for seed in (1, 1, 2)]
    assert torch.equal(weight[0], weight[1]) and not torch.equal(weight[0], weight[2])
    torch.manual_seed(1)
    assert torch.equal(classifier("tiny", 3)[0].classifier.weight, weight[0])
    assert classifier("tiny", 3)[0].classifier.bias.abs().sum() == 0


@settings(deadline=None, max_examples=30)
@given(
    lengths=st.lists(st.integers(1, 7), min_size=1, max_size=4),
    extra=st.integers(0, 5),
    left=st.booleans(),
)
def test_pooling_equals_the_loop_and_padding_changes_nothing(lengths, extra, left):
    width = max(lengths) + extra
    hidden = torch.randn(len(lengths), width, 5, dtype=torch.float64)
    mask = torch.zeros(len(lengths), width, dtype=torch.long)
    rows = []
    for row, length in enumerate(lengths):
        span = slice(width - length, width) if left else slice(0, length)
        mask[row, span] = 1
        rows.append(hidden[row, span])
    expected = torch.stack([row.mean(0) for row in rows])
    # Sums of at most 12 doubles in another order.
    torch.testing.assert_close(pool(hidden, mask), expected, atol=1e-14, rtol=1e-12)
    assert torch.equal(pool(hidden, mask, "cls"), torch.stack([row[0] for row in rows]))
    garbage = torch.where(mask.bool().unsqueeze(-1), hidden, 1e6)
    torch.testing.assert_close(pool(garbage, mask), expected, atol=1e-14, rtol=1e-12)


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_a_text_scores_the_same_alone_and_beside_longer_ones(pooling):
    model, tokenizer = classifier("tiny", 3, pooling, seed=0)
    model = model.double()
    together = model(**encode_batch(tokenizer, TEXTS))
    for index, text in enumerate(TEXTS):
        alone = model(**encode_batch(tokenizer, [text]))
        # Attention over masked tokens weighs exactly 0; sums run in another order.
        torch.testing.assert_close(together.logits[index], alone.logits[0], atol=1e-12, rtol=1e-10)
        torch.testing.assert_close(
            together.representation[index], alone.representation[0], atol=1e-12, rtol=1e-10
        )


def test_logits_are_the_head_of_the_representation(small):
    model, tokenizer = small
    out = model(**encode_batch(tokenizer, TEXTS))
    assert out.loss is None and out.representation.shape == (4, 32)
    expected = out.representation @ model.classifier.weight.T + model.classifier.bias
    torch.testing.assert_close(out.logits, expected)


def test_the_loss_is_cross_entropy_in_nats_or_squared_error(small):
    model, tokenizer = small
    batch, labels = encode_batch(tokenizer, TEXTS), torch.tensor([0, 2, 1, 1])
    out = model(**batch, labels=labels)
    rows = [
        math.log(sum(math.exp(v) for v in row)) - row[label]
        for row, label in zip(out.logits.tolist(), labels.tolist(), strict=True)
    ]
    assert out.loss.item() == pytest.approx(np.mean(rows), rel=1e-5)
    model, tokenizer = classifier("tiny", 1, seed=0)
    values = torch.tensor([0.5, 4.0, 2.5, 5.0], dtype=torch.float64)  # as datasets give them
    out = model(**batch, labels=values)
    expected = np.mean((out.logits[:, 0].detach().double().numpy() - values.numpy()) ** 2)
    assert out.logits.shape == (4, 1) and out.loss.dtype == torch.float32
    assert out.loss.item() == pytest.approx(expected, rel=1e-5)


def test_dropout_acts_on_the_logits_and_not_on_what_is_compared(small):
    model, tokenizer = small
    batch = encode_batch(tokenizer, TEXTS)
    model.encoder.eval()
    model.dropout.train()
    one, two = model(**batch), model(**batch)
    assert torch.equal(one.representation, two.representation)
    assert not torch.equal(one.logits, two.logits)


def test_save_and_load_give_the_same_model_from_safetensors(tmp_path, capfd):
    model, tokenizer = classifier("tiny", 3, "cls", dropout=0.25, seed=0)
    model.config.prefix = "query: "
    model.save_pretrained(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"config.json", "model.safetensors"}
    assert str(tmp_path) not in (tmp_path / "config.json").read_text()
    loaded, info = SentenceClassifier.from_pretrained(tmp_path, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    assert "REPORT" not in "".join(capfd.readouterr())
    assert equal(model, loaded)
    config = loaded.config
    assert (config.pooling, config.dropout, config.prefix) == ("cls", 0.25, "query: ")
    assert (config.num_labels, config.hidden_size) == (3, 32)
    batch = encode_batch(tokenizer, TEXTS)
    assert torch.equal(model(**batch).logits, loaded(**batch).logits)
    assert equal(AutoModelForSequenceClassification.from_pretrained(tmp_path), model)


def test_parameter_names_are_the_encoders_own(small):
    names = [name for name, _ in small[0].named_parameters()]
    inside = [f"encoder.{name}" for name, _ in load_encoder("tiny")[0].named_parameters()]
    assert names == [*inside, "classifier.weight", "classifier.bias"]
    assert "encoder.encoder.layer.1.attention.self.query.weight" in names


def test_a_deep_copy_is_equal_and_separate(small):
    model, tokenizer = small
    twin = copy.deepcopy(model)
    assert equal(model, twin)
    with torch.no_grad():
        twin.classifier.bias += 1
    assert not equal(model, twin)
    assert twin.config is not model.config


def test_gradients_reach_every_parameter(small):
    model, tokenizer = small
    model(**encode_batch(tokenizer, TEXTS), labels=torch.tensor([0, 1, 2, 0])).loss.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_frozen_embeddings_cost_no_gradient_and_no_optimizer_state(small):
    model, tokenizer = small
    before = copy.deepcopy(model.state_dict())
    names = freeze_embeddings(model)
    assert names == [
        f"encoder.embeddings.{kind}_embeddings.weight"
        for kind in ("word", "position", "token_type")
    ]
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    model(**encode_batch(tokenizer, TEXTS), labels=torch.tensor([0, 1, 2, 0])).loss.backward()
    optimizer.step()
    parameters = dict(model.named_parameters())
    for name in names:
        assert parameters[name].grad is None and torch.equal(parameters[name], before[name])
    assert not torch.equal(parameters["classifier.weight"], before["classifier.weight"])
    assert not torch.equal(
        parameters["encoder.embeddings.LayerNorm.weight"],
        before["encoder.embeddings.LayerNorm.weight"],
    )
    freeze_embeddings(model, frozen=False)
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_counts_by_hand(small):
    model, _ = small
    freeze_embeddings(model)
    tables, norm = (492 + 512 + 2) * 32, 2 * 32
    layer = 4 * (32 * 32 + 32) + (32 * 64 + 64) + (64 * 32 + 32) + 2 * norm
    assert parameter_report(model) == {
        "total": tables + norm + 2 * layer + 3 * 33,
        "trainable": norm + 2 * layer + 3 * 33,
        "embeddings": tables,
        "outside_embeddings": norm + 2 * layer + 3 * 33,
        "prunable": 2 * (4 * 32 * 32 + 2 * 32 * 64),
    }
    assert parameter_report(model, prunable=["classifier.weight"])["prunable"] == 96
    with pytest.raises(KeyError, match="no parameter 'head'. The model has encoder"):
        parameter_report(model, prunable=["head"])


def test_it_trains_in_the_trainer_of_transformers(tmp_path, small):
    model, tokenizer = small
    rows = [
        {**tokenizer(text), "labels": label}
        for text, label in [("good film", 0), ("bad film.", 1), ("so so !", 2)]
    ]
    seen = {}

    def measure(prediction):
        seen["shape"] = prediction.predictions.shape
        return {"accuracy": float((prediction.predictions.argmax(1) == [0, 1, 2]).mean())}

    trainer = Trainer(
        model,
        TrainingArguments(
            str(tmp_path),
            max_steps=30,
            learning_rate=3e-2,
            per_device_train_batch_size=3,
            report_to=[],
            save_strategy="no",
            disable_tqdm=True,
            use_cpu=True,
            dataloader_pin_memory=False,
        ),
        train_dataset=rows,
        eval_dataset=rows,
        data_collator=DataCollatorWithPadding(tokenizer),
        compute_metrics=measure,
    )
    trainer.train()
    assert trainer.evaluate()["eval_accuracy"] == 1.0
    assert seen["shape"] == (3, 3)  # logits alone: representations are not gathered


def test_it_trains_under_accelerate_with_accumulated_gradients(small):
    model, tokenizer = small
    accelerator = accelerate.Accelerator(cpu=True, gradient_accumulation_steps=2)
    model, optimizer = accelerator.prepare(model, torch.optim.AdamW(model.parameters(), lr=1e-2))
    before = copy.deepcopy(model.state_dict())
    model.train()
    for labels in (torch.tensor([0, 1, 2, 0]), torch.tensor([0, 1, 2, 1])):
        with accelerator.accumulate(model):
            accelerator.backward(model(**encode_batch(tokenizer, TEXTS), labels=labels).loss)
            optimizer.step()
            optimizer.zero_grad()
    after = accelerator.unwrap_model(model).state_dict()
    assert not torch.equal(after["classifier.weight"], before["classifier.weight"])


def test_bfloat16_autocast_and_gradient_checkpointing(small):
    model, tokenizer = small
    batch = encode_batch(tokenizer, TEXTS)
    plain = model(**batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = model(**batch)
    assert out.logits.dtype == torch.bfloat16
    # bfloat16 keeps 8 bits; the representation's entries are of order 1.
    torch.testing.assert_close(out.representation.float(), plain.representation, atol=0.1, rtol=0.1)
    model.activation_checkpointing_enable()
    model.train()
    model(**batch, labels=torch.tensor([0, 1, 2, 0])).loss.backward()
    assert model.encoder.encoder.layer[0].output.dense.weight.grad is not None


def test_batches_are_padded_to_their_longest_and_cut(small):
    _, tokenizer = small
    batch = encode_batch(tokenizer, ["good", "good film"])
    assert {name: tensor.shape for name, tensor in batch.items()} == dict.fromkeys(
        ("input_ids", "token_type_ids", "attention_mask"), (2, 4)
    )
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]
    assert encode_batch(tokenizer, ["good " * 99], max_length=16)["input_ids"].shape == (1, 16)


def test_pairs_and_prefixes(small):
    _, tokenizer = small
    batch = encode_batch(tokenizer, ["good"], ["bad film"], prefix="my: ")
    tokens = tokenizer.convert_ids_to_tokens(batch["input_ids"][0])
    assert tokens == "[CLS] my : good [SEP] my : bad film [SEP]".split()
    assert batch["token_type_ids"][0].tolist() == [0] * 5 + [1] * 5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda t: encode_batch(t, "good"), r"texts is one string; give a list"),
        (lambda t: encode_batch(t, []), "texts is empty"),
        (lambda t: encode_batch(t, ["a", None]), r"texts\[1\] is NoneType 'None'"),
        (lambda t: encode_batch(t, ["a"], [float("nan")]), r"pairs\[0\] is float 'nan'"),
        (lambda t: encode_batch(t, ["a", "b"], ["c"]), "2 texts and 1 pairs"),
        (lambda t: encode_batch(t, ["a"], max_length=2), "max_length=2; allowed: 4 and more"),
        (lambda t: classifier("tiny", 0), "num_labels=0; allowed: 1 .regression., or 2 and more"),
        (lambda t: classifier("tiny", True), "num_labels=True"),
        (lambda t: classifier("tiny", 2, "max"), "pooling='max'; allowed: mean, cls"),
        (lambda t: classifier("tiny", 2, dropout=1.0), "dropout=1.0; allowed: 0 <= dropout < 1"),
        (lambda t: classifier("tinny", 2), "unknown encoder 'tinny'. Did you mean 'tiny'"),
        (lambda t: SentenceClassifierConfig(pooling="sum"), "pooling='sum'"),
        (lambda t: pool(torch.zeros(1, 1, 1), torch.ones(1, 1), "sum"), "pooling='sum'"),
    ],
)
def test_bad_input_is_named(small, call, message):
    with pytest.raises(ValueError, match=message):
        call(small[1])
