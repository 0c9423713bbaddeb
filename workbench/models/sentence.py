"""A sentence classifier: encoder, pooling, dropout, linear head.

The pooled vector is part of the output, because chapter 11 compares it between teacher and
student (cosine and cross-correlation losses) and measures it (separability, mutual information).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForSequenceClassification,
    PretrainedConfig,
    PreTrainedModel,
)
from transformers import PreTrainedTokenizerBase as Tokenizer
from transformers.utils import ModelOutput

from workbench.models.encoders import load_encoder, without_pooler
from workbench.models.registry import prefix as prefix_of

POOLINGS = ("mean", "cls")


@dataclass
class ClassifierOutput(ModelOutput):
    """``loss`` () if there were labels, ``logits`` (batch, labels), ``representation``
    (batch, hidden).
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    representation: Tensor | None = None


class SentenceClassifierConfig(PretrainedConfig):
    """The encoder's own configuration, and what sits on top of it.

    Args:
        encoder: configuration of the encoder, or its dictionary.
        pooling: ``mean`` over the tokens that are not padding, or ``cls``, the first token.
        dropout: rate on the pooled vector, in training only.
        prefix: text that the encoder wants before each input; kept for whoever encodes.
        num_labels: number of classes; 1 means regression with squared error.
    """

    model_type = "sentence-classifier"
    sub_configs: ClassVar[dict[str, Any]] = {"encoder": AutoConfig}  # type: ignore[assignment]
    keys_to_ignore_at_inference: ClassVar[list[str]] = ["representation"]

    def __init__(
        self,
        encoder: PretrainedConfig | dict[str, Any] | None = None,
        pooling: str = "mean",
        dropout: float = 0.1,
        prefix: str = "",
        **kwargs: Any,
    ) -> None:
        if pooling not in POOLINGS:
            raise ValueError(f"pooling={pooling!r}; allowed: {', '.join(POOLINGS)}.")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout={dropout}; allowed: 0 <= dropout < 1.")
        if encoder is None:  # transformers builds an empty one to compare with when it saves
            encoder = {"model_type": "bert"}
        if isinstance(encoder, dict):
            encoder = AutoConfig.for_model(**encoder)
        super().__init__(**kwargs)  # resets the attention of sub-configurations, so they come after
        self.encoder: PretrainedConfig = encoder
        self.pooling = pooling
        self.dropout = dropout
        self.prefix = prefix

    @property
    def hidden_size(self) -> int:
        """Width of the pooled vector."""
        return int(self.encoder.hidden_size)


class SentenceClassifier(PreTrainedModel):
    """``logits = W dropout(pool(encoder(x))) + b``.

    Parameters keep the encoder's names behind ``encoder.``; the head is ``classifier.weight`` and
    ``classifier.bias``. The encoder's own pooling layer, if any, is left out: it would be dead
    weight here. Works with ``save_pretrained``, ``from_pretrained``, ``transformers.Trainer``,
    ``accelerate`` and ``copy.deepcopy``.

    Args:
        config: see :class:`SentenceClassifierConfig`.
        encoder: an encoder to take over as it is; a new one with random weights by default.
    """

    config_class = SentenceClassifierConfig
    base_model_prefix = "encoder"
    main_input_name = "input_ids"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_attention_backend = True

    def __init__(
        self, config: SentenceClassifierConfig, encoder: PreTrainedModel | None = None
    ) -> None:
        super().__init__(config)
        if encoder is None:
            kind = AutoModel._model_mapping[type(config.encoder)]
            encoder = AutoModel.from_config(config.encoder, **without_pooler(kind))
        else:
            if getattr(encoder, "pooler", None) is not None:
                encoder.pooler = None
            for module in encoder.modules():  # post_init leaves what is marked alone
                module._is_hf_initialized = True
        self.encoder = encoder
        self.dropout = nn.Dropout(config.dropout)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear):
            std = getattr(self.config.encoder, "initializer_range", 0.02)
            nn.init.normal_(module.weight, std=std)
            nn.init.zeros_(module.bias)

    def get_input_embeddings(self) -> nn.Module:
        """The word embeddings."""
        return self.encoder.get_input_embeddings()

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        labels: Tensor | None = None,
        **kwargs: Any,
    ) -> ClassifierOutput:
        """Score a batch.

        Args:
            input_ids: (batch, tokens).
            attention_mask: (batch, tokens), 1 for tokens and 0 for padding; all ones by default.
            token_type_ids: (batch, tokens); ignored by encoders that know a single type.
            labels: (batch,) classes, or values for regression.

        Returns:
            ``loss`` (cross-entropy in nats, or mean squared error), ``logits`` (batch, labels),
            ``representation`` (batch, hidden): the pooled vector before dropout.
        """
        _, representation = self.states(input_ids, attention_mask, token_type_ids)
        logits = self.classifier(self.dropout(representation))
        loss = None
        if labels is not None:
            if self.config.num_labels == 1:
                loss = F.mse_loss(logits.squeeze(-1), labels.to(logits.dtype))
            else:
                loss = F.cross_entropy(logits, labels)
        return ClassifierOutput(loss=loss, logits=logits, representation=representation)

    def states(
        self, input_ids: Tensor, attention_mask: Tensor | None, token_type_ids: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """The encoder's last states (batch, tokens, hidden), and pooled (batch, hidden)."""
        if attention_mask is None:
            attention_mask = torch.ones_like(input_ids)
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask}
        if token_type_ids is not None and getattr(self.config.encoder, "type_vocab_size", 1) > 1:
            inputs["token_type_ids"] = token_type_ids
        hidden = self.encoder(**inputs).last_hidden_state
        return hidden, pool(hidden, attention_mask, self.config.pooling)


