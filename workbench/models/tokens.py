"""A token classifier: encoder, dropout, and one linear head that every token goes through.

The output is that of :mod:`workbench.models.sentence`, the pooled vector included, so that what is
measured on the representations of sentences is measured here too.
"""

from __future__ import annotations

from typing import Any, Literal

from torch import Tensor
from torch.nn import functional as F
from transformers import AutoConfig, AutoModelForTokenClassification
from transformers import PreTrainedTokenizerBase as Tokenizer

from workbench.models.sentence import (
    ClassifierOutput,
    SentenceClassifier,
    SentenceClassifierConfig,
    headed,
)

IGNORED = -100
"""The label of tokens that do not count: special ones, padding, and all but a word's first."""


class TokenClassifierConfig(SentenceClassifierConfig):
    """As :class:`SentenceClassifierConfig`; ``num_labels`` is the number of tags."""

    model_type = "token-classifier"

    def __init__(self, **kwargs: Any) -> None:
        # transformers would generate an initialiser of its own for a class that has none.
        super().__init__(**kwargs)


class TokenClassifier(SentenceClassifier):
    """``logits_t = W dropout(encoder(x)_t) + b`` for every token t.

    ``pooling`` says what ``representation`` is; the logits do not depend on it. Parameters have
    the names that they have in :class:`SentenceClassifier`.
    """

    config_class = TokenClassifierConfig  # type: ignore[assignment]

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        labels: Tensor | None = None,
        **kwargs: Any,
    ) -> ClassifierOutput:
        """Score every token of a batch.

        Args:
            input_ids: (batch, tokens).
            attention_mask: (batch, tokens), 1 for tokens and 0 for padding; all ones by default.
            token_type_ids: (batch, tokens); ignored by encoders that know a single type.
            labels: (batch, tokens) classes, -100 where a token does not count.

        Returns:
            ``loss`` (cross-entropy in nats, the mean over the tokens that count), ``logits``
            (batch, tokens, labels), ``representation`` (batch, hidden): the pooled vector.
        """
        hidden, representation = self.states(input_ids, attention_mask, token_type_ids)
        logits = self.classifier(self.dropout(hidden))
        loss = None
        if labels is not None:
            loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED)
        return ClassifierOutput(loss=loss, logits=logits, representation=representation)


AutoConfig.register(TokenClassifierConfig.model_type, TokenClassifierConfig, exist_ok=True)
AutoModelForTokenClassification.register(TokenClassifierConfig, TokenClassifier, exist_ok=True)


def token_classifier(
    name: str,
    num_labels: int,
    pooling: Literal["mean", "cls"] = "mean",
    *,
    dropout: float = 0.1,
    seed: int | None = None,
) -> tuple[TokenClassifier, Tokenizer]:
    """A token classifier over the pretrained encoder ``name``, its head fresh, in evaluation mode.

    Args:
        name: see :func:`workbench.models.load_encoder`.
        num_labels: number of tags, 2 and more.
        pooling: how states become ``representation``: ``mean`` or ``cls``.
        dropout: rate before the head.
        seed: seed of the head's weights; by default torch's current random state is used.

    Returns:
        The model and its tokenizer; the prefix of the encoder is in ``model.config.prefix``.
    """
    if isinstance(num_labels, bool) or not isinstance(num_labels, int) or num_labels < 2:
        raise ValueError(f"num_labels={num_labels!r}; allowed: 2 and more.")
    return headed(TokenClassifier, name, num_labels, pooling, dropout=dropout, seed=seed)
