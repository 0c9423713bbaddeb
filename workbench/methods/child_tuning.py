r"""Child-Tuning: fine-tune a sub-network, the baseline closest to GradDrop.

Xu et al., "Raise a child in large language model: towards effective and generalizable
fine-tuning", EMNLP 2021, arXiv 2109.05687. Two variants, both masks on the gradient:

- ``child_tuning_f`` (task-**f**ree): a Bernoulli mask in every step, rescaled. It is GradDrop with
  the factor that thesis equation 10.3 lacks.
- ``ChildTuningD`` (task-**d**riven): a fixed mask of the weights of highest Fisher information.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from workbench.methods.gradient_dropout.attachment import GradientMask, What
from workbench.methods.gradient_dropout.bits import Piece, pieces_of
from workbench.methods.gradient_dropout.dropout import GradientDropout
from workbench.methods.pruning import Masks
from workbench.methods.pruning.gradients import Batch, Loss, mean_over_examples
from workbench.methods.pruning.prunable import Rule


def child_tuning_f(model: nn.Module, keep: float = 0.3, **settings: Any) -> GradientDropout:
    r"""Child-Tuning-F: keep each gradient with probability ``keep`` and divide it by that.

    .. math:: w \leftarrow w - \eta \, g \odot m / p_F, \qquad m \sim \mathrm{Bernoulli}(p_F)

    Args:
        model: its gradients are masked from now on.
        keep: :math:`p_F` in (0, 1]; the paper tries 0.2, 0.3 and 0.4.
        **settings: of ``GradientDropout``.

    Raises:
        ValueError: ``keep`` is out of range.
    """
    if not 0 < keep <= 1:
        raise ValueError(f"keep must be in (0, 1], the share of gradients that stay, got {keep!r}")
    return GradientDropout(model, p=1 - keep, rescale=True, **settings)


def fisher(
    model: nn.Module,
    batches: Iterable[Batch],
    prunable: Rule | None = None,
    loss: Loss | None = None,
    *,
    per_example: bool = False,
) -> dict[str, Tensor]:
    r"""Diagonal of the empirical Fisher information: mean squared gradients.

    .. math:: F_i = \frac{1}{|D|} \sum_{j \in D}
        \left(\frac{\partial \log p(y_j \mid x_j; w)}{\partial w_i}\right)^2

    Args:
        model, batches, prunable, loss: as in ``pruning.gradients.mean_over_examples``: evaluation
            mode, the model is given back as it was.
        per_example: squares of the gradients of single examples, the equation. By default of
            batches, as in the authors' code: faster, and lower by about the size of a batch.

    Returns:
        Parameter name -> tensor, at least 0.
    """
    _, means = mean_over_examples(
        model,
        batches,
        prunable,
        loss,
        of=lambda gradient, _: gradient.square(),
        per="example" if per_example else "batch",
    )
    return means


class ChildTuningD(GradientMask):
    """Child-Tuning-D: train only the weights of highest Fisher information, chosen once.

        tuning = ChildTuningD(model, fisher(model, batches), keep=0.3).attach(optimizer)

    Args:
        model: its gradients are masked from now on. Parameters without a score train freely.
        scores: parameter name -> tensor, such as ``fisher`` returns.
        keep: share of all scored weights that train, in (0, 1]; exactly so many.
        mask: ``"gradient"`` as in the paper, or ``"update"``; see ``GradientDropout``.

    Raises:
        ValueError: ``keep`` is out of range, scores are not finite or fit no parameter.

    Note:
        Unlike random masks these must be stored: one byte per weight.
    """

    def __init__(
        self,
        model: nn.Module,
        scores: Mapping[str, Tensor],
        keep: float = 0.3,
        *,
        mask: What = "gradient",
    ) -> None:
        self.child = Masks.globally(scores, keep)
        named = dict(model.named_parameters())
        odd = [n for n, m in self.child.items() if n not in named or named[n].shape != m.shape]
        if odd:
            raise ValueError(
                f"{type(model).__name__} has no parameter {odd[0]!r} of shape "
                f"{tuple(self.child[odd[0]].shape)}; score the model that is trained"
            )
        super().__init__({name: named[name] for name in self.child}, mask)

    def state_dict(self) -> dict[str, Tensor]:
        """Parameter name -> boolean tensor, True where a weight trains (shared, not copied)."""
        return self.child.state_dict()

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take over masks. Raises ``ValueError`` where names or shapes differ."""
        self.child.load_state_dict(state)

    def _kept(self, name: str, parameter: Tensor) -> Iterator[Piece]:
        return pieces_of(self.child[name].to(parameter.device))
