"""Chapter 8's methods on the language model that it compresses: GPT-2, whose Conv1D is turned."""

from __future__ import annotations

import copy

import pytest
import torch

from workbench.methods import decomposition, layer_fusion, pruning
from workbench.methods.layer_reconstruction import reconstruct
from workbench.methods.layer_removal import LayerDrop, remove_layers
from workbench.methods.storage import stored_bytes
from workbench.methods.weight_sharing import share_weights
from workbench.metrics.perplexity import perplexity
from workbench.metrics.similarity import layer_groups, layers_of, similarity_matrix

BLOCKS = "transformer.h"


def gpt2(layers: int = 4):
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    config = GPT2Config(vocab_size=50, n_embd=16, n_layer=layers, n_head=4, n_positions=16,
                        resid_pdrop=0, embd_pdrop=0, attn_pdrop=0, bos_token_id=0,
                        eos_token_id=0, initializer_range=0.3)  # fmt: skip
    model = GPT2LMHeadModel(config).eval()
    model.loss_type = "ForCausalLM"
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter, std=0.2)
    return model


@pytest.fixture
def ids():
    return torch.randint(50, (6, 16), generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def logits(model, ids):
    return model(ids).logits


def low_rank(model, rank: int):
    """Every layer's weight cut to this rank."""
    for layer in layer_fusion.fusible_layers(model).values():
        weight = layer.parameters["weight"]
        u, s, v = torch.linalg.svd(weight.detach(), full_matrices=False)
        weight.data = (u[:, :rank] * s[:rank]) @ v[:rank]
    return model


def test_layers_and_their_kinds():
    layers = layer_fusion.layer_weights(gpt2(2))
    assert {n.removeprefix(f"{BLOCKS}.1."): tuple(w.shape) for n, w in layers.items()
            if ".1." in n} == {
        "attn.c_attn": (48, 16), "attn.c_proj": (16, 16),
        "mlp.c_fc": (64, 16), "mlp.c_proj": (16, 64),
    }  # fmt: skip
    assert [layer_fusion.kind_of(name) for name in list(layers)[:4]] == [
        *("c_attn", "attention_output", "intermediate", "output")
    ]


def test_queries_keys_and_values_can_be_compared_apart(ids):
    model = gpt2(2)
    groups = layer_groups(model)
    assert list(groups) == [
        *("attn.c_attn", "query", "key", "value"),
        *("attn.c_proj", "mlp.c_fc", "mlp.c_proj"),
    ]
    name = f"{BLOCKS}.1.attn.c_attn.weight"
    parts = [layers_of(model, kind)[name] for kind in ("query", "key", "value")]
    assert torch.equal(torch.cat(parts), groups["attn.c_attn"][name])
    assert [tuple(part.shape) for part in parts] == [(16, 16)] * 3
    attention = model.transformer.h[1].attn
    hidden = torch.randn(1, 3, 16)
    made = attention.c_attn(hidden).detach().split(16, dim=2)
    for part, bias, wanted in zip(parts, attention.c_attn.bias.detach().split(16), made):
        torch.testing.assert_close(hidden @ part.T + bias, wanted)
    names, matrix = similarity_matrix(layers_of(model, "key"))
    assert names[1] == name and matrix.shape == (2, 2) and matrix[0, 1] > 0


@pytest.mark.parametrize("how", ["mean", "freeze", "mix", "transport"])
def test_fused_models_train_and_load_again(how, ids, tmp_path):
    model = gpt2()
    whole = stored_bytes(model)
    pairs = [(f"{BLOCKS}.0.{x}", f"{BLOCKS}.1.{x}") for x in ("attn.c_attn", "attn.c_proj")]
    pairs += [(f"{BLOCKS}.2.{x}", f"{BLOCKS}.3.{x}") for x in ("mlp.c_fc", "mlp.c_proj")]
    layer_fusion.fuse(model, pairs, how)
    first, second = model.transformer.h[0].attn.c_attn, model.transformer.h[1].attn.c_attn
    assert first.weight is second.weight and first.bias is second.bias
    assert model.lm_head.weight is model.transformer.wte.weight
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    before = float(model(ids, labels=ids).loss.detach())
    for _ in range(5):
        optimizer.zero_grad()
        model(ids, labels=ids).loss.backward()
        optimizer.step()
    assert float(model(ids, labels=ids).loss.detach()) < before
    path = layer_fusion.save(model, tmp_path / "small.safetensors")
    assert stored_bytes(model) < whole
    again = layer_fusion.load(path)
    assert perplexity(again, ids) == perplexity(model, ids)
    assert again.transformer.h[2].mlp.c_fc.weight is again.transformer.h[3].mlp.c_fc.weight


def test_low_rank_layers_lose_nothing_by_two_thin_ones(ids):
    model = low_rank(gpt2(), 4)
    expected = logits(model, ids)
    made = copy.deepcopy(model)
    ranks = decomposition.decompose(made, 0.8)
    assert min(ranks.values()) >= 4 and len(ranks) == 16
    torch.testing.assert_close(logits(made, ids), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("kind", ["linear", "autoencoder"])
def test_reconstruction_reads_what_the_student_feeds_it(kind, ids):
    model = low_rank(gpt2(), 4)
    expected, text = logits(model, ids), perplexity(model, ids)
    fits = reconstruct(model, [{"input_ids": ids}], 0.8, kind=kind, steps=20)
    assert list(fits)[:2] == [f"{BLOCKS}.0.attn.c_attn", f"{BLOCKS}.0.attn.c_proj"]
    assert all(fit.error < (1e-6 if kind == "linear" else 0.2) for fit in fits.values())
    if kind == "linear":
        torch.testing.assert_close(logits(model, ids), expected, rtol=1e-2, atol=1e-2)
    assert perplexity(model, ids) < 3 * text


def test_weights_are_shared_layer_by_layer(ids):
    model = gpt2()
    expected = logits(model, ids)
    found = share_weights(model, clusters=64)
    assert len(found) == 16
    assert len(model.transformer.h[0].attn.c_attn.weight.unique()) == 64
    assert (logits(model, ids) - expected).abs().mean() < 0.2 * expected.abs().mean()


@pytest.mark.parametrize("scope", ["layerwise", "globally"])
def test_pruned_models_stay_pruned(scope, ids):
    model = gpt2()
    scores = pruning.magnitude(model)
    assert len(scores) == 16 and not any("lm_head" in name or "wte" in name for name in scores)
    masks = getattr(pruning.Masks, scope)(scores, density=0.25)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    masks.attach(model, optimizer)
    model(ids, labels=ids).loss.backward()
    optimizer.step()
    kept = sum(int((model.get_parameter(name) != 0).sum()) for name in scores)
    assert kept == pytest.approx(0.25 * sum(s.numel() for s in scores.values()), abs=16)


def test_layers_go_and_may_be_dropped_before(ids):
    model = gpt2()
    drop = LayerDrop(model, 0.999, seed=0)
    expected = logits(remove_layers(copy.deepcopy(model), [1, 2, 3]), ids)
    assert expected.shape == (6, 16, 50)
    bare = model.lm_head(
        model.transformer.ln_f(model.transformer.wte(ids) + model.transformer.wpe.weight)
    )
    torch.testing.assert_close(model.train()(ids).logits, bare)
    drop.remove()
    assert not torch.allclose(logits(model, ids), bare)
