"""From pictures to what the networks read."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

# Those of ImageNet: what the published checkpoints were trained with.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


def normalise(pixels: np.ndarray | Tensor) -> Tensor:
    r""":math:`(x / 255 - \mu_c) / \sigma_c` for each channel, channels first.

    Args:
        pixels: (n, height, width, channels) uint8, of three channels (red, green, blue), or of one
            (grey), for which the mean of the three :math:`\mu_c` and :math:`\sigma_c` stands.

    Returns:
        (n, channels, height, width) float32.

    Raises:
        ValueError: another shape.
        TypeError: another dtype.
    """
    values = torch.as_tensor(pixels)
    if values.dtype != torch.uint8:
        raise TypeError(f"pixels must be uint8, 0 to 255, got {values.dtype}")
    if values.ndim != 4 or values.shape[-1] not in (1, 3):
        raise ValueError(
            f"pixels must be (n, height, width, channels) with 1 or 3 channels, got "
            f"{tuple(values.shape)}"
        )
    mean, std = torch.tensor(MEAN), torch.tensor(STD)
    if values.shape[-1] == 1:
        mean, std = mean.mean(0, keepdim=True), std.mean(0, keepdim=True)
    scaled = (values.float() / 255 - mean.to(values.device)) / std.to(values.device)
    return scaled.permute(0, 3, 1, 2).contiguous()
