"""Convolutional networks: sizes of the papers, gradients everywhere, files that come back."""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from workbench.models import CONVNETS, ENCODERS, TRAINED, fingerprint
from workbench.models.convnets import (
    ARCHITECTURES,
    convnet,
    load_convnet,
    normalise,
    save_convnet,
    trained_convnet,
)
from workbench.models.convnets.resnet import Stretched


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def size(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("name", "millions"),
    [
        ("resnet20", "0.27"),  # He et al. 2016, table 6
        ("resnet32", "0.46"),
        ("resnet44", "0.66"),
        ("resnet56", "0.85"),
        ("wide-resnet16-2", "0.7"),  # Zagoruyko and Komodakis 2016, table 4 (as WRN-16-2)
        ("densenet40-12", "1.0"),  # Huang et al. 2017, table 2
    ],
)
def test_sizes_are_those_of_the_papers(name, millions):
    digits = len(millions.partition(".")[2])
    assert f"{size(convnet(name, 10)) / 1e6:.{digits}f}" == millions


@pytest.mark.parametrize("name", CONVNETS)
def test_every_parameter_gets_a_gradient(name):
    network = convnet(name, 5, channels=1)
    if name == "resnet8" or "20" in name or "16" in name:
        for height, width in ((32, 32), (20, 12)):  # any size goes
            assert network(torch.randn(2, 1, height, width)).shape == (2, 5)
    network(torch.randn(4, 1, 12, 12)).square().sum().backward()
    still = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert not still
    assert (network.architecture, network.classes, network.channels) == (name, 5, 1)
    assert size(convnet(name, 10)) == ARCHITECTURES[name].parameters


@pytest.mark.parametrize("name", CONVNETS)
def test_depth_counts_the_layers_of_the_longest_path(name):
    weighted = (nn.Conv2d, nn.Linear)
    layers = [n for n, m in convnet(name, 2).named_modules() if isinstance(m, weighted)]
    # A Wide-ResNet counts its three shortcuts and not the head.
    uncounted = 2 if name.startswith("wide") else 0
    assert sum("shortcut" not in n for n in layers) == ARCHITECTURES[name].depth - uncounted


def test_the_generator_decides_the_weights():
    first = convnet("resnet8", 10).state_dict()
    torch.manual_seed(0)
    again = convnet("resnet8", 10).state_dict()
    other = convnet("resnet8", 10).state_dict()
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["conv1.weight"], other["conv1.weight"])
    weight = convnet("resnet20", 10).get_submodule("layer3.1.conv1").weight
    assert float(weight.detach().std()) == pytest.approx((2 / (9 * 64)) ** 0.5, rel=0.02)


def test_the_shortcut_without_parameters_keeps_every_other_pixel():
    x = torch.arange(2 * 2 * 4 * 4.0).reshape(2, 2, 4, 4)
    y = Stretched(2, 5, 2)(x)
    assert y.shape == (2, 5, 2, 2)
    assert torch.equal(y[:, 1:3], x[:, :, ::2, ::2])
    assert not y[:, 0].any() and not y[:, 3:].any()


def test_a_dense_layer_hands_on_all_it_read():
    layer = convnet("densenet40-12", 2).get_submodule("dense1.0").eval()
    x = torch.randn(1, 16, 4, 4)
    assert torch.equal(layer(x)[:, :16], x) and layer(x).shape[1] == 28


@pytest.mark.parametrize("name", ["resnet8", "wide-resnet16-2"])
def test_a_file_comes_back_to_the_bit_and_says_what_it_is(tmp_path, name):
    network = convnet(name, 7, channels=1)
    network(torch.randn(8, 1, 8, 8))  # so that batch norms have seen something
    path = save_convnet(network, tmp_path / "mine.safetensors")
    random = torch.get_rng_state()
    back = load_convnet(path)
    assert torch.equal(torch.get_rng_state(), random)
    assert (back.architecture, back.classes, back.channels) == (name, 7, 1) and not back.training
    old, new = network.state_dict(), back.state_dict()
    assert old.keys() == new.keys()
    assert all(torch.equal(old[key], new[key]) for key in old)
    assert [file.name for file in tmp_path.iterdir()] == ["mine.safetensors"]


def test_another_number_of_classes_gets_a_new_head(tmp_path):
    network = convnet("resnet8", 7)
    path = save_convnet(network, tmp_path / "mine.safetensors")
    other = load_convnet(path, 3)
    assert other(torch.randn(2, 3, 8, 8)).shape == (2, 3) and other.classes == 3
    assert torch.equal(other.layer3[0].conv2.weight, network.layer3[0].conv2.weight)
    assert save_convnet(other, path) == path and load_convnet(path).classes == 3


def test_files_with_the_names_of_the_published_networks_open(tmp_path):
    network = convnet("resnet8", 10)
    renamed = {
        f"module.{key.replace('head.', 'linear.')}": tensor
        for key, tensor in network.state_dict().items()
        if "num_batches_tracked" not in key
    }
    save_file(renamed, tmp_path / "published.safetensors", {"source": "elsewhere"})
    with pytest.raises(ValueError, match="does not say which network it holds; pass architecture="):
        load_convnet(tmp_path / "published.safetensors")
    back = load_convnet(tmp_path / "published.safetensors", architecture="resnet8")
    x = torch.randn(2, 3, 16, 16)
    assert torch.equal(back(x), network.eval()(x))


