"""Claims are judged from frames like those of the store, here with known differences."""

import pandas as pd
import pytest

from workbench.experiments.claims import SELF_DISTILLED_PRUNING, assess

DENSITY = {0: 1.0, 1: 0.3, 2: 0.05}
NONE = dict.fromkeys(("scope", "split", "subset", "phase", "estimator", "role"))


def frame(gain=0.1, methods=("magnitude", "SDP-CC", "random"), tasks=("s", "e")):
    rows = []
    for task in tasks:
        for m in methods:
            for seed in range(3):
                run = {"method": m, "task": task, "seed": seed}
                up = gain * (1 + 0.01 * seed) * (m == "SDP-CC") - 0.3 * (m == "random")
                for step, density in DENSITY.items():
                    told = {**NONE, **run, "step": step}
                    rows += [
                        {**told, "name": "density", "scope": "prunable", "value": density},
                        {**told, "name": "accuracy", "split": "test", "phase": "after",
                         "value": 0.6 + up - (step == 0) * 5},
                        {**told, "name": "accuracy", "split": "validation", "phase": "after",
                         "value": 0.7 + up},
                        {**told, "name": "snr", "phase": "after", "value": 1 - up},
                    ]  # fmt: skip
                    if step:
                        rows.append({**told, "name": "accuracy", "split": "validation",
                                     "phase": "before", "value": 0.5})  # fmt: skip
    return pd.DataFrame(rows)


def test_known_differences_are_found_with_their_verdicts():
    found = assess(frame()).set_index(["claim", "task"])
    score = found.loc[("SDP-CC keeps a higher test score than magnitude pruning.", "all")]
    assert score["mean"] == pytest.approx(0.101) and score["verdict"] == "shows"
    assert score["pairs"] == 6 and score["low"] < score["mean"] < score["high"]
    snr = found.loc[("SDP-CC raises the signal-to-noise ratio.", "s")]
    assert snr["mean"] == pytest.approx(-0.101) and snr["verdict"] == "reversed"
    recovery = found.loc[("SDP-CC recovers more after each pruning step.", "e")]
    assert recovery["mean"] == pytest.approx(0.101) and recovery["pairs"] == 3
    assert not any("SDP-KLD" in claim for claim in found.index.get_level_values("claim"))


def test_no_difference_is_undecided_and_one_task_has_no_pool():
    found = assess(frame(gain=0.0, tasks=("s",)))
    assert set(found["task"]) == {"s"}
    assert found.set_index("claim")["verdict"].iloc[0] == "undecided"


def test_only_high_compression_counts():
    with pytest.raises(ValueError, match="No pruning step has a density of 0.01 or less"):
        assess(frame(), highest_density=0.01)


def test_every_claim_is_one_sentence_with_its_place():
    for claim in SELF_DISTILLED_PRUNING:
        assert claim.text.endswith(".") and claim.where
