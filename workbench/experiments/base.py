"""What every experiment is: a frozen dataclass whose ``run()`` yields observations.

The fields of the dataclass are the only description of its settings. :func:`controls` reads them,
and from that one reading come the command-line options, the panels of the dashboards and the
columns of the records. Nothing here imports torch.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self, Union, get_args, get_origin, get_type_hints

from workbench.observations import Observation

PROFILES = ("smoke", "laptop", "recorded", "thesis")


def setting(default: Any, help: str, **metadata: Any) -> Any:
    """A dataclass field with its help text and what a control needs to know about it.

    ``symbol`` (LaTeX of the thesis), ``group``, ``choices`` (suggestions; with ``open=True`` other
    values are allowed too), ``minimum``/``maximum``/``step``, ``when`` (``{"loss": ("cc",)}``: the
    field matters only then), ``identity=False`` (the result does not depend on it).
    """
    return field(default=default, metadata={"help": help, **metadata})


@dataclass(frozen=True)
class Control:
    """One setting as a panel or a command line sees it."""

    name: str
    kind: str  # choice, bool, int, float, text or floats
    default: Any
    help: str = ""
    choices: tuple[Any, ...] = ()
    open: bool = False
    minimum: float | None = None
    maximum: float | None = None
    step: float | None = None
    symbol: str = ""
    group: str = "Experiment"
    when: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)

    def applies(self, values: Mapping[str, Any]) -> bool:
        """Whether the setting matters beside the other ``values``."""
        return all(values.get(name) in allowed for name, allowed in self.when.items())

    def check(self, value: Any) -> Any:
        """``value`` in its own type, or a ``ValueError`` that says what is allowed."""
        wrong = f"{self.name} = {value!r}"
        if self.kind == "choice":
            if value in self.choices or (self.open and isinstance(value, str) and value):
                return value
            near = difflib.get_close_matches(str(value), [str(c) for c in self.choices], 1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"{wrong} is not one of {', '.join(map(str, self.choices))}.{hint}")
        if self.kind == "bool":
            if isinstance(value, bool):
                return value
            raise ValueError(f"{wrong} must be True or False.")
        if self.kind == "text":
            if isinstance(value, str):
                return value
            raise ValueError(f"{wrong} must be text.")
        if self.kind == "floats":
            return tuple(self._number(v, float, wrong) for v in value)
        return self._number(value, int if self.kind == "int" else float, wrong)

    def _number(self, value: Any, kind: type, wrong: str) -> Any:
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not math.isfinite(value) or (kind is int and value != int(value)):
            raise ValueError(f"{wrong} must be a finite {kind.__name__}.")
        low, high = self.minimum, self.maximum
        if (low is not None and value < low) or (high is not None and value > high):
            bounds = f"{'-inf' if low is None else low} to {'inf' if high is None else high}"
            raise ValueError(f"{wrong} is out of range: {bounds}.")
        return kind(value)


_read: dict[type, tuple[Control, ...]] = {}


def controls(cls: type[Experiment]) -> tuple[Control, ...]:
    """The settings of an experiment, read (once) from its fields, types and metadata."""
    if cls not in _read:
        hints = get_type_hints(cls)
        _read[cls] = tuple(_control(f, hints[f.name]) for f in dataclasses.fields(cls))
    return _read[cls]


def _control(f: dataclasses.Field, hint: Any) -> Control:
    meta = dict(f.metadata)
    meta.pop("identity", None)
    choices = tuple(meta.pop("choices", ()))
    if get_origin(hint) is Literal:
        kind, choices = "choice", get_args(hint)
    elif choices:
        kind = "choice"
    elif get_origin(hint) is tuple:
        kind = "floats"
    elif get_origin(hint) in (Union, types.UnionType):
        raise TypeError(f"{f.name}: optional settings have no control; give it a plain default.")
    else:
        kind = {bool: "bool", int: "int", float: "float", str: "text"}[hint]
    return Control(f.name, kind, f.default, choices=choices, **meta)


@dataclass(frozen=True)
class Experiment:
    """Base of all experiments. Subclasses are frozen dataclasses that define ``run``."""

    name: ClassVar[str]
    title: ClassVar[str]
    chapter: ClassVar[int]
    version: ClassVar[int] = 1
    """Raised whenever the same settings would give other numbers: old records stay apart."""
    keep_checkpoint: ClassVar[bool] = False
    """Whether the last checkpoint is the result (a fine-tuned model) and stays in the record."""
    profiles: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    budget: ClassVar[tuple[str, ...]] = ()
    """Settings in which runs must agree with a profile to be judged together."""

    def __post_init__(self) -> None:
        for control in controls(type(self)):
            object.__setattr__(self, control.name, control.check(getattr(self, control.name)))

    def run(self, *args: Any, **inputs: Any) -> Iterator[Observation]:
        """Yield observations: ``run(resume=None, **inputs)``.

        ``resume`` (a checkpoint or None) goes on after that checkpoint; ``inputs`` are the
        last checkpoints of :meth:`requirements`, by name.
        """
        raise TypeError(f"{type(self).__name__} defines no run().")

    def requirements(self) -> Mapping[str, Experiment]:
        """Experiments whose result this one starts from, by the name ``run`` takes it."""
        return {}

    def data(self) -> dict[str, str]:
        """Fingerprints of the data and models the result depends on."""
        return {}

    def config(self) -> dict[str, Any]:
        """All settings as JSON values."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in dataclasses.asdict(self).items()
        }

    def identity(self) -> dict[str, Any]:
        """What the numbers depend on; the key of a record is its hash.

        Settings that do not matter here (``when`` not met, ``identity=False``) are left out, so
        that one experiment has one record.
        """
        config, ignored = self.config(), set()
        for f, control in zip(dataclasses.fields(self), controls(type(self)), strict=True):
            if not f.metadata.get("identity", True) or not control.applies(config):
                ignored.add(f.name)
        kept = {name: value for name, value in config.items() if name not in ignored}
        needs = {name: needed.identity() for name, needed in self.requirements().items()}
        return {
            "experiment": self.name,
            "config": kept,
            "data": self.data(),
            "code": self.version,
            "requires": needs,
        }

    @classmethod
    def profile(cls, profile: str, **changes: Any) -> Self:
        """The experiment at one of four sizes, with ``changes`` on top.

        ``smoke``: seconds on tiny data; ``laptop``: about two minutes on two cores; ``recorded``:
        the size of the records that ship; ``thesis``: the thesis's models, data and settings.
        """
        if profile not in cls.profiles:
            known = ", ".join(cls.profiles)
            raise ValueError(f"{cls.name} has no profile {profile!r}; it has {known}.")
        known_fields = {f.name for f in dataclasses.fields(cls)}
        for name in changes.keys() - known_fields:
            near = difflib.get_close_matches(name, known_fields, 1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"{cls.name} has no setting {name!r}.{hint}")
        return cls(**{**cls.profiles[profile], **changes})
