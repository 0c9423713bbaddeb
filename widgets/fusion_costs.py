"""What fusing saves, as a table: the whole network beside the fused one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from widgets.text import Markup, markup, table

if TYPE_CHECKING:
    from workbench.experiments.what_if_fused_answer import Answer


def costs(answer: Answer) -> Markup:
    """Bytes, layers, score and time of both; dots are what is not measured yet."""
    from workbench.experiments.what_if_fused_answer import counted, written

    def both(write: Callable[..., str], *fields: str) -> tuple[str, ...]:
        found = []
        for side in (answer.whole, answer.fused):
            values = [getattr(side, name) for name in fields]
            found.append("\N{HORIZONTAL ELLIPSIS}" if None in values else write(*values))
        return tuple(found)

    rows = [
        ("Stored file", *both(size, "stored")),
        ("Bytes left of what may be fused", *both("{:.1%}".format, "share")),
        ("Layers to store", *both(str, "layers")),
        (
            f"{answer.metric.capitalize()} on {answer.tested}",
            *both(lambda value: written(answer.metric, value), "score"),
        ),
        (f"Time of one {answer.unit}, median", *both(median, "latency")),
        ("its middle half", *both(span, "latency")),
    ]
    number = counted(len(answer.pairs), "pair")
    caption = f"{number} fused by {answer.how}" if answer.pairs else "Nothing is fused"
    return markup(
        '<h3>What changes</h3><p class="wb-reading">{}</p>{}',
        "Layers that are one are stored once, so the file shrinks. Each is still computed in its "
        "own place: the time does not fall.",
        table(("", "whole", "fused"), rows, caption=caption),
    )


def size(number: float) -> str:
    """Bytes as people read them."""
    if number < 1e6:
        return f"{number / 1e3:.0f} kB"
    return f"{number / 1e6:.{1 if number >= 1e7 else 2}f} MB"


def median(took: tuple[float, float, float]) -> str:
    """The median of a time."""
    return f"{1000 * took[1]:.1f} ms"


def span(took: tuple[float, float, float]) -> str:
    """The quartiles of a time."""
    low, high = 1000 * took[0], 1000 * took[2]
    digits = 0 if high >= 100 else 1
    return f"{low:.{digits}f}\N{EN DASH}{high:.{digits}f} ms"
