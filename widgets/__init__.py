"""What people touch: panels, the record explorer, live runs, and the pages that hold them.

    from widgets import Explorer, Fusion, Live, WhatIf

Importing the package loads nothing heavy; torch loads when a run starts.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from widgets.cards import ChapterCards as ChapterCards
    from widgets.explorer import ExplorerState as ExplorerState
    from widgets.explorer_view import Explorer as Explorer
    from widgets.fusion import FusionState as FusionState
    from widgets.fusion_view import Fusion as Fusion
    from widgets.live import LiveRun as LiveRun
    from widgets.live_view import Live as Live
    from widgets.panel import Panel as Panel
    from widgets.panel import PanelState as PanelState
    from widgets.server import serve as serve
    from widgets.what_if import WhatIfState as WhatIfState
    from widgets.what_if_view import WhatIf as WhatIf

_HOME = {
    "ChapterCards": "cards",
    "Explorer": "explorer_view",
    "ExplorerState": "explorer",
    "Fusion": "fusion_view",
    "FusionState": "fusion",
    "Live": "live_view",
    "LiveRun": "live",
    "Panel": "panel",
    "PanelState": "panel",
    "WhatIf": "what_if_view",
    "WhatIfState": "what_if",
    "serve": "server",
}

__all__ = [*_HOME]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"widgets.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
