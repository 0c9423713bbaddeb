"""What pruning saves, as a table: all weights beside those that are left."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from widgets.text import Markup, markup, table

if TYPE_CHECKING:
    from workbench.experiments.what_if_answer import Answer


def costs(answer: Answer) -> Markup:
    """What is saved, and what it costs: the dense model beside the pruned one."""
    frame = answer.scalars

    def value(step: int, name: str, **labels: str) -> float:
        rows = frame[(frame["step"] == step) & (frame["name"] == name)]
        for label, wanted in labels.items():
            rows = rows[rows[label] == wanted]
        return float(rows["value"].mean())

    def both(name: str, write: Any, **labels: str) -> tuple[str, str]:
        return write(value(0, name, **labels)), write(value(1, name, **labels))

    def span(step: int) -> str:
        low, high = (1000 * value(step, "latency", quantile=q) for q in ("lower", "upper"))
        digits = 0 if high >= 100 else 1
        return f"{low:.{digits}f}\N{EN DASH}{high:.{digits}f} ms"

    def milliseconds(seconds: float) -> str:
        return f"{1000 * seconds:.1f} ms"

    def size(number: float) -> str:
        return f"{number / 1e6:.1f} MB" if number >= 1e6 else f"{number / 1e3:.0f} kB"

    def millions(number: float) -> str:
        return f"{number / 1e6:.3g} M"

    percent = "{:.1%}".format
    score = percent if answer.metric in ("accuracy", "f1") else "{:.3f}".format
    rows = [
        ("Weights left, of the prunable", *both("density", percent, scope="prunable")),
        ("Weights left, of all", *both("density", percent, scope="all")),
        (f"{answer.metric.capitalize()}, mean", *both(answer.metric, score)),
        ("Same answer as unpruned", *both("agreement", percent)),
        ("File without zeros", *both("bytes", size, form="sparse")),
        ("Multiply-adds, zeros skipped", *both("multiply_adds", millions, kernel="skips zeros")),
        ("Time of one text, median", *both("latency", milliseconds, quantile="median")),
        ("its middle half", span(0), span(1)),
    ]
    if not (frame["name"] == "agreement").any():
        rows = [row for row in rows if not row[0].startswith("Same answer")]
    return markup(
        '<h3>What is saved</h3><p class="wb-reading">{}</p>{}',
        "Zeros are not stored, so the file shrinks. Dense kernels multiply them all the same: the "
        "time does not fall by pruning single weights.",
        table(("", "dense", "pruned"), rows, caption=f"Pruned by {answer.method}"),
    )
