"""Figures drawn by the server, so that a page shows a recorded result before its kernel runs.

The figure is the one that the notebook's record explorer shows first.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import threading
from pathlib import Path
from typing import Any

from widgets.cards import explored
from widgets.theme import THEMES, WIDTHS

USUAL = [("light", 960), ("dark", 960), ("light", 360), ("light", 1100)]


class Previews:
    """The previews of the notebooks of one folder, drawn once each and kept in memory."""

    def __init__(self, folder: str | Path, log: logging.Logger | None = None) -> None:
        self.folder = Path(folder)
        self.log = log or logging.getLogger(__name__)
        self._drawn: dict[tuple[str, str, int], bytes] = {}
        self._words: dict[str, dict[str, str]] = {}
        self._drawing = threading.Lock()

    @functools.cached_property
    def experiments(self) -> dict[str, str]:
        """The experiment that each notebook explores, for those that explore one."""
        paths = sorted(self.folder.glob("*.ipynb"))
        return {path.stem: name for path in paths if (name := explored(path))}

    def warm(self) -> None:
        """Draw the usual sizes in a thread, so that the first visitor need not wait."""
        threading.Thread(target=self._draw_all, name="previews", daemon=True).start()

    def words(self, name: str) -> dict[str, str] | None:
        """Title, reading and text alternative of a figure; ``None`` where nothing is recorded."""
        if name in self._words or name not in self.experiments:
            return self._words.get(name)
        try:
            if self._explorer(self.experiments[name]).empty:
                return None
        except Exception:
            self.log.exception("no preview of %s", name)
            return None
        return {"title": "Recorded results", "reading": "", "alt": "A recorded figure"}

    async def png(self, name: str, theme: str, width: int) -> bytes | None:
        """The figure of notebook ``name``, or ``None`` where there is none."""
        if name not in self.experiments or theme not in THEMES or width not in WIDTHS:
            return None
        key = (name, theme, width)
        if key not in self._drawn:
            await asyncio.to_thread(self._draw, *key)
        return self._drawn.get(key)

    def _draw_all(self) -> None:
        for theme, width in USUAL:
            for name in self.experiments:
                self._draw(name, theme, width)

    def _draw(self, name: str, theme: str, width: int) -> None:
        with self._drawing:
            if (name, theme, width) in self._drawn:
                return
            try:
                explorer = self._explorer(self.experiments[name])
                if explorer.empty:  # nothing is wrong: nothing was recorded
                    return
                shown = explorer.drawn(theme=theme, width=width)
            except Exception:
                self.log.exception("no preview of %s", name)
                return
            self._drawn[name, theme, width] = shown.png
            self._words[name] = {
                "title": shown.title,
                "reading": shown.reading,
                "alt": shown.alt,
            }

    @functools.cache  # noqa: B019 - as long-lived as the server
    def _explorer(self, experiment: str) -> Any:
        from widgets.explorer import ExplorerState

        return ExplorerState(experiment)
