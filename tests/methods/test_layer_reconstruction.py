"""Student rollout: substitutes fitted to what the teacher puts out, from first to last."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from workbench.methods.decomposition import decompose
from workbench.methods.layer_fusion.layers import fusible_layers
from workbench.methods.layer_reconstruction import (
    call_order,
    patches,
    reconstruct,
    reduced_rank,
)
from workbench.methods.storage import stored_bytes


def mlp() -> nn.Sequential:
    torch.manual_seed(0)
    layers = [nn.Linear(20, 30), nn.ReLU(), nn.Linear(30, 30), nn.ReLU(), nn.Linear(30, 20)]
    return nn.Sequential(*layers)


def data(count: int = 4) -> list[torch.Tensor]:
    random = torch.Generator().manual_seed(1)
    mixing = torch.randn(20, 20, generator=random) / 4
    return [torch.randn(64, 20, generator=random) @ mixing for _ in range(count)]


def error(student: nn.Module, teacher: nn.Module) -> float:
    inputs = torch.cat(data())
    with torch.no_grad():
        return float((student(inputs) - teacher(inputs)).square().mean())


def test_reduced_rank_regression_is_the_best_map_of_its_rank():
    torch.manual_seed(0)
    x, mixing = torch.randn(200, 8).double(), torch.randn(8, 6).double()
    z = x @ mixing + 0.3 * torch.randn(200, 6).double() + 2
    left, right, bias = reduced_rank(x, z, 3)
    best = (z - (x @ right.T @ left.T + bias)).square().sum()
    # The same by gradient descent from three other starts.
    for seed in range(3):
        torch.manual_seed(seed)
        shapes = (6, 3), (3, 8), (6,)
        trial = [torch.randn(s, dtype=torch.float64, requires_grad=True) for s in shapes]
        optimizer = torch.optim.LBFGS(trial, max_iter=500, line_search_fn="strong_wolfe")

        def loss(trial=trial, optimizer=optimizer):
            optimizer.zero_grad()
            value = (z - (x @ trial[1].T @ trial[0].T + trial[2])).square().sum()
            value.backward()
            return value

        optimizer.step(loss)
        assert float(best) <= float(loss().detach()) * (1 + 1e-6)
    full = reduced_rank(x, z, 6)
    ones = torch.cat([x, torch.ones(200, 1).double()], 1)
    residual = (z - ones @ torch.linalg.lstsq(ones, z).solution).square().sum()
    torch.testing.assert_close(
        (z - (x @ full[1].T @ full[0].T + full[2])).square().sum(), residual, rtol=1e-6, atol=0
    )


def test_the_rollout_beats_decomposing_each_layer_alone():
    teacher, alone, rolled, encoded = (mlp() for _ in range(4))
    ranks = decompose(alone, 0.5)
    done = reconstruct(rolled, data(), 0.5, kind="linear")
    fits = reconstruct(encoded, data(), 0.5, steps=100, noise=0.05)
    assert {n: fit.rank for n, fit in done.items()} == ranks and list(fits) == ["0", "2", "4"]
    assert stored_bytes(rolled) == stored_bytes(alone) < stored_bytes(teacher)
    assert error(rolled, teacher) < 0.8 * error(alone, teacher)
    assert error(encoded, teacher) < error(alone, teacher)
    assert [type(m) for m in encoded[0]] == [nn.Linear, nn.ReLU, nn.Linear]
    # The last layer's fit is the error of the whole network.
    outputs = teacher(torch.cat(data())).detach()
    spread = float((outputs - outputs.mean(0)).square().mean())
    assert done["4"].error * spread == pytest.approx(error(rolled, teacher), rel=1e-3)


def test_later_layers_make_up_for_earlier_ones():
    teacher = mlp()
    first = reconstruct(mlp(), data(), 0.4, kind="linear", rule=lambda n, m: n == "0")
    both, rolled = mlp(), mlp()
    reconstruct(rolled, data(), 0.4, kind="linear")
    # The same substitutes without the rollout: each fitted to the teacher's own inputs.
    for name in ("0", "2", "4"):
        single = mlp()
        reconstruct(single, data(), 0.4, kind="linear", rule=lambda n, m, name=name: n == name)
        setattr(both, name, single.get_submodule(name))
    assert error(rolled, teacher) < error(both, teacher) and list(first) == ["0"]


def test_seeded_and_in_place():
    model, again = mlp().train(), mlp()
    reconstruct(model, data(), 0.5, steps=5)
    torch.manual_seed(99)
    reconstruct(again, data(), 0.5, steps=5)
    assert model.training and torch.equal(model[0][0].weight, again[0][0].weight)
    torch.manual_seed(0)
    assert all(p.requires_grad for p in model.parameters())


PADDED = {"dilation": 2, "padding": 2, "padding_mode": "reflect"}


@pytest.mark.parametrize(
    "options", [{}, {"stride": 2, "padding": 1}, {"padding": "same"}, PADDED], ids=str
)
def test_patches_are_what_a_convolution_reads(options):
    torch.manual_seed(0)
    layer = nn.Conv2d(3, 4, 3, **options).double()
    x = torch.randn(2, 3, 7, 7).double()
    (found,) = fusible_layers(nn.Sequential(layer)).values()
    made = patches(found, x) @ layer.weight.flatten(1).T + layer.bias
    torch.testing.assert_close(made, layer(x).movedim(1, -1).reshape(-1, 4))


def test_pictures_encoders_and_language_models(make_bert, tokens):
    torch.manual_seed(0)
    pictures = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU()
    )
    before = copy.deepcopy(pictures)
    x = torch.randn(8, 3, 8, 8)
    fits = reconstruct(pictures, [x], 0.7, kind="linear")
    assert pictures(x).shape == before(x).shape and all(f.error < 0.5 for f in fits.values())
    assert pictures[2][0].kernel_size == (3, 3) and pictures[2][1].kernel_size == (1, 1)
    model = make_bert(hidden_size=32, intermediate_size=64)
    reconstruct(model, [{"input_ids": tokens}, {"input_ids": tokens}], 0.5, steps=2)
    assert model(tokens).logits.isfinite().all()
    pair = make_bert(hidden_size=32, intermediate_size=64).double()
    reconstruct(pair, [(tokens,)], 0.5, kind="linear")
    assert pair(tokens).logits.dtype == torch.float64


def test_order_and_errors():
    class Backwards(nn.Module):
        def __init__(self):
            super().__init__()
            self.b, self.a = nn.Linear(9, 9), nn.Linear(9, 9)
            self.unused = nn.Linear(9, 9)

        def forward(self, x):
            return self.b(self.a(x))

    model = Backwards()
    assert call_order(model, ["b", "a"], torch.ones(1, 9)) == ["a", "b"]
    with pytest.raises(ValueError, match=r"'unused' is not called on the first batch \(1 of 3"):
        reconstruct(model, [torch.ones(1, 9)], 0.5)
    with pytest.raises(ValueError, match="kind must be one of .*got 'svd', 1 batches"):
        reconstruct(mlp(), data(1), 0.5, kind="svd")
    with pytest.raises(ValueError, match="got 'autoencoder', 0 batches"):
        reconstruct(mlp(), [], 0.5)
    with pytest.raises(ValueError, match="no rank keeps 0.01"):
        reconstruct(mlp(), data(1), 0.01)
    with pytest.raises(ValueError, match="'0' is a Conv1d; of convolutions only nn.Conv2d"):
        reconstruct(nn.Sequential(nn.Conv1d(8, 8, 3)), [torch.ones(1, 8, 5)], 0.5)
