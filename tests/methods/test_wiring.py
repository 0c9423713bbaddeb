"""Encoders are told by the names of their parts: the families that people bring."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from workbench.methods.pruning import wiring
from workbench.methods.pruning.criteria.lookahead import lookahead
from workbench.methods.pruning.criteria.synflow import synflow

pytestmark = pytest.mark.unit

POST = {"after_attention", "after_feed_forward"}
PRE = {"read_attention", "read_feed_forward"}


def gains(layer: wiring.EncoderLayer) -> set[str]:
    return {slot for slot in POST | PRE if getattr(layer, slot) is not None}


@pytest.mark.parametrize(
    ("kind", "norms", "entry", "layers"),
    [
        ("BertModel", POST, True, 2),
        ("XLMRobertaForSequenceClassification", POST, True, 2),
        ("ElectraModel", POST, False, 2),  # its embeddings are of another width
        ("DebertaV2Model", POST, True, 2),
        ("MPNetModel", POST, True, 2),
        ("AlbertModel", POST, False, 1),
        ("DistilBertModel", POST, True, 2),
        ("RobertaPreLayerNormModel", PRE, True, 2),
        ("XLMRobertaXLModel", PRE, False, 2),
        ("GPT2LMHeadModel", PRE, False, 2),
    ],
)
def test_families(kind, norms, entry, layers):
    import transformers

    cls = getattr(transformers, kind)
    settings = {"vocab_size": 50, "hidden_size": 8, "num_hidden_layers": 2,
                "num_attention_heads": 2, "intermediate_size": 16}  # fmt: skip
    if kind.startswith("Distil"):
        settings = {"vocab_size": 50, "dim": 8, "n_layers": 2, "n_heads": 2, "hidden_dim": 16}
    if kind.startswith("GPT2"):
        settings = {"vocab_size": 50, "n_embd": 8, "n_layer": 2, "n_head": 2}
    model = cls(cls.config_class(**settings))
    (stack,) = wiring.stacks(model)
    assert len(stack.layers) == layers and (stack.entry is not None) == entry
    assert all(gains(layer) == norms and layer.heads == 2 for layer in stack.layers)
    for scores in (lookahead(model), synflow(model)):
        assert all((s > 0).all() for s in scores.values())


def test_our_sentence_classifier():
    from workbench.models import SentenceClassifier, SentenceClassifierConfig, load_encoder

    encoder, _ = load_encoder("tiny")
    model = SentenceClassifier(SentenceClassifierConfig(encoder=encoder.config))
    (stack,) = wiring.stacks(model)
    assert len(stack.layers) == 2 and stack.layers[0].heads == 4 and stack.entry is not None


def test_an_unknown_layer_is_not_an_encoder_layer():
    from transformers import LlamaConfig, LlamaModel

    config = LlamaConfig(vocab_size=50, hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
                         intermediate_size=16)  # fmt: skip
    assert wiring.stacks(LlamaModel(config)) == []
    assert wiring.stacks(nn.Linear(2, 2)) == []


def test_chains_end_at_what_is_unknown():
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Softmax(1), nn.Linear(3, 2))
    assert [(len(c.maps), whole) for c, whole in wiring.chains(model)] == [(1, False), (1, False)]
    known = nn.Sequential(nn.Linear(2, 3), nn.Identity(), nn.RMSNorm(3), nn.Linear(3, 2))
    assert [(len(c.maps), whole) for c, whole in wiring.chains(known)] == [(2, True)]
    inside = nn.ModuleDict({"head": known})
    assert [(len(c.maps), whole) for c, whole in wiring.chains(inside)] == [(2, False)]


def test_gains():
    norm = nn.BatchNorm1d(2)
    norm.running_var.copy_(torch.tensor([4.0, 0.25]))
    torch.testing.assert_close(
        wiring.gain(norm), torch.tensor([0.5, 2.0], dtype=torch.float64), rtol=1e-4, atol=0
    )
    assert wiring.gain(nn.LayerNorm(3, elementwise_affine=False)) is None
