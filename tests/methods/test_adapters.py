"""LoRA and IA3: what trains, what the merged weights are, and that a model can come back."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from workbench.experiments.training import load_trainable, trainable_state
from workbench.methods.adapters import effective_weights, ia3, lora, plain_name
from workbench.methods.pruning.prunable import encoder_linear
from workbench.models import classifier, encode_batch

TEXTS = ["a good film", "the worst game of the year, and long", "sad"]
ADAPTERS = [
    pytest.param(lambda m: lora(m, 4, seed=0), id="lora"),
    pytest.param(lambda m: lora(m, 2, select=encoder_linear, seed=0), id="lora everywhere"),
    pytest.param(ia3, id="ia3"),
]
Adapt = Callable[[nn.Module], dict[str, nn.Parameter]]


def tiny() -> tuple[nn.Module, dict[str, Tensor]]:
    """A classifier in float64 over the tiny encoder, and a batch."""
    model, tokenizer = classifier("tiny", 3, seed=0)
    return model.double(), encode_batch(tokenizer, TEXTS)


def disturb(trained: dict[str, nn.Parameter]) -> None:
    """Move all that trains, since adapters begin without effect."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in trained.values():
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator)


@pytest.mark.parametrize("adapt", ADAPTERS)
def test_effective_weights_are_those_of_a_plain_model_of_the_same_outputs(adapt: Adapt):
    (model, batch), (plain, _) = tiny(), tiny()
    names, before = list(plain.state_dict()), plain(**batch)
    trained = adapt(model)
    at_first = model(**batch)
    torch.testing.assert_close(at_first.logits, before.logits, rtol=0, atol=1e-12)
    disturb(trained)
    now, own = model(**batch), copy.deepcopy(model.state_dict())
    weights = effective_weights(model)
    assert list(weights) == names
    plain.load_state_dict(weights)
    found = plain(**batch)
    torch.testing.assert_close(found.logits, now.logits, rtol=0, atol=1e-12)
    torch.testing.assert_close(found.representation, now.representation, rtol=0, atol=1e-12)
    assert (now.representation - before.representation).abs().max() > 1e-3
    assert all(torch.equal(own[name], tensor) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("adapt", ADAPTERS)
def test_only_adapters_and_head_train(adapt: Adapt):
    model, batch = tiny()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    trained = adapt(model)
    assert {n for n, p in model.named_parameters() if p.requires_grad} == set(trained)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.01)
    for _ in range(3):
        model.train()(**batch, labels=torch.tensor([0, 1, 2])).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    for name, parameter in model.named_parameters():
        same = plain_name(name) in before and torch.equal(parameter, before[plain_name(name)])
        assert same != (name in trained), name
    adapters = set(trained) - {"classifier.weight", "classifier.bias"}
    assert adapters == set(trained) - set(before)
    assert all(".lora_" in name or ".ia3_l." in name for name in adapters)


def test_lora_trains_rank_times_inputs_and_outputs_of_each_matrix():
    model, _ = tiny()
    weights = dict(model.named_parameters())
    trained = lora(model, 4, alpha=6, seed=3)
    matrices = [n for n in weights if n.endswith(("query.weight", "value.weight"))]
    expected = sum(4 * sum(weights[n].shape) for n in matrices)
    head = sum(p.numel() for n, p in weights.items() if n.startswith("classifier"))
    assert len(matrices) == 4 and sum(p.numel() for p in trained.values()) == expected + head
    disturb(trained)
    found = effective_weights(model)
    for name in matrices:
        path = name.removesuffix(".weight")
        a, b = (trained[f"{path}.lora_{x}.default.weight"] for x in "AB")
        torch.testing.assert_close(found[name], weights[name] + 6 / 4 * b @ a, rtol=0, atol=1e-14)


