"""LAMP against its definition, written out in loops, and what the definition promises."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from workbench.methods import pruning
from workbench.methods.pruning import Masks
from workbench.methods.pruning.criteria.lamp import lamp

pytestmark = pytest.mark.unit


def slow(weight: torch.Tensor) -> np.ndarray:
    """w_u^2 over the sum of w_v^2 for u and all v that are larger, or equal and before u."""
    flat = [abs(float(w)) for w in weight.detach().flatten()]
    scores = []
    for u, mine in enumerate(flat):
        above = [w for v, w in enumerate(flat) if w > mine or (w == mine and v <= u)]
        scores.append(mine**2 / sum(w**2 for w in above) if mine else 0.0)
    return np.array(scores).reshape(weight.shape)


def chain(*sizes: int, dtype: torch.dtype = torch.float32) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(*(nn.Linear(a, b, dtype=dtype) for a, b in zip(sizes, sizes[1:])))


@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(torch.float64, 1e-14), (torch.float32, 1e-6), (torch.float16, 1e-6), (torch.bfloat16, 1e-6)],
)
def test_the_definition(dtype, tolerance):
    model = chain(13, 11, 7, dtype=dtype)  # bfloat16 has ties among 143 weights
    with torch.no_grad():
        model[0].weight[3] = 0
        model[0].weight[4, :5] = -0.25
        model[0].weight[5, 2:4] = 0.25
    scores = lamp(model)
    assert list(scores) == ["0.weight", "1.weight"]
    for index, score in enumerate(scores.values()):
        assert score.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
        np.testing.assert_allclose(score, slow(model[index].weight), rtol=tolerance, atol=0)


def test_both_ways_of_sorting_agree():
    model = chain(300, 200, 300)
    single, double = lamp(model), lamp(model.double())
    for name in single:
        torch.testing.assert_close(single[name].double(), double[name], rtol=1e-6, atol=0)


def test_order_within_a_layer_and_the_top_weight():
    for name, score in lamp(model := chain(40, 30, 20)).items():
        weight = model.get_parameter(name).detach().abs().flatten()
        assert score.max() == 1.0 and int(score.argmax()) == int(weight.argmax())
        assert (score.flatten()[weight.argsort()].diff() >= 0).all()


def test_no_layer_is_emptied_and_scale_does_not_matter():
    model = chain(30, 30, 30, 30)
    before = lamp(model)
    with torch.no_grad():
        model[1].weight *= 2**-10
    after = lamp(model)
    assert all(torch.equal(before[n], after[n]) for n in before)
    masks = Masks.globally(after, 0.01)
    assert min(masks.density_per_layer().values()) > 0
    # Magnitude empties the small layer: what LAMP is for.
    assert min(Masks.globally(pruning.magnitude(model), 0.01).density_per_layer().values()) == 0


def test_float64_sums_keep_the_tail():
    """In float32 a running sum of many small squares loses them."""
    model = nn.Sequential(nn.Linear(1000, 1001, bias=False))
    with torch.no_grad():
        model[0].weight.fill_(1e-3)
        model[0].weight[0, 0] = 4.0
    last = lamp(model)["0.weight"][-1, -1]
    assert float(last) == pytest.approx(1e-6 / (16 + 1e-6 * 1_000_999), rel=1e-5)


def test_pruned_weights_stay_pruned():
    model = chain(20, 20, 20)
    first = Masks.globally(lamp(model), 0.5)
    first.apply(model)
    scores = lamp(model)
    assert all((scores[n][~first[n]] == 0).all() for n in scores)
    second = Masks.globally(scores, 0.25, within=first)
    assert all((second[n] <= first[n]).all() for n in second) and second.density == 0.25


def test_edges():
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1, bias=False))
    with torch.no_grad():
        model[0].weight.zero_()
    assert not lamp(model)["0.weight"].any()
    assert not lamp(model.double())["0.weight"].any()
    with torch.no_grad():
        model.float()[0].weight[0, 0] = float("nan")
    with pytest.raises(ValueError, match="'0.weight' hold .* NaN"):
        Masks.globally(lamp(model), 0.5)
    with pytest.raises(ValueError, match="ReLU has no prunable weight under the default rule"):
        lamp(nn.ReLU())
    with pytest.raises(TypeError, match="must be a torch.nn.Module, got list"):
        lamp([])


def test_an_encoder_and_another_rule(make_bert):
    model = make_bert()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    scores = lamp(model)
    assert scores.keys() == pruning.magnitude(model).keys()
    again = lamp(model)
    assert all(torch.equal(scores[n], again[n]) for n in scores)
    assert all(torch.equal(t, before[n]) for n, t in model.state_dict().items())
    images = nn.Sequential(nn.Conv2d(2, 3, 3))
    score = lamp(images, lambda name, module: isinstance(module, nn.Conv2d))["0.weight"]
    np.testing.assert_allclose(score, slow(images[0].weight), rtol=1e-6)
    assert not score.requires_grad
