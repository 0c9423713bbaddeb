"""The settings of the dashboards, and what ``serve`` refuses before it starts."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from widgets import server

HEAVY = ("torch", "transformers", "datasets", "accelerate", "sklearn", "matplotlib.pyplot")


def test_voila_json_holds_the_same_settings(root: Path) -> None:
    assert json.loads((root / "voila.json").read_text("utf-8")) == server.settings()


def test_every_setting_is_one_that_voila_knows() -> None:
    from voila.app import Voila
    from voila.configuration import VoilaConfiguration
    from voila.execute import VoilaExecutor

    from widgets.dashboards import CappedKernels

    known = {
        "Voila": Voila,
        "VoilaConfiguration": VoilaConfiguration,
        "VoilaExecutor": VoilaExecutor,
        "CappedKernels": CappedKernels,
        "MappingKernelManager": CappedKernels,
    }
    for section, values in server.settings().items():
        assert {*values} <= {*known[section].class_traits(config=True)}, section


def test_the_policy_names_no_other_host() -> None:
    assert "http" not in server.POLICY and "//" not in server.POLICY and "*" not in server.POLICY


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_only_this_machine_may_ask_by_default(host: str) -> None:
    assert server.settings(host=host)["Voila"]["tornado_settings"]["allow_remote_access"] is False


def test_serving_others_is_a_choice() -> None:
    chosen = server.settings(host="0.0.0.0")
    assert chosen["Voila"]["tornado_settings"]["allow_remote_access"] is True


def test_a_taken_port_is_refused_with_a_way_out(root: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{port}.*--port {port + 1}"):
            server.serve(port, notebooks=root / "notebooks")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"port": 0}, "port 0 is out of range: 1 to 65535"),
        ({"port": 70000}, "port 70000 is out of range"),
        ({"port": 8866, "max_kernels": 0}, "max_kernels = 0 must be at least 1"),
    ],
)
def test_settings_that_cannot_be_are_refused(
    root: Path, arguments: dict[str, int], text: str
) -> None:
    with pytest.raises(ValueError, match=text):
        server.serve(notebooks=root / "notebooks", **arguments)  # type: ignore[arg-type]


def test_a_folder_without_notebooks_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no notebooks in .*name the folder"):
        server.serve(notebooks=tmp_path)


def test_our_template_brings_all_that_its_pages_name(root: Path) -> None:
    folder = root / "widgets" / "voila" / "templates" / "workbench"
    text = "".join(path.read_text("utf-8") for path in folder.rglob("*.*"))
    assert "http://" not in text and "https://" not in text
    for name in ("page.js", "page.css", "widgets.css"):
        assert (folder / "static" / name).is_file()


RECORDS_ONLY = """
import sys
from widgets import ChapterCards, Explorer
view = Explorer("self-distilled-pruning")
assert view.card.drawn is not None, view.messages.messages
view.compare.value = True
view.menus["figure"].value = "separability"
view.children[7].toggle.value = True
ChapterCards("notebooks")._repr_html_()
print([name for name in {heavy} if name in sys.modules])
"""


def test_a_page_that_only_shows_records_loads_no_torch(
    root: Path, recorded: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKBENCH_RECORDS", str(recorded.path))  # type: ignore[attr-defined]
    run = subprocess.run(
        [sys.executable, "-c", RECORDS_ONLY.format(heavy=HEAVY)],
        cwd=root, check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert run.stdout.strip() == "[]"


def test_building_the_panel_of_a_live_run_loads_no_torch(root: Path) -> None:
    code = "import sys; from widgets import Live; Live('self-distilled-pruning')"
    code += f"; print([name for name in {HEAVY} if name in sys.modules])"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=root, check=True, capture_output=True, text=True
    )
    assert run.stdout.strip() == "[]"
