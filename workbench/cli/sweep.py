"""``sweep EXPERIMENT``: a product of settings and seeds, several runs at a time."""

from __future__ import annotations

import argparse
import itertools
import time
from collections import Counter
from contextlib import closing
from typing import Any

from workbench.cli import options
from workbench.cli.parser import Parser, open_store, store_option
from workbench.cli.progress import Line
from workbench.cli.text import Problem, duration, note, say, table

HELP = "run many: every combination of the values given, finished ones skipped"


def add(parser: argparse.ArgumentParser, full: bool) -> None:
    """Add a command per experiment; their options only when ``full``, since they cost imports."""
    commands = parser.add_subparsers(
        dest="experiment", required=True, metavar="EXPERIMENT", parser_class=Parser
    )
    if not full:
        return
    from workbench import experiments
    from workbench.sweeps import BACKENDS

    for name, experiment in experiments.EXPERIMENTS.items():
        about = f"Every combination of the values given for {name}; finished runs are skipped."
        command = commands.add_parser(
            name,
            help=experiment.title,
            description=about,
            usage="%(prog)s [--profile NAME] [options]",
        )
        options.add(command, experiment, many=True)
        command.add_argument(
            "--over",
            nargs="+",
            action="extend",
            default=[],
            metavar="FIELD=V,V",
            help="another way to give values: --over seed=0,1,2 loss=none,cc",
        )
        command.add_argument(
            "--jobs", type=int, default=1, help="runs at a time; -1: one a core (default: 1)"
        )
        command.add_argument(
            "--backend",
            choices=BACKENDS,
            default="loky",
            help="loky: processes on this machine; dask: $DASK_SCHEDULER_ADDRESS or this machine; "
            "ray: $RAY_ADDRESS or this machine (default: loky)",
        )
        store_option(command)
        command.add_argument(
            "--dry-run", action="store_true", help="list the runs and which are finished"
        )
        command.add_argument("--quiet", action="store_true", help="no progress line")


def main(given: argparse.Namespace) -> int:
    """Run them all; 1 if any failed."""
    from workbench import experiments
    from workbench.observations import Progress
    from workbench.sweeps import sweep

    experiment = experiments.get(given.experiment)
    values = options.given(given) | options.over(given.over, experiment)
    runs = combinations(experiment, given.profile, values)
    store = open_store(given.store)
    named = {store.key(run): label for label, run in runs.items()}
    if given.dry_run:
        states = {key: _state(store, key) for key in named}
        say(table([(key, states[key], label) for key, label in named.items()]))
        return 0
    line, counts, began = Line(quiet=given.quiet), Counter[str](), time.monotonic()
    failures = []
    try:
        outcomes = sweep(runs.values(), store, jobs=given.jobs, backend=given.backend)
        with closing(outcomes):
            for outcome in outcomes:
                line.clear()
                label = named.get(outcome.key, f"{outcome.experiment.name} (required)")
                if not given.quiet or outcome.status == "failed":
                    note(f"{outcome.status:8}  {outcome.key}  {_took(outcome)}{label}")
                if outcome.status == "failed":
                    failures.append((label, outcome))
                if not outcome.required:
                    counts[outcome.status] += 1
                    line.show(Progress(counts.total(), len(named), "runs"))
    except KeyboardInterrupt:
        line.clear()
        note("Interrupted. The same command goes on: finished runs are skipped, others resumed.")
        return 130
    except (ValueError, ModuleNotFoundError) as error:
        raise Problem(str(error)) from error
    line.clear()
    tally = ", ".join(f"{count} {status}" for status, count in counts.items())
    say(f"{len(named)} runs: {tally}, in {duration(time.monotonic() - began)}. {store.path}")
    for label, outcome in failures:
        note(f"failed: {outcome.key}  {label}\n    {outcome.error}")
    return 1 if failures else 0


def combinations(experiment: Any, profile: str, values: dict[str, Any]) -> dict[str, Any]:
    """Every combination as an experiment, by a label of what varies."""
    lists = {name: v if isinstance(v, list) else [v] for name, v in values.items()}
    varying = [name for name, v in lists.items() if len(v) > 1] or list(lists)
    found = {}
    for chosen in itertools.product(*lists.values()):
        changes = dict(zip(lists, chosen, strict=True))
        label = "  ".join(f"{name}={changes[name]}" for name in varying) or profile
        found[label] = options.make(experiment, profile, changes)
    return found


def _state(store: Any, key: str) -> str:
    from workbench.records import UnknownRecord

    try:
        return store.get(key).status
    except UnknownRecord:
        return "to run"


def _took(outcome: Any) -> str:
    return f"{duration(outcome.seconds)}  " if outcome.seconds else ""
