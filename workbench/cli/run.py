"""``run EXPERIMENT``: one run, with a live line, resumed where it stopped."""

from __future__ import annotations

import argparse
import json
from contextlib import closing
from typing import Any

from workbench.cli import options
from workbench.cli.parser import Parser, open_store, store_option
from workbench.cli.progress import Line
from workbench.cli.text import duration, note, say

HELP = "run an experiment; what was run is not run again, what was interrupted goes on"


def add(parser: argparse.ArgumentParser, full: bool) -> None:
    """Add a command per experiment; their options only when ``full``, since they cost imports."""
    commands = parser.add_subparsers(
        dest="experiment", required=True, metavar="EXPERIMENT", parser_class=Parser
    )
    if not full:
        return
    from workbench import experiments

    for name, experiment in experiments.EXPERIMENTS.items():
        about = (experiment.__doc__ or experiment.title).strip().partition("\n")[0]
        command = commands.add_parser(
            name,
            help=about.replace("%", "%%"),
            description=about,
            usage="%(prog)s [--profile NAME] [options]",
        )
        options.add(command, experiment, many=False)
        store_option(command)
        command.add_argument("--fresh", action="store_true", help="forget what there is, run anew")
        command.add_argument(
            "--keep-checkpoint", action="store_true", help="keep the last checkpoint in the record"
        )
        command.add_argument(
            "--dry-run", action="store_true", help="print settings and key; run nothing"
        )
        command.add_argument("--quiet", action="store_true", help="no progress line")
        command.add_argument("--json", action="store_true", help="print the record as JSON")


def main(given: argparse.Namespace) -> int:
    """Run it; returns the exit code."""
    from workbench import experiments
    from workbench.observations import Progress
    from workbench.records import ranks

    experiment = options.make(
        experiments.get(given.experiment), given.profile, options.given(given)
    )
    store = open_store(given.store)
    key = store.key(experiment)
    if given.dry_run:
        say(json.dumps({"key": key, **experiment.identity()}, indent=1))
        return 0
    first = ranks.writes()
    if given.fresh and first and (store.path / key).is_dir():
        store.remove(key)
    line = Line(quiet=given.quiet or not first)
    try:
        keep = True if given.keep_checkpoint else None
        with closing(store.stream(experiment, keep_checkpoint=keep)) as run:
            for observation in run:
                if isinstance(observation, Progress):
                    line.show(observation)
    except KeyboardInterrupt:
        line.clear()
        note(f"Interrupted. The same command goes on from the last checkpoint of {key}.")
        return 130
    finally:
        line.clear()
    if first:
        _report(store.get(key), given.json)
    return 0


def _report(record: Any, as_json: bool) -> None:
    if as_json:
        say(json.dumps({**record.details, "folder": str(record.folder)}))
        return
    say(f"{record.key}  {record.status}, {duration(record.seconds)} of work")
    say(f"  in    {record.folder}")
    say(f"  show  python -m workbench records show {record.key}")
    say(f"  use   default_store().get({record.key!r}).scalars()")
