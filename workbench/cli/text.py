"""What the commands say: lines, tables, durations and sizes as people read them."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable, Sequence


class Problem(Exception):
    """Something the user can mend; shown as one message, without a traceback."""


def say(text: str = "") -> None:
    """A line of the result, on stdout."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def note(text: str) -> None:
    """A line beside the result, on stderr."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def duration(seconds: float) -> str:
    """``42 s``, ``3 min 20 s``, ``2 h 05 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s" if seconds >= 10 or whole == seconds else f"{seconds:.1f} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def size(count: float) -> str:
    """``840 kB``, ``83.5 MB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.0f} {unit}" if unit in ("B", "kB") else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError


def table(rows: Sequence[Sequence[object]], head: Sequence[str] = ()) -> str:
    """Rows in aligned columns, the last one ragged."""
    cells = [[str(cell) for cell in row] for row in ([head, *rows] if head else rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in cells)
    return "\n".join(f"  {line.rstrip()}" for line in lines)


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """A sentence for a name that is not one of ``known``, with the nearest that is."""
    known = [str(k) for k in known]
    spelled = {k.lower(): k for k in known}
    near = difflib.get_close_matches(name.lower(), spelled, 1)
    hint = f" Did you mean {spelled[near[0]]!r}?" if near else ""
    return f"There is no {what} {name!r}.{hint} There are: {', '.join(known) or 'none'}."
