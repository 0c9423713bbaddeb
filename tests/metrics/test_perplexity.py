"""Perplexity against closed forms, transformers' own loss and a loop over windows."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from workbench.metrics.perplexity import perplexity

VOCABULARY = 11


class Table(nn.Module):
    """Logits that depend on the last token alone: a bigram model."""

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.logits = nn.Parameter(logits)

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        return self.logits[input_ids]


@pytest.fixture
def gpt():
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    size = {"n_positions": 12, "n_embd": 16, "n_layer": 2, "n_head": 2}
    return GPT2LMHeadModel(
        GPT2Config(vocab_size=VOCABULARY, bos_token_id=0, eos_token_id=0, **size)
    )


def rows(n: int = 7, length: int = 12) -> torch.Tensor:
    return torch.randint(VOCABULARY, (n, length), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("stride", [None, 5, 12])
def test_where_all_tokens_are_equally_likely_it_is_the_size_of_the_vocabulary(stride):
    model = Table(torch.full((VOCABULARY, VOCABULARY), 3.0))
    assert perplexity(model, rows(), stride=stride) == pytest.approx(VOCABULARY, rel=1e-6)


def test_where_each_token_is_certain_it_is_one_and_where_it_is_ruled_out_infinite():
    following = torch.eye(VOCABULARY).roll(1, 1) * 1e6  # after k comes k + 1
    counted = (torch.arange(24) % VOCABULARY).view(2, 12)
    assert perplexity(Table(following), counted) == 1.0
    assert perplexity(Table(-following), counted) == math.inf


def test_a_bigram_model_has_the_perplexity_of_its_table():
    table = torch.randn(VOCABULARY, VOCABULARY, generator=torch.Generator().manual_seed(2))
    logs = table.double().log_softmax(-1)
    text = rows()
    within = logs[text[:, :-1], text[:, 1:]].mean()
    assert perplexity(Table(table), text, 3) == pytest.approx(float(torch.exp(-within)), rel=1e-5)
    line = text.flatten()
    for stride in (1, 4, 5, 11):  # 84 tokens: the last window moves on by less
        found = perplexity(Table(table), text.numpy(), 4, stride=stride)
        assert found == pytest.approx(float(torch.exp(-logs[line[:-1], line[1:]].mean())), rel=1e-5)


def test_blocks_give_the_loss_of_transformers(gpt):
    expected = float(gpt.eval()(rows(), labels=rows()).loss.detach().exp())
    gpt.train()
    for size in (1, 3, 100):
        assert perplexity(gpt, rows(), size) == pytest.approx(expected, rel=1e-5)
    assert gpt.training and all(p.grad is None for p in gpt.parameters())


def test_windows_give_what_a_loop_with_masked_labels_gives(gpt):
    """As in transformers' guide: labels of tokens that were scored before are -100."""
    text, length, stride = rows().flatten(), 12, 4
    total, count, read = 0.0, 0, 0
    gpt.eval()
    for begin in range(0, len(text) - length + 1, stride):
        window = text[begin : begin + length][None]
        labels = window.clone()
        labels[:, : max(read - begin, 0)] = -100
        scored = int((labels[:, 1:] != -100).sum())
        total += float(gpt(window, labels=labels).loss.detach()) * scored
        count, read = count + scored, begin + length
    assert count == len(text) - 1
    found = perplexity(gpt, rows(), stride=stride)
    assert found == pytest.approx(math.exp(total / count), rel=1e-5)
    assert perplexity(gpt, rows(), stride=length) == perplexity(gpt, rows())


@pytest.mark.parametrize(
    ("given", "options", "text"),
    [
        (torch.zeros(3, dtype=torch.long), {}, r"shape \(3,\).*\(n, length\)"),
        (torch.zeros(3, 4), {}, "whole numbers"),
        (np.zeros((3, 1), int), {}, "two tokens or more"),
        (np.zeros((0, 4), int), {}, "a block or more"),
        (rows(), {"stride": 13}, "stride = 13; allowed: 1 to 12"),
        (rows(), {"batch_size": 0}, "batch_size = 0; allowed: 1 and more"),
    ],
)
def test_what_cannot_be_read_is_refused(given, options, text):
    with pytest.raises(ValueError, match=text):
        perplexity(Table(torch.zeros(VOCABULARY, VOCABULARY)), given, **options)
