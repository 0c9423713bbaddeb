"""Which weights may be pruned: one rule, and a way to give another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

from torch import nn

Rule: TypeAlias = Callable[[str, nn.Module], bool]

# Path components that lie before or after the encoder's layers, as transformers and we name them.
# A component that starts with "embed" is outside as well (embeddings, embed_tokens, ...).
OUTSIDE = frozenset(
    {
        "classifier",
        "classification_head",
        "cls",
        "head",
        "lm_head",
        "pooler",
        "pre_classifier",
        "predictions",
        "qa_outputs",
        "score",
        "seq_relationship",
        "sequence_summary",
        "multiple_choice_head",
        "vocab_projector",
        "vocab_transform",
    }
)


def encoder_linear(name: str, module: nn.Module) -> bool:
    """The default rule: is ``module`` a linear map inside the encoder?

    True for ``torch.nn.Linear`` (and GPT-2's ``Conv1D``, and the projections of
    ``torch.nn.MultiheadAttention``) unless a component of the dotted ``name`` is in ``OUTSIDE`` or
    starts with ``embed``. So queries, keys, values, attention outputs and both feed-forward maps of
    every layer are prunable: 84.9M weights of BERT base. Embeddings, layer norms, biases, the
    pooler (a part of the head: it feeds nothing but the classifier) and the classifier are not,
    as in thesis section 11.4. In a plain ``nn.Sequential`` every linear layer is prunable.
    """
    outside = any(part in OUTSIDE or part.startswith("embed") for part in name.split("."))
    return not outside and _is_linear(module)


def prunable_parameters(model: nn.Module, rule: Rule | None = None) -> dict[str, nn.Parameter]:
    """The weights that pruning may touch.

    Args:
        model: any module; wrappers of data parallelism and ``torch.compile`` are looked through.
        rule: predicate ``(module name, module) -> bool``, asked for every module that owns a
            ``weight``; ``encoder_linear`` when left out. For convolutions, say:
            ``lambda name, module: isinstance(module, torch.nn.Conv2d)``.

    Returns:
        Parameter name -> parameter, in the order of ``model.named_modules()``. A parameter that
        several modules share appears once; one that is also an embedding table is left out under
        the default rule.

    Raises:
        ValueError: nothing is prunable.
        TypeError: ``model`` is not a module.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    model = unwrap(model)
    selects = rule or encoder_linear
    seen: set[int] = set()
    if rule is None:
        tables = (m for m in model.modules() if isinstance(m, nn.Embedding))
        seen = {id(table.weight) for table in tables}
    found: dict[str, nn.Parameter] = {}
    for name, module in model.named_modules():
        for attribute, parameter in _weights(module):
            if id(parameter) not in seen and selects(name, module):
                seen.add(id(parameter))
                found[f"{name}.{attribute}" if name else attribute] = parameter
    if not found:
        kinds = sorted({type(m).__name__ for m in model.modules() if any(_weights(m))})
        which = "the default rule (linear layers of the encoder)" if rule is None else "this rule"
        raise ValueError(
            f"{type(model).__name__} has no prunable weight under {which}; "
            f"its modules with a weight are {kinds or 'none'}. Pass a predicate "
            "(module name, module) -> bool that selects some of them."
        )
    return found


def unwrap(model: nn.Module) -> nn.Module:
    """``model`` without the wrappers of data parallelism and ``torch.compile``."""
    while True:
        if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
            model = model.module
        elif isinstance(inner := getattr(model, "_orig_mod", None), nn.Module):
            model = inner
        else:
            return model


def _is_linear(module: nn.Module) -> bool:
    # GPT-2's Conv1D is a transposed linear map; told by name, so that transformers is not imported.
    gpt2 = any(c.__name__ == "Conv1D" and c.__module__ == "transformers.pytorch_utils"
               for c in type(module).__mro__)  # fmt: skip
    return gpt2 or isinstance(module, nn.Linear | nn.MultiheadAttention)


def _weights(module: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    names = ["weight"]
    if isinstance(module, nn.MultiheadAttention):
        names = ["in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight"]
    for name in names:
        parameter = module._parameters.get(name)
        if parameter is not None:
            yield name, parameter
