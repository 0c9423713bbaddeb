"""The state of the what-if panel: a model that is loaded once and asked again and again.

:class:`WhatIfState` and its thread know no widgets. A question that comes while another is being
answered takes its place: between two steps the older one is dropped.
"""

from __future__ import annotations

import atexit
import threading
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from traitlets import Any as AnyTrait
from traitlets import Enum, HasTraits, Int, Unicode
from traitlets.log import get_logger

from widgets import live
from widgets.panel import PanelState
from workbench.experiments.what_if import QUESTION, WhatIf, in_words
from workbench.observations import Observation, Progress

if TYPE_CHECKING:
    from workbench.experiments.what_if_model import LoadedModel
    from workbench.records import Store

STATES = ("idle", "loading", "cancelling", "asking", "ready", "failed")
QUIET = 0.12
"""Seconds without a further change before a question is taken up."""
BUSY = "waiting for the run of this page to end"


class Dropped(Exception):
    """A newer question, another model or the end of the page came in between."""


class WhatIfState(HasTraits):
    """One model at a time. Traits change in the panel's own thread.

    ``settings`` holds what to load and what to ask; a change of criterion, scope or density is a
    question of its own once a model is loaded. ``models`` are further models on offer, by folder or
    hub id: in a dashboard nothing else can be named.
    """

    state = Enum(STATES, default_value="idle")
    done, total = Int(0), Int(0)
    loads = Int(0, help="How many models were loaded.")
    text = Unicode("")
    answer = AnyTrait(None, allow_none=True)
    failure = AnyTrait(None, allow_none=True)
    """The error that ended the last loading or question."""

    def __init__(
        self,
        profile: str = "laptop",
        *,
        store: Any = None,
        models: Sequence[str] = (),
        trusted: bool | None = None,
        **settings: Any,
    ) -> None:
        super().__init__()
        self.settings = PanelState(WhatIf, profile, trusted=trusted)
        self._offer(models)
        for name, value in settings.items():
            self.settings.values = {
                **self.settings.values, name: self.settings.controls[name].check(value)
            }  # fmt: skip
        self._store = store
        self.loaded: LoadedModel | None = None
        self._changed = threading.Condition()
        self._load: WhatIf | None = None
        self._ask = False
        self._ended = self._working = False
        self._cancelled = threading.Event()
        self._thread: threading.Thread | None = None
        self.settings.observe(self._maybe_ask, "values")
        atexit.register(self.close)

    def _offer(self, models: Sequence[str]) -> None:
        """Put further models on the menu; say nothing of free text where there is none."""
        controls = self.settings.controls
        offered = dict.fromkeys((*controls["model"].choices, *models))
        controls["model"] = replace(controls["model"], choices=tuple(offered))
        if not self.settings.trusted:
            controls["model"] = replace(controls["model"], help="Encoder to prune.")
            controls["task"] = replace(controls["task"], help="Text task.")

    @property
    def busy(self) -> bool:
        """Whether a model is being loaded."""
        return self.state in ("loading", "cancelling")

    @property
    def stale(self) -> bool:
        """Whether the settings name another model, task or head than the loaded one's."""
        if self.loaded is None:
            return False
        held = self.loaded.settings.config()
        return any(self.settings.values[name] != held[name] for name in held.keys() - {*QUESTION})

    def load(self) -> None:
        """Load what the settings say, then answer its first question.

        Raises:
            ValueError: a setting is wrong, or a model is being loaded already.
        """
        wanted = self.settings.experiment()
        if self.busy:
            raise ValueError("a model is being loaded already; cancel that first.")
        with self._changed:
            self._cancelled.clear()
            self.done = self.total = 0
            self.failure, self.text, self.state = None, "starting", "loading"
            self._post(load=wanted)

    def cancel(self) -> None:
        """Stop loading, after the step that is going on."""
        if self.state == "loading":
            self.state = "cancelling"
            self._cancelled.set()

    def close(self) -> None:
        """End the thread, when the kernel ends."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        self._cancelled.set()
        if self._thread not in (None, threading.current_thread()):
            self._thread.join(5.0)  # type: ignore[union-attr]
        atexit.unregister(self.close)

    def wait(self, seconds: float = 60) -> bool:
        """Wait until nothing is left to do; whether that was so in time."""
        with self._changed:
            return self._changed.wait_for(self._idle, seconds)

    def _idle(self) -> bool:
        return not (self._load or self._ask or self._working)

    def _maybe_ask(self, change: Any) -> None:
        new, old = change["new"], change["old"]
        if self.loaded is not None and any(new[name] != old.get(name) for name in QUESTION):
            self._post(ask=True)

    def _post(self, load: WhatIf | None = None, ask: bool = False) -> None:
        with self._changed:
            self._load, self._ask = load or self._load, ask or self._ask
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="what if", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    # ---- the thread ----

    def _work(self) -> None:
        while True:
            with self._changed:
                self._working = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._ended or self._load or self._ask)
                while self._load is None and self._changed.wait(QUIET):
                    pass  # another change came; wait until it is quiet
                if self._ended:
                    return
                wanted, self._load, self._ask = self._load, None, False
                self._working = True
            try:
                if wanted is not None:
                    self._loading(wanted)
                self._asking()
                self._say("ready", "")
            except Dropped:
                self._say("idle" if self.loaded is None else "ready", "cancelled")
            except Exception as error:
                get_logger().error("widgets: the what-if panel failed", exc_info=True)
                self.failure = error
                self._say("failed", "")

    def _say(self, state: str, text: str) -> None:
        """Change the state, unless another model is asked for already."""
        with self._changed:
            if self._load is None:
                self.text = text
                self.state = state

    def _loading(self, wanted: WhatIf) -> None:
        """Free the old model, then load the new one."""
        self.loaded, self.answer = None, None
        with _Alone(self, self._cancelled.is_set):
            self.loaded = self._through(self._load_steps(wanted), self._cancelled.is_set)
        self.loads += 1

    def _asking(self) -> None:
        if self.loaded is None:
            return
        asked = self.settings.experiment()
        self.failure = None
        with _Alone(self, self._overtaken):
            self._say("asking", "")
            steps = self.loaded.pruning(asked.criterion, asked.scope, asked.density)
            self.answer = self._through(steps, self._overtaken)

    def _overtaken(self) -> bool:
        return bool(self._ended or self._load or self._ask)

    def _through(self, steps: Generator[Any, None, Any], dropped: Any) -> Any:
        """Take step after step; show what they say; return what they return."""
        with closing(steps):
            while True:
                try:
                    step = next(steps)
                except StopIteration as ended:
                    return ended.value
                if dropped():
                    raise Dropped
                if isinstance(step, Progress):
                    self.done, self.total, self.text = step.done, step.total, step.text
                else:
                    self.answer = step

    def _load_steps(self, wanted: WhatIf) -> Generator[Observation, None, LoadedModel]:
        if wanted.head == "probe":
            return (yield from wanted.loading())
        from workbench.records import default_store

        store: Store = self._store or default_store()
        record = _recorded(store, wanted)
        if record is None:
            needed = wanted.fine_tuning()
            yield Progress(0, needed.updates, "reading the data and the model")
            with in_words(), closing(store.stream(needed, keep_checkpoint=True)) as run:
                yield from (seen for seen in run if isinstance(seen, Progress))
            record = store.get(store.key(needed))
        trained = type(wanted.fine_tuning())(**record.config)
        return (yield from wanted.loading(record.checkpoint(), trained))


def _recorded(store: Store, wanted: WhatIf) -> Any:
    """A finished fine-tuning of this model on this task: that of these settings, else the newest.

    Its key is asked again, so that neither other data nor another version of the code is taken.
    """
    needed = wanted.fine_tuning()
    if (own := store.finished(store.key(needed), with_checkpoint=True)) is not None:
        return own
    held = store.find(needed.name, status="finished", task=wanted.task, model=wanted.model)
    for record in reversed(held):
        try:
            again = type(needed)(**record.config)
        except (TypeError, ValueError):
            continue  # written by another version, whose settings were others
        if record.has_checkpoint and store.key(again) == record.key:
            return record
    return None


class _Alone:
    """Nothing else of this page computes meanwhile: random states and thread counts are shared."""

    def __init__(self, panel: WhatIfState, dropped: Any) -> None:
        self.panel, self.dropped = panel, dropped

    def __enter__(self) -> None:
        while not live._one.acquire(timeout=0.2):
            self.panel.text = BUSY
            if self.dropped():
                raise Dropped

    def __exit__(self, *error: object) -> None:
        live._one.release()
