"""Two recorded runs side by side with their difference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import ipywidgets as w
from traitlets import HasTraits, Int

from widgets.callbacks import MessageState, guard
from widgets.figure_card import FigureCard, FigureState, Spec
from widgets.text import Markup, markup, show, table
from widgets.theme import in_voila
from workbench.plotting.families import LAYERED

if TYPE_CHECKING:
    import pandas

    from widgets.explorer import ExplorerState
    from widgets.runs import Run
    from widgets.theme import Page

EVERY_SEED = ", all seeds"
PAIRS = {"left": ("magnitude", "standard"), "right": ("SDP-CC", "GradDrop")}
"""What is compared at first, by chapter."""
ALL = "all"


class ComparisonState(HasTraits):
    """Which two are compared, and in what. A side is one run, or a method with all its seeds."""

    version = Int(0)

    def __init__(self, explorer: ExplorerState) -> None:
        super().__init__()
        self.explorer = explorer
        self._wanted: dict[str, str] = {}

    def __getitem__(self, name: str) -> str:
        offered = self.offers(name)
        wanted = self._wanted.get(name, "")
        if wanted in offered:
            return wanted
        for method in PAIRS.get(name, ()):
            if method + EVERY_SEED in offered:
                return method + EVERY_SEED
        return offered[-1 if name == "right" else 0] if offered else ""

    def choose(self, name: str, value: str) -> None:
        if value not in self.offers(name):
            raise ValueError(f"there is no {name} {value!r:.80} to compare.")
        self._wanted[name] = value
        self.version += 1

    def offers(self, name: str) -> tuple[str, ...]:
        from workbench.plotting import FIGURES

        if self.explorer.empty:
            return ()
        frame = self.explorer.frame()
        if name in ("left", "right"):
            return tuple(self._sides())
        if name == "metric":
            names = {*frame["name"].unique()}
            return tuple(m for m in FIGURES["difference"].metrics if m in names)
        if name == "subset":
            rows = frame[(frame["name"] == self["metric"])]
            rows = rows[rows["split"] == "test"] if "split" in rows else rows
            held = [*dict.fromkeys(rows["subset"].dropna())] if "subset" in rows else []
            return (ALL, *held) if len(held) > 1 else ()
        if name == "density" and self["metric"] in LAYERED:
            held = self._group().densities(frame)
            return ("lowest", *held) if held else ()
        return ()

    def spec(self) -> Spec:
        """The figure of three panels.

        Raises:
            ValueError: the two sides overlap.
        """
        sides = self._sides()
        left, right = (sides[self[name]] for name in ("left", "right"))
        if {run.record.key for run in left} & {run.record.key for run in right}:
            raise ValueError("both sides hold the same run; choose two that do not overlap.")
        frame = self.explorer.frame()
        data = frame[frame["key"].isin([run.record.key for run in (*left, *right)])]
        options: dict[str, Any] = {"metric": self["metric"], **self._by(left, right)}
        if self["subset"] not in ("", ALL):
            options["subset"] = self["subset"]
        if self["density"] not in ("", "lowest"):
            options["density"] = float(self["density"].rstrip("%")) / 100
        query = {
            "experiment": self.explorer.experiment,
            **self._group().query([*left, *right]),
        }
        title = f"{self['left']} and {self['right']}"
        key = (self.explorer["data"], self["left"], self["right"], str(options))
        return Spec("difference", data, options, query, title=title, key=key)

    def rows(self) -> list[tuple[str, ...]]:
        """The same as numbers: remaining weights or epoch, left, right, right minus left."""
        from workbench.plotting import words

        metric = self["metric"]
        if metric in LAYERED:
            return []
        sides = self._sides()
        one, two = (self._curve(sides[self[name]]) for name in ("left", "right"))
        lines: list[tuple[str, ...]] = []
        for step in sorted(one.keys() & two.keys()):
            (at, first), (also, second) = one[step], two[step]
            gap = second - first
            shown = f"{100 * gap:+.1f} points" if words.is_fraction(metric) else f"{gap:+.3g}"
            values = (words.number(metric, first), words.number(metric, second), shown)
            lines.append((words.percent(min(at, also)) if self.pruned else str(step), *values))
        return lines

    @property
    def pruned(self) -> bool:
        """Whether steps have fewer and fewer weights; else they are epochs."""
        return not _prunable(self.explorer.frame()).empty

    def _curve(self, runs: Sequence[Run]) -> dict[int, tuple[float, float]]:
        """Step -> (density, mean of the metric over seeds and, for all of them, subsets)."""
        frame = self.explorer.frame()
        frame = frame[frame["key"].isin([run.record.key for run in runs])]
        rows = frame[frame["name"] == self["metric"]]
        wanted: dict[str, Any] = {"phase": "after", "estimator": "knn", "role": "estimate"}
        if "split" in rows and (rows["split"] == "test").any():
            wanted["split"] = "test"
        if self["subset"] not in ("", ALL):
            wanted["subset"] = self["subset"]
        for column, value in wanted.items():
            if column in rows and rows[column].notna().any():
                rows = rows[rows[column] == value]
        means = rows.groupby("step")["value"].mean()
        shares = _prunable(frame).groupby("step")["value"].mean()
        return {step: (shares.get(step, 1.0), means[step]) for step in means.index}

    def _by(self, left: Sequence[Run], right: Sequence[Run]) -> dict[str, Any]:
        """How the two sides are told apart in the data."""
        methods = [{run.method for run in side} for side in (left, right)]
        if methods[0] != methods[1]:
            return {"by": "method", "left": methods[0].pop(), "right": methods[1].pop()}
        seeds = [side[0].seed for side in (left, right)]
        return {"by": "seed", "left": seeds[0], "right": seeds[1]}

    def _sides(self) -> dict[str, list[Run]]:
        group, sides = self._group(), {}
        for method in group.methods:
            own = [run for run in group.runs if run.method == method]
            if len(own) > 1:
                sides[method + EVERY_SEED] = own
        for run in group.runs:
            sides[run.label] = [run]
        return sides

    def _group(self) -> Any:
        return self.explorer.groups[self.explorer["data"]]


class Comparison(w.VBox):
    """The view: two menus, the figure of three panels, and the numbers as a table."""

    def __init__(self, state: ComparisonState, page: Page, messages: MessageState) -> None:
        from widgets.explorer_view import Menu

        super().__init__()
        self.state = state
        self.card = FigureState(page, messages, later=in_voila(), urgent=True)
        pick = guard(state.choose, messages)
        labels = {"left": "First", "right": "Second"}
        names = ("left", "right", "metric", "subset", "density")
        self.menus = [Menu(name, pick, labels.get(name, "")) for name in names]
        self.row = w.HBox()
        self.row.add_class("wb-menus")
        self.table = show(Markup(""), "wb-difference")
        self.children = (self.row, FigureCard(self.card), self.table)
        for name in ("wb-column", "wb-comparison"):
            self.add_class(name)
        show_again = guard(self._show, messages)
        state.observe(show_again, "version")
        state.explorer.observe(show_again, "version")
        show_again()

    def _show(self, change: Any = None) -> None:
        if self.state.explorer.empty:
            return
        shown = tuple(menu for menu in self.menus if menu.offer(self.state))
        if self.row.children != shown:
            self.row.children = shown
        self.card.spec = self.state.spec()
        rows = self.state.rows()
        along = "Remaining weights" if self.state.pruned else "Epoch"
        head = (along, self.state["left"], self.state["right"], "Difference")
        self.table.value = table(head, rows, caption="In numbers") if rows else markup("")


def _prunable(frame: pandas.DataFrame) -> pandas.DataFrame:
    rows = frame[frame["name"] == "density"]
    return rows[rows["scope"] == "prunable"] if "scope" in rows else rows
