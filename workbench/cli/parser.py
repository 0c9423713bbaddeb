"""An argument parser whose errors name what was meant."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Sequence
from typing import Any, NoReturn


class Parser(argparse.ArgumentParser):
    """``argparse`` with options spelled out and "did you mean" in its errors."""

    def __init__(self, **settings: Any) -> None:
        settings.setdefault("allow_abbrev", False)
        super().__init__(**settings)

    def parse_args(self, args: Any = (), namespace: Any = None) -> Any:
        """Parse all arguments; what is left over is an error that names the nearest option.

        Options may be written as the fields are: ``--batch_size`` is ``--batch-size``.
        """
        words = [
            re.sub("^--[a-z_]+", lambda option: option[0].replace("_", "-"), word) for word in args
        ]
        parsed, rest = self.parse_known_args(words, namespace)
        if rest:
            self._innermost(parsed).error(f"unrecognized arguments: {' '.join(rest)}")
        return parsed

    def error(self, message: str) -> NoReturn:
        """Print usage in short, the message and the nearest allowed word; exit with 2."""
        message, hint = message.rstrip("."), ""
        if found := re.search(r"invalid choice: '([^']*)' \(choose from (.*)\)$", message):
            choices = re.sub(r"[',]", " ", found[2]).split()
            hint = _nearest(found[1], choices)
        elif message.startswith("unrecognized arguments:"):
            words = message.partition(": ")[2].split()
            options = [o for o in self._option_string_actions if o.startswith("--")]
            hint = "".join(
                _nearest(word.partition("=")[0], options) for word in words if word[:2] == "--"
            )
        self.exit(2, f"{self.prog}: {message}.{hint}\n{self.prog} --help explains the options.\n")

    def _innermost(self, parsed: argparse.Namespace) -> Parser:
        """The parser of the command that was given, where the options are known."""
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                chosen = action.choices.get(getattr(parsed, action.dest, None) or "")
                return chosen._innermost(parsed) if isinstance(chosen, Parser) else self
        return self


def _nearest(word: str, choices: Sequence[str]) -> str:
    near = difflib.get_close_matches(word, choices, 1)
    return f" Did you mean {near[0]}?" if near else ""


def store_option(parser: argparse.ArgumentParser) -> None:
    """``--store``: another folder of records than the user's own."""
    parser.add_argument(
        "--store",
        metavar="FOLDER",
        help="where records are kept (default: $WORKBENCH_STORE, or your data folder, over the "
        "records that ship)",
    )


def open_store(folder: str | None) -> Any:
    """The store that ``--store`` names, or the user's; the records that ship lie below it."""
    from workbench.records import Store, default_store

    usual = default_store()
    return usual if folder is None else Store(folder, below=usual.below)
