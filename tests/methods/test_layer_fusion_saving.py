"""A fused model is stored once, in a smaller file, and comes back fused."""

from __future__ import annotations

import copy
import json
import logging

import pytest
import torch
from safetensors.torch import load_model, save_file, save_model
from torch import nn

from workbench.methods import layer_fusion
from workbench.methods.layer_fusion import fuse, load, save, tied_layers, unfuse
from workbench.methods.pruning import Masks, load_sparse, magnitude
from workbench.methods.storage import stored_bytes

BLOCKS = [("bert.encoder.layer.0", "bert.encoder.layer.1"), (
    "bert.encoder.layer.1", "bert.encoder.layer.3")]  # fmt: skip


@pytest.fixture
def fused(make_bert):
    return fuse(make_bert(num_hidden_layers=4), BLOCKS)


def gpt2(layers: int = 3):
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    config = GPT2Config(vocab_size=50, n_embd=16, n_layer=layers, n_head=4, n_positions=16,
                        bos_token_id=0, eos_token_id=0)  # fmt: skip
    return GPT2LMHeadModel(config).eval()


def same(a: nn.Module, b: nn.Module) -> bool:
    ours, theirs = a.state_dict(), b.state_dict()
    values = all(torch.equal(t, theirs[n]) and t.dtype == theirs[n].dtype for n, t in ours.items())
    return values and ours.keys() == theirs.keys() and tied_layers(a) == tied_layers(b)


