r"""AlignReg: keep the weights of a pruned network aligned with those it was pretrained to.

Thesis chapter 9, equations 9.2-9.7, corrected as the docstrings say. Every function returns a term
to minimise, without its weight :math:`\lambda`:

    ============================  =============================================  ================
    ``cosine``                    :math:`\frac1L \sum_l 1 - \rho(W_l, R_l)`       mean over layers
    ``layer_cosine``              the same with whole layers as vectors          mean over layers
    ``frobenius``                 :math:`\sum_l \|R_l - M_l \odot W_l\|_F^2`      sum over layers
    ============================  =============================================  ================

with weights :math:`W`, reference (pretrained) weights :math:`R` and masks :math:`M`. No data is
needed, and no second model: a mapping of parameter name to tensor serves as reference.

    align = AlignReg("cosine", weight=1.0).towards(pretrained)
    loss = task_loss(...) + align(model)
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from workbench.methods.pruning.prunable import Rule, prunable_parameters
from workbench.methods.weight_correlation import Reference, correlations, paired_layers

Kind = Literal["cosine", "layer_cosine", "frobenius"]

# The thesis gives a weight for the Frobenius term only (section 9.3, the same as for L2); the
# cosine terms lie in [0, 2], like a cross-entropy, and 1 is ours.
LAMBDA = {"cosine": 1.0, "layer_cosine": 1.0, "frobenius": 5e-4}

# The steepest slope of GELU, at z = sqrt(2): Phi(z) + z phi(z) = 1.1289. It is above 1.
GELU_LIPSCHITZ = (1 + math.erf(1)) / 2 + math.exp(-1) / math.sqrt(math.pi)


def cosine(
    model: nn.Module,
    reference: Reference,
    *,
    absolute: bool = False,
    printed_sign: bool = False,
    masks: Mapping[str, Tensor] | None = None,
    prunable: Rule | None = None,
) -> Tensor:
    r"""Unit-wise AlignReg (cosine-MBP): mean over layers of one minus the weight correlation.

    .. math:: \frac1L \sum_{l=1}^L \left(1 - \rho(M_l \odot W_l, R_l)\right)

    Times :math:`\lambda` this is the second term of thesis equation 9.3, corrected: the printed
    :math:`+\frac\lambda L \sum_l \rho_l`, once minimised, turns the weights away from the
    reference. The gradient of the sum (9.4) changes its sign with it.

    Args:
        model: the network under pruning.
        reference: a network of the same architecture, or parameter name -> tensor (a
            ``state_dict`` will do); it gets no gradient, and may be on another device.
        absolute: as printed in 9.2, with :math:`|\rho|`; see ``weight_correlation``.
        printed_sign: as printed in 9.3: return :math:`\frac1L \sum_l \rho_l` itself.
        masks: parameter name -> boolean tensor, True where a weight stays; :math:`W` is multiplied
            by it. Not needed for a model whose pruned weights are zero. Without it, pruned weights
            do get a gradient (towards the reference), for ``Masks.attach`` to hold back.
        prunable: predicate ``(module name, module) -> bool`` instead of the default rule.

    Returns:
        Scalar in [0, 2]; 0 for a model that is its reference. Half precision computes in float32.

    Raises:
        ValueError: a weight is missing from the reference or the masks, or has another shape;
            nothing is prunable.
        TypeError: the reference is neither a module nor a mapping.
    """
    layers = correlations(model, reference, absolute=absolute, masks=masks, prunable=prunable)
    return _to_minimise(layers, printed_sign)


def layer_cosine(
    model: nn.Module,
    reference: Reference,
    *,
    absolute: bool = False,
    printed_sign: bool = False,
    masks: Mapping[str, Tensor] | None = None,
    prunable: Rule | None = None,
) -> Tensor:
    r"""Layer-wise AlignReg (cosine-LMBP): as ``cosine``, with every layer as one long vector.

    .. math:: \frac1L \sum_{l=1}^L
              \left(1 - \rho(\mathrm{vec}(M_l \odot W_l), \mathrm{vec}(R_l))\right)

    Units with large weights count for more here, and one may turn where another makes up for it.
    Contrary to what thesis section 9.3 suggests, it is no more indifferent to a permutation of the
    units than ``cosine`` is. Args, returns and raises are those of ``cosine``.
    """
    layers = correlations(
        model, reference, layerwise=True, absolute=absolute, masks=masks, prunable=prunable
    )
    return _to_minimise(layers, printed_sign)


def _to_minimise(layers: Mapping[str, Tensor], printed_sign: bool) -> Tensor:
    mean = torch.stack(list(layers.values())).mean()
    return mean if printed_sign else 1 - mean


def frobenius(
    model: nn.Module,
    reference: Reference,
    *,
    squared: bool = True,
    surviving: bool = True,
    masks: Mapping[str, Tensor] | None = None,
    prunable: Rule | None = None,
) -> Tensor:
    r"""Frobenius AlignReg (frobenius-MBP): sum over layers of the distance to the reference.

    .. math:: \sum_{l=1}^L \|M_l \odot (R_l - W_l)\|_F^2

    Times :math:`\lambda` this is the second term of thesis equation 9.6, where :math:`W^T` are the
    pretrained weights (no transpose). Corrected: squared, as the :math:`\lambda` taken over from
    L2 regularisation supposes; it is weight decay towards the pretrained weights instead of zero.
    What the printed :math:`W^T - M \odot W` says of pruned weights, :math:`(R_{ij})^2` each, is a
    constant of training: it is left out by default. Squared, that changes the value alone; with
    norms it would also make the pull weaker the more is pruned.

    Args:
        model, reference, prunable: as in ``cosine``.
        squared: ``False`` gives the norms of 9.6 as printed. At a distance of exactly zero, where
            a norm has no derivative, its gradient is 0.
        surviving: count surviving weights only: those that ``masks`` keep or, without masks, those
            that are not exactly zero. ``False`` counts all, as printed.
        masks: parameter name -> boolean tensor, True where a weight stays.

    Returns:
        Scalar, at least 0. Half precision computes in float32.

    Raises:
        ValueError, TypeError: as ``cosine``.
    """
    terms = []
    for layer in paired_layers(model, reference, masks, prunable):
        difference = layer.reference - layer.weight
        if surviving:
            stays = layer.weight.detach() != 0 if layer.mask is None else layer.mask
            difference = difference.masked_fill(~stays, 0)
        terms.append(difference.square().sum() if squared else difference.norm())
    return torch.stack(terms).sum()


def activation_gap_bound(
    inputs: Tensor, weight: Tensor, pruned: Tensor, lipschitz: float = GELU_LIPSCHITZ
) -> Tensor:
    r"""The most that pruning a layer can change what it puts out.

    .. math:: \|\sigma(Z W) - \sigma(Z (M \odot W))\|_F
              \le \mathrm{Lip}(\sigma)\, \|Z\|_2\, \|W - M \odot W\|_F

    Thesis equation 9.7, corrected: printed the other way round, which fails as soon as inputs are
    small or orthogonal to the change. So little distortion of the weights gives little distortion
    of the activations, but not the reverse: the two are not "equivalent". GELU is not monotone and
    goes to 0 (not -1) on the left; all that is used of it is its Lipschitz constant, 1.129.

    Args:
        inputs: :math:`Z`, (n, inputs); its spectral norm is taken.
        weight: (units, inputs), as ``torch.nn.Linear`` has it: the transpose of the printed one.
        pruned: :math:`M \odot W`, the same shape.
        lipschitz: of the activation; 1 for ReLU and tanh.

    Returns:
        Scalar, the right-hand side.
    """
    return lipschitz * torch.linalg.matrix_norm(inputs, 2) * (weight - pruned).norm()


@dataclass(frozen=True)
class AlignReg:
    r"""The AlignReg term of the objective, with its weight: ``loss = task + align(model)``.

    ================  ================================================================
    ``cosine``        :math:`\frac\lambda L \sum_l (1 - \rho_l)`, eq. 9.2 and 9.3
    ``layer_cosine``  the same on vectorised layers
    ``frobenius``     :math:`\lambda \sum_l \|R_l - M_l \odot W_l\|_F^2`, eq. 9.6
    ================  ================================================================

    Args:
        kind: the term, above; see the functions of these names.
        weight: :math:`\lambda`, at least 0. Left out: 5e-4 for ``frobenius`` (thesis section 9.3);
            1 for the cosines, for which the thesis gives none.
        absolute, printed_sign: of the cosine terms.
        squared, surviving: of the Frobenius term.
        prunable: predicate ``(module name, module) -> bool`` instead of the default rule.
        reference: parameter name -> tensor; set by ``towards``.

    Raises:
        ValueError: a field out of range (when made); no reference (when called).
    """

    kind: Kind = "cosine"
    weight: float | None = None
    absolute: bool = False
    printed_sign: bool = False
    squared: bool = True
    surviving: bool = True
    prunable: Rule | None = None
    reference: Mapping[str, Tensor] | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"kind must be one of {list(get_args(Kind))}, got {self.kind!r}")
        if self.weight is not None and not 0 <= self.weight < float("inf"):
            raise ValueError(f"weight must be a finite number of at least 0, got {self.weight!r}")

    def towards(self, pretrained: nn.Module) -> AlignReg:
        """This regulariser with copies of the present weights of ``pretrained`` as reference.

        Prunable weights only, detached, on their device: no second model is kept.
        """
        weights = prunable_parameters(pretrained, self.prunable)
        return replace(self, reference={n: w.detach().clone() for n, w in weights.items()})

    def to(self, device: torch.device | str) -> AlignReg:
        """The same with the reference on ``device``; that of the model saves a copy per call."""
        moved = {name: tensor.to(device) for name, tensor in self._held().items()}
        return replace(self, reference=moved)

    @property
    def strength(self) -> float:
        r""":math:`\lambda`: ``weight``, or the default of this kind when it was left out."""
        return LAMBDA[self.kind] if self.weight is None else self.weight

    def __call__(self, model: nn.Module, masks: Mapping[str, Tensor] | None = None) -> Tensor:
        """The weighted term, a scalar to add to the loss."""
        return self.strength * self.term(model, masks)

    def term(self, model: nn.Module, masks: Mapping[str, Tensor] | None = None) -> Tensor:
        """The term without its weight, for logging and comparison."""
        held = self._held()
        if self.kind == "frobenius":
            return frobenius(
                model, held, squared=self.squared, surviving=self.surviving,
                masks=masks, prunable=self.prunable,
            )  # fmt: skip
        function = cosine if self.kind == "cosine" else layer_cosine
        return function(
            model, held, absolute=self.absolute, printed_sign=self.printed_sign,
            masks=masks, prunable=self.prunable,
        )  # fmt: skip

    def _held(self) -> Mapping[str, Tensor]:
        if self.reference is None:
            raise ValueError(
                "AlignReg has no reference to align with; "
                f"make it with AlignReg({self.kind!r}).towards(pretrained_model)"
            )
        return self.reference
