"""``doctor``: what is installed, cached, reachable and writable, and what to do about the rest."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from workbench.cli.parser import open_store, store_option
from workbench.cli.text import say, size

HELP = "what is installed, cached, reachable and writable; exit code 1 if runs would fail"
EXTRAS = {
    "lab": ("voila", "jupyterlab"),
    "cluster": ("dask", "ray"),
    "dev": ("pytest", "playwright"),
}
REQUIRED = ["torch", "transformers", "datasets", "accelerate", "numpy", "pandas", "pyarrow"]
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PATIENCE = 4.0


@dataclass(frozen=True)
class Finding:
    """One line of the doctor: ``state`` is ok, note (something optional) or bad."""

    state: str
    what: str
    text: str


def add(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``doctor``."""
    parser.add_argument("--offline", action="store_true", help="ask no server")
    parser.add_argument("--json", action="store_true", help="print JSON")
    store_option(parser)


def main(given: argparse.Namespace) -> int:
    """Print the findings; 1 if any is bad."""
    import json
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(2) as pool:
        asked = [] if given.offline else [pool.submit(registry), pool.submit(hub)]
        findings = [*installed(), *machine(), *cache(), *store(given.store), browser()]
        findings += [answer.result() for answer in asked]
    unreachable = any(f.what == "registry" and f.state != "ok" for f in findings)
    missing = any(f.what.startswith("cached") and f.state != "ok" for f in findings)
    if missing and unreachable:
        findings.append(Finding("bad", "fetching", "data or models are missing and cannot be had"))
    if given.json:
        say(json.dumps([asdict(finding) for finding in findings], indent=1))
    else:
        marks = {"ok": "ok  ", "note": "note", "bad": "BAD "}
        for finding in findings:
            say(f"{marks[finding.state]}  {finding.what:18}  {finding.text}")
        bad = sum(finding.state == "bad" for finding in findings)
        say(f"{bad} to mend before anything runs." if bad else "All that a run needs is here.")
    return int(any(finding.state == "bad" for finding in findings))


def installed() -> Iterator[Finding]:
    """Python, the required packages and the extras."""
    import platform

    supported = sys.version_info >= (3, 11)
    yield Finding(
        "ok" if supported else "bad",
        "python",
        platform.python_version() + ("" if supported else "; 3.11 or newer is needed"),
    )
    versions = {name: _version(name) for name in _requirements()}
    missing = [name for name, version in versions.items() if not version]
    text = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
    yield Finding("ok", "packages", text)
    if missing:
        yield Finding("bad", "missing packages", f"pip install {' '.join(missing)}")
    for extra, names in EXTRAS.items():
        versions = {name: _version(name) for name in names}
        absent = [name for name, version in versions.items() if not version]
        text = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
        if absent:
            text += f"{'; ' if text else ''}no {', '.join(absent)}: pip install '.[{extra}]'"
        yield Finding("note" if absent else "ok", f"extra {extra}", text)


def _requirements() -> list[str]:
    """The packages that this one declares, without those of its extras."""
    import importlib.metadata

    declared: list[str] = []
    with suppress(importlib.metadata.PackageNotFoundError):  # run from a folder, not installed
        declared = importlib.metadata.requires("compression-workbench") or []
    names = [re.split(r"[^\w.-]", line)[0] for line in declared if "extra ==" not in line]
    return names or REQUIRED


def _version(name: str) -> str:
    import importlib.metadata

    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def machine() -> Iterator[Finding]:
    """Cores, threads and accelerators."""
    cores = os.cpu_count() or 1
    try:
        import torch  # seconds
    except Exception as error:
        yield Finding("bad", "torch", f"cannot be imported: {error}")
        return
    limit = os.environ.get("OMP_NUM_THREADS")
    text = f"{cores} cores, torch uses {torch.get_num_threads()} threads"
    yield Finding("ok", "threads", text + (f" (OMP_NUM_THREADS={limit})" if limit else ""))
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        yield Finding("ok", "gpu", f"{', '.join(names)} (CUDA {torch.version.cuda})")
    elif torch.backends.mps.is_available():
        yield Finding("ok", "gpu", "Apple's, through MPS")
    else:
        yield Finding("note", "gpu", "none; the laptop profile needs none, the thesis profile does")


def cache() -> Iterator[Finding]:
    """The cache folder and which data and models lie in it."""
    from workbench.cli.catalogue import cached, fetchable
    from workbench.sources import cache_dir

    yield _folder("cache folder", cache_dir(), "WORKBENCH_CACHE")
    names = [name for name, thing in fetchable().items() if thing["default"]]
    here = [name for name in names if cached(name)]
    absent = [name for name in names if name not in here]
    if here:
        yield Finding("ok", "cached", ", ".join(here))
    if absent:
        text = f"{', '.join(absent)}; fetched when first used, or now: workbench fetch"
        yield Finding("note", "cached, not yet", text)


def store(folder: str | None) -> Iterator[Finding]:
    """The user's store and the records that ship."""
    records = open_store(folder)
    yield _folder("store folder", records.path, "WORKBENCH_STORE")
    if records.below is None:
        yield Finding(
            "note", "shipped records", "not found; run from a clone, or set WORKBENCH_RECORDS"
        )
    else:
        count = len(records.below.find(latest=False))
        yield Finding(
            "ok" if count else "note", "shipped records", f"{count} in {records.below.path}"
        )


def browser() -> Finding:
    """A Chromium for the browser tests."""
    named = os.environ.get("WORKBENCH_CHROMIUM", "")
    found = named or next(filter(None, map(shutil.which, BROWSERS)), None)
    if found:
        return Finding("ok", "browser", found)
    return Finding("note", "browser", "no Chromium; only the browser tests need one")


def registry() -> Finding:
    """Whether pip, with the user's own settings, reaches its index."""
    import subprocess

    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--timeout",
               str(int(PATIENCE)), "--retries", "0", "index", "versions", "emoji"]  # fmt: skip
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=4 * PATIENCE)
    except (OSError, subprocess.TimeoutExpired):
        return Finding("note", "registry", "pip got no answer from its index")
    if answer.returncode == 0:
        return Finding("ok", "registry", "pip reaches its index")
    last = (answer.stderr.strip().splitlines() or ["no answer"])[-1]
    return Finding("note", "registry", f"pip does not reach its index ({last})")


def hub() -> Finding:
    """Whether the model hub answers; only models and data named by hub id need it."""
    import urllib.error
    import urllib.request

    if os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}:
        return Finding("note", "hub", "switched off by HF_HUB_OFFLINE")
    address = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    try:
        urllib.request.urlopen(address, timeout=PATIENCE).close()
    except urllib.error.HTTPError as error:
        return Finding("note", "hub", f"{address} answers with {error.code}")
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        text = f"{address} does not answer ({reason}); only models and data from the hub need it"
        return Finding("note", "hub", text)
    return Finding("ok", "hub", f"{address} answers")


def _folder(what: str, folder: Path, variable: str) -> Finding:
    """Whether the folder, or the one it would be made in, can be written, and its free room."""
    place = folder
    while not place.exists() and place != place.parent:
        place = place.parent
    free = shutil.disk_usage(place).free
    if not os.access(place, os.W_OK | os.X_OK):
        return Finding("bad", what, f"{folder} cannot be written; set {variable} to one that can")
    if free < 1e9:
        text = f"{folder} has {size(free)} free; free some, or set {variable} to another disk"
        return Finding("bad", what, text)
    return Finding("ok", what, f"{folder}, {size(free)} free")
