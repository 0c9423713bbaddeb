"""Hard-concrete gates: closed forms, gradients, and a model that stays ordinary."""

from __future__ import annotations

import copy
import io
import math

import pytest
import torch
from scipy.integrate import quad
from torch import nn
from torch.nn import functional as F

from workbench.methods import pruning
from workbench.methods.pruning import HardConcreteGates, Masks
from workbench.models import classifier, encode_batch

pytestmark = pytest.mark.unit

BETA, GAMMA, ZETA = 2 / 3, -0.1, 1.1


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def one_layer(log_alpha: float, columns: int = 200_000) -> HardConcreteGates:
    gates = HardConcreteGates(nn.Linear(columns, 1, bias=False).double(), generator=seeded())
    with torch.no_grad():
        gates.log_alpha["weight"].fill_(log_alpha)
    return gates


def above(t: float, log_alpha: float) -> float:
    """P(stretched s > t), in closed form."""
    t = (t - GAMMA) / (ZETA - GAMMA)
    return 1 / (1 + math.exp(-(log_alpha - BETA * math.log(t / (1 - t)))))


@pytest.mark.parametrize("log_alpha", [-2.0, 0.0, 1.5])
def test_samples_have_the_distribution_of_the_paper(log_alpha):
    gates = one_layer(log_alpha)
    z = gates.sample("weight").detach()
    n = z.numel()
    assert 0 <= z.min() and z.max() <= 1
    for t in (0.0, 0.25, 0.5, 0.9):
        p = above(t, log_alpha)
        # Five standard errors of a share of n independent draws: once in 1.7 million.
        assert abs((z > t).double().mean().item() - p) < 5 * math.sqrt(p * (1 - p) / n)
    p_one = above(1.0, log_alpha)
    assert abs((z == 1).double().mean().item() - p_one) < 5 * math.sqrt(p_one * (1 - p_one) / n)
    mean = quad(above, 0, 1, args=(log_alpha,))[0]  # E z = integral of P(z > t)
    assert abs(z.mean().item() - mean) < 5 * z.std().item() / math.sqrt(n)


@pytest.mark.parametrize("log_alpha", [-2.0, 0.0, 1.5])
def test_the_penalty_is_the_expected_number_of_open_gates(log_alpha):
    gates = one_layer(log_alpha, columns=50)
    assert gates.total == 50
    assert gates.penalty().item() == pytest.approx(50 * above(0.0, log_alpha), rel=1e-12)
    mask = {"weight": torch.arange(50).view(1, 50) < 20}
    assert gates.penalty(mask).item() == pytest.approx(20 * above(0.0, log_alpha), rel=1e-12)
    gates.penalty(mask).backward()
    gradient = gates.log_alpha["weight"].grad
    assert (gradient[mask["weight"]] > 0).all() and not gradient[~mask["weight"]].any()


def test_the_start_is_the_drop_rate():
    gates = HardConcreteGates(nn.Linear(3, 2), drop_rate=0.2)
    assert torch.sigmoid(gates.log_alpha["weight"]).allclose(torch.tensor(0.8))
    # 0.8 * 1.2 - 0.1
    assert gates.gates()["weight"].allclose(torch.tensor(0.86))


def test_gradients_through_gates_and_weights():
    torch.manual_seed(0)
    layer = nn.Linear(3, 2, bias=False).double()
    gates = HardConcreteGates(layer, generator=seeded())
    x = torch.randn(4, 3, dtype=torch.float64)
    log_alpha, weight = gates.log_alpha["weight"], layer.weight
    with torch.no_grad():
        log_alpha.copy_(torch.linspace(-1, 1, 6).view(2, 3))

    def objective(*_):
        gates.generator.manual_seed(5)  # the same draw for every difference
        layer.train()
        return layer(x).square().sum() + 0.3 * gates.penalty()

    assert torch.autograd.gradcheck(objective, (log_alpha, weight))
    z = (gates.generator.manual_seed(5), gates.sample("weight"))[1]
    assert ((z > 0) & (z < 1)).any() and ((z == 0) | (z == 1)).any()  # both regimes were checked


def test_evaluation_is_deterministic_and_training_is_seeded():
    torch.manual_seed(0)
    layer, x = nn.Linear(8, 8), torch.randn(3, 8)
    gates = HardConcreteGates(layer, drop_rate=0.5, generator=seeded(3))
    layer.eval()
    expected = F.linear(x, layer.weight * gates.gates()["weight"], layer.bias)
    assert torch.equal(layer(x), expected) and torch.equal(layer(x), layer(x))
    layer.train()
    first, second = layer(x), layer(x)
    assert not torch.equal(first, second)
    gates.generator.manual_seed(3)
    assert torch.equal(layer(x), first) and torch.equal(layer(x), second)


def test_the_global_generator_when_none_is_given():
    layer, x = nn.Linear(8, 8), torch.randn(3, 8)
    HardConcreteGates(layer)
    outputs = []
    for _ in range(2):
        torch.manual_seed(7)
        outputs.append(layer(x))
    assert torch.equal(*outputs)


@pytest.fixture
def sentence():
    model, tokenizer = classifier("tiny", 2, seed=0)
    batch = encode_batch(tokenizer, ["a good film", "bad", "my dog is a red star"])
    return model, {**batch, "labels": torch.tensor([1, 0, 1])}


