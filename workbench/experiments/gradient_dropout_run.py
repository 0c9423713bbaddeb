"""One run of chapter 10: train epoch by epoch, and measure in every language after each."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from workbench.experiments.fine_tuning import join_arrays, split_arrays
from workbench.experiments.gradient_dropout import DRAWN, GradientDropoutTuning
from workbench.experiments.loss_surface import LossSurface, histogram, norms_of
from workbench.experiments.text import Inputs, measure
from workbench.observations import Array, Checkpoint, Observation, Progress, Scalar

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

    from workbench.experiments.training import Phase
    from workbench.methods.gradient_dropout import GradientDropout

SAMPLED = 48
"""Elements of each layer's query matrix whose masks are recorded, for Figure 10.1."""


class GradientDropoutRun:
    """The state of one run: the model, what drops its gradients, and where it started."""

    def __init__(self, experiment: GradientDropoutTuning, inputs: Inputs, model: nn.Module) -> None:
        from torch import nn

        from workbench.experiments.training import accelerator
        from workbench.metrics.norms import layer_weights

        self.experiment, self.inputs, self.model = experiment, inputs, model
        model.to(accelerator(experiment.settings(1, 0.0)).device)
        for module in model.modules():
            if isinstance(module, nn.Dropout):
                module.p = experiment.dropout
        # Adapters wrap the layers but keep these parameters, so that gradients of the weights can
        # be had whatever trains.
        self.matrices = {name: weight for _, name, weight in layer_weights(model)}
        self.surface = LossSurface(model, self.matrices, inputs.train, experiment.measured_texts)
        self.mixout: Any = None
        self._choose()
        self.pretrained = self._weights()
        self.start = self._trained()

    def _choose(self) -> None:
        """Freeze, adapt or mix, as the way of tuning asks."""
        e, model = self.experiment, self.model
        if e.tuning == "head":
            for name, parameter in model.named_parameters():
                parameter.requires_grad_(name.startswith("classifier."))
        elif e.tuning == "mixout":
            from workbench.methods.mixout import Mixout

            # Its draws come from torch's own generator, which the loop seeds for each update.
            self.mixout = Mixout(model, p=e.p)
        elif e.tuning in ("lora", "ia3"):
            import torch

            from workbench.experiments.training import derive
            from workbench.methods import adapters

            torch.manual_seed(derive(e.seed, "adapters"))
            if e.tuning == "lora":
                adapters.lora(model, rank=e.rank, alpha=2 * e.rank)
            else:
                adapters.ia3(model)

    # ---- training ----

    @property
    def per_epoch(self) -> int:
        """Updates of an epoch."""
        e, world = self.experiment, self.phase.accelerator.num_processes
        batches = math.ceil(len(self.inputs.train) / (e.batch_size * world))
        return max(1, batches // e.accumulation)

    def _prepare(self) -> None:
        """The phase of training, and what drops gradients in it."""
        from workbench.experiments.training import Phase
        from workbench.methods.layerwise_decay import layerwise_decay

        e, train = self.experiment, self.inputs.train
        few = e.tuning in ("lora", "ia3", "head")
        rate = e.learning_rate * (e.faster if few else 1.0)
        settings = dataclasses.replace(e.settings(1, rate), fused=True)
        groups = None
        if e.tuning == "layer-wise decay":
            groups = layerwise_decay(
                self.model, rate, e.layer_decay, weight_decay=settings.weight_decay
            )
        self.phase: Phase = Phase(
            self.model, train.lengths, train.collate, lambda m, b: m(**b).loss,
            settings, "fine-tuning", groups,
        )  # fmt: skip
        updates = e.epochs * self.per_epoch
        self.phase.settings = dataclasses.replace(settings, updates=updates)
        self.dropout: GradientDropout | None = None
        if e.tuning == "gradient dropout":
            from workbench.experiments.training import derive
            from workbench.methods.gradient_dropout import GradientDropout

            drawn = e.schedule in DRAWN
            self.dropout = GradientDropout(
                self.model,
                p=e.p if drawn else None,
                granularity=e.granularity,
                schedule=e.schedule,
                mask=e.mask,
                rescale=e.rescale and drawn,
                epochs=e.epochs,
                steps_per_epoch=self.per_epoch,
                seed=derive(e.seed, "gradient dropout") % 2**31,
            ).attach(self.phase.optimizer)

    def observe(self, resume: Checkpoint | None) -> Iterator[Observation]:
        self._prepare()
        try:
            yield from self._epochs(resume)
        finally:
            for part in (self.dropout, self.mixout):
                if part is not None:
                    part.remove()

    def _epochs(self, resume: Checkpoint | None) -> Iterator[Observation]:
        e, per_epoch = self.experiment, self.per_epoch
        total = e.epochs * per_epoch
        if resume is None:
            yield from self._before()
        else:
            self._restore(resume)
        if self.phase.done % per_epoch == 0:
            self.epoch_start, self.epoch_weights = self._trained(), self._weights()
        for update, loss in self.phase.updates():
            epoch, text = math.ceil(update / per_epoch), f"of {e.epochs} epochs"
            yield Scalar(epoch, "train_loss", loss, {"update": str(update)})
            if update % per_epoch:
                if e.checkpoint_every and update % e.checkpoint_every == 0:
                    yield self._checkpoint(epoch, update, start=self.epoch_start)
                yield Progress(update, total, f"epoch {epoch} {text}")
                continue
            yield from self._after(epoch)
            self.epoch_start, self.epoch_weights = self._trained(), self._weights()
            if update < total:
                yield self._checkpoint(epoch, update)
            yield Progress(update, total, f"epoch {epoch} {text}")

    def _checkpoint(self, epoch: int, update: int, **groups: dict[str, Any]) -> Checkpoint:
        arrays = join_arrays(model=self._trained(), optimizer=self.phase.state(), **groups)
        return Checkpoint(epoch, arrays, {"update": update})

    def _restore(self, resume: Checkpoint) -> None:
        from workbench.experiments.training import load_trainable

        groups = split_arrays(resume)
        load_trainable(self.model, groups.get("start", groups["model"]))
        self.epoch_start, self.epoch_weights = self._trained(), self._weights()
        load_trainable(self.model, groups["model"])
        self.phase.resume(resume.meta["update"], groups["optimizer"])
        if self.dropout is not None:
            self.dropout.step = resume.meta["update"]

    def _trained(self) -> dict[str, np.ndarray]:
        from workbench.experiments.training import trainable_state

        return trainable_state(self.model)

    def _weights(self) -> dict[str, Tensor]:
        """The layers' matrices as they act, adapters merged in; copies."""
        import torch

        if self.experiment.tuning in ("lora", "ia3"):
            from workbench.methods.adapters import effective_weights

            with torch.no_grad():
                found = effective_weights(self.model)
            return {name: found[name].detach().clone() for name in self.matrices}
        return {name: weight.detach().clone() for name, weight in self.matrices.items()}

    # ---- what is measured ----

    def _before(self) -> Iterator[Observation]:
        """Scores of the pretrained encoder under a fresh head, and what is counted once."""
        trained = sum(p.numel() for p in self.model.parameters() if p.requires_grad)
        whole = sum(p.numel() for p in self.model.parameters())
        for scope, count in (("trained", trained), ("all", whole)):
            yield Scalar(0, "parameters", float(count), {"scope": scope})
        yield from self._majorities()
        yield from self._scores(0)
        yield from self.surface.gradients(0)

    def _after(self, epoch: int) -> Iterator[Observation]:
        e = self.experiment
        yield from self._scores(epoch)
        yield from self._kept(epoch)
        yield from self._updated(epoch)
        if epoch % e.measure_every == 0 or epoch == e.epochs:
            now = self._weights()
            yield from self._moved(epoch, now)
            yield from self.surface.gradients(epoch)
        if epoch == e.epochs:
            yield from self.surface.curvature(epoch)

    def _majorities(self) -> Iterator[Scalar]:
        """The score of saying nothing but a split's most frequent class."""
        import numpy as np

        if not self.inputs.by_class or self.inputs.metric != "accuracy":
            return
        for split in ("validation", "test"):
            data = getattr(self.inputs, split)
            for subset in dict.fromkeys(data.subsets.tolist()):
                _, counts = np.unique(data.labels[data.subsets == subset], return_counts=True)
                told = {"split": split, "subset": subset}
                yield Scalar(0, "majority_share", float(counts.max() / counts.sum()), told)

    def _scores(self, epoch: int) -> Iterator[Scalar]:
        from workbench.experiments.inputs import predict

        for split in ("validation", "test"):
            logits, _ = predict(self.model, getattr(self.inputs, split))
            yield from measure(epoch, self.inputs, split, logits, phase="after")

    def _kept(self, epoch: int) -> Iterator[Observation]:
        """What the masks of the epoch's last update kept, of all and of some elements."""
        import numpy as np

        if self.dropout is None:
            yield Scalar(epoch, "kept_share", 1.0)
            return
        self.dropout.step -= 1  # masks are a function of the step, and that of the next is due
        masks = self.dropout.masks()
        self.dropout.step += 1
        kept = sum(int(mask.sum()) for mask in masks.values())
        yield Scalar(epoch, "kept_share", kept / sum(mask.numel() for mask in masks.values()))
        rows = []
        for name in self._queries():
            mask = masks[name].flatten()
            places = np.linspace(0, len(mask) - 1, SAMPLED).astype(int)
            rows.append(mask.cpu().numpy()[places])
        if rows:
            yield Array(epoch, "mask", np.stack(rows).astype("int8"))

    def _queries(self) -> list[str]:
        """One matrix per layer: the query's, or the first where there is none."""
        from workbench.metrics.norms import module_type

        chosen: dict[int | None, str] = {}
        for name in self.matrices:
            layer, module = module_type(name)
            if layer not in chosen or module == "query":
                chosen[layer] = name
        return list(chosen.values())

    def _updated(self, epoch: int) -> Iterator[Scalar]:
        now = self._trained()
        for scope, before in (("epoch", self.epoch_start), ("run", self.start)):
            moved = sum(int((now[name] != before[name]).sum()) for name in now)
            yield Scalar(epoch, "updated", float(moved), {"scope": scope})

    def _moved(self, epoch: int, now: Mapping[str, Tensor]) -> Iterator[Observation]:
        """How far each matrix moved in this epoch, and from the pretrained one."""
        update = {name: now[name] - before for name, before in self.epoch_weights.items()}
        yield from norms_of(epoch, "update_norm", update)
        yield from norms_of(
            epoch, "distance", {name: now[name] - old for name, old in self.pretrained.items()}
        )
        yield from histogram(epoch, "update", update)
