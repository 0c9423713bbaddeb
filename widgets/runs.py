"""Which recorded runs belong in one figure, and what they are called there.

Runs share a figure if they agree in everything but the method, its own settings and the seed. Two
settings of one method (another alpha) get names of their own, so that nothing is averaged unseen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas

    from workbench.records import Record, Store

METHOD_GROUP = "Method"
APART = ("seed", "method")


@dataclass(frozen=True)
class Run:
    """A record and the name of its method in figures."""

    record: Record
    method: str

    @property
    def seed(self) -> Any:
        return self.record.config.get("seed", 0)

    @property
    def label(self) -> str:
        return f"{self.method}, seed {self.seed}"


@dataclass(frozen=True)
class Group:
    """Runs of one task, model and budget."""

    label: str
    runs: tuple[Run, ...]
    told: Mapping[str, Any] = field(default_factory=dict)
    """The settings that tell these runs from those of other groups."""

    @property
    def methods(self) -> tuple[str, ...]:
        from workbench.plotting.words import order_methods

        return tuple(order_methods(run.method for run in self.runs))

    def names(self, runs: Sequence[Run]) -> dict[str, str]:
        """Name of the method in the record -> name in the figure."""
        return {str(run.record.config.get("method", "")): run.method for run in runs}

    def scalars(self, store: Store, runs: Sequence[Run] | None = None) -> pandas.DataFrame:
        """The curves in the long format, the methods under their names here."""
        runs = self.runs if runs is None else runs
        frame = store.scalars([run.record for run in runs])
        return frame.assign(method=frame["key"].map({r.record.key: r.method for r in runs}))

    def one_seed(self, methods: Sequence[str]) -> list[Run]:
        """One run of each method, of the lowest seed that it has."""
        picked = []
        for method in methods:
            own = [run for run in self.runs if run.method == method]
            picked.append(min(own, key=lambda run: run.seed))
        return picked

    def densities(self, frame: pandas.DataFrame) -> list[str]:
        """Remaining weights of the pruning steps in percent, all of them first."""
        rows = frame[(frame["name"] == "density") & (frame["scope"] == "prunable")]
        values = sorted({round(100 * value, 1) for value in rows["value"]}, reverse=True)
        return [f"{value:g}%" for value in values]

    def query(self, runs: Sequence[Run]) -> dict[str, Any]:
        """What ``Store.find`` is asked to find these runs."""
        asked: dict[str, Any] = dict(self.told)
        for name in ("method", "seed"):
            held = sorted({run.record.config.get(name) for run in self.runs} - {None}, key=str)
            values = sorted({run.record.config.get(name) for run in runs} - {None}, key=str)
            if values and values != held:
                asked[name] = values
        return asked


def groups(store: Store, experiment: str) -> dict[str, Group]:
    """Finished records of ``experiment`` in groups, the largest group first."""
    from workbench import experiments

    cls = experiments.get(experiment)
    records = store.find(experiment, status="finished")
    shared, own = _fields(experiments.controls(cls), records)
    gathered: dict[tuple, list[Record]] = {}
    for record in records:
        gathered.setdefault(tuple(_cell(record.config.get(n)) for n in shared), []).append(record)
    largest = sorted(gathered.items(), key=lambda item: -len(item[1]))
    vary = [n for i, n in enumerate(shared) if len({values[i] for values in gathered}) > 1]
    made: dict[str, Group] = {}
    for values, members in largest:
        settings = dict(zip(shared, values))
        label = _label(cls, settings, all(_ships(store, record) for record in members))
        while label in made:
            label += " (other settings)"
        told = {n: settings[n] for n in dict.fromkeys(["task", "model", *vary]) if n in settings}
        made[label] = Group(label, _named(members, own), told)
    return made


def _fields(controls: Sequence[Any], records: Sequence[Record]) -> tuple[list[str], list[str]]:
    """Settings that must agree within a figure, and those that belong to the method."""
    known = {control.name: control for control in controls}
    names = dict.fromkeys(name for record in records for name in record.config)
    shared: list[str] = []
    own: list[str] = []
    for name in names:
        control = known.get(name)
        if name in APART:
            continue
        conditional = control is not None and (control.group == METHOD_GROUP or control.when)
        (own if conditional else shared).append(name)
    return shared, own


def _named(records: Sequence[Record], own: Sequence[str]) -> tuple[Run, ...]:
    """Runs with the names of their methods; rarer settings of a method are written out."""
    settings = {r.key: tuple((n, _cell(r.config.get(n))) for n in own) for r in records}
    usual: dict[str, tuple] = {}
    for method in {str(r.config.get("method", "")) for r in records}:
        counted = Counter(settings[r.key] for r in records if r.config.get("method", "") == method)
        usual[method] = counted.most_common(1)[0][0]
    runs = []
    for record in records:
        method = str(record.config.get("method", "")) or record.name
        other = [
            f"{name}={value}"
            for (name, value), (_, common) in zip(
                settings[record.key], usual.get(method, settings[record.key])
            )
            if value != common
        ]
        runs.append(Run(record, " ".join([method, *other])))
    return tuple(runs)


def _ships(store: Store, record: Record) -> bool:
    return store.below is not None and record.folder.is_relative_to(store.below.path)


def _label(cls: type, settings: Mapping[str, Any], ships: bool) -> str:
    """``sentiment, minilm``; runs that do not ship also say at what size they were made."""
    parts = [str(settings[name]) for name in ("task", "model") if settings.get(name) is not None]
    if ships:
        return ", ".join(parts) or "all runs"
    rest = {n: v for n, v in settings.items() if n not in ("task", "model") and v is not None}
    for profile in cls.profiles:  # type: ignore[attr-defined]
        base = cls.profile(profile)  # type: ignore[attr-defined]
        if all(_cell(getattr(base, n, v)) == v for n, v in rest.items()):
            parts.append(f"{profile} profile")
            break
    else:
        parts.append("own settings")
    return ", ".join(parts) or "all runs"


def _cell(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
