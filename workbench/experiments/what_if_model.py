"""A loaded model that is pruned, measured and given back unchanged, as often as one likes."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from workbench.experiments import scoring
from workbench.experiments.fine_tuning import split_arrays
from workbench.experiments.text import Inputs, measure
from workbench.experiments.what_if import WhatIf, last_value
from workbench.experiments.what_if_answer import Answer, method_words
from workbench.observations import Checkpoint, Progress, Scalar

if TYPE_CHECKING:
    from workbench.methods.pruning import Masks

KEPT = 4
"""Criteria whose scores are kept: each costs as much memory as the prunable weights."""
BATCH = 16
AT_ONCE = {"phase": "before"}
"""As in the records: what was measured right after pruning, before any retraining."""


class LoadedModel:
    """A model with its data. Between two questions its weights are the dense ones, bit for bit."""

    def __init__(self, settings: WhatIf, inputs: Inputs, model: nn.Module) -> None:
        from workbench.methods import pruning

        self.settings, self.inputs = settings, inputs
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.model = model.to(self.device).eval()
        self.prunable = pruning.prunable_parameters(model)
        self.about = ""
        self._scores: dict[str, Mapping[str, Tensor]] = {}
        self._keep_dense()

    # ---- the head ----

    def fit_probe(self) -> Iterator[Progress]:
        """Fit the head on the frozen encoder's representations of the training texts.

        Raises:
            ValueError: the task labels words.
        """
        from threadpoolctl import threadpool_limits

        from workbench.experiments.inputs import EncodedWords, predict
        from workbench.experiments.probe import linear_probe

        if isinstance(self.inputs.train, EncodedWords):
            raise ValueError(
                f"{self.settings.task} labels every word, and a probe reads whole texts; choose "
                "head = 'fine-tuned'."
            )
        _, hidden = predict(self.model, self.inputs.train)
        yield Progress(2, 4, "fitting the probe")
        with threadpool_limits(1, user_api="blas"):
            weight, bias = linear_probe(hidden, self.inputs.train.labels, self.inputs.classes)
        head: Any = self.model.classifier
        with torch.no_grad():
            head.weight.copy_(torch.from_numpy(weight))
            head.bias.copy_(torch.from_numpy(bias))
        self.about = (
            f"a linear probe (no fine-tuned classifier), fitted on the unpruned encoder's "
            f"representations of {len(hidden)} training texts"
        )

    def take_tuned(self, tuned: Checkpoint, updates: int) -> None:
        """Take the weights of a fine-tuning."""
        from workbench.experiments.training import load_trainable

        load_trainable(self.model, split_arrays(tuned)["model"])
        self._keep_dense()
        self.about = f"the classifier that was fine-tuned for {updates} updates before pruning"

    def _keep_dense(self) -> None:
        self.dense = {name: p.detach().clone() for name, p in self.prunable.items()}

    # ---- scores and masks ----

    def scores(self, criterion: str) -> Mapping[str, Tensor]:
        """What each weight of the dense model is worth; kept for the next question.

        Raises:
            ValueError: no such criterion, or it is not defined for this model.
        """
        if criterion in self._scores:
            self._scores[criterion] = self._scores.pop(criterion)  # the latest is last
            return self._scores[criterion]
        seed = self.settings.seed
        found = scoring.scores(self.model, criterion, seed=seed, batches=self._batches)
        self._scores = dict([*self._scores.items(), (criterion, found)][-KEPT:])
        return found

    def masks(self, criterion: str, scope: str, density: float) -> Masks:
        """Which weights stay, at an exact density."""
        outputs = int(self._transposed())
        return scoring.choose(self.scores(criterion), scope, density, outputs=outputs)

    @contextmanager
    def pruned(self, masks: Masks) -> Iterator[nn.Module]:
        """The pruned model; on leaving, every weight is the dense one again."""
        masks.apply(self.model)
        try:
            yield self.model
        finally:
            self.restore()

    @torch.no_grad()
    def restore(self) -> None:
        """Put the dense weights back."""
        for name, parameter in self.prunable.items():
            parameter.copy_(self.dense[name])

    def _transposed(self) -> bool:
        """Whether weights are (inputs, outputs), as in GPT-2."""
        names = {type(module).__name__ for module in self.model.modules()}
        return "Conv1D" in names

    def _batches(self) -> Iterator[dict[str, Tensor]]:
        from workbench.experiments.training import batches

        cut = batches(self.inputs.train.lengths, BATCH, self.settings.seed, "scoring")
        for indices in cut[: self.settings.scoring_batches]:
            batch = self.inputs.train.collate(indices)
            yield {name: tensor.to(self.device) for name, tensor in batch.items()}

    # ---- questions ----

    def prune(self, criterion: str, scope: str, density: float) -> Answer:
        """Prune, measure, restore; see :meth:`pruning`."""
        return last_value(self.pruning(criterion, scope, density))

    def pruning(
        self, criterion: str, scope: str, density: float
    ) -> Generator[Progress | Answer, None, Answer]:
        """Prune, measure and restore, step by step: closing it between two steps cancels it.

        Yields progress, and answers that hold what is known so far: first the weights, then the
        scores too. Returns the whole answer, with the times.

        Raises:
            ValueError: a criterion, scope or density that does not exist or keeps nothing.
        """
        question = (criterion, scope, density)
        yield Progress(0, 4, f"scoring by {criterion.replace('_', ' ')}")
        self.scores(criterion)
        yield Progress(1, 4, "choosing weights")
        masks = self.masks(*question)
        with self.pruned(masks):
            rows, counts = [*self._weights(1, masks)], self._counts()
            yield self._answer(question, rows, counts)
            yield Progress(2, 4, "reading the test texts")
            rows += self._scored(1)
            yield self._answer(question, rows, counts)
            yield Progress(3, 4, "taking the time")
            rows += [*self._work(1), *self._latency(1)]
        rows += self._latency(0)  # the machine may be busier now than when the model was loaded
        return self._answer(question, rows, counts)

    def measure_dense(self) -> None:
        """What the answers are compared with."""
        from workbench.methods.pruning.packing import pack
        from workbench.metrics import compression, norms

        others = [t for n, t in self.model.state_dict().items() if n not in self.prunable]
        packed = [pack(t) or (t,) for t in others]
        self.other_bytes = sum(t.numel() * t.element_size() for parts in packed for t in parts)
        self.grid = norms.grid(self.model)
        self.dense_counts, self.edges = norms.histograms(self.model, "weight")
        once = compression.latency(self.model, self._shape(), repeats=3).median
        self.repeats = int(np.clip(0.15 / once, 5, 20))
        self.dense_predictions: np.ndarray | None = None
        self.dense_rows = [*self._weights(0, None), *self._work(0), *self._scored(0)]

    def _weights(self, step: int, masks: Masks | None) -> Iterator[Scalar]:
        """Density, norms and bytes."""
        from workbench.metrics import compression, norms

        held = masks or {n: torch.ones_like(p, dtype=torch.bool) for n, p in self.dense.items()}
        for scope, value in compression.density(self.model, held).items():
            yield Scalar(step, "density", value, {"scope": scope})
        for name, rows in (
            ("layer_density", compression.layer_densities(self.model, held)),
            ("weight_norm", norms.weight_norms(self.model)),
        ):
            for layer, module, value in rows:
                yield Scalar(step, name, value, {"layer": str(layer), "module": module})
        dense = compression.bytes_in_memory(self.model)
        for form, size in (("dense", dense), ("sparse", self.other_bytes + self._packed())):
            yield Scalar(step, "bytes", float(size), {"form": form})

    def _work(self, step: int) -> Iterator[Scalar]:
        """Multiply-adds of one forward pass."""
        from workbench.metrics import compression

        work = compression.multiply_adds(self.model, *self._shape())
        for kernel, count in (("dense", work.dense), ("skips zeros", work.surviving)):
            yield Scalar(step, "multiply_adds", float(count), {"kernel": kernel})

    def _packed(self) -> int:
        """Bytes of the prunable weights in a sparse file, as ``pruning.save_sparse`` packs them."""
        total = 0
        for parameter in self.prunable.values():
            number, size = parameter.numel(), parameter.element_size()
            sparse = math.ceil(number / 8) + size * int(torch.count_nonzero(parameter))
            total += min(sparse, number * size)
        return total

    def _scored(self, step: int) -> Iterator[Scalar]:
        """The task's scores per domain or language, and agreement with the dense model."""
        from workbench.experiments.inputs import predict
        from workbench.metrics.fidelity import agreement

        logits, _ = predict(self.model, self.inputs.test)
        yield from measure(step, self.inputs, "test", logits, **AT_ONCE)
        if self.inputs.classes > 1:
            if self.dense_predictions is None:
                self.dense_predictions = logits
            value = float(agreement(logits, self.dense_predictions))
            yield Scalar(step, "agreement", value, {"split": "test", **AT_ONCE})

    def _latency(self, step: int) -> Iterator[Scalar]:
        from workbench.metrics import compression

        took = compression.latency(self.model, self._shape(), repeats=self.repeats, warmup=2)
        for name in ("lower", "median", "upper"):
            yield Scalar(step, "latency", getattr(took, name), {"quantile": name})

    def _shape(self) -> tuple[int, int]:
        """What is timed: one text of the longest length that was read."""
        return 1, max(self.inputs.test.lengths)

    def _counts(self) -> np.ndarray:
        from workbench.metrics import norms

        return norms.histograms(self.model, "weight", edges=self.edges)[0]

    def _answer(
        self, question: tuple[str, str, float], rows: list[Scalar], counts: np.ndarray
    ) -> Answer:
        import pandas

        method = method_words(*question[:2])
        shared = {"method": method, "seed": self.settings.seed}
        told = [
            {**shared, "step": s.step, "name": s.name, "value": s.value, **s.labels}
            for s in (*self.dense_rows, *rows)
        ]
        layers, modules = self.grid
        ridges = []
        density = next(s.value for s in rows if s.labels.get("scope") == "prunable")
        for step, share, table in ((0, 1.0, self.dense_counts), (1, density, counts)):
            index = pandas.MultiIndex.from_product(
                [map(str, layers), modules, range(table.shape[2])], names=["layer", "module", "bin"]
            )
            part = pandas.DataFrame({"count": table.ravel()}, index=index).reset_index()
            part["left"], part["right"] = self.edges[part["bin"]], self.edges[part["bin"] + 1]
            ridges.append(part.drop(columns="bin").assign(**shared, step=step, density=share))
        metric = next(s.name for s in self.dense_rows if s.labels.get("split") == "test")
        about = f"{self.about}; {len(self.inputs.test)} test texts in all"
        scalars, histograms = pandas.DataFrame(told), pandas.concat(ridges, ignore_index=True)
        return Answer(*question, metric, about, scalars, histograms)
