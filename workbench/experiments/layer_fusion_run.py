"""One run of chapter 8: a network, one method, several shares of its bytes."""

from __future__ import annotations

import copy
from collections.abc import Generator, Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
from torch import nn

from workbench.experiments.compressors import (
    COMPRESSORS,
    Compressor,
    Fusion,
    Unreachable,
    distinct_layers,
)
from workbench.experiments.fine_tuning import join_arrays, split_arrays
from workbench.experiments.layer_pairs import (
    QUICK,
    kinds,
    neighbour_closeness,
    pairs_array,
    similarities,
)
from workbench.experiments.training import (
    Phase,
    accelerator,
    load_state,
    state_arrays,
)
from workbench.observations import Array, Checkpoint, Observation, Progress, Scalar

if TYPE_CHECKING:
    from workbench.experiments.layer_fusion import LayerFusion
    from workbench.experiments.problems import Problem

SPLITS = ("validation", "test")
LABELS = ("measure", "module")
ONE_SHOT, BEFORE, AFTER = "one_shot", "before", "after"
"""The whole network made small at once; step by step, before retraining and after it."""


class LayerFusionRun:
    """The state of a run: the whole network, the one that is made smaller, and how."""

    def __init__(
        self,
        experiment: LayerFusion,
        problem: Problem,
        trained: Mapping[str, np.ndarray] | None,
    ) -> None:
        self.experiment, self.problem = experiment, problem
        if trained is not None:
            load_state(problem.network, trained)
        device = accelerator(experiment.settings(1, 0.0)).device
        self.whole = problem.network.to(device).eval()
        self.network = copy.deepcopy(self.whole)
        self.method = self._compressor()

    def _compressor(self) -> Compressor:
        kind = COMPRESSORS[self.experiment.compression]
        return kind(self.experiment, self.problem, self.whole)

    def observe(self, resume: Checkpoint | None) -> Iterator[Observation]:
        e = self.experiment
        first, reached = 0, True
        if resume is not None and e.gradients != "kl":  # whose shares are those of old weights
            first, reached = self._restore(resume) + 1, bool(resume.meta["reached"])
        steps = list(enumerate(e.shares, 1))
        total = max(e.updates, 1)
        if first == 0:
            yield from self._whole()
            yield Progress(0, total, "the whole network")
            yield self._checkpoint(0, True)
            first = 1
        for step, share in steps[first - 1 :]:
            text = f"step {step} of {len(steps)}"
            if reached:
                reached = yield from self._one_shot(step, share)
            if reached and e.updates:
                reached = yield from self._iterative(step, share, text)
            yield Progress(round(total * step / len(steps)), total, text)
            yield self._checkpoint(step, reached)

    # ---- what is done at a step ----

    def _whole(self) -> Iterator[Observation]:
        for phase in (ONE_SHOT, *((BEFORE, AFTER) if self.experiment.updates else ())):
            splits = SPLITS if phase != BEFORE else SPLITS[:1]
            if phase == ONE_SHOT:
                scores = {split: self.problem.evaluate(self.whole, split) for split in SPLITS}
            for split in splits:
                told = {"split": split, "phase": phase}
                yield Scalar(0, self.problem.metric, scores[split], told)
            yield from self._sizes(0, self.method, self.whole, phase)
        yield from self._costs(0, self.whole)
        yield from self._similarities()

    def _one_shot(self, step: int, share: float) -> Generator[Observation, None, bool]:
        """Make the whole network so small at once, and measure; False where it cannot be."""
        method = self._compressor()
        try:
            small = method.compress(copy.deepcopy(self.whole), share, step)
        except Unreachable as error:
            yield Scalar(step, "unreachable", share, {"why": str(error)[:200]})
            return False
        if method.afresh:
            self.network = copy.deepcopy(small)  # what the next retraining starts from
        self._recalibrate(small)
        stored = method.finished(small).eval()
        yield Scalar(step, "target_share", share)
        yield from self._scores(step, stored, SPLITS, ONE_SHOT)
        yield from self._sizes(step, method, small, ONE_SHOT)
        yield from self._costs(step, stored)
        if isinstance(method, Fusion):
            for kind, names in kinds(self.whole).items():
                chosen = pairs_array(method.pairs, names)
                told = {"module": kind, "names": ",".join(names)}
                if len(names) > 1:
                    yield Array(step, "pairs", chosen, told)
        return True

    def _iterative(self, step: int, share: float, text: str) -> Generator[Observation, None, bool]:
        """Make what the last step left so small, retrain, measure; False where it cannot be."""
        e = self.experiment
        try:
            if not self.method.afresh:
                self.network = self.method.compress(self.network, share, step)
        except Unreachable as error:
            yield Scalar(step, "unreachable", share, {"why": str(error)[:200]})
            return False
        self._recalibrate(self.network)
        yield from self._scores(step, self.method.finished(self.network), SPLITS[:1], BEFORE)
        updates = e.intervals()[step - 1]
        if self.method.afresh:
            updates = sum(e.intervals()[:step])
        yield from self._retrain(step, updates, text)
        yield Scalar(step, "retraining_updates", float(sum(e.intervals()[:step])))
        yield from self._scores(step, self.method.finished(self.network), SPLITS, AFTER)
        yield from self._sizes(step, self.method, self.network, AFTER)
        return True

    def _retrain(self, step: int, updates: int, text: str) -> Iterator[Observation]:
        if not updates:
            return
        e, done = self.experiment, sum(self.experiment.intervals()[: step - 1])
        self._choose_trained()
        phase = Phase(
            self.network,
            self.problem.lengths,
            self.problem.collate,
            self.problem.loss,
            e.settings(updates, e.learning_rate),
            f"retraining {step}",
        )
        held = self.method.hold(self.network, phase.optimizer)
        try:
            for update, loss in phase.updates():
                yield Scalar(step, "train_loss", loss, {"update": str(update)})
                yield Progress(min(done + update, e.updates), e.updates, text)
        finally:
            if held is not None:
                held.remove()
            self.network.eval()

    def _choose_trained(self) -> None:
        """Freeze what is not fused, where only that retrains."""
        if self.experiment.trained == "all" or not isinstance(self.method, Fusion):
            return
        from workbench.methods.layer_fusion import fusible_layers, tied_layers

        layers = fusible_layers(self.network)
        fused = {name for group in tied_layers(self.network) for name in group}
        chosen = {id(p) for n in fused & set(layers) for p in layers[n].parameters.values()}
        for parameter in self.network.parameters():
            parameter.requires_grad_(id(parameter) in chosen)

    def _recalibrate(self, network: nn.Module) -> None:
        e = self.experiment
        norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
        if not e.recalibrate or not norms or e.compression == "none":
            return
        from torch.optim.swa_utils import update_bn

        device = next(network.parameters()).device
        batches = self.problem.batches(8, e.batch_size, e.seed, "recalibration")
        update_bn((next(iter(batch.values())) for batch in batches), network, device=device)
        network.eval()

    # ---- what is measured ----

    def _scores(
        self, step: int, network: nn.Module, splits: tuple[str, ...], phase: str
    ) -> Iterator[Scalar]:
        for split in splits:
            value = self.problem.evaluate(network, split)
            yield Scalar(step, self.problem.metric, value, {"split": split, "phase": phase})

    def _sizes(
        self, step: int, method: Compressor, network: nn.Module, phase: str
    ) -> Iterator[Scalar]:
        stored = method.stored(network)
        shares = {"compressible": method.sizes.share(stored), "all": stored / method.sizes.total}
        yield Scalar(step, "stored_bytes", float(stored), {"phase": phase})
        for scope, value in shares.items():
            yield Scalar(step, "stored_share", value, {"phase": phase, "scope": scope})

    def _costs(self, step: int, network: nn.Module) -> Iterator[Scalar]:
        from workbench.metrics import compression

        yield Scalar(step, "layers", float(distinct_layers(network)))
        rows = min(8, len(self.problem.rows["test"]))
        batch = self.problem.inputs(list(range(rows)), "test")
        device = next(network.parameters()).device
        batch = {name: tensor.to(device) for name, tensor in batch.items()}
        cost = compression.multiply_adds(network, batch)
        yield Scalar(step, "multiply_adds", (cost.linear + cost.attention) / rows)
        if self.experiment.timed:
            repeats = self.experiment.timed
            timed = compression.latency(network, batch, repeats=repeats, warmup=1)
            yield Scalar(step, "seconds_per_batch", timed.median, {"rows": str(rows)})

    def _similarities(self) -> Iterator[Observation]:
        """Heatmaps of the whole network; in the control's record alone, as they are all alike."""
        e = self.experiment
        if e.compression != "none" or e.similarities == "none":
            return
        from workbench.experiments.layer_fusion import MEASURE_NAMES

        measures = QUICK if e.similarities == "some" else MEASURE_NAMES[1:]
        batch = self.problem.batches(1, e.batch_size, e.seed, "activations", 0)[0]
        for measure in (*measures, *(("cka",) if "cka" not in measures else ())):
            for kind, (names, matrix) in similarities(self.whole, measure, batch=batch).items():
                told = {"measure": measure, "module": kind, "names": ",".join(names)}
                yield Array(0, "similarity", matrix.astype("float32"), told)
                if len(names) > 2:
                    value = neighbour_closeness(matrix, measure)
                    yield Scalar(0, "neighbour_closeness", value, {k: told[k] for k in LABELS})

    # ---- checkpoints ----

    def _checkpoint(self, step: int, reached: bool) -> Checkpoint:
        begun = step and reached and self.experiment.updates
        arrays, meta = self.method.kept() if begun else ({}, {})
        kept = {"model": state_arrays(self.network), "method": arrays}
        return Checkpoint(step, join_arrays(**kept), {"reached": reached, "method": meta})

    def _restore(self, resume: Checkpoint) -> int:
        groups = split_arrays(resume)
        if resume.step and resume.meta["reached"] and self.experiment.updates:
            given = groups.get("method", {}), resume.meta["method"]
            self.network = self.method.restore(self.network, *given)
            if not self.method.afresh:
                load_state(self.network, groups["model"])
        return resume.step
