"""What was saved: density, bytes, multiply-adds and measured time."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from workbench.metrics.norms import Rule, layer_weights, module_type


@dataclass(frozen=True)
class MultiplyAdds:
    """Multiply-adds of one forward pass over ``batch`` sequences of ``length`` tokens, or pictures.

    ``linear`` counts convolutions too.
    """

    batch: int
    length: int
    linear: int
    surviving_linear: int
    attention: int

    @property
    def dense(self) -> int:
        """All linear layers and attention products, removed weights included."""
        return self.linear + self.attention

    @property
    def surviving(self) -> int:
        """The same without removed weights: what an ideal sparse kernel would do."""
        return self.surviving_linear + self.attention


@dataclass(frozen=True)
class Latency:
    """Seconds of one forward pass: median and quartiles over ``repeats``, and how measured."""

    median: float
    lower: float
    upper: float
    repeats: int
    batch: int
    length: int
    threads: int
    device: str


def density(
    model: nn.Module,
    masks: Mapping[str, Tensor] | None = None,
    prunable: Iterable[str] | None = None,
) -> dict[str, float]:
    """Share of parameters that remain: over the ``"prunable"`` ones and over ``"all"``.

    Removed is what a mask (parameter name -> tensor, 0 where removed) says, or without masks a
    prunable weight that is exactly 0. ``prunable`` are parameter names; by default those of the
    masks, else the weight matrices inside the numbered layers. All other parameters count in
    full, so a bias that happens to be 0 is not compression. Shared parameters count once.

    Raises ``ValueError`` for unknown names, a mask of another shape, or NaN weights.
    """
    kept, size = 0, 0
    for _, remaining, total in _remaining(model, masks, prunable):
        kept, size = kept + remaining, size + total
    everything = sum(parameter.numel() for parameter in model.parameters())
    return {"prunable": kept / size, "all": (everything - size + kept) / everything}


def layer_densities(
    model: nn.Module,
    masks: Mapping[str, Tensor] | None = None,
    prunable: Iterable[str] | None = None,
    *,
    rule: Rule = module_type,
) -> list[tuple[int | None, str, float]]:
    """(layer, module, density) of each prunable parameter, as :func:`density` counts it."""
    return [(*rule(name), kept / size) for name, kept, size in _remaining(model, masks, prunable)]


def bytes_on_disk(path: str | os.PathLike[str]) -> int:
    """Bytes of a saved file, or of all files below a folder (symbolic links are followed)."""
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; save the model first.")
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)


def bytes_in_memory(model: nn.Module) -> int:
    """Bytes of all parameters and buffers at their dtypes, shared ones once."""
    tensors = [*model.parameters(), *model.buffers()]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def multiply_adds(
    model: nn.Module,
    batch: int | Mapping[str, Tensor] = 1,
    length: int = 128,
    *,
    rule: Rule = module_type,
) -> MultiplyAdds:
    """Count multiply-adds of linear layers, convolutions and the attention products.

    A linear layer costs its weights times the rows it is applied to, a convolution its weights
    times the places it is applied at (both seen on one forward pass); attention costs 2 ``batch``
    ``length``^2 times the width of each query, for scores and mixing. Biases, norms, activations
    and embeddings are left out. One multiply-add is two FLOPs. Exact zeros in weights are taken as
    removed; a layer that is applied twice, as fused ones are, is counted twice.

    Args:
        model: called with ``input_ids`` and ``attention_mask`` of one sequence without padding, or
            with the given inputs.
        batch: how many sequences of ``length`` tokens; or inputs of the model by keyword, such as
            pictures (n, channels, height, width), which then say both (``length`` 1 for pictures).
        rule: says which modules are queries, by which attention is found; a joint projection
            called ``c_attn`` (GPT-2) is a third query.
    """
    if isinstance(batch, Mapping):
        inputs = dict(batch)
        ids = inputs.get("input_ids")
        shape = next(value.shape for value in inputs.values() if isinstance(value, Tensor))
        size, length, times = shape[0], 1 if ids is None else ids.shape[1], 1
    else:
        _at_least_one(batch, length)
        inputs, size, times = dict(_inputs(model, 1, length)), batch, batch
    places: dict[str, int] = {}

    def watch(name: str, channels: int):
        def seen(module: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> None:
            places[name] = places.get(name, 0) + output.numel() // output.shape[channels]

        return seen

    convolutions = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
    counted = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d)
        or type(module).__name__ == "Conv1D"  # GPT-2's linear layer
    }
    hooks = [
        module.register_forward_hook(watch(name, 1 if isinstance(module, convolutions) else -1))
        for name, module in counted.items()
    ]
    try:
        with _evaluating(model):
            model(**inputs)
    finally:
        for hook in hooks:
            hook.remove()
    used = [(counted[name].weight, count) for name, count in places.items()]
    return MultiplyAdds(
        batch=size,
        length=length,
        linear=times * sum(count * weight.numel() for weight, count in used),
        surviving_linear=times * sum(count * int(weight.count_nonzero()) for weight, count in used),
        attention=2 * size * length**2 * sum(_queries(counted, rule)),
    )


def _queries(counted: Mapping[str, nn.Module], rule: Rule) -> Iterator[int]:
    """Width of each attention's query."""
    for name, module in counted.items():
        if isinstance(module, nn.Linear) and rule(f"{name}.weight")[1] == "query":
            yield module.out_features
        elif name.endswith("c_attn"):
            yield module.weight.shape[1] // 3  # (inputs, outputs)


