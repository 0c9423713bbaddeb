"""Masks: which weights stay, at an exact density, and how they are held while training."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from workbench.methods.pruning.attachment import Attachment
from workbench.methods.pruning.prunable import Rule, prunable_parameters, unwrap
from workbench.methods.pruning.selection import (
    check_scores,
    count_to_keep,
    keep_largest,
    keep_share_of_rows,
)


class Masks(Mapping[str, Tensor]):
    """Boolean masks by parameter name; True marks a weight that stays.

    Made by ``Masks.globally``, ``layerwise``, ``rowwise``, ``from_zeros``, or from a mapping such
    as the one ``state_dict`` returns. ``copy.deepcopy`` and pickling give masks that are not
    attached.
    """

    def __init__(self, masks: Mapping[str, Tensor]) -> None:
        for name, mask in masks.items():
            if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
                kind = mask.dtype if isinstance(mask, Tensor) else type(mask).__name__
                raise TypeError(f"the mask of {name!r} must be a torch.bool tensor, got {kind}")
        if not masks:
            raise ValueError("masks of no parameter; give a mapping name -> boolean tensor")
        self._masks = dict(masks)
        self._attachment: Attachment | None = None

    @classmethod
    def globally(
        cls,
        scores: Mapping[str, Tensor],
        density: float,
        *,
        within: Mapping[str, Tensor] | None = None,
    ) -> Masks:
        """Keep the highest scores anywhere in the model.

        Args:
            scores: parameter name -> finite scores, as ``pruning.magnitude`` gives them.
            density: share of all scored weights that stays, in (0, 1]. Exactly
                ``round(density * n)`` of ``n`` stay (halves go to the even number); of equal
                scores the earlier parameter, then the lower index, stays.
            within: earlier masks. Weights that they prune are not ranked and never come back.

        Raises:
            ValueError: a score is NaN or infinite; the density is out of range, keeps nothing, or
                is above that of ``within``; names or shapes of ``within`` differ.
        """
        _check_density(density)
        sizes = check_scores(scores)
        within = _check_within(within, scores)
        keep = count_to_keep(density, sum(sizes.values()))
        _check_room(keep, within, f"{sum(sizes.values())} weights", density)
        if keep == 0:
            raise ValueError(
                f"density {density} keeps none of {sum(sizes.values())} weights; raise it"
            )
        return cls(keep_largest(scores, keep, within))

    @classmethod
    def layerwise(
        cls,
        scores: Mapping[str, Tensor],
        density: float,
        *,
        within: Mapping[str, Tensor] | None = None,
    ) -> Masks:
        """Keep the highest scores of each parameter, the same share in all of them.

        As ``globally``, with ``round(density * n)`` of the ``n`` weights of each parameter.
        """
        _check_density(density)
        sizes = check_scores(scores)
        within = _check_within(within, scores)
        masks: dict[str, Tensor] = {}
        for name, score in scores.items():
            inside = None if within is None else {name: within[name]}
            keep = count_to_keep(density, sizes[name])
            _check_room(keep, inside, f"{sizes[name]} weights of {name!r}", density)
            masks |= keep_largest({name: score}, keep, inside)
        return cls(masks)

    @classmethod
    def rowwise(
        cls,
        scores: Mapping[str, Tensor],
        density: float,
        *,
        within: Mapping[str, Tensor] | None = None,
        outputs: int = 0,
    ) -> Masks:
        """Keep the highest scores of each output unit, the same share of all of them.

        As ``layerwise``, with ``round(density * n)`` of the ``n`` weights that lead into each
        output: the comparison groups of Wanda (Sun et al. 2024).

        Args:
            scores: as in ``layerwise``, of two dimensions or more.
            density: share of each output's weights that stays.
            within: earlier masks; each output must have enough left.
            outputs: the dimension that counts outputs: 0, the rows, for ``torch.nn.Linear`` and
                convolutions; 1 for GPT-2's ``Conv1D``.
        """
        _check_density(density)
        check_scores(scores)
        within = _check_within(within, scores)
        masks: dict[str, Tensor] = {}
        for name, score in scores.items():
            inside = None if within is None else within[name]
            masks[name] = keep_share_of_rows(name, score, density, inside, outputs)
        return cls(masks)

    @classmethod
    def from_zeros(cls, model: nn.Module, prunable: Rule | None = None) -> Masks:
        """The masks that a pruned model shows: every prunable weight that is not zero stays."""
        parameters = prunable_parameters(model, prunable)
        return cls({name: parameter.detach() != 0 for name, parameter in parameters.items()})

    def attach(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer | None = None,
        *,
        mask_gradients: bool = True,
    ) -> Masks:
        """Set pruned weights of ``model`` to zero, and hold them there while it is trained.

        Weights are zeroed now and after every optimizer step, so that they stay exactly zero under
        momentum, weight decay, mixed precision, gradient accumulation and ``accelerate``. Nothing
        is added to the model: its parameters, ``state_dict`` and saved files keep their names, and
        a ``copy.deepcopy`` of it is a plain model that holds the zeros (attach again to train it).

        Args:
            model: the model whose parameters were scored; wrappers are looked through.
            optimizer: the optimizer that trains it, or ``accelerate``'s wrapper of one. When left
                out, any torch optimizer that holds these parameters is followed.
            mask_gradients: zero the gradients of pruned weights as well, so that clipping, norms
                and momenta see only what is trained. ``False`` keeps them, for criteria that read
                them; the weights stay zero all the same.

        Returns:
            These masks. Masks attached to the same parameters before are detached first.

        Raises:
            ValueError: a parameter is missing or has another shape, or the optimizer holds none of
                the masked parameters.

        Note:
            ``model.load_state_dict`` with dense weights undoes the zeros until the next step; call
            ``apply`` after it.
        """
        parameters = self._matching(model)
        self.detach()
        pairs = [(parameters[name], mask) for name, mask in self._masks.items()]
        self._attachment = Attachment(pairs, optimizer, mask_gradients)
        return self

    def detach(self) -> None:
        """Remove every hook. The weights stay zero; they are free to move."""
        if self._attachment is not None:
            self._attachment.remove()
            self._attachment = None

    @torch.no_grad()
    def apply(self, model: nn.Module) -> None:
        """Set pruned weights of ``model`` to zero once, without holding them there."""
        parameters = self._matching(model)
        for name, mask in self._masks.items():
            parameters[name].masked_fill_(~mask.to(parameters[name].device), 0)

    @property
    def attached(self) -> bool:
        """Whether these masks hold the weights of a model at present."""
        return self._attachment is not None and self._attachment.active

    @property
    def kept(self) -> int:
        """Number of weights that stay."""
        return sum(int(torch.count_nonzero(mask)) for mask in self._masks.values())

    @property
    def total(self) -> int:
        """Number of weights that were ranked."""
        return sum(mask.numel() for mask in self._masks.values())

    @property
    def density(self) -> float:
        """Share of the ranked weights that stays; embeddings and heads do not count here."""
        return self.kept / self.total

    def density_per_layer(self) -> dict[str, float]:
        """Parameter name -> share of it that stays."""
        return {n: int(torch.count_nonzero(m)) / m.numel() for n, m in self._masks.items()}

    def state_dict(self) -> dict[str, Tensor]:
        """Parameter name -> boolean tensor, ready for ``safetensors`` (shared, not copied)."""
        return dict(self._masks)

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take over the masks in ``state``, and apply them to the model these are attached to.

        Raises:
            ValueError: names or shapes differ from these masks.
        """
        _check_same(state, self._masks, "the state")
        for name, mask in Masks(state).items():
            self._masks[name].copy_(mask)
        if self._attachment is not None:
            self._attachment.apply()

    def __getitem__(self, name: str) -> Tensor:
        return self._masks[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._masks)

    def __len__(self) -> int:
        return len(self._masks)

    def __repr__(self) -> str:
        state = ", attached" if self.attached else ""
        return (
            f"Masks(density={self.density:.4f}, {self.kept} of {self.total} weights, "
            f"{len(self)} parameters{state})"
        )

    def __deepcopy__(self, memo: dict[int, Any]) -> Masks:
        return Masks({name: mask.clone() for name, mask in self._masks.items()})

    def __reduce__(self) -> tuple[type[Masks], tuple[dict[str, Tensor]]]:
        return Masks, (self._masks,)

    def _matching(self, model: nn.Module) -> dict[str, nn.Parameter]:
        named = dict(unwrap(model).named_parameters(remove_duplicate=False))
        missing = [name for name in self._masks if name not in named]
        if missing:
            raise ValueError(
                f"{type(unwrap(model)).__name__} has no parameter {missing[0]!r} "
                f"({len(missing)} of {len(self)} masked names are missing); "
                "attach the masks to the model whose weights were scored"
            )
        found = {name: named[name] for name in self._masks}
        _check_same(found, self._masks, "the model")
        return found


