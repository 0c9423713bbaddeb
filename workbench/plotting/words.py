"""How scalars and methods are called on axes, in legends and in alt text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

# Reading order of the methods of chapter 11: controls first, the proposed ones last.
METHODS = (
    "none",
    "random",
    "magnitude",
    "global magnitude",
    "SDP-KLD",
    "SDP-COS",
    "SDP-CC",
)

# Methods of chapter 10 in its order; "standard" (full fine-tuning) is their control.
TUNING = (
    "standard", "no dropout", "head only", "GradDrop", "Anneal-GradDrop", "Layer-GradDrop",
    "Anneal-Layer-GradDrop", "GradDrop-Epoch", "GradDrop-Epoch-Toggle", "GradFreeze-TopDown",
    "GradFreeze-BottomUp", "GradDrop (update)", "GradDrop-Epoch (update)", "Child-Tuning-F",
    "Mixout", "LoRA", "IA3", "layer-wise decay",
)  # fmt: skip

# All of them: those of chapter 9 in their places, and chapter 10's, which nothing is pruned by.
FUSION = (
    "LF mean (WS)", "LF mean (CA)", "LF mean (ED)", "LF mean (KL)", "LF mean (random)",
    "LF freeze (WS)", "LF mix (WS)", "LF transport (WS)", "LF adjacent (WS)",
    "LF recalibrated (WS)", "layer pruning", "global pruning", "k-means", "SVD", "autoencoder",
    "student rollout", "layer removal", "LayerDrop",
)  # fmt: skip

ORDER = (
    "none", "random", "global random", "magnitude", "global magnitude", "gradient", "lookahead",
    "LAMP", "L0", "L1", "L2", "Taylor", "SNIP", "movement", "Wanda", "SynFlow", "Fisher", "OBD",
    "Cosine-LMBP", "Cosine-MBP", "Frobenius-MBP", *METHODS[4:], *TUNING,
    *FUSION,
)  # fmt: skip

# More lines than this in one figure cannot be told apart; then these are drawn in colour, the
# controls and what the thesis proposes, and the others are grey or left out.
MOST = 8
FOCUS = (
    "none", "random", "magnitude", "global magnitude", "LAMP", "Cosine-MBP", "Frobenius-MBP",
    *METHODS[4:],
    "standard", "no dropout", "GradDrop", "Layer-GradDrop", "GradDrop-Epoch", "GradFreeze-TopDown",
    "LF mean (WS)", "LF mean (CA)", "LF mean (random)", "layer pruning", "k-means", "SVD",
    "layer removal",
)  # fmt: skip

LANGUAGES = {
    "ar": "Arabic", "bg": "Bulgarian", "de": "German", "el": "Greek", "en": "English",
    "es": "Spanish", "fa": "Persian", "fr": "French", "hi": "Hindi", "id": "Indonesian",
    "it": "Italian", "ja": "Japanese", "ko": "Korean", "nl": "Dutch", "pl": "Polish",
    "pt": "Portuguese", "ru": "Russian", "sw": "Swahili", "th": "Thai", "tr": "Turkish",
    "ur": "Urdu", "vi": "Vietnamese", "zh": "Chinese",
}  # fmt: skip

MODULES = ("query", "key", "value", "attention output", "intermediate", "output")

_METHOD_WORDS = {"none": "unpruned control", "standard": "standard fine-tuning"}

_SCALAR_WORDS = {
    "f1": "macro F1",
    "matthews": "Matthews correlation",
    "spearman": "Spearman correlation",
    "agreement": "agreement with the teacher",
    "calibration_error": "calibration error",
    "snr": "signal-to-noise ratio",
    "silhouette": "silhouette",
    "fisher_ratio": "Fisher ratio",
    "nearest_centroid": "nearest-centroid accuracy",
    "cka": "CKA with the teacher",
    "mutual_information": "mutual information with the teacher (nats)",
    "weight_norm": "weight norm",
    "gradient_norm": "gradient norm",
    "layer_density": "remaining weights",
    "density": "remaining weights",
    "train_loss": "training loss",
    "retrieval": "translations found",
    "language_cka": "CKA with English",
    "pretrained_distance": "distance from the pretrained weights",
    "kept_share": "gradient elements kept",
    "updated": "parameters updated",
    "update_norm": "norm of the epoch's update",
    "distance": "distance from the pretrained weights",
    "noise_scale": "gradient noise scale (texts)",
    "sharpness": "sharpness (largest Hessian eigenvalue)",
    "majority_share": "score of the most frequent class",
    "stored_share": "stored bytes left",
    "stored_bytes": "stored bytes",
    "multiply_adds": "multiply-adds per example",
    "seconds_per_batch": "seconds per batch",
}

# Measures of how alike two layers are (chapter 8).
_MEASURE_WORDS = {
    "euclidean": "Euclidean distance",
    "cosine": "cosine of the weights",
    "covariance_cosine": "cosine of covariances",
    "block_covariance": "block covariance",
    "gaussian_kl": "Gaussian KL divergence",
    "symmetrised_kl": "symmetrised KL divergence",
    "gaussian_jensen_shannon": "Gaussian Jensen-Shannon divergence",
    "jensen_shannon": "Jensen-Shannon divergence",
    "hellinger": "Hellinger distance",
    "wasserstein": "Wasserstein distance",
    "sliced_wasserstein": "sliced Wasserstein distance",
    "centroid_wasserstein": "Wasserstein distance of centroids",
    "bures_wasserstein": "Bures-Wasserstein distance",
    "affine_invariant": "affine-invariant distance",
    "log_euclidean": "log-Euclidean distance",
    "cka": "CKA of activations",
    "rbf_cka": "RBF CKA of activations",
    "procrustes": "Procrustes distance of activations",
}

_FRACTIONS = frozenset(
    ("accuracy", "f1", "agreement", "calibration_error", "nearest_centroid", "density")
    + ("layer_density", "retrieval", "kept_share", "majority_share", "stored_share")
)


def scalar(name: str) -> str:
    """The words for a scalar's name: ``"f1"`` -> ``"macro F1"``."""
    return _SCALAR_WORDS.get(name, name.replace("_", " "))


