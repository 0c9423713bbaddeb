"""Residual networks for pictures of 32 x 32: after activation, and before it (ELU, wide).

Layers are called as in the published CIFAR ResNets (``conv1``, ``bn1``, ``layer1.0.conv1``, ...),
but for the last, ``head``, so that rules that leave heads alone know it by its name.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional


class Stretched(nn.Module):
    r"""The shortcut without parameters ("option A"): every other pixel, zeros for new channels.

    .. math:: (n, c, h, w) \to (n, c', \lceil h / s \rceil, \lceil w / s \rceil)

    with :math:`\lfloor (c' - c) / 2 \rfloor` channels of zeros before the old, the rest behind.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        before = (outputs - inputs) // 2
        self.padding = (0, 0, 0, 0, before, outputs - inputs - before)

    def forward(self, x: Tensor) -> Tensor:
        return functional.pad(x[:, :, :: self.stride, :: self.stride], self.padding)


class BasicBlock(nn.Module):
    r""":math:`\mathrm{ReLU}(x' + \mathrm{BN}(W_2 * \mathrm{ReLU}(\mathrm{BN}(W_1 * x))))`."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = _conv(inputs, outputs, stride)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = _conv(outputs, outputs)
        self.bn2 = nn.BatchNorm2d(outputs)
        same = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if same else Stretched(inputs, outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.shortcut(x) + self.bn2(self.conv2(hidden)))


class PreactivatedBlock(nn.Module):
    r""":math:`x' + W_2 * g(\mathrm{BN}(W_1 * g(\mathrm{BN}(x))))`: norm and activation go first.

    Where the size changes, ``projected`` makes :math:`x'` of :math:`g(\mathrm{BN}(x))` by a 1 x 1
    convolution (Wide-ResNet); else it is the shortcut without parameters.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        stride: int,
        activation: Callable[[], nn.Module] = nn.ReLU,
        projected: bool = False,
    ) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = _conv(inputs, outputs, stride)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.conv2 = _conv(outputs, outputs)
        self.activation = activation()
        self.projected = projected and not (stride == 1 and inputs == outputs)
        self.shortcut: nn.Module = nn.Identity()
        if self.projected:
            self.shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
        elif stride != 1 or inputs != outputs:
            self.shortcut = Stretched(inputs, outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        ready = self.activation(self.bn1(x))
        hidden = self.conv2(self.activation(self.bn2(self.conv1(ready))))
        return self.shortcut(ready if self.projected else x) + hidden


class ResNet(nn.Module):
    """A convolution, three stages of n basic blocks, the mean over the picture, and a linear head.

    ``depth`` is 6n + 2; the stages have ``width``, 2 ``width`` and 4 ``width`` channels, and the
    second and third halve height and width.

    Raises:
        ValueError: no n gives this depth.

    References:
        He, Zhang, Ren and Sun, "Deep residual learning for image recognition", CVPR 2016, section
        4.2.
    """

    def __init__(self, depth: int, classes: int, *, channels: int = 3, width: int = 16) -> None:
        super().__init__()
        blocks = blocks_of(depth, 6, 2)
        self.conv1 = _conv(channels, width)
        self.bn1 = nn.BatchNorm2d(width)
        self.layer1 = _stage(BasicBlock, blocks, width, width, 1)
        self.layer2 = _stage(BasicBlock, blocks, width, 2 * width, 2)
        self.layer3 = _stage(BasicBlock, blocks, 2 * width, 4 * width, 2)
        self.head = nn.Linear(4 * width, classes)

    def forward(self, pixels: Tensor) -> Tensor:
        x = torch.relu(self.bn1(self.conv1(pixels)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.head(x.mean((2, 3)))


class PreactivatedResNet(nn.Module):
    """The same with norm and activation before each convolution, and once more before the head.

    With ELU and shortcuts without parameters, depth 6n + 2: ResNet-ELU. With ReLU, ``widening`` and
    projected shortcuts, depth 6n + 4: a Wide-ResNet.

    Raises:
        ValueError: no n gives this depth.

    References:
        He, Zhang, Ren and Sun, "Identity mappings in deep residual networks", ECCV 2016, arXiv
        1603.05027. Shah et al., "Deep residual networks with exponential linear unit", 2016, arXiv
        1604.04112. Zagoruyko and Komodakis, "Wide residual networks", BMVC 2016, arXiv 1605.07146.
    """

    def __init__(
        self,
        depth: int,
        classes: int,
        *,
        channels: int = 3,
        width: int = 16,
        widening: int = 1,
        activation: Callable[[], nn.Module] = nn.ReLU,
        projected: bool = False,
    ) -> None:
        super().__init__()
        blocks = blocks_of(depth, 6, 4 if projected else 2)

        def block(inputs: int, outputs: int, stride: int) -> nn.Module:
            return PreactivatedBlock(inputs, outputs, stride, activation, projected)

        wide = width * widening
        self.conv1 = _conv(channels, width)
        self.layer1 = _stage(block, blocks, width, wide, 1)
        self.layer2 = _stage(block, blocks, wide, 2 * wide, 2)
        self.layer3 = _stage(block, blocks, 2 * wide, 4 * wide, 2)
        self.bn = nn.BatchNorm2d(4 * wide)
        self.activation = activation()
        self.head = nn.Linear(4 * wide, classes)

    def forward(self, pixels: Tensor) -> Tensor:
        x = self.layer3(self.layer2(self.layer1(self.conv1(pixels))))
        return self.head(self.activation(self.bn(x)).mean((2, 3)))


def blocks_of(depth: int, each: int, around: int) -> int:
    """n in ``depth = each n + around``; raises ValueError where there is no such whole n."""
    blocks, rest = divmod(depth - around, each)
    if rest or blocks < 1:
        raise ValueError(f"depth={depth}; a network of this kind has depth {each} n + {around}.")
    return blocks


def _conv(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)


def _stage(
    block: Callable[[int, int, int], nn.Module], count: int, inputs: int, outputs: int, stride: int
) -> nn.Sequential:
    rest = (block(outputs, outputs, 1) for _ in range(count - 1))
    return nn.Sequential(block(inputs, outputs, stride), *rest)
