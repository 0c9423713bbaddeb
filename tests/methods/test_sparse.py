"""Sparse files: exact, smaller, one call to load, and refused when anything in them is wrong."""

from __future__ import annotations

import json
import math

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from hypothesis.extra import numpy as hnp
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from workbench.methods.pruning import Masks, load_sparse, magnitude, save_sparse, sparse
from workbench.methods.pruning.packing import pack, unpack

pytestmark = pytest.mark.unit


def same_bits(a: torch.Tensor, b: torch.Tensor) -> bool:
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    return torch.equal(
        a.detach().contiguous().reshape(-1).view(torch.uint8),
        b.detach().contiguous().reshape(-1).view(torch.uint8),
    )


def same_state(a: nn.Module, b: nn.Module) -> bool:
    ours, theirs = a.state_dict(), b.state_dict()
    return ours.keys() == theirs.keys() and all(same_bits(ours[n], theirs[n]) for n in ours)


def pruned(density: float = 0.1, size: int = 64) -> nn.Sequential:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(size, size), nn.BatchNorm1d(size), nn.Linear(size, 4))
    Masks.globally(magnitude(model), density).apply(model)
    return model


def contents(path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    with safe_open(path, "pt") as file:
        return {n: file.get_tensor(n) for n in file.keys()}, dict(file.metadata())  # noqa: SIM118


# The packing of one tensor


@given(
    hnp.arrays("float32", hnp.array_shapes(max_dims=3, max_side=20)),
    st.floats(0, 1),
    st.sampled_from([torch.float64, torch.float32, torch.float16, torch.bfloat16]),
)
@settings(deadline=None)
def test_packing_is_exact_to_the_bit(values, share, dtype):
    # Any bit pattern: NaN, infinities, subnormals and -0.0 among them.
    tensor = torch.from_numpy(values).to(dtype)
    tensor[torch.rand(tensor.shape) < share] = 0
    if (packed := pack(tensor)) is not None:
        assert same_bits(unpack(*packed, list(tensor.shape)), tensor)
        bits, kept = packed
        assert len(bits) + kept.numel() * kept.element_size() < tensor.numel() * kept.element_size()


def test_minus_zero_is_kept():
    tensor = torch.zeros(1000)
    tensor[3] = -0.0
    restored = unpack(*pack(tensor), [1000])
    assert math.copysign(1, restored[3]) == -1 and same_bits(restored, tensor)


@pytest.mark.parametrize(("dtype", "even"), [(torch.float32, 0.96875), (torch.bfloat16, 0.9375)])
def test_break_even_density(dtype, even):
    def is_packed(density: float) -> bool:
        tensor = torch.ones(100_000, dtype=dtype)
        tensor[: round((1 - density) * len(tensor))] = 0
        return pack(tensor) is not None

    assert is_packed(even - 0.005) and not is_packed(even + 0.001)


# Files


@pytest.mark.parametrize("density", [1.0, 0.5, 0.1, 0.01])
def test_round_trip_of_any_module(tmp_path, density):
    model = pruned(density)
    assert save_sparse(model, tmp_path / "a.safetensors") == tmp_path / "a.safetensors"
    other = nn.Sequential(nn.Linear(64, 64), nn.BatchNorm1d(64), nn.Linear(64, 4))
    weight = other[0].weight
    assert load_sparse(tmp_path / "a.safetensors", other) is other
    assert same_state(model, other) and other[0].weight is weight
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]


def test_the_file_is_really_smaller(tmp_path):
    model = pruned(0.1, size=512)
    dense = sum(t.numel() * t.element_size() for t in model.state_dict().values())
    size = save_sparse(model, tmp_path / "a").stat().st_size
    assert size < 0.15 * dense  # 1/32 of bitmask, a tenth of values, biases and statistics
    assert save_sparse(pruned(1.0, size=512), tmp_path / "b").stat().st_size < dense + 4096


def test_attached_masks_make_no_difference(tmp_path):
    model = pruned(1.0)
    Masks.globally(magnitude(model), 0.1).attach(model)
    save_sparse(model, tmp_path / "a")
    assert same_state(load_sparse(tmp_path / "a", pruned()), model)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_dtype_follows_the_file(tmp_path, dtype):
    model = pruned().to(dtype)
    save_sparse(model, tmp_path / "a")
    assert same_state(load_sparse(tmp_path / "a", pruned()), model)


