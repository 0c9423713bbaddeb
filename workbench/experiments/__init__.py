"""The experiments, by name. Importing this imports neither torch nor transformers."""

from __future__ import annotations

import difflib

from workbench.experiments.base import PROFILES, Control, Experiment, controls
from workbench.experiments.fine_tuning import FineTuning
from workbench.experiments.gradient_dropout import GradientDropoutTuning
from workbench.experiments.layer_fusion import LayerFusion
from workbench.experiments.network_training import NetworkTraining
from workbench.experiments.self_distilled_pruning import SelfDistilledPruning
from workbench.experiments.zero_shot_pruning import ZeroShotPruning

EXPERIMENTS: dict[str, type[Experiment]] = {
    experiment.name: experiment
    for experiment in (
        *(FineTuning, SelfDistilledPruning, ZeroShotPruning, GradientDropoutTuning),
        *(NetworkTraining, LayerFusion),
    )
}


def names() -> tuple[str, ...]:
    """Names of all experiments."""
    return tuple(EXPERIMENTS)


def get(name: str) -> type[Experiment]:
    """The experiment class called ``name``."""
    if name in EXPERIMENTS:
        return EXPERIMENTS[name]
    near = difflib.get_close_matches(name, EXPERIMENTS, 1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"No experiment {name!r}; there are {', '.join(EXPERIMENTS)}.{hint}")


__all__ = ["EXPERIMENTS", "PROFILES", "Control", "Experiment", "controls", "get", "names"]
