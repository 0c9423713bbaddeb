"""``records``: what was run, one record in full, shipping and removing."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any

from workbench.cli.parser import Parser, open_store, store_option
from workbench.cli.text import Problem, duration, note, say, size, table

HELP = "list, show, export or remove records"


def add(parser: argparse.ArgumentParser) -> None:
    """Add ``records`` and its commands; without one it lists."""
    _narrowing(parser)
    store_option(parser)
    parser.add_argument("--json", action="store_true", help="print JSON, a record a line")
    commands = parser.add_subparsers(dest="verb", metavar="COMMAND", parser_class=Parser)
    show = commands.add_parser("show", help="one record: settings, curves, arrays, machine")
    show.add_argument("key", help="the key, or how it begins")
    show.add_argument("--json", action="store_true", default=argparse.SUPPRESS)
    export = commands.add_parser("export", help="copy finished records to another folder")
    export.add_argument("destination", help="the folder, itself a store; made if missing")
    export.add_argument("keys", nargs="*", help="keys, or how they begin (default: all finished)")
    export.add_argument(
        "--checkpoints", action="store_true", help="with checkpoints (large; default: without)"
    )
    _narrowing(export, argparse.SUPPRESS)
    remove = commands.add_parser("remove", help="delete records of your own store")
    remove.add_argument("keys", nargs="*", help="keys, or how they begin")
    remove.add_argument(
        "--unfinished", action="store_true", help="all that are interrupted or failed"
    )
    for command in (show, export, remove):
        command.add_argument("--store", metavar="FOLDER", default=argparse.SUPPRESS)


def main(given: argparse.Namespace) -> int:
    """Do what was asked; returns the exit code."""
    store = open_store(given.store)
    verbs = {None: _list, "show": _show, "export": _export, "remove": _remove}
    return verbs[given.verb](store, given)


def _narrowing(parser: argparse.ArgumentParser, default: Any = None) -> None:
    parser.add_argument("--experiment", metavar="NAME", default=default, help="only of this one")
    parser.add_argument(
        "--where",
        nargs="+",
        metavar="FIELD=VALUE",
        default=default,
        help="only with these settings: --where loss=cc seed=0,1",
    )
    parser.add_argument(
        "--status",
        choices=("finished", "running", "interrupted", "failed"),
        default=default,
        help="only those that stand so",
    )


def _found(store: Any, given: argparse.Namespace, status: str | None = None) -> list[Any]:
    where: dict[str, list[Any]] = {}
    for word in given.where or []:
        name, equals, text = word.partition("=")
        if not equals:
            raise Problem(f"--where {word!r} has no value; write --where {word}=VALUE.")
        where[name.replace("-", "_")] = [v for part in text.split(",") for v in _readings(part)]
    try:
        return store.find(given.experiment, status=status or given.status, latest=False, **where)
    except ValueError as error:
        raise Problem(str(error)) from error


def _readings(text: str) -> list[Any]:
    """What a value on the command line may stand for in a record: text, number, truth value."""
    try:
        return [text, json.loads(text.lower())]
    except ValueError:
        return [text]


def _list(store: Any, given: argparse.Namespace) -> int:
    records = _found(store, given)
    if given.json:
        for record in records:
            say(json.dumps({**record.details, "status": record.status}))
        return 0
    if not records:
        note(
            f"No such records in {store.path}" + (f" or {store.below.path}" if store.below else "")
        )
        return 0
    say(listing(records))
    note(
        f"{len(records)} records in {store.path}"
        + (f" and {store.below.path}" if store.below else "")
    )
    return 0


def listing(records: Sequence[Any]) -> str:
    """A table of records with the settings in which those of one experiment differ."""
    differing: dict[str, list[str]] = {}
    for experiment in {record.name for record in records}:
        configs = [record.config for record in records if record.name == experiment]
        names = dict.fromkeys(name for config in configs for name in config)
        differing[experiment] = [
            name for name in names if len({json.dumps(config.get(name)) for config in configs}) > 1
        ]
    rows = [
        (
            record.key,
            record.status,
            record.created[:16].replace("T", " "),
            duration(record.seconds),
            record.name,
            " ".join(
                f"{name}={record.config[name]}"
                for name in differing[record.name]
                if name in record.config
            ),
        )
        for record in records
    ]
    return table(rows, ("KEY", "STATUS", "BEGUN", "WORK", "EXPERIMENT", "SETTINGS THAT DIFFER"))


def _one(store: Any, beginning: str) -> Any:
    records = [r for r in store.find(latest=False) if r.key.startswith(beginning)]
    if len(records) == 1:
        return records[0]
    if not records:
        return store.get(beginning)  # its error says where was looked
    raise Problem(f"{beginning!r} begins {len(records)} keys: {', '.join(r.key for r in records)}.")


def _show(store: Any, given: argparse.Namespace) -> int:
    record = _one(store, given.key)
    if given.json:
        say(json.dumps({**record.details, "status": record.status, "folder": str(record.folder)}))
        return 0
    say(f"{record.key}  {record.name}  {record.status}")
    if record.error:
        say(f"  error    {record.error}")
    versions = ", ".join(f"{n} {v}" for n, v in record.details.get("versions", {}).items())
    machine = ", ".join(f"{n} {v}" for n, v in record.details.get("machine", {}).items())
    checkpoint = record.checkpoint()
    say(
        table(
            [
                ("folder", record.folder),
                ("begun", f"{record.created}, {duration(record.seconds)} of work"),
                ("with", versions),
                ("on", machine),
                ("files", size(sum(f.stat().st_size for f in record.folder.iterdir()))),
                ("checkpoint", "none" if checkpoint is None else f"of step {checkpoint.step}"),
            ]
        )
    )
    say("settings")
    say(table([(name, json.dumps(value)) for name, value in record.config.items()] or [("none",)]))
    say("curves")
    frame = record.scalars()
    rows = [
        (name, len(part), f"steps {part.step.min()} to {part.step.max()}",
         ", ".join(c for c in part.columns[3:] if part[c].notna().any()))
        for name, part in frame.groupby("name")
    ]  # fmt: skip
    say(table(rows, ("NAME", "VALUES", "STEPS", "LABELS")) if rows else "  none")
    say("arrays")
    arrays: dict[str, list[Any]] = {}
    for array in record.arrays():
        arrays.setdefault(array.name, []).append(array.values)
    shapes = [
        (n, len(v), v[-1].dtype, " x ".join(map(str, v[-1].shape))) for n, v in arrays.items()
    ]
    say(table(shapes, ("NAME", "COUNT", "DTYPE", "LAST SHAPE")) if shapes else "  none")
    return 0


def _export(store: Any, given: argparse.Namespace) -> int:
    if given.keys:
        records = [_one(store, key) for key in given.keys]
    else:
        records = _found(store, given, "finished")
    keys = store.export(records, given.destination, checkpoints=given.checkpoints)
    say(f"{len(keys)} records copied to {given.destination}")
    return 0


def _remove(store: Any, given: argparse.Namespace) -> int:
    records = [_one(store, key) for key in given.keys]
    if given.unfinished:
        records += [r for r in store.find(latest=False) if r.status in ("interrupted", "failed")]
    if not records:
        raise Problem("Say which: keys, or --unfinished.")
    for key in dict.fromkeys(record.key for record in records):
        store.remove(key)
        say(f"removed {key}")
    return 0
