"""L0 regularisation: a hard-concrete gate on each weight, trained along with it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from workbench.methods.pruning.gradients import widen
from workbench.methods.pruning.linear import owners
from workbench.methods.pruning.prunable import Rule, prunable_parameters, unwrap
from workbench.methods.reweighting import reweight


class HardConcreteGates:
    r"""Stochastic gates :math:`z \in [0, 1]` that multiply the prunable weights of a model.

    .. math:: s = \sigma\bigl((\ln u - \ln(1 - u) + \ln \alpha) / \beta\bigr), \quad
        u \sim U(0, 1), \qquad z = \min(1, \max(0, s (\zeta - \gamma) + \gamma))

    and the loss is thesis equation 9.1 (corrected: the expectation is over the gates and the
    penalty is :math:`\lambda \, E \|z\|_0`, not a weight magnitude; it stands outside the mean):

    .. math:: E_z \bigl[\tfrac{1}{N} \sum_n \ell(f(x_n; W \odot z), y_n)\bigr] + \lambda \sum_{ij}
        P(z_{ij} > 0), \qquad P(z > 0) = \sigma\bigl(\ln \alpha - \beta \ln(-\gamma / \zeta)\bigr)

        gates = HardConcreteGates(model, generator=torch.Generator().manual_seed(0))
        optimizer = AdamW([*model.parameters(), *gates.parameters()])
        loss = model(**batch).loss + strength * gates.penalty()     # in every step
        masks = Masks.layerwise(gates.scores(), density=0.9)        # L0-MBP
        gates.detach()                                              # W * z, an ordinary model

    A layer in training mode draws its gates anew in each call; in evaluation mode it uses
    :math:`\hat z = \min(1, \max(0, \sigma(\ln \alpha)(\zeta - \gamma) + \gamma))`. The weights stay
    the model's own parameters under their own names, without the gates: masks attach to them, zero
    stays zero, ``state_dict`` is the ungated model's, and ``copy.deepcopy`` and pickling give the
    ungated model. Gates keep their own ``state_dict``.

    Args:
        model: its ``torch.nn.Linear`` and GPT-2 ``Conv1D`` layers are gated from now on.
        prunable: predicate ``(module name, module) -> bool`` instead of the default rule.
        drop_rate: :math:`1 - \sigma(\ln \alpha)` at the start, in (0, 1): the ``droprate_init`` of
            the paper's code (0.5 there, for training from scratch; low here, since a pretrained
            model does not survive half of its weights being gated at once).
        temperature: :math:`\beta`, in (0, 1).
        stretch: :math:`(\gamma, \zeta)`, below 0 and above 1, so that exact zeros and ones occur.
        generator: seeded source of the draws; torch's global one when left out. Its state is the
            caller's to save. With gradient checkpointing leave it out: the second forward pass must
            draw what the first did, and only the global state is put back for it.

    Raises:
        ValueError: nothing is prunable, a setting is out of range, a weight is of another kind of
            layer or has gates already.

    Note:
        Gates are not parameters of the model: wrappers for several processes do not average their
        gradients. The gate of a weight that masks hold at zero is moved by the penalty only.

    References:
        Louizos et al., "Learning sparse neural networks through L0 regularization", ICLR 2018.
    """

    def __init__(
        self,
        model: nn.Module,
        prunable: Rule | None = None,
        *,
        drop_rate: float = 0.1,
        temperature: float = 2 / 3,
        stretch: tuple[float, float] = (-0.1, 1.1),
        generator: torch.Generator | None = None,
    ) -> None:
        if not 0 < drop_rate < 1 or not 0 < temperature < 1:
            raise ValueError(
                f"drop_rate={drop_rate} and temperature={temperature}; allowed: between 0 and 1"
            )
        if not stretch[0] < 0 or not stretch[1] > 1:
            raise ValueError(f"stretch={stretch}; allowed: one below 0 and one above 1")
        self.temperature, self.stretch, self.generator = temperature, stretch, generator
        self._weights = prunable_parameters(model, prunable)
        layers = owners(unwrap(model), self._weights, "The L0 gate")
        start = math.log(1 - drop_rate) - math.log(drop_rate)
        self.log_alpha = {
            name: nn.Parameter(torch.full_like(widen(weight), start))
            for name, weight in self._weights.items()
        }
        self._handles = reweight(layers, self._gated, self)

    def parameters(self) -> list[nn.Parameter]:
        r""":math:`\ln \alpha` of every weight, for the optimizer (without weight decay)."""
        return list(self.log_alpha.values())

    def penalty(self, within: Mapping[str, Tensor] | None = None) -> Tensor:
        r""":math:`E \|z\|_0`, the expected number of open gates; differentiable, a scalar.

        Args:
            within: masks; only the gates of weights that stay are counted. Times :math:`\lambda`,
                it is added to the loss: a :math:`\lambda` of ``1 / total`` penalises the density.
        """
        sums = []
        for name, log_alpha in self.log_alpha.items():
            probability = self._open(log_alpha)
            if within is not None:
                probability = probability * within[name].to(probability.device)
            sums.append(probability.sum())
        return torch.stack([each.to(sums[0].device) for each in sums]).sum()

    @property
    def total(self) -> int:
        """Number of gates."""
        return sum(log_alpha.numel() for log_alpha in self.log_alpha.values())

    @torch.no_grad()
    def gates(self) -> dict[str, Tensor]:
        """Parameter name -> the deterministic gates of evaluation mode, in [0, 1]."""
        return {name: self._clamp(torch.sigmoid(a)) for name, a in self.log_alpha.items()}

    @torch.no_grad()
    def scores(self, by: Literal["gate", "probability"] = "gate") -> dict[str, Tensor]:
        r"""Scores for ``Masks``, parameter name -> tensor; higher is kept.

        Args:
            by: ``gate``: :math:`|W \hat z|`, the magnitude of the weight that evaluation uses, so
                that these are the magnitudes of the folded model: the thesis's L0-MBP. Closed gates
                tie at zero, and if more are closed than are to be pruned, position decides.
                ``probability``: :math:`|W| \, P(z > 0)`, which has no such ties.
        """
        if by not in ("gate", "probability"):
            raise ValueError(f"by={by!r}; allowed: 'gate' or 'probability'")
        factors = self.gates() if by == "gate" else {
            name: self._open(log_alpha) for name, log_alpha in self.log_alpha.items()
        }  # fmt: skip
        return {name: widen(w).abs_().mul_(factors[name]) for name, w in self._weights.items()}

    @torch.no_grad()
    def detach(self, *, fold: bool = True) -> None:
        """Take the gates off the model; safe to call twice.

        Args:
            fold: multiply the deterministic gates into the weights, so that the model computes
                what it did in evaluation mode. ``False`` leaves the weights as they are.
        """
        if self._handles and fold:
            for name, gate in self.gates().items():
                self._weights[name].mul_(gate.to(self._weights[name].dtype))
        for handle in self._handles:
            handle.remove()
        self._handles = []

    @property
    def attached(self) -> bool:
        """Whether the gates act on the model at present."""
        return bool(self._handles)

    def state_dict(self) -> dict[str, Tensor]:
        r"""Parameter name -> :math:`\ln \alpha`, ready for ``safetensors`` (shared, not copied)."""
        return {name: log_alpha.detach() for name, log_alpha in self.log_alpha.items()}

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from ``state``. Raises ``ValueError`` where names or shapes differ."""
        if odd := sorted(state.keys() ^ self.log_alpha.keys()):
            raise ValueError(f"the state and the gates name different parameters: {odd[:3]} ...")
        for name, log_alpha in self.log_alpha.items():
            if state[name].shape != log_alpha.shape:
                raise ValueError(
                    f"{name!r} has shape {tuple(state[name].shape)} in the state and "
                    f"{tuple(log_alpha.shape)} in the model"
                )
        for name, log_alpha in self.log_alpha.items():
            log_alpha.copy_(state[name])

    def sample(self, name: str) -> Tensor:
        """One draw of the gates of parameter ``name``, differentiable in its ``log_alpha``."""
        log_alpha = self.log_alpha[name]
        device = log_alpha.device if self.generator is None else self.generator.device
        noise = torch.rand(
            log_alpha.shape, generator=self.generator, device=device, dtype=log_alpha.dtype
        ).to(log_alpha.device)
        # torch.rand can give 0, whose logit is infinite.
        tiny = torch.finfo(noise.dtype).eps
        logistic = torch.logit(noise.clamp_(tiny, 1 - tiny))
        return self._clamp(torch.sigmoid((logistic + log_alpha) / self.temperature))

    def _clamp(self, concrete: Tensor) -> Tensor:
        low, high = self.stretch
        return (concrete * (high - low) + low).clamp(0, 1)

    def _open(self, log_alpha: Tensor) -> Tensor:
        low, high = self.stretch
        return torch.sigmoid(log_alpha - self.temperature * math.log(-low / high))

    def _gated(self, name: str, training: bool) -> Tensor:
        log_alpha, weight = self.log_alpha[name], self._weights[name]
        if log_alpha.device != weight.device:
            raise RuntimeError(
                f"{name!r} moved to {weight.device} and its gates are on {log_alpha.device}; make "
                "the gates after model.to(device)"
            )
        gate = self.sample(name) if training else self._clamp(torch.sigmoid(log_alpha))
        return weight * gate.to(weight.dtype)
