"""Chapter 8: layers that are alike become one, beside other ways to store as few bytes.

A trained network is made smaller to the same stored bytes by every method, once without any
retraining and once step by step with retraining in between.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from workbench.experiments.base import setting
from workbench.experiments.fine_tuning import split_arrays
from workbench.experiments.iterative_pruning import last_checkpoint
from workbench.experiments.named_methods import NamedMethods
from workbench.experiments.network import NetworkExperiment, shared_settings
from workbench.experiments.network_training import NetworkTraining
from workbench.observations import Checkpoint, Observation

Fields = Mapping[str, Any]
MEASURE_NAMES = (
    "random", "euclidean", "cosine", "covariance_cosine", "symmetrised_kl",
    "gaussian_jensen_shannon", "jensen_shannon", "hellinger", "wasserstein", "sliced_wasserstein",
    "centroid_wasserstein", "bures_wasserstein", "affine_invariant", "log_euclidean",
    "block_covariance", "cka",
)  # fmt: skip
FUSED = {"compression": ("fusion",)}


def _fused(measure: str, fusing: str = "mean", neighbours: bool = False, **more: Any) -> Fields:
    return {
        "compression": "fusion",
        "measure": measure,
        "fusing": fusing,
        "neighbours": neighbours,
        "evenly": True,
        "gradients": "sum",
        "recalibrate": False,
        **more,
    }


METHODS: Mapping[str, Fields] = {
    "none": {"compression": "none"},
    "LF mean (WS)": _fused("bures_wasserstein"),
    "LF freeze (WS)": _fused("bures_wasserstein", "freeze"),
    "LF mix (WS)": _fused("bures_wasserstein", "mix"),
    "LF transport (WS)": _fused("bures_wasserstein", "transport"),
    "LF adjacent (WS)": _fused("bures_wasserstein", neighbours=True),
    "LF recalibrated (WS)": _fused("bures_wasserstein", recalibrate=True),
    "LF mean (CA)": _fused("covariance_cosine"),
    "LF mean (ED)": _fused("euclidean"),
    "LF mean (KL)": _fused("symmetrised_kl"),
    "LF mean (random)": _fused("random"),
    "layer pruning": {"compression": "layer_pruning"},
    "global pruning": {"compression": "global_pruning"},
    "k-means": {"compression": "kmeans"},
    "SVD": {"compression": "svd"},
    "autoencoder": {"compression": "autoencoder"},
    "student rollout": {"compression": "rollout"},
    "layer removal": {"compression": "layer_removal"},
    "LayerDrop": {"compression": "layer_drop"},
}
"""The methods of sections 8.3.3 and 8.4.1 and Tables 8.1 to 8.4; random pairs as a control, fusion
with batch norms estimated anew, and plain layer removal.

