"""Command-line options from an experiment's fields, and an experiment from the options given."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from workbench.cli.text import Problem, unknown

YES, NO = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


def presets(experiment: Any) -> Mapping[str, Mapping[str, Mapping[str, Any]]]:
    """Options that stand for several fields at once, such as ``--method`` for a named method."""
    found = getattr(experiment, "presets", None)
    if found is None and hasattr(experiment, "methods"):
        found = {"method": experiment.methods}
    return found or {}


def add(parser: argparse.ArgumentParser, experiment: Any, *, many: bool) -> None:
    """Add ``--profile`` and one option a field; with ``many`` each takes a list of values."""
    from workbench.experiments import controls

    profiles = list(experiment.profiles)
    parser.add_argument(
        "--profile",
        choices=profiles,
        default="laptop" if "laptop" in profiles else profiles[0],
        help="the size that all other options start from (default: %(default)s)",
    )
    groups: dict[str, Any] = {}
    lists = "; several: separate by commas" if many else ""
    for name, named in presets(experiment).items():
        group = groups.setdefault("Method", parser.add_argument_group("Method"))
        text = f"several settings at once: {', '.join(named)}{lists}"
        group.add_argument(
            f"--{name}",
            dest=f"preset.{name}",
            type=_listed(_named(name, named)) if many else _named(name, named),
            default=argparse.SUPPRESS,
            metavar="NAME",
            help=_escaped(text),
        )
    for control in controls(experiment):
        if control.group not in groups:
            groups[control.group] = parser.add_argument_group(control.group)
        how: dict[str, Any] = {"type": reader(control), "metavar": _metavar(control)}
        if many:
            how["type"] = _listed(how["type"], ";" if control.kind == "floats" else ",")
        elif control.kind == "bool":
            how = {"action": argparse.BooleanOptionalAction}
        groups[control.group].add_argument(
            f"--{control.name.replace('_', '-')}",
            dest=f"field.{control.name}",
            default=argparse.SUPPRESS,
            help=_escaped(_help(control, experiment)),
            **how,
        )


def given(options: argparse.Namespace) -> dict[str, Any]:
    """The settings that were given, by field; those of a preset come before single ones."""
    values = vars(options)
    fields = {n.removeprefix("field."): v for n, v in values.items() if n.startswith("field.")}
    named = {n.removeprefix("preset."): v for n, v in values.items() if n.startswith("preset.")}
    return {**named, **fields}


def make(experiment: Any, profile: str, changes: Mapping[str, Any]) -> Any:
    """The experiment at ``profile`` with ``changes``, of which some may be presets."""
    fields: dict[str, Any] = {}
    plain = dict(changes)
    for name, named in presets(experiment).items():
        if name in plain:
            fields |= named[plain.pop(name)]
    try:
        return experiment.profile(profile, **{**fields, **plain})
    except ValueError as error:
        raise Problem(str(error)) from error


def over(words: Iterable[str], experiment: Any) -> dict[str, list[Any]]:
    """``["seed=0,1", "loss=none,cc"]`` as lists of values by field or preset."""
    from workbench.experiments import controls

    known = {control.name: control for control in controls(experiment)}
    found: dict[str, list[Any]] = {}
    for word in words:
        name, equals, text = word.partition("=")
        name = name.strip().replace("-", "_")
        if not equals:
            raise Problem(f"--over {word!r} has no values; write --over {word}=first,second.")
        read: Callable[[str], Any]
        if name in presets(experiment):
            read = _named(name, presets(experiment)[name])
        elif name in known:
            read = reader(known[name])
        else:
            raise Problem(unknown("setting", name, [*presets(experiment), *known]))
        separator = ";" if name in known and known[name].kind == "floats" else ","
        try:
            found[name] = _listed(read, separator)(text)
        except argparse.ArgumentTypeError as error:
            raise Problem(f"--over {word}: {error}") from error
    return found


def reader(control: Any) -> Callable[[str], Any]:
    """A function from text to a checked value of ``control``."""

    def read(text: str) -> Any:
        try:
            return control.check(_parsed(control, text.strip()))
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return read


def _parsed(control: Any, text: str) -> Any:
    if control.kind == "choice":
        return next((choice for choice in control.choices if str(choice) == text), text)
    if control.kind == "bool":
        if text.lower() in YES + NO:
            return text.lower() in YES
        raise ValueError(f"{control.name} = {text!r} must be true or false.")
    if control.kind == "floats":
        return tuple(_number(control, part, float) for part in text.split(","))
    if control.kind in ("int", "float"):
        return _number(control, text, int if control.kind == "int" else float)
    return text


def _number(control: Any, text: str, kind: type) -> Any:
    try:
        return kind(text)
    except ValueError:
        pass
    try:  # 1e3 is a fine integer; control.check refuses what is not
        return float(text)
    except ValueError:
        wanted = "a whole number" if kind is int else "a number"
        raise ValueError(f"{control.name} = {text!r} must be {wanted}.") from None


def _named(name: str, named: Mapping[str, Any]) -> Callable[[str], str]:
    def read(text: str) -> str:
        for known in named:
            if known.lower() == text.strip().lower():
                return known
        raise argparse.ArgumentTypeError(unknown(name, text, named))

    return read


def _listed(read: Callable[[str], Any], separator: str = ",") -> Callable[[str], list[Any]]:
    return lambda text: [read(part) for part in text.split(separator)]


def _metavar(control: Any) -> str:
    if control.kind == "choice" and not control.open:
        return "{" + ",".join(map(str, control.choices)) + "}"
    return {"int": "N", "float": "X", "floats": "X,X", "bool": "true|false"}.get(
        control.kind, "TEXT"
    )


def _help(control: Any, experiment: Any) -> str:
    low, high = control.minimum, control.maximum
    bounds = "" if low is None and high is None else f"{_short(low)} to {_short(high)}; "
    sizes = "".join(
        f"; {profile}: {_short(values[control.name])}"
        for profile, values in experiment.profiles.items()
        if control.name in values
    )
    applies = "".join(
        f" Only with {name} {' or '.join(map(str, allowed))}."
        for name, allowed in control.when.items()
    )
    known = f" Known: {', '.join(map(str, control.choices))}." if control.open else ""
    return f"{control.help}{known}{applies} ({bounds}default: {_short(control.default)}{sizes})"


def _short(value: Any) -> str:
    if value is None:
        return "any"
    return f"{value:.6g}" if isinstance(value, (int, float)) and value is not True else str(value)


def _escaped(text: str) -> str:
    return text.replace("%", "%%")
