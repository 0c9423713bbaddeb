"""Work that waits until the page is there: drawing the figures of a dashboard.

A kernel that draws while the page asks for its widgets answers too slowly, and the page gives up
("model not found"). So in a dashboard one thread draws, and it begins when the page's script has
said, through the bridge of :mod:`widgets.theme`, that its widgets are in their place. By then the
page has also said its theme and width, so that no figure is drawn twice.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from widgets.theme import current_page

LONGEST = 600.0
"""Seconds after which work begins even if no page has said that it is there. On a busy machine a
page can take a minute, and work that begins while it asks for its widgets is what must not be."""


class Queue:
    """Calls what it is given in a thread, in order. What waits already is not called twice."""

    def __init__(self, longest: float = LONGEST) -> None:
        self._longest = longest
        self._waiting: dict[Callable[[], Any], None] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._busy = False
        self._open = threading.Event()

    def open(self) -> None:
        """Begin: the page is there."""
        self._open.set()

    def add(self, call: Callable[[], Any], *, urgent: bool = False) -> None:
        """Call ``call`` when its turn comes; urgent calls come before all others."""
        with self._changed:
            if urgent and call not in self._waiting:
                self._waiting = {call: None, **self._waiting}
            self._waiting.setdefault(call)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="figures", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def here(self) -> bool:
        """Whether this is the queue's own thread."""
        return threading.current_thread() is self._thread

    def wait(self, seconds: float = 60) -> bool:
        """Wait until nothing is left to do; whether that was so in time."""
        with self._changed:
            return self._changed.wait_for(lambda: not (self._waiting or self._busy), seconds)

    def _work(self) -> None:
        self._open.wait(self._longest)
        while True:
            with self._changed:
                self._busy = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._waiting)
                call = next(iter(self._waiting))
                del self._waiting[call]
                self._busy = True
            call()


_queue: list[Queue] = []


def queue() -> Queue:
    """The one queue of this kernel; it opens when its page is there."""
    if not _queue:
        made = Queue()
        page = current_page()
        page.observe(lambda change: made.open(), "here")
        if page.here:
            made.open()
        _queue.append(made)
    return _queue[0]


def add(call: Callable[[], Any], *, urgent: bool = False) -> None:
    """Call ``call`` in the kernel's queue."""
    queue().add(call, urgent=urgent)


def here() -> bool:
    """Whether this runs in the kernel's queue."""
    return bool(_queue) and _queue[0].here()
