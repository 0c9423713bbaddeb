"""The measurements that the claims of chapter 8 are judged by.

===========  =======================================================================
one_shot     test score of the network made small at once, nothing retrained
retrained    test score at the same share of bytes, reached in steps with retraining
closeness    chance that two neighbouring layers of a kind are closer to each other
             than two that are not neighbours
===========  =======================================================================

A score is an accuracy, or the mean log-likelihood of a token in nats (minus the logarithm of the
perplexity), so that higher is better and differences mean the same everywhere. Runs on one and the
same trained network are no independent sample of networks: they count as one pair.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from workbench.experiments.claims import Claim

QUANTITIES = ("one_shot", "retrained", "closeness")
PHASES = {"one_shot": "one_shot", "retrained": "after"}
SCORES = ("accuracy", "perplexity")
_RUN = ["method", "task", "model", "seed"]


def values(frame: pd.DataFrame, claim: Claim) -> pd.DataFrame:
    """Rows of what ``claim`` compares: method (or kind of pair), task, seed and value.

    ``seed`` says what is paired: the seed, or the name of a network that came trained.
    """
    if claim.quantity == "closeness":
        if "measure" not in frame.columns:
            return frame.head(0)[["method", "task", "seed", "step", "value"]]
        rows = frame[(frame["name"] == "neighbour_closeness") & (frame["measure"] == claim.within)]
        near = rows.groupby(_RUN)["value"].mean().reset_index()
        far = near.assign(method=claim.against, value=1 - near["value"])
        both = [near.assign(method=claim.better), far]
        return _by_network(_joined(both))
    phase = PHASES[claim.quantity]
    rows = frame[(frame["split"] == "test") & (frame["phase"] == phase)]
    rows = rows[rows["name"].isin(SCORES) & rows["step"].isin(_step(frame, claim))]
    if claim.quantity == "retrained" and "updates" in rows.columns:
        rows = rows[rows["updates"] == _recorded_updates()]  # what is done at once needs none
    return _by_network(rows.assign(value=_better_is_higher(rows))[[*_RUN, "value"]])


def _recorded_updates() -> int:
    """Updates of retraining that runs need to be judged together."""
    from workbench.experiments.layer_fusion import LayerFusion

    return LayerFusion.profile("recorded").updates


def _better_is_higher(rows: pd.DataFrame) -> pd.Series:
    import numpy as np

    positive = rows["value"].where(rows["name"] == "perplexity", 1.0)
    return rows["value"].where(rows["name"] == "accuracy", -np.log(positive))


def _step(frame: pd.DataFrame, claim: Claim) -> set[int]:
    """The step whose target is the claim's share of bytes; no other stands in for it."""
    targets = frame[frame["name"] == "target_share"]
    near = (targets["value"] - (claim.density or 0)).abs() < 0.01
    return set(targets[near]["step"])


def _by_network(rows: pd.DataFrame) -> pd.DataFrame:
    """One value for each network: seeds of one that came trained are averaged."""
    from workbench.experiments.network import TRAINED_CONVNETS

    given = rows["model"].isin(TRAINED_CONVNETS)
    unit = rows["model"].where(given, rows["seed"].astype(str))
    return rows.assign(seed=unit).groupby(["method", "task", "seed"])["value"].mean().reset_index()


def _joined(parts: list[pd.DataFrame]) -> pd.DataFrame:
    import pandas as pd

    return pd.concat(parts, ignore_index=True)
