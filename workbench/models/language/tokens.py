"""Text as tokens for a language model: a byte-pair encoding trained on it, and blocks to read."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.models.language.registry import VERSION
from workbench.sources import Made

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

END = "<|endoftext|>"
_FILE = "tokenizer.json"
_LEAST = 257  # the bytes and the end of text


def train_tokenizer(
    texts: Sequence[str], vocabulary: int = 4096, *, context: int = 128
) -> PreTrainedTokenizerFast:
    """A byte-level byte-pair encoding of ``texts``, as GPT-2's is of its own.

    The pairs of tokens that occur most often are merged until there are ``vocabulary`` tokens, or
    nothing is left to merge; any text in any script can be written with them and is read back
    unchanged. The same texts give the same tokens. Trained once, then read from the cache.

    Args:
        texts: the documents to learn from.
        vocabulary: number of tokens, 257 and more: the bytes and ``<|endoftext|>`` come first.
        context: ``model_max_length`` of the tokenizer, in tokens.

    Raises:
        ValueError: no text, or a vocabulary too small for the bytes.
    """
    if isinstance(texts, str) or not any(texts):
        raise ValueError(
            f"texts = {texts!r:.60} holds no document to learn tokens from; give a list of them, "
            'such as load_corpus("enwiki")["train"].'
        )
    if vocabulary < _LEAST:
        raise ValueError(f"vocabulary = {vocabulary}; allowed: {_LEAST} and more, for all bytes.")
    # transformers takes seconds to import; the names alone never get here.
    from transformers import PreTrainedTokenizerFast

    # Which of two equally frequent pairs comes first is the library's choice.
    import tokenizers  # isort: skip

    about = {
        "texts": _content(texts),
        "vocabulary": vocabulary,
        "version": VERSION,
        "tokenizers": tokenizers.__version__,
    }
    made = Made("tokenizers", f"bpe-{vocabulary}", about)
    folder = made.ensure(lambda folder: _train(texts, vocabulary, folder / _FILE))
    return PreTrainedTokenizerFast(
        tokenizer_file=str(folder / _FILE),
        bos_token=END,
        eos_token=END,
        unk_token=END,
        pad_token=END,
        model_max_length=context,
        model_input_names=["input_ids", "attention_mask"],
    )


def blocks(texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, length: int) -> Tensor:
    """The documents one after another, each with the end-of-text token behind it, cut into blocks.

    Args:
        texts: documents.
        tokenizer: of the language model that will read them.
        length: tokens in a block, 2 and more.

    Returns:
        (n, length) int64; what does not fill the last block is left out.

    Raises:
        ValueError: the tokenizer has no end-of-text token, or the documents do not fill a block.
    """
    import torch

    if tokenizer.eos_token_id is None:
        raise ValueError(
            f"{type(tokenizer).__name__} has no end-of-text token, so it belongs to no language "
            "model. Set tokenizer.eos_token."
        )
    if length < 2:
        raise ValueError(f"length = {length}; allowed: 2 and more tokens.")
    if isinstance(texts, str):
        raise ValueError("texts is one string; give a list of documents.")
    # Documents are longer than the model reads, which is why they are cut: no warning.
    quietly = {"add_special_tokens": False, "verbose": False}
    read = tokenizer(list(texts), **quietly)["input_ids"] if texts else []
    ids = [token for document in read for token in (*document, tokenizer.eos_token_id)]
    count = len(ids) // length
    if not count:
        raise ValueError(
            f"{len(texts)} documents have {len(ids)} tokens, fewer than one block of {length}. "
            "Give more text or a smaller length."
        )
    return torch.tensor(ids[: count * length], dtype=torch.int64).view(count, length)


def _train(texts: Sequence[str], vocabulary: int, path: Path) -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    core: Any = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(texts, trainer)
    core.save(str(path))


def _content(texts: Sequence[str]) -> str:
    found = hashlib.sha256()
    for text in texts:
        found.update(text.encode("utf-8", "surrogatepass") + b"\0")
    return found.hexdigest()