def test_what_does_not_fit_is_refused(tmp_path):
    path = tmp_path / "network.safetensors"
    with pytest.raises(FileNotFoundError, match=r"write one with save_convnet\(network, path\)"):
        load_convnet(path)
    torch.save(convnet("resnet8", 10).state_dict(), path)
    with pytest.raises(ValueError, match="not a safetensors file.*Pickles .* are not read"):
        load_convnet(path, architecture="resnet8")
    save_convnet(convnet("resnet8", 10), path)
    with pytest.raises(ValueError, match="does not have the layers of resnet20: 60 names"):
        load_convnet(path, architecture="resnet20")
    with pytest.raises(ValueError, match="unknown convolutional network 'vgg'"):
        load_convnet(path, architecture="vgg")
    with pytest.raises(ValueError, match="classes=0; it must be 1 or more"):
        load_convnet(path, 0)
    state = load_file(path)
    save_file(state | {"layer1.0.conv2.weight": torch.zeros(8, 8, 1, 1)}, path)
    wanted = r"'layer1.0.conv2.weight' has shape \(8, 8, 1, 1\), not \(8, 8, 3, 3\)"
    with pytest.raises(ValueError, match=wanted):
        load_convnet(path, architecture="resnet8")
    save_file({"conv1.weight": torch.zeros(2)}, path)
    with pytest.raises(ValueError, match=r"is not a network of ours.*it has \['conv1.weight'\]"):
        load_convnet(path, architecture="resnet8")


def test_only_whole_networks_of_ours_are_saved(tmp_path):
    with pytest.raises(ValueError, match="Linear does not say what it is"):
        save_convnet(nn.Linear(2, 2), tmp_path / "no.safetensors")
    network = convnet("resnet8", 10)
    network.layer1[0].conv1 = nn.Sequential(nn.Conv2d(8, 2, 1), nn.Conv2d(2, 8, 3, padding=1))
    with pytest.raises(ValueError, match="this resnet8 does not have the layers of resnet8"):
        save_convnet(network, tmp_path / "no.safetensors")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: convnet("resnet21", 2), "unknown convolutional network 'resnet21'. Did you mean"),
        (lambda: convnet("resnet20", 0), "classes=0, channels=3; both must be 1 or more"),
        (lambda: trained_convnet("resnet20"), "Did you mean 'cifar10-resnet20'? Allowed: cifar10-"),
    ],
)
def test_unknown_names_are_refused_with_a_way_out(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call()


def test_a_trained_network_is_the_pinned_one(tmp_path, monkeypatch):
    monkeypatch.delenv("WORKBENCH_BENCHMARKS", raising=False)
    with pytest.raises(FileNotFoundError, match=r"Set WORKBENCH_BENCHMARKS.*convnet\('resnet20'"):
        trained_convnet("cifar10-resnet20")
    (tmp_path / "cifar10_resnets").mkdir()
    save_convnet(convnet("resnet20", 10), tmp_path / "cifar10_resnets" / "resnet20.safetensors")
    monkeypatch.setenv("WORKBENCH_BENCHMARKS", str(tmp_path))
    for folder in (None, tmp_path / "cifar10_resnets"):
        with pytest.raises(ValueError, match="is not the file that is pinned for cifar10-resnet20"):
            trained_convnet("cifar10-resnet20", folder)


def test_names_and_fingerprints_import_no_torch():
    code = (
        "import sys, workbench.models as m; "
        "print(len({m.fingerprint(n) for n in (*m.CONVNETS, *m.TRAINED)}), 'torch' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split() == [str(len(CONVNETS) + len(TRAINED)), "False"]


def test_a_file_of_ones_own_has_a_fingerprint(tmp_path):
    paths = [save_convnet(convnet("resnet8", 2), tmp_path / f"{i}.safetensors") for i in range(2)]
    assert fingerprint(str(paths[0])) == fingerprint(str(paths[0])) != fingerprint(str(paths[1]))
    assert not set(map(fingerprint, CONVNETS)) & set(map(fingerprint, ENCODERS))


def test_pixels_are_normalised_channel_by_channel():
    pixels = np.zeros((2, 4, 5, 3), np.uint8)
    pixels[..., 1] = 255
    found = normalise(pixels)
    assert found.shape == (2, 3, 4, 5) and found.dtype == torch.float32
    assert float(found[0, 0, 0, 0]) == pytest.approx(-0.485 / 0.229)
    assert float(found[0, 1, 0, 0]) == pytest.approx((1 - 0.456) / 0.224)
    assert normalise(pixels[..., :1]).shape == (2, 1, 4, 5)
    with pytest.raises(TypeError, match="pixels must be uint8"):
        normalise(pixels.astype(float))
    with pytest.raises(ValueError, match=r"\(n, height, width, channels\).*got \(2, 3, 4, 5\)"):
        normalise(pixels.transpose(0, 3, 1, 2))
