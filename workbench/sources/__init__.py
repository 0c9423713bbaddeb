"""Where files come from: a pinned package file, a pinned hub repository or a local folder.

    >>> wheel = Wheel("emoji", "2.16.0", sha256="c4230d...", members=("emoji/unicode_codes/emoji_de.json",))
    >>> folder = wheel.fetch()          # downloaded once, checked, unpacked; offline from then on
    >>> (folder / "emoji/unicode_codes/emoji_de.json").read_text()

Each source is a frozen dataclass with ``fetch(progress=None) -> Path``, ``cached() -> bool`` and
``fingerprint() -> str``. Nothing that is fetched is ever executed or unpickled. ``Made`` keeps what is
made from such files beside them.
"""  # noqa: E501

from workbench.sources.cache import cache_dir
from workbench.sources.errors import (
    BrokenFile,
    DiskFull,
    NoNetwork,
    NoPip,
    SourceError,
    UnsafeArchive,
)
from workbench.sources.hub import Hub
from workbench.sources.local import Local
from workbench.sources.made import Made
from workbench.sources.wheel import Wheel

__all__ = [
    "BrokenFile",
    "DiskFull",
    "Hub",
    "Local",
    "Made",
    "NoNetwork",
    "NoPip",
    "SourceError",
    "UnsafeArchive",
    "Wheel",
    "cache_dir",
]
