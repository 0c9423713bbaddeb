"""The Voila application behind :func:`widgets.server.serve`, and the classes its settings name."""

from __future__ import annotations

import re
from typing import Any, ClassVar

import tornado.web
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager
from jupyter_server.utils import url_path_join
from traitlets import Integer, List, Unicode
from voila.app import Voila
from voila.static_file_handler import TemplateStaticFileHandler
from voila.tornado.handler import TornadoVoilaHandler

from widgets.preview import Previews
from widgets.server import FRONT_PAGE, HEADERS

FULL = "All {} places are taken. Close a page you no longer need, or try again in a minute."
ONLY_IN_JUPYTERLAB = "lab"


class CappedKernels(AsyncMappingKernelManager):
    """Starts at most ``max_kernels`` kernels; a flood of visitors cannot fill the memory."""

    max_kernels = Integer(8, help="Kernels at once.").tag(config=True)
    _starting = 0

    def check_room(self) -> None:
        """Raise a 503 if no further kernel may start."""
        if len(self.list_kernel_ids()) + self._starting >= self.max_kernels:
            raise tornado.web.HTTPError(503, FULL.format(self.max_kernels), reason="No free place")

    async def start_kernel(self, **kwargs: Any) -> str:  # type: ignore[override]
        self.check_room()
        self._starting += 1
        try:
            return await super().start_kernel(**kwargs)
        finally:
            self._starting -= 1


class OwnKernel(KernelSpecManager):
    """Knows one kernel, the Python that runs the server: another has other packages."""

    kernel_dirs: List[str] = List(Unicode())

    def _kernel_dirs_default(self) -> list[str]:
        return []


class Secure:
    """Mixed into every handler, since only some of them set the headers of the settings."""

    def set_default_headers(self: Any) -> None:
        super().set_default_headers()  # type: ignore[misc]
        for name, value in HEADERS.items():
            self.set_header(name, value)
        self.clear_header("Server")


class Page(TornadoVoilaHandler):
    """One notebook, only from the top of the folder that is served."""

    async def get(self, path: str | None = None) -> None:
        if not re.fullmatch(r"\w[\w .-]*\.ipynb", path or ""):
            raise tornado.web.HTTPError(404)
        self.xsrf_token  # noqa: B018 - sets the cookie that the page needs to end its kernel
        await super().get(path)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        if status_code == 503:
            self.set_header("Retry-After", "60")
        super().write_error(status_code, **kwargs)


class TemplateFile(TemplateStaticFileHandler):
    """A file of a template; odd addresses are not found, where Voila's own handler breaks."""

    def parse_url_path(self, url_path: str) -> str:
        if not re.fullmatch(r"[\w-]+/static/[\w-][\w./-]*", url_path) or ".." in url_path:
            raise tornado.web.HTTPError(404)
        return super().parse_url_path(url_path)


class FrontPage(JupyterHandler):
    """``/`` leads to the front page, not to a list of files."""

    @tornado.web.authenticated
    def get(self) -> None:
        self.redirect(url_path_join(self.base_url, "voila/render", FRONT_PAGE))


class Picture(JupyterHandler):
    """A recorded figure, drawn by the server so that it shows before any kernel runs."""

    previews: ClassVar[Previews]

    @tornado.web.authenticated
    async def get(self, name: str, theme: str, width: str) -> None:
        png = await self.previews.png(name, theme, int(width))
        if png is None:
            raise tornado.web.HTTPError(404)
        self.set_header("Content-Type", "image/png")
        self.set_header("Cache-Control", "no-cache")
        self.finish(png)


class NoSuchPage(JupyterHandler):
    def prepare(self) -> None:  # type: ignore[override]
        raise tornado.web.HTTPError(404)

    def render_template(self, name: str, **values: Any) -> str:
        raise tornado.web.HTTPError(404)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish(f"{status_code}: there is no such page here.\n")


class Dashboards(Voila):
    """Voila with our handlers: no file list, no contents listing, headers on every answer."""

    def _config_file_paths_default(self) -> list[str]:
        return []  # What this machine's other Voila pages want must not change ours.

    def initialize(self, argv: list[str] | None = None) -> None:
        super().initialize(argv)
        self.previews = Previews(self.root_dir, log=self.log)
        self.voila_configuration.prelaunch_hook = self.before_launch

    def before_launch(self, request: Any, notebook: Any, cwd: str) -> Any:
        """Refuse when full; else the notebook without the cells that are for JupyterLab only."""
        request.kernel_manager.check_room()
        notebook.cells = [
            cell
            for cell in notebook.cells
            if ONLY_IN_JUPYTERLAB not in cell.metadata.get("tags", ())
        ]
        notebook.metadata.setdefault("title", _heading(notebook))
        name = request.request.path.rsplit("/", 1)[-1].removesuffix(".ipynb")
        if not request.request.query and (preview := self.previews.words(name)):
            address = url_path_join(self.base_url, "workbench/preview", name)
            notebook.metadata["workbench_preview"] = {**preview, "address": address}
        return notebook

    def init_handlers(self) -> list[Any]:
        ours = []
        hidden = (r"/voila/tree", r"/voila/api/contents", r"/login", r"/logout")
        for pattern, handler, *rest in super().init_handlers():
            if pattern == self.server_url or any(part in pattern for part in hidden):
                continue
            handler = {TornadoVoilaHandler: Page, TemplateStaticFileHandler: TemplateFile}.get(
                handler, handler
            )
            ours.append((pattern, _secured(handler), *rest))
        preview = url_path_join(
            self.server_url, r"/workbench/preview/([\w-]+)-(light|dark)-(\d{3,4})\.png"
        )
        picture = type("Picture", (Picture,), {"previews": self.previews})
        ours += [
            (self.server_url, _secured(FrontPage)),
            (preview, _secured(picture)),
            (r".*", _secured(NoSuchPage)),
        ]
        return ours

    def listen(self) -> None:
        self.previews.warm()
        super().listen()


def _secured(handler: type) -> type:
    return type(handler.__name__, (Secure, handler), {})


def _heading(notebook: Any) -> str:
    """The first heading of the notebook, for the browser's tab."""
    for cell in notebook.cells:
        found = re.search(r"^#\s+(.+)$", cell.source, re.MULTILINE)
        if cell.cell_type == "markdown" and found:
            return re.sub(r"[*_`$]", "", found[1])
    return "Compression workbench"
