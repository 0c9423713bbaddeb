"""Sweeps: products, workers, failures, resuming."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from counting import Walk

from workbench.records import Store
from workbench.sweeps import Outcome, product, sweep

pytestmark = pytest.mark.unit


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def statuses(outcomes: list[Outcome]) -> Counter:
    return Counter(outcome.status for outcome in outcomes)


def test_a_product_takes_every_combination_in_order() -> None:
    walks = product(Walk(), {"style": ["plain", "loud"], "seed": range(2)})
    assert [(w.style, w.seed) for w in walks] == [
        ("plain", 0),
        ("plain", 1),
        ("loud", 0),
        ("loud", 1),
    ]
    assert product(Walk(), {}) == [Walk()]


def test_one_after_the_other_finished_ones_skipped(store: Store) -> None:
    store.collect(Walk(steps=2, seed=1))
    walks = product(Walk(steps=2), {"seed": [0, 1, 2]})
    outcomes = list(sweep([*walks, walks[0]], store))
    assert statuses(outcomes) == {"finished": 2, "found": 1}
    assert statuses(list(sweep(walks, store))) == {"found": 3}


def test_a_shared_requirement_is_collected_first_and_once(store: Store) -> None:
    walks = product(Walk(steps=2, needs=True), {"style": ["plain", "loud"]})
    outcomes = list(sweep(walks, store))
    assert [o.required for o in outcomes] == [True, False, False]
    assert store.get(outcomes[0].key).has_checkpoint


def test_a_failure_is_an_outcome_and_the_others_go_on(store: Store) -> None:
    walks = [Walk(steps=2, broken=True), Walk(steps=2), Walk(steps=3, broken=True, needs=True)]
    outcomes = list(sweep(walks, store))
    assert statuses(outcomes) == {"failed": 3, "finished": 1}
    assert {o.error for o in outcomes if "needs" not in o.error} == {
        "",
        "RuntimeError: the shoe is broken",
    }
    teacher = store.key(Walk(steps=2, broken=True))
    last = next(o for o in outcomes if o.experiment == walks[2])
    assert last.error.startswith(f"it needs {teacher}, which failed: RuntimeError")


def test_a_sweep_that_is_stopped_goes_on(store: Store) -> None:
    walks = product(Walk(steps=2), {"seed": [0, 1, 2]})
    first = sweep(walks, store)
    next(first)
    first.close()
    assert statuses(list(sweep(walks, store))) == {"found": 1, "finished": 2}


def test_processes_give_the_same_records(store: Store, tmp_path: Path) -> None:
    walks = product(Walk(steps=3, needs=True), {"seed": [0, 1], "style": ["plain", "loud"]})
    outcomes = list(sweep(walks, store, jobs=2))
    assert statuses(outcomes) == {"finished": 6}
    alone = Store(tmp_path / "alone")
    for walk in walks:
        mine, theirs = alone.collect(walk), store.get(store.key(walk))
        assert mine.table().equals(theirs.table()) or (
            mine.scalars().value.to_numpy().tobytes() == theirs.scalars().value.to_numpy().tobytes()
        )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"backend": "threads"}, "No backend 'threads'; there are loky, dask, ray"),
        ({"jobs": 0}, "jobs = 0 must be at least 1"),
    ],
)
def test_wrong_settings_are_named(store: Store, settings, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        list(sweep([Walk()], store, **settings))


@pytest.mark.parametrize(("backend", "module"), [("dask", "distributed"), ("ray", "ray")])
def test_a_missing_backend_says_how_to_install_it(
    store: Store, monkeypatch, backend: str, module: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ModuleNotFoundError, match=rf"{module} is missing.*\[cluster\]"):
        list(sweep([Walk()], store, jobs=2, backend=backend))


def test_dask_runs_a_sweep(store: Store) -> None:
    pytest.importorskip("distributed")
    outcomes = list(sweep(product(Walk(steps=2), {"seed": [0, 1]}), store, jobs=2, backend="dask"))
    assert statuses(outcomes) == {"finished": 2}


def test_ray_which_cannot_stream_gives_its_outcomes_together(store: Store, monkeypatch) -> None:
    """Against a stand-in for Ray's backend, which like it refuses to return generators."""
    from joblib import parallel
    from joblib._parallel_backends import ThreadingBackend

    class Together(ThreadingBackend):
        supports_return_generator = False

    started = []
    ray = SimpleNamespace(is_initialized=lambda: False, init=lambda **how: started.append(how))
    joblib = SimpleNamespace(register_ray=lambda: None)
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setitem(sys.modules, "ray.util.joblib", joblib)
    monkeypatch.setitem(parallel.BACKENDS, "ray", Together)
    walks = product(Walk(steps=2, needs=True), {"style": ["plain", "loud"]})
    outcomes = list(sweep(walks, store, jobs=2, backend="ray"))
    assert statuses(outcomes) == {"finished": 3} and started[0]["num_cpus"] == 2
