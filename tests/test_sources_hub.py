"""Files of the hub, from a server of our own that speaks as much of its language as is needed."""

from __future__ import annotations

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from workbench.sources import BrokenFile, Hub, Local, NoNetwork, SourceError

COMMIT = "0123456789abcdef0123456789abcdef01234567"
FILES = {
    "data/train.tsv": b"text\tlabel\nhello\t1\n",
    "config.json": b"{}",
    "evil.py": b"raise SystemExit",
    "pytorch_model.bin": b"pickle",
}


class Server(BaseHTTPRequestHandler):
    """The three questions that the client asks: what is there, how large, and the bytes."""

    asked: list[str] = []

    def do_HEAD(self):
        self.do_GET(body=False)

    def do_GET(self, body=True):
        self.asked.append(f"{self.command} {self.path}")
        head, _, name = self.path.split("?")[0].partition("/resolve/")
        if "/owner/name" not in head:
            self.answer(404, b"", {"X-Error-Code": "RepoNotFound"}, body)
        elif not name and not head.endswith(f"/{COMMIT}") and "/tree/" not in head:
            self.answer(404, b"", {"X-Error-Code": "RevisionNotFound"}, body)
        elif not name and "/tree/" in head:
            kept = [
                {"type": "file", "path": n, "size": len(c), "oid": hashlib.sha1(c).hexdigest()}
                for n, c in FILES.items()
            ]
            self.answer(200, json.dumps(kept).encode(), {}, body)
        elif not name:
            files = [{"rfilename": file} for file in FILES]
            info = {"id": "owner/name", "sha": COMMIT, "siblings": files, "private": False}
            self.answer(200, json.dumps(info).encode(), {}, body)
        else:
            content = FILES[name.partition("/")[2]]
            etag = hashlib.sha1(content).hexdigest()
            self.answer(200, content, {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT}, body)

    def answer(self, code, content, headers, body):
        self.send_response(code)
        for key, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(key, value)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, *args):
        pass


@pytest.fixture
def hub(monkeypatch):
    """A hub on this machine, and online as far as the client knows."""
    from huggingface_hub import constants

    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    Server.asked = []
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_data_is_fetched_once_and_code_never(hub):
    source = Hub("owner/name", COMMIT)
    assert not source.cached()
    folder = source.fetch(progress=False)
    names = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert names == {".manifest.json", "config.json", "data/train.tsv"}
    assert (folder / "data/train.tsv").read_bytes() == FILES["data/train.tsv"]
    assert source.cached()
    asked = len(Server.asked)
    assert source.fetch(progress=False) == folder and len(Server.asked) == asked
    assert not any("evil" in line or ".bin" in line for line in Server.asked)


def test_a_tampered_file_is_named_and_fetched_again(hub, caplog):
    source = Hub("owner/name", COMMIT, files=("data/train.tsv",))
    folder = source.fetch(progress=False)
    (folder / "data/train.tsv").write_bytes(FILES["data/train.tsv"].swapcase())
    assert (source.fetch(progress=False) / "data/train.tsv").read_bytes() == FILES["data/train.tsv"]
    assert "train.tsv" in caplog.text


def test_what_the_hub_refuses_is_explained(hub):
    with pytest.raises(SourceError, match=r"no revision 'v2' on the hub"):
        Hub("owner/name", "v2").fetch(progress=False)
    with pytest.raises(SourceError, match="no dataset 'owner/other' that you may read"):
        Hub("owner/other", COMMIT).fetch(progress=False)
    with pytest.raises(BrokenFile, match=r"no file like \*\.parquet.*refs/convert/parquet"):
        Hub("owner/name", COMMIT, files=("*.parquet",)).fetch(progress=False)


def test_offline_is_said_clearly(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(NoNetwork, match="HF_HUB_OFFLINE forbids.*local folder"):
        Hub("owner/name", COMMIT).fetch(progress=False)


def test_no_hub_is_said_clearly(hub, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # the client tries six times
    with pytest.raises(NoNetwork, match="the hub does not answer.*local folder"):
        Hub("owner/name", COMMIT).fetch(progress=False)


def test_fields_and_fingerprints():
    source = Hub("owner/name", COMMIT, files=["a"])
    assert source.pinned and not Hub("owner/name", "refs/convert/parquet").pinned
    assert source.fingerprint() != Hub("owner/name", "main", files=["a"]).fingerprint()
    for bad in (("../x", "main"), ("owner/name", "a b"), ("owner/name", "../main")):
        with pytest.raises(ValueError, match="is not"):
            Hub(*bad)
    with pytest.raises(ValueError, match="allowed: 'dataset', 'model'"):
        Hub("owner/name", "main", kind="space")


def test_a_local_folder(tmp_path):
    (tmp_path / "a.txt").write_text("a")
    source = Local(tmp_path, files=("a.txt",))
    assert source.fetch() == tmp_path and source.cached()
    before = source.fingerprint()
    (tmp_path / "a.txt").touch()
    assert source.fingerprint() == before
    (tmp_path / "a.txt").write_text("b")
    assert source.fingerprint() != before
    with pytest.raises(SourceError, match=r"lacks b.txt. Expected files: b.txt"):
        Local(tmp_path, files=("b.txt",)).fetch()
    with pytest.raises(SourceError, match="does not exist"):
        Local(tmp_path / "nowhere").fetch()
    assert not Local(tmp_path / "nowhere").cached()
