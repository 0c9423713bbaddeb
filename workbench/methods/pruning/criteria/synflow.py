"""SynFlow: a weight is worth the flow that passes through it, with no data at all."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from workbench.methods.pruning import factors, wiring
from workbench.methods.pruning.factors import Factors, rank_one, times
from workbench.methods.pruning.linearised import flow_by_autograd
from workbench.methods.pruning.prunable import Rule, prunable_parameters, unwrap
from workbench.methods.pruning.wiring import Chain, EncoderLayer, LinearMap, Stack

_ROWS = 64


@torch.no_grad()
def synflow(
    model: nn.Module,
    prunable: Rule | None = None,
    *,
    inputs: Tensor | Mapping[str, Any] | None = None,
) -> dict[str, Tensor]:
    r"""Score every prunable weight by its share of the synaptic flow.

    .. math:: R = 1^\top \Big( \prod_l |\theta_l| \Big) 1, \qquad
              \mathrm{score}(\theta) = \frac{1}{R} \frac{\partial R}{\partial |\theta|} |\theta|

    The published score divided by R, a constant, so that no depth or width overflows: a score is
    the share of all flow that passes the weight, and the scores of each layer of a chain sum to 1
    (the conservation that keeps SynFlow from emptying a layer). The authors prune in about 100
    rounds, scoring anew in each; pass the earlier masks as ``within=``.

    **Chains**: an ``nn.Sequential`` of linear layers. Activations pass a positive signal unchanged,
    biases are left out, and a norm is its gain (see ``lookahead``).

    **Encoders** are not products of matrices; this is the rule taken here. A positive signal, equal
    for all tokens and 1 in each feature, enters the residual stream behind the embeddings, and R is
    the sum of the stream after the last layer.

    - A branch is a product of absolute weights added to the stream; a norm is its gain alone; an
      activation is the identity; biases, pooler and heads are left out.
    - Attention over equal tokens gives each the same value, so the flow takes the value path:
      stream, value, attention output, stream.
    - Query and key would get nothing, as softmax of equal logits is constant. Each head's values
      are therefore gated by its inner product :math:`q_h \cdot k_h` (of absolute weights), divided
      by the number it has, as softmax divides by its sum. That gate is 1, and its derivative by
      query and key is not. Of the flow :math:`F_h` through head h, row i of the query gets
      :math:`F_h q_i k_i / (q_h \cdot k_h)`, and so does row i of the key. They read the stream but
      draw no flow from it.

    So in each head query, key, value and attention output have the same sum, F_h, and intermediate
    has that of output. Each stack of layers counts as one network; a layer that a model uses
    several times (ALBERT) counts once.

    Args:
        model: any module; nothing in it is changed.
        prunable: predicate ``(module name, module) -> bool`` instead of the default rule.
        inputs: an example input for any other network (a convnet, say), usually
            ``torch.ones(1, 3, 32, 32)``; a mapping is passed as keywords. The flow is then found by
            automatic differentiation of a linearised copy of the model in float64, which takes four
            copies of float32 weights or more; attention and functional activations stay as they are
            in the copy.

    Returns:
        Parameter name -> tensor of the parameter's shape, on its device, at least 0; float64 for
        float64 weights, else float32. All 0 if no flow arrives at the end.

    Raises:
        ValueError: the rule selects no weight; or a weight has no place in a chain or an encoder
            known here, and there are no ``inputs``.

    References:
        Tanaka et al., "Pruning neural networks without any data by iteratively conserving synaptic
        flow", NeurIPS 2020.
    """
    parameters = prunable_parameters(model, prunable)
    model = unwrap(model)
    if inputs is not None:
        return flow_by_autograd(model, parameters, inputs)
    scores = rank_one(parameters, _factors(model))
    unknown = [name for name in parameters if name not in scores]
    if unknown:
        raise ValueError(
            f"synflow does not know the way of the signal through {len(unknown)} of "
            f"{len(parameters)} weights of {type(model).__name__}, such as {unknown[0]!r}; it "
            "knows an nn.Sequential of linear layers and encoders with the names of BERT, "
            "DistilBERT, ViT, GPT-2 or nn.TransformerEncoderLayer. Pass an example as inputs=, "
            "such as torch.ones(1, 3, 32, 32), or a prunable= that leaves these weights out"
        )
    return {name: scores[name] for name in parameters}


def _factors(model: nn.Module) -> Iterator[Factors]:
    for stack in wiring.stacks(model):
        yield from _through_stack(stack)
    for chain, is_all in wiring.chains(model):
        if is_all:
            yield from _through_chain(chain)


def _through_chain(chain: Chain) -> Iterator[Factors]:
    signal = times(factors.inputs(chain.maps[0]), chain.gains[0])
    read, left = [], []
    for linear, gain in zip(chain.maps, chain.gains[1:], strict=True):
        signal = signal / _top(signal)  # shares do not depend on the scale of the signal
        read.append(signal)
        signal = times(_forward(linear, signal), gain)
        left.append(signal)
    flow = torch.ones_like(signal)
    for i in reversed(range(len(chain.maps))):
        flow = times(_conserved(flow, left[i]), chain.gains[i + 1])
        yield chain.maps[i], flow, read[i]
        flow = _backward(chain.maps[i], flow)


def _through_stack(stack: Stack) -> Iterator[Factors]:
    stream = times(factors.inputs(stack.layers[0].query), stack.entry)
    entered = []
    for layer in stack.layers:
        stream = stream / _top(stream)
        entered.append(stream)
        stream = _Pass(layer, stream).stream
    flow = torch.ones_like(stream)
    for layer, stream in zip(reversed(stack.layers), reversed(entered), strict=True):
        passed = _Pass(layer, stream)
        flow = yield from passed.back(_conserved(flow, passed.stream))


class _Pass:
    """One encoder layer, there and back; all signals are float64 vectors."""

    def __init__(self, layer: EncoderLayer, stream: Tensor) -> None:
        self.layer = layer
        self.read = times(stream, layer.read_attention)
        self.query, self.key = _forward(layer.query, self.read), _forward(layer.key, self.read)
        self.value = _forward(layer.value, self.read)
        attended = stream + _forward(layer.attention_output, self.value)
        attended = times(attended, layer.after_attention)
        self.read_inner = times(attended, layer.read_feed_forward)
        self.inner = _forward(layer.intermediate, self.read_inner)
        self.stream = attended + _forward(layer.output, self.inner)
        self.stream = times(self.stream, layer.after_feed_forward)

    def back(self, flow: Tensor) -> Generator[Factors, None, Tensor]:
        """From dR/d(stream after the layer) to the same before it (returned)."""
        layer = self.layer
        flow = times(flow, layer.after_feed_forward)
        yield layer.output, flow, self.inner
        branch = _backward(layer.output, flow)
        yield layer.intermediate, branch, self.read_inner
        flow = flow + times(_backward(layer.intermediate, branch), layer.read_feed_forward)

        flow = times(flow, layer.after_attention)
        yield layer.attention_output, flow, self.value
        branch = _backward(layer.attention_output, flow)
        yield layer.value, branch, self.read
        heads = branch.mul(self.value).view(layer.heads, -1).sum(1)
        gates = self.query.mul(self.key).view(layer.heads, -1).sum(1)
        share = torch.where(gates > 0, heads / gates, 0).repeat_interleave(
            len(self.query) // layer.heads
        )
        yield layer.query, share * self.key, self.read
        yield layer.key, share * self.query, self.read
        return flow + times(_backward(layer.value, branch), layer.read_attention)


def _forward(linear: LinearMap, signal: Tensor) -> Tensor:
    signal = signal.to(linear.weight.device)
    return torch.cat([part.abs().double() @ signal for part in _parts(linear)])


def _backward(linear: LinearMap, flow: Tensor) -> Tensor:
    flow = flow.to(linear.weight.device)
    pieces = zip(flow.split(_ROWS), _parts(linear), strict=True)
    return torch.stack([piece @ part.abs().double() for piece, part in pieces]).sum(0)


def _parts(linear: LinearMap) -> tuple[Tensor, ...]:
    # Rows at a time: float64 copies of them stay in the cache, and take no memory to speak of.
    return linear.weight.split(_ROWS)


def _top(signal: Tensor) -> Tensor:
    top = signal.max()
    return torch.where(top > 0, top, 1)


def _conserved(flow: Tensor, signal: Tensor) -> Tensor:
    """``flow`` over its sum, so that all of R is 1 here too; 0 if nothing arrives at the end."""
    total = flow @ signal.to(flow.device)
    return flow / total if total > 0 else torch.zeros_like(flow)
