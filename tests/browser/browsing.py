"""What the browser tests share: a server's address, a visitor's page, and a chapter to visit."""

from __future__ import annotations

import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
CHAPTER = "11_made_up"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
PATIENCE = 240_000  # milliseconds; a machine that runs other things at once is slow

SERVE = """
import sys
from widgets.server import serve
serve(port=int(sys.argv[1]), notebooks=sys.argv[2], max_kernels=int(sys.argv[3]), idle_seconds=120)
"""
LAB = """
import sys
from jupyterlab.labapp import main
sys.exit(main())
"""


@dataclass
class Server:
    """A running server: its address and its log."""

    address: str
    log_path: Path

    def page(self, name: str) -> str:
        return f"{self.address}/voila/render/{name}.ipynb"

    @property
    def log(self) -> str:
        return self.log_path.read_text("utf-8", errors="replace")

    def get(self, path: str, **headers: str) -> tuple[int, dict[str, str], str]:
        """Status, headers and text of an answer; redirects are followed."""
        request = urllib.request.Request(self.address + path, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return answer.status, dict(answer.headers), answer.read().decode("utf-8", "replace")
        except urllib.error.HTTPError as error:
            with error:
                return error.code, dict(error.headers), error.read().decode("utf-8", "replace")


def write_chapter(folder: Path) -> None:
    prose, code = nbformat.v4.new_markdown_cell, nbformat.v4.new_code_cell
    only_in_lab = {"metadata": {"tags": ["lab"]}}
    cells = [
        prose("# A made-up chapter\n\nProse with an equation, $\\alpha^2 + \\beta$, in it."),
        code("from widgets import Explorer, Live\nexplorer = Explorer(\"self-distilled-pruning\")"),
        code("explorer"),
        prose("## A live run\n\n$$\\sum_i \\log p_i$$"),
        code(f"import sys\nsys.path.insert(0, {str(ROOT / 'tests' / 'widgets')!r})\n"
             "from synthetic import Slow  # a secret comment"),
        code("Live(Slow, 'smoke', first=('loss', 'alpha', 'seed'), finished=explorer.refresh)"),
        code("print('only in JupyterLab')", **only_in_lab),
    ]  # fmt: skip
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    metadata = {"kernelspec": kernel}
    notebook = nbformat.v4.new_notebook(cells=cells, metadata=metadata)
    nbformat.write(notebook, folder / f"{CHAPTER}.ipynb")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(server: Server, process: subprocess.Popen[bytes], path: str) -> None:
    end = time.monotonic() + 180
    while time.monotonic() < end:
        if process.poll() is not None:
            pytest.fail(f"the server ended with {process.returncode}:\n{server.log}")
        try:
            if server.get(path)[0] < 500:
                return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"no answer from the server:\n{server.log}")


@dataclass
class Visit:
    """A page with all that went wrong on it."""

    page: Any
    address: str
    errors: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    bad: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.set_default_timeout(PATIENCE)
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", self._request)
        self.page.on("websocket", lambda socket: self._address(socket.url))
        self.page.on("response", self._response)
        self.page.on("framenavigated", lambda frame: self._again())

    def _again(self) -> None:
        """A starved browser loses models, says so, and our page then loads itself again, once."""
        self.errors[:] = [error for error in self.errors if "widget model not found" not in error]

    def _console(self, message: Any) -> None:
        if message.type == "error":
            self.errors.append(message.text)

    def _request(self, request: Any) -> None:
        self._address(request.url)

    def _address(self, url: str) -> None:
        host = self.address.partition("//")[2]
        own = (f"http://{host}/", f"ws://{host}/", "data:", "blob:")
        if not url.startswith(own):
            self.foreign.append(url)

    def _response(self, response: Any) -> None:
        if response.status >= 400:
            self.bad.append(f"{response.status} {response.url}")

    def open(self, url: str) -> Visit:
        """Go there and wait until the page's widgets are in their place."""
        self.page.goto(url, wait_until="commit", timeout=PATIENCE)
        self.page.wait_for_selector(".wb-ready", state="attached")
        self.page.wait_for_selector("#wb-preview", state="detached")
        self.page.wait_for_function(
            "[...document.querySelectorAll('figure')]"
            ".every((f) => f.dataset.look === workbench.look())"
        )
        return self

    def clean(self) -> None:
        found = [*self.errors, *self.foreign, *self.bad]
        assert not found, "\n".join(map(str, found))

    def figure(self, inside: str = ".wb-figure") -> str:
        """The address of the picture that shows, which is its content."""
        source = self.page.get_attribute(f"{inside} img", "src")
        assert source and source.startswith("data:image/png;base64,")
        return source

    def changed(self, before: str, inside: str = ".wb-figure") -> str:
        """Wait for another picture than ``before``."""
        self.page.wait_for_function(
            "([place, old]) => { const i = document.querySelector(place + ' img');"
            " return i && i.src !== old; }",
            arg=[inside, before],
        )
        return self.figure(inside)


Start = Callable[..., Server]
Visitor = Callable[..., Visit]