WS is the Bures-Wasserstein distance (8.5), CA the cosine of covariances (8.2), ED the Euclidean
distance and KL the symmetrised divergence (8.3).
"""


PRINTED: Mapping[str, str] = {
    "mean (WS)": "LF mean (WS)",
    "freeze (WS)": "LF freeze (WS)",
    "mix (WS)": "LF mix (WS)",
    "mean (CA)": "LF mean (CA)",
    "mean (ED)": "LF mean (ED)",
    "mean (KL)": "LF mean (KL)",
    "Global WS-LF (WS)": "LF mean (WS)",
    "Adjacent WS-LF (WS)": "LF adjacent (WS)",
    "magnitude": "layer pruning",
    "global magnitude": "global pruning",
    "truncated SVD": "SVD",
    "denoising autoencoder": "autoencoder",
    "layer fusion": "LF mean (WS)",
}
"""Rows of Tables 8.1 to 8.4 -> the method here that is meant."""


@dataclass(frozen=True)
class LayerFusion(NamedMethods, NetworkExperiment):
    """A network made smaller by one method, at several shares of its bytes (thesis, chapter 8).

    Steps are shares of stored bytes; step 0 is the whole network. See ``data/README.md`` for the
    names and labels of what is observed.
    """

    name = "layer-fusion"
    title = "Layer fusion and its rivals"
    chapter = 8
    version = 1
    budget = ("shares",)
    methods: ClassVar = METHODS
    profiles = {
        "smoke": dict(
            task="mnist5k", model="resnet8", train_size=64, eval_size=32, test_size=32,
            base_updates=4, batch_size=16, updates=4, shares=(0.75, 0.5), timed=2,
            reconstruction_steps=5,
        ),
        "laptop": dict(eval_size=100, test_size=200, base_updates=200, updates=24),
        "recorded": dict(eval_size=100, test_size=400, updates=90, learning_rate=1e-3),
        "thesis": dict(
            task="cifar10", model="resnet56", eval_size=0, base_updates=64_000, batch_size=128,
            updates=40_000, shares=(0.9, 0.75, 0.5, 0.25, 0.2, 0.1),
        ),
    }  # fmt: skip

    compression: Literal[
        "none", "fusion", "layer_pruning", "global_pruning", "kmeans", "svd", "autoencoder",
        "rollout", "layer_removal", "layer_drop",
    ] = setting("fusion", "How the network is made smaller.", group="Method")  # fmt: skip
    measure: str = setting(
        "bures_wasserstein",
        "Which layers are alike; random: pairs drawn blindly, as a control.",
        choices=MEASURE_NAMES,
        group="Method",
        when=FUSED,
    )
    fusing: Literal["mean", "freeze", "mix", "transport"] = setting(
        "mean",
        "What two layers become: their mean, one of them, a random mixture, or the mean after "
        "their units were matched.",
        group="Method",
        when=FUSED,
    )
    neighbours: bool = setting(
        False, "Only neighbouring layers of one kind may be fused.", group="Method", when=FUSED
    )
    evenly: bool = setting(
        True,
        "Every kind of layer shrinks alike; else the closest pairs of all kinds go first, as "
        "Algorithm 3 has it, although distances of larger matrices are larger.",
        group="Method",
        when=FUSED,
    )
    gradients: Literal["sum", "mean", "kl", "kept"] = setting(
        "sum",
        "How gradients of fused layers come together; kl: equation 8.6.",
        group="Method",
        when=FUSED,
    )
    shares: tuple[float, ...] = setting(
        (0.75, 0.5, 0.25),
        "Shares of the bytes of the layers that may be made smaller, falling.",
        group="Schedule",
    )
    updates: int = setting(
        30,
        "Updates of retraining, over all steps (0: none).",
        minimum=0,
        maximum=10**7,
        step=5,
        group="Training",
    )
    growth: float = setting(
        1.5,
        "How much longer each interval of retraining is than the one before.",
        minimum=1,
        maximum=10,
        step=0.1,
        group="Schedule",
    )
    learning_rate: float = setting(
        5e-4, "Peak learning rate of retraining.", minimum=0, maximum=1, group="Training"
    )
    trained: Literal["all", "fused"] = setting(
        "all",
        "What retrains: everything, or only what was fused (section 8.4.2).",
        group="Training",
    )
    recalibrate: bool = setting(
        False,
        "Estimate the statistics of batch norms anew after compressing, on training rows.",
        group="Method",
    )
    base_updates: int = setting(
        300,
        "Updates of training before, where the network does not come trained.",
        minimum=1,
        maximum=10**7,
        step=50,
        group="Training",
    )
    base_learning_rate: float = setting(
        2e-3,
        "Peak learning rate of training before (a tenth of it for pretrained encoders).",
        minimum=0,
        maximum=1,
        group="Training",
    )
    reconstruction_steps: int = setting(
        100,
        "Steps of Adam for each layer of an autoencoder.",
        minimum=0,
        maximum=10**5,
        step=10,
        group="Method",
        when={"compression": ("autoencoder",)},
    )
    timed: int = setting(
        8, "Batches that are timed at each step (0: none).", minimum=0, maximum=1000, step=1,
        group="Measures",
    )  # fmt: skip
    similarities: Literal["none", "some", "all"] = setting(
        "some",
        "Which measures of similarity to record, of the whole network; some: the quick ones.",
        group="Measures",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if list(self.shares) != sorted(set(self.shares), reverse=True) or not all(
            0 < share < 1 for share in self.shares
        ):
            raise ValueError(f"shares = {self.shares!r} must fall and lie between 0 and 1.")

    def _unnamed(self) -> str:
        if self.compression != "fusion":
            return self.compression.replace("_", " ")
        told = [self.measure.replace("_", " ")]
        told += ["neighbours"] if self.neighbours else []
        told += [] if self.evenly else ["all kinds at once"]
        told += [] if self.gradients == "sum" else [f"gradients {self.gradients}"]
        told += ["recalibrated"] if self.recalibrate else []
        return f"LF {self.fusing} ({', '.join(told)})"

    def requirements(self) -> dict[str, NetworkTraining]:
        if self.already_trained:
            return {}
        shared = shared_settings(self)
        shared |= dict(
            updates=self.base_updates, learning_rate=self.first_rate(self.base_learning_rate)
        )
        return {"whole": NetworkTraining(**shared)}

    def intervals(self) -> tuple[int, ...]:
        """Updates of retraining after each step, longer and longer; they add up to ``updates``."""
        weights = [self.growth**step for step in range(len(self.shares))]
        ends = [
            round(self.updates * sum(weights[: i + 1]) / sum(weights)) for i in range(len(weights))
        ]
        return tuple(end - start for start, end in zip([0, *ends[:-1]], ends, strict=True))

    def run(
        self, resume: Checkpoint | None = None, whole: Checkpoint | None = None
    ) -> Iterator[Observation]:
        from workbench.experiments.layer_fusion_run import LayerFusionRun

        if whole is None and self.requirements():
            whole = yield from last_checkpoint(self.requirements()["whole"].run())
        trained = None if whole is None else split_arrays(whole)["model"]
        yield from LayerFusionRun(self, self.problem(), trained).observe(resume)
