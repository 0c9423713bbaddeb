"""DenseNet: each layer reads all earlier ones of its block, and adds a few channels."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from workbench.models.convnets.resnet import blocks_of


class DenseLayer(nn.Module):
    r""":math:`[x, W * \mathrm{ReLU}(\mathrm{BN}(x))]`, the new channels behind the old ones."""

    def __init__(self, inputs: int, growth: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(inputs)
        self.conv = nn.Conv2d(inputs, growth, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.conv(torch.relu(self.bn(x)))], 1)


class Transition(nn.Module):
    """Norm, activation, a 1 x 1 convolution and the mean of every 2 x 2 pixels."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(inputs)
        self.mix = nn.Conv2d(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return functional.avg_pool2d(self.mix(torch.relu(self.bn(x))), 2)


class DenseNet(nn.Module):
    """A convolution, three dense blocks of n layers with transitions between them, and a head.

    ``depth`` is 3n + 4. This is the plain form, without bottlenecks and with all channels kept in
    transitions (DenseNet, not DenseNet-BC). No two convolutions of a block have the same shape.

    Raises:
        ValueError: no n gives this depth.

    References:
        Huang, Liu, van der Maaten and Weinberger, "Densely connected convolutional networks", CVPR
        2017, arXiv 1608.06993.
    """

    def __init__(
        self, depth: int, classes: int, *, channels: int = 3, width: int = 16, growth: int = 12
    ) -> None:
        super().__init__()
        layers = blocks_of(depth, 3, 4)
        self.conv1 = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        self.dense1 = _block(layers, width, growth)
        width += layers * growth
        self.transition1 = Transition(width, width)
        self.dense2 = _block(layers, width, growth)
        width += layers * growth
        self.transition2 = Transition(width, width)
        self.dense3 = _block(layers, width, growth)
        width += layers * growth
        self.bn = nn.BatchNorm2d(width)
        self.head = nn.Linear(width, classes)

    def forward(self, pixels: Tensor) -> Tensor:
        x = self.transition1(self.dense1(self.conv1(pixels)))
        x = self.dense3(self.transition2(self.dense2(x)))
        return self.head(torch.relu(self.bn(x)).mean((2, 3)))


def _block(layers: int, inputs: int, growth: int) -> nn.Sequential:
    return nn.Sequential(*(DenseLayer(inputs + i * growth, growth) for i in range(layers)))
