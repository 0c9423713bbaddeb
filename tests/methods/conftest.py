"""Fixtures of the methods' tests."""

from __future__ import annotations

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification


@pytest.fixture
def make_bert():
    """Maker of tiny BERT classifiers with random weights: ``make_bert(seed=0, labels=3)``."""

    def make(seed: int = 0, labels: int = 3, **settings) -> BertForSequenceClassification:
        torch.manual_seed(seed)
        shape = {
            "vocab_size": 60,
            "hidden_size": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 32,
            "max_position_embeddings": 16,
        }
        config = BertConfig(**{**shape, **settings}, num_labels=labels)
        return BertForSequenceClassification(config).eval()

    return make


@pytest.fixture
def tokens() -> torch.Tensor:
    """(6, 8) token ids for such a model."""
    return torch.randint(60, (6, 8), generator=torch.Generator().manual_seed(0))
