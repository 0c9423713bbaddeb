"""What each figure shows, what it needs, and which settings a menu may offer for it.

Light, like :mod:`workbench.plotting.registry`, which draws them by name.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

SCORES = ("accuracy", "f1", "matthews", "spearman")
TESTED = (*SCORES, "agreement", "calibration_error")
MEASURED = ("snr", "mutual_information", "cka", "silhouette", "fisher_ratio", "nearest_centroid")
LAYERED = ("weight_norm", "gradient_norm", "layer_density", "update_norm", "distance")
TUNED = (*SCORES, "calibration_error")
COMPRESSED = ("accuracy", "perplexity")


@dataclass(frozen=True)
class Family:
    """One kind of figure.

    ``scalars`` must all be in the data, ``further`` ones are read if they are; of ``metrics`` one
    is chosen with the option ``metric`` (empty: no choice); ``arrays`` are read from the records
    instead of scalars. ``options`` are the settings that a menu may offer, each with its choices;
    ``columns`` are further ones, whose choices are what the column of that name holds in the data.
    """

    name: str
    title: str
    help: str
    module: str
    plot: str
    scalars: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    arrays: tuple[str, ...] = ()
    further: tuple[str, ...] = ()
    data: Literal["scalars", "points", "histograms", "masks", "similarities", "claims"] = "scalars"
    options: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    columns: tuple[str, ...] = ()
    fixed: Mapping[str, Any] = field(default_factory=dict)

    @property
    def function(self) -> Callable[..., Any]:
        """The plot function; matplotlib loads here first."""
        return getattr(importlib.import_module(f"workbench.plotting.{self.module}"), self.plot)

    @property
    def describe(self) -> Callable[..., str]:
        """The function that says the figure in one sentence, with its numbers."""
        name = self.plot.replace("plot_", "describe_", 1)
        return getattr(importlib.import_module(f"workbench.plotting.{self.module}"), name)

    def available(self, names: Iterable[str]) -> bool:
        """Whether scalars and arrays of these ``names`` are enough to draw this figure."""
        held = set(names)
        chosen = not self.metrics or held.intersection(self.metrics)
        return bool(chosen) and held.issuperset(self.scalars) and held.issuperset(self.arrays)


_SPREAD = ("range", "sd", "t95")
_SCALE = ("log", "linear")
_SPLIT = ("test", "validation")
_SCOPE = ("compressible", "all")

FAMILIES = (
    Family(
        "epoch_curve", "Score per epoch, trained on and zero-shot",
        "Left the language of the labels, right the mean of those without any: a line that falls "
        "after its best epoch has begun to overfit.",
        "epoch_curve", "plot_epoch_curve", ("kept_share",), TUNED,
        options={"split": _SPLIT, "spread": _SPREAD, "before": (True, False)},
    ),
    Family(
        "language_gain", "Gain in every language",
        "Languages with little pretraining text stand at the bottom: see whether the triangles "
        "there lie further to the right, and whether their intervals leave zero.",
        "language_gain", "plot_language_gain", ("kept_share",), TUNED,
        options={"against": ("standard", "no dropout"), "order": ("pretraining data", "gain"),
                 "split": _SPLIT},
    ),
    Family(
        "seed_spread", "The final score of every seed",
        "The closer its dots, the less a method depends on chance; a cross marks a run that "
        "learned nothing.",
        "seed_spread", "plot_seed_spread", ("kept_share",), TUNED, further=("majority_share",),
        options={"split": _SPLIT, "spread": ("sd", "range", "t95")},
    ),
    Family(
        "tuning_heatmap", "Methods by languages, or by epochs",
        "Read a row to see what a method does to each language, a column to see which method is "
        "best there; colours around zero are gains and losses.",
        "tuning_heatmap", "plot_tuning_heatmap", ("kept_share",), TUNED,
        options={"columns": ("languages", "epochs"), "show": ("score", "gain"), "split": _SPLIT},
    ),
    # The first run may be one that masks nothing, so the masks themselves are not asked for.
    Family(
        "activation_map", "Which gradients are on, and since when",
        "Grey is frozen, blue is active, and the darker the blue the more recently it was turned "
        "on: whole rows are layers, scattered cells single weights.",
        "activation_map", "plot_activation_map", ("kept_share",), data="masks",
    ),
    Family(
        "training_measures", "How training went",
        "How much of the gradient was kept, how many parameters it reached, how far it moved them, "
        "and how noisy and how sharp the loss is there.",
        "training_measures", "plot_training_measures", ("kept_share",),
        further=("noise_scale", "sharpness", "updated", "parameters", "distance"),
        options={"spread": _SPREAD},
    ),
    Family(
        "epoch_gradient_norms", "Gradient norm per layer and module type, by epoch",
        "Bright cells are where training still pulls hardest; the texts are the same in every "
        "epoch.",
        "epoch_norms", "plot_epoch_norms", ("kept_share", "gradient_norm"),
        options={"scale": ("linear", "log")}, fixed={"name": "gradient_norm"},
    ),
    Family(
        "update_norms", "How far each epoch moved every matrix",
        "Bright cells moved most in that epoch; matrices that were frozen did not move.",
        "epoch_norms", "plot_epoch_norms", ("kept_share", "update_norm"),
        options={"scale": ("linear", "log")}, fixed={"name": "update_norm"},
    ),
    Family(
        "distances", "How far every matrix is from the pretrained one",
        "Bright cells have been changed most by fine-tuning, dark ones are nearly as pretrained.",
        "epoch_norms", "plot_epoch_norms", ("kept_share", "distance"),
        options={"scale": ("linear", "log")}, fixed={"name": "distance"},
    ),
    Family(
        "update_distributions", "Distribution of the updates of each epoch",
        "A wider ridge means larger steps; weights that did not move at all are not counted.",
        "norms", "plot_distributions", arrays=("update_histogram", "update_edges"),
        data="histograms", fixed={"quantity": "update"},
    ),
    Family(
        "pruning_curve", "Score against remaining weights",
        "Further right is more compressed; a line that stays high keeps the score with fewer "
        "weights, and the dotted control was trained as long without pruning.",
        "pruning_curve", "plot_pruning_curve", ("density",), TESTED,
        options={"split": _SPLIT, "spread": _SPREAD, "seeds": (False, True), "scale": _SCALE},
    ),
    Family(
        "pruning_curves", "Score in every domain or language",
        "The first panel is what the model was trained on; the others show what compression costs "
        "where it never saw a label.",
        "pruning_curve", "plot_pruning_curves", ("density",), TESTED,
        options={"split": _SPLIT, "spread": _SPREAD, "scale": _SCALE},
    ),
    Family(
        "zero_shot_curve", "The language trained on, and the others",
        "Left the language of the labels, right the mean of those without any: the further right "
        "a ring stands, the longer a method holds on before its score falls faster.",
        "zero_shot_curve", "plot_zero_shot_curve", ("density",), TESTED,
        options={
            "split": _SPLIT, "spread": _SPREAD, "inflections": (True, False), "scale": _SCALE,
        },
    ),
    Family(
        "language_curves", "Score in every language, the best one first",
        "From panel to panel the dense score gets lower; see whether lines also fall earlier.",
        "language_curves", "plot_language_curves", ("density",), TESTED, further=("retrieval",),
        options={
            "order": ("score", "alignment"), "split": _SPLIT, "spread": _SPREAD, "scale": _SCALE,
        },
    ),
    Family(
        "language_heatmap", "Methods by languages",
        "Read a row to see where a method loses most, a column to see which method keeps a "
        "language; the mean without the language trained on stands apart on the right.",
        "language_heatmap", "plot_language_heatmap", ("density",), TESTED, further=("retrieval",),
        options={"show": ("score", "lost"), "order": ("score", "alignment"), "split": _SPLIT},
    ),
    Family(
        "alignment", "Alignment of other languages with English",
        "As long as translations lie next to each other, what was learned in English reaches the "
        "other languages; at the level of chance nothing is left of it.",
        "alignment_curves", "plot_alignment_curves", ("density", "retrieval"),
        further=("language_cka", "pretrained_distance"),
        options={"form": ("cosine", "layer_cosine", "frobenius"), "spread": _SPREAD,
                 "scale": _SCALE},
    ),
    Family(
        "fidelity", "Fidelity to the teacher and separability of the classes",
        "Higher mutual information and CKA mean representations closer to the unpruned teacher's; "
        "a higher signal-to-noise ratio means classes further apart than they are wide.",
        "fidelity_curves", "plot_fidelity_curves", ("density", "mutual_information"),
        further=("snr", "cka"),
        options={"estimator": ("knn", "histogram", "infonce"), "spread": _SPREAD, "scale": _SCALE},
    ),
    Family(
        "recovery", "Drop and recovery at each pruning step",
        "Each bar starts at the score right after pruning and ends, at the marker, at the score "
        "after retraining: the longer it is, the more was lost and regained.",
        "recovery", "plot_recovery", ("density",), SCORES, options={"split": ("validation",)},
    ),
    Family(
        "separability", "Classes in two dimensions as weights are removed",
        "Read each row from left to right: the classes stay apart as long as the network still "
        "tells them apart, and run into each other when it does not.",
        "separability", "plot_separability", arrays=("projection", "classes"), data="points",
        options={"projection": ("pca", "lda", "tsne")},
    ),
    Family(
        "weight_norms", "Weight norm per layer and module type",
        "Bright cells hold most of the remaining weight; compare a column across layers to see "
        "which part of the network a method keeps.",
        "norms", "plot_norms", ("density", "weight_norm"), fixed={"name": "weight_norm"},
    ),
    Family(
        "gradient_norms", "Gradient norm per layer and module type",
        "Bright cells are where retraining still pulls hardest.",
        "norms", "plot_norms", ("density", "gradient_norm"), fixed={"name": "gradient_norm"},
    ),
    Family(
        "weight_distributions", "Distribution of the remaining weights",
        "From top to bottom weights are removed: magnitude pruning cuts the middle out, and "
        "retraining fills the gap again from both sides.",
        "norms", "plot_distributions", arrays=("weight_histogram", "weight_edges"),
        data="histograms", fixed={"quantity": "weight"},
    ),
    Family(
        "gradient_distributions", "Distribution of the gradients",
        "A wider ridge means that more weights still receive large gradients at that density or "
        "epoch.",
        "norms", "plot_distributions", arrays=("gradient_histogram", "gradient_edges"),
        data="histograms", fixed={"quantity": "gradient"},
    ),
    Family(
        "layer_density", "Where the remaining weights are",
        "Layer-wise pruning leaves the same share everywhere; global pruning spares some layers "
        "and empties others.",
        "layer_density", "plot_layer_density", ("density", "layer_density"),
    ),
    Family(
        "table", "Methods by remaining weights",
        "Each cell is the mean over seeds with one standard deviation; brighter is higher.",
        "table", "plot_table", ("density",), TESTED, options={"split": _SPLIT},
    ),
    Family(
        "difference", "Two runs and their difference",
        "The third panel is the second minus the first, seed by seed: where its band leaves zero, "
        "the two differ in every seed.",
        "difference", "plot_difference", (), (*TESTED, *MEASURED, *LAYERED),
        options={"split": _SPLIT, "spread": _SPREAD},
    ),
    Family(
        "reported", "Measured here beside the thesis's reported numbers",
        "Compare the order of the methods, not the numbers: models, data and budgets differ.",
        "reported", "plot_reported", ("density",), SCORES, options={"split": _SPLIT},
    ),
    Family(
        "before_after", "Score with all weights and with fewer",
        "The hollow mark is the unpruned model and the filled one the pruned: the longer the line "
        "between them, the more that domain or language lost.",
        "before_after", "plot_before_after", ("density",), SCORES, options={"split": _SPLIT},
    ),
    Family(
        "compression_curve", "Score against stored bytes, without and with retraining",
        "Further right fewer bytes are stored; the further right a ring stands, the longer a "
        "method holds on before its score gets worse faster. The dotted level is the whole "
        "network.",
        "compression_curve", "plot_compression_curve", ("stored_share",), COMPRESSED,
        options={
            "split": _SPLIT, "scope": _SCOPE, "spread": _SPREAD, "inflections": (True, False),
            "scale": _SCALE,
        },
    ),
    Family(
        "compression_costs", "What compressing saves: bytes, multiply-adds, time",
        "Compare a line across the panels: fused layers are stored once and computed as often as "
        "before, so that its bytes shrink while its time stays.",
        "compression_costs", "plot_compression_costs", ("stored_share",), COMPRESSED,
        further=("multiply_adds", "seconds_per_batch"),
        options={
            "phase": ("one_shot", "after"), "split": _SPLIT, "scope": _SCOPE, "spread": _SPREAD,
        },
    ),
    # Only the control's record keeps the matrices, so the arrays themselves are not asked for.
    Family(
        "similarity_heatmap", "How alike the layers are",
        "Light cells are layers that are close, and a light band along the diagonal means that "
        "neighbours are the closest; outlined pairs are those that were fused.",
        "similarity_heatmap", "plot_similarity_heatmap", ("stored_share",), data="similarities",
        options={"order": ("layers", "clustered"), "scale": ("shared", "each")},
        columns=("measure",),
    ),
    Family(
        "measure_agreement", "Do the measures agree which layers are alike?",
        "Near 1 two measures would fuse the same pairs; measures that agree stand together.",
        "measure_agreement", "plot_measure_agreement", ("stored_share",), data="similarities",
        options={"order": ("clustered", "layers")},
    ),
    Family(
        "fusion_before_after", "Before and after a fusion",
        "The outlined pairs are one layer afterwards, and all that is measured against it has "
        "moved with it.",
        "fusion_before_after", "plot_fusion_before_after", ("when",), data="similarities",
        options={"order": ("layers", "clustered")}, columns=("measure", "module"),
    ),
    Family(
        "training_loss", "Loss during retraining",
        "Each step (dotted) that removes something pushes the loss up and retraining brings it "
        "down again; where nothing is removed the dotted lines are epochs.",
        "training_loss", "plot_training_loss", ("train_loss",),
    ),
    Family(
        "claims", "What the thesis claims, measured here",
        "Right of zero bears a claim out; an interval that crosses zero decides nothing.",
        "claims", "plot_claims", ("claim",), data="claims",
    ),
)  # fmt: skip