def test_transformers_models_need_only_the_file(tmp_path, make_bert, tokens):
    model = make_bert()
    Masks.globally(magnitude(model), 0.2).apply(model)
    model.config._name_or_path = "/home/somebody/model"
    save_sparse(model, tmp_path / "a")
    again = load_sparse(tmp_path / "a")
    assert type(again) is type(model) and not again.training and same_state(model, again)
    assert torch.equal(again(tokens).logits, model(tokens).logits)
    assert again.config.num_labels == 3
    assert b"somebody" not in (tmp_path / "a").read_bytes()
    masks = Masks.from_zeros(again)
    assert masks.density == pytest.approx(0.2, abs=1e-3)


def test_our_classifier_needs_only_the_file(tmp_path, tokens):
    from transformers import BertConfig

    from workbench.models import SentenceClassifier, SentenceClassifierConfig

    encoder = BertConfig(vocab_size=60, hidden_size=16, num_hidden_layers=1,
                         num_attention_heads=2, intermediate_size=32)  # fmt: skip
    model = SentenceClassifier(
        SentenceClassifierConfig(encoder=encoder, num_labels=5, pooling="cls")
    )
    Masks.globally(magnitude(model), 0.2).apply(model.eval())
    save_sparse(model, tmp_path / "a")
    again = load_sparse(tmp_path / "a")
    assert type(again) is SentenceClassifier and again.config.pooling == "cls"
    assert same_state(model, again)
    assert torch.equal(again(tokens).logits, model(tokens).logits)


def test_saved_and_loaded_the_usual_way(tmp_path, make_bert):
    model = make_bert()
    optimizer = torch.optim.AdamW(model.parameters())
    masks = Masks.globally(magnitude(model), 0.2).attach(model, optimizer)
    model.save_pretrained(tmp_path)
    again = type(model).from_pretrained(tmp_path)
    assert same_state(model, again)
    assert all(not again.get_parameter(n)[~m].any() for n, m in masks.items())


def test_tied_weights_are_stored_once_and_stay_tied(tmp_path):
    from transformers import BertConfig, BertForMaskedLM

    config = BertConfig(vocab_size=300, hidden_size=16, num_hidden_layers=1,
                        num_attention_heads=2, intermediate_size=32)  # fmt: skip
    model = BertForMaskedLM(config).eval()
    table = model.get_input_embeddings().weight
    assert model.get_output_embeddings().weight is table
    save_sparse(model, tmp_path / "a")
    tensors, metadata = contents(tmp_path / "a")
    shaped = [n for n, t in tensors.items() if t.shape == table.shape]
    assert len(shaped) == 1
    again = load_sparse(tmp_path / "a")
    assert again.get_output_embeddings().weight is again.get_input_embeddings().weight
    assert same_state(model, again)

    tied, loose = (nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)) for _ in range(2))
    tied[1].weight = tied[0].weight
    save_sparse(tied, tmp_path / "b")
    load_sparse(tmp_path / "b", loose)
    assert loose[0].weight.data_ptr() != loose[1].weight.data_ptr() and same_state(tied, loose)


# What is refused


def test_a_module_of_ones_own_has_to_be_passed(tmp_path):
    save_sparse(pruned(), tmp_path / "a")
    with pytest.raises(ValueError, match=r"no configuration.*pass one: load_sparse\(path, model\)"):
        load_sparse(tmp_path / "a")


def test_a_model_that_does_not_fit(tmp_path):
    save_sparse(pruned(), tmp_path / "a")
    with pytest.raises(ValueError, match=r"does not fit Linear: \d+ names are in one of them only"):
        load_sparse(tmp_path / "a", nn.Linear(2, 2))
    with pytest.raises(
        ValueError, match=r"'0.weight' has shape \(64, 64\) in the file and \(32, 32\)"
    ):
        load_sparse(tmp_path / "a", pruned(size=32))


