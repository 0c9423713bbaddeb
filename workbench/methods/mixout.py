"""Mixout: dropout towards the pretrained weights instead of towards zero."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from workbench.methods.gradient_dropout.rates import check_rate
from workbench.methods.pruning.linear import owners
from workbench.methods.pruning.prunable import Rule, prunable_parameters, unwrap
from workbench.methods.reweighting import reweight


class Mixout:
    r"""Run a layer with a random mixture of its weights and the pretrained ones.

    .. math:: \tilde W = \frac{m \odot W + (1 - m) \odot W_0 - p W_0}{1 - p}, \qquad
        m \sim \mathrm{Bernoulli}(1 - p)

    so that :math:`E \tilde W = W`. Where :math:`m` is 0 the gradient is 0; elsewhere it is
    multiplied by :math:`1 / (1 - p)`: GradDrop's noise, in the forward pass as well. In evaluation
    mode the layer uses :math:`W`.

        mixout = Mixout(model, p=0.7)     # before training: the present weights are W_0
        ...
        mixout.remove()

    The weights stay the model's own parameters under their own names: optimizers, ``state_dict``
    and ``save_pretrained`` know nothing of it, and ``copy.deepcopy`` gives the model without it.

    Args:
        model: its ``torch.nn.Linear`` and GPT-2 ``Conv1D`` layers are mixed from now on.
        p: probability of a pretrained weight, in [0, 1); 0.7 to 0.9 in the paper.
        reference: parameter name -> pretrained tensor; copies of the present weights when left
            out. In a resumed run those of the first start must be given.
        generator: seeded source of the masks; torch's global one when left out. Its state is the
            caller's to save. With gradient checkpointing leave it out, since the second forward
            pass must draw what the first did.
        prunable: predicate ``(module name, module) -> bool``: which layers, instead of the linear
            layers of the encoder.

    Raises:
        ValueError: ``p`` is out of range; a reference is missing or has another shape; nothing is
            selected, or a weight of another kind of layer.

    Note:
        The authors leave out the model's own dropout while they use it.

    References:
        Lee, Cho and Kang, "Mixout: effective regularization to finetune large-scale pretrained
        language models", ICLR 2020, arXiv 1909.11299.
    """

    def __init__(
        self,
        model: nn.Module,
        p: float = 0.7,
        *,
        reference: Mapping[str, Tensor] | None = None,
        generator: torch.Generator | None = None,
        prunable: Rule | None = None,
    ) -> None:
        self.p, self.generator = check_rate(p), generator
        self._weights = prunable_parameters(model, prunable)
        layers = owners(unwrap(model), self._weights, "Mixout")
        given = self._weights if reference is None else reference
        for name, weight in self._weights.items():
            if name not in given or given[name].shape != weight.shape:
                found = tuple(given[name].shape) if name in given else "missing"
                raise ValueError(
                    f"the reference of {name!r} is {found}, the model has {tuple(weight.shape)}; "
                    "give the state_dict of the pretrained model"
                )
        self.reference = {n: given[n].detach().to(w, copy=True) for n, w in self._weights.items()}
        self._handles = reweight(layers, self._mixed, self)

    def remove(self) -> None:
        """Take it off the model, which keeps its own weights; safe to call twice."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def sample(self, name: str) -> Tensor:
        """One mixture of the weights of ``name``, differentiable in the model's weight."""
        weight, start = self._weights[name], self.reference[name].to(self._weights[name].device)
        device = weight.device if self.generator is None else self.generator.device
        noise = torch.empty(weight.shape, device=device).uniform_(generator=self.generator)
        kept = noise.to(weight.device) >= self.p
        mixed = torch.where(kept, weight, start)
        return (mixed - self.p * start) / (1 - self.p)

    def _mixed(self, name: str, training: bool) -> Tensor | None:
        return self.sample(name) if training and self.p else None
