"""How well a language model predicts text: perplexity over blocks of tokens."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn


def perplexity(
    model: nn.Module,
    blocks: Any,
    batch_size: int = 16,
    device: torch.device | str | None = None,
    *,
    stride: int | None = None,
) -> float:
    r"""The exponential of the mean negative log-likelihood of a token, given those before it.

    .. math:: \exp\Big(-\frac{1}{N} \sum_{t} \ln p(x_t \mid x_{<t})\Big)

    As many tokens as the model cannot tell apart, on average: 1 where each is certain, the size of
    the vocabulary where all are equally likely. Lower is better; models with different tokenizers
    cannot be compared by it.

    Args:
        model: gives logits (batch, tokens, vocabulary) for ``input_ids`` (batch, tokens), itself
            or as ``.logits``. Read in evaluation mode; the mode of before is put back.
        blocks: (n, length) token ids, tensor or array.
        batch_size: blocks that are read at once.
        device: where to; by default where the model's parameters are, which are moved otherwise.
        stride: left out, each block is read by itself, and its first token, which has nothing
            before it, does not count: N = n (length - 1). A smaller one than ``length`` takes the
            blocks for one text, N = n length - 1, and reads it through windows of ``length``
            tokens that move on by ``stride``; a token counts in the first window that predicts
            it, so that all but those at the start have length - stride tokens before them or more.

    Returns:
        At least 1; infinite where a mean passes what a float can hold, NaN where logits are.

    Raises:
        ValueError: blocks are no (n, length) whole numbers of at least two columns, or a number is
            out of its range.
    """
    rows = torch.as_tensor(blocks)
    if rows.ndim != 2 or min(rows.shape[0], rows.shape[1] - 1) < 1 or rows.is_floating_point():
        raise ValueError(
            f"blocks have shape {tuple(rows.shape)} and type {rows.dtype}; they must be whole "
            "numbers (n, length) with a block or more of two tokens or more."
        )
    length = rows.shape[1]
    if batch_size < 1:
        raise ValueError(f"batch_size = {batch_size}; allowed: 1 and more.")
    if stride is not None and not 1 <= stride <= length:
        raise ValueError(f"stride = {stride}; allowed: 1 to {length}, the length of a block.")
    home = next((p.device for p in model.parameters()), torch.device("cpu"))
    if device is not None and torch.device(device) != home:
        model.to(device)
    place = torch.device(device) if device is not None else home
    training = model.training
    model.eval()
    total, count = 0.0, 0
    try:
        with torch.no_grad():
            for ids, counts in _windows(rows.long(), stride or length, batch_size):
                output = model(input_ids=ids.to(place))
                losses = _losses(getattr(output, "logits", output), ids.to(place)).cpu()
                total += float(losses[counts].sum(dtype=torch.float64))
                count += int(counts.sum())
    finally:
        model.train(training)
    mean = total / count
    return math.inf if mean > 709.0 else math.exp(mean)


def _losses(logits: Tensor, ids: Tensor) -> Tensor:
    """(batch, tokens - 1) negative log-likelihood of every token but the first, in nats."""
    predictions = logits[:, :-1].float().flatten(0, 1)
    losses = nn.functional.cross_entropy(predictions, ids[:, 1:].flatten(), reduction="none")
    return losses.view(len(ids), -1)


def _windows(rows: Tensor, stride: int, batch: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Windows (batch, length), and which of their later tokens count (batch, length - 1)."""
    text, length = rows.flatten(), rows.shape[1]
    last = len(text) - length
    starts = torch.tensor([*range(0, last, stride), last])
    read = torch.zeros_like(starts)  # tokens of a window that were in the one before it
    read[1:] = starts[:-1] + length - starts[1:]
    place = torch.arange(length)
    for i in range(0, len(starts), batch):
        yield text[starts[i : i + batch, None] + place], place[1:] >= read[i : i + batch, None]
