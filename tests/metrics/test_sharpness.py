"""Sharpness: the largest eigenvalue of Hessians that are known or can be written out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import BertConfig, BertForSequenceClassification

from workbench.metrics.sharpness import sharpness


class Point(nn.Module):
    """A vector of weights, and nothing else."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(size, dtype=torch.float64))


def quadratic(spectrum: list[float]) -> tuple[Point, Tensor]:
    """A point, and a symmetric matrix with these eigenvalues in random directions."""
    generator = torch.Generator().manual_seed(1)
    size = len(spectrum)
    basis, _ = torch.linalg.qr(torch.randn(size, size, generator=generator, dtype=torch.float64))
    return Point(size), basis @ torch.diag(torch.tensor(spectrum, dtype=torch.float64)) @ basis.T


def small_bert(attention: str) -> BertForSequenceClassification:
    torch.manual_seed(0)
    config = BertConfig(vocab_size=8, hidden_size=4, num_hidden_layers=1, num_attention_heads=2,
                        intermediate_size=6, max_position_embeddings=6, num_labels=3,
                        initializer_range=0.5, attn_implementation=attention)  # fmt: skip
    return BertForSequenceClassification(config).double()


def rows() -> tuple[Tensor, Tensor]:
    """Five texts of six tokens, and their classes."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(8, (5, 6), generator=generator)
    return ids, torch.randint(3, (5,), generator=generator)


def written_out(loss: Tensor, parameters: list[Tensor]) -> Tensor:
    """The whole Hessian, one row after the other."""
    gradients = torch.autograd.grad(loss, parameters, create_graph=True)
    flat = torch.cat([g.flatten() for g in gradients])
    rows = [
        torch.autograd.grad(each, parameters, retain_graph=True, materialize_grads=True,
                            allow_unused=True)
        for each in flat
    ]  # fmt: skip
    return torch.stack([torch.cat([part.flatten() for part in row]) for row in rows])


@pytest.mark.parametrize(
    "spectrum",
    [
        [3.0, 1.0, 0.5, 0.0, 0.0, -1.0],
        [3.0, 1.0, 0.5, 0.0, 0.0, -50.0],  # power iteration would end at -50
        [3.0, 2.9, 0.0, 0.0, -3.0, -2.9],  # ... and nowhere
        [-1.0, -2.0, -3.0, -4.0],  # a maximum: the largest is the least negative
        [2.0, 2.0, 2.0],
        [0.0, 0.0],
    ],
)
def test_the_largest_by_value_of_a_known_spectrum(spectrum):
    model, matrix = quadratic(spectrum)
    found = sharpness(model, lambda: model.weight @ matrix @ model.weight / 2, tolerance=1e-9)
    assert found == pytest.approx(max(spectrum), abs=1e-9)


@pytest.mark.parametrize("negative", [-0.1, -8.0, -20.0])
def test_twenty_products_are_enough_among_five_hundred_directions(negative):
    bulk = np.linspace(negative, 5.0, 499).tolist()
    model, matrix = quadratic([10.0, *bulk])
    calls = 0

    def loss() -> Tensor:
        nonlocal calls
        calls += 1
        return model.weight @ matrix @ model.weight / 2

    found = sharpness(model, loss)
    assert found == pytest.approx(10.0, rel=0.01) and found < 10.0 + 1e-9
    assert calls == 1


def test_it_does_not_drift_in_single_precision():
    model = Point(500_000).float()
    spectrum = torch.linspace(-3, 3, 500_000)
    spectrum[5], spectrum[9] = 10.0, 9.0
    found = sharpness(
        model, lambda: spectrum @ model.weight.square() / 2, iterations=40, tolerance=0.0
    )
    assert found == pytest.approx(10.0, rel=1e-6)


def test_a_network_against_torchs_hessian():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    inputs, labels = torch.randn(10, 3, dtype=torch.float64), torch.randint(2, (10,))
    names = [name for name, _ in model.named_parameters()]

    def loss(*values: Tensor) -> Tensor:
        named = dict(zip(names, values, strict=True))
        return F.cross_entropy(torch.func.functional_call(model, named, inputs), labels)

    values = tuple(p.detach() for p in model.parameters())
    blocks = torch.autograd.functional.hessian(loss, values)
    whole = torch.cat([
        torch.cat([block.reshape(a.numel(), -1) for a, block in zip([value] * 4, row, strict=True)],
                  dim=1)
        for value, row in zip(values, blocks, strict=True)
    ])  # fmt: skip
    want = torch.linalg.eigvalsh(whole)[-1]
    found = sharpness(
        model, lambda: F.cross_entropy(model(inputs), labels), iterations=50, tolerance=1e-8
    )
    assert found == pytest.approx(float(want), rel=1e-8)


def test_a_bert_with_fused_attention():
    ids, labels = rows()
    slow, fused = small_bert("eager").eval(), small_bert("sdpa").train()
    fused.load_state_dict(slow.state_dict())
    want = torch.linalg.eigvalsh(
        written_out(slow(ids, labels=labels).loss, list(slow.parameters()))
    )
    assert want[0] < -0.1  # far from convex
    settings = {"iterations": 60, "tolerance": 1e-8}
    found = sharpness(fused, lambda: fused(ids, labels=labels).loss, **settings)
    assert found == pytest.approx(float(want[-1]), rel=1e-7)
    cheap = sharpness(fused.float(), lambda: fused(ids, labels=labels).loss)
    assert cheap == pytest.approx(float(want[-1]), rel=1e-3)


def test_of_some_parameters_it_is_that_of_their_block():
    model = small_bert("eager").eval()
    ids, labels = rows()
    head = list(model.classifier.parameters())
    want = torch.linalg.eigvalsh(written_out(model(ids, labels=labels).loss, head))[-1]

    def loss() -> Tensor:
        return model(ids, labels=labels).loss

    found = sharpness(model, loss, parameters=head, tolerance=1e-8)
    assert found == pytest.approx(float(want), rel=1e-7)
    model.requires_grad_(False)
    for parameter in head:
        parameter.requires_grad_(True)
    assert sharpness(model, loss, tolerance=1e-8) == found


def test_the_model_and_the_random_state_are_left_as_they_were():
    model = small_bert("sdpa").train()
    model.dropout.eval()
    ids, labels = rows()
    model(ids, labels=labels).loss.backward()
    before = [p.grad.clone() for p in model.parameters()]
    modes, state = [m.training for m in model.modules()], torch.get_rng_state()
    with torch.no_grad():
        first = sharpness(model, lambda: model(ids, labels=labels).loss)
    assert first == sharpness(model, lambda: model(ids, labels=labels).loss)  # no dropout
    assert [m.training for m in model.modules()] == modes
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(p.grad, g) for p, g in zip(model.parameters(), before, strict=True))
    with pytest.raises(ZeroDivisionError):
        sharpness(model, lambda: 1 / 0)
    assert [m.training for m in model.modules()] == modes


def test_a_linear_loss_is_flat():
    model = Point(3)
    assert sharpness(model, lambda: model.weight.sum()) == 0.0


def test_errors():
    model = Point(3)
    with pytest.raises(ValueError, match="iterations=0 and tolerance=0.001; at least 1"):
        sharpness(model, lambda: model.weight.sum(), iterations=0)
    with pytest.raises(ValueError, match=r"loss\(\) gave \(3,\); it must be a finite scalar"):
        sharpness(model, lambda: model.weight)
    with pytest.raises(ValueError, match=r"loss\(\) gave nan; it must be a finite scalar"):
        sharpness(model, lambda: model.weight.sum() * torch.nan)
    with pytest.raises(ValueError, match=r"loss\(\) gave 1.0; .* depends on the parameters"):
        sharpness(model, lambda: torch.tensor(1.0))
    with pytest.raises(ValueError, match="depends on none of the parameters"):
        sharpness(model, lambda: Point(2).weight.sum())
    model.requires_grad_(False)
    with pytest.raises(ValueError, match="none of the 1 parameters of Point requires a gradient"):
        sharpness(model, lambda: model.weight.sum())
