"""L1 and L2 penalties against loops over the prunable weights."""

from __future__ import annotations

import pytest
import torch

from workbench.methods import pruning
from workbench.methods.penalties import l1, l2
from workbench.methods.pruning import Masks, prunable_parameters

pytestmark = pytest.mark.unit


def number(tensor: torch.Tensor) -> float:
    return tensor.detach().item()


def test_sums_over_prunable_weights_only(make_bert):
    model = make_bert()
    flat = torch.cat([w.detach().flatten() for w in prunable_parameters(model).values()])
    assert number(l1(model)) == pytest.approx(number(flat.abs().sum()), rel=1e-5)
    assert number(l2(model)) == pytest.approx(number((flat**2).sum()), rel=1e-5)
    rule = lambda name, module: name == "classifier"  # noqa: E731
    want = sum(abs(v) for v in model.classifier.weight.flatten().tolist())
    assert number(l1(model, rule)) == pytest.approx(want, rel=1e-5)
    assert number(l2(model, prunable=rule)) == pytest.approx(
        number(model.classifier.weight.norm() ** 2), rel=1e-5
    )


def test_gradients_are_the_sign_and_twice_the_weight(make_bert):
    model = make_bert()
    Masks.layerwise(pruning.magnitude(model), 0.5).apply(model)
    for function, want in ((l1, torch.sign), (l2, lambda w: 2 * w)):
        model.zero_grad()
        function(model).backward()
        for weight in prunable_parameters(model).values():
            torch.testing.assert_close(weight.grad, want(weight.detach()))  # 0 where pruned
        assert model.classifier.weight.grad is None
        assert model.bert.embeddings.word_embeddings.weight.grad is None


def test_l2_in_sgd_is_weight_decay_of_twice_the_weight():
    ends = []
    for strength, decay in ((0.05, 0.0), (0.0, 0.1)):
        torch.manual_seed(0)
        model = torch.nn.Linear(3, 4, bias=False)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=decay)
        for _ in range(3):
            optimizer.zero_grad()
            (model(torch.ones(2, 3)).square().mean() + strength * l2(model)).backward()
            optimizer.step()
        ends.append(model.weight.detach())
    torch.testing.assert_close(*ends)


def test_half_precision_computes_in_single(make_bert):
    model = make_bert()
    for function in (l1, l2):
        want, half = number(function(model)), function(make_bert().bfloat16())
        assert half.dtype == torch.float32 and number(half) == pytest.approx(want, rel=1e-2)


def test_nothing_prunable_is_refused():
    with pytest.raises(ValueError, match="has no prunable weight under the default rule"):
        l1(torch.nn.LayerNorm(3))
