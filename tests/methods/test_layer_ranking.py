"""Pairs of layers: the closest ones, of one kind, i before j, once or in chains."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from workbench.methods import layer_fusion
from workbench.methods.layer_fusion import kind_of, pairs_to_reach, rank_pairs

S = torch.tensor(
    [
        [9.0, 0.1, 0.8, 0.3],
        [0.0, 9.0, 0.7, 0.2],
        [0.0, 0.0, 9.0, 0.6],
        [0.0, 0.0, 0.0, 9.0],
    ]
)


def far(a, b):
    return (a - b).norm()


def test_similarities_are_maximised_and_distances_minimised():
    assert rank_pairs(S, 2, larger_is_closer=True) == [(0, 2), (1, 2)]
    assert rank_pairs(S.numpy(), 2, larger_is_closer=False) == [(0, 1), (1, 3)]
    assert rank_pairs(S.tolist(), 1, larger_is_closer=False) == [(0, 1)]


def test_once_and_chained():
    # (0, 3) and others would close a circle of layers that are one already.
    assert rank_pairs(S, larger_is_closer=True) == [(0, 2), (1, 2), (2, 3)]
    assert rank_pairs(S, larger_is_closer=True, chained=False) == [(0, 2), (1, 3)]


def test_adjacent_pairs_are_neighbours_of_one_kind():
    kinds = ["query", "key", "query", "key"]
    pairs = rank_pairs(S, larger_is_closer=True, adjacent=True, same_kind=kinds)
    assert pairs == [(0, 2), (1, 3)]
    assert rank_pairs(S, larger_is_closer=True, adjacent=True) == [(1, 2), (2, 3), (0, 1)]


def test_equal_values_keep_their_order():
    same = torch.ones(5, 5)
    assert rank_pairs(same, 3, larger_is_closer=True) == [(0, 1), (0, 2), (0, 3)]
    assert rank_pairs(same, 2, larger_is_closer=False, chained=False) == [(0, 1), (2, 3)]


@given(st.integers(0, 10_000), st.integers(2, 9), st.booleans())
def test_against_sorting_all_pairs(seed, size, closer):
    table = torch.rand(size, size, generator=torch.Generator().manual_seed(seed)).double()
    every = sorted(
        ((i, j) for i in range(size) for j in range(i + 1, size)),
        key=lambda p: -table[p].item() if closer else table[p].item(),
    )
    pairs = rank_pairs(table, larger_is_closer=closer)
    assert len(pairs) == size - 1 and pairs[0] == every[0]
    assert [p for p in every if p in pairs] == pairs
    once = rank_pairs(table, larger_is_closer=closer, chained=False)
    assert len(once) == size // 2 and len({i for p in once for i in p}) == 2 * len(once)


def test_names_kinds_and_shapes(make_bert):
    model = make_bert(num_hidden_layers=3)
    pairs = rank_pairs(model, measure=far, larger_is_closer=False)
    assert len(pairs) == 6 * 2
    assert all(kind_of(a) == kind_of(b) for a, b in pairs)
    weights = layer_fusion.layer_weights(model)
    assert rank_pairs(weights, 5, far, larger_is_closer=False) == pairs[:5]
    order = list(weights)
    assert all(order.index(a) < order.index(b) for a, b in pairs)
    mixed = rank_pairs(weights, measure=lambda a, b: a.mean() - b.mean(), larger_is_closer=False,
                       same_kind=False)  # fmt: skip
    assert len(mixed) == len(weights) - 1
    table = np.ones((len(weights), len(weights)))
    named = rank_pairs(table, larger_is_closer=False, names=order)
    assert len(named) == 12 and isinstance(named[0][0], str)


def test_a_sequence_of_weights_and_shapes():
    weights = [torch.ones(2, 2), torch.ones(3, 2), torch.zeros(2, 2)]
    assert rank_pairs(weights, measure=far, larger_is_closer=False) == [(0, 2)]
    any_shape = rank_pairs(weights, measure=lambda a, b: a.sum() - b.sum(),
                           larger_is_closer=False, same_kind="kind")  # fmt: skip
    assert len(any_shape) == 2


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("bert.encoder.layer.3.attention.self.query", "query"),
        ("encoder.layer.3.attention.output.dense.weight", "attention_output"),
        ("encoder.layer.3.output.dense", "output"),
        ("transformer.h.0.attn.c_attn", "c_attn"),
        ("model.layers.0.self_attn.v_proj", "v_proj"),
        ("layer2.0.conv1", "conv"),
        ("layer3.1.conv2", "conv"),
        ("4", ""),
    ],
)
def test_kinds(name, kind):
    assert kind_of(name) == kind


def test_infinitely_far_pairs_are_never_chosen():
    table = S.clone()
    table[0, 2] = table[1, 2] = table[2, 3] = float("inf")
    assert rank_pairs(table, larger_is_closer=False) == [(0, 1), (1, 3)]
    assert (0, 2) not in rank_pairs(-table, larger_is_closer=True)


def test_pairs_to_reach(make_bert):
    model = make_bert(num_hidden_layers=4)
    pairs = rank_pairs(model, measure=far, larger_is_closer=False)

    def share(count):
        fused = layer_fusion.fuse(make_bert(num_hidden_layers=4), pairs[:count])
        layers = layer_fusion.fusible_layers(fused).values()
        size = {id(p): p.numel() for x in layers for p in x.parameters.values()}
        whole = layer_fusion.fusible_layers(model).values()
        return sum(size.values()) / sum(p.numel() for x in whole for p in x.parameters.values())

    for keep in (1.0, 0.75, 0.5, 0.25):
        chosen = pairs_to_reach(model, pairs, keep)
        assert share(len(chosen)) <= keep and (not chosen or share(len(chosen) - 1) > keep)
    assert len(pairs_to_reach(model, pairs, 0.75, of="all")) > len(
        pairs_to_reach(model, pairs, 0.75)
    )
    with pytest.raises(ValueError, match=r"18 pairs leave 0.250 of the weights, more than 0.2"):
        pairs_to_reach(model, pairs, 0.2)
    with pytest.raises(ValueError, match=r"keep must be in \(0, 1\]"):
        pairs_to_reach(model, pairs, 0)


def test_errors():
    with pytest.raises(ValueError, match="k must be from 1 to 2.*each used at most once"):
        rank_pairs(S, 3, larger_is_closer=True, chained=False)
    with pytest.raises(ValueError, match="k must be from 1 to 3.*neighbouring.*got 0"):
        rank_pairs(S, 0, larger_is_closer=True, adjacent=True)
    with pytest.raises(ValueError, match=r"must be \(n, n\), got \(4, 3\)"):
        rank_pairs(S[:, :3], 1, larger_is_closer=True)
    bad = S.clone()
    bad[0, 3] = float("nan")
    with pytest.raises(ValueError, match="layers 'a' and 'd' is NaN"):
        rank_pairs(bad, 1, larger_is_closer=True, names=list("abcd"), same_kind=False)
    with pytest.raises(TypeError, match="weights need a measure"):
        rank_pairs([S, S], 1, larger_is_closer=True)
    with pytest.raises(TypeError, match="a matrix holds the values already"):
        rank_pairs(S, 1, far, larger_is_closer=True)
    with pytest.raises(ValueError, match="2 names for 4 layers"):
        rank_pairs(S, 1, larger_is_closer=True, names=["a", "b"])
    with pytest.raises(ValueError, match="the kinds of all 4 layers, got 'query'"):
        rank_pairs(S, 1, larger_is_closer=True, same_kind="query")
    with pytest.raises(ValueError, match="Embedding has no layer to fuse"):
        rank_pairs(nn.Embedding(3, 3), 1, far, larger_is_closer=True)
