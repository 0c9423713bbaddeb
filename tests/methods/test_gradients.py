"""What all criteria with data share: models come back as they were, and errors that help."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from workbench.methods import pruning
from workbench.models import classifier, encode_batch, freeze_embeddings

pytestmark = pytest.mark.unit

CRITERIA = [
    name
    for name in ("gradient", "taylor", "snip", "fisher", "movement", "wanda",
                 "optimal_brain_damage")
    if name in pruning.__all__
]  # fmt: skip
TEXTS = ["a good film", "bad", "the story was so boring that i left", "my dog", "red star"]


@pytest.fixture
def sentence():
    """A tiny BERT classifier under training, and two batches of 3 and 2 padded rows."""
    model, tokenizer = classifier("tiny", 3, seed=0)
    freeze_embeddings(model)
    labels = torch.tensor([0, 1, 2, 1, 0])
    batches = [
        {**encode_batch(tokenizer, TEXTS[:3]), "labels": labels[:3]},
        {**encode_batch(tokenizer, TEXTS[3:]), "labels": labels[3:]},
    ]
    return model.train(), batches


def run(name, model, batches, **kwargs):
    return getattr(pruning, name)(model, batches, **kwargs)


def snapshot(model):
    return {
        "state": copy.deepcopy(model.state_dict()),
        "grads": {n: None if p.grad is None else p.grad.clone()
                  for n, p in model.named_parameters()},
        "required": {n: p.requires_grad for n, p in model.named_parameters()},
        "training": {n: m.training for n, m in model.named_modules()},
        "hooks": {n: (len(m._forward_pre_hooks), len(m._forward_hooks))
                  for n, m in model.named_modules()},
    }  # fmt: skip


def assert_same(before, after):
    for part in ("required", "training", "hooks"):
        assert before[part] == after[part]
    assert before["grads"].keys() == after["grads"].keys()
    for name, gradient in before["grads"].items():
        other = after["grads"][name]
        assert (gradient is None and other is None) or torch.equal(gradient, other)
    assert all(torch.equal(t, after["state"][n]) for n, t in before["state"].items())


@pytest.mark.parametrize("name", CRITERIA)
def test_a_transformers_classifier_comes_back_as_it_was(name, sentence):
    model, batches = sentence
    model.encoder.encoder.layer[0].eval()  # flags differ between modules
    model.encoder.encoder.layer[1].output.dense.weight.requires_grad_(False)
    model(**batches[0]).loss.backward()
    before, random = snapshot(model), torch.get_rng_state()
    kwargs = {}
    if name == "optimal_brain_damage":
        kwargs["generator"] = torch.Generator().manual_seed(0)
    scores = run(name, model, iter(batches), **kwargs)
    assert_same(before, snapshot(model))
    assert torch.equal(random, torch.get_rng_state())
    parameters = pruning.prunable_parameters(model)
    assert len(parameters) == 12 and list(scores) == list(parameters)
    for parameter, score in zip(parameters.values(), scores.values(), strict=True):
        assert score.shape == parameter.shape and score.dtype == torch.float32
        assert score.isfinite().all() and score.any() and not score.requires_grad
    assert pruning.Masks.globally(scores, 0.3).kept == round(0.3 * 16384)


@pytest.mark.parametrize("name", CRITERIA)
def test_a_failure_midway_leaves_the_model_as_it_was(name, sentence):
    model, batches = sentence
    model(**batches[0]).loss.backward()
    before = snapshot(model)
    seen = []

    def fails(model, batch):
        seen.append(batch)
        if len(seen) == 2:
            raise RuntimeError("the disk is full")
        return model(**batch).loss

    with pytest.raises(RuntimeError, match="the disk is full"):
        run(name, model, batches, loss=fails)
    assert_same(before, snapshot(model))


@pytest.mark.parametrize("name", CRITERIA)
def test_bf16_weights_give_float32_scores(name, sentence):
    model, batches = sentence
    single = run(name, model, batches[:1], **seeded(name))
    half = run(name, model.bfloat16(), batches[:1], **seeded(name))
    for layer, score in half.items():
        assert score.dtype == torch.float32 and score.isfinite().all()
        both = torch.stack([score.flatten(), single[layer].flatten()])
        # 8 bits of precision through two layers, and squared; key weights score near zero.
        if ".key." not in layer:
            assert torch.corrcoef(both)[0, 1] > 0.95, layer


def seeded(name):
    if name != "optimal_brain_damage":
        return {}
    return {"generator": torch.Generator().manual_seed(0), "samples": 2}


@pytest.mark.parametrize("name", CRITERIA)
@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_the_callers_gradient_mode_does_not_matter(name, context, sentence):
    model, batches = sentence
    expected = run(name, model, batches, **seeded(name))
    with context():
        scores = run(name, model, batches, **seeded(name))
    assert all(torch.equal(expected[n], s) for n, s in scores.items())


@pytest.mark.parametrize("name", CRITERIA)
def test_no_batches(name, sentence):
    with pytest.raises(ValueError, match="no batches to score on; give at least one"):
        run(name, sentence[0], [])
    spent = iter(sentence[1])
    list(spent)
    with pytest.raises(ValueError, match="a generator is used up"):
        run(name, sentence[0], spent)


@pytest.mark.parametrize("name", CRITERIA)
def test_one_batch_instead_of_many(name, sentence):
    with pytest.raises(TypeError, match=r"got one dict; wrap it: \[batch\]"):
        run(name, sentence[0], sentence[1][0])


@pytest.mark.parametrize("name", [n for n in CRITERIA if n != "wanda"])
def test_losses_that_cannot_be_used(name, sentence):
    model, batches = sentence
    unlabelled = [{k: v for k, v in b.items() if k != "labels"} for b in batches]
    with pytest.raises(ValueError, match=r"no loss for a batch with the keys .*add its labels"):
        run(name, model, unlabelled)
    with pytest.raises(ValueError, match=r"loss of batch 0 must be a scalar tensor, got \(\d, 3\)"):
        run(name, model, batches, loss=lambda m, b: m(**b).logits)
    with pytest.raises(ValueError, match="must be a scalar tensor, got float"):
        run(name, model, batches, loss=lambda m, b: m(**b).loss.item())
    with pytest.raises(ValueError, match="the loss of batch 0 is nan"):
        run(name, model, batches, loss=lambda m, b: m(**b).loss * float("nan"))
    with pytest.raises(ValueError, match="loss of batch 0 has no gradient"):
        run(name, model, batches, loss=lambda m, b: m(**b).loss.detach())
    with pytest.raises(ValueError, match="depends on none of the prunable weights"):
        run(name, model, batches, loss=lambda m, b: m.classifier.weight.pow(2).sum())
    with pytest.raises(ValueError, match="batch 0 has no rows; leave empty batches out"):
        run(name, model, [{k: v[:0] for k, v in batches[0].items()}])
    with pytest.raises(TypeError, match="pass loss=lambda model, batch"):
        run(name, model, [batches[0]["input_ids"]])
    with pytest.raises(TypeError, match="holds no tensor with rows"):
        run(name, model, [{"text": "a good film"}])


def test_targets_that_do_not_pair():
    net = nn.Sequential(nn.Linear(4, 3))
    with pytest.raises(ValueError, match=r"shape \(5, 3\) and float targets of shape \(5,\)"):
        pruning.gradient(net, [(torch.randn(5, 4), torch.randn(5))])


def test_pairs_of_column_outputs_token_labels_and_lists():
    net = nn.Sequential(nn.Linear(4, 1)).double()
    x, y = torch.randn(5, 4, dtype=torch.float64), torch.randn(5, dtype=torch.float64)
    expected = (2 * (net(x).squeeze(1) - y)[:, None] * x).mean(0).abs()
    # A list, as a DataLoader makes them.
    torch.testing.assert_close(pruning.gradient(net, [[x, y]])["0.weight"][0], expected)

    net = nn.Sequential(nn.Linear(4, 3))
    x, y = torch.randn(2, 5, 4), torch.randint(3, (2, 5))
    y[0, 3:] = -100  # not labelled
    F.cross_entropy(net(x).reshape(-1, 3), y.reshape(-1)).backward()
    scores = pruning.gradient(net, [(x, y)])
    torch.testing.assert_close(scores["0.weight"], net[0].weight.grad.abs())


def test_weights_that_the_loss_does_not_use_score_zero():
    net = nn.ModuleDict({"used": nn.Linear(3, 2), "idle": nn.Linear(3, 2)})
    batch = (torch.randn(4, 3), torch.randint(2, (4,)))
    scores = pruning.gradient(
        net, [batch], loss=lambda m, b: F.cross_entropy(m["used"](b[0]), b[1])
    )
    assert scores["used.weight"].any() and not scores["idle.weight"].any()


def test_padding_changes_no_score(sentence):
    model, batches = sentence
    model.double()
    wide = [
        {k: v if k == "labels" else F.pad(v, (0, 3)) for k, v in batch.items()} for batch in batches
    ]
    for name in ("gradient", "taylor", "snip", "fisher", "movement", "wanda"):
        narrow, padded = run(name, model, batches), run(name, model, wide)
        for layer, score in narrow.items():
            torch.testing.assert_close(padded[layer], score, rtol=1e-9, atol=1e-15)
