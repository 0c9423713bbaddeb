"""One way to say how far a download is: a tqdm bar, silence, or the caller's own function."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

Report: TypeAlias = Callable[[int, int, str], None]
Progress: TypeAlias = Report | bool | None


@contextmanager
def reporting(progress: Progress, text: str) -> Iterator[Report]:
    """Yield ``report(done_bytes, total_bytes, text)``.

    ``progress``: None or True draws a bar on stderr, False is silent, a function is called.
    """
    if callable(progress):
        yield progress
        return
    if progress is False:
        yield lambda done, total, text: None
        return
    from tqdm import tqdm

    with tqdm(desc=text, unit="B", unit_scale=True, leave=False) as bar:

        def report(done: int, total: int, text: str) -> None:
            bar.total = total or None
            bar.update(done - bar.n)

        yield report
