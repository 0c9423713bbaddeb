"""Arrays of records as tidy frames: projected points, histograms, masks and similarities.

Works on anything with the attributes of a record: ``config`` (a mapping with ``method`` and
``seed``), ``scalars()`` (a long frame) and ``arrays(name)`` (values with ``step`` and ``labels``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from workbench.plotting import words
from workbench.plotting.similarity_frames import similarities, similarity_frame

__all__ = ["QUANTITIES", "histograms", "masks", "points", "similarities", "similarity_frame"]

QUANTITIES = ("weight", "gradient", "update")


def points(
    records: Iterable[Any], *, projection: str = "pca", class_names: Sequence[str] | None = None
) -> pd.DataFrame:
    """Projected representations: method, seed, step, density, x, y, class.

    ``projection`` is ``"pca"``, ``"lda"`` or ``"tsne"``; ``class_names`` replaces the numbers of
    the classes by their names.
    """
    parts = []
    for record in _told_apart(records):
        arrays = record.arrays("projection", projection=projection)
        if not arrays:
            continue
        numbers = np.asarray(record.arrays("classes")[0].values)
        shares = _densities(record)
        for array in arrays:
            values = np.asarray(array.values, dtype=float)
            if values.shape != (len(numbers), 2):
                raise ValueError(
                    f"projection at step {array.step} has the shape {values.shape}; "
                    f"{len(numbers)} classes need ({len(numbers)}, 2)"
                )
            run = _run(record)
            part = pd.DataFrame({**run, "step": array.step, "density": shares[array.step],
                                 "x": values[:, 0], "y": values[:, 1]})  # fmt: skip
            part["class"] = [_class(number, class_names) for number in numbers]
            parts.append(part)
    if not parts:
        raise ValueError(
            f"no record has the projection {projection!r}; "
            "run the experiment with projections='all'"
        )
    return pd.concat(parts, ignore_index=True)


def histograms(records: Iterable[Any], *, quantity: str = "weight") -> pd.DataFrame:
    """Histograms per layer and module: method, seed, step, density, layer, module, left, right,
    count. ``quantity`` is ``"weight"``, ``"gradient"`` or ``"update"``; the density is NaN in
    records of training without pruning, whose steps are epochs."""
    if quantity not in QUANTITIES:
        raise ValueError(f"unknown quantity {quantity!r}; choose one of {', '.join(QUANTITIES)}")
    parts = []
    for record in _told_apart(records):
        edges = {a.step: np.asarray(a.values, float) for a in record.arrays(f"{quantity}_edges")}
        shares = _densities(record)
        for array in record.arrays(f"{quantity}_histogram"):
            counts, edge = np.asarray(array.values, float), edges[array.step]
            layers, modules, bins = counts.shape
            if modules != len(words.MODULES) or len(edge) != bins + 1:
                raise ValueError(
                    f"histogram of shape {counts.shape} with {len(edge)} edges; expected "
                    f"(layers, {len(words.MODULES)}, bins) with bins + 1 edges"
                )
            index = pd.MultiIndex.from_product(
                [[str(layer) for layer in range(layers)], words.MODULES, range(bins)],
                names=["layer", "module", "bin"],
            )
            part = pd.DataFrame({"count": counts.ravel()}, index=index).reset_index()
            part["left"] = edge[part["bin"]]
            part["right"] = edge[part.pop("bin") + 1]
            density = shares[array.step] if shares else np.nan
            run = {**_run(record), "step": array.step, "density": density}
            parts.append(part.assign(**run))
    if not parts:
        raise ValueError(f"no record has histograms of the {quantity}s")
    return pd.concat(parts, ignore_index=True)


def masks(records: Iterable[Any]) -> pd.DataFrame:
    """Which sampled gradients the last update of each epoch kept: method, seed, step, layer,
    element, kept (1 or 0). Records without masks, where nothing is dropped, are passed over."""
    parts = []
    for record in _told_apart(records):
        for array in record.arrays("mask"):
            kept = np.asarray(array.values)
            if kept.ndim != 2:
                raise ValueError(f"mask of shape {kept.shape}; expected (layers, elements)")
            layer, element = np.indices(kept.shape).reshape(2, -1)
            part = pd.DataFrame({"layer": layer, "element": element, "kept": kept.ravel()})
            parts.append(part.assign(**_run(record), step=array.step))
    if not parts:
        raise ValueError(
            "no record has masks of its gradients; choose runs of a method that drops some"
        )
    return pd.concat(parts, ignore_index=True)


def _told_apart(records: Iterable[Any]) -> list[Any]:
    """``records`` if method and seed name each once; two runs would be drawn as one."""
    records = list(records)
    seen: dict[tuple[Any, Any], Mapping[str, Any]] = {}
    for record in records:
        run = _run(record)
        other = seen.setdefault((run["method"], run["seed"]), record.config)
        if other is not record.config:
            names = sorted({*other, *record.config})
            vary = [name for name in names if other.get(name) != record.config.get(name)]
            raise ValueError(
                f"several records of {run['method']!r} with seed {run['seed']}: "
                f"{words.listing(vary) or 'nothing'} differs; give one of each"
            )
    return records


def _run(record: Any) -> dict[str, Any]:
    config = record.config
    return {"method": config.get("method", "none"), "seed": config.get("seed", 0)}


def _densities(record: Any) -> dict[int, float]:
    rows = record.scalars()
    rows = rows[rows["name"] == "density"]
    if "scope" in rows.columns and (rows["scope"] == "prunable").any():
        rows = rows[rows["scope"] == "prunable"]
    return dict(zip(rows["step"], rows["value"], strict=True))


def _class(number: Any, names: Sequence[str] | None) -> str:
    if names is None:
        return f"class {int(number)}" if float(number).is_integer() else f"{number:g}"
    return str(names[int(number)])
