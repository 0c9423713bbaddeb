"""Tasks whose every word has a tag: read, trained, pruned and scored, on a tiny encoder."""

import sys
from pathlib import Path

import numpy as np
import pytest

from workbench import datasets, models
from workbench.experiments import inputs as reading
from workbench.experiments import languages, text
from workbench.experiments.fine_tuning import FineTuning
from workbench.experiments.gradient_dropout import GradientDropoutTuning
from workbench.experiments.self_distilled_pruning import SelfDistilledPruning
from workbench.experiments.zero_shot_pruning import ZeroShotPruning
from workbench.observations import Array, Checkpoint, Scalar

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from hub_folders import wikiann

TAGGED = {"f1", "precision", "recall", "accuracy", "calibration_error", "words_read"}
OF_TEXTS = {"snr", "silhouette", "fisher_ratio", "nearest_centroid", "matthews"}
SMALL = dict(task="wikiann", model="tiny", device="cpu", train_size=40, eval_size=12, test_size=1)
PRUNED = dict(**SMALL, pruning_steps=1, updates=2, teacher_updates=2, projections="all")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return wikiann(tmp_path_factory.mktemp("benchmarks") / "wikiann", train=60, test=4)


@pytest.fixture(autouse=True)
def wikiann_at_hand(made, monkeypatch):
    text._read.cache_clear()
    monkeypatch.setenv("WORKBENCH_BENCHMARKS", str(made.parent))
    yield
    text._read.cache_clear()


def split(words, tags):
    """A split of such texts, as a loader gives it."""
    from workbench.datasets.rows import Row
    from workbench.datasets.table import table

    task = datasets.TASKS["wikiann"]
    rows = [
        Row(" ".join(said), tuple(named), "en", f"g{i}", words=tuple(said))
        for i, (said, named) in enumerate(zip(words, tags, strict=True))
    ]
    return table(task, dict.fromkeys(("train", "validation", "test"), rows))["train"]


def encode(words, tags, **options):
    tokenizer = models.load_encoder("tiny")[1]
    return tokenizer, reading.encode(split(words, tags), tokenizer, **options)


WORDS = [["good", "oslo", "!"], ["lima"]]
TAGS = [["O", "B-LOC", "O"], ["B-LOC"]]


def test_the_first_token_of_a_word_has_its_label():
    tokenizer, data = encode(WORDS, TAGS)
    batch = data.collate([0, 1])
    # [CLS] good o s l o ! [SEP] and [CLS] l i m a [SEP]: the tiny tokenizer spells what is new.
    assert batch["labels"].tolist() == [
        [-100, 0, 5, -100, -100, -100, 0, -100],
        [-100, 5, -100, -100, -100, -100, -100, -100],
    ]
    assert tokenizer.convert_ids_to_tokens(batch["input_ids"][0].tolist())[1:3] == ["good", "o"]
    assert data.classes.tolist() == [5, 5] and data.counts.tolist() == [3, 1]


def test_a_prefix_has_no_label():
    _, plain = encode(WORDS, TAGS)
    _, data = encode(WORDS, TAGS, prefix="query: ")
    shift = data.lengths[1] - plain.lengths[1]
    assert shift > 0
    before, after = plain.collate([1])["labels"][0], data.collate([1])["labels"][0]
    assert after.tolist() == [-100] * shift + before.tolist()


def test_words_beyond_the_longest_text_are_not_read_and_predicted_to_be_nothing():
    _, data = encode([["good", "oslo", "in", "lima"]], [["O", "B-LOC", "O", "B-LOC"]], max_length=5)
    assert data.read[0].tolist() == [0, 1] and data.lengths == [5]
    found = data.sentences(np.array([6, 5]), [0])
    assert found[0].tolist() == [6, 5, 0, 0]
    with pytest.raises(ValueError, match="max_length=4 leaves no room for a word of 'query: lima'"):
        encode([["lima"]], [["B-LOC"]], prefix="query: ", max_length=4)


def test_a_word_that_is_nothing_to_the_tokenizer_is_an_unknown_one():
    tokenizer, data = encode([["\u200b", "lima"]], [["O", "B-LOC"]])
    assert data.read[0].tolist() == [0, 1]
    assert data.tokens[0]["input_ids"][1] == tokenizer.unk_token_id


def test_predictions_are_in_the_order_of_the_texts_whatever_the_batches():
    words = [["good"] * n for n in (5, 1, 3, 2, 4)]
    _, data = encode(words, [["O"] * len(said) for said in words])
    model = models.token_classifier("tiny", 7, seed=0)[0]
    logits, hidden = reading.predict(model, data)
    again, same = reading.predict(model, data, batch_size=2)
    np.testing.assert_allclose(again, logits, atol=1e-5)
    np.testing.assert_allclose(same, hidden, atol=1e-5)
    np.testing.assert_array_equal(reading.represent(model, data), hidden)
    assert logits.shape == (15, 7) and hidden.shape == (5, 32)
    alone = model(**{k: v for k, v in data.collate([2]).items() if k != "labels"})
    np.testing.assert_allclose(logits[6:9], alone.logits[0, 1:4].detach(), atol=1e-5)