def test_files_that_are_not_ours(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file .*nothing; write one with save_sparse"):
        load_sparse(tmp_path / "nothing")
    (tmp_path / "text").write_text("hello")
    with pytest.raises(ValueError, match="is not a sparse model that can be read"):
        load_sparse(tmp_path / "text")
    save_file({"w": torch.ones(2)}, tmp_path / "dense")
    with pytest.raises(ValueError, match="a safetensors file of another kind; use safetensors"):
        load_sparse(tmp_path / "dense")
    with pytest.raises(TypeError, match=r"the path comes first: load_sparse\(path, model\)"):
        load_sparse(nn.Linear(1, 1), tmp_path / "text")


@pytest.mark.parametrize("place", [0.01, 0.3, 0.6, 0.9, 0.999])
def test_one_flipped_bit_anywhere_is_noticed(tmp_path, place):
    save_sparse(pruned(), tmp_path / "a")
    data = bytearray((tmp_path / "a").read_bytes())
    data[int(place * len(data))] ^= 4
    (tmp_path / "a").write_bytes(data)
    model = pruned(0.5)
    before = {n: t.clone() for n, t in model.state_dict().items()}
    with pytest.raises(ValueError, match="is not a sparse model that can be read"):
        load_sparse(tmp_path / "a", model)
    assert all(torch.equal(before[n], t) for n, t in model.state_dict().items())


def test_a_file_cut_short_is_noticed(tmp_path):
    save_sparse(pruned(), tmp_path / "a")
    data = (tmp_path / "a").read_bytes()
    for size in (0, 5, 200, len(data) // 2, len(data) - 1):
        (tmp_path / "a").write_bytes(data[:size])
        with pytest.raises(ValueError, match="is not a sparse model that can be read"):
            load_sparse(tmp_path / "a", pruned())


def forge(path, change) -> None:
    """Rewrite a file after ``change(tensors, index, model)``, with a fitting sum."""
    tensors, metadata = contents(path)
    index, model = json.loads(metadata["index"]), json.loads(metadata["model"])
    model = change(tensors, index, model) or model
    metadata |= {"index": json.dumps(index), "model": json.dumps(model)}
    metadata["sha256"] = sparse._digest(metadata, tensors)
    save_file(tensors, path, metadata)


BITS, VALUES = "bits:0.weight", "values:0.weight"
FORGERIES = {
    "too few values": lambda t, i, m: t.update({VALUES: t[VALUES][:-1].clone()}),
    "more bits": lambda t, i, m: t.update({BITS: torch.ones(9999, dtype=torch.uint8)}),
    "bits of another type": lambda t, i, m: t.update({BITS: t[BITS].float()}),
    "a larger shape": lambda t, i, m: i["0.weight"].update(shape=[10**9, 10**9]),
    "a negative shape": lambda t, i, m: i["0.weight"].update(shape=[-64, -64]),
    "a shape that is text": lambda t, i, m: i["0.weight"].update(shape="64"),
    "another dtype": lambda t, i, m: i["0.weight"].update(dtype="float16"),
    "an unknown dtype": lambda t, i, m: i["0.weight"].update(dtype="object"),
    "a missing tensor": lambda t, i, m: t.pop("dense:0.bias"),
    "a tensor too many": lambda t, i, m: t.update(extra=torch.ones(1)),
    "a reference to nothing": lambda t, i, m: i.update(x={"same_as": "y"}),
    "a reference to itself": lambda t, i, m: i.update(x={"same_as": "x"}),
    "an entry that is a number": lambda t, i, m: i.update(x=3),
}  # fmt: skip


@pytest.mark.parametrize("name", FORGERIES)
def test_forged_files_are_refused(tmp_path, name):
    save_sparse(pruned(), tmp_path / "a")

    def change(tensors, index, model) -> None:
        FORGERIES[name](tensors, index, model)

    forge(tmp_path / "a", change)
    with pytest.raises(ValueError, match="is not a sparse model that can be read: "):
        load_sparse(tmp_path / "a", pruned())


@pytest.mark.parametrize(
    ("home", "name"),
    [("os", "system"), ("transformers", "pipeline"), ("transformers", "PreTrainedModel"),
     ("workbench.models", "classifier"), ("transformers", "NoSuchModel")],
)  # fmt: skip
def test_only_known_classes_are_built(tmp_path, make_bert, home, name):
    save_sparse(make_bert(), tmp_path / "a")
    forge(tmp_path / "a", lambda t, i, m: {**m, "home": home, "class": name})
    with pytest.raises(
        ValueError, match="a class that is not a model of transformers or workbench"
    ):
        load_sparse(tmp_path / "a")


def test_a_configuration_that_fails_says_so(tmp_path, make_bert):
    save_sparse(make_bert(), tmp_path / "a")
    forge(tmp_path / "a", lambda t, i, m: {**m, "config": {**m["config"], "hidden_size": 17}})
    with pytest.raises(ValueError, match="holds a configuration that fails"):
        load_sparse(tmp_path / "a")


def test_state_that_is_no_tensor_is_refused(tmp_path):
    class Odd(nn.Linear):
        def get_extra_state(self):
            return {"a": 1}

        def set_extra_state(self, state):
            pass

    with pytest.raises(TypeError, match="cannot store '_extra_state' of type dict"):
        save_sparse(Odd(2, 2), tmp_path / "a")
    with pytest.raises(OSError, match="nowhere"):
        save_sparse(pruned(), tmp_path / "nowhere" / "a")
    assert list(tmp_path.iterdir()) == []