def test_folding_gives_the_plain_model_of_evaluation(sentence):
    model, batch = sentence
    names, before = list(model.state_dict()), model(**batch).logits
    gates = HardConcreteGates(model, generator=seeded())
    assert list(model.state_dict()) == names
    assert len(gates.parameters()) == 12 and gates.attached
    with torch.no_grad():
        for log_alpha in gates.parameters():
            log_alpha.copy_(torch.randn(log_alpha.shape, generator=seeded(1)) * 2)
    gated = model(**batch).logits
    assert not torch.equal(gated, before)
    assert all("weight" not in vars(m) for m in model.modules())
    scores = gates.scores()
    gates.detach()
    gates.detach()
    assert not gates.attached and torch.equal(model(**batch).logits, gated)
    folded = pruning.magnitude(model)
    assert all(torch.equal(scores[n], folded[n]) for n in folded)
    assert not any(m._forward_pre_hooks or m._forward_hooks for m in model.modules())


def test_detaching_without_folding_restores_the_weights(sentence):
    model, batch = sentence
    before = model(**batch).logits
    gates = HardConcreteGates(model, drop_rate=0.5)
    gates.detach(fold=False)
    assert torch.equal(model(**batch).logits, before)


def test_copies_and_files_are_the_ungated_model(sentence, tmp_path):
    model, batch = sentence
    before = model(**batch).logits
    gates = HardConcreteGates(model, drop_rate=0.5, generator=seeded())
    twin = copy.deepcopy(model)
    assert torch.equal(twin(**batch).logits, before)
    gated = model(**batch).logits
    assert not torch.equal(gated, before)
    own = HardConcreteGates(twin, drop_rate=0.5)  # a copy can have gates of its own
    assert torch.equal(twin(**batch).logits, gated)
    own.detach()
    assert torch.equal(model(**batch).logits, gated)
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    assert torch.equal(torch.load(file, weights_only=False)(**batch).logits, before)
    model.save_pretrained(tmp_path)
    assert torch.equal(type(model).from_pretrained(tmp_path)(**batch).logits, before)
    gates.detach()


def test_training_with_masks_on_top(sentence):
    model, batch = sentence
    gates = HardConcreteGates(model, generator=seeded())
    groups = [
        {"params": list(model.parameters()), "lr": 1e-3, "weight_decay": 0.01},
        {"params": gates.parameters(), "lr": 0.1, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups)
    masks, expected = None, []
    for density in (0.9, 0.6, 0.3):
        masks = Masks.layerwise(gates.scores(), density, within=masks).attach(model, optimizer)
        model.train()
        for _ in range(5):
            optimizer.zero_grad()
            (model(**batch).loss + 3.0 * gates.penalty(masks) / gates.total).backward()
            optimizer.step()
        for name, mask in masks.items():
            assert not model.get_parameter(name)[~mask].any()
            assert not gates.log_alpha[name].grad[~mask].any()
        expected.append(gates.penalty(masks).item() / masks.kept)
    assert expected == sorted(expected, reverse=True)  # gates close under the penalty
    gates.detach()
    masks.apply(model)
    assert Masks.from_zeros(model).density <= 0.3 + 1e-4
    assert math.isfinite(model.eval()(**batch).loss.item())


def test_a_call_that_fails_leaves_the_parameter_in_place():
    layer = nn.Linear(3, 2)
    gates = HardConcreteGates(layer)
    with pytest.raises(RuntimeError):
        layer(torch.randn(4, 5))
    assert isinstance(layer.weight, nn.Parameter)
    gates.detach()


def test_scores_without_ties():
    gates = one_layer(-4.0, columns=10)
    assert not gates.scores()["weight"].any()
    weight = gates._weights["weight"].detach().abs()
    torch.testing.assert_close(gates.scores("probability")["weight"], weight * above(0.0, -4.0))
    with pytest.raises(ValueError, match="by='mean'; allowed: 'gate' or 'probability'"):
        gates.scores("mean")


def test_state_goes_on_where_it_stopped(sentence):
    model, _ = sentence
    gates = HardConcreteGates(model)
    with torch.no_grad():
        for log_alpha in gates.parameters():
            log_alpha.normal_()
    state = {n: t.clone() for n, t in gates.state_dict().items()}
    gates.detach(fold=False)
    other = HardConcreteGates(model)
    other.load_state_dict(state)
    assert all(torch.equal(other.log_alpha[n], t) for n, t in state.items())
    first = next(iter(state))
    with pytest.raises(ValueError, match="name different parameters"):
        other.load_state_dict({first: state[first]})
    with pytest.raises(ValueError, match=r"has shape \(1,\) in the state and \(32, 32\)"):
        other.load_state_dict({**state, first: torch.zeros(1)})


def test_bf16_and_criteria_see_the_gated_model(sentence):
    model, batch = sentence
    model = model.bfloat16()
    gates = HardConcreteGates(model, drop_rate=0.3, generator=seeded())
    assert gates.parameters()[0].dtype == torch.float32
    model.train()
    model(**batch).loss.backward()
    assert all(a.grad.isfinite().all() for a in gates.parameters())
    scores = pruning.taylor(model, [batch])
    assert all(s.isfinite().all() for s in scores.values())


def test_settings_and_layers_that_are_refused():
    layer = nn.Linear(3, 2)
    for bad in ({"drop_rate": 0}, {"drop_rate": 1}, {"temperature": 1.5}):
        with pytest.raises(ValueError, match="allowed: between 0 and 1"):
            HardConcreteGates(layer, **bad)
    with pytest.raises(ValueError, match="one below 0 and one above 1"):
        HardConcreteGates(layer, stretch=(0, 1))
    gates = HardConcreteGates(layer)
    with pytest.raises(
        ValueError, match="'weight' has HardConcreteGates already; remove the first"
    ):
        HardConcreteGates(layer)
    gates.detach()
    HardConcreteGates(layer)
    attention = nn.MultiheadAttention(4, 2)
    with pytest.raises(ValueError, match="The L0 gate is defined for torch.nn.Linear and GPT-2"):
        HardConcreteGates(nn.ModuleDict({"attention": attention}))