def test_scores_are_of_whole_entities_over_all_words():
    # The second text is cut after its first word; its name is missed.
    _, data = encode([["lima", "!"], ["good", "oslo"]], [["B-LOC", "O"], ["O", "B-LOC"]],
                     max_length=7)  # fmt: skip
    data = reading.EncodedWords(**{**vars(data), "read": [data.read[0], data.read[1][:1]],
                                   "places": [data.places[0], data.places[1][:1]]})  # fmt: skip
    tags = datasets.TASKS["wikiann"].labels
    inputs = text.Inputs(data, data, data, len(tags), "f1", tags)
    logits = np.eye(len(tags))[[5, 0, 0]]
    found = {o.name: o.value for o in text.measure(0, inputs, "test", logits, phase="after")}
    assert set(found) == TAGGED
    assert found["precision"] == 1.0 and found["recall"] == 0.5 and found["words_read"] == 0.75
    assert found["f1"] == pytest.approx(2 / 3) and found["accuracy"] == 0.75


def test_fine_tuning_learns_to_find_names():
    sizes = dict(train_size=0, updates=40, learning_rate=1e-2, freeze_embeddings=False)
    e = FineTuning.profile("smoke", **{**SMALL, **sizes})
    seen = list(e.run())
    scores = [o for o in seen if isinstance(o, Scalar) and o.name == "f1"]
    english = [o.value for o in scores if o.labels["split"] == "validation"]
    assert len(scores) == 1 + 40 and english[0] > 0.5
    assert [o for o in seen if isinstance(o, Scalar) and o.name == "words_read"]


@pytest.mark.parametrize("method", ["magnitude", "SDP-COS", "SDP-CC"])
def test_self_distilled_pruning_runs_on_words(method):
    seen = list(SelfDistilledPruning.of_method(method, "smoke", **PRUNED).run())
    names = {o.name for o in seen if isinstance(o, Scalar)}
    assert names >= TAGGED | {"agreement", "cka", "mutual_information", "density"}
    assert not names & OF_TEXTS
    classes = next(o for o in seen if isinstance(o, Array) and o.name == "classes")
    assert classes.values.shape == (12,) and set(classes.values.tolist()) <= {1, 3, 5}
    assert {o.labels["projection"] for o in seen if getattr(o, "name", "") == "projection"} == {
        "pca"
    }


@pytest.fixture
def translated(monkeypatch):
    """Two languages of five texts each, for what chapter 9 measures across languages."""
    tokenizer = models.load_encoder("tiny")[1]
    said = [f"text {i}" for i in range(5)]
    columns = tokenizer(said + [one + " too" for one in said])
    tokens = [{name: columns[name][i] for name in columns} for i in range(10)]
    texts = reading.Encoded(tokens, np.zeros(10), np.array(["en"] * 5 + ["xx"] * 5), {})
    monkeypatch.setattr(languages, "parallel_texts", lambda model, size: texts)


def test_chapter_9_runs_on_words_and_resumes_bit_for_bit(translated, measured):
    e = ZeroShotPruning.of_method("gradient", "smoke", **PRUNED, checkpoint_every=1)
    whole = list(e.run())
    names = {o.name for o in whole if isinstance(o, Scalar)}
    assert names >= TAGGED | {"retrieval", "pretrained_distance"} and not names & OF_TEXTS
    tested = {o.labels["subset"] for o in whole if getattr(o, "name", "") == "f1"}
    assert tested == set(datasets.TASKS["wikiann"].subsets)
    place = [i for i, o in enumerate(whole) if isinstance(o, Checkpoint)][1]
    assert measured(e.run(resume=whole[place])) == measured(whole[place + 1 :])


@pytest.mark.parametrize("method", ["lookahead", "SynFlow", "Wanda", "Fisher", "OBD", "L0"])
def test_criteria_are_defined_for_a_head_on_every_token(translated, method):
    seen = list(ZeroShotPruning.of_method(method, "smoke", **{**PRUNED, "updates": 1}).run())
    left = [o.value for o in seen if getattr(o, "name", "") == "density"
            and o.labels["scope"] == "prunable"]  # fmt: skip
    assert left[-1] == pytest.approx(0.1, abs=2e-2)


@pytest.mark.parametrize("method", ["GradDrop-Epoch", "LoRA", "Mixout", "layer-wise decay"])
def test_chapter_10_runs_on_words_and_resumes_bit_for_bit(measured, method):
    sizes = dict(**SMALL, epochs=2, measured_texts=8)
    e = GradientDropoutTuning.of_method(method, "smoke", **sizes)
    seen = list(e.run())
    last = {o.name for o in seen if isinstance(o, Scalar) and o.step == 2}
    assert last >= TAGGED | {"updated", "gradient_norm", "distance", "sharpness"}
    assert not [o for o in seen if isinstance(o, Scalar) and o.name == "majority_share"]
    place = next(i for i, o in enumerate(seen) if isinstance(o, Checkpoint))
    assert measured(e.run(resume=seen[place])) == measured(seen[place + 1 :])


def test_every_task_can_be_chosen():
    assert set(text.TASK_NAMES) == set(datasets.TASKS)