def test_ia3_multiplies_keys_values_and_inner_activations():
    model, _ = tiny()
    weights = {name: p.detach().clone() for name, p in model.named_parameters()}
    trained = ia3(model)
    factors = {n: p for n, p in trained.items() if "ia3_l" in n}
    assert sum(p.numel() for p in factors.values()) == 2 * (32 + 32 + 64)
    disturb(trained)
    found, layer = effective_weights(model), "encoder.encoder.layer.1"
    key = factors[f"{layer}.attention.self.key.ia3_l.default"].flatten()
    inner = factors[f"{layer}.output.dense.ia3_l.default"].flatten()
    for name, expected in (
        ("attention.self.key.weight", key[:, None] * weights[f"{layer}.attention.self.key.weight"]),
        ("attention.self.key.bias", key * weights[f"{layer}.attention.self.key.bias"]),
        ("output.dense.weight", weights[f"{layer}.output.dense.weight"] * inner),
        ("output.dense.bias", weights[f"{layer}.output.dense.bias"]),
        ("attention.output.dense.weight", weights[f"{layer}.attention.output.dense.weight"]),
    ):
        torch.testing.assert_close(found[f"{layer}.{name}"], expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("adapt", ADAPTERS)
def test_what_was_trained_can_be_saved_and_loaded(adapt: Adapt):
    (model, batch), (other, _) = tiny(), tiny()
    disturb(adapt(model))
    adapt(other)
    state = trainable_state(model)
    load_trainable(other, state)
    assert torch.equal(other(**batch).logits, model(**batch).logits)
    copied = copy.deepcopy(model)
    assert torch.equal(copied(**batch).logits, model(**batch).logits)
    assert trainable_state(copied).keys() == state.keys()


def test_a_plain_model_has_its_own_weights():
    model, _ = tiny()
    weights = dict(model.named_parameters())
    for copies in (True, False):
        found = effective_weights(nn.DataParallel(model), copies=copies)
        assert list(found) == list(weights)
        for name, tensor in found.items():
            assert torch.equal(tensor, weights[name]) and not tensor.requires_grad
            assert (tensor.data_ptr() == weights[name].data_ptr()) != copies


def test_adapters_that_are_off_or_merged_count_as_they_act():
    model, batch = tiny()
    before = effective_weights(model)
    disturb({n: p for n, p in lora(model, seed=0).items() if "lora" in n})
    merged = effective_weights(model)
    layers = [m for m in model.modules() if hasattr(m, "base_layer")]
    for layer in layers:
        layer.enable_adapters(False)
    off = effective_weights(model)
    assert all(torch.equal(off[name], before[name]) for name in before)
    for layer in layers:
        layer.enable_adapters(True)
        layer.merge()
    again = effective_weights(model)
    assert all(torch.equal(again[name], merged[name]) for name in merged)


def test_dropout_is_of_training_only_and_the_seed_is_of_the_adapters_only():
    model, batch = tiny()
    state = torch.get_rng_state()
    trained = lora(model, dropout=0.5, seed=5)
    assert torch.equal(torch.get_rng_state(), state)
    disturb(trained)
    assert torch.equal(model(**batch).logits, model(**batch).logits)  # it was in evaluation mode
    other, _ = tiny()
    again = lora(other, seed=5)
    name = "encoder.encoder.layer.0.attention.self.query.lora_A.default.weight"
    assert torch.equal(again[name], lora(tiny()[0], seed=5)[name])
    assert not torch.equal(again[name], lora(tiny()[0], seed=6)[name])


def test_other_architectures_by_a_predicate():
    torch.manual_seed(0)
    for layer in (nn.Linear(4, 6), Conv1D(6, 4)):
        model = nn.Sequential(layer, nn.Tanh(), nn.Linear(6, 2)).double()
        inputs = torch.randn(3, 4, dtype=torch.float64)
        plain = copy.deepcopy(model)
        trained = lora(model, 2, select=lambda name, module: name == "0")
        assert sum(p.numel() for p in trained.values()) == 2 * (4 + 6)  # no name of a head here
        disturb(trained)
        plain.load_state_dict(effective_weights(model))
        torch.testing.assert_close(plain(inputs), model(inputs), rtol=0, atol=1e-12)


def test_errors():
    model, _ = tiny()
    with pytest.raises(ValueError, match="rank must be a whole number of at least 1, got 0"):
        lora(model, 0)
    with pytest.raises(ValueError, match=r"dropout must be in \[0, 1\), got 1.0"):
        lora(model, dropout=1.0)
    with pytest.raises(ValueError, match="no prunable weight under this rule"):
        lora(nn.Sequential(nn.Linear(2, 2)))
    with pytest.raises(ValueError, match="LoRA is defined for torch.nn.Linear"):
        lora(nn.Sequential(nn.Conv1d(2, 2, 1)), select=lambda name, module: True)
    with pytest.raises(ValueError, match="is chosen by select and by feedforward"):
        ia3(model, select=encoder_linear)
    assert all(p.requires_grad for p in model.parameters())  # nothing was changed by these
    lora(model)
    with pytest.raises(ValueError, match="has an adapter already; put effective_weights"):
        ia3(model)


@pytest.mark.data
@pytest.mark.parametrize("adapt", [lora, ia3])
def test_the_packaged_encoder(adapt: Adapt):
    model, tokenizer = classifier("e5-small", 3, seed=0)
    batch = encode_batch(tokenizer, TEXTS, prefix=model.config.prefix)
    trained = adapt(model)
    hidden, inner = 384, 1536
    expected = 12 * (2 * 8 * 2 * hidden if adapt is lora else 2 * hidden + inner)
    assert sum(p.numel() for p in trained.values()) == expected + 3 * hidden + 3
    with torch.no_grad():
        for parameter in trained.values():
            parameter += 0.05 * torch.randn(
                parameter.shape, generator=torch.Generator().manual_seed(0)
            )
        now = model(**batch).logits
        plain, _ = classifier("e5-small", 3)
        plain.load_state_dict(effective_weights(model, copies=False))
        torch.testing.assert_close(plain(**batch).logits, now, rtol=1e-4, atol=1e-4)