def latency(
    model: nn.Module,
    batch: Mapping[str, Tensor] | tuple[int, int] = (1, 128),
    *,
    repeats: int = 20,
    threads: int = 1,
    warmup: int = 3,
) -> Latency:
    """Time a forward pass, without gradients and in evaluation mode.

    ``batch`` is a mapping of model inputs, or (sequences, tokens) for made-up ones. Torch runs on
    ``threads`` threads while this lasts. Unstructured zeros do not make dense kernels faster, so
    expect no change from pruning alone.
    """
    if repeats < 1 or threads < 1 or warmup < 0:
        raise ValueError(
            f"repeats={repeats}, threads={threads}, warmup={warmup}; repeats and threads must be "
            "1 or more, warmup 0 or more."
        )
    if not isinstance(batch, Mapping):
        _at_least_one(*batch)
    inputs = dict(batch) if isinstance(batch, Mapping) else _inputs(model, *batch)
    shape = next(value.shape for value in inputs.values() if isinstance(value, Tensor))
    device = next(model.parameters()).device
    seconds = []
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with _evaluating(model):
            for turn in range(warmup + repeats):
                start = time.perf_counter()
                model(**inputs)
                if device.type == "cuda":
                    torch.cuda.synchronize(device)
                if turn >= warmup:
                    seconds.append(time.perf_counter() - start)
    finally:
        torch.set_num_threads(before)
    lower, median, upper = (float(q) for q in np.quantile(seconds, (0.25, 0.5, 0.75)))
    length = shape[1] if len(shape) > 1 else 1
    return Latency(median, lower, upper, repeats, shape[0], length, threads, str(device))


def _remaining(
    model: nn.Module, masks: Mapping[str, Tensor] | None, prunable: Iterable[str] | None
) -> list[tuple[str, int, int]]:
    """(name, remaining weights, all weights) of every prunable parameter."""
    parameters = dict(model.named_parameters())
    names = list(prunable if prunable is not None else masks or ())
    if not names:
        names = [name for _, name, _ in layer_weights(model)]
    unknown = sorted((set(names) | set(masks or ())) - set(parameters))
    if unknown:
        raise ValueError(
            f"the model has no parameter {unknown[0]!r} ({len(unknown)} unknown); names must be "
            "those of model.named_parameters()."
        )
    found = []
    for name in names:
        tensor = parameters[name].detach()
        if torch.isnan(tensor).any():
            raise ValueError(f"{name!r} holds NaN weights; density is not defined for them.")
        if masks is not None and name in masks:
            if masks[name].shape != tensor.shape:
                raise ValueError(
                    f"the mask of {name!r} has shape {tuple(masks[name].shape)}, the parameter "
                    f"{tuple(tensor.shape)}; they must agree."
                )
            tensor = masks[name]
        elif masks is not None:
            tensor = torch.ones_like(tensor, dtype=torch.bool)
        found.append((name, int(tensor.count_nonzero()), tensor.numel()))
    return found


def _at_least_one(batch: int, length: int) -> None:
    """Raise ``ValueError`` unless there is a sequence and it has a token."""
    if batch < 1 or length < 1:
        raise ValueError(f"batch={batch}, length={length}; both must be 1 or more.")


def _inputs(model: nn.Module, batch: int, length: int) -> dict[str, Tensor]:
    """Made-up token ids without padding, where the model's parameters are."""
    tokens = 6
    for name, module in model.named_modules():
        if not isinstance(module, nn.Embedding):
            continue
        if name.endswith("word_embeddings"):
            tokens = module.num_embeddings
        # RoBERTa keeps the positions up to its padding index free.
        free = 0 if module.padding_idx is None else module.padding_idx + 1
        if name.endswith("position_embeddings") and length > module.num_embeddings - free:
            longest = module.num_embeddings - free
            raise ValueError(f"length={length}; the model takes at most {longest} tokens.")
    device = next(model.parameters()).device
    # Not token 0 or 1, which stand for padding.
    ids = torch.full((batch, length), min(5, tokens - 1), dtype=torch.long, device=device)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


@contextmanager
def _evaluating(model: nn.Module):
    """Evaluation mode without gradients; each module's mode is put back."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module in training:
            module.training = True
