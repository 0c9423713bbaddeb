"""What gets compressed: encoders, and the classifiers that sit on one.

``ENCODERS``, ``Encoder`` and ``fingerprint`` are light. Everything else imports torch and
transformers, and does so when it is first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from workbench.models.registry import ENCODERS, Encoder, fingerprint

if TYPE_CHECKING:
    from workbench.models.encoders import load_encoder
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
    "ClassifierOutput": "sentence",
    "SentenceClassifier": "sentence",
    "SentenceClassifierConfig": "sentence",
    "TokenClassifier": "tokens",
    "TokenClassifierConfig": "tokens",
    "classifier": "sentence",
    "encode_batch": "sentence",
    "freeze_embeddings": "parameters",
    "load_encoder": "encoders",
    "parameter_report": "parameters",
    "token_classifier": "tokens",
}

__all__ = [
    "ENCODERS",
    "ClassifierOutput",
    "Encoder",
    "SentenceClassifier",
    "SentenceClassifierConfig",
    "TokenClassifier",
    "TokenClassifierConfig",
    "classifier",
    "encode_batch",
    "fingerprint",
    "freeze_embeddings",
    "load_encoder",
    "parameter_report",
    "token_classifier",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
    globals()[name] = value
    return value
