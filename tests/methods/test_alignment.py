"""AlignReg (9.3, 9.4, 9.6) against loops over layers and closed forms."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from workbench.methods import pruning
from workbench.methods.alignment import (
    AlignReg,
    cosine,
    frobenius,
    layer_cosine,
)
from workbench.methods.pruning import Masks, prunable_parameters
from workbench.methods.weight_correlation import weight_correlation

pytestmark = pytest.mark.unit

TERMS = (cosine, layer_cosine, frobenius)


def network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 6), nn.GELU(), nn.Linear(6, 3)).double()


def number(tensor: torch.Tensor) -> float:
    return tensor.detach().item()


def weights(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: weight.detach().clone() for name, weight in prunable_parameters(model).items()}


def gradients(term: torch.Tensor, model: nn.Module) -> dict[str, torch.Tensor]:
    parameters = prunable_parameters(model)
    found = torch.autograd.grad(term, list(parameters.values()))
    return dict(zip(parameters, found, strict=True))


def halved(model: nn.Module) -> Masks:
    masks = Masks.layerwise(pruning.magnitude(model), 0.5)
    masks.apply(model)
    return masks


# The terms


@pytest.mark.parametrize("function", TERMS)
def test_a_model_is_aligned_with_itself(function):
    model = network()
    assert number(function(model, copy.deepcopy(model))) == pytest.approx(0, abs=1e-12)
    for gradient in gradients(function(model, weights(model)), model).values():
        torch.testing.assert_close(gradient, torch.zeros_like(gradient), rtol=0, atol=1e-12)


def test_terms_equal_loops_over_layers():
    model, other = network(), network(1)
    halved(model)
    pairs = [(weights(model)[name], weights(other)[name]) for name in weights(model)]
    rho = [F.cosine_similarity(w, r, dim=1).mean() for w, r in pairs]
    assert number(cosine(model, other)) == pytest.approx(1 - number(sum(rho)) / 2)
    rho = [F.cosine_similarity(w.flatten(), r.flatten(), dim=0) for w, r in pairs]
    assert number(layer_cosine(model, other)) == pytest.approx(1 - number(sum(rho)) / 2)
    surviving = [sum((b - a) ** 2 for a, b in zip(w.flatten(), r.flatten(), strict=True) if a)
                 for w, r in pairs]  # fmt: skip
    assert number(frobenius(model, other)) == pytest.approx(number(sum(surviving)))
    printed = sum(number((r - w).norm()) for w, r in pairs)  # 9.6 to the letter
    assert number(frobenius(model, other, squared=False, surviving=False)) == pytest.approx(printed)


def test_printed_forms_of_9_2_and_9_3():
    model, other = network(), network(1)
    for function in (cosine, layer_cosine):
        for absolute in (False, True):
            rho = function(model, other, absolute=absolute, printed_sign=True)
            torch.testing.assert_close(1 - rho, function(model, other, absolute=absolute))
    opposite = {name: -weight for name, weight in weights(model).items()}
    assert number(cosine(model, opposite)) == pytest.approx(2)
    assert number(cosine(model, opposite, absolute=True)) == pytest.approx(0)


@pytest.mark.parametrize("kind", ["cosine", "layer_cosine"])
def test_minimising_9_3_as_printed_turns_the_weights_away(kind):
    ends = {}
    for printed in (False, True):
        model, other = network(), network(1)
        align = AlignReg(kind, printed_sign=printed).towards(other)
        before = number(AlignReg(kind).towards(other)(model))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in range(20):
            optimizer.zero_grad()
            align(model).backward()
            optimizer.step()
        ends[printed] = number(AlignReg(kind).towards(other)(model)) - before
    assert ends[False] < 0 < ends[True]


@pytest.mark.parametrize("kind", ["cosine", "frobenius"])
def test_equation_9_4_adds_the_gradients(kind):
    model, other = network(), network(1)
    inputs, labels = torch.randn(7, 4, dtype=torch.float64), torch.arange(7) % 3
    align = AlignReg(kind, weight=0.3).towards(other)
    task = gradients(F.cross_entropy(model(inputs), labels), model)
    found = gradients(F.cross_entropy(model(inputs), labels) + align(model), model)
    for name, weight in prunable_parameters(model).items():
        reference = weights(other)[name]
        if kind == "cosine":  # lambda / L times minus 9.5, which is tested for itself
            rho = weight_correlation(weight, reference)
            term = -0.3 / 2 * torch.autograd.grad(rho, weight)[0]
        else:
            term = 0.3 * 2 * (weight.detach() - reference)
        torch.testing.assert_close(found[name], task[name] + term)


class Term(nn.Module):
    """A term as a module, so that ``functional_call`` can put other weights in its model."""

    def __init__(self, function, model: nn.Module, *args, **options) -> None:
        super().__init__()
        self.model = model
        self.compute = lambda: function(model, *args, **options)

    def forward(self) -> torch.Tensor:
        return self.compute()


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(
    ("function", "options"),
    [
        (cosine, {}),
        (cosine, {"absolute": True, "printed_sign": True}),
        (layer_cosine, {}),
        (frobenius, {}),
        (frobenius, {"squared": False}),
        (frobenius, {"squared": False, "surviving": False}),
    ],
)
def test_gradcheck(function, options, masked):
    model, other = network(), network(1)
    masks = Masks.layerwise(pruning.magnitude(model), 0.6) if masked else None
    term = Term(function, model, other, masks=masks, **options)
    values = weights(model)

    def at(*given: torch.Tensor) -> torch.Tensor:
        state = {f"model.{name}": tensor for name, tensor in zip(values, given, strict=True)}
        return torch.func.functional_call(term, state, ())

    assert torch.autograd.gradcheck(at, [value.requires_grad_() for value in values.values()])


# Masks


@pytest.mark.parametrize("function", TERMS)
def test_a_mask_equals_zeros_in_the_weights(function):
    model, other = network(), network(1)
    masks = Masks.layerwise(pruning.magnitude(model), 0.5)
    masked = function(model, other, masks=masks)
    found = gradients(masked, model)
    masks.apply(model)
    torch.testing.assert_close(masked, function(model, other))
    zeroed = gradients(function(model, other), model)
    for name, mask in masks.items():
        assert torch.equal(found[name][~mask], torch.zeros_like(found[name][~mask]))
        torch.testing.assert_close(found[name][mask], zeroed[name][mask])


def test_pruned_weights_of_the_frobenius_term_are_a_constant_of_training():
    model, other = network(), network(1)
    masks = halved(model)
    gone = sum(number(weights(other)[n][~m].square().sum()) for n, m in masks.items())
    ours, printed = frobenius(model, other), frobenius(model, other, surviving=False, masks=masks)
    assert number(printed - ours) == pytest.approx(gone)
    for a, b in zip(gradients(ours, model).values(), gradients(printed, model).values()):
        torch.testing.assert_close(a, b)


def test_the_printed_norm_has_gradient_zero_at_zero():
    model = network()
    for surviving in (False, True):
        term = frobenius(model, weights(model), squared=False, surviving=surviving)
        for gradient in gradients(term, model).values():
            assert torch.equal(gradient, torch.zeros_like(gradient))


@pytest.mark.parametrize("function", TERMS)
def test_a_fully_pruned_layer_gives_numbers(function):
    model, other = network(), network(1)
    with torch.no_grad():
        model[0].weight.zero_()
    found = gradients(function(model, other), model)
    assert torch.equal(found["0.weight"], torch.zeros(6, 4, dtype=torch.float64))
    assert found["2.weight"].isfinite().all() and found["2.weight"].any()


@pytest.mark.parametrize("kind", ["cosine", "layer_cosine", "frobenius"])
def test_pruned_weights_stay_zero_under_adam(kind):
    model, other = network(), network(1)
    masks = Masks.globally(pruning.magnitude(model), 0.4)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.1)
    masks.attach(model, optimizer)
    align = AlignReg(kind, weight=1.0).towards(other)
    before = number(align(model))
    for _ in range(10):
        optimizer.zero_grad()
        align(model).backward()
        optimizer.step()
    assert number(align(model)) < before
    for name, weight in prunable_parameters(model).items():
        assert torch.equal(weight != 0, masks[name])
        assert not weight.grad[~masks[name]].any()  # held back, so that clipping never sees it


# References


def test_a_module_a_state_dict_and_a_wrapped_model_are_the_same_reference(make_bert):
    model, other = make_bert(), make_bert(1)
    for function in TERMS:
        want = function(model, other)
        assert torch.equal(function(model, other.state_dict()), want)
        assert torch.equal(function(nn.DataParallel(model), nn.DataParallel(other)), want)
        want.backward()
        assert all(parameter.grad is None for parameter in other.parameters())
        heads = [p.grad for n, p in model.named_parameters() if "embeddings" in n or "class" in n]
        assert heads and not any(grad is not None for grad in heads)


def test_half_precision_computes_in_single(make_bert):
    model, other = make_bert(), make_bert(1)
    for function in TERMS:
        want = number(function(model, other))
        half = function(copy.deepcopy(model).bfloat16(), other)
        assert half.dtype == torch.float32 and number(half) == pytest.approx(want, rel=2e-2)
        with torch.autocast("cpu", torch.bfloat16):
            assert number(function(model, other)) == pytest.approx(want, rel=1e-6)


@pytest.mark.parametrize("function", TERMS)
def test_references_that_do_not_fit(function):
    model = network()
    with pytest.raises(ValueError, match=r"the reference has no '0.weight'; its first names are"):
        function(model, {"0.bias": torch.zeros(6)})
    wrong = {"0.weight": torch.zeros(4, 6), "2.weight": torch.zeros(3, 6)}
    with pytest.raises(
        ValueError, match=r"'0.weight' has shape \(6, 4\) in the model, but \(4, 6\) in the ref"
    ):
        function(model, wrong)
    with pytest.raises(ValueError, match="masks has no '2.weight'"):
        function(model, model, masks={"0.weight": torch.ones(6, 4).bool()})
    with pytest.raises(TypeError, match="reference must be a torch.nn.Module or a mapping .* list"):
        function(model, [1.0])


def test_align_reg_is_the_weighted_function_and_keeps_its_reference():
    model, other = network(), network(1)
    for kind, function, weight in (
        ("cosine", cosine, 1.0),
        ("layer_cosine", layer_cosine, 1.0),
        ("frobenius", frobenius, 5e-4),
    ):
        align, want = AlignReg(kind).towards(other), function(model, other)
        assert align.strength == weight  # of the thesis, where it gives one
        torch.testing.assert_close(align.term(model), want)
        torch.testing.assert_close(align(model), weight * want)
        torch.testing.assert_close(align.to("cpu")(model), align(model))
        assert AlignReg(kind, weight=0.0).towards(other)(model) == 0
    with torch.no_grad():
        other[0].weight.add_(1)  # the reference was copied, and only prunable weights were
    torch.testing.assert_close(align.term(model), want)
    assert set(align.reference) == {"0.weight", "2.weight"} and align == AlignReg("frobenius")


def test_options_reach_the_functions():
    model, other = network(), network(1)
    options = {"absolute": True, "printed_sign": True}
    torch.testing.assert_close(
        AlignReg("cosine", **options).towards(other)(model), cosine(model, other, **options)
    )
    options = {"squared": False, "surviving": False, "prunable": lambda name, module: name == "0"}
    torch.testing.assert_close(
        AlignReg("frobenius", weight=1.0, **options).towards(other)(model),
        frobenius(model, other, **options),
    )
    assert "reference" not in repr(AlignReg().towards(other))


def test_align_reg_refusals():
    with pytest.raises(ValueError, match=r"kind must be one of \['cosine', 'layer_cosine', 'frob"):
        AlignReg("euclidean")
    for weight in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="weight must be a finite number of at least 0, got"):
            AlignReg(weight=weight)
    with pytest.raises(ValueError, match=r"make it with AlignReg\('cosine'\).towards\(pretrained"):
        AlignReg()(network())
