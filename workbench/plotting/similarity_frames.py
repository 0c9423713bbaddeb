"""How alike layers are, as a tidy frame: from records, or from matrices just computed.

Columns: ``model``, ``task``, ``seed`` and ``method`` (whose pairs are marked), ``measure`` and its
``kind``, ``module``, ``row`` and ``column`` (numbers of two layers, in order) with ``row_name`` and
``column_name``, ``value``, ``chosen`` (whether the pair is fused) and ``step`` (since which one; 0
if never).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from workbench.plotting import words

Pairs = Iterable[Sequence[Any]]


def similarity_frame(
    matrices: Mapping[tuple[str, str], tuple[Sequence[str], Any]],
    *,
    pairs: Mapping[str, Pairs] | Pairs = (),
    kind: str = "distance",
    model: str = "",
    task: str = "",
    seed: int = 0,
    method: str = "none",
) -> pd.DataFrame:
    """The frame of matrices as :func:`workbench.metrics.similarity.similarity_matrix` gives them.

    Args:
        matrices: (measure, module) -> names (L,) and matrix (L, L).
        pairs: the pairs that are fused: of names, for all modules together, or module -> pairs of
            names or of numbers. A name may lack its ending ``.weight``.
        kind: ``"similarity"`` or ``"distance"``, for measures that have no entry in ``MEASURES``.
        model, task, seed, method: written beside each row.

    Raises:
        ValueError: no matrices, a matrix that is not (L, L), or a pair of layers that is not there.
    """
    if not matrices:
        raise ValueError("there are no matrices; give (measure, module) -> (names, matrix)")
    run = {"model": model, "task": task, "seed": seed, "method": method}
    by_module = isinstance(pairs, Mapping)
    everywhere: list[Sequence[Any]] = [] if isinstance(pairs, Mapping) else [*pairs]
    known = {name for names, _ in matrices.values() for one in names for name in _called(one)}
    for pair in everywhere:
        if lost := [name for name in pair if name not in known]:
            raise ValueError(f"no layer {words.listing(lost)}; there are: {_some(known)}")
    parts = []
    for (measure, module), (names, matrix) in matrices.items():
        if isinstance(pairs, Mapping):
            own = [*pairs.get(module, ())]
        else:
            here = {name for one in names for name in _called(one)}
            own = [pair for pair in everywhere if here.issuperset(pair)]
        steps = dict.fromkeys((_numbers(pair, names) for pair in own), 1)
        parts.append(_long(measure, module, names, matrix, steps, kind).assign(**run))
    if by_module and (extra := {*pairs} - {module for _, module in matrices}):
        raise ValueError(f"pairs of {_some(extra)}, of which there is no matrix")
    return pd.concat(parts, ignore_index=True)


def similarities(
    records: Iterable[Any], *, method: str | None = None, step: int | None = None
) -> pd.DataFrame:
    """The frame of the matrices that ``records`` keep, with the pairs that one method fused.

    The matrices are those of the whole network, so one record of a network has them for all: that
    of the control.

    Args:
        records: of any methods and seeds.
        method: whose pairs are marked; the first that has any by default.
        step: the pairs of this step; of the last one by default.

    Raises:
        ValueError: no record keeps matrices, a method without pairs, or several runs of it.
    """
    whole: dict[tuple[Any, ...], list[Any]] = {}
    fused: dict[tuple[Any, ...], dict[str, list[Any]]] = {}
    for record in records:
        config = record.config
        network = (config.get("model", ""), config.get("task", ""), config.get("seed", 0))
        if arrays := record.arrays("similarity"):
            whole.setdefault(network, arrays)
        if arrays := record.arrays("pairs"):
            own = fused.setdefault(network, {})
            name = str(config.get("method", ""))
            if name in own:
                raise ValueError(f"several records of {name!r} on {network}; give one of each")
            own[name] = arrays
    if not whole:
        raise ValueError(
            "no record keeps how alike the layers are; give that of the control ('none') as well"
        )
    held = words.order_methods(name for own in fused.values() for name in own)
    if method is not None and method not in held:
        raise ValueError(f"{method!r} fused no pairs; there are those of: {words.listing(held)}")
    method = method or next(iter(held), "none")
    parts = []
    for network, arrays in whole.items():
        chosen = _steps(fused.get(network, {}).get(method, []), step)
        run = dict(zip(("model", "task", "seed"), network, strict=True))
        for array in arrays:
            measure, module = array.labels["measure"], array.labels["module"]
            names = array.labels["names"].split(",")
            steps = {pair: since for (kind, pair), since in chosen.items() if kind == module}
            part = _long(measure, module, names, array.values, steps, "distance")
            parts.append(part.assign(**run, method=method))
    return pd.concat(parts, ignore_index=True)


def _steps(arrays: Sequence[Any], step: int | None) -> dict[tuple[str, tuple[int, int]], int]:
    """Module and pair -> the first step at which it was fused, of the pairs of ``step``."""
    since: dict[tuple[str, tuple[int, int]], int] = {}
    last = max((array.step for array in arrays if step is None or array.step <= step), default=0)
    kept = set()
    for array in sorted(arrays, key=lambda array: array.step):
        for i, j in np.asarray(array.values, dtype=int).reshape(-1, 2).tolist():
            key = (array.labels["module"], (i, j))
            since.setdefault(key, array.step)
            if array.step == last:
                kept.add(key)
    return {key: first for key, first in since.items() if key in kept}


def _long(
    measure: str, module: str, names: Sequence[str], matrix: Any, steps: Mapping[Any, int],
    kind: str,
) -> pd.DataFrame:  # fmt: skip
    from workbench.metrics.similarity import MEASURES  # imports SciPy

    values, count = np.asarray(matrix, dtype=float), len(names)
    if values.shape != (count, count):
        raise ValueError(
            f"{measure} of {module}: a matrix of shape {values.shape} for {count} names; expected "
            f"({count}, {count})"
        )
    since = np.zeros((count, count), dtype=int)
    for (i, j), step in steps.items():
        since[i, j] = since[j, i] = step
    row, column = np.indices(values.shape).reshape(2, -1)
    named = np.asarray(names, dtype=object)
    return pd.DataFrame(
        {
            "measure": measure,
            "module": module,
            "row": row,
            "column": column,
            "row_name": named[row],
            "column_name": named[column],
            "value": values.ravel(),
            "chosen": since.ravel() > 0,
            "step": since.ravel(),
            "kind": MEASURES[measure].kind if measure in MEASURES else kind,
        }
    )


def _numbers(pair: Sequence[Any], names: Sequence[str]) -> tuple[int, int]:
    """A pair of names or numbers as two numbers into ``names``."""
    known = {name: place for place, one in enumerate(names) for name in _called(one)}
    found = [known.get(one, one) for one in pair]
    if len(found) != 2 or not all(
        isinstance(one, (int, np.integer)) and 0 <= one < len(names) for one in found
    ):
        raise ValueError(f"no pair {tuple(pair)} in {_some(names)}")
    return int(found[0]), int(found[1])


def _called(name: str) -> tuple[str, str]:
    return str(name), str(name).removesuffix(".weight")


def _some(names: Iterable[str]) -> str:
    return words.listing(sorted(names), 8)
