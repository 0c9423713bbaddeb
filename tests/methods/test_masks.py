"""Exact selection: counts, ties, refusals; against a plain sort as the oracle."""

from __future__ import annotations

import copy

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from hypothesis.extra import numpy as hnp
from torch import nn

from workbench.methods import pruning
from workbench.methods.pruning import Masks, selection

pytestmark = pytest.mark.unit


def by_sorting(scores: dict[str, torch.Tensor], keep: int) -> dict[str, torch.Tensor]:
    """The oracle: a stable sort of all scores at once."""
    flat = torch.cat([s.double().reshape(-1) for s in scores.values()])
    mask = torch.zeros(len(flat), dtype=torch.bool)
    mask[torch.sort(flat, descending=True, stable=True).indices[:keep]] = True
    parts = mask.split([s.numel() for s in scores.values()])
    return {n: p.view(s.shape) for (n, s), p in zip(scores.items(), parts, strict=True)}


def same(a, b) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[n], b[n]) for n in a)


arrays = hnp.arrays(
    "float32",
    hnp.array_shapes(min_dims=1, max_dims=2, max_side=9),
    elements=st.one_of(st.sampled_from([0.0, 1.0, -1.0]), st.floats(-4, 4, width=16)),
)


@given(st.lists(arrays, min_size=1, max_size=4), st.floats(1e-3, 1), st.integers(1, 9))
@settings(deadline=None, max_examples=200)
def test_global_masks_equal_a_stable_sort_with_any_sample(values, density, sample):
    scores = {f"layer{i}": torch.from_numpy(v) for i, v in enumerate(values)}
    total = sum(s.numel() for s in scores.values())
    keep = round(density * total)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(selection, "_SAMPLE", sample)  # small samples reach every branch
        patch.setattr(selection, "_CHUNK", 7)
        if keep == 0:
            with pytest.raises(ValueError, match="keeps none"):
                Masks.globally(scores, density)
            return
        masks = Masks.globally(scores, density)
    assert masks.kept == keep
    assert same(masks, by_sorting(scores, keep))


@given(st.lists(arrays, min_size=1, max_size=3), st.floats(1e-3, 1))
@settings(deadline=None)
def test_layerwise_masks_keep_the_exact_count_of_each_layer(values, density):
    scores = {f"layer{i}": torch.from_numpy(v) for i, v in enumerate(values)}
    masks = Masks.layerwise(scores, density)
    for name, score in scores.items():
        keep = round(density * score.numel())
        assert torch.equal(masks[name], by_sorting({name: score}, keep)[name])


@pytest.mark.parametrize("rule", [Masks.globally, Masks.layerwise])
@pytest.mark.parametrize("sample", [3, 1 << 16])
def test_pruned_weights_never_come_back(rule, sample, monkeypatch):
    monkeypatch.setattr(selection, "_SAMPLE", sample)
    generator = torch.Generator().manual_seed(0)
    shapes = {"a": (13, 17), "b": (40,), "c": (5, 8)}
    masks = None
    for density in (0.9, 0.5, 0.5, 0.2, 0.05):
        scores = {n: torch.rand(s, generator=generator) for n, s in shapes.items()}
        before, masks = masks, rule(scores, density, within=masks)
        if before is not None:
            assert all(bool((before[n] | ~masks[n]).all()) for n in shapes)
            effective = {n: s.masked_fill(~before[n], -1) for n, s in scores.items()}
            if rule == Masks.globally:
                assert same(masks, by_sorting(effective, round(density * 301)))
    with pytest.raises(ValueError, match="pruned weights do not come back"):
        rule(scores, 0.5, within=masks)


def test_half_counts_go_to_the_even_number():
    scores = {"w": torch.arange(5.0)}
    assert Masks.layerwise(scores, 0.5).kept == 2  # 2.5
    assert Masks.globally(scores, 0.7).kept == 4  # 3.5


def test_large_and_periodic_scores_are_exact():
    # A period equal to the sampling stride fools the sample; the answer must not change.
    size = (1 << 20) + 3
    stride = size // selection._SAMPLE | 1
    scores = {"w": (torch.arange(size) % stride == 0).float() + torch.rand(size) / 2}
    for density in (0.001, 0.1, 0.5, 0.999, 1.0):
        keep = round(density * size)
        assert same(Masks.globally(scores, density), by_sorting(scores, keep))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_other_and_mixed_dtypes(dtype, monkeypatch):
    monkeypatch.setattr(selection, "_SAMPLE", 16)
    scores = {"a": torch.randn(50, 7).to(dtype), "b": torch.randn(31)}
    assert same(Masks.globally(scores, 0.3), by_sorting(scores, round(0.3 * 381)))
    assert same(
        Masks.globally({"a": scores["a"].t()}, 0.3), by_sorting({"a": scores["a"].t()}, 105)
    )


