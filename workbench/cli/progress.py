"""One line on stderr that says how far a run is and how long it will take."""

from __future__ import annotations

import shutil
import sys
import time
from typing import TYPE_CHECKING, TextIO

from workbench.cli.text import duration

if TYPE_CHECKING:
    from workbench.observations import Progress

BAR = 20


class Clock:
    """Time left, from the rate since the present stretch of work began."""

    def __init__(self) -> None:
        self.total = -1
        self.done = 0
        self.first = 0
        self.began = 0.0

    def left(self, progress: Progress, now: float) -> float | None:
        """Seconds left, or None while that cannot be told.

        Another total or a step back is another stretch of work, with a rate of its own.
        """
        if progress.total != self.total or progress.done < self.done:
            self.total, self.first, self.began = progress.total, progress.done, now
        self.done = progress.done
        worked = self.done - self.first
        if worked <= 0 or now <= self.began:
            return None
        return (self.total - self.done) * (now - self.began) / worked


class Line:
    """Draws progress in place on a terminal; elsewhere writes a line now and then."""

    def __init__(self, stream: TextIO | None = None, quiet: bool = False) -> None:
        self.stream = stream or sys.stderr
        self.live = self.stream.isatty()
        self.quiet = quiet
        self.clock = Clock()
        self._every = 0.1 if self.live else 10.0
        self._last = float("-inf")
        self._drawn = False

    def show(self, progress: Progress) -> None:
        """Draw ``progress``, unless something was drawn a moment ago."""
        now = time.monotonic()
        left = self.clock.left(progress, now)
        if self.quiet or (now - self._last < self._every and progress.done < progress.total):
            return
        self._last = now
        text = describe(progress, left)
        if self.live:
            width = shutil.get_terminal_size().columns - 1
            self.stream.write(f"\r{text[:width]:<{width}}")
            self._drawn = True
        else:
            self.stream.write(text + "\n")
        self.stream.flush()

    def clear(self) -> None:
        """Take the drawn line away, so that the next output starts on an empty one."""
        if self._drawn:
            self.stream.write("\r" + " " * (shutil.get_terminal_size().columns - 1) + "\r")
            self.stream.flush()
            self._drawn = False


def describe(progress: Progress, left: float | None) -> str:
    """``[#####...] 45/230  20%  1 min 40 s left  step 3``."""
    share = min(1.0, progress.done / progress.total) if progress.total else 0.0
    bar = "#" * int(share * BAR)
    parts = [f"[{bar:.<{BAR}}] {progress.done}/{progress.total}", f"{share:4.0%}"]
    if left is not None and share < 1:
        parts.append(f"{duration(left)} left")
    return "  ".join([*parts, *filter(None, [progress.text])])
