"""One run of chapter 9: any criterion, any scope, regularised or not, measured across languages."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from workbench.experiments.pruning_run import PruningRun
from workbench.experiments.text import Inputs
from workbench.experiments.zero_shot_pruning import ALIGNED, ZeroShotPruning
from workbench.observations import Observation, Scalar

if TYPE_CHECKING:
    from torch import Tensor, nn

    from workbench.experiments.training import Phase

FINE_TUNED = 0.1
"""Share of the peak learning rate that plain fine-tuning after pruning keeps, constant."""
GATES_FASTER = 500.0
"""Learning rate of L0 gates over that of the weights: log-odds move by units, not by 1e-4."""


class ZeroShotRun(PruningRun):
    """Pruning by any criterion, regularised towards the pretrained network or not at all."""

    experiment: ZeroShotPruning
    fused = True

    def __init__(
        self,
        experiment: ZeroShotPruning,
        inputs: Inputs,
        model: nn.Module,
        tuned: Mapping[str, Any],
    ) -> None:
        from workbench.experiments.training import accelerator
        from workbench.methods.alignment import AlignReg

        # Before the fine-tuned weights take their place: these are the ones to stay near to.
        device = accelerator(experiment.settings(1, 0.0)).device
        kinds = {kind: AlignReg(kind, weight=1.0) for kind in ALIGNED}  # type: ignore[arg-type]
        towards = kinds["cosine"].towards(model).to(device).reference
        self.aligned = {k: dataclasses.replace(r, reference=towards) for k, r in kinds.items()}
        super().__init__(experiment, inputs, model, tuned)
        self.movement: Any = None
        if experiment.criterion == "movement":
            from workbench.methods.pruning import Movement

            self.movement = Movement(self.student)
        self.gates: Any = None
        if experiment.regulariser == "l0":
            from workbench.methods.pruning import HardConcreteGates

            # Their draws come from torch's own generator, which the loop seeds for each update.
            self.gates = HardConcreteGates(self.student)

    def scores(self, step: int) -> Mapping[str, Tensor]:
        magnitude = self.experiment.criterion == "magnitude"
        if self.gates is not None and magnitude:
            return self.gates.scores(by="probability")
        if self.movement is not None and step > 1:
            return self.movement.scores()  # of all retraining so far
        return super().scores(step)

    def _prune(self, step: int, density: float) -> None:
        import torch

        super()._prune(step, density)
        if self.experiment.retraining != "rewind" or self.masks is None:
            return
        with torch.no_grad():
            dense = dict(self.teacher.named_parameters())
            for name, parameter in self.student.named_parameters():
                parameter.copy_(dense[name])
        self.masks.apply(self.student)

    def terms(self, model: nn.Module, batch: Mapping[str, Any]) -> dict[str, Any]:
        e = self.experiment
        terms = {"task": model(**batch).loss}
        if e.regulariser != "none":
            terms[e.regulariser] = e.regulariser_weight * self._regulariser(model)
        return terms

    def _regulariser(self, model: nn.Module) -> Tensor:
        from workbench.methods import penalties

        e = self.experiment
        if e.regulariser in ALIGNED:
            return self.aligned[e.regulariser].term(model)
        if self.gates is not None:
            return self.gates.penalty(within=self.masks) / self.gates.total
        return getattr(penalties, e.regulariser)(model)

    def phase(self, step: int) -> Phase:
        e = self.experiment
        phase = super().phase(step)
        if e.retraining == "fine-tune":
            phase.settings = dataclasses.replace(
                phase.settings, learning_rate=FINE_TUNED * e.learning_rate, decay="none"
            )
        if self.movement is not None:
            optimizer = getattr(phase.optimizer, "optimizer", phase.optimizer)
            optimizer.register_step_pre_hook(lambda *_: self.movement.update())
        if self.gates is not None:
            group = {"params": self.gates.parameters(), "weight_decay": 0.0}
            phase.optimizer.add_param_group({**group, "times": GATES_FASTER})
        return phase

    def kept(self) -> dict[str, dict]:
        kept = super().kept()
        for name, part in self._parts().items():
            kept[name] = {n: t.cpu().numpy().copy() for n, t in part.state_dict().items()}
        return kept

    def restore(self, groups: Mapping[str, dict]) -> None:
        import torch

        super().restore(groups)
        for name, part in self._parts().items():
            part.load_state_dict({n: torch.from_numpy(a.copy()) for n, a in groups[name].items()})

    def _parts(self) -> dict[str, Any]:
        """What learns beside the model, by its name in a checkpoint."""
        parts = {"movement": self.movement, "gates": self.gates}
        return {name: part for name, part in parts.items() if part is not None}

    def _gradients(self) -> dict[str, float]:
        terms = super()._gradients()
        for parameter in self.gates.parameters() if self.gates is not None else ():
            parameter.grad = None  # or the next update would add it to its own
        return terms

    def compared(self, step: int) -> Iterator[Observation]:
        """Distance from the pretrained weights, and how well languages are aligned."""
        import torch

        from workbench.experiments import languages

        with torch.no_grad():
            for form in ("cosine", "frobenius"):
                value = float(self.aligned[form].term(self.student))
                yield Scalar(step, "pretrained_distance", value, {"form": form})
        if size := self.experiment.parallel_size:
            texts = languages.parallel_texts(self.experiment.model, size)
            yield from languages.alignment(step, self.student, texts)