def _check_density(density: float) -> None:
    number = isinstance(density, int | float) and not isinstance(density, bool)
    if not number or not math.isfinite(density) or not 0 < density <= 1:
        raise ValueError(
            f"density must be a number in (0, 1], the share of weights that stays, "
            f"got {density!r}; 1 prunes nothing, and 0 would leave nothing to train"
        )


def _check_within(
    within: Mapping[str, Tensor] | None, scores: Mapping[str, Tensor]
) -> dict[str, Tensor] | None:
    if within is None:
        return None
    _check_same(within, scores, "within")
    return {name: within[name].to(score.device) for name, score in scores.items()}


def _check_same(given: Mapping[str, Tensor], wanted: Mapping[str, Tensor], what: str) -> None:
    if given.keys() != wanted.keys():
        odd = sorted(given.keys() ^ wanted.keys())
        raise ValueError(f"{what} and the masks name different parameters: {odd[:3]} ...")
    for name, tensor in wanted.items():
        if given[name].shape != tensor.shape:
            raise ValueError(
                f"{name!r} has shape {tuple(given[name].shape)} in {what}, "
                f"but its mask or scores have {tuple(tensor.shape)}"
            )


def _check_room(keep: int, within: Mapping[str, Tensor] | None, of: str, density: float) -> None:
    if within is None:
        return
    left = sum(int(torch.count_nonzero(mask)) for mask in within.values())
    if keep > left:
        raise ValueError(
            f"density {density} keeps {keep} of {of}, but the masks in within= left only {left}: "
            "pruned weights do not come back. Lower the density, or rank without within="
        )
