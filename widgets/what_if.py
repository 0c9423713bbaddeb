"""The state of the what-if panel: a model that is loaded once and pruned again and again."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from widgets.asking import AskState
from workbench.experiments.what_if import QUESTION, WhatIf
from workbench.observations import Observation

if TYPE_CHECKING:
    from workbench.experiments.what_if_model import LoadedModel


class WhatIfState(AskState):
    """What to load, and which weights go: criterion, scope and density are the question."""

    experiment = WhatIf
    question = QUESTION
    helps = {"model": "Encoder to prune.", "task": "Text task."}
    loaded: LoadedModel | None

    def _load_steps(self, wanted: WhatIf) -> Generator[Observation, None, LoadedModel]:
        if wanted.head == "probe":
            return (yield from wanted.loading())
        record = yield from self._collected(wanted.fine_tuning())
        trained = type(wanted.fine_tuning())(**record.config)
        return (yield from wanted.loading(record.checkpoint(), trained))

    def _ask_steps(self, asked: WhatIf) -> Generator[Any, None, Any]:
        assert self.loaded is not None
        return self.loaded.pruning(asked.criterion, asked.scope, asked.density)
