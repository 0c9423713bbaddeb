"""Sharpness of a minimum: the largest eigenvalue of the Hessian of the loss."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

Product = Callable[[Tensor], Tensor]


def sharpness(
    model: nn.Module,
    loss: Callable[[], Tensor],
    *,
    iterations: int = 20,
    tolerance: float = 1e-3,
    parameters: Iterable[Tensor] | None = None,
    seed: int = 0,
) -> float:
    r"""Largest eigenvalue of the Hessian of ``loss`` in the trained parameters.

    .. math:: \lambda_{\max}(H) = \max_{\|v\| = 1} v^\top H v, \qquad
        H = \nabla^2_\theta \, \mathcal{L}(\theta)

    in units of the loss (nats for a cross-entropy) per squared unit of the weights. Largest by
    value and not by size: plain power iteration would end at a more negative eigenvalue wherever
    there is one, and crawl where the two are about as large. Instead the maximum is taken over
    the whole span of the powers :math:`v, Hv, H^2 v, \dots` of a random start (Lanczos), at the
    same number of products and in the memory of a few vectors. So the result never lies above
    :math:`\lambda_{\max}`, and is nearer to it than that many steps of any shifted power iteration.

        value = sharpness(model, lambda: model(**batch).loss)

    Args:
        model: measured in evaluation mode (no dropout) and given back as it was; no ``.grad`` is
            touched.
        loss: computes the scalar loss; called once.
        iterations: the most products with the Hessian, each of about two backward passes.
        tolerance: stop once the eigenvalue is known to this share of itself.
        parameters: the :math:`\theta`; those of the model that require a gradient when left out,
            so that for a tuned head or adapter it is the sharpness of what is tuned.
        seed: of the start; torch's own random state is left alone.

    Raises:
        ValueError: ``iterations`` or ``tolerance`` is out of range, nothing is trained, or the
            loss is not a finite scalar that depends on the parameters.

    Note:
        Fused attention has no second derivative, so torch's scaled dot-product attention is run
        as plain matrix products meanwhile. The graphs of the loss and of its gradient are kept
        for all products, which takes several times the memory of a training step on these rows.

    References:
        Lanczos, "An iteration method for the solution of the eigenvalue problem", 1950. Keskar et
        al., "On large-batch training for deep learning: generalization gap and sharp minima",
        ICLR 2017. Cohen et al., "Gradient descent on neural networks typically occurs at the edge
        of stability", ICLR 2021.
    """
    if iterations < 1 or not 0 <= tolerance < 1:
        raise ValueError(
            f"iterations={iterations!r} and tolerance={tolerance!r}; at least 1, and in [0, 1)"
        )
    chosen = list(model.parameters() if parameters is None else parameters)
    trained = [parameter for parameter in chosen if parameter.requires_grad]
    if not trained:
        raise ValueError(
            f"none of the {len(chosen)} parameters of {type(model).__name__} requires a gradient; "
            "unfreeze those in which the loss is to be measured"
        )
    with _second_derivatives(model):
        product = _hessian(loss(), trained)
        generator = torch.Generator().manual_seed(seed)
        start = torch.randn(sum(p.numel() for p in trained), generator=generator)
        wide = torch.promote_types(trained[0].dtype, torch.float32)
        return _largest(product, start.to(trained[0].device, wide), iterations, tolerance)


@contextmanager
def _second_derivatives(model: nn.Module) -> Iterator[None]:
    """Evaluation mode, and attention that can be differentiated twice; undone at the end."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    training = [(module, module.training) for module in model.modules()]
    try:
        model.eval()
        with torch.inference_mode(False), torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        for module, flag in training:
            module.training = flag


def _hessian(value: Tensor, parameters: list[Tensor]) -> Product:
    """The map v -> H v (all parameters in one vector), from one graph of the gradient."""
    if value.numel() != 1 or not math.isfinite(float(value.detach())) or not value.requires_grad:
        told = float(value.detach()) if value.numel() == 1 else tuple(value.shape)
        raise ValueError(
            f"loss() gave {told}; it must be a finite scalar tensor that depends on the parameters"
        )
    found = torch.autograd.grad(value.reshape(()), parameters, create_graph=True, allow_unused=True)
    if all(gradient is None for gradient in found):
        raise ValueError("loss() depends on none of the parameters; check model and parameters=")
    sizes = [parameter.numel() for parameter in parameters]
    # Where the loss is linear, or does not use a parameter, the second derivative is zero.
    curved = [i for i, g in enumerate(found) if g is not None and g.requires_grad]

    def product(vector: Tensor) -> Tensor:
        if not curved:
            return torch.zeros_like(vector)
        parts = vector.split(sizes)
        rows = torch.autograd.grad(
            [found[i] for i in curved],
            parameters,
            [parts[i].view_as(parameters[i]).to(parameters[i].dtype) for i in curved],
            retain_graph=True,
            allow_unused=True,
            materialize_grads=True,
        )
        return torch.cat([row.flatten().to(vector.dtype) for row in rows])

    return product


def _largest(product: Product, start: Tensor, iterations: int, tolerance: float) -> float:
    """Largest Ritz value of a symmetric ``product`` after at most ``iterations`` Lanczos steps.

    The vectors are not made orthogonal to all earlier ones, which would mean to store them: in
    rounded arithmetic this repeats eigenvalues that were found, and makes none too large.
    """
    vector, before = start / _dot(start, start) ** 0.5, torch.zeros_like(start)
    diagonal: list[float] = []
    beside: list[float] = []
    largest = 0.0
    for _ in range(min(iterations, start.numel())):
        image = product(vector)
        if beside:
            image -= beside[-1] * before
        diagonal.append(_dot(image, vector))
        image -= diagonal[-1] * vector
        length = _dot(image, image) ** 0.5
        matrix = np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1)
        if not np.isfinite([*diagonal, length]).all():
            raise ValueError("the Hessian holds NaN or infinity; look at the loss and its rows")
        values, vectors = np.linalg.eigh(matrix)
        largest = float(values[-1])
        # The residual: no further from an eigenvalue than this.
        if length * abs(vectors[-1, -1]) <= tolerance * abs(largest):
            break
        before, vector = vector, image / length
        beside.append(length)
    return largest


def _dot(a: Tensor, b: Tensor) -> float:
    """Inner product in float64: in float32, millions of terms would bring the result to drift."""
    parts = zip(a.split(1 << 20), b.split(1 << 20), strict=True)
    return sum(float(one.double() @ other.double()) for one, other in parts)
