"""A panel over something large that is loaded once and asked again and again.

:class:`AskState` and its thread know no widgets. A question that comes while another is being
answered takes its place: between two steps the older one is dropped.
"""

from __future__ import annotations

import atexit
import threading
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from traitlets import Any as AnyTrait
from traitlets import Enum, HasTraits, Int, Unicode
from traitlets.log import get_logger

from widgets import live
from widgets.panel import PanelState
from workbench.experiments.what_if import in_words
from workbench.observations import Observation, Progress

if TYPE_CHECKING:
    from workbench.records import Store

STATES = ("idle", "loading", "cancelling", "asking", "ready", "failed")
QUIET = 0.12
"""Seconds without a further change before a question is taken up."""
BUSY = "waiting for the run of this page to end"


class Dropped(Exception):
    """A newer question, another model or the end of the page came in between."""


class AskState(HasTraits):
    """One model at a time. Traits change in the panel's own thread.

    ``settings`` holds what to load and what to ask; a change of a setting in ``question`` is a
    question of its own once a model is loaded. ``models`` are further models on offer, by folder or
    hub id: in a dashboard nothing else can be named.

    A subclass says how to load (``_load_steps``) and how to ask (``_ask_steps``): generators of
    progress, and of answers that are known in part, which return the model and the whole answer.
    """

    experiment: ClassVar[Any]
    question: ClassVar[tuple[str, ...]]
    helps: ClassVar[dict[str, str]]
    """What a dashboard says of model and task, where no folder can be named."""

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
        self.settings = PanelState(self.experiment, profile, trusted=trusted)
        self._offer(models)
        for name, value in settings.items():
            self.settings.values = {
                **self.settings.values, name: self.settings.controls[name].check(value)
            }  # fmt: skip
        self._store = store
        self.loaded: Any = None
        self._changed = threading.Condition()
        self._load: Any = None
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
            for name, text in self.helps.items():
                controls[name] = replace(controls[name], help=text)

    @property
    def busy(self) -> bool:
        """Whether a model is being loaded."""
        return self.state in ("loading", "cancelling")

    @property
    def stale(self) -> bool:
        """Whether the settings name another model or task than the loaded one's, or the like."""
        if self.loaded is None:
            return False
        held = self.loaded.settings.config()
        names = held.keys() - {*self.question}
        return any(self.settings.values[name] != held[name] for name in names)

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
        if self.loaded is not None and any(new[name] != old.get(name) for name in self.question):
            self._post(ask=True)

    def _post(self, load: Any = None, ask: bool = False) -> None:
        with self._changed:
            self._load, self._ask = load or self._load, ask or self._ask
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._work, name=self.experiment.name, daemon=True
                )
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
                get_logger().error("widgets: the panel %s failed", self.experiment.name,
                                   exc_info=True)  # fmt: skip
                self.failure = error
                self._say("failed", "")

    def _say(self, state: str, text: str) -> None:
        """Change the state, unless another model is asked for already."""
        with self._changed:
            if self._load is None:
                self.text = text
                self.state = state

    def _loading(self, wanted: Any) -> None:
        """Free the old model, then load the new one."""
        self._forget()
        with _Alone(self, self._cancelled.is_set):
            self.loaded = self._through(self._load_steps(wanted), self._cancelled.is_set)
        self.loads += 1

    def _asking(self) -> None:
        if self.loaded is None:
            return
        steps = self._ask_steps(self.settings.experiment())
        self.failure = None
        with _Alone(self, self._overtaken):
            self._say("asking", "")
            self._take(self._through(steps, self._overtaken))

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
                    self._take(step)

    # ---- what a subclass says ----

    def _load_steps(self, wanted: Any) -> Generator[Observation, None, Any]:
        raise NotImplementedError

    def _ask_steps(self, asked: Any) -> Generator[Any, None, Any]:
        raise NotImplementedError

    def _take(self, step: Any) -> None:
        """Show what is known of an answer."""
        self.answer = step

    def _forget(self) -> None:
        """Drop the loaded model and what is known of it."""
        self.loaded, self.answer = None, None

    def _collected(self, needed: Any) -> Generator[Observation, None, Any]:
        """The record of a training that a model starts from: found, or made now."""
        from workbench.records import default_store

        store: Store = self._store or default_store()
        record = recorded(store, needed)
        if record is None:
            yield Progress(0, needed.updates, "reading the data and the model")
            with in_words(), closing(store.stream(needed, keep_checkpoint=True)) as run:
                yield from (seen for seen in run if isinstance(seen, Progress))
            record = store.get(store.key(needed))
        return record


def recorded(store: Store, needed: Any) -> Any:
    """A finished training of this model on this task: that of these settings, else the newest that
    was trained for as many updates at least.

    Its key is asked again, so that neither other data nor another version of the code is taken.
    """
    if (own := store.finished(store.key(needed), with_checkpoint=True)) is not None:
        return own
    held = store.find(needed.name, status="finished", task=needed.task, model=needed.model)
    for record in reversed(held):
        try:
            again = type(needed)(**record.config)
        except (TypeError, ValueError):
            continue  # written by another version, whose settings were others
        enough = again.updates >= needed.updates
        if enough and record.has_checkpoint and store.key(again) == record.key:
            return record
    return None


class _Alone:
    """Nothing else of this page computes meanwhile: random states and thread counts are shared."""

    def __init__(self, panel: AskState, dropped: Any) -> None:
        self.panel, self.dropped = panel, dropped

    def __enter__(self) -> None:
        while not live._one.acquire(timeout=0.2):
            self.panel.text = BUSY
            if self.dropped():
                raise Dropped

    def __exit__(self, *error: object) -> None:
        live._one.release()
