"""Names, fingerprints, and that neither needs torch."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from workbench.models import ENCODERS, fingerprint
from workbench.models.registry import locate, prefix


def test_listing_and_fingerprinting_import_no_torch():
    code = (
        "import sys, workbench.models as m; [m.fingerprint(n) for n in m.ENCODERS]; "
        "print([n for n in ('torch', 'transformers', 'datasets') if n in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_every_encoder_says_what_it_is():
    assert {"minilm", "e5-small", "tiny"} < set(ENCODERS)
    for name, encoder in ENCODERS.items():
        assert encoder.name == name
        assert encoder.licence and encoder.note and encoder.title
        assert 0 < encoder.word_embeddings < encoder.parameters
        if encoder.source == "hub":
            assert re.fullmatch("[0-9a-f]{40}", encoder.revision)
        if encoder.source == "package":
            assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in encoder.sha256)
    assert prefix("e5-small") == "query: " and prefix("minilm") == prefix("owner/other") == ""


def test_fingerprints_differ_and_stay():
    prints = {fingerprint(name) for name in ENCODERS}
    assert len(prints) == len(ENCODERS)
    assert fingerprint("e5-small") == fingerprint("e5-small")
    assert fingerprint("owner/name@one") != fingerprint("owner/name@two")


def test_a_folder_is_told_apart_by_its_content_not_its_place(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
        (tmp_path / name / "model.safetensors").write_bytes(bytes(100))
    assert fingerprint(str(tmp_path / "a")) == fingerprint(f"folder:{tmp_path / 'b'}")
    (tmp_path / "b" / "model.safetensors").write_bytes(bytes(99) + b"\x01")
    assert fingerprint(str(tmp_path / "a")) != fingerprint(str(tmp_path / "b"))


def test_a_large_file_is_sampled_over_its_length(tmp_path, monkeypatch):
    monkeypatch.setattr("workbench.models.registry._WHOLE_FILE", 1000)
    path = tmp_path / "model.safetensors"
    path.write_bytes(bytes(2_000_000))
    before = fingerprint(str(tmp_path))
    path.write_bytes(bytes(1_999_999) + b"\x01")
    assert fingerprint(str(tmp_path)) != before


def test_names_lead_where_they_should(tmp_path):
    assert locate("minilm").kind == "package"
    assert locate("tiny").kind == "code"
    assert locate(str(tmp_path)).folder == tmp_path.resolve()
    assert locate("hub:openai-community/gpt2") == locate("openai-community/gpt2")
    assert locate("openai-community/gpt2").revision == ENCODERS["openai-community/gpt2"].revision
    assert (locate("some/model@v1").hub, locate("some/model@v1").revision) == ("some/model", "v1")
    assert locate("some/model").revision == "main"


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("minlim", ValueError, "unknown encoder 'minlim'. Did you mean 'minilm'? Allowed: minilm,"),
        ("bert", ValueError, "unknown encoder 'bert'."),
        ("", ValueError, "a non-empty string, got ''"),
        (None, ValueError, "a non-empty string, got None"),
        ("../../no/such", FileNotFoundError, "no folder '../../no/such'. Give a folder with"),
        ("folder:nowhere", FileNotFoundError, "no folder 'nowhere'"),
        ("a/b/c", ValueError, "unknown encoder 'a/b/c'"),
    ],
)
def test_other_names_are_refused_with_a_way_out(name, error, message):
    with pytest.raises(error, match=re.escape(message)):
        locate(name)
