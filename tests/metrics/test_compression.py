"""Density by counting, multiply-adds against torch's own counter, latency as stated."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    DistilBertConfig,
    DistilBertModel,
    RobertaConfig,
    RobertaModel,
)

from workbench.metrics import compression
from workbench.metrics.norms import layer_weights

SMALL = dict(
    vocab_size=50,
    hidden_size=8,
    num_attention_heads=2,
    intermediate_size=16,
    num_hidden_layers=2,
    max_position_embeddings=40,
)


@pytest.fixture
def bert() -> BertForSequenceClassification:
    torch.manual_seed(0)
    config = BertConfig(**SMALL, num_labels=3, attn_implementation="eager")
    return BertForSequenceClassification(config)


def prune(model: nn.Module) -> int:
    """Set half of each layer matrix to zero; the number of weights removed."""
    removed = 0
    with torch.no_grad():
        for _, _, weight in layer_weights(model):
            weight[: len(weight) // 2] = 0
            removed += weight[: len(weight) // 2].numel()
    return removed


def test_density_over_prunable_and_over_all(bert):
    assert compression.density(bert) == {"prunable": 1.0, "all": 1.0}  # zero biases do not count
    total = sum(parameter.numel() for parameter in bert.parameters())
    removed = prune(bert)
    expected = {"prunable": 0.5, "all": (total - removed) / total}
    assert compression.density(bert) == pytest.approx(expected, rel=1e-12)
    layers = compression.layer_densities(bert)
    assert [entry[2] for entry in layers] == [0.5] * 12 and layers[0][:2] == (0, "query")


def test_density_of_masks_needs_no_zero_weights(bert):
    (_, first, one), (_, second, two) = layer_weights(bert)[:2]
    masks = {first: torch.zeros_like(one), second: torch.ones_like(two, dtype=torch.bool)}
    assert compression.density(bert, masks)["prunable"] == 0.5
    names = [name for _, name, _ in layer_weights(bert)][:4]
    assert compression.density(bert, masks, names)["prunable"] == 0.75  # no mask: nothing removed
    with torch.no_grad():
        one.zero_()
    assert compression.density(bert, prunable=[first])["prunable"] == 0.0


def test_density_says_what_is_wrong(bert):
    name = layer_weights(bert)[0][1]
    with pytest.raises(ValueError, match=r"no parameter 'nothing' \(1 unknown\)"):
        compression.density(bert, prunable=["nothing"])
    with pytest.raises(ValueError, match=r"has shape \(2,\), the parameter \(8, 8\)"):
        compression.density(bert, {name: torch.ones(2)})
    with torch.no_grad():
        layer_weights(bert)[0][2][0, 0] = torch.nan
    with pytest.raises(ValueError, match="holds NaN weights"):
        compression.density(bert)


@pytest.mark.parametrize(("batch", "length"), [(1, 7), (3, 16)])
def test_multiply_adds_are_half_the_flops_that_torch_counts(bert, batch, length):
    ids = torch.full((batch, length), 5)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        bert.eval()(input_ids=ids, attention_mask=torch.ones_like(ids))
    found = compression.multiply_adds(bert, batch, length)
    assert 2 * found.dense == counter.get_total_flops()
    assert found.dense == found.surviving and (found.batch, found.length) == (batch, length)


@pytest.mark.parametrize("kind", ["roberta", "distilbert", "sdpa"])
def test_multiply_adds_of_other_encoders(kind):
    if kind == "distilbert":
        config = DistilBertConfig(vocab_size=50, dim=8, n_heads=2, hidden_dim=16, n_layers=2)
        model, pooler = DistilBertModel(config), 0
    elif kind == "roberta":
        model, pooler = RobertaModel(RobertaConfig(**SMALL, pad_token_id=1)), 64
    else:
        model, pooler = BertModel(BertConfig(**SMALL)), 64
    found = compression.multiply_adds(model, 2, 11)
    # Two layers of 4 d^2 + 2 d m weights on each token; L^2 d for scores and for mixing.
    assert found.linear == 2 * (11 * 2 * (4 * 8 * 8 + 2 * 8 * 16) + pooler)
    assert found.attention == 2 * 2 * 2 * 11**2 * 8


def test_surviving_multiply_adds_leave_out_removed_weights(bert):
    dense = compression.multiply_adds(bert, 2, 10)
    removed = prune(bert)
    found = compression.multiply_adds(bert, 2, 10)
    assert found.dense == dense.dense and found.attention == dense.attention
    assert found.linear - found.surviving_linear == 2 * 10 * removed


def test_measuring_leaves_the_model_as_it_was(bert):
    bert.train()
    bert.bert.eval()
    modes = [module.training for module in bert.modules()]
    state = torch.get_rng_state()
    compression.multiply_adds(bert, 1, 8)
    compression.latency(bert, (1, 8), repeats=1)
    assert [module.training for module in bert.modules()] == modes
    assert not any(module._forward_pre_hooks for module in bert.modules())
    assert torch.equal(torch.get_rng_state(), state)


def test_bytes_of_files_folders_and_tensors(tmp_path, bert):
    tensors = {"a": torch.zeros(100), "b": torch.zeros(50, dtype=torch.float16)}
    save_file(tensors, tmp_path / "model.safetensors")
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "config.json").write_text("{}")
    size = compression.bytes_on_disk(tmp_path / "model.safetensors")
    assert 500 < size < 1000  # 500 bytes of numbers and a header
    assert compression.bytes_on_disk(str(tmp_path)) == size + 2
    with pytest.raises(FileNotFoundError, match="does not exist; save the model first"):
        compression.bytes_on_disk(tmp_path / "nothing")
    parameters = 4 * sum(parameter.numel() for parameter in bert.parameters())
    buffers = sum(buffer.numel() * buffer.element_size() for buffer in bert.buffers())
    assert compression.bytes_in_memory(bert) == parameters + buffers
    halved = compression.bytes_in_memory(bert.half()) - buffers
    assert halved == parameters // 2


def test_latency_states_how_it_was_measured(bert):
    before = torch.get_num_threads()
    found = compression.latency(bert, (2, 9), repeats=5, threads=1, warmup=1)
    assert 0 < found.lower <= found.median <= found.upper < 5
    assert (found.repeats, found.batch, found.length, found.threads) == (5, 2, 9, 1)
    assert found.device == "cpu" and torch.get_num_threads() == before
    inputs = {"input_ids": torch.ones(3, 4, dtype=torch.long)}
    found = compression.latency(bert, inputs, repeats=1, warmup=0)
    assert (found.batch, found.length) == (3, 4)


def test_sizes_out_of_range_say_what_is_allowed(bert):
    with pytest.raises(ValueError, match="length=41; the model takes at most 40 tokens"):
        compression.multiply_adds(bert, 1, 41)
    with pytest.raises(ValueError, match="batch=0, length=8; both must be 1 or more"):
        compression.multiply_adds(bert, 0, 8)
    with pytest.raises(ValueError, match="batch=1, length=0"):
        compression.latency(bert, (1, 0))
    with pytest.raises(ValueError, match="repeats and threads must be 1 or more"):
        compression.latency(bert, (1, 4), repeats=0)
    roberta = RobertaModel(RobertaConfig(**SMALL, pad_token_id=1))
    with pytest.raises(ValueError, match="at most 38 tokens"):  # two positions are kept free
        compression.multiply_adds(roberta, 1, 39)


def test_multiply_adds_of_convolutions_are_weights_times_places():
    from workbench.models.convnets import convnet

    cost = compression.multiply_adds(convnet("resnet20", 10), {"pixels": torch.zeros(2, 3, 32, 32)})
    # He et al. 2016: 16 channels at 32 x 32, 32 at 16 x 16, 64 at 8 x 8, and the head.
    stages = (3 + 6 * 16) * 16 * 9 * 1024 + (16 + 5 * 32) * 32 * 9 * 256
    whole = stages + (32 + 5 * 64) * 64 * 9 * 64 + 640
    assert cost.dense == 2 * whole == pytest.approx(2 * 41e6, rel=0.02)


def test_multiply_adds_of_gpt2_count_its_joint_projection():
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(vocab_size=50, n_embd=16, n_layer=2, n_head=4, n_positions=16)
    model = GPT2LMHeadModel(config)
    ids = torch.ones(3, 8, dtype=torch.long)
    cost = compression.multiply_adds(model, {"input_ids": ids})
    assert cost.linear == 3 * 8 * (2 * 12 * 16**2 + 16 * 50)
    assert cost.attention == 2 * 3 * 8**2 * 16 * 2
    assert compression.multiply_adds(model, 3, 8).dense == cost.dense
