"""The little that figures compute: pick rows, join the density, summarise over seeds.

Figures read the long format of the records: one row per measured number with the columns
``step``, ``name``, ``value``, the labels of the scalar (``split``, ``subset``, ``phase``, ...) and
the configuration of the run (``method``, ``seed``, ``task``, ...).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from workbench.plotting import words

LONG = ("step", "name", "value", "method", "seed")
ALL = "density_all"
SPREADS = {
    "range": "lowest to highest seed",
    "sd": "one standard deviation",
    "t95": "95% t-interval of the mean",
}


def require(data: pd.DataFrame, columns: Iterable[str] = LONG) -> None:
    """Raise ``ValueError`` unless ``data`` is a frame with rows and these columns."""
    if not isinstance(data, pd.DataFrame):
        raise ValueError(
            f"expected a pandas DataFrame in the long format, got {type(data).__name__}; "
            "Store.scalars(records) gives one"
        )
    missing = [column for column in columns if column not in data.columns]
    if missing:
        raise ValueError(
            f"missing columns: {', '.join(missing)}; the data have "
            f"{words.listing([*data.columns]) or 'none'}; Store.scalars(records) gives them all"
        )
    if data.empty:
        raise ValueError("the data are empty; choose records that have finished at least one step")


def select(data: pd.DataFrame, name: str, **labels: Any) -> pd.DataFrame:
    """Rows of scalar ``name``, narrowed by labels; rows whose value is not finite are dropped.

    A label may be one value or a list of values; ``None`` keeps all. A label that this scalar does
    not carry at all is ignored, so that ``split="test"`` may be asked of every scalar.

    Raises:
        ValueError: a missing column, no such scalar, no such label, or only NaN.
    """
    require(data)
    rows = data[data["name"] == name]
    if rows.empty:
        held = words.listing(sorted(data["name"].unique()), 30)
        raise ValueError(f"no scalar named {name!r}; the data hold: {held}")
    for column, wanted in labels.items():
        if wanted is None or column not in rows.columns or rows[column].isna().all():
            continue
        allowed = [wanted] if isinstance(wanted, str) or np.isscalar(wanted) else list(wanted)
        kept = rows[rows[column].isin(allowed)]
        if kept.empty:
            held = words.listing(sorted(rows[column].dropna().unique(), key=str), 30)
            raise ValueError(f"{name!r} has no {column}={wanted!r}; it has: {held}")
        rows = kept
    rows = rows.assign(value=rows["value"].astype(float))
    finite = rows[np.isfinite(rows["value"])]
    if finite.empty:
        raise ValueError(f"every value of {name!r} is NaN or infinite, so there is nothing to draw")
    return finite


def unique(rows: pd.DataFrame, keys: Sequence[str], name: str) -> pd.DataFrame:
    """``rows`` if ``keys`` name each row once; else raise, naming the columns that still vary."""
    twice = rows.duplicated(list(keys), keep=False)
    if not twice.any():
        return rows
    first = rows[twice].groupby(list(keys), dropna=False, sort=False)
    vary = [
        column
        for column in rows.columns.difference([*keys, "value", "density", ALL, "update"])
        if (first[column].nunique(dropna=False) > 1).any()
    ]
    if not vary:
        raise ValueError(f"{name!r} was given twice for the same {', '.join(keys)}; drop copies")
    raise ValueError(
        f"{name!r} has several values for the same {', '.join(keys)}: "
        f"{', '.join(vary)} vary; narrow the data to one of each"
    )


def densities(data: pd.DataFrame) -> pd.DataFrame:
    """Remaining weights, indexed by method, seed and step: ``density`` of the prunable ones and,
    where it was measured, :data:`ALL` of all parameters."""
    keys = ["method", "seed", "step"]
    rows = select(data, "density", scope="prunable")
    out = unique(rows, keys, "density").set_index(keys)[["value"]]
    out = out.rename(columns={"value": "density"})
    if has_all(data):
        rows = unique(select(data, "density", scope="all"), keys, "density").set_index(keys)
        out[ALL] = rows["value"]
    return out


def has_all(data: pd.DataFrame) -> bool:
    """Whether the share of all parameters that remains was measured too."""
    return "scope" in data and bool(((data["name"] == "density") & (data["scope"] == "all")).any())


def against_density(
    data: pd.DataFrame, name: str, *, by: Sequence[str] = (), **labels: Any
) -> pd.DataFrame:
    """Rows of a scalar with the ``density`` of their method, seed and step joined.

    ``by`` names the further columns (``subset``, ``layer``, ...) that tell the rows of one run and
    step apart; anything else that tells them apart raises, so that nothing is averaged unseen.
    """
    rows = select(data, name, **labels)
    keys = ["method", "seed", "step"]
    by = [column for column in by if column in rows.columns]
    rows = unique(rows, [*keys, *by], name)
    rows = rows.drop(columns=["density", ALL], errors="ignore").join(densities(data), on=keys)
    if rows["density"].isna().any():
        lost = rows[rows["density"].isna()].iloc[0]
        raise ValueError(
            f"no density for method {lost['method']!r}, seed {lost['seed']}, step {lost['step']}; "
            "keep the 'density' rows of every run that is drawn"
        )
    return rows


def summarise(
    rows: pd.DataFrame, by: Sequence[str], *, spread: str = "range", value: str = "value"
) -> pd.DataFrame:
    """Mean over seeds with its spread: columns ``by``, ``mean``, ``low``, ``high``, ``n``.

    Several rows of one seed (subsets, layers) are averaged first, so that ``n`` counts seeds.
    ``spread`` is ``"range"`` (lowest to highest), ``"sd"`` (mean plus and minus the sample standard
    deviation) or ``"t95"`` (Student's 95% interval of the mean). With one seed, ``low`` and
    ``high`` are NaN: one run has no spread.
    """
    if spread not in SPREADS:
        raise ValueError(f"unknown spread {spread!r}; choose one of {', '.join(SPREADS)}")
    by = list(by)
    extra = [c for c in ("density", ALL) if c in rows.columns and c not in by and c != value]
    seeds = rows.groupby([*by, "seed"], sort=True)[[value, *extra]].mean().reset_index()
    groups = seeds.groupby(by, sort=True)
    out = groups[value].agg(["mean", "min", "max", "std", "count"])
    for column in extra:
        out[column] = groups[column].mean()
    if spread == "range":
        out["low"], out["high"] = out["min"], out["max"]
    else:
        half = out["std"]
        if spread == "t95":
            from scipy.special import stdtrit  # SciPy loads here first

            freedom = (out["count"] - 1).clip(lower=1)
            half = stdtrit(freedom, 0.975) * out["std"] / np.sqrt(out["count"])
        out["low"], out["high"] = out["mean"] - half, out["mean"] + half
    out.loc[out["count"] < 2, ["low", "high"]] = np.nan
    return out.rename(columns={"count": "n"}).drop(columns=["min", "max", "std"]).reset_index()


def seeds_note(summary: pd.DataFrame, spread: str, drawn: str = "band") -> str:
    """What the reader must know of seeds: ``mean over 3 seeds; band: lowest to highest seed``."""
    low, high = int(summary["n"].min()), int(summary["n"].max())
    if high == 1:
        return "one seed (n = 1), so no spread is shown"
    count = f"{high}" if low == high else f"{low} to {high}"
    return f"mean over {count} seeds; {drawn}: {SPREADS[spread]}"


def choose(values: Sequence[float], count: int) -> list[float]:
    """Up to ``count`` of the sorted distinct values, the first and the last among them."""
    values = sorted(set(values), reverse=True)
    if len(values) <= count:
        return values
    places = np.unique(np.linspace(0, len(values) - 1, count).round().astype(int))
    return [values[place] for place in places]


def nearest(rows: pd.DataFrame, density: float | None) -> pd.DataFrame:
    """Per method and seed the rows of the step whose density is nearest (``None``: the lowest).

    Runs whose density never changes (the unpruned control) give their last step.
    """
    kept = []
    for _, run in rows.groupby(["method", "seed"], sort=False):
        steps = run.groupby("step")["density"].mean().sort_index()
        if steps.max() == steps.min():
            step = steps.index[-1]
        else:
            step = steps.idxmin() if density is None else (steps - density).abs().idxmin()
        kept.append(run[run["step"] == step])
    return pd.concat(kept)
