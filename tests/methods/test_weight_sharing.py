"""Shared weights: few values, held in training, and the bytes that their codes take."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from workbench.methods.layer_fusion import fuse
from workbench.methods.pruning import Masks, magnitude, save_sparse
from workbench.methods.storage import code_bits, pack_codes, stored_bytes, unpack_codes
from workbench.methods.weight_sharing import cluster_count, hold, project, share_weights


def make(size: int = 40) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(size, size), nn.Tanh(), nn.Linear(size, size))


@pytest.mark.parametrize(
    ("of", "keep", "shape", "count"),
    [
        ("128", 0.9, (1024, 1024), 115),  # "10% quantized results in 115 clusters"
        ("128", 1.0, (8, 8), 128),
        ("width", 0.5, (1024, 1024), 512),  # "GPT-2 layer at 50% results in 512"
        ("parameters", 0.25, (16, 8, 3, 3), 288),
        ("width", 0.01, (10, 10), 1),
    ],
)
def test_the_three_printed_definitions(of, keep, shape, count):
    assert cluster_count(torch.zeros(shape), keep, of) == count


def test_weights_take_few_values_and_biases_stay():
    model, before = make(), make()
    shared = share_weights(model, clusters=8)
    assert list(shared) == ["0.weight", "2.weight"]
    for name, parameter in model.named_parameters():
        old = before.get_parameter(name)
        assert len(parameter.unique()) == 8 if name in shared else torch.equal(parameter, old)
    change = (model[0].weight - before[0].weight).detach().square().sum()
    assert float(change) == pytest.approx(shared["0.weight"].objective, rel=1e-4)


def test_convolutions_conv1d_and_heads(make_bert):
    from transformers.pytorch_utils import Conv1D

    model = nn.Sequential(nn.Conv2d(2, 8, 3), Conv1D(6, 4))
    shared = share_weights(model, 0.5, of="width")
    assert [len(c.centroids) for c in shared.values()] == [4, 3]  # outputs: 8, and 6
    assert not any("classifier" in name for name in share_weights(make_bert(), clusters=4))


def test_training_holds_the_clusters_and_follows_their_mean_gradient():
    model = make().double()
    shared = share_weights(model, clusters=4)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    handle = hold(model, shared, optimizer)
    x = torch.randn(8, 40).double()
    before = model[0].weight.detach().clone()
    model(x).square().sum().backward()
    codes = shared["0.weight"].codes.long()
    means = torch.stack([model[0].weight.grad[codes == c].mean() for c in range(4)])
    optimizer.step()
    torch.testing.assert_close(model[0].weight.detach(), before - 0.1 * means[codes])
    adam = torch.optim.AdamW(model.parameters(), 0.1)
    hold(model, shared, adam)
    for _ in range(3):
        model(x).square().sum().backward()
        adam.step()
    assert all(len(model.get_parameter(n).unique()) == 4 for n in shared)
    handle.remove()
    model(x).square().sum().backward()
    optimizer.step()
    assert len(model[0].weight.unique()) > 4
    project(model, shared)
    assert len(model[0].weight.unique()) == 4


def test_packed_codes_take_the_bytes_that_are_counted():
    for clusters, bits in ((1, 0), (2, 1), (3, 2), (128, 7), (129, 8), (300, 9)):
        assert code_bits(clusters) == bits
        tensor = torch.randn(clusters)[torch.arange(1000) % clusters].reshape(20, 50)
        codebook, packed = pack_codes(tensor)
        assert len(codebook) == clusters and len(packed) == math.ceil(1000 * bits / 8)
        assert torch.equal(unpack_codes(codebook, packed, (20, 50)), tensor)
    with pytest.raises(ValueError, match="do not hold 10 codes of 9 bits"):
        unpack_codes(codebook, packed, (10,))
    with pytest.raises(ValueError, match="a code is 511, the codebook has 300 values"):
        unpack_codes(codebook, torch.full((9,), 255, dtype=torch.uint8), (8,))


def test_stored_bytes_of_every_method(tmp_path):
    dense = stored_bytes(make())
    assert dense == 4 * 2 * (40 * 40 + 40)
    model = make()
    shared = share_weights(model, clusters=16)
    codes = 2 * (1600 * 4 // 8 + 16 * 4 + 4 * 40)
    assert stored_bytes(model, shared=shared) == codes
    assert stored_bytes(model) == dense  # only what is named is coded
    with torch.no_grad():
        model[0].weight += torch.randn(40, 40) / 100  # moved apart: no longer shared
    assert stored_bytes(model, shared=shared) == codes + 6400 - (800 + 64)
    fused = fuse(make(), [("0", "2")])
    assert stored_bytes(fused) == dense // 2
    pruned = make()
    Masks.layerwise(magnitude(pruned), 0.1).apply(pruned)
    assert stored_bytes(pruned) == 2 * (200 + 160 * 4 + 160)
    assert stored_bytes(pruned, sparse=False) == dense
    written = save_sparse(pruned, tmp_path / "sparse").stat().st_size
    assert 0 < written - stored_bytes(pruned) < 1500  # the header of the file


def test_errors():
    model = make()
    for keep in (0, 1.5):
        with pytest.raises(ValueError, match=rf"keep must be in \(0, 1\].*got {keep}"):
            share_weights(model, keep)
    with pytest.raises(ValueError, match="of one of .*'128'"):
        share_weights(model, 0.5, of="layers")
    shared = share_weights(model, clusters=4)
    with pytest.raises(ValueError, match=r"codes of '0.weight' have shape \(40, 40\).*\(30, 30\)"):
        project(make(30), shared)
    with pytest.raises(ValueError, match="the model has no such parameter"):
        project(nn.Linear(3, 3), shared)
    with pytest.raises(ValueError, match="Linear has no parameter '0.weight'"):
        stored_bytes(nn.Linear(3, 3), shared=shared)
