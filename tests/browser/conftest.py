"""A real server over made-up records, and a browser that notices every error and request."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "widgets")]

from browsing import (  # noqa: E402  # noqa: E402
    CHAPTER,
    FLAGS,
    ROOT,
    SERVE,
    Server,
    Start,
    Visit,
    free_port,
    wait_for,
    write_chapter,
)


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a server whose records are made up; one has a hostile name."""
    from synthetic import make_store

    folder = tmp_path_factory.mktemp("records")
    make_store(folder, seeds=2)
    make_store(folder, seeds=1, task='folder:<img src=x onerror="window.hacked=1">')
    return {
        **os.environ,
        "WORKBENCH_RECORDS": str(folder),
        "WORKBENCH_STORE": str(tmp_path_factory.mktemp("own")),
        "WORKBENCH_PROFILE": "smoke",
        "JUPYTER_CONFIG_DIR": str(tmp_path_factory.mktemp("config")),
        "JUPYTER_DATA_DIR": str(tmp_path_factory.mktemp("data")),
        "IPYTHONDIR": str(tmp_path_factory.mktemp("ipython")),
    }


@pytest.fixture(scope="session")
def notebooks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real front page, and a chapter over the made-up experiment."""
    folder = tmp_path_factory.mktemp("notebooks")
    shutil.copy(ROOT / "notebooks" / "00_index.ipynb", folder)
    write_chapter(folder)
    (folder / "secret.txt").write_text("secret")
    (folder.parent / "outside.ipynb").write_text((folder / f"{CHAPTER}.ipynb").read_text())
    return folder


@pytest.fixture(scope="session")
def start(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Start servers; all end with the tests."""
    running: list[subprocess.Popen[bytes]] = []

    def run(program: str, *arguments: str, ready: str = "/", **more: str) -> Server:
        port = free_port()
        log = tmp_path_factory.mktemp("log") / "server.log"
        command = [sys.executable, "-c", program]
        command += [argument.replace("{port}", str(port)) for argument in arguments]
        with log.open("wb") as out:
            process = subprocess.Popen(
                command, cwd=ROOT, env={**environment, **more}, stdout=out, stderr=out
            )
        running.append(process)
        server = Server(f"http://127.0.0.1:{port}", log)
        wait_for(server, process, ready)
        return server

    yield run
    for process in running:
        process.send_signal(signal.SIGTERM)
    for process in running:
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture(scope="session")
def server(start: Start, notebooks: Path) -> Server:
    """The dashboards, over made-up records."""
    return start(SERVE, "{port}", str(notebooks), "8", ready="/voila/static/voila.js")


@pytest.fixture(scope="session")
def browser(chromium: str) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: Any, server: Server) -> Iterator[Callable[..., Visit]]:
    """Make a visitor: a browser context of its own, with a page."""
    contexts = []

    def make(width: int = 1200, scheme: str = "light", address: str = "", **more: Any) -> Visit:
        size = {"width": width, "height": 900}
        context = browser.new_context(viewport=size, color_scheme=scheme, **more)
        contexts.append(context)
        return Visit(context.new_page(), address or server.address)

    yield make
    for context in contexts:
        context.close()
