"""A loaded network whose layers are compared and fused in copies, as often as one likes."""

from __future__ import annotations

import copy
from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from workbench.experiments import layer_pairs
from workbench.experiments.compressors import Bytes, distinct_layers
from workbench.experiments.fine_tuning import split_arrays
from workbench.experiments.layer_pairs import Pair, closest_pairs
from workbench.experiments.problems import Problem
from workbench.experiments.training import derive, load_state
from workbench.experiments.what_if import last_value
from workbench.experiments.what_if_fused import EVERY, MEASURES, WhatIfFused
from workbench.experiments.what_if_fused_answer import Answer, Costs, Similarity, joined
from workbench.methods.layer_fusion import fuse, layer_weights
from workbench.methods.storage import stored_bytes
from workbench.metrics import compression, similarity
from workbench.observations import Checkpoint, Progress

Picked = Sequence[Sequence[str]]
TURNS = 3
"""Times that whole and fused network are timed in turn."""
UNITS = {"Pictures": "picture", "RunningText": "passage", "Texts": "text"}
COMPARED = 32
"""Training rows that activations are compared on."""


class LoadedNetwork:
    """A network with its data. It never changes: what is fused is a copy."""

    def __init__(self, settings: WhatIfFused, problem: Problem) -> None:
        self.settings, self.problem = settings, problem
        gpu = settings.device == "auto" and torch.cuda.is_available()
        self.device = torch.device("cuda" if gpu else "cpu")
        self.network = problem.network.to(self.device).eval()
        self.about = "the network as it was published, not trained further here"
        self.kinds = {k: n for k, n in layer_pairs.kinds(self.network).items() if len(n) > 1}
        if not self.kinds:
            raise ValueError(
                f"model = {settings.model!r} has no two layers of one type and shape, so there is "
                "nothing to fuse; choose a deeper one."
            )
        self._similar: dict[tuple[str, str], Similarity] = {}
        self._compared: dict[str, Mapping[str, Tensor]] = {}
        length = problem.lengths
        longest = max(range(len(length)), key=length.__getitem__)
        self._row = self._placed(problem.inputs([longest]))
        self._batch = problem.batches(1, COMPARED, settings.seed, "activations")[0]

    def take_trained(self, whole: Checkpoint, updates: int) -> None:
        """Take the weights of a training."""
        load_state(self.network, split_arrays(whole)["model"])
        self.about = f"a network that was trained for {updates} updates before"

    def measure_whole(self) -> None:
        """Bytes, layers and score of the whole network: what answers are compared with."""
        self.sizes = Bytes(self.network)
        score = self.problem.evaluate(self.network, "test")
        self.whole = replace(self._stored(self.network), score=score)

    def time_whole(self) -> None:
        """Find out how often one row is to be timed, so that it takes a moment and no more."""
        once = compression.latency(self.network, self._row, repeats=3, warmup=1).median
        self.repeats = int(np.clip(0.15 / once / TURNS, 3, 10))
        (took,) = self._latencies(self.network)
        self.whole = replace(self.whole, latency=took)

    # ---- which layers are alike ----

    def most(self, module: str, among: str) -> int:
        """How many pairs can be fused, none of which is redundant."""
        names = self.kinds.values() if among in EVERY else [self.kinds[self._known(module)]]
        return sum(len(layers) - 1 for layers in names)

    def similarity(self, measure: str, module: str = "") -> Similarity:
        """How alike the layers of one type are; kept for the next question.

        Raises:
            ValueError: no such measure or type, or the measure is not defined for these layers.
        """
        return last_value(self.comparing(measure, module))

    def comparing(self, measure: str, module: str = "") -> Generator[Progress, None, Similarity]:
        """The same step by step: what takes long can be closed in between."""
        if measure not in MEASURES:
            raise ValueError(f"measure = {measure!r} is not one of {', '.join(MEASURES)}.")
        key = (measure, self._known(module))
        if key not in self._similar:
            found = yield from self._matrix(self.network, *key, self._compared)
            self._similar[key] = found
        return self._similar[key]

    def _known(self, module: str) -> str:
        if module and module not in self.kinds:
            raise ValueError(
                f"module = {module!r} is no type of layer of {self.settings.model}, of which there "
                f"are two of one shape; there are {', '.join(self.kinds)}."
            )
        return module or next(iter(self.kinds))

    def _matrix(
        self, network: nn.Module, measure: str, module: str, held: dict[str, Mapping[str, Tensor]]
    ) -> Generator[Progress, None, Similarity]:
        entry, names = similarity.MEASURES[measure], self.kinds[module]
        yield Progress(0, 1, f"comparing {module} layers")
        if entry.needs not in held:
            held[entry.needs] = (
                layer_pairs.activations(network, self._batch)
                if entry.needs == "activations"
                else {n: w.float().flatten(1) for n, w in layer_weights(network).items()}
            )
        layers = {name: held[entry.needs][name] for name in names}
        if entry.prepare is not None:
            _, matrix = similarity.similarity_matrix(layers, measure)
        else:
            matrix = np.zeros((len(names), len(names)))
            pairs = list(combinations(range(len(names)), 2))
            for done, (i, j) in enumerate(pairs):
                yield Progress(done, len(pairs), f"comparing {module} layers")
                two = {names[place]: layers[names[place]] for place in (i, j)}
                matrix[np.ix_((i, j), (i, j))] = similarity.similarity_matrix(two, measure)[1]
        return Similarity(measure, module, tuple(names), matrix, entry.kind == "similarity")

    # ---- which pairs ----

    def check(self, picked: Picked) -> tuple[tuple[str, str], ...]:
        """Pairs of layers by name, each in the network's order, none twice.

        Raises:
            ValueError: a layer is unknown, a pair is not two layers, or they differ in type or
                shape.
        """
        places = {n: (k, i) for k, names in self.kinds.items() for i, n in enumerate(names)}
        found: dict[tuple[str, str], None] = {}
        for pair in picked:
            if isinstance(pair, str) or len(pair) != 2:
                raise ValueError(f"a pair is two layers by name, got {pair!r}.")
            for name in pair:
                if name not in places:
                    known = ", ".join([*places][:3])
                    raise ValueError(
                        f"{self.settings.model} has no layer {name!r} with another one of its type "
                        f"and shape; there are {known}, ... ({len(places)} in all)."
                    )
            (kind, i), (other, j) = (places[name] for name in pair)
            if kind != other:
                raise ValueError(
                    f"{pair[0]!r} is a layer of type {kind} and {pair[1]!r} of type {other}; only "
                    "layers of one type and shape can be one. Choose two of the same type."
                )
            if i == j:
                raise ValueError(f"{pair[0]!r} cannot be fused with itself; choose two layers.")
            one, two = self.kinds[kind][min(i, j)], self.kinds[kind][max(i, j)]
            found[one, two] = None
        return tuple(found)

    def choosing(
        self, measure: str, module: str, among: str, neighbours: bool, picked: int | Picked
    ) -> Generator[Progress, None, tuple[Pair, ...]]:
        """The pairs of a question: those ``picked`` by name, or that many of the closest."""
        if isinstance(picked, int):
            shown = [*self.kinds] if among in EVERY else [self._known(module)]
            matrices = {}
            for kind in shown if picked else ():
                found = yield from self.comparing(measure, kind)
                matrices[kind] = (list(found.names), found.matrix)
            ranked = closest_pairs(
                matrices, measure, neighbours=neighbours, evenly=among == "evenly"
            )
            return tuple(ranked[:picked])
        kind_of = {name: kind for kind, names in self.kinds.items() for name in names}
        pairs = []
        for one, two in self.check(picked):
            found = yield from self.comparing(measure, kind_of[one])
            i, j = found.names.index(one), found.names.index(two)
            value = float(found.matrix[i, j] + found.matrix[j, i]) / 2
            distance = -value if found.larger_is_closer else value
            pairs.append(Pair(one, two, kind_of[one], distance))
        return tuple(pairs)

    # ---- questions ----

    def fuse(
        self,
        pairs: int | Picked,
        how: str = "mean",
        measure: str = "bures_wasserstein",
        module: str = "",
        *,
        among: str = "one",
        neighbours: bool = False,
    ) -> Answer:
        """Fuse a copy and measure it; see :meth:`fusing`."""
        return last_value(
            self.fusing(pairs, how, measure, module, among=among, neighbours=neighbours)
        )

    def fusing(
        self,
        pairs: int | Picked,
        how: str = "mean",
        measure: str = "bures_wasserstein",
        module: str = "",
        *,
        among: str = "one",
        neighbours: bool = False,
    ) -> Generator[Progress | Similarity | Answer, None, Answer]:
        """Fuse a copy and measure it, step by step: closing it between two steps cancels it.

        Yields progress; first how alike the layers are; then answers that hold what is known so
        far: bytes, then the score too. Returns the whole answer, with the times.

        Args:
            pairs: pairs of layers by name, or how many of the closest ones.
            how: mean, freeze, mix or transport, as in ``layer_fusion.fuse``.
            measure: of similarity; ranks pairs, and is what ``before`` and ``after`` show.
            module: type of layer that they show, the first one when empty.
            among: where the closest pairs are sought: in "one" type of layer, in every type
                "evenly", or the "closest" of all types together.
            neighbours: seek only neighbouring layers of one type.

        Raises:
            ValueError: a measure, type of layer or way to fuse that does not exist, or a pair that
                cannot be fused.
        """
        before = yield from self.comparing(measure, module)
        yield before
        chosen = yield from self.choosing(measure, module, among, neighbours, pairs)
        if not chosen:
            return self._answer(how, (), self.whole, self.whole, before, before)
        yield Progress(0, 3, "fusing")
        network = copy.deepcopy(self.network)
        fuse(network, [pair[:2] for pair in chosen], how, seed=self._mixing())  # type: ignore[arg-type]
        fused = self._stored(network)
        after = yield from self._matrix(network, measure, before.module, {})
        yield self._answer(how, chosen, self.whole, fused, before, after)
        yield Progress(1, 3, "reading the test rows")
        fused = replace(fused, score=self.problem.evaluate(network, "test"))
        yield self._answer(how, chosen, self.whole, fused, before, after)
        yield Progress(2, 3, "taking the time")
        took = self._latencies(self.network, network)
        whole, fused = (
            replace(c, latency=t) for c, t in zip((self.whole, fused), took, strict=True)
        )
        return self._answer(how, chosen, whole, fused, before, after)

    def _mixing(self) -> int:
        return derive(self.settings.seed, "mix") % 2**31

    def _stored(self, network: nn.Module) -> Costs:
        stored = stored_bytes(network)
        return Costs(stored, self.sizes.share(stored), distinct_layers(network))

    def _latencies(self, *networks: nn.Module) -> list[tuple[float, float, float]]:
        """Lower quartile, median and upper quartile of each, in seconds.

        Taken in turns, since a machine that others use is not as busy all the time.
        """
        seen: list[list[tuple[float, float, float]]] = [[] for _ in networks]
        for _ in range(TURNS):
            for network, times in zip(networks, seen, strict=True):
                took = compression.latency(network, self._row, repeats=self.repeats, warmup=1)
                times.append((took.lower, took.median, took.upper))
        return [tuple(np.median(times, axis=0).tolist()) for times in seen]

    def _placed(self, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        return {name: tensor.to(self.device) for name, tensor in batch.items()}

    def _answer(
        self,
        how: str,
        pairs: tuple[Pair, ...],
        whole: Costs,
        fused: Costs,
        before: Similarity,
        after: Similarity,
    ) -> Answer:
        rows = len(self.problem.rows["test"])
        unit = UNITS[type(self.problem).__name__]
        told = (self.problem.metric, rows, unit, self.about)
        return Answer(how, pairs, joined(pairs), *told, whole, fused, before, after)
