"""Criteria and scopes by name, on the tiny encoder."""

import pytest
import torch

from workbench import models
from workbench.experiments.scoring import CRITERIA, DATA_FREE, NEED_DATA, SCOPES, choose, scores


@pytest.fixture(scope="module")
def classifier():
    return models.classifier("tiny", num_labels=2, seed=0)


@pytest.fixture
def batches(classifier):
    _, tokenizer = classifier
    batch = models.encode_batch(tokenizer, ["a fine film", "a dull one"], max_length=8)
    return lambda: iter([{**batch, "labels": torch.tensor([1, 0])}])


@pytest.mark.parametrize("criterion", CRITERIA)
def test_every_criterion_is_reached_by_its_name_and_seeded(classifier, batches, criterion):
    model, _ = classifier
    first, again, other = (
        scores(model, criterion, seed=seed, batches=batches) for seed in (3, 3, 4)
    )
    for name, parameter in dict(model.named_parameters()).items():
        if name in first:
            assert first[name].shape == parameter.shape
            assert torch.equal(first[name], again[name])
    draws = criterion in ("random", "optimal_brain_damage")
    assert draws == any(not torch.equal(first[name], other[name]) for name in first)


def test_criteria_without_data_read_none(classifier):
    def never():
        raise AssertionError("batches were asked for")

    for criterion in DATA_FREE:
        scores(classifier[0], criterion, seed=0, batches=never)
    assert not set(DATA_FREE) & set(NEED_DATA)


@pytest.mark.parametrize("scope", SCOPES)
def test_scopes_share_the_budget_as_they_say(classifier, batches, scope):
    found = scores(classifier[0], "magnitude", seed=0, batches=batches)
    masks = choose(found, scope, 0.5)
    shares = [mask.float().mean().item() for mask in masks.values()]
    rows = torch.cat([mask.float().mean(1) for mask in masks.values()])
    assert masks.density == pytest.approx(0.5, abs=1e-3)
    assert (max(shares) - min(shares) < 1e-6) == (scope != "global")
    assert bool((rows == 0.5).all()) == (scope == "row")
    sparser = choose(found, scope, 0.25, within=masks)
    assert all(not (sparser[name] & ~masks[name]).any() for name in masks)


def test_what_there_is_not_is_named(classifier, batches):
    with pytest.raises(ValueError, match="'size' is not one of random, magnitude"):
        scores(classifier[0], "size", seed=0, batches=batches)
    with pytest.raises(ValueError, match="'column' is not one of layer, global, row"):
        choose({"w": torch.ones(2, 2)}, "column", 0.5)
