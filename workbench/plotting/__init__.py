"""Figures as functions of frames: one family per file, one entry point, :func:`figure`.

    data = plotting.gather("pruning_curve", store, store.find(task="sentiment"))
    figure = plotting.figure("pruning_curve", data, metric="accuracy", theme="dark", width=1100)
    plotting.to_png(figure)

Importing the package is cheap: matplotlib and pandas load when the first figure is drawn. The
functions ``plot_x(data, *, ax=None, ...)`` draw on anybody's axes.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from workbench.plotting.registry import FIGURES, Family, figure, gather

if TYPE_CHECKING:
    from workbench.plotting.activation_map import plot_activation_map
    from workbench.plotting.alignment_curves import plot_alignment_curves
    from workbench.plotting.before_after import plot_before_after
    from workbench.plotting.claims import plot_claims
    from workbench.plotting.compression_costs import plot_compression_costs
    from workbench.plotting.compression_curve import plot_compression_curve
    from workbench.plotting.difference import plot_difference
    from workbench.plotting.epoch_curve import plot_epoch_curve
    from workbench.plotting.epoch_norms import plot_epoch_norms
    from workbench.plotting.export import alt_text, code, relevant, to_csv, to_png, to_svg
    from workbench.plotting.fidelity_curves import plot_fidelity_curve, plot_fidelity_curves
    from workbench.plotting.fusion_before_after import plot_fusion_before_after
    from workbench.plotting.language_curves import plot_language_curves
    from workbench.plotting.language_gain import plot_language_gain
    from workbench.plotting.language_heatmap import plot_language_heatmap
    from workbench.plotting.layer_density import plot_layer_density
    from workbench.plotting.measure_agreement import plot_measure_agreement
    from workbench.plotting.norms import plot_distributions, plot_norms
    from workbench.plotting.pruning_curve import plot_pruning_curve, plot_pruning_curves
    from workbench.plotting.recovery import plot_recovery
    from workbench.plotting.reported import plot_reported
    from workbench.plotting.seed_spread import plot_seed_spread
    from workbench.plotting.separability import plot_separability
    from workbench.plotting.similarity_heatmap import plot_similarity_heatmap
    from workbench.plotting.table import plot_table
    from workbench.plotting.training_loss import plot_training_loss
    from workbench.plotting.training_measures import plot_training_measures
    from workbench.plotting.tuning_heatmap import plot_tuning_heatmap
    from workbench.plotting.zero_shot_curve import plot_zero_shot_curve

_HOME = {
    "alt_text": "export",
    "code": "export",
    "relevant": "export",
    "to_csv": "export",
    "to_png": "export",
    "to_svg": "export",
    "plot_activation_map": "activation_map",
    "plot_before_after": "before_after",
    "plot_alignment_curves": "alignment_curves",
    "plot_claims": "claims",
    "plot_compression_costs": "compression_costs",
    "plot_compression_curve": "compression_curve",
    "plot_difference": "difference",
    "plot_distributions": "norms",
    "plot_epoch_curve": "epoch_curve",
    "plot_epoch_norms": "epoch_norms",
    "plot_fidelity_curve": "fidelity_curves",
    "plot_fidelity_curves": "fidelity_curves",
    "plot_fusion_before_after": "fusion_before_after",
    "plot_language_curves": "language_curves",
    "plot_language_gain": "language_gain",
    "plot_language_heatmap": "language_heatmap",
    "plot_layer_density": "layer_density",
    "plot_measure_agreement": "measure_agreement",
    "plot_norms": "norms",
    "plot_pruning_curve": "pruning_curve",
    "plot_pruning_curves": "pruning_curve",
    "plot_recovery": "recovery",
    "plot_reported": "reported",
    "plot_seed_spread": "seed_spread",
    "plot_separability": "separability",
    "plot_similarity_heatmap": "similarity_heatmap",
    "plot_table": "table",
    "plot_training_loss": "training_loss",
    "plot_training_measures": "training_measures",
    "plot_tuning_heatmap": "tuning_heatmap",
    "plot_zero_shot_curve": "zero_shot_curve",
}

__all__ = [
    "FIGURES",
    "Family",
    "alt_text",
    "code",
    "figure",
    "gather",
    "plot_activation_map",
    "plot_alignment_curves",
    "plot_before_after",
    "plot_claims",
    "plot_compression_costs",
    "plot_compression_curve",
    "plot_difference",
    "plot_distributions",
    "plot_epoch_curve",
    "plot_epoch_norms",
    "plot_fidelity_curve",
    "plot_fidelity_curves",
    "plot_fusion_before_after",
    "plot_language_curves",
    "plot_language_gain",
    "plot_language_heatmap",
    "plot_layer_density",
    "plot_measure_agreement",
    "plot_norms",
    "plot_pruning_curve",
    "plot_pruning_curves",
    "plot_recovery",
    "plot_reported",
    "plot_seed_spread",
    "plot_separability",
    "plot_similarity_heatmap",
    "plot_table",
    "plot_training_loss",
    "plot_training_measures",
    "plot_tuning_heatmap",
    "plot_zero_shot_curve",
    "relevant",
    "to_csv",
    "to_png",
    "to_svg",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
