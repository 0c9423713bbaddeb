"""Two thin layers for one: as near as any of that rank, and smaller."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from workbench.methods.decomposition import decompose, merge, saving_rank, truncated_svd
from workbench.methods.storage import stored_bytes


@given(st.integers(3, 200), st.integers(3, 200), st.floats(0.3, 1))
def test_the_rank_saves_and_the_next_does_not(m, n, keep):
    if keep * m * n < m + n or keep == 1 and m * n == m + n:
        return
    rank = saving_rank(m, n, keep)
    assert rank * (m + n) <= keep * m * n * (1 + 1e-9) and rank * (m + n) < m * n
    assert (rank + 1) * (m + n) > keep * m * n or (rank + 1) * (m + n) == m * n


@pytest.mark.parametrize(("m", "n", "rank"), [(768, 768, 383), (100, 50, 33), (768, 3072, 614)])
def test_a_square_layer_is_smaller_only_below_half_its_width(m, n, rank):
    assert saving_rank(m, n) == rank


@pytest.mark.parametrize("rank", [1, 5, 20, 40])
def test_the_error_is_the_best_of_this_rank(rank):
    torch.manual_seed(0)
    weight = torch.randn(60, 40).double() @ torch.diag(0.9 ** torch.arange(40).double())
    left, right = truncated_svd(weight, rank)
    best = torch.linalg.svdvals(weight)[rank:].square().sum().sqrt()
    error = (weight - left @ right).norm()
    assert best * (1 - 1e-9) <= error + 1e-12 and error <= 1.01 * best + 1e-9
    assert left.shape == (60, rank) and right.shape == (rank, 40)
    # Eckart and Young: singular values are shared between the factors.
    torch.testing.assert_close(left.norm(dim=0), right.norm(dim=1), rtol=1e-9, atol=1e-12)


def test_the_sketch_is_seeded_and_leaves_the_global_generator():
    weight = torch.randn(50, 50)
    torch.manual_seed(3)
    state = torch.get_rng_state()
    one, other = truncated_svd(weight, 5, seed=1), truncated_svd(weight, 5, seed=1)
    assert torch.equal(one[0], other[0]) and torch.equal(torch.get_rng_state(), state)


def test_linear_conv1d_and_convolutions_of_low_rank_compute_the_same():
    from transformers.pytorch_utils import Conv1D

    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(12, 10), Conv1D(8, 10), nn.Linear(8, 9, bias=False)).double()
    pictures = nn.Sequential(
        nn.Conv2d(4, 12, 3, stride=2, padding=1, padding_mode="reflect"), nn.Conv1d(12, 9, 3)
    )[:1].double()
    for layers, x in ((model, torch.randn(5, 12)), (pictures, torch.randn(2, 4, 9, 9))):
        with torch.no_grad():
            for p in (p for p in layers.parameters() if p.ndim > 1):
                flat = p.flatten(1)
                left, right = torch.randn(len(flat), 2).double(), torch.randn(2, flat.shape[1])
                p.copy_((left @ right.double()).reshape(p.shape))
        before = layers(x.double())
        size = stored_bytes(layers)
        ranks = decompose(layers, 0.75)
        assert all(rank >= 2 for rank in ranks.values()) and stored_bytes(layers) < size
        torch.testing.assert_close(layers(x.double()), before, rtol=1e-8, atol=1e-8)


def test_an_encoder_trains_saves_and_keeps_its_share(make_bert, tokens):
    model = make_bert(hidden_size=32, intermediate_size=64)
    whole = copy.deepcopy(model)
    ranks = decompose(model, 0.5)
    assert len(ranks) == 12 and set(ranks.values()) == {8, 10}
    query = model.bert.encoder.layer[0].attention.self.query
    assert list(query.state_dict()) == ["0.weight", "1.weight", "1.bias"]
    assert query[0].weight.numel() + query[1].weight.numel() == 32 * 32 // 2
    assert stored_bytes(model) < stored_bytes(whole)
    model(tokens).logits.sum().backward()
    assert query[0].weight.grad is not None
    assert model(tokens).logits.isfinite().all()


def test_errors_change_nothing():
    with pytest.raises(ValueError, match=r"no rank keeps 0.1 of a 10 x 10 matrix: rank 1 takes 20"):
        saving_rank(10, 10, 0.1)
    with pytest.raises(ValueError, match=r"keep must be in \(0, 1\].*got 0"):
        saving_rank(10, 10, 0)
    with pytest.raises(ValueError, match="rank must be from 1 to 4, got 5"):
        truncated_svd(torch.ones(4, 6), 5)
    grouped = nn.Sequential(nn.Conv2d(8, 8, 3), nn.Conv2d(8, 8, 3, groups=2))
    with pytest.raises(ValueError, match="'1' is a grouped convolution and cannot be replaced"):
        decompose(grouped, 0.5)
    assert isinstance(grouped[0], nn.Conv2d)
    encoder = nn.TransformerEncoderLayer(8, 2, 16)
    with pytest.raises(ValueError, match="part of torch.nn.MultiheadAttention"):
        decompose(encoder, 0.9)
    with pytest.raises(ValueError, match="the model is a single layer"):
        decompose(nn.Linear(8, 8), 0.9)


@pytest.mark.parametrize("kind", ["linear", "convolution"])
def test_merging_undoes_decomposing(kind):
    torch.manual_seed(0)
    layer = nn.Linear(12, 10) if kind == "linear" else nn.Conv2d(4, 10, 3, stride=2, padding=1)
    model = nn.Sequential(layer, nn.ReLU()).double()
    x = torch.randn(5, 12).double() if kind == "linear" else torch.randn(2, 4, 8, 8).double()
    decompose(model, 0.5)
    small = model(x)
    assert merge(model) == ["0"] and isinstance(model[0], type(layer))
    assert torch.allclose(model(x), small, rtol=0, atol=1e-12)
    merged = model[0].weight.detach().clone()
    ranks = decompose(model, 0.5)
    assert merge(model) == ["0"] and torch.allclose(model[0].weight, merged, rtol=0, atol=1e-12)
    assert ranks["0"] >= torch.linalg.matrix_rank(merged.flatten(1))
    assert merge(nn.Sequential(nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 3)))) == []
