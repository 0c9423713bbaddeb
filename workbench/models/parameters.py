"""How many parameters a model has, and which of them need no gradient."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn
from transformers.pytorch_utils import Conv1D


def embedding_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """The tables of word, position and type embeddings by name."""
    return {
        f"{name}.weight" if name else "weight": module.weight
        for name, module in model.named_modules()
        if isinstance(module, nn.Embedding)
    }


def freeze_embeddings(model: nn.Module, *, frozen: bool = True) -> list[str]:
    """Take the embedding tables out of training (``frozen=False`` puts them back).

    Their gradients are then neither computed nor stored, and an optimizer over the parameters
    with ``requires_grad`` keeps no state for them: for ``e5-small`` that is 96 of 117 million
    parameters. The layer norm after the tables still learns.

    Returns:
        The names of the tables, in the model's order.
    """
    tables = embedding_parameters(model)
    for table in tables.values():
        table.requires_grad_(not frozen)
    return list(tables)


def parameter_report(model: nn.Module, prunable: Iterable[str] | None = None) -> dict[str, int]:
    """Count scalars, each shared tensor once.

    Args:
        model: any module.
        prunable: names of the parameters that pruning may touch. By default the weights of the
            linear layers, without those directly on the model (its head) and without a pooler.

    Returns:
        ``total``, ``trainable``, ``embeddings`` (word, position and type), ``outside_embeddings``,
        ``prunable``.

    Raises:
        KeyError: ``prunable`` names a parameter that the model lacks.
    """
    parameters = dict(model.named_parameters())
    names = _linear_weights(model) if prunable is None else list(prunable)
    unknown = [name for name in names if name not in parameters]
    if unknown:
        raise KeyError(f"no parameter {unknown[0]!r}. The model has {', '.join(parameters)}.")
    total = sum(parameter.numel() for parameter in parameters.values())
    tables = {id(table): table.numel() for table in embedding_parameters(model).values()}
    return {
        "total": total,
        "trainable": sum(p.numel() for p in parameters.values() if p.requires_grad),
        "embeddings": sum(tables.values()),
        "outside_embeddings": total - sum(tables.values()),
        "prunable": sum(parameters[name].numel() for name in names),
    }


def _linear_weights(model: nn.Module) -> list[str]:
    return [
        f"{name}.weight"
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | Conv1D)
        and "." in name
        and "pooler" not in name.split(".")
    ]
