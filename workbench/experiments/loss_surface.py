"""The loss around a network's weights: gradients, their noise, and the sharpest direction."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from workbench.observations import Array, Observation, Scalar

if TYPE_CHECKING:
    from torch import Tensor, nn

    from workbench.experiments.inputs import Encoded

NOISE_BATCHES = 8


class LossSurface:
    """The plain loss on the first ``texts`` training rows, in the encoder's matrices and the head.

    The same parameters and rows whatever is trained and how, without dropout, so that methods can
    be compared. Nothing is measured where ``texts`` is 0.
    """

    def __init__(
        self, model: nn.Module, matrices: Mapping[str, Tensor], rows: Encoded, texts: int
    ) -> None:
        self.model, self.matrices, self.rows = model, matrices, rows
        self.texts = min(texts, len(rows))

    def gradients(self, step: int) -> Iterator[Observation]:
        """Norm and distribution of the gradient of each matrix, and the gradient noise scale."""
        if not self.texts:
            return
        import torch

        from workbench.metrics.gradient_noise import noise_scale

        parts = min(NOISE_BATCHES, self.texts)
        with self._differentiable() as parameters:
            values = list(parameters.values())
            found = dict(zip(parameters, torch.autograd.grad(self._loss(), values), strict=True))
            several = (
                torch.autograd.grad(self._loss(part, parts), values) for part in range(parts)
            )
            noise = noise_scale(several, self.texts // parts) if parts > 1 else None
        gradient = {name: found[name] for name in self.matrices}
        yield from norms_of(step, "gradient_norm", gradient)
        yield from histogram(step, "gradient", gradient)
        if noise is not None and math.isfinite(noise.noise_scale):
            yield Scalar(step, "noise_scale", float(noise.noise_scale))

    def curvature(self, step: int) -> Iterator[Scalar]:
        """The largest eigenvalue of the Hessian."""
        if not self.texts:
            return
        from workbench.metrics.sharpness import sharpness

        with self._differentiable() as parameters:
            value = sharpness(
                self.model,
                self._loss,
                parameters=parameters.values(),
                iterations=12,
                tolerance=0.02,
            )
        yield Scalar(step, "sharpness", float(value))

    @contextlib.contextmanager
    def _differentiable(self) -> Iterator[dict[str, Tensor]]:
        """The parameters, all with gradients meanwhile, and the model in evaluation mode."""
        named = self.model.named_parameters()
        head = {name: p for name, p in named if name.startswith("classifier.")}
        parameters = {**self.matrices, **head}
        trained = {name: p.requires_grad for name, p in parameters.items()}
        was_training = self.model.training
        self.model.eval()
        for parameter in parameters.values():
            parameter.requires_grad_(True)
        try:
            yield parameters
        finally:
            for name, parameter in parameters.items():
                parameter.requires_grad_(trained[name])
            self.model.train(was_training)

    def _loss(self, part: int = 0, parts: int = 1) -> Tensor:
        """Mean loss of all rows, or of one of ``parts`` equal parts of them."""
        device = next(self.model.parameters()).device
        rows = range(part, self.texts - self.texts % parts, parts)
        batch = {k: v.to(device) for k, v in self.rows.collate(list(rows)).items()}
        loss: Tensor = self.model(**batch).loss
        return loss


def norms_of(step: int, name: str, tensors: Mapping[str, Tensor]) -> Iterator[Scalar]:
    """The norm of each tensor by layer and module."""
    from workbench.metrics import norms

    for layer, module, value in norms.tensor_norms(tensors):
        yield Scalar(step, name, value, {"layer": str(layer), "module": module})


def histogram(step: int, name: str, tensors: Mapping[str, Tensor]) -> Iterator[Array]:
    """The distribution of the elements that are not 0 by layer and module, and its edges."""
    from workbench.metrics import norms

    counts, edges = norms.tensor_histograms(tensors, nonzero=True)
    yield Array(step, f"{name}_histogram", counts.astype("int32"))
    yield Array(step, f"{name}_edges", edges.astype("float32"))
