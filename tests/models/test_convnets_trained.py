"""The published CIFAR ResNets score what they should, where their files lie on this machine."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from workbench.models.convnets import TRAINED, normalise, trained_convnet

pytestmark = pytest.mark.data


@pytest.fixture(scope="module")
def tested() -> tuple[torch.Tensor, torch.Tensor]:
    """2,000 test images of CIFAR-10, stored as JPEG: less than the published accuracy is right."""
    home = Path(os.environ.get("WORKBENCH_BENCHMARKS", ""))
    needed = (home / "cifar10" / "cifar10_subset.npz", home / "cifar10_resnets")
    if not os.environ.get("WORKBENCH_BENCHMARKS") or not all(path.exists() for path in needed):
        pytest.skip("set WORKBENCH_BENCHMARKS to a folder that holds cifar10 and cifar10_resnets")
    with np.load(needed[0], allow_pickle=False) as arrays:
        return normalise(arrays["x_test"]), torch.from_numpy(arrays["y_test"])


@pytest.mark.parametrize(("name", "accuracy"), [("resnet20", 0.814), ("resnet56", 0.832)])
def test_accuracy_is_that_of_the_published_networks(tested, name, accuracy):
    pixels, labels = tested
    network = trained_convnet(f"cifar10-{name}")
    with torch.inference_mode():
        found = torch.cat([network(some).argmax(1) for some in pixels.split(250)])
    assert float((found == labels).float().mean()) == pytest.approx(accuracy, abs=0.001)


def test_every_trained_network_opens_and_is_evaluated(tested):
    for name, about in TRAINED.items():
        network = trained_convnet(name)
        assert network.architecture == about.architecture and not network.training
        assert network(tested[0][:2]).shape == (2, 10)
    assert trained_convnet("cifar10-resnet20", classes=8)(tested[0][:2]).shape == (2, 8)
