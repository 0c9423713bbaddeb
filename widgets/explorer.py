"""The state of the record explorer: which recorded runs are shown, and how.

No widget here, so all of it is tested without a browser. The view is in
:mod:`widgets.explorer_view`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from traitlets import HasTraits, Int

from widgets.figure_card import Drawn, Spec, draw
from widgets.runs import Group, groups

if TYPE_CHECKING:
    import pandas

    from workbench.records import Store

ALL = "all"
LOWEST = "lowest"
ELSEWHERE = ("difference", "reported", "before_after")  # other panels and the notebook show these
SUBSETS = ("pruning_curve", "recovery", "table", "alignment")
ONE_DENSITY = ("weight_norms", "gradient_norms", "layer_density")
ALONE = ("table", "language_heatmap")  # a density that is chosen is the only one shown
SOME_DENSITIES = ("separability", "weight_distributions", "gradient_distributions", *ALONE)
ONE_METHOD = ("weight_distributions", "gradient_distributions", "update_distributions")
FIRST_MEASURE = "bures_wasserstein"
CONTROLS = ("none", "random", "global random", "standard", "no dropout", "head only")
FIELDS = ("data", "figure", "metric", "subset", "density", "methods")


class ExplorerState(HasTraits):
    """What the explorer shows of the finished records of one experiment.

    Everything is chosen with :meth:`choose`, from what :meth:`offers` says; ``version`` counts
    changes. The store is read when the first offer is asked for, not before.
    """

    version = Int(0)

    def __init__(self, experiment: str, store: Store | None = None) -> None:
        super().__init__()
        self.experiment = experiment
        self._store = store
        self._groups: dict[str, Group] | None = None
        self._frames: dict[str, pandas.DataFrame] = {}
        self._names: dict[str, frozenset[str]] = {}
        self._wanted: dict[str, Any] = {}

    # Reading

    @property
    def store(self) -> Store:
        if self._store is None:
            from workbench.records import default_store

            self._store = default_store()
        return self._store

    @property
    def groups(self) -> dict[str, Group]:
        """Runs that belong in one figure, by label; those with the most runs first."""
        if self._groups is None:
            self._groups = groups(self.store, self.experiment)
        return self._groups

    @property
    def empty(self) -> bool:
        """Whether there is no finished record at all."""
        return not self.groups

    def reload(self) -> None:
        """Look for new records."""
        self._groups = None
        self._frames, self._names = {}, {}
        self.version += 1

    def frame(self) -> pandas.DataFrame:
        """All scalars of the chosen data, read once."""
        label = self["data"]
        if label not in self._frames:
            frame = self.groups[label].scalars(self.store)
            self._frames[label] = frame
            self._names[label] = frozenset(frame["name"].unique()) | self._arrays(label)
        return self._frames[label]

    # Choosing

    def __getitem__(self, name: str) -> Any:
        """What is shown now: what was chosen as long as it is on offer, else the default."""
        offered = self.offers(name)
        wanted = self._wanted.get(name)
        if name == "methods":
            kept = tuple(m for m in wanted or () if m in offered)
            return kept or offered
        return wanted if wanted in offered else (offered[0] if offered else "")

    def choose(self, name: str, value: str | Sequence[str]) -> None:
        """Show something else.

        Raises:
            ValueError: nothing like that is on offer; the text says what is.
        """
        offered = self.offers(name)
        values = [value] if isinstance(value, str) else list(value)
        for one in values:
            if one not in offered:
                held = ", ".join(offered[:20]) or "nothing"
                raise ValueError(f"there is no {name} {one!r:.80}; there is: {held}.")
        if not values:
            raise ValueError(f"choose at least one of {name}: {', '.join(offered)}.")
        taken: Any = tuple(m for m in offered if m in values) if name == "methods" else values[0]
        if self[name] != taken or name not in self._wanted:
            changed = self[name] != taken
            self._wanted[name] = taken
            self.version += changed

    def chosen(self) -> dict[str, Any]:
        """What differs from the default view."""
        shown = {}
        for name in (*FIELDS, *self.options()):
            offered = self.offers(name)
            default = offered if name == "methods" else (offered[0] if offered else "")
            if offered and self[name] != default:
                shown[name] = self[name]
        return shown

    def options(self) -> tuple[str, ...]:
        """Further settings of the shown figure, such as the spread."""
        return () if self.empty else tuple(self._family().options)

    @property
    def by_measure(self) -> bool:
        """Whether the figure is of a measure of similarity, chosen in the place of a metric."""
        return not self.empty and "measure" in self._family().columns

    def offers(self, name: str) -> tuple[str, ...]:
        """What can be chosen for ``name`` beside the other choices; the default is first."""
        if name not in FIELDS and name not in _OPTIONS:
            raise ValueError(f"a view has no part {name!r:.40}.")
        if self.empty:
            return ()
        if name in FIELDS:
            return tuple(getattr(self, f"_{name}_offers")())
        return tuple(str(value) for value in self._family().options.get(name, ()))

    def _data_offers(self) -> Sequence[str]:
        return [*self.groups]

    def _figure_offers(self) -> Sequence[str]:
        from workbench.plotting import FIGURES

        held = self._held()
        fitting = [name for name, family in FIGURES.items() if family.available(held)]
        return [name for name in fitting if name not in ELSEWHERE]

    def _metric_offers(self) -> Sequence[str]:
        if self.by_measure:
            frame = self.frame()
            held = [*dict.fromkeys(frame["measure"].dropna())] if "measure" in frame else []
            return sorted(held, key=lambda name: name != FIRST_MEASURE)
        return [metric for metric in self._family().metrics if metric in self._held()]

    def _methods_offers(self) -> Sequence[str]:
        return self._group().methods

    def _subset_offers(self) -> Sequence[str]:
        frame = self.frame()
        if self["figure"] not in SUBSETS or "subset" not in frame:
            return []
        if self["figure"] == "alignment":  # with English, so that English itself is not there
            rows = frame[frame["name"] == "retrieval"]
            return [ALL, *dict.fromkeys(rows["language"].dropna())]
        rows = frame[frame["name"] == self["metric"]]
        if "split" in rows and self["split"]:
            rows = rows[rows["split"] == self["split"]]
        subsets = [*dict.fromkeys(rows["subset"].dropna())]
        return [ALL, *subsets] if len(subsets) > 1 else []

    def _density_offers(self) -> Sequence[str]:
        if self["figure"] not in (*ONE_DENSITY, *SOME_DENSITIES):
            return []
        first = ALL if self["figure"] in SOME_DENSITIES else LOWEST
        return [first, *self._group().densities(self.frame())]

    def _arrays(self, label: str) -> frozenset[str]:
        """Names of the arrays, as a run of the lowest seed has them, which figures are drawn from.

        All runs of a group measure the same, but some may be kept without their arrays.
        """
        first = min(self.groups[label].runs, key=lambda run: run.seed)
        return frozenset(array.name for array in first.record.arrays())

    def _held(self) -> frozenset[str]:
        """Names of the scalars and arrays in the chosen data."""
        self.frame()
        return self._names[self["data"]]

    def _group(self) -> Group:
        return self.groups[self["data"]]

    def _family(self) -> Any:
        from workbench.plotting import FIGURES

        return FIGURES[self["figure"]]

    def _class_names(self) -> list[str]:
        """Names of the classes of the chosen data, where the experiment knows them."""
        from workbench import experiments

        known = getattr(experiments.EXPERIMENTS.get(self.experiment), "class_names", None)
        return list(known(self._group().runs[0].record.config["task"])) if known else []

    # Drawing

    def spec(self) -> Spec:
        """The figure that shows all of this.

        Raises:
            ValueError: there is no record to show.
        """
        if self.empty:
            raise ValueError(
                "there is no finished record yet. Start a run below, or record some with "
                f"python -m workbench run {self.experiment}."
            )
        figure, methods = self["figure"], list(self["methods"])
        if figure in ONE_METHOD:  # the controls show least of what pruning does
            methods = ([m for m in methods if m not in CONTROLS] or methods)[:1]
        options, data_options = self._figure_options(figure, methods)
        group = self._group()
        runs = [run for run in group.runs if run.method in methods]
        if self._family().data == "scalars":
            frame = self.frame()
            data = frame[frame["method"].isin(methods)]
        else:
            from workbench import plotting

            runs = group.one_seed(methods)
            data = plotting.gather(figure, self.store, [r.record for r in runs], **data_options)
            data = data.assign(method=data["method"].map(group.names(runs)))
        key = (self.experiment, self["data"], figure, *methods, str(options), str(data_options))
        query = {"experiment": self.experiment, **group.query(runs)}
        return Spec(figure, data, options, query, data_options, key=key)

    def drawn(self, *, theme: str, width: int) -> Drawn:
        """The figure itself; what the server shows before a kernel runs."""
        return draw(self.spec(), theme=theme, width=width)

    def _figure_options(
        self, figure: str, methods: list[str]
    ) -> tuple[dict[str, Any], Mapping[str, Any]]:
        options: dict[str, Any] = {}
        if self.offers("metric"):
            options["measure" if self.by_measure else "metric"] = self["metric"]
        if self["subset"] not in ("", ALL):
            options["language" if figure == "alignment" else "subset"] = self["subset"]
        if self["density"] not in ("", ALL, LOWEST):
            density = float(self["density"].rstrip("%")) / 100
            if figure in ONE_DENSITY:
                options["density"] = density
            else:
                options["densities"] = [density] if figure in ALONE else [1.0, density]
        if figure in ONE_METHOD:
            options["method"] = methods[0]
        for name in self.options():
            offered = self._family().options[name]
            options[name] = next(value for value in offered if str(value) == self[name])
        data_options = {name: options.pop(name) for name in ("projection",) if name in options}
        if self._family().data == "points" and (names := self._class_names()):
            data_options["class_names"] = names
        return options, data_options


def _all_options() -> frozenset[str]:
    from workbench.plotting import FIGURES

    return frozenset(name for family in FIGURES.values() for name in family.options)


_OPTIONS = _all_options()
