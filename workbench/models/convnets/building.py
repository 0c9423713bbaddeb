"""``convnet``: a name in, a network with fresh weights out."""

from __future__ import annotations

from typing import Any

from torch import nn

from workbench.models.convnets.densenet import DenseNet
from workbench.models.convnets.registry import architecture
from workbench.models.convnets.resnet import PreactivatedResNet, ResNet


def convnet(name: str, classes: int, *, channels: int = 3) -> nn.Module:
    r"""A network of ``CONVNETS`` that maps (n, channels, h, w) float32 to (n, classes) logits.

    Pictures are of 32 x 32 where the papers' sizes are meant; any size from 4 x 4 on works. Weights
    of convolutions are drawn from :math:`N(0, 2 / (k^2 c_\mathrm{out}))` (He et al. 2015), with
    torch's generator: ``torch.manual_seed`` decides.

    The network knows what it is: ``network.architecture``, ``network.classes`` and
    ``network.channels``.

    Raises:
        ValueError: the name is unknown, or there are no classes or channels.
    """
    about = architecture(name)
    if classes < 1 or channels < 1:
        raise ValueError(f"classes={classes}, channels={channels}; both must be 1 or more.")
    size: dict[str, Any] = {"channels": channels, "width": about.width}
    network: nn.Module
    if about.family == "resnet":
        network = ResNet(about.depth, classes, **size)
    elif about.family == "resnet-elu":
        network = PreactivatedResNet(about.depth, classes, **size, activation=nn.ELU)
    elif about.family == "wide-resnet":
        network = PreactivatedResNet(
            about.depth, classes, **size, widening=about.widening, projected=True
        )
    else:
        network = DenseNet(about.depth, classes, **size, growth=about.growth)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)
    network.architecture, network.classes, network.channels = name, classes, channels
    return network
