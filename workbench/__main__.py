"""The command line: ``python -m workbench``, or ``workbench``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from workbench import __version__
from workbench.cli import catalogue, doctor, records, run, sweep
from workbench.cli.parser import Parser
from workbench.cli.text import Problem, note

COMMANDS = {
    "list": catalogue.main_list,
    "fetch": catalogue.main_fetch,
    "doctor": doctor.main,
    "run": run.main,
    "sweep": sweep.main,
    "records": records.main,
    "serve": lambda given: _serve(given),
}
SERVE_HELP = "serve the chapters as dashboards"


def build(command: str | None) -> Parser:
    """The parser; options of experiments only when ``command`` needs them (they cost imports)."""
    parser = Parser(
        prog="workbench",
        description="Methods that make neural networks smaller: run experiments, keep their "
        "records, serve dashboards.",
        epilog="workbench COMMAND --help explains each. With WORKBENCH_DEBUG=1 errors come with "
        "their traceback.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="COMMAND", parser_class=Parser
    )
    catalogue.add_list(commands.add_parser("list", help=catalogue.LIST_HELP))
    catalogue.add_fetch(commands.add_parser("fetch", help=catalogue.FETCH_HELP))
    doctor.add(commands.add_parser("doctor", help=doctor.HELP))
    run.add(commands.add_parser("run", help=run.HELP), command == "run")
    sweep.add(commands.add_parser("sweep", help=sweep.HELP), command == "sweep")
    records.add(commands.add_parser("records", help=records.HELP))
    _add_serve(commands.add_parser("serve", help=SERVE_HELP))
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code (2 for a command line that cannot be understood)."""
    words = list(sys.argv[1:] if argv is None else argv)
    given = build(next((word for word in words if not word.startswith("-")), None)).parse_args(
        words
    )
    try:
        return COMMANDS[given.command](given)
    except KeyboardInterrupt:
        note("Interrupted.")
        return 130
    except BrokenPipeError:  # the reader of a pipe has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if os.environ.get("WORKBENCH_DEBUG"):
            raise
        if isinstance(error, Problem | OSError | ValueError) or _ours(error):
            note(f"workbench {given.command}: {error}")
        else:
            note(f"workbench {given.command}: {type(error).__name__}: {error}")
            note("That was not foreseen; WORKBENCH_DEBUG=1 shows where it happened.")
        return 1


def _ours(error: Exception) -> bool:
    """Whether the error was raised for the user by this package, with its own way out."""
    return type(error).__module__.startswith("workbench.")


def _add_serve(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--port", type=int, default=8866, help="default: %(default)s")
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="the address to listen on; 0.0.0.0 lets other machines in (default: %(default)s)",
    )
    parser.add_argument(
        "--no-browser", dest="browser", action="store_false", help="open no browser"
    )
    parser.add_argument("--max-kernels", type=int, default=8, help="pages at once (default: 8)")


def _serve(given: argparse.Namespace) -> int:
    from widgets.server import serve  # Voila and its server, a second

    serve(
        port=given.port,
        host=given.host,
        open_browser=given.browser,
        max_kernels=given.max_kernels,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
