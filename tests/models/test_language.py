"""Language models: built here, from folders, and the tokens they read."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from tokenizers import pre_tokenizers
from transformers import BertConfig, BertLMHeadModel, GPT2LMHeadModel

from workbench import models
from workbench.models import language, load_encoder
from workbench.models.language import blocks, load_language_model, tokens, train_tokenizer

TEXTS = [
    f"The {a} {v} the {b}, and the {b} {v} back.\n"
    for a in ("cat", "dog", "bird", "fish", "horse")
    for v in ("sees", "finds", "likes", "follows")
    for b in ("tree", "river", "mountain", "village")
]


def equal(a, b):
    a, b = a.state_dict(), b.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture
def tiny():
    torch.manual_seed(0)
    return load_language_model("gpt-tiny", TEXTS)


def test_the_models_are_as_large_as_they_say():
    from workbench.models.language.loading import _fresh

    for name, about in language.ARCHITECTURES.items():
        model = _fresh(about, about.vocabulary, 0)
        assert sum(p.numel() for p in model.parameters()) == about.parameters, name
        assert model.lm_head.weight is model.transformer.wte.weight and not model.training
        assert not any(m.p for m in model.modules() if isinstance(m, torch.nn.Dropout))


def test_fresh_weights_come_from_torchs_generator(tiny):
    torch.manual_seed(0)
    assert equal(load_language_model("gpt-tiny", TEXTS)[0], tiny[0])
    assert not equal(load_language_model("gpt-tiny", TEXTS)[0], tiny[0])


def test_an_untrained_model_is_nearly_uniform_and_learns(tiny):
    model, tokenizer = tiny
    rows = blocks(TEXTS, tokenizer, 16)
    first = model(rows, labels=rows).loss.detach()
    assert float(first) == pytest.approx(math.log(len(tokenizer)), abs=0.2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(20):
        optimizer.zero_grad()
        model(rows, labels=rows).loss.backward()
        optimizer.step()
    assert model(rows, labels=rows).loss < 0.5 * first


def test_a_saved_model_and_its_tokenizer_load_again(tiny, tmp_path):
    model, tokenizer = tiny
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    again, read = load_language_model(str(tmp_path))
    assert isinstance(again, GPT2LMHeadModel) and equal(again, model) and not again.training
    assert read(TEXTS)["input_ids"] == tokenizer(TEXTS)["input_ids"]
    assert torch.equal(blocks(TEXTS, read, 8), blocks(TEXTS, tokenizer, 8))


def test_what_is_no_language_model_is_refused(tmp_path, tiny):
    with pytest.raises(ValueError, match=r"'minilm' is no language model. Allowed: gpt-small"):
        load_language_model("minilm")
    with pytest.raises(ValueError, match=r"'gpt-smal' is no language model"):
        load_language_model("gpt-smal", TEXTS)
    with pytest.raises(FileNotFoundError, match="no folder"):
        load_language_model(str(tmp_path / "none"))
    encoder, tokenizer = load_encoder("tiny")
    encoder.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="the weights lack .* of the BertLMHeadModel's tensors"):
        load_language_model(str(tmp_path))
    size = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = BertConfig(vocab_size=len(tokenizer), intermediate_size=32, is_decoder=True, **size)
    config.is_decoder = False  # as all encoders with the head of their pretraining are
    BertLMHeadModel(config).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="sees the words that come after"):
        load_language_model(str(tmp_path))


@pytest.mark.parametrize("texts", [(), [], [""], "one text"])
def test_a_tokenizer_needs_documents(texts):
    with pytest.raises(ValueError, match="no document to learn tokens from.*load_corpus"):
        load_language_model("gpt-tiny", texts)


def test_the_tokenizer_reads_back_any_text():
    tokenizer = train_tokenizer(TEXTS, 300)
    assert len(tokenizer) == 300 and tokenizer.model_max_length == 128
    for text in (*TEXTS[:3], " Ärger  苹果\n كتاب 😀", "\x00"):
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    assert set(pre_tokenizers.ByteLevel.alphabet()) <= tokenizer.get_vocab().keys()
    assert tokenizer.eos_token == tokens.END and tokenizer.eos_token_id == 0
    with pytest.raises(ValueError, match="vocabulary = 256; allowed: 257 and more"):
        train_tokenizer(TEXTS, 256)


def test_the_tokenizer_is_trained_once_and_the_same_each_time(monkeypatch, tmp_path):
    first = train_tokenizer(TEXTS, 330)
    with monkeypatch.context() as patch:
        patch.setattr(tokens, "_train", lambda *args: pytest.fail("trained again"))
        again = train_tokenizer(list(TEXTS), 330)
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "another"))
    anew = train_tokenizer(TEXTS, 330)
    assert first.get_vocab() == again.get_vocab() == anew.get_vocab()
    assert first.backend_tokenizer.to_str() == anew.backend_tokenizer.to_str()
    assert train_tokenizer(TEXTS[::2], 330).get_vocab() != first.get_vocab()


def test_blocks_are_the_documents_in_a_row(tiny):
    tokenizer = tiny[1]
    texts = ["one cat", "two dogs see", ""]
    rows = blocks(texts, tokenizer, 4)
    ids = [[*tokenizer(text)["input_ids"], tokenizer.eos_token_id] for text in texts]
    line = sum(ids, [])
    assert rows.dtype == torch.int64 and rows.shape == (len(line) // 4, 4)
    assert rows.flatten().tolist() == line[: rows.numel()]
    assert np.asarray(rows).shape == rows.shape


def test_blocks_of_long_documents_do_not_warn(tiny, recwarn):
    rows = blocks(["many words " * 500], tiny[1], 64)
    assert rows.shape[1] == 64 and len(rows) > 10 and not recwarn


@pytest.mark.parametrize(
    ("texts", "length", "said"),
    [
        (["cat"], 64, "1 documents have .* fewer than one block of 64"),
        ([], 64, "0 documents have 0 tokens"),
        (TEXTS, 1, "length = 1; allowed: 2 and more"),
        ("a long text", 4, "texts is one string"),
    ],
)
def test_blocks_that_cannot_be_made_are_refused(tiny, texts, length, said):
    with pytest.raises(ValueError, match=said):
        blocks(texts, tiny[1], length)


def test_blocks_need_an_end_of_text(tiny):
    with pytest.raises(ValueError, match="no end-of-text token"):
        blocks(TEXTS, load_encoder("tiny")[1], 8)


def test_fingerprints_tell_the_models_apart(tiny, tmp_path):
    names = {models.fingerprint(name) for name in language.LANGUAGE_MODELS}
    assert len(names) == 2 and all(len(name) == 16 for name in names)
    tiny[0].save_pretrained(tmp_path)
    assert models.fingerprint(str(tmp_path)) not in names
