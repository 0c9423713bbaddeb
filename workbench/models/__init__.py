"""What gets compressed: encoders and classifiers on them, convolutional networks, language models.

``ENCODERS``, ``Encoder``, ``CONVNETS``, ``TRAINED``, ``LANGUAGE_MODELS`` and ``fingerprint`` are
light. Everything else imports torch, most of it transformers, and does so when it is first asked
for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from workbench.models.convnets import CONVNETS, TRAINED
from workbench.models.language import LANGUAGE_MODELS
from workbench.models.registry import ENCODERS, Encoder, fingerprint

if TYPE_CHECKING:
    from workbench.models.convnets import (
        convnet,
        load_convnet,
        normalise,
        save_convnet,
        trained_convnet,
    )
    from workbench.models.encoders import load_encoder
    from workbench.models.language import blocks, load_language_model
    from workbench.models.parameters import freeze_embeddings, parameter_report
    from workbench.models.sentence import (
        ClassifierOutput,
        SentenceClassifier,
        SentenceClassifierConfig,
        classifier,
        encode_batch,
    )
    from workbench.models.tokens import TokenClassifier, TokenClassifierConfig, token_classifier

_LAZY = {
    "blocks": "language",
    "ClassifierOutput": "sentence",
    "SentenceClassifier": "sentence",
    "SentenceClassifierConfig": "sentence",
    "TokenClassifier": "tokens",
    "TokenClassifierConfig": "tokens",
    "classifier": "sentence",
    "convnet": "convnets",
    "encode_batch": "sentence",
    "freeze_embeddings": "parameters",
    "load_convnet": "convnets",
    "load_encoder": "encoders",
    "load_language_model": "language",
    "normalise": "convnets",
    "parameter_report": "parameters",
    "save_convnet": "convnets",
    "token_classifier": "tokens",
    "trained_convnet": "convnets",
}

__all__ = [
    "CONVNETS",
    "ENCODERS",
    "LANGUAGE_MODELS",
    "TRAINED",
    "ClassifierOutput",
    "Encoder",
    "SentenceClassifier",
    "SentenceClassifierConfig",
    "TokenClassifier",
    "TokenClassifierConfig",
    "blocks",
    "classifier",
    "convnet",
    "encode_batch",
    "fingerprint",
    "freeze_embeddings",
    "load_convnet",
    "load_encoder",
    "load_language_model",
    "normalise",
    "parameter_report",
    "save_convnet",
    "token_classifier",
    "trained_convnet",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
    globals()[name] = value
    return value
