"""A figure as PNG, SVG and words, its data as CSV, and the code that makes it again.

The same figure gives the same bytes: no dates, no random identifiers.
"""

from __future__ import annotations

import io
import math
import re
import threading
from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib import rc_context
from matplotlib.figure import Figure

from workbench.plotting import registry, style

# Only the settings that savefig reads from rcParams alone; one thread at a time.
_SVG: Any = {"svg.fonttype": "none", "svg.hashsalt": "workbench"}
_LOCK = threading.Lock()

_DANGEROUS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def to_png(figure: Figure, *, scale: float = 2.0) -> bytes:
    """PNG bytes, ``scale`` pixels to the CSS pixel (2 is sharp on most screens)."""
    buffer = io.BytesIO()
    with _LOCK:
        figure.savefig(buffer, format="png", dpi=style.DPI * scale, metadata={"Software": None})
    return buffer.getvalue()


def to_svg(figure: Figure, *, title: str | None = None) -> bytes:
    """SVG bytes with text as text; ``title`` goes into the metadata."""
    buffer = io.BytesIO()
    metadata = {"Date": None, "Creator": None} | ({"Title": title} if title else {})
    with _LOCK, rc_context(_SVG):
        figure.savefig(buffer, format="svg", metadata=metadata)
    return buffer.getvalue()


def to_csv(frame: pd.DataFrame) -> bytes:
    """UTF-8 CSV that a spreadsheet shows as text and numbers and never runs as a formula.

    Text that begins like a formula (``=``, ``+``, ``-``, ``@``, a tab or a line break) gets an
    apostrophe in front, in cells and in headers; numbers stay numbers. Lines end as RFC 4180 asks,
    so that a line break inside a cell is quoted, whichever it is.
    """
    safe = frame.rename(columns=lambda name: _inert(str(name)))
    safe = safe.apply(lambda column: column if _plain(column) else column.map(_inert))
    return safe.to_csv(index=False, lineterminator="\r\n").encode("utf-8")


def relevant(name: str, data: pd.DataFrame, **options: Any) -> pd.DataFrame:
    """The rows of ``data`` that the figure ``name`` reads, without columns that are empty."""
    chosen = registry.family(name)
    if chosen.data == "scalars":
        wanted = {*chosen.scalars, options.get("metric", "accuracy" if chosen.metrics else "")}
        wanted |= set(chosen.further)
        wanted |= {*options.get("measures", ())}
        data = data[data["name"].isin(sorted(wanted))]
    for column in chosen.columns:
        data = data[data[column] == options.get(column, data[column].iloc[0])]
    return data.dropna(axis="columns", how="all")


def alt_text(name: str, data: pd.DataFrame, **options: Any) -> str:
    """The figure ``name`` in a sentence, with the numbers that it shows."""
    chosen = registry.family(name)
    return chosen.describe(data, **{**chosen.fixed, **options})


def code(
    name: str,
    query: Mapping[str, Any],
    *,
    store: str | None = None,
    theme: str = "light",
    width: float = 720,
    data_options: Mapping[str, Any] | None = None,
    **options: Any,
) -> str:
    """Python that makes the figure ``name`` again from the records.

    Args:
        query: what ``Store.find`` is asked: ``experiment`` (its name) and settings, each one
            value or a list of values.
        store: path of a store; the user's own, over the one that ships, by default.
        data_options: options of :func:`~workbench.plotting.gather`, such as ``projection``; of
            ``claims.assess`` for the figure of the claims.
        options: options of :func:`~workbench.plotting.figure`. Of the frame ``reported`` only the
            number of its table is written: the lines read it from where the tables ship.

    Only text, numbers, booleans, ``None`` and lists or mappings of them are accepted, so that the
    lines hold nothing but literals.
    """
    chosen, options = registry.family(name), dict(options)
    imports: list[str] = ["from workbench import plotting"]
    read: list[str] = []
    query = dict(query)
    experiment = query.pop("experiment", None)
    found = f"store.find({', '.join(_arguments([experiment] if experiment else [], query))})"
    opened = "default_store()" if store is None else f"Store({_literal(store)})"
    further = _arguments([], data_options or {})
    if chosen.data == "claims":
        imports.append("from workbench.experiments import claims")
        own = [f"claims.CLAIMS[{_literal(experiment)}]"] if experiment else []
        gathered = f"claims.assess({', '.join(['store.scalars(records)', *own, *further])})"
    else:
        called = [*_arguments([name], {}), "store", "records", *further]
        gathered = f"plotting.gather({', '.join(called)})"
    if name == "reported":
        file = f"table_{_table(options.pop('reported', None)).replace('.', '_')}.csv"
        imports[:0] = ["import pandas", ""]
        read = [
            'tables = Path(plotting.__file__).resolve().parents[2] / "data" / "thesis"',
            f'reported = pandas.read_csv(tables / "{file}", dtype={{"table": str}})',
        ]
    drawn = _arguments([name], {}) + ["data"]
    drawn += ["reported=reported"] if read else []
    drawn += _arguments([], {"theme": theme, "width": width, **options})
    return "\n".join(
        [
            "from pathlib import Path",
            "",
            *imports,
            f"from workbench.records import {opened.partition('(')[0]}",
            "",
            f"store = {opened}",
            f"records = {found}",
            f"data = {gathered}",
            *read,
            f"figure = plotting.figure({', '.join(drawn)})",
            f"Path({_literal(name + '.png')}).write_bytes(plotting.to_png(figure))",
            "",
        ]
    )


def _table(reported: Any) -> str:
    """The number of the table that a frame of reported numbers holds, such as ``9.1``."""
    held = "table" in getattr(reported, "columns", ())
    numbers = {str(number) for number in reported["table"]} if held else set()
    if len(numbers) != 1 or not re.fullmatch(r"[0-9]+\.[0-9]+", found := next(iter(numbers))):
        raise ValueError(
            f"{type(reported).__name__} cannot be written as code, unless it is one table of the "
            "thesis with its number in the column 'table'"
        )
    return found


def _arguments(positional: list[Any], named: Mapping[str, Any]) -> list[str]:
    plain = {k: v for k, v in named.items() if k.isidentifier()}
    other = {k: v for k, v in named.items() if k not in plain}
    written = [_literal(value) for value in positional]
    written += [f"{name}={_literal(value)}" for name, value in plain.items()]
    return written + ([f"**{_literal(other)}"] if other else [])


def _literal(value: Any) -> str:
    """``repr`` of plain values only; text is written with double quotes where it can be."""
    if value is None or isinstance(value, (bool, int)):
        return repr(value)
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else f'float("{value}")'
    if isinstance(value, str):
        text = repr(value)
        return (
            f'"{text[1:-1]}"' if text[0] == "'" and '"' not in text and "\\'" not in text else text
        )
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_literal(item) for item in value)}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{_literal(k)}: {_literal(v)}' for k, v in value.items())}}}"
    raise ValueError(
        f"{type(value).__name__} cannot be written as code; give text, numbers, booleans or lists"
    )


def _plain(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column) or pd.api.types.is_datetime64_any_dtype(column)


def _inert(value: Any) -> Any:
    if not isinstance(value, str) or not value.startswith(_DANGEROUS):
        return value
    try:
        float(value)
    except ValueError:
        return "'" + value
    return value
