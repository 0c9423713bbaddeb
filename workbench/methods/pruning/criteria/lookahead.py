"""Lookahead: a weight is worth what it does together with the maps before and after it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from workbench.methods.pruning import wiring
from workbench.methods.pruning.factors import Factors, inputs, outputs, rank_one, times
from workbench.methods.pruning.prunable import Rule, prunable_parameters, unwrap
from workbench.methods.pruning.wiring import Chain, LinearMap, Stack


@torch.no_grad()
def lookahead(model: nn.Module, prunable: Rule | None = None) -> dict[str, Tensor]:
    r"""Score every prunable weight by the distortion that its removal brings to three layers.

    .. math:: L(W_{l,ij}) = |W_{l,ij}| \; \|W_{l-1}[j, :]\|_F \; \|W_{l+1}[:, i]\|_F

    for ``torch.nn.Linear`` weights of shape (out, in): the Frobenius norm that the product
    :math:`W_{l+1} W_l W_{l-1}` loses with the weight. A neighbour that is missing or unknown has
    factor 1, so that a lone layer is scored by magnitude.

    **Chains.** The linear layers of an ``nn.Sequential`` (nested ones too), with activations and
    dropout in between, are neighbours. The gain of a norm between them multiplies: feature i by
    :math:`|\gamma_i|`, and by :math:`|\gamma_i| / \sqrt{\sigma_i^2 + \epsilon}` for a batch norm,
    whose running deviations are part of the map as in section 3.2 of the paper.

    **Encoder layers** read from a residual stream and write to it in three pairs of maps, and the
    maps of a pair are each other's neighbours. With g the gain of the norm through which a branch
    reads the stream, and o the gain of the norm on the stream after the branch was added:

    ================  ================================================  =======================
    weight            neighbour                                         stream
    ================  ================================================  =======================
    query [i, j]      row i of key (query and key meet in             :math:`|g_j|`
                      their inner product)
    key [i, j]        row i of query                                    :math:`|g_j|`
    value [i, j]      column i of the attention output                  :math:`|g_j|`
    attention output  row j of value                                    :math:`|o_i|`
    intermediate      column i of output                                :math:`|g_j|`
    output            row j of intermediate                             :math:`|o_i|`
    ================  ================================================  =======================

    So each score is a weight, one norm and one gain, comparable across the six. In post-LN encoders
    (BERT) g is the gain of the norm that last touched the stream, the embeddings' for the first
    layer. In pre-LN encoders g is that of the branch's own norm and o = 1. Where there is no norm
    the gain is 1. The stream itself is no neighbour: it adds all layers, and its norm would be the
    same for each of them. Scores do not change when a pair is rescaled without changing the network
    (value times c, attention output over c), which magnitude does not promise.

    Encoders of the BERT, RoBERTa (also pre-LN), XLM-R (also XL), ELECTRA, DeBERTa, MPNet, ALBERT,
    DistilBERT and ViT families, GPT-2, and ``nn.TransformerEncoderLayer`` are told by the names of
    their parts, within any model that contains one.

    Args:
        model: any module; nothing in it is changed.
        prunable: predicate ``(module name, module) -> bool`` instead of the default rule. Weights
            that it leaves out still count as neighbours.

    Returns:
        Parameter name -> tensor of the parameter's shape, on its device; float64 for float64
        weights, else float32 (norms are taken in float64).

    Raises:
        ValueError: the rule selects no weight.

    Warns:
        UserWarning: some of several weights have no place in a chain or an encoder layer known
            here, and are scored by magnitude.

    References:
        Park et al., "Lookahead: a far-sighted alternative of magnitude-based pruning", ICLR 2020.
    """
    parameters = prunable_parameters(model, prunable)
    model = unwrap(model)
    scores = rank_one(parameters, _factors(model))
    unknown = [name for name in parameters if name not in scores]
    if unknown and len(parameters) > 1:
        warnings.warn(
            f"lookahead knows no neighbours of {len(unknown)} of {len(parameters)} weights, such "
            f"as {unknown[0]!r}, and scores them by magnitude; it knows nn.Sequential and encoders "
            "with the names of BERT, DistilBERT, ViT, GPT-2 or nn.TransformerEncoderLayer",
            stacklevel=3,
        )
    for name in unknown:
        weight = parameters[name].detach()
        scores[name] = weight.abs().to(torch.promote_types(weight.dtype, torch.float32))
    return {name: scores[name] for name in parameters}


def _factors(model: nn.Module) -> Iterator[Factors]:
    for stack in wiring.stacks(model):
        yield from _of_stack(stack)
    for chain, _ in wiring.chains(model):
        yield from _of_chain(chain)


def _of_chain(chain: Chain) -> Iterator[Factors]:
    for i, linear in enumerate(chain.maps):
        rows, columns = outputs(linear), inputs(linear)
        if i > 0:
            columns = _norm(chain.maps[i - 1], of="rows")
        if i < len(chain.maps) - 1:
            rows = _norm(chain.maps[i + 1], of="columns")
        yield linear, times(rows, chain.gains[i + 1]), times(columns, chain.gains[i])


def _of_stack(stack: Stack) -> Iterator[Factors]:
    stream = stack.entry
    for layer in stack.layers:
        read = stream if layer.read_attention is None else layer.read_attention
        columns = inputs(layer.query)
        yield layer.query, _norm(layer.key, of="rows"), times(columns, read)
        yield layer.key, _norm(layer.query, of="rows"), times(columns, read)
        yield layer.value, _norm(layer.attention_output, of="columns"), times(columns, read)
        rows = outputs(layer.attention_output)
        written = times(rows, layer.after_attention)
        yield layer.attention_output, written, _norm(layer.value, of="rows")

        stream = layer.after_attention
        read = stream if layer.read_feed_forward is None else layer.read_feed_forward
        columns = inputs(layer.intermediate)
        yield layer.intermediate, _norm(layer.output, of="columns"), times(columns, read)
        rows = outputs(layer.output)
        written = times(rows, layer.after_feed_forward)
        yield layer.output, written, _norm(layer.intermediate, of="rows")
        stream = layer.after_feed_forward


def _norm(linear: LinearMap, of: str) -> Tensor:
    """Euclidean norms of the rows or columns of (out, in), in float64.

    In parts that fit into a cache once widened: a fifth of the time that torch's own norm takes.
    """
    dim = 1 if of == "rows" else 0
    parts = linear.weight.split(256)
    sums = [part.to(torch.float64, copy=True).square_().sum(dim) for part in parts]
    return (torch.cat(sums) if of == "rows" else torch.stack(sums).sum(0)).sqrt_()
