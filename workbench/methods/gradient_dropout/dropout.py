"""GradDrop and its variants: one class around the steps of any optimizer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from workbench.methods.gradient_dropout import rates
from workbench.methods.gradient_dropout.attachment import GradientMask, What
from workbench.methods.gradient_dropout.bits import (
    Piece,
    RandomPieces,
    cut,
    derive,
    gather,
    pieces_of,
    uniform,
)
from workbench.methods.gradient_dropout.layers import Select, layer_of, maskable_parameters

Granularity = Literal["element", "layer"]


class GradientDropout(GradientMask):
    r"""Drop random gradients while a model is fine-tuned.

    .. math:: \theta_l \leftarrow \theta_l - \alpha \, g_l \odot m_l, \qquad
        m \sim \mathrm{Bernoulli}(1 - p)

    is thesis equation 10.3, corrected: printed as :math:`\mathrm{Bernoulli}(p)` beside "zeroed with
    probability :math:`p`". For whole layers :math:`m \in \{0, 1\}^L` (section 10.3.1, corrected:
    this is Layer-GradDrop, not GradDrop-Epoch). Not the sign dropout of Chen et al. 2020, which is
    called GradDrop too.

        dropout = GradientDropout(model, p=0.2).attach(optimizer)

    ================  ==============================================================================
    ``schedule``      what trains
    ================  ==============================================================================
    ``constant``      a share 1 - p, drawn anew in each step: GradDrop, Layer-GradDrop
    ``anneal``        the same, its rate falling by 1/T per epoch from 0.9: Anneal-GradDrop
    a function        the same with the rate it returns for an epoch (from 0)
    ``epoch-fresh``   a share 1 - p, drawn anew in each epoch (section 10.3.2, first paragraph)
    ``epoch``         one more share 1/T in each epoch, drawn without replacement: GradDrop-Epoch
    ``epoch-toggle``  the newest of these shares only: GradDrop-Epoch-Toggle
    ``top-down``      layers from the last to the first, one more share 1/T in each epoch:
                      gradual unfreezing (Howard and Ruder 2018), GradFreeze-TopDown
    ``bottom-up``     layers from the first to the last: GradFreeze-BottomUp
    ================  ==============================================================================

    Embeddings and the head are not touched and train throughout, as in section 10.3.4. A mask is a
    function of (seed, step), of (seed, epoch), or of the seed alone, and of the parameter's name:
    made anew when needed, never saved. The rate holds exactly in expectation; see ``bits.cut``.

    Args:
        model: its gradients are masked from now on, whichever optimizer trains it; ``attach`` binds
            to one. Nothing is added to the model.
        p: rate in [0, 1), that of the first epoch where it falls. Left out: 0.2 (section
            10.3.4.2); 0.9 for ``anneal``; :math:`1 - 1/T` where shares are unfrozen.
        granularity: ``"element"`` or ``"layer"``. Unfreezing from an end is of layers.
        schedule: see above.
        mask: ``"gradient"``: the gradient is zeroed, as printed, and no more: momentum, Adam's
            moments and weight decay still move the weight. ``"update"``: the weight stays too; its
            moments see a gradient of zero. With plain SGD both are the same.
        rescale: multiply what is kept by 1/(1 - p), so that the expected gradient is the full one
            (as Child-Tuning-F does, and the thesis does not). Not where shares are drawn once.
        epochs: T. Left out: the number of layers where they are unfrozen from an end, and
            ``round(1 / (1 - p))`` for shares of elements.
        steps_per_epoch: optimizer steps of an epoch. Left out, call ``set_epoch``.
        seed: of all masks. The same on all processes, so that their replicas stay equal.
        remember: hold the mask of the present epoch, one byte per element (85 MB for BERT base,
            freed in the last epoch), where it serves for more than a step; with ``mask="update"``
            also that of a step, while the step lasts. ``False`` draws it again each time: no byte
            is held, the masks are the same, and the hooks take about twice the time.
        select: predicate ``(parameter name, parameter) -> bool``: which parameters to mask, instead
            of all but embeddings and head.
        layer: function parameter name -> layer, instead of ``layers.layer_of``.

    Raises:
        ValueError: a setting is out of range or does not fit the others; nothing is selected.

    Note:
        The masks of CPUs and GPUs differ, as the generators of torch do. Clipping sees all
        gradients, unless ``apply`` is called before it. Not for parameters split by FSDP or
        DeepSpeed.

    References:
        Xu et al., "Raise a child in large language model", EMNLP 2021 (Child-Tuning-F is
        ``rescale=True``). Howard and Ruder, "Universal language model fine-tuning", ACL 2018.
    """

    def __init__(
        self,
        model: nn.Module,
        p: float | None = None,
        *,
        granularity: Granularity | None = None,
        schedule: rates.Name | rates.Rate = "constant",
        mask: What = "gradient",
        rescale: bool = False,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        seed: int = 0,
        remember: bool = True,
        select: Select | None = None,
        layer: Callable[[str], str] = layer_of,
    ) -> None:
        self.p = None if p is None else rates.check_rate(p)
        self.schedule, self.rescale, self.seed = schedule, rescale, seed
        self.remember = remember
        self.granularity = self._check_granularity(granularity)
        for what, number in (("epochs", epochs), ("steps_per_epoch", steps_per_epoch)):
            if number is not None and (not isinstance(number, int) or number < 1):
                raise ValueError(f"{what} must be a whole number of at least 1, got {number!r}")
        parameters = maskable_parameters(model, select)
        self.layers = {name: layer(name) for name in parameters}
        self.epochs, self.steps_per_epoch = self._check_epochs(epochs), steps_per_epoch
        if self.p is None and not callable(schedule):
            self.p = rates.default(schedule, self.epochs)
        self._epoch = 0
        self._makers: dict[torch.device, RandomPieces] = {}
        self._remembered: dict[str, tuple[tuple[str, int, int], Tensor]] = {}
        self._places = self._order()
        super().__init__(parameters, mask)

    @property
    def epoch(self) -> int:
        """The epoch of the next step, from 0."""
        if self.steps_per_epoch is not None:
            return self.step // self.steps_per_epoch
        return self._epoch

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch begins, from 0; not needed with ``steps_per_epoch``.

        Raises:
            ValueError: the epoch is negative, or ``steps_per_epoch`` says otherwise.
        """
        if epoch < 0:
            raise ValueError(f"epoch must be at least 0, got {epoch}")
        if self.steps_per_epoch is not None and epoch != self.epoch:
            raise ValueError(
                f"set_epoch({epoch}) at step {self.step} with steps_per_epoch="
                f"{self.steps_per_epoch}, which makes it epoch {self.epoch}; use one of the two"
            )
        self._epoch = epoch

    @property
    def window(self) -> rates.Window:
        """The present [a, b): elements or layers with a number u in it train. See ``rates``."""
        return rates.window(self.schedule, self.epoch, self.epochs, self.p)

    @property
    def rate(self) -> float:
        """The present share that is dropped."""
        low, high = self.window
        return 1 - (high - low)

    def state_dict(self) -> dict[str, Any]:
        """All that the masks depend on, as plain numbers and words, ready for JSON."""
        return {"step": self.step, "epoch": self.epoch, **self._settings()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on after the step of ``state``, with the masks of the run that wrote it.

        Raises:
            ValueError: it was written under other settings, so that the masks would differ.
        """
        ours = self._settings()
        odd = [key for key in ours if key not in state or state[key] != ours[key]]
        if odd:
            told = ", ".join(f"{k}={state.get(k)!r} (here {ours[k]!r})" for k in odd)
            raise ValueError(
                f"the state was written with {told}; make GradientDropout with the same settings"
            )
        self.step, self._epoch = state["step"], state["epoch"]

    def __repr__(self) -> str:
        settings = ", ".join(f"{key}={value!r}" for key, value in self._settings().items())
        return f"GradientDropout({settings}, step={self.step}, epoch={self.epoch})"

    def _settings(self) -> dict[str, Any]:
        name = "a function" if callable(self.schedule) else self.schedule
        return {
            "p": self.p, "granularity": self.granularity, "schedule": name, "mask": self.mask,
            "rescale": self.rescale, "epochs": self.epochs, "seed": self.seed,
            "steps_per_epoch": self.steps_per_epoch,
        }  # fmt: skip

    def _check_granularity(self, granularity: str | None) -> Granularity:
        named = get_args(rates.Name)
        if not callable(self.schedule) and self.schedule not in named:
            raise ValueError(
                f"schedule must be one of {list(named)} or a function epoch -> rate, "
                f"got {self.schedule!r}"
            )
        if callable(self.schedule) and self.p is not None:
            raise ValueError("give p or a schedule that returns the rate, not both")
        if self.rescale and self.schedule in rates.ONCE:
            raise ValueError(
                f"rescale=True has no meaning under schedule={self.schedule!r}: its shares are "
                "drawn once, so the mean over steps is not the full gradient"
            )
        ends = self.schedule in ("top-down", "bottom-up")
        if granularity is None:
            return "layer" if ends else "element"
        if granularity not in get_args(Granularity):
            raise ValueError(f"granularity must be 'element' or 'layer', got {granularity!r}")
        if ends and granularity == "element":
            raise ValueError(f"schedule={self.schedule!r} unfreezes layers; granularity='layer'")
        return granularity  # type: ignore[return-value]

    def _check_epochs(self, epochs: int | None) -> int | None:
        if epochs is not None or self.schedule not in (*rates.ONCE, "anneal"):
            return epochs
        if self.schedule in ("top-down", "bottom-up"):
            return len(set(self.layers.values()))
        if self.schedule == "anneal" or self.p is None:
            raise ValueError(f"schedule={self.schedule!r} needs epochs=, the length of the run")
        return max(1, round(1 / (1 - self.p)))

    def _order(self) -> dict[str, float]:
        """Layer -> its u in (0, 1], all different; for shares of layers drawn once."""
        layers = list(dict.fromkeys(self.layers.values()))
        if self.schedule == "top-down":
            pass  # the last layer has the highest u, and windows begin at the upper end
        elif self.schedule == "bottom-up":
            layers.reverse()
        else:
            layers.sort(key=lambda each: derive(self.seed, "order", each))
        return {each: (rank + 1) / len(layers) for rank, each in enumerate(layers)}

    def _drawn_for(self) -> str:
        if self.schedule in rates.ONCE:
            return "once"
        return f"epoch {self.epoch}" if self.schedule in rates.EPOCHWISE else f"step {self.step}"

    def _scale(self) -> float:
        return 1 / (1 - self.rate) if self.rescale else 1.0

    def _kept(self, name: str, parameter: Tensor) -> bool | Iterator[Piece]:
        low, high = self.window
        key = self._drawn_for()
        if self.granularity == "layer":
            layer = self.layers[name]
            if key != "once":
                return low <= uniform(self.seed, key, layer) < high
            # Rounded up: the first epoch trains one layer at least. Not by 1 and 1 - 1/T, whose
            # last digits decide nothing.
            return low < self._places[layer] - 1e-9 <= high
        dither = uniform(self.seed, key, name, "dither")
        first, last = cut(low, dither), cut(high, dither) if high < 1 else 256
        if last - first in (0, 256):
            self._remembered.pop(name, None)
            return last > first
        told = (key, first, last)
        if not self._remembers():
            return self._pieces(parameter, derive(self.seed, key, name), first, last)
        if name not in self._remembered or self._remembered[name][0] != told:
            pieces = self._pieces(parameter, derive(self.seed, key, name), first, last)
            self._remembered[name] = told, gather(pieces, parameter)
        return pieces_of(self._remembered[name][1].to(parameter.device))

    def _remembers(self) -> bool:
        # Masks of a step are used twice where weights are put back, and once otherwise.
        return self.remember and (self._drawn_for() != f"step {self.step}" or self.mask == "update")

    def _step_done(self) -> None:
        if self.schedule not in (*rates.ONCE, *rates.EPOCHWISE):
            self._remembered = {}

    def _pieces(self, parameter: Tensor, seed: int, first: int, last: int) -> Iterator[Piece]:
        if parameter.device not in self._makers:
            self._makers[parameter.device] = RandomPieces(parameter.device)
        return self._makers[parameter.device](parameter.numel(), seed, first, last)
