"""The measurements that claims are judged by, read from a frame of records."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.experiments import claimed_fusion, claimed_tuning
from workbench.experiments.languages import SOURCE

if TYPE_CHECKING:
    import pandas as pd

    from workbench.experiments.claims import Claim

INDO_EUROPEAN = frozenset("bg de el en es fa fr hi it nl pl pt ru sv uk ur".split())
"""Languages of the tasks here that are of English's family; the thesis says "typologically or
etymologically further" and lists none."""
MODULES = {
    "query": "query, key, value",
    "key": "query, key, value",
    "value": "query, key, value",
    "attention output": "attention output",
    "intermediate": "feed-forward",
    "output": "feed-forward",
}
_KEYS = ["method", "task", "seed", "step"]


def values(frame: pd.DataFrame, claim: Claim, metric: str, highest_density: float) -> pd.DataFrame:
    """Rows of what ``claim`` compares: method (or group), task, seed, step and value."""
    if claim.quantity in claimed_tuning.QUANTITIES:
        return claimed_tuning.values(frame, claim, metric)
    if claim.quantity in claimed_fusion.QUANTITIES:
        return claimed_fusion.values(frame, claim)
    if claim.within:
        frame = frame[frame["method"] == claim.within]
    steps = _steps(frame, claim.density, highest_density)
    if claim.quantity == "recovery":
        found = _recovery(frame, metric)
    elif claim.quantity == "share_kept":
        found = _share_kept(frame, metric, {claim.better, claim.against})
    elif claim.quantity == "weight_norm":
        rows = frame[frame["name"] == "weight_norm"]
        found = rows.assign(method=rows["module"].map(MODULES))[[*_KEYS, "value"]]
    else:
        found = _plain(frame, claim.quantity, metric)
    return found[found["step"].isin(steps)]


def _steps(frame: pd.DataFrame, density: float | None, highest: float) -> pd.Index:
    """The pruning steps that count."""
    import numpy as np

    rows = frame[(frame["name"] == "density") & (frame["scope"] == "prunable")]
    sparse = rows.groupby("step")["value"].min()
    if density is not None:
        far = (np.log(sparse) - np.log(density)).abs()
        return far.index[far == far.min()]
    steps = sparse.index[sparse <= highest + 1e-9]
    if len(steps) == 0:
        raise ValueError(f"No pruning step has a density of {highest} or less.")
    return steps


def _plain(frame: pd.DataFrame, quantity: str, metric: str) -> pd.DataFrame:
    after = frame[frame["phase"] == "after"]
    if quantity in ("score", "zero_shot"):
        chosen = (after["name"] == metric) & (after["split"] == "test")
        if quantity == "zero_shot":
            chosen &= after["subset"] != SOURCE
    elif quantity == "mutual_information":
        chosen = (after["name"] == quantity) & (after["estimator"] == "knn")
        chosen &= after["role"] == "estimate"
    else:
        chosen = after["name"] == quantity
    return after[chosen][[*_KEYS, "value"]]


def _recovery(frame: pd.DataFrame, metric: str) -> pd.DataFrame:
    rows = frame[(frame["name"] == metric) & (frame["split"] == "validation")]
    phases = rows.pivot_table(index=_KEYS, columns="phase", values="value")
    return (phases["after"] - phases["before"]).rename("value").reset_index()


def _share_kept(frame: pd.DataFrame, metric: str, groups: set[str]) -> pd.DataFrame:
    """Each language's test score over the dense network's, by group of languages."""
    chosen = (frame["name"] == metric) & (frame["split"] == "test") & (frame["phase"] == "after")
    rows = frame[chosen]
    run = ["method", "task", "seed", "subset"]
    dense = rows[rows["step"] == 0].set_index(run)["value"].rename("dense")
    kept = rows.join(dense, on=run)
    kept = kept[kept["dense"] > 0].assign(value=lambda k: k["value"] / k["dense"])
    if "English" in groups:
        kept["method"] = ["English" if s == SOURCE else "other languages" for s in kept["subset"]]
    else:
        kept = kept[kept["subset"] != SOURCE]
        near = kept["subset"].isin(INDO_EUROPEAN)
        kept["method"] = near.map({True: "Indo-European", False: "other families"})
    return kept[[*_KEYS, "value"]]
