"""One rule of what is prunable, for the models people bring."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from workbench.methods import pruning
from workbench.methods.pruning import prunable_parameters

pytestmark = pytest.mark.unit


def small(config_class, **settings):
    shape = {"vocab_size": 50, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2,
             "intermediate_size": 16, "max_position_embeddings": 16, "num_labels": 2}  # fmt: skip
    return config_class(**{**shape, **settings})


def test_bert_has_six_prunable_weights_a_layer(make_bert):
    names = list(prunable_parameters(make_bert()))
    assert len(names) == 12 and all(n.startswith("bert.encoder.layer.") for n in names)
    assert {n.split(".", 4)[4] for n in names} == {
        "attention.self.query.weight", "attention.self.key.weight", "attention.self.value.weight",
        "attention.output.dense.weight", "intermediate.dense.weight", "output.dense.weight",
    }  # fmt: skip


def test_bert_base_has_85_million():
    from transformers import BertConfig, BertModel

    with torch.device("meta"):
        model = BertModel(BertConfig())
    assert sum(p.numel() for p in prunable_parameters(model).values()) == 12 * 12 * 768**2


def test_xlm_roberta_with_its_classification_head():
    from transformers import XLMRobertaConfig, XLMRobertaForSequenceClassification

    model = XLMRobertaForSequenceClassification(small(XLMRobertaConfig))
    names = list(prunable_parameters(model))
    assert len(names) == 12 and all(n.startswith("roberta.encoder.layer.") for n in names)


@pytest.mark.parametrize(
    ("kind", "settings", "count"),
    [
        ("DistilBertForSequenceClassification",
         {"dim": 8, "n_layers": 2, "n_heads": 2, "hidden_dim": 16}, 12),
        ("GPT2LMHeadModel", {"n_embd": 8, "n_layer": 2, "n_head": 2, "n_positions": 16}, 8),
        ("BertForMaskedLM", {}, 12),
        ("AlbertForMaskedLM", {"embedding_size": 4}, 6),
        ("LlamaForCausalLM", {}, 14),
    ],
)  # fmt: skip
def test_other_transformers(kind, settings, count):
    import transformers

    cls = getattr(transformers, kind)
    names = list(prunable_parameters(cls(small(cls.config_class, **settings))))
    assert len(names) == count, names
    assert not any("embed" in n or "head" in n or "predictions" in n for n in names)


def test_our_sentence_classifier():
    from transformers import BertConfig

    from workbench.models import SentenceClassifier, SentenceClassifierConfig

    model = SentenceClassifier(SentenceClassifierConfig(encoder=small(BertConfig)))
    names = list(prunable_parameters(model))
    assert len(names) == 12 and all(n.startswith("encoder.encoder.layer.") for n in names)


def test_plain_modules():
    assert list(prunable_parameters(nn.Linear(2, 2))) == ["weight"]
    model = nn.ModuleDict(
        {"embed": nn.Linear(3, 3), "encoder": nn.Linear(3, 3), "classifier": nn.Linear(3, 3)}
    )
    assert list(prunable_parameters(model)) == ["encoder.weight"]
    layer = nn.TransformerEncoderLayer(8, 2, 16)
    assert list(prunable_parameters(layer)) == [
        "self_attn.in_proj_weight", "self_attn.out_proj.weight", "linear1.weight", "linear2.weight",
    ]  # fmt: skip


def test_shared_and_tied_weights_count_once():
    shared = nn.Linear(4, 4)
    assert list(prunable_parameters(nn.Sequential(shared, shared))) == ["0.weight"]
    table, out = nn.Embedding(7, 4), nn.Linear(4, 7, bias=False)
    out.weight = table.weight
    assert list(prunable_parameters(nn.Sequential(table, nn.Linear(4, 4), out))) == ["1.weight"]


def test_the_rule_can_be_replaced(make_bert):
    def attention_only(name, module):
        return isinstance(module, nn.Linear) and ".self." in name

    assert len(prunable_parameters(make_bert(), attention_only)) == 6
    assert len(pruning.random(make_bert(), prunable=attention_only)) == 6
    images = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4, 2))
    convolutions = prunable_parameters(images, lambda name, module: isinstance(module, nn.Conv2d))
    assert list(convolutions) == ["0.weight"] and convolutions["0.weight"].ndim == 4


def test_nothing_prunable_is_an_error_with_a_way_out():
    with pytest.raises(ValueError, match=r"Conv2d has no prunable weight under the default rule.*"
                                         r"\['Conv2d'\].*Pass a predicate"):  # fmt: skip
        pruning.magnitude(nn.Conv2d(1, 1, 1))
    with pytest.raises(ValueError, match="under this rule"):
        pruning.magnitude(nn.Linear(1, 1), prunable=lambda name, module: False)
    with pytest.raises(TypeError, match=r"must be a torch.nn.Module, got dict"):
        prunable_parameters({})
