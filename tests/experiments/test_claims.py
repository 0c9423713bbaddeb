"""Claims are judged from frames like those of the store, here with known differences."""

import pandas as pd
import pytest

from workbench.experiments.claims import CLAIMS, ZERO_SHOT_PRUNING, assess

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
    for claims in CLAIMS.values():
        for claim in claims:
            assert claim.text.endswith(".") and claim.where


def zero_shot(gain=0.1):
    """Two languages near English and two far from it, which lose twice as much at each step."""
    rows = []
    for method in ("magnitude", "Cosine-MBP", "global magnitude"):
        for seed in range(3):
            up = gain * (1 + 0.01 * seed) * (method == "Cosine-MBP")
            for step, density in DENSITY.items():
                told = {"method": method, "task": "t", "seed": seed, "step": step, "phase": "after",
                        "split": "test", "name": "accuracy"}  # fmt: skip
                rows.append({**told, "name": "density", "scope": "prunable", "value": density})
                for language, lost in (("en", 0.1), ("de", 0.2), ("fa", 0.2), ("ja", 0.4),
                                       ("tr", 0.4)):  # fmt: skip
                    value = 0.8 - step * lost * (1 + 0.001 * seed) + (step == 1) * up
                    rows.append({**told, "subset": language, "value": value})
                for module, norm in (("query", 3.0), ("value", 5.0), ("attention output", 1.0)):
                    value = norm * (1 + 0.001 * seed)
                    rows.append({**told, "name": "weight_norm", "module": module, "value": value})
    return pd.DataFrame(rows)


def test_a_claim_about_a_density_is_read_there():
    found = assess(zero_shot(), ZERO_SHOT_PRUNING).set_index("claim")
    at_31 = found.loc["Cosine-MBP keeps a higher zero-shot score than magnitude at 31% of the "
                      "weights."]  # fmt: skip
    assert at_31["mean"] == pytest.approx(0.101) and at_31["verdict"] == "shows"
    assert at_31["quantity"] == "zero_shot at 31%"
    at_10 = found.loc["Cosine-MBP keeps a higher zero-shot score than magnitude at 10% of the "
                      "weights."]  # fmt: skip
    assert at_10["mean"] == pytest.approx(0) and at_10["verdict"] == "undecided"


def test_groups_inside_a_method_are_compared_like_methods():
    found = assess(zero_shot(), ZERO_SHOT_PRUNING).set_index("quantity")
    kept = found.loc["share_kept at 31%"].set_index("method")
    # Lost at step 1: .1 of .8 for English, .3 on average for the rest; .2 near it, .4 far from it.
    assert kept.loc["English", "mean"] == pytest.approx(0.2 / 0.8, rel=2e-3)
    assert kept.loc["Indo-European", "mean"] == pytest.approx(0.2 / 0.8, rel=2e-3)
    assert set(kept["verdict"]) == {"shows"}
    norms = found.loc["weight_norm at 31%"]
    assert norms["against"] == "attention output"
    assert norms["mean"] == pytest.approx(3.0, rel=2e-3)
