"""The measurements that the claims of chapter 10 are judged by: what runs of fine-tuning end with.

==============  ====================================================================
final           test score after the last epoch, all languages but the one trained on
spread          how far that is, in absolute value, from the median over seeds
after_peak      that score minus the one of the run's best epoch
gain            that score minus standard fine-tuning's, by language and its share of
                the data that the encoder was pretrained on
==============  ====================================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.experiments.languages import SOURCE

if TYPE_CHECKING:
    import pandas as pd

    from workbench.experiments.claims import Claim

QUANTITIES = ("final", "spread", "after_peak", "gain")
LITTLE, MUCH = "little data", "much data"
LITTLE_GIB = 50
"""A language has little data below this many GiB in CC-100; the thesis draws no line."""
_RUN = ["method", "task", "seed"]


def values(frame: pd.DataFrame, claim: Claim, metric: str) -> pd.DataFrame:
    """Rows of what ``claim`` compares: method (or group), task, seed and value."""
    rows = frame[(frame["name"] == metric) & (frame["split"] == "test")]
    rows = rows[rows["subset"] != SOURCE]
    by_epoch = rows.groupby([*_RUN, "step"])["value"].mean().reset_index()
    last = rows.groupby(_RUN)["step"].transform("max") == rows["step"]
    final = rows[last].groupby(_RUN)["value"].mean().reset_index()
    if claim.quantity == "final":
        return final
    if claim.quantity == "spread":
        middle = final.groupby(["method", "task"])["value"].transform("median")
        return final.assign(value=(final["value"] - middle).abs())
    if claim.quantity == "after_peak":
        best = by_epoch.groupby(_RUN)["value"].max().rename("best")
        found = final.join(best, on=_RUN)
        return found.assign(value=found["value"] - found["best"])[[*_RUN, "value"]]
    return _gain(rows[last], claim)


def _gain(final: pd.DataFrame, claim: Claim) -> pd.DataFrame:
    """Gain of the method ``claim.within`` over standard fine-tuning, by group of languages."""
    from workbench.metrics.resources import CC100_GIB

    key = ["task", "seed", "subset"]
    ours = final[final["method"] == claim.within].set_index(key)["value"]
    theirs = final[final["method"] == "standard"].set_index(key)["value"]
    gain = (ours - theirs).dropna().rename("value").reset_index()
    gain = gain[gain["subset"].isin(CC100_GIB)]
    little = gain["subset"].map(CC100_GIB) < LITTLE_GIB
    return gain.assign(method=little.map({True: claim.better, False: claim.against}))[
        [*_RUN, "value"]
    ]