AutoConfig.register(SentenceClassifierConfig.model_type, SentenceClassifierConfig, exist_ok=True)
AutoModelForSequenceClassification.register(
    SentenceClassifierConfig, SentenceClassifier, exist_ok=True
)


def pool(hidden: Tensor, mask: Tensor, how: str = "mean") -> Tensor:
    """(batch, tokens, hidden), (batch, tokens) -> (batch, hidden).

    ``mean`` averages over the tokens whose mask is 1, so padding changes nothing; the sum is kept
    in at least float32. ``cls`` takes the first token that is not padding.
    """
    if how == "cls":
        first = mask.argmax(dim=1)
        return hidden[torch.arange(len(hidden), device=hidden.device), first]
    if how != "mean":
        raise ValueError(f"pooling={how!r}; allowed: {', '.join(POOLINGS)}.")
    weights = mask.unsqueeze(-1).float()
    return ((hidden * weights).sum(1) / weights.sum(1).clamp(min=1)).to(hidden.dtype)


Model = TypeVar("Model", bound=SentenceClassifier)


def classifier(
    name: str,
    num_labels: int,
    pooling: Literal["mean", "cls"] = "mean",
    *,
    dropout: float = 0.1,
    seed: int | None = None,
) -> tuple[SentenceClassifier, Tokenizer]:
    """A classifier over the pretrained encoder ``name``, its head fresh, in evaluation mode.

    Args:
        name: see :func:`workbench.models.load_encoder`.
        num_labels: number of classes, or 1 for regression.
        pooling: ``mean`` or ``cls``.
        dropout: rate before the head.
        seed: seed of the head's weights; by default torch's current random state is used.

    Returns:
        The model and its tokenizer. What the encoder wants before each text is in
        ``model.config.prefix``; pass it to :func:`encode_batch`.
    """
    if isinstance(num_labels, bool) or not isinstance(num_labels, int) or num_labels < 1:
        raise ValueError(f"num_labels={num_labels!r}; allowed: 1 (regression), or 2 and more.")
    return headed(SentenceClassifier, name, num_labels, pooling, dropout=dropout, seed=seed)


def headed(
    kind: type[Model],
    name: str,
    num_labels: int,
    pooling: str,
    *,
    dropout: float,
    seed: int | None,
) -> tuple[Model, Tokenizer]:
    """A model of class ``kind`` over the encoder ``name``, and the tokenizer."""
    if pooling not in POOLINGS:
        raise ValueError(f"pooling={pooling!r}; allowed: {', '.join(POOLINGS)}.")
    encoder, tokenizer = load_encoder(name)
    encoder.config._name_or_path = name  # not the folder of this machine's cache
    config = kind.config_class(
        encoder=encoder.config,
        pooling=pooling,
        dropout=dropout,
        prefix=prefix_of(name),
        num_labels=num_labels,
    )
    if seed is None:
        return kind(config, encoder).eval(), tokenizer
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return kind(config, encoder).eval(), tokenizer


def encode_batch(
    tokenizer: Tokenizer,
    texts: Sequence[str],
    pairs: Sequence[str] | None = None,
    *,
    max_length: int = 64,
    prefix: str = "",
) -> dict[str, Tensor]:
    """Texts, or pairs of texts -> the tensors that ``forward`` takes, each (batch, tokens).

    Padded to the longest of the batch and cut at ``max_length`` tokens (of a pair, the longer
    text is cut first). ``prefix`` goes before every text, also the second of a pair.

    Raises:
        ValueError: no texts, a text that is not a string, or texts and pairs of unlike number.
    """
    first = _checked(texts, "texts")
    second = None if pairs is None else _checked(pairs, "pairs")
    if second is not None and len(second) != len(first):
        raise ValueError(
            f"{len(first)} texts and {len(second)} pairs; give one pair for each text."
        )
    if max_length < 4:
        raise ValueError(f"max_length={max_length}; allowed: 4 and more, special tokens included.")
    encoded = tokenizer(
        [prefix + text for text in first],
        None if second is None else [prefix + text for text in second],
        padding=True,
        truncation=True,
        max_length=max_length,
        return_tensors="pt",
    )
    return dict(encoded)


def _checked(texts: Sequence[str], what: str) -> list[str]:
    if isinstance(texts, str):
        raise ValueError(f"{what} is one string; give a list of strings, such as [{texts[:20]!r}].")
    texts = list(texts)
    if not texts:
        raise ValueError(f"{what} is empty; give at least one text.")
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise ValueError(
                f"{what}[{index}] is {type(text).__name__} {str(text)[:40]!r}; give strings only."
            )
    return texts
