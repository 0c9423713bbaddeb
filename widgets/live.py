"""A run that can be watched: started, cancelled and resumed without stopping the page.

:class:`LiveRun` is the state and the thread; it knows no widgets. Iterating ``Store.stream`` is
the run, closing it is the cancellation, and starting again resumes from the last checkpoint.
"""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING, Any

from traitlets import Enum, Float, HasTraits, Int, Unicode
from traitlets.log import get_logger

from workbench.observations import Progress, Scalar

if TYPE_CHECKING:
    import pandas

    from workbench.records import Store

STATES = ("idle", "running", "cancelling", "cancelled", "finished", "failed")
PAUSE = 0.5
"""Seconds between two updates of the page."""
WORDS = {
    "cancelled": "cancelled; what was measured is kept",
    "recorded": "nothing ran: these settings were run before, and this is their record. "
    "Another setting or seed is a new run",
}
"""What is said of an end, where its name alone is not enough."""
_one = threading.Lock()


class LiveRun(HasTraits):
    """One run at a time. Traits change in the run's own thread, at most twice a second.

    ``version`` counts redraws: observe it and draw :meth:`frame`.
    """

    state = Enum(STATES, default_value="idle")
    done = Int(0)
    total = Int(0)
    text = Unicode("")
    seconds_left = Float(None, allow_none=True)
    error = Unicode("")
    key = Unicode("")
    version = Int(0)

    def __init__(self, store: Callable[[], Store] | Store) -> None:
        super().__init__()
        self._store = store
        self._stop = threading.Event()
        self._news = threading.Event()
        self._rows: dict[tuple, dict[str, Any]] = {}
        self._latest: Progress | None = None
        self._pace = Pace()
        self._thread: threading.Thread | None = None
        self.failure: BaseException | None = None
        atexit.register(self.close)

    @property
    def busy(self) -> bool:
        return self.state in ("running", "cancelling")

    def start(self, experiment: Any) -> None:
        """Run ``experiment``, or go on with it where it was cancelled.

        Raises:
            ValueError: a run of this page is still going.
        """
        if self.busy or not _one.acquire(blocking=False):
            raise ValueError("a run of this page is still going; cancel it first.")
        self._stop.clear()
        self._rows, self._latest, self._pace, self.failure = {}, None, Pace(), None
        self.done = self.total = 0
        self.error, self.text, self.seconds_left = "", "starting", None
        self.state = "running"
        try:
            self._thread = threading.Thread(
                target=self._run, args=(experiment,), name="live run", daemon=True
            )
            self._thread.start()
        except BaseException:
            self.state = "idle"
            _one.release()
            raise

    def cancel(self) -> None:
        """Stop after the current update. What was measured is kept."""
        if self.state == "running":
            self.state = "cancelling"
            self._stop.set()

    def join(self, timeout: float | None = None) -> None:
        """Wait for the thread."""
        if self._thread is not None:
            self._thread.join(timeout)

    def close(self) -> None:
        """Cancel and wait a moment, when the kernel ends."""
        self._stop.set()
        if self._thread is not threading.current_thread():
            self.join(5.0)
        atexit.unregister(self.close)

    def frame(self) -> pandas.DataFrame:
        """What was observed so far, in the long format of the records."""
        import pandas

        return pandas.DataFrame([*self._rows.values()])

    def _run(self, experiment: Any) -> None:
        ended, ran = "failed", False
        drawer = threading.Thread(target=self._draw, daemon=True)
        try:
            store = self._store() if callable(self._store) else self._store
            self.key = store.key(experiment)
            columns = self._earlier(store, experiment)
            drawer.start()
            with closing(store.stream(experiment)) as run:
                for observation in run:
                    ran = True
                    self._take(observation, columns)
                    if self._stop.is_set():
                        break
            ended = "cancelled" if self._stop.is_set() else "finished"
            if ended == "finished" and not self._rows:
                self._earlier(store, experiment)
        except BaseException as error:
            self.failure = error
            get_logger().error("widgets: the live run failed", exc_info=True)
            self.error = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        finally:
            _one.release()
            self._finish(ended, drawer, ran)

    def _finish(self, ended: str, drawer: threading.Thread, ran: bool) -> None:
        self._latest = None
        self.seconds_left = None
        recorded = ended == "finished" and not ran
        self.text = WORDS.get("recorded" if recorded else ended, ended)
        if ended == "finished" and ran:
            self.done = self.total = max(self.total, 1)
        self.state = ended
        self._news.set()
        if drawer.is_alive():
            drawer.join(10.0)
        self.version += 1

    def _earlier(self, store: Store, experiment: Any) -> dict[str, Any]:
        """Take the rows of an earlier part of this run; return the columns that all rows share."""
        from workbench.records import UnknownRecord

        shared: dict[str, Any] = {"key": self.key, "experiment": experiment.name}
        # Lists cannot tell rows apart, tuples can.
        lists = {n: tuple(v) for n, v in experiment.config().items() if isinstance(v, list)}
        shared |= experiment.config() | lists
        if isinstance(method := getattr(experiment, "method", None), str):
            shared["method"] = method
        try:
            frame = store.get(self.key).scalars()
        except UnknownRecord:
            return shared
        for row in frame.astype(object).where(frame.notna(), None).to_dict("records"):
            self._keep({**shared, **{name: v for name, v in row.items() if v is not None}})
        self._news.set()
        return shared

    def _take(self, observation: Any, columns: dict[str, Any]) -> None:
        if isinstance(observation, Scalar):
            row = {"step": observation.step, "name": observation.name, "value": observation.value}
            self._keep({**columns, **row, **observation.labels})
        elif isinstance(observation, Progress):
            self._latest = observation
            self._pace.at(observation)
        else:
            return
        self._news.set()

    def _keep(self, row: dict[str, Any]) -> None:
        """Keep a row once: what came after the last checkpoint is observed again on resuming."""
        self._rows[tuple(sorted((k, v) for k, v in row.items() if k != "value"))] = row

    def _draw(self) -> None:
        """Tell the page what is new, never more often than every :data:`PAUSE` seconds."""
        while self.busy:
            self._news.wait()
            self._news.clear()
            if not self.busy:
                return
            if (latest := self._latest) is not None and self.state == "running":
                self.done, self.total, self.text = latest.done, latest.total, latest.text
                self.seconds_left = self._pace.left(latest)
            self.version += 1
            time.sleep(PAUSE)


class Pace:
    """How long a run still takes, from the updates it made since it (or its phase) began."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.first: tuple[float, Progress] | None = None

    def at(self, progress: Progress) -> None:
        """Note progress; another total or a step back begins a phase of its own."""
        if (
            self.first is None
            or progress.total != self.first[1].total
            or (progress.done < self.first[1].done)
        ):
            self.first = (self.clock(), progress)

    def left(self, progress: Progress) -> float | None:
        """Seconds left, or ``None`` as long as nobody can know."""
        if self.first is None:
            return None
        since, start = self.first
        made = progress.done - start.done
        if made <= 0:
            return None
        return (self.clock() - since) / made * (progress.total - progress.done)
