"""Many runs at once: products of settings and seeds, through joblib.

Processes on one machine by default, Dask or Ray by name. Each run writes its own record, so a
sweep that was stopped goes on by asking for it again: what is finished is not run twice.
"""

from __future__ import annotations

import importlib
import itertools
import os
import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from workbench.records import Store

BACKENDS = ("loky", "dask", "ray")
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class Outcome:
    """How one run of a sweep ended; ``found`` means that its record was there already."""

    experiment: Any
    key: str
    status: Literal["found", "finished", "failed"]
    seconds: float = 0.0
    error: str = ""
    required: bool = False
    """Whether it only ran because others need it (a teacher)."""


def product(base: Any, over: Mapping[str, Sequence[Any]]) -> list[Any]:
    """``base`` with every combination of the values in ``over``, the last varying fastest."""
    combinations = itertools.product(*over.values())
    return [replace(base, **dict(zip(over, values, strict=True))) for values in combinations]


def sweep(
    experiments: Iterable[Any], store: Store, *, jobs: int = 1, backend: str = "loky"
) -> Generator[Outcome, None, None]:
    """Collect ``experiments`` into ``store``, ``jobs`` at a time; yield outcomes as they come.

    What the runs require (teachers) is collected first, once. A run that fails is an outcome, and
    the others go on. Each of several workers uses one thread. Closing the iterator stops the
    workers; their runs are interrupted and go on in the next sweep.

    Raises ``ValueError`` for an unknown backend and ``ModuleNotFoundError`` where it is missing.
    """
    if backend not in BACKENDS:
        raise ValueError(f"No backend {backend!r}; there are {', '.join(BACKENDS)}.")
    if jobs == 0 or jobs < -1:
        raise ValueError(f"jobs = {jobs} must be at least 1, or -1 for one a core.")
    wanted = {store.key(experiment): experiment for experiment in experiments}
    todo: dict[str, Any] = {}
    for key, experiment in wanted.items():
        if store.finished(key) is not None:
            yield Outcome(experiment, key, "found")
        else:
            todo[key] = experiment
    failed: dict[str, str] = {}
    with _workers(jobs if jobs > 0 else os.cpu_count() or 1, backend) as run:
        for level in [*_requirements(todo.values(), store), todo]:
            ready = {}
            for key, experiment in level.items():
                needed = [store.key(n) for n in experiment.requirements().values()]
                if broken := [k for k in needed if k in failed]:
                    failed[key] = f"it needs {broken[0]}, which failed: {failed[broken[0]]}"
                    yield Outcome(experiment, key, "failed", 0.0, failed[key], level is not todo)
                else:
                    ready[key] = experiment
            with closing(run(store, list(ready.values()), level is not todo)) as outcomes:
                for outcome in outcomes:
                    if outcome.status == "failed":
                        failed[outcome.key] = outcome.error
                    yield outcome


def _requirements(experiments: Iterable[Any], store: Store) -> list[dict[str, Any]]:
    """What has to be there first and is not, in levels: each needs only earlier ones."""
    levels: list[dict[str, Any]] = []
    present = list(experiments)
    while present:
        needed = [n for experiment in present for n in experiment.requirements().values()]
        level = {store.key(n): n for n in needed}
        level = {key: n for key, n in level.items() if store.finished(key, True) is None}
        if level:
            levels.insert(0, level)
        present = list(level.values())
    return levels


Run: TypeAlias = Callable[[Store, Sequence[Any], bool], Generator[Outcome, None, None]]


@contextmanager
def _workers(jobs: int, backend: str) -> Iterator[Run]:
    """A function that collects experiments in ``jobs`` workers."""
    from joblib import Parallel, delayed, parallel_config

    def here(store: Store, todo: Sequence[Any], required: bool) -> Generator[Outcome, None, None]:
        for experiment in todo:
            yield _collect(store, experiment, required)

    def there(store: Store, todo: Sequence[Any], required: bool) -> Generator[Outcome, None, None]:
        tasks = (delayed(_collect_on_one_thread)(store, e, required) for e in todo)
        if backend == "ray":  # it cannot stream: its outcomes come together
            yield from Parallel(n_jobs=jobs)(tasks)
            return
        with closing(Parallel(n_jobs=jobs, return_as="generator_unordered")(tasks)) as outcomes:
            yield from outcomes

    if jobs == 1 and backend == "loky":
        yield here
        return
    limits = {"inner_max_num_threads": 1} if backend == "loky" else {}
    with _cluster(jobs, backend), parallel_config(backend=backend, n_jobs=jobs, **limits):
        yield there


@contextmanager
def _cluster(jobs: int, backend: str) -> Iterator[None]:
    """Connect to Dask (``DASK_SCHEDULER_ADDRESS``, or this machine) or Ray (``RAY_ADDRESS``)."""
    if backend == "dask":
        client = _module("distributed").Client
        address = os.environ.get("DASK_SCHEDULER_ADDRESS")
        local = {"n_workers": jobs, "threads_per_worker": 1, "dashboard_address": None}
        with client(address) if address else client(**local):
            yield
        return
    if backend == "ray":
        ray = _module("ray")
        _module("ray.util.joblib").register_ray()
        if not ray.is_initialized():
            local = {} if os.environ.get("RAY_ADDRESS") else {"num_cpus": jobs}
            ray.init(include_dashboard=False, log_to_driver=False, **local)
    yield


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{error.name} is missing; install it with: "
            "pip install -c constraints.txt -e '.[cluster]'"
        ) from error


def _collect(store: Store, experiment: Any, required: bool) -> Outcome:
    """One run; an exception becomes an outcome, so that the others go on."""
    key, began = store.key(experiment), time.perf_counter()
    try:
        store.collect(experiment, keep_checkpoint=True if required else None)
    except Exception as error:
        text = f"{type(error).__name__}: {error}"
        return Outcome(experiment, key, "failed", time.perf_counter() - began, text, required)
    return Outcome(experiment, key, "finished", time.perf_counter() - began, "", required)


def _collect_on_one_thread(store: Store, experiment: Any, required: bool) -> Outcome:
    """One run in a worker beside others: more threads than cores would slow all of them."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    else:
        os.environ.update(dict.fromkeys(THREADS, "1"))
    return _collect(store, experiment, required)
