"""A pinned revision of a repository on the Hugging Face hub: data and weights only, no code."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from workbench.sources.cache import cache_dir, digest, locked, log, problems, put, write_manifest
from workbench.sources.errors import BrokenFile, NoNetwork, SourceError, disk_errors
from workbench.sources.progress import Progress

# No *.py and no pickles: only what is read as data.
SAFE = {
    "dataset": ("*.parquet", "*.csv", "*.tsv", "*.jsonl", "*.json", "*.txt"),
    "model": ("*.safetensors", "*.json", "*.txt", "*.model"),
}
UNSAFE = ("*.py", "*.bin", "*.pt", "*.pth", "*.pkl", "*.pickle", "*.ckpt", "*.h5", "*.msgpack")
_TRUE = {"1", "ON", "YES", "TRUE"}


@dataclass(frozen=True)
class Hub:
    """Files of one repository at one ``revision`` (best a 40-digit commit, which never changes).

    ``files`` are names or patterns; without them all files of safe kinds are taken.
    """

    repo: str
    revision: str
    kind: Literal["dataset", "model"] = "dataset"
    files: tuple[str, ...] = ()
    licence: str = ""
    size: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "files", tuple(self.files))
        if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", self.repo) or ".." in self.repo:
            raise ValueError(f"repo={self.repo!r} is not of the form 'owner/name'.")
        if not re.fullmatch(r"[\w./-]+", self.revision) or ".." in self.revision:
            raise ValueError(f"revision={self.revision!r} is not a commit, tag or branch.")
        if self.kind not in SAFE:
            raise ValueError(f"kind={self.kind!r}; allowed: 'dataset', 'model'.")

    @property
    def name(self) -> str:
        """``repo at revision``, for people."""
        return f"{self.repo} at {self.revision[:12]}"

    @property
    def pinned(self) -> bool:
        """Whether the revision is a commit, which never changes."""
        return re.fullmatch(r"[0-9a-f]{40}", self.revision) is not None

    @property
    def path(self) -> Path:
        """Where the files lie once fetched."""
        return cache_dir() / "hub" / self._key

    @property
    def _key(self) -> str:
        return f"{self.repo.replace('/', '--')}-{self.fingerprint()}"

    @property
    def _about(self) -> dict:
        return {"repo": self.repo, "revision": self.revision, "kind": self.kind}

    def fingerprint(self) -> str:
        """A name for the content; touches no file and asks no server."""
        return digest("hub", self.repo, self.revision, self.kind, self.files)

    def cached(self) -> bool:
        """Whether all files lie in the cache with the right sizes."""
        return not problems(self.path, self._about, hashes=False)

    def fetch(self, progress: Progress = None) -> Path:
        """The folder with the files; downloads on the first call, then works offline.

        ``progress=False`` hides the bars. Raises NoNetwork (also when ``HF_HUB_OFFLINE`` forbids
        the download), SourceError for an unknown repository or revision, BrokenFile, DiskFull.
        """
        if not problems(self.path, self._about):
            return self.path
        with locked(self._key):
            broken = problems(self.path, self._about)
            if not broken:
                return self.path
            if self.path.exists():
                log.warning("fetching %s again. %s", self.name, "; ".join(broken))
            if os.environ.get("HF_HUB_OFFLINE", "").upper() in _TRUE:
                raise NoNetwork(
                    f"{self.name} is not in the cache and HF_HUB_OFFLINE forbids to fetch it. "
                    "Unset HF_HUB_OFFLINE, or give a local folder as the source."
                )
            with disk_errors(cache_dir(), self.name):
                self._fetch(progress)
        return self.path

    def _fetch(self, progress: Progress) -> None:
        staging = cache_dir() / "staging" / self._key
        staging.mkdir(parents=True, exist_ok=True)  # files that arrived before are kept
        _download(self, staging, quiet=progress is False)
        shutil.rmtree(staging / ".cache", ignore_errors=True)
        names = sorted(p.relative_to(staging).as_posix() for p in staging.rglob("*") if p.is_file())
        if not names:
            raise BrokenFile(
                f"{self.name} has no file like {', '.join(self.files or SAFE[self.kind])}. "
                "Loading scripts and pickles are never used; look for a parquet revision "
                "such as 'refs/convert/parquet'."
            )
        write_manifest(staging, self._about, names)
        put(staging, self.path)


def _download(hub: Hub, folder: Path, *, quiet: bool) -> None:
    # The first heavy import of this module: the hub's client.
    import huggingface_hub
    from huggingface_hub import errors
    from tqdm.auto import tqdm

    class Quiet(tqdm):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **dict(kwargs, disable=True))

    try:
        huggingface_hub.snapshot_download(
            hub.repo,
            repo_type=hub.kind,
            revision=hub.revision,
            local_dir=folder,
            allow_patterns=list(hub.files or SAFE[hub.kind]),
            ignore_patterns=list(UNSAFE),
            tqdm_class=Quiet if quiet else None,
            endpoint=os.environ.get("HF_ENDPOINT") or None,
        )
    except errors.RevisionNotFoundError as error:
        raise SourceError(f"{hub.repo} has no revision {hub.revision!r} on the hub.") from error
    except errors.GatedRepoError as error:
        raise SourceError(
            f"{hub.repo} asks for a login: accept its terms on the hub and run `hf auth login`."
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise SourceError(
            f"The hub has no {hub.kind} {hub.repo!r} that you may read. Check the spelling "
            "('owner/name'), or run `hf auth login` for a private one."
        ) from error
    except (errors.OfflineModeIsEnabled, errors.LocalEntryNotFoundError) as error:
        raise NoNetwork(_unreachable(hub)) from error
    except Exception as error:  # the client's transport errors have changed their class often
        if "onnect" in type(error).__name__ or "Timeout" in type(error).__name__:
            raise NoNetwork(_unreachable(hub)) from error
        raise


def _unreachable(hub: Hub) -> str:
    return (
        f"{hub.name} could not be fetched: the hub does not answer. Check the network and "
        "HF_ENDPOINT, or give a local folder as the source; once fetched, it is used offline."
    )