def test_scores_that_require_grad():
    scores = {"a": torch.randn(300_000, requires_grad=True)}
    assert Masks.globally(scores, 0.25).kept == 75_000


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("rule", [Masks.globally, Masks.layerwise])
def test_scores_without_a_rank_are_refused_by_name(rule, bad):
    scores = {"fine": torch.rand(4, 4), "encoder.7.weight": torch.rand(4, 4)}
    scores["encoder.7.weight"][2, 1] = bad
    with pytest.raises(ValueError, match=r"'encoder.7.weight' hold 1 NaN or infinite values of 16"):
        rule(scores, 0.5)


@pytest.mark.parametrize(
    "density", [0, 0.0, -0.1, 1.01, float("nan"), float("inf"), True, "0.5", None]
)
@pytest.mark.parametrize("rule", [Masks.globally, Masks.layerwise])
def test_density_out_of_range_is_refused(rule, density):
    with pytest.raises(ValueError, match=r"density must be a number in \(0, 1\].*got"):
        rule({"w": torch.rand(10)}, density)


@pytest.mark.parametrize("rule", [Masks.globally, Masks.layerwise])
def test_density_one_keeps_everything(rule):
    masks = rule({"w": torch.rand(10, 3)}, 1)
    assert masks.density == 1.0 and masks.kept == 30


def test_bad_scores_and_masks():
    with pytest.raises(TypeError, match="'w' must be a floating-point tensor, got torch.int64"):
        Masks.globally({"w": torch.arange(4)}, 0.5)
    with pytest.raises(ValueError, match="no scores to rank"):
        Masks.globally({}, 0.5)
    with pytest.raises(TypeError, match="must be a torch.bool tensor, got torch.float32"):
        Masks({"w": torch.ones(2)})
    with pytest.raises(ValueError, match="different parameters"):
        Masks.globally({"w": torch.rand(4)}, 0.5, within={"v": torch.ones(4, dtype=torch.bool)})
    with pytest.raises(ValueError, match=r"shape \(3,\) in within"):
        Masks.globally({"w": torch.rand(4)}, 0.5, within={"w": torch.ones(3, dtype=torch.bool)})


def test_numbers_state_and_copies():
    masks = Masks.layerwise({"a": torch.rand(10, 10), "b": torch.rand(50)}, 0.3)
    assert masks.total == 150 and masks.kept == 45 and masks.density == 0.3
    assert masks.density_per_layer() == {"a": 0.3, "b": 0.3}
    for other in (
        Masks(masks.state_dict()),
        copy.deepcopy(masks),
        copy.copy(masks),
    ):
        assert same(masks, other) and not other.attached
    other = Masks.layerwise({"a": torch.rand(10, 10), "b": torch.rand(50)}, 0.1)
    other.load_state_dict(masks.state_dict())
    assert same(masks, other)
    with pytest.raises(ValueError, match="different parameters"):
        other.load_state_dict({"a": masks["a"]})
    assert "density=0.3000, 45 of 150 weights" in repr(masks)


def test_magnitude_and_random_scores():
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))
    scores = pruning.magnitude(model)
    assert list(scores) == ["0.weight", "2.weight"]
    assert torch.equal(scores["0.weight"], model[0].weight.abs())
    lazy = pruning.magnitude(model, lazy=True)
    assert same(Masks.globally(lazy, 0.4), Masks.globally(scores, 0.4))
    with torch.no_grad():
        model[0].weight.zero_()
    assert not lazy["0.weight"].any() and scores["0.weight"].any()

    first = pruning.random(model, torch.Generator().manual_seed(3))
    again = pruning.random(model, torch.Generator().manual_seed(3))
    assert same(first, again) and first["2.weight"].shape == (3, 6)
    assert not same(first, pruning.random(model, torch.Generator().manual_seed(4)))


def test_masks_from_the_zeros_of_a_model():
    model = nn.Sequential(nn.Linear(20, 20), nn.Linear(20, 2))
    masks = Masks.globally(pruning.magnitude(model), 0.25)
    masks.apply(model)
    assert same(masks, Masks.from_zeros(model)) and not masks.attached