def count(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def test_save_and_load_one_file(fused, make_bert, tokens, tmp_path):
    whole = save(make_bert(num_hidden_layers=4), tmp_path / "whole.safetensors")
    path = save(fused, tmp_path / "fused.safetensors")
    gone = count(make_bert(num_hidden_layers=4)) - count(fused)
    assert whole.stat().st_size - path.stat().st_size == pytest.approx(4 * gone, rel=0.05)
    sizes = [stored_bytes(m, sparse=False) for m in (make_bert(num_hidden_layers=4), fused)]
    assert sizes[0] - sizes[1] == 4 * gone
    loaded = load(path)
    assert same(loaded, fused) and count(loaded) == count(fused)
    assert torch.equal(loaded(tokens).logits, fused(tokens).logits)
    into = make_bert(seed=3, num_hidden_layers=4)
    assert load(path, into) is into and same(into, fused)
    assert not tied_layers(load_sparse(path))  # reads it, no longer fused


def test_save_pretrained_and_load_a_folder(fused, tokens, tmp_path, make_bert):
    fused.double().save_pretrained(tmp_path / "fused")
    make_bert(num_hidden_layers=4).double().save_pretrained(tmp_path / "whole")
    size = {n: (tmp_path / n / "model.safetensors").stat().st_size for n in ("fused", "whole")}
    gone = count(make_bert(num_hidden_layers=4)) - count(fused)
    assert size["whole"] - size["fused"] == pytest.approx(8 * gone, rel=0.1)  # names as well
    loaded = load(tmp_path / "fused")
    assert same(loaded, fused) and not loaded.training
    assert torch.equal(loaded(tokens).logits, fused(tokens).logits)
    loaded.save_pretrained(tmp_path / "again")  # what was loaded knows its ties
    assert same(load(tmp_path / "again"), fused)
    other = make_bert(seed=4, num_hidden_layers=4).double()
    assert same(load(tmp_path / "fused", other), fused)


def test_gpt2_keeps_the_head_on_its_embeddings(tmp_path):
    model = fuse(gpt2(), [("transformer.h.0", "transformer.h.2")], "mix")
    model.tie_weights()  # what resizing the embeddings calls
    model.save_pretrained(tmp_path / "folder")
    save(model, tmp_path / "file")
    inputs = torch.randint(50, (2, 7))
    for loaded in (load(tmp_path / "folder"), load(tmp_path / "file")):
        assert same(loaded, model) and loaded.lm_head.weight is loaded.transformer.wte.weight
        assert torch.equal(loaded(inputs).logits, model(inputs).logits)


def test_shards_and_a_classifier_of_ours(tmp_path):
    from workbench.models import SentenceClassifier, SentenceClassifierConfig, load_encoder

    encoder, _ = load_encoder("tiny")
    model = SentenceClassifier(SentenceClassifierConfig(encoder=encoder.config)).eval()
    fuse(model, [("encoder.encoder.layer.0", "encoder.encoder.layer.1")], "transport")
    model.save_pretrained(tmp_path / "shards", max_shard_size="20KB")
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 1
    assert same(load(tmp_path / "shards"), model)


def test_an_encoder_without_a_pooler(make_bert, tokens, tmp_path):
    from transformers import BertModel

    encoder = BertModel(make_bert().config, add_pooling_layer=False).eval()
    fuse(encoder, [("encoder.layer.0", "encoder.layer.1")])
    encoder.save_pretrained(tmp_path / "folder")
    save(encoder, tmp_path / "file")
    for path in ("folder", "file"):
        loaded = load(tmp_path / path)
        assert same(loaded, encoder) and loaded.pooler is None
        states = [m(tokens).last_hidden_state for m in (loaded, encoder)]
        assert torch.equal(*states)


@pytest.mark.data
def test_the_packaged_e5(tmp_path):
    from workbench.models import load_encoder

    model, tokenizer = load_encoder("e5-small")
    inputs = tokenizer(["query: one", "query: two or three"], return_tensors="pt", padding=True)
    pairs = [("encoder.layer.4", "encoder.layer.5")]
    with torch.no_grad():
        before = model.eval()(**inputs).last_hidden_state
        layer_fusion.align(model, pairs)
        # float32: twelve layers in another order of summation
        torch.testing.assert_close(model(**inputs).last_hidden_state, before, rtol=0, atol=1e-5)
        fuse(model, pairs)
        model.save_pretrained(tmp_path)
        loaded = load(tmp_path)
        assert torch.equal(loaded(**inputs).last_hidden_state, model(**inputs).last_hidden_state)
    assert len(tied_layers(loaded)) == 6 and count(loaded) == count(model)


def test_from_pretrained_says_that_layers_are_missing(tmp_path, caplog):
    model = fuse(gpt2(), [("transformer.h.0", "transformer.h.2")])
    model.save_pretrained(tmp_path)
    logger = logging.getLogger("transformers")
    logger.addHandler(caplog.handler)
    try:
        type(model).from_pretrained(tmp_path)
    finally:
        logger.removeHandler(caplog.handler)
    assert "transformer.h.2.mlp.c_fc.weight" in caplog.text and "MISSING" in caplog.text


def test_safetensors_own_functions(fused, make_bert, tmp_path):
    save_model(fused, str(tmp_path / "m.safetensors"))
    into = fuse(make_bert(seed=5, num_hidden_layers=4), BLOCKS)
    load_model(into, str(tmp_path / "m.safetensors"))
    assert same(into, fused)


def test_state_dicts(fused, make_bert):
    names = make_bert(num_hidden_layers=4).state_dict().keys()
    assert fused.state_dict().keys() == names
    into = fuse(make_bert(seed=5, num_hidden_layers=4), BLOCKS)
    into.load_state_dict(fused.state_dict())
    assert same(into, fused)


def test_copies_keep_their_ties_and_save(fused, tmp_path):
    copied = copy.deepcopy(fused)
    assert same(copied, fused) and copied.bert.encoder.layer[0].output.dense.weight is not (
        fused.bert.encoder.layer[0].output.dense.weight
    )
    copied.save_pretrained(tmp_path)
    assert same(load(tmp_path), fused)


def test_unfused_models_are_plain_again(fused, tmp_path, tokens):
    want = fused(tokens).logits
    plain = unfuse(fused)
    assert torch.equal(plain(tokens).logits, want) and tied_layers(plain) == []
    plain.save_pretrained(tmp_path)
    assert "fused_layers" not in json.loads((tmp_path / "config.json").read_text())
    assert same(type(plain).from_pretrained(tmp_path), plain)


def test_fused_and_pruned(fused, tmp_path):
    Masks.globally(magnitude(fused), 0.2).apply(fused)
    path = save(fused, tmp_path / "both.safetensors")
    assert same(load(path), fused)
    dense = stored_bytes(fused, sparse=False)
    assert stored_bytes(fused) < 0.7 * dense


def test_a_plain_module_is_loaded_into_one(tmp_path):
    torch.manual_seed(0)
    make = lambda: nn.Sequential(*(nn.Conv2d(3, 3, 3) for _ in range(4)))  # noqa: E731
    model = fuse(make(), [("0", "3")])
    path = save(model, tmp_path / "m.safetensors")
    into = make()
    assert same(load(path, into), model) and into[0].weight is into[3].weight
    with pytest.raises(ValueError, match="holds no configuration to build a model from"):
        load(path)
    with pytest.raises(ValueError, match="has no parameter '3.weight' to tie"):
        load(path, nn.Sequential(nn.Conv2d(3, 3, 3)))


def test_a_part_of_a_shared_tensor_is_stored_once(tmp_path):
    def make(seed):
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(40, 60), nn.Linear(60, 30))
        return fuse(model, [("0", "1")], unequal="pad")

    model, into = make(0), make(1)
    path = save(model, tmp_path / "m.safetensors")
    assert path.stat().st_size < 1.3 * 4 * 60 * 60
    load(path, into)
    x = torch.randn(2, 40)
    assert torch.equal(into(x), model(x))
    assert into[1].parametrizations.weight.original is into[0].parametrizations.weight.original


def test_errors(tmp_path, fused, make_bert):
    with pytest.raises(FileNotFoundError, match="no file .*nothing"):
        load(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty is not a model that save_pretrained wrote"):
        load(tmp_path / "empty")
    fused.save_pretrained(tmp_path / "fused")
    with pytest.raises(ValueError, match="has no parameter 'bert.encoder.layer.3"):
        load(tmp_path / "fused", make_bert(num_hidden_layers=3))
    with pytest.raises(ValueError, match="does not fit BertForSequenceClassification"):
        load(tmp_path / "fused", make_bert(num_hidden_layers=5))
    with pytest.raises(ValueError, match="does not fit .*'classifier"):
        load(tmp_path / "fused", make_bert(num_hidden_layers=4, labels=2))
    config = tmp_path / "fused" / "config.json"
    settings = json.loads(config.read_text()) | {"architectures": ["Evil"]}
    config.write_text(json.dumps(settings))
    with pytest.raises(ValueError, match="names the class 'Evil', which cannot be built"):
        load(tmp_path / "fused")
    save_file({"a": torch.ones(2)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="a safetensors file of another kind"):
        load(tmp_path / "other.safetensors")
    assert layer_fusion.tied_layers(make_bert()) == []