def measure(name: str) -> str:
    """The words for a measure of similarity: ``"hellinger"`` -> ``"Hellinger distance"``."""
    return _MEASURE_WORDS.get(name, name.replace("_", " "))


def method(name: str) -> str:
    """The words for a method's name: ``"none"`` -> ``"unpruned control"``."""
    return _METHOD_WORDS.get(str(name), str(name))


def language(code: str) -> str:
    """A language by its name, a domain as it is: ``"tr"`` -> ``"Turkish"``."""
    return LANGUAGES.get(str(code), str(code))


def is_fraction(name: str) -> bool:
    """Whether a scalar lies in [0, 1] and is shown in percent."""
    return name in _FRACTIONS


def is_logarithmic(name: str) -> bool:
    """Whether a scalar is drawn on a logarithmic axis and averaged there; lower is then better."""
    return name == "perplexity"


def direction(name: str) -> str:
    """The words for a score with the side that is good: ``"accuracy (higher is better)"``."""
    if is_logarithmic(name):
        return f"{scalar(name)} (log scale, lower is better)"
    return f"{scalar(name)} (higher is better)"


def number(name: str, value: float) -> str:
    """One value as text: percent with one digit for fractions, three digits otherwise."""
    if is_logarithmic(name) and value >= 1000:
        return f"{value:,.0f}"
    return f"{100 * value:.1f}%" if is_fraction(name) else f"{value:.3g}"


def percent(value: float) -> str:
    """A density as text: ``0.282`` -> ``"28%"``, ``0.05`` -> ``"5%"``, ``0.034`` -> ``"3.4%"``."""
    shown = 100 * value
    return f"{shown:.0f}%" if shown >= 10 or abs(shown - round(shown)) < 0.05 else f"{shown:.1f}%"


def order_methods(methods: Iterable[str]) -> list[str]:
    """Methods in reading order: those of the thesis first, others by name."""
    known = {name: place for place, name in enumerate(ORDER)}
    return sorted(set(methods), key=lambda name: (known.get(name, len(ORDER)), str(name)))


def focus(methods: Iterable[str], most: int = MOST) -> list[str]:
    """The methods to tell apart: all in reading order, or those of :data:`FOCUS` if too many."""
    held = order_methods(methods)
    if len(held) <= most:
        return held
    chosen = [name for name in held if name in FOCUS][:most]
    return chosen or held[:most]


def others(methods: Iterable[str], shown: Sequence[str], told: str) -> str:
    """``"; not drawn: a, b"`` for a note under a figure; nothing if ``shown`` are all."""
    rest = [method(name) for name in order_methods(methods) if name not in shown]
    return f"; {told}: {listing(rest, 20)}" if rest else ""


def order_modules(modules: Iterable[str]) -> list[str]:
    """Module types in the order of the forward pass, others by name."""
    known = {name: place for place, name in enumerate(MODULES)}
    return sorted(set(modules), key=lambda name: (known.get(name, len(MODULES)), str(name)))


def order_layers(layers: Iterable[str]) -> list[str]:
    """Layers by number where they are numbers, others after them by name."""
    return sorted(set(layers), key=lambda x: (0, int(x), "") if str(x).isdigit() else (1, 0, x))


def listing(values: Sequence[object], limit: int = 12) -> str:
    """``a, b, c`` for error messages and alt text, cut after ``limit`` values."""
    shown = [str(value) for value in values[:limit]]
    return ", ".join(shown) + (f" and {len(values) - limit} more" if len(values) > limit else "")
