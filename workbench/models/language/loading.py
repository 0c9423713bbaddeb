"""``load_language_model``: a name in, a language model and its tokenizer out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from workbench.models import encoders, registry
from workbench.models.language.registry import ARCHITECTURES, LANGUAGE_MODELS, Architecture

if TYPE_CHECKING:
    from torch import nn
    from transformers import GPT2LMHeadModel, PreTrainedModel, PreTrainedTokenizerFast


def load_language_model(
    name: str, texts: Sequence[str] = ()
) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """A language model in evaluation mode, float32, with its tokenizer.

    Args:
        name: one of ``LANGUAGE_MODELS``, whose fresh weights are drawn from torch's generator; a
            local folder as ``save_pretrained`` writes it; or a hub id (``OWNER/NAME@REVISION``),
            such as ``openai-community/gpt2``.
        texts: the documents that the tokenizer of one of ``LANGUAGE_MODELS`` is trained on, e.g.
            ``load_corpus("enwiki")["train"]``. Others come with their own and ignore it.

    Returns:
        A causal model of transformers and its tokenizer. Weights come from safetensors alone.

    Raises:
        ValueError: no such name; no texts; the weights do not fill the model, or it sees what comes
            after a token, as encoders do.
        FileNotFoundError: the folder, its safetensors, its config or its tokenizer is missing.
        SourceError: fetching failed.
    """
    if name in ARCHITECTURES:
        from workbench.models.language.tokens import train_tokenizer

        about = ARCHITECTURES[name]
        tokenizer = train_tokenizer(texts, about.vocabulary, context=about.context)
        return _named_loss(_fresh(about, len(tokenizer), tokenizer.eos_token_id)), tokenizer
    folder = encoders.fetch(name) if _can_be_one(name) else None
    if folder is None:
        raise ValueError(
            f"{name!r} is no language model. Allowed: {', '.join(LANGUAGE_MODELS)}, a local "
            "folder, or a hub id such as openai-community/gpt2."
        )
    # The first heavy import of this module.
    from transformers import AutoModelForCausalLM

    model, tokenizer = encoders.from_folder(folder, AutoModelForCausalLM)
    if _sees_ahead(model):
        raise ValueError(
            f"{name!r} sees the words that come after, so it cannot be asked to predict them. Give "
            "a model that reads from left to right, such as openai-community/gpt2."
        )
    return _named_loss(model), tokenizer


def _named_loss(model: PreTrainedModel) -> PreTrainedModel:
    # Not every class name tells transformers which loss it is; it would warn, and take this one.
    model.loss_type = "ForCausalLM"
    return model


def _can_be_one(name: str) -> bool:
    """Whether the name leads to a folder or to the hub."""
    try:
        return registry.locate(name).kind in ("folder", "hub")
    except ValueError:
        return False


def _fresh(about: Architecture, vocabulary: int, end: int | None) -> GPT2LMHeadModel:
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=vocabulary,
        n_positions=about.context,
        n_embd=about.width,
        n_layer=about.layers,
        n_head=about.heads,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=end,
        eos_token_id=end,
        tie_word_embeddings=True,
        architectures=["GPT2LMHeadModel"],
    )
    with encoders.quiet():
        return GPT2LMHeadModel(config).eval()


def _sees_ahead(model: nn.Module) -> bool:
    """Whether another last token changes what is predicted from those before it."""
    import torch

    ids = torch.tensor([[1, 2, 3, 4], [1, 2, 3, 5]], device=next(model.parameters()).device)
    with torch.no_grad():
        one, other = model(input_ids=ids).logits[:, :-1]
    return not torch.allclose(one, other, rtol=1e-3, atol=1e-4)
