"""The state of the fusion panel: a network that is loaded once, and layers of it that become one.

:class:`FusionState` knows no widgets. Pairs are either the closest ones, as many as ``count`` says,
or those that were picked by hand.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from traitlets import Any as AnyTrait
from traitlets import Dict, Int

from widgets.asking import AskState
from workbench.experiments.what_if_fused import QUESTION, WhatIfFused, fitting
from workbench.observations import Observation

if TYPE_CHECKING:
    from workbench.experiments.what_if_fused_model import LoadedNetwork


class FusionState(AskState):
    """What to load, what makes layers alike, and which pairs are fused."""

    experiment = WhatIfFused
    question = QUESTION
    helps = {"model": "Network to fuse layers of.", "task": "What it is tested on."}
    loaded: LoadedNetwork | None

    similar = AnyTrait(None, allow_none=True)
    """How alike the layers in view are, a ``Similarity``: known before the answer."""
    picked = AnyTrait(None, allow_none=True)
    """Pairs of layer names that were picked by hand, or None for the closest ones."""
    kinds = Dict(help="Type of layer -> number of layers, of the loaded network.")
    most = Int(0, help="How many closest pairs there are.")

    def __init__(
        self,
        profile: str = "laptop",
        *,
        store: Any = None,
        models: Sequence[str] = (),
        trusted: bool | None = None,
        **settings: Any,
    ) -> None:
        self._own_models = tuple(models)
        super().__init__(profile, store=store, models=models, trusted=trusted, **settings)
        self._fit()
        self.settings.observe(self._refit, "values")

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """The pairs of layer names that are fused now, or are about to be."""
        if self.picked is not None:
            return self.picked
        return tuple((p.first, p.second) for p in self.answer.pairs) if self.answer else ()

    def pick(self, one: str, other: str, chosen: bool) -> None:
        """Take a pair among those that are fused, or out of them; the others stay.

        Raises:
            ValueError: nothing is loaded, or there is no such pair.
        """
        if self.loaded is None:
            raise ValueError("nothing is loaded; press Load first.")
        (pair,) = self.loaded.check([(one, other)])
        others = tuple(held for held in self.pairs if held != pair)
        self.picked = (*others, pair) if chosen else others
        self._post(ask=True)

    def closest(self) -> None:
        """Take the closest pairs again, instead of those that were picked."""
        if self.picked is not None:
            self.picked = None
            if self.loaded is not None:
                self._post(ask=True)

    # ---- which networks go with a task ----

    def models(self) -> tuple[str, ...]:
        """The networks on offer for the task: those that read it, and the author's own."""
        fit = fitting(self.settings.values["task"])
        if not self.settings.trusted:  # a visitor has nothing fetched from the hub
            fit = tuple(name for name in fit if "/" not in name)
        return tuple(dict.fromkeys((*fit, *self._own_models)))

    def _offer(self, models: Sequence[str]) -> None:
        super()._offer(models)
        self._every = self.settings.controls["model"].choices

    def _fit(self) -> None:
        """Offer what goes with the task; leave a network of one's own as it is."""
        controls, named = self.settings.controls, self.settings.values["model"]
        controls["model"] = replace(controls["model"], choices=self.models())
        if named in self._every and named not in self.models():
            self.settings.set("model", self.models()[0])

    def _refit(self, change: Any) -> None:
        new, old = change["new"], change["old"]
        if new["task"] != old["task"]:
            self._fit()
        if new["count"] != old["count"]:
            self.closest()  # whoever moves the slider wants what it says
        if self.loaded is not None:
            self.most = self._most(new)

    def _most(self, values: dict[str, Any]) -> int:
        module = values["module"] if values["module"] in self.kinds else ""
        return self.loaded.most(module, values["among"]) if self.loaded else 0

    # ---- the thread ----

    def _forget(self) -> None:
        super()._forget()
        self.similar, self.picked = None, None

    def _take(self, step: Any) -> None:
        if hasattr(step, "matrix"):
            self.similar = step
        else:
            super()._take(step)

    def _load_steps(self, wanted: WhatIfFused) -> Generator[Observation, None, LoadedNetwork]:
        needed = wanted.requirements().get("whole")
        if needed is None:
            loaded = yield from wanted.loading()
        else:
            record = yield from self._collected(needed)
            trained = type(needed)(**record.config)
            loaded = yield from wanted.loading(record.checkpoint(), trained)
        if self.settings.values["module"] not in loaded.kinds:
            self.settings.set("module", "")
        self.kinds = {kind: len(names) for kind, names in loaded.kinds.items()}
        self.most = loaded.most(self.settings.values["module"], wanted.among)
        return loaded

    def _ask_steps(self, asked: WhatIfFused) -> Generator[Any, None, Any]:
        assert self.loaded is not None
        pairs = asked.count if self.picked is None else self.picked
        return self.loaded.fusing(
            pairs, asked.fusing, asked.measure, asked.module,
            among=asked.among, neighbours=asked.neighbours,
        )  # fmt: skip
