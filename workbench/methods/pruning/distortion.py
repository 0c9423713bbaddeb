"""Frobenius distortion: what a mask changes in the weights, with and without the teacher's."""

from __future__ import annotations

from torch import Tensor


def frobenius_distortion(
    weight: Tensor,
    mask: Tensor,
    teacher_weight: Tensor | None = None,
    weighting: float = 1.0,
    *,
    squared: bool = False,
) -> Tensor:
    r"""The objective of self-distilled pruning seen as distortion of the weights.

    .. math:: \|W - M \odot W\|_F + \lambda \|W^T - M \odot W^T\|_F

    Thesis equation 11.4, where :math:`W^T` are the teacher's weights. Among masks that keep a given
    number of weights, the first term alone is least for those of largest magnitude: magnitude
    pruning of one layer. With both terms ``squared`` the best mask keeps the largest
    :math:`W^2 + \lambda (W^T)^2`; with the printed sum of norms no score of single weights gives
    the best mask in general, since each norm couples all removed weights.

    Args:
        weight: student weights, any shape.
        mask: boolean or 0/1 tensor of the same shape; True or 1 stays.
        teacher_weight: teacher weights of the same shape; the first term alone if left out.
        weighting: :math:`\lambda`.
        squared: square both norms.

    Returns:
        Scalar, at least 0.

    Raises:
        ValueError: shapes differ.

    References:
        Lee et al., "Layer-adaptive sparsity for the magnitude-based pruning", ICLR 2021 (LAMP).
    """
    for name, other in (("mask", mask), ("teacher_weight", teacher_weight)):
        if other is not None and other.shape != weight.shape:
            raise ValueError(
                f"{name} must have the shape of the weight {tuple(weight.shape)}, "
                f"got {tuple(other.shape)}"
            )
    removed = 1 - mask.to(weight.dtype)
    power = 2 if squared else 1
    distortion = (weight * removed).norm() ** power
    if teacher_weight is not None:
        distortion = distortion + weighting * (teacher_weight * removed).norm() ** power
    return distortion
