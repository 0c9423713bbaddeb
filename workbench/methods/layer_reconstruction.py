"""Reconstruct each layer by a thinner one, from the first to the last: student rollout.

The network that shall become smaller is the student, a copy of it the teacher. A layer's substitute
reads what the student, with all earlier layers already replaced, feeds it, and is fitted to what
the teacher's layer puts out: so it makes up for the errors of those before it (section 8.4.1).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from workbench.methods.decomposition import flat_matrix, put, saving_rank, two_layers
from workbench.methods.layer_fusion.layers import Layer, fusible_layers
from workbench.methods.pruning.linear import is_transposed
from workbench.methods.pruning.prunable import Rule, unwrap

Kind = Literal["autoencoder", "linear"]


class Fit(NamedTuple):
    """What became of a layer."""

    rank: int
    error: float  # mean squared error over the mean square of the teacher's centred outputs


@torch.no_grad()
def reconstruct(
    model: nn.Module,
    batches: Iterable[Any],
    keep: float,
    *,
    kind: Kind = "autoencoder",
    activation: Callable[[], nn.Module] = nn.ReLU,
    noise: float = 0.1,
    steps: int = 200,
    learning_rate: float = 1e-2,
    rows: int = 8192,
    seed: int = 0,
    rule: Rule | None = None,
) -> dict[str, Fit]:
    r"""Replace each layer by a one-hidden-layer substitute fitted to the teacher's outputs.

    .. math:: \tilde z = D\, g(\omega (x + \epsilon) + \beta) + b, \qquad
        \min_{\omega, \beta, D, b} E \| z - \tilde z \|^2

    Thesis equations A.20 and A.21, section 8.4.1, with x what the student feeds the layer and z
    what the teacher's layer puts out. Corrected: the decoder D stays. The thesis puts the encoder
    alone in the layer's place, but its r outputs do not fit the next layer, nor the residual
    stream; and A.20 reconstructs the output from itself, so that the layer it replaces is in no
    term. With :math:`r (m + n) \le \kappa m n` both factors together are the smaller ones.

    ``kind="linear"`` leaves g out, for which the best substitute is known: reduced-rank regression,
    the student rollout of truncated SVD.

    Args:
        model: changed in place, as ``decomposition.decompose`` changes it.
        batches: inputs of the model: mappings of keyword arguments, tuples of positional ones, or
            tensors. No labels are needed.
        keep: share of each layer's weights, in (0, 1].
        kind: as above.
        activation: makes g; the thesis takes that of the network (ReLU in A.20).
        noise: standard deviation of :math:`\epsilon`, in those of x; autoencoder only.
        steps, learning_rate: of Adam; autoencoder only. Its decoder is a ridge regression to
            begin with and once more in the end.
        rows: input rows (tokens, or places of a picture) that a layer is fitted to at most.
        seed: of initial weights, noise and the choice of rows.
        rule: predicate ``(module name, module) -> bool``: which layers, instead of those of
            ``layer_fusion.fusible_layers``. They are taken in the order in which they are called.

    Returns:
        Layer name -> rank and error, in the order in which they were replaced.

    Raises:
        ValueError: an option is out of range, there are no batches, or a layer cannot be replaced
            or is never called. Then nothing is changed.

    References:
        Vincent et al., "Extracting and composing robust features with denoising autoencoders", ICML
        2008. Izenman, "Reduced-rank regression for the multivariate linear model", 1975.
    """
    inner, data = unwrap(model), list(batches)
    if kind not in get_args(Kind) or not data or noise < 0 or steps < 0 or rows < 2:
        raise ValueError(
            f"kind must be one of {get_args(Kind)}, with at least one batch, noise and steps at "
            f"least 0 and rows at least 2; got {kind!r}, {len(data)} batches, {noise}, {steps}, "
            f"{rows}"
        )
    layers = fusible_layers(inner, rule)
    ranks = {}
    for name, layer in layers.items():
        m, n = flat_matrix(name, layer).shape
        ranks[name] = saving_rank(m, n, keep)
        if isinstance(layer.module, nn.Conv1d | nn.Conv3d):
            raise ValueError(
                f"{name!r} is a {type(layer.module).__name__}; of convolutions only nn.Conv2d can "
                "be reconstructed. Leave it out with rule=lambda name, module: ..."
            )
    order = call_order(inner, list(layers), data[0])
    was_training = inner.training
    teacher = copy.deepcopy(inner.eval())
    random = torch.Generator().manual_seed(seed)
    done: dict[str, Fit] = {}
    for name in order:
        layer, rank = layers[name], ranks[name]
        inputs, wanted = _rows(layer, name, inner, teacher, data, rows, random)
        hidden_bias, between = None, None
        left, right, bias = reduced_rank(inputs, wanted, rank)
        fitted = inputs @ right.T
        if kind == "autoencoder":
            between = activation()
            left, right, bias, hidden_bias = _autoencode(
                inputs, wanted, right, between, noise, steps, learning_rate, random
            )
            fitted = between(inputs @ right.T + hidden_bias)
        fitted = fitted @ left.T + bias
        dtype = layer.matrix.dtype
        pair = two_layers(layer, left, right, hidden_bias=hidden_bias, bias=bias, between=between)
        put(inner, name, pair.to(dtype))
        spread = (wanted - wanted.mean(0)).square().mean().clamp(min=1e-30)
        done[name] = Fit(ranks[name], float((wanted - fitted).square().mean() / spread))
    inner.train(was_training)
    return done


def reduced_rank(inputs: Tensor, wanted: Tensor, rank: int) -> tuple[Tensor, Tensor, Tensor]:
    r"""The linear map of this rank that predicts ``wanted`` with the least squared error.

    .. math:: \min_{\mathrm{rank}(A) \le r} \| Z - X A^T - 1 b^T \|_F^2, \qquad A = V V^T B^T

    with B the least squares solution and V the leading right singular vectors of its predictions.

    Args:
        inputs: (rows, n).
        wanted: (rows, m).
        rank: r.

    Returns:
        Factors (m, r) and (r, n) of A, and b (m,), all of the inputs' dtype.
    """
    x, z = inputs.double(), wanted.double()
    middle, target = x.mean(0), z.mean(0)
    x, z = x - middle, z - target
    full = _ridge(x, z)
    # From the largest: eigh gives rising eigenvalues.
    left = torch.linalg.eigh((x @ full).T @ (x @ full)).eigenvectors[:, -rank:].flip(1)
    right = left.T @ full.T
    bias = target - left @ (right @ middle)
    return left.to(inputs), right.to(inputs), bias.to(inputs)


def call_order(model: nn.Module, names: list[str], batch: Any) -> list[str]:
    """``names`` in the order in which a forward pass first calls these modules.

    Raises:
        ValueError: one is not called.
    """
    seen: dict[str, None] = {}
    modules = dict(model.named_modules())
    handles = [
        modules[name].register_forward_pre_hook(lambda *_, name=name: seen.setdefault(name))
        for name in names
    ]
    try:
        _call(model, batch)
    finally:
        for handle in handles:
            handle.remove()
    if left := [name for name in names if name not in seen]:
        raise ValueError(
            f"{left[0]!r} is not called on the first batch ({len(left)} of {len(names)} layers are "
            "not); leave it out with rule=lambda name, module: ..."
        )
    return list(seen)


def patches(layer: Layer, inputs: Tensor) -> Tensor:
    """What each output is a linear map of: (rows, weights of one output)."""
    module = layer.module
    if isinstance(module, nn.Linear) or is_transposed(module):
        return inputs.reshape(-1, inputs.shape[-1])
    assert isinstance(module, nn.Conv2d)
    mode = "constant" if module.padding_mode == "zeros" else module.padding_mode
    padded = functional.pad(inputs, module._reversed_padding_repeated_twice, mode)
    columns = functional.unfold(
        padded, module.kernel_size, module.dilation, stride=module.stride
    )  # (batch, weights of one output, places)
    return columns.movedim(1, 2).flatten(0, 1)


def _rows(
    layer: Layer,
    name: str,
    student: nn.Module,
    teacher: nn.Module,
    batches: list[Any],
    rows: int,
    random: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """What the student feeds the layer, and what the teacher's layer puts out, float32."""
    inputs, outputs = [], []
    share = -(-rows // len(batches))
    for batch in batches:
        fed = patches(layer, _watch(student, name, batch)[0])
        made = _watch(teacher, name, batch)[1]
        linear = isinstance(layer.module, nn.Linear) or is_transposed(layer.module)
        made = (made if linear else made.movedim(1, -1)).reshape(len(fed), -1)
        chosen = torch.randperm(len(fed), generator=random)[:share].to(fed.device)
        inputs.append(fed[chosen])
        outputs.append(made[chosen])
    # Half precision would not do for the sums of squares below.
    dtype = torch.promote_types(inputs[0].dtype, torch.float32)
    return torch.cat(inputs).to(dtype), torch.cat(outputs).to(dtype)


def _watch(model: nn.Module, name: str, batch: Any) -> tuple[Tensor, Tensor]:
    """Input and output of one module, in its last call."""
    seen: list[Tensor] = []

    def keep(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
        seen[:] = [args[0].detach(), output.detach()]

    handle = model.get_submodule(name).register_forward_hook(keep)
    try:
        _call(model, batch)
    finally:
        handle.remove()
    return seen[0], seen[1]


def _call(model: nn.Module, batch: Any) -> None:
    if isinstance(batch, Mapping):
        model(**batch)
    elif isinstance(batch, tuple | list):
        model(*batch)
    else:
        model(batch)


def _ridge(x: Tensor, z: Tensor) -> Tensor:
    """Least squares (n, m) with just enough of a penalty to be unique."""
    gram = x.T @ x
    penalty = 1e-8 * gram.diagonal().mean().clamp(min=1e-12)
    return torch.linalg.solve(gram + penalty * torch.eye(len(gram)).to(gram), x.T @ z)


def _autoencode(
    inputs: Tensor,
    wanted: Tensor,
    directions: Tensor,
    between: nn.Module,
    noise: float,
    steps: int,
    learning_rate: float,
    random: torch.Generator,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Decoder (m, r), encoder (r, n), bias (m,) and hidden bias (r,) of the best autoencoder."""
    deviation = inputs.std(0)
    hidden = inputs @ directions.T
    # Unit variance, one deviation above zero: there a ReLU is nearly linear to begin with.
    scale = 1 / hidden.std(0).clamp(min=1e-6)
    encoder = (directions * scale[:, None]).requires_grad_()
    shift = (1 - hidden.mean(0) * scale).requires_grad_()
    decoder, bias = _decode(between(inputs @ encoder.T + shift), wanted)
    parameters = [encoder, shift, decoder.requires_grad_(), bias.requires_grad_()]
    optimizer = torch.optim.Adam([*parameters, *between.parameters()], learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, steps))
    for _ in range(steps):
        batch = torch.randint(len(inputs), (min(512, len(inputs)),), generator=random)
        fed = inputs[batch.to(inputs.device)]
        jitter = torch.randn(fed.shape, generator=random).to(fed) * deviation * noise
        with torch.enable_grad():
            made = between((fed + jitter) @ encoder.T + shift) @ decoder.T + bias
            loss = functional.mse_loss(made, wanted[batch.to(wanted.device)])
            optimizer.zero_grad()
            loss.backward()
        optimizer.step()
        schedule.step()
    encoder, shift = encoder.detach(), shift.detach()
    decoder, bias = _decode(between(inputs @ encoder.T + shift), wanted)
    return decoder, encoder, bias, shift


def _decode(hidden: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """The best linear map (m, r) and bias (m,) from hidden units to what is wanted."""
    h, z = hidden.detach().double(), wanted.double()
    weight = _ridge(h - h.mean(0), z - z.mean(0)).T
    return weight.to(wanted), (z.mean(0) - weight @ h.mean(0)).to(wanted)
