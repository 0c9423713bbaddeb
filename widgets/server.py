"""Serve the notebooks as dashboards: ``serve()``, and the settings that ``voila.json`` mirrors.

Nothing is asked of another host, and nobody who can reach the port can open a file outside the
notebooks' folder, read a page's code or start more than ``max_kernels`` kernels.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).resolve().parent
FRONT_PAGE = "00_index.ipynb"
MAX_KERNELS = 8

POLICY = "; ".join(
    [
        "default-src 'self'",
        # Voila's front end evaluates compiled templates and starts from inline scripts.
        "script-src 'self' 'unsafe-inline' 'unsafe-eval'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self' ws: wss:",
        "worker-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    ]
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cross-Origin-Opener-Policy": "same-origin",
}
EXTENSIONS = [
    "@voila-dashboards/widgets-manager8",
    "@jupyter-widgets/jupyterlab-manager",
    "anywidget",
]


def settings(
    *, host: str = "127.0.0.1", max_kernels: int = MAX_KERNELS, idle_seconds: int = 600
) -> dict[str, dict[str, Any]]:
    """Voila's configuration as plain JSON values; ``voila.json`` in the repository is this."""
    return {
        "Voila": {
            "ip": host,
            "open_browser": False,
            "port_retries": 0,
            "tornado_settings": {
                "headers": HEADERS,
                # A page of another name that resolves to this machine must not reach the kernels.
                "allow_remote_access": not _loopback(host),
            },
        },
        "VoilaConfiguration": {
            "template": "workbench",
            "theme": "light",
            "allow_template_override": "NO",
            "allow_theme_override": "NO",
            "strip_sources": True,
            "show_tracebacks": False,
            "preheat_kernel": False,
            "file_allowlist": [r"images/[\w-]+\.(png|svg)"],
            "file_denylist": [r".*\.(ipynb|py|json)", r".*\.\..*"],
            "extension_allowlist": EXTENSIONS,
            "http_header_envs": ["Cookie"],
            "multi_kernel_manager_class": "widgets.dashboards.CappedKernels",
            "kernel_spec_manager_class": "widgets.dashboards.OwnKernel",
        },
        "CappedKernels": {"max_kernels": max_kernels},
        "MappingKernelManager": {
            "cull_idle_timeout": idle_seconds,
            "cull_interval": max(1, min(60, idle_seconds // 2)),
            "cull_connected": False,
            "cull_busy": False,
        },
        "VoilaExecutor": {
            "timeout": 300,
            "cell_error_instruction": "The server log has the details.",
        },
    }


def serve(
    port: int = 8866,
    host: str = "127.0.0.1",
    open_browser: bool = False,
    max_kernels: int = MAX_KERNELS,
    *,
    notebooks: str | Path | None = None,
    idle_seconds: int = 600,
    base_url: str = "/",
    log_level: str = "INFO",
) -> None:
    """Serve the dashboards until interrupted; pages are at ``/voila/render/NAME.ipynb``.

    Args:
        port: where to listen; taken ports are refused, not replaced.
        host: ``127.0.0.1`` serves this machine only; ``0.0.0.0`` every one that can reach it.
            There is no login: put a proxy with one in front before serving strangers.
        max_kernels: pages open at once; one more is answered with 503.
        notebooks: the folder to serve; by default the repository's ``notebooks``.
        idle_seconds: a kernel without a page ends after this time.
        base_url: the path prefix behind a proxy.

    Raises:
        ValueError: a port or a number of kernels that cannot be.
        FileNotFoundError: no notebooks there.
        OSError: the port is taken.
        ModuleNotFoundError: Voila is not installed.
    """
    folder = _folder(notebooks)
    _check(port, host, max_kernels)
    try:
        from widgets.dashboards import Dashboards
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{error.name} is missing; install the dashboards with: pip install '.[lab]'"
        ) from error
    from traitlets.config import Config

    _prepare_environment()
    config = Config(settings(host=host, max_kernels=max_kernels, idle_seconds=idle_seconds))
    config.Voila.port = port
    config.Voila.base_url = base_url if base_url.endswith("/") else f"{base_url}/"
    config.Voila.open_browser = open_browser
    config.Voila.log_level = log_level
    app = Dashboards.instance(config=config)  # the renderer logs to the one instance there is
    try:
        app.initialize([str(folder)])
        app.start()
    finally:
        Dashboards.clear_instance()


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _folder(notebooks: str | Path | None) -> Path:
    folder = Path(notebooks) if notebooks else PACKAGE.parent / "notebooks"
    if not any(folder.glob("*.ipynb")):
        raise FileNotFoundError(
            f"no notebooks in {folder}; run this from a clone of the repository, "
            "or name the folder with notebooks=..."
        )
    return folder.resolve()


def _check(port: int, host: str, max_kernels: int) -> None:
    if not 1 <= port <= 65535:
        raise ValueError(f"port {port} is out of range: 1 to 65535.")
    if max_kernels < 1:
        raise ValueError(f"max_kernels = {max_kernels} must be at least 1.")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise OSError(
                error.errno,
                f"cannot listen on {host}:{port} ({error.strerror}); "
                f"stop what uses it or take another, e.g. --port {port % 65535 + 1}",
            ) from None


def _prepare_environment() -> None:
    """Let Jupyter find our template in this package, and the kernels the code that serves them."""
    _prepend("JUPYTER_PATH", PACKAGE)
    if (PACKAGE.parent / "pyproject.toml").exists():
        _prepend("PYTHONPATH", PACKAGE.parent)


def _prepend(variable: str, folder: Path) -> None:
    known = [part for part in os.environ.get(variable, "").split(os.pathsep) if part]
    if str(folder) not in known:
        os.environ[variable] = os.pathsep.join([str(folder), *known])
