"""The methods of chapter 8 on the networks of chapter 8: every family, fused, decomposed, saved."""

from __future__ import annotations

import copy

import pytest
import torch

from workbench.methods import layer_fusion
from workbench.methods.decomposition import decompose
from workbench.methods.layer_reconstruction import reconstruct
from workbench.methods.storage import stored_bytes
from workbench.metrics.similarity import euclidean, layer_groups, similarity_matrix
from workbench.models.convnets import convnet

RESIDUAL = ("resnet20", "resnet-elu20", "wide-resnet16-2")


@pytest.fixture(scope="module")
def networks():
    torch.manual_seed(0)
    made = {name: convnet(name, 10).eval() for name in (*RESIDUAL, "resnet8", "densenet40-12")}
    for network in made.values():
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):  # as if trained: no two channels alike
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 2)
    return made


@pytest.fixture(scope="module")
def pixels():
    return torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def size(network) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize("name", RESIDUAL)
@pytest.mark.parametrize("how", ["mean", "freeze", "mix", "transport"])
def test_fused_layers_are_one_and_come_back_from_a_file(networks, pixels, tmp_path, name, how):
    network = copy.deepcopy(networks[name])
    pairs = layer_fusion.rank_pairs(network, 4, euclidean, larger_is_closer=False)
    layers = layer_fusion.layer_weights(network)
    assert all(layers[one].shape == layers[other].shape for one, other in pairs)
    layer_fusion.fuse(network, pairs, how=how)
    saved = sum(layers[one].numel() for one, _ in pairs)
    assert size(networks[name]) - size(network) == saved
    assert stored_bytes(networks[name]) - stored_bytes(network) == 4 * saved
    with torch.no_grad():
        found = network(pixels)
        path = layer_fusion.save(network, tmp_path / "fused.safetensors")
        back = layer_fusion.load(path, convnet(name, 10)).eval()
        assert found.isfinite().all() and torch.equal(back(pixels), found)
    assert layer_fusion.tied_layers(back) == layer_fusion.tied_layers(network)


@pytest.mark.parametrize("name", RESIDUAL)
def test_aligned_blocks_compute_what_they_did(networks, pixels, name):
    network = copy.deepcopy(networks[name])
    pairs = [("layer2.1.conv1", f"layer2.{len(network.layer2) - 1}.conv1")]
    if name.startswith("wide"):  # two blocks a stage, of which the first has other inputs
        pairs = [("layer2.0.conv2", "layer2.1.conv2")]
    layer_fusion.align(network, pairs)
    before, after = (networks[name].state_dict(), network.state_dict())
    assert any(not torch.equal(before[key], after[key]) for key in before)
    with torch.no_grad():
        assert torch.allclose(network(pixels), networks[name](pixels), rtol=1e-3, atol=1e-4)


def test_layers_of_a_dense_block_fuse_where_sizes_may_differ(networks, pixels):
    network = copy.deepcopy(networks["densenet40-12"])
    layers = layer_fusion.layer_weights(network)
    with pytest.raises(ValueError, match="k must be from 1 to 0"):  # no two of one shape
        layer_fusion.rank_pairs(layers, 1, euclidean, larger_is_closer=False)
    ranked = layer_fusion.rank_pairs(
        layers, 3, lambda a, b: abs(a.shape[1] - b.shape[1]), larger_is_closer=False,
        same_kind="kind",
    )  # fmt: skip
    layer_fusion.fuse(network, ranked, unequal="pad")
    with torch.no_grad():
        assert network(pixels).isfinite().all()
    assert size(network) < size(networks["densenet40-12"])


@pytest.mark.parametrize("name", ["resnet8", "wide-resnet16-2", "densenet40-12"])
def test_decomposed_networks_keep_their_share_and_their_head(networks, pixels, name):
    network = copy.deepcopy(networks[name])
    ranks = decompose(network, 0.5)
    assert "head" not in ranks and isinstance(network.head, torch.nn.Linear)
    assert stored_bytes(network) < 0.6 * stored_bytes(networks[name])
    with torch.no_grad():
        assert network(pixels).shape == (2, 10)


def test_reconstructed_networks_are_near_the_old_ones(networks):
    network = copy.deepcopy(networks["resnet8"])
    seen = torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    fits = reconstruct(network, [{"pixels": seen}], 0.6, kind="linear")
    assert list(fits)[0] == "conv1" and all(0 <= fit.error < 1 for fit in fits.values())
    with torch.no_grad():
        found, wanted = network(seen), networks["resnet8"](seen)
    assert float((found - wanted).norm() / wanted.norm()) < 0.5


def test_layers_are_compared_with_those_of_their_shape(networks):
    groups = layer_groups(networks["resnet20"])
    assert {name: len(group) for name, group in groups.items()} == {
        "Conv2d 16x27": 1,
        "Conv2d 16x144": 6,
        "Conv2d 32x144": 1,
        "Conv2d 32x288": 5,
        "Conv2d 64x288": 1,
        "Conv2d 64x576": 5,
        "Linear 10x64": 1,
    }
    names, matrix = similarity_matrix(groups["Conv2d 32x288"])
    assert names[0] == "layer2.0.conv2.weight" and matrix.shape == (5, 5)
