"""Language models that read from left to right, as chapter 8 compresses them.

    >>> texts = load_corpus("enwiki")["train"]
    >>> model, tokenizer = load_language_model("gpt-small", texts)   # fresh weights
    >>> rows = blocks(texts, tokenizer, 64)                          # (n, 64) token ids
    >>> loss = model(rows[:16], labels=rows[:16]).loss               # nats per token

The names are light; torch is imported when the first model is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from workbench.models.language.registry import ARCHITECTURES, LANGUAGE_MODELS, Architecture

if TYPE_CHECKING:
    from workbench.models.language.loading import load_language_model
    from workbench.models.language.tokens import blocks, train_tokenizer

_LAZY = {"blocks": "tokens", "load_language_model": "loading", "train_tokenizer": "tokens"}

__all__ = [
    "ARCHITECTURES",
    "LANGUAGE_MODELS",
    "Architecture",
    "blocks",
    "load_language_model",
    "train_tokenizer",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
    globals()[name] = value
    return value
