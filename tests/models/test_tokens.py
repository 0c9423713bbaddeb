"""The token classifier against the sentence classifier it comes from, and inside other tools."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F
from transformers import AutoModelForTokenClassification

from workbench.methods import pruning
from workbench.models import TokenClassifier, classifier, encode_batch, token_classifier

TEXTS = ["a good film", "bad", "the story was so boring that i left"]


@pytest.fixture
def small():
    return token_classifier("tiny", 3, seed=0)


@pytest.fixture
def batch(small):
    return encode_batch(small[1], TEXTS)


def test_every_token_goes_through_the_head(small, batch):
    model, tokens = small[0], batch["input_ids"].shape
    output = model(**batch)
    assert output.logits.shape == (*tokens, 3) and output.loss is None
    mask = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}
    states = model.encoder(**mask, token_type_ids=batch["token_type_ids"]).last_hidden_state
    torch.testing.assert_close(output.logits, F.linear(states, *model.classifier.parameters()))


def test_the_representation_is_that_of_the_sentence_classifier(small, batch):
    for pooling in ("mean", "cls"):
        one = token_classifier("tiny", 3, pooling)[0](**batch).representation
        other = classifier("tiny", 3, pooling)[0](**batch).representation
        assert torch.equal(one, other)


def test_the_loss_is_the_mean_over_the_tokens_that_count(small, batch):
    labels = torch.full_like(batch["input_ids"], -100)
    labels[0, 1], labels[2, 3] = 2, 0
    output = small[0](**batch, labels=labels)
    chances = output.logits.log_softmax(-1)
    by_hand = -(chances[0, 1, 2] + chances[2, 3, 0]) / 2
    assert output.loss.item() == pytest.approx(by_hand.item(), rel=1e-6)
    assert output.loss.item() == pytest.approx(math.log(3), rel=0.2)  # a fresh head knows nothing


def test_padding_changes_no_token(small):
    alone = small[0](**encode_batch(small[1], TEXTS[:1])).logits
    padded = small[0](**encode_batch(small[1], TEXTS)).logits[:1, : alone.shape[1]]
    torch.testing.assert_close(padded, alone)


def test_saved_and_loaded_it_is_the_same(small, batch, tmp_path):
    small[0].save_pretrained(tmp_path / "dense")
    again = AutoModelForTokenClassification.from_pretrained(tmp_path / "dense")
    assert isinstance(again, TokenClassifier) and again.config.num_labels == 3
    assert torch.equal(again.eval()(**batch).logits, small[0](**batch).logits)


def test_pruned_as_the_sentence_classifier_is_and_stored_small(small, batch, tmp_path):
    model = small[0]
    assert set(pruning.prunable_parameters(model)) == set(
        pruning.prunable_parameters(classifier("tiny", 3)[0])
    )
    pruning.Masks.globally(pruning.magnitude(model), 0.1).apply(model)
    again = pruning.load_sparse(pruning.save_sparse(model, tmp_path / "small.safetensors"))
    assert isinstance(again, TokenClassifier)
    assert torch.equal(again(**batch).logits, model(**batch).logits)


def test_the_head_follows_its_seed_or_the_current_random_state():
    weight = [token_classifier("tiny", 3, seed=seed)[0].classifier.weight for seed in (1, 1, 2)]
    assert torch.equal(weight[0], weight[1]) and not torch.equal(weight[0], weight[2])
    torch.manual_seed(1)
    assert torch.equal(token_classifier("tiny", 3)[0].classifier.weight, weight[0])


@pytest.mark.parametrize("labels", [1, 0, True, 2.0])
def test_one_tag_is_too_few(labels):
    with pytest.raises(ValueError, match="num_labels=.*; allowed: 2 and more"):
        token_classifier("tiny", labels)
