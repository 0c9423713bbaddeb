"""The command line, mostly in this process, on an experiment that only counts."""

from __future__ import annotations

import io
import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from counting import Walk

from workbench import experiments
from workbench.__main__ import main
from workbench.cli import catalogue, doctor, options
from workbench.cli.progress import Clock, Line, describe
from workbench.cli.text import Problem, duration, size, table
from workbench.observations import Progress
from workbench.records import Store

pytestmark = pytest.mark.unit
HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def walk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(experiments.EXPERIMENTS, "walk", Walk)
    monkeypatch.setenv("WORKBENCH_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("WORKBENCH_RECORDS", str(tmp_path / "shipped"))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def refused(words: list[str], capsys) -> str:
    """What is said about a command line that cannot be understood."""
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2
    return capsys.readouterr().err


def test_a_run_ends_with_its_key_and_is_not_run_again(capsys, store: Store) -> None:
    assert main(["run", "walk", "--profile", "smoke", "--seed", "3"]) == 0
    out, err = capsys.readouterr()
    key = store.key(Walk.profile("smoke", seed=3))
    assert out.startswith(f"{key}  finished") and str(store.path / key) in out
    assert "[####################] 2/2" in err
    assert main(["run", "walk", "--profile", "smoke", "--seed=3", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["key"] == key and err == ""


def test_every_field_is_an_option(capsys) -> None:
    words = ["run", "walk", "--dry-run", "--steps", "5", "--rate", "0.75", "--style", "loud",
             "--place", "beach", "--no-brisk", "--stops", "0.5,1", "--needs"]  # fmt: skip
    assert main(words) == 0
    identity = json.loads(capsys.readouterr().out)
    expected = Walk(5, 0, 0.75, "loud", "beach", False, (0.5, 1.0), True).identity()
    assert identity.pop("key") and identity == expected


def test_options_may_be_written_as_the_fields_are_and_presets_stand_for_several(capsys) -> None:
    assert main(["run", "walk", "--dry_run", "--mood", "loud", "--rate", "0.125"]) == 0
    config = json.loads(capsys.readouterr().out)["config"]
    assert (config["style"], config["rate"]) == ("loud", 0.125)


def test_the_real_experiments_have_their_options(capsys) -> None:
    words = ["run", "self-distilled-pruning", "--profile", "smoke", "--method", "sdp-kld"]
    assert main([*words, "--max-length", "16", "--model", "tiny", "--dry-run"]) == 0
    config = json.loads(capsys.readouterr().out)["config"]
    assert (config["loss"], config["scope"], config["max_length"]) == ("kld", "layer", 16)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["rnu"], "invalid choice: 'rnu'.*Did you mean run?"),
        (["run", "wakl"], "invalid choice: 'wakl'.*Did you mean walk?"),
        (["run", "walk", "--sed", "1"], "unrecognized arguments: --sed 1. Did you mean --seed?"),
        (["run", "walk", "--seed", "x"], "seed = 'x' must be a whole number"),
        (["run", "walk", "--seed", "1.5"], "seed = 1.5 must be a finite int"),
        (["run", "walk", "--rate", "2"], "rate = 2.0 is out of range: 0 to 1"),
        (["run", "walk", "--style", "lod"], "'lod' is not one of plain, loud. Did you mean 'loud'"),
        (["run", "walk", "--stops", "1,b"], "stops = 'b' must be a number"),
        (["run", "walk", "--mood", "lout"], "no mood 'lout'. Did you mean 'LOUD'"),
        (["run", "walk", "--profile", "huge"], "invalid choice: 'huge'"),
        (["sweep", "walk", "--brisk", "maybe"], "brisk = 'maybe' must be true or false"),
        (["sweep", "walk", "--backend", "rai"], "Did you mean ray?"),
        (["records", "shwo"], "Did you mean show?"),
        ([], "required: COMMAND"),
        (["run"], "required: EXPERIMENT"),
    ],
)
def test_mistakes_are_named_with_what_was_meant(words, message: str, capsys) -> None:
    error = refused(words, capsys)
    assert re.search(message.replace("?", r"\?"), error), error
    assert "--help explains" in error


def test_other_mistakes_end_with_one_and_a_way_out(capsys) -> None:
    for words, message in [
        (["sweep", "walk", "--over", "sed=1"], "no setting 'sed'. Did you mean 'seed'"),
        (["sweep", "walk", "--over", "seed"], "--over seed=first,second"),
        (["sweep", "walk", "--over", "seed=x"], "--over seed=x: seed = 'x' must be"),
        (["sweep", "walk", "--jobs", "0"], "jobs = 0 must be"),
        (["records", "show", "nothing"], "No record 'nothing'"),
        (["records", "--where", "seed"], "--where seed=VALUE"),
        (["records", "remove"], "Say which"),
        (["list", "task"], "Did you mean 'tasks'"),
        (["fetch", "mini"], "no data or encoder 'mini'. Did you mean 'minilm'"),
        (["run", "walk", "--broken", "--quiet"], "RuntimeError: the shoe is broken"),
    ]:
        assert main(words) == 1
        assert message in capsys.readouterr().err


def test_debugging_shows_the_traceback(monkeypatch) -> None:
    monkeypatch.setenv("WORKBENCH_DEBUG", "1")
    with pytest.raises(RuntimeError, match="the shoe is broken"):
        main(["run", "walk", "--broken", "--quiet"])


@pytest.mark.parametrize(
    "command", ["", "list", "fetch", "doctor", "run", "sweep", "serve", "records"]
)
def test_everything_explains_itself(command: str, capsys) -> None:
    for words in [[command], [command, "walk"]] if command in ("run", "sweep") else [[command]]:
        with pytest.raises(SystemExit) as stop:
            main([*filter(None, words), "--help"])
        assert stop.value.code == 0
        assert "usage: workbench" in capsys.readouterr().out


def test_the_help_of_an_option_tells_range_default_and_profiles(capsys) -> None:
    with pytest.raises(SystemExit):
        main(["run", "walk", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "Steps; 100% of them. (1 to 100; default: 4; smoke: 2; laptop: 3)" in text
    assert "Rate. Only with style loud. (0 to 1; default: 0.5; laptop: 0.25)" in text
    assert "Where. Known: park, town. (default: park)" in text


def test_help_loads_nothing_heavy() -> None:
    heavy = "{'torch', 'numpy', 'pandas', 'transformers', 'datasets'}"
    code = f"""
import sys
from workbench.__main__ import main
try:
    main(["--help"])
except SystemExit:
    pass
assert not {heavy} & set(sys.modules), {heavy} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, cwd=HERE.parent)


def test_a_sweep_runs_lists_and_skips(capsys, store: Store) -> None:
    words = ["sweep", "walk", "--profile", "smoke", "--seed", "0,1", "--over", "mood=calm,loud"]
    assert main([*words, "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert out.count("to run") == 4 and "seed=1  mood=LOUD" in out
    assert main(words) == 0
    out, err = capsys.readouterr()
    assert out.startswith("4 runs: 4 finished, in") and err.count("\nfinished  ") >= 3
    assert main([*words, "--quiet"]) == 0
    assert capsys.readouterr().out.startswith("4 runs: 4 found")
    assert len(store.find("walk")) == 4


def test_a_sweep_reports_failures_at_its_end(capsys) -> None:
    words = ["sweep", "walk", "--profile", "smoke", "--broken", "true,false", "--seed", "0,1"]
    assert main(words) == 1
    out, err = capsys.readouterr()
    assert out.startswith("4 runs: 2 failed, 2 finished")
    assert err.count("    RuntimeError: the shoe is broken") == 2
    assert err.rindex("finished  ") < err.rindex("\nfailed: ")


def test_records_are_listed_shown_exported_and_removed(capsys, store: Store, tmp_path) -> None:
    for seed in (0, 1):
        store.collect(Walk(2, seed))
    key = store.key(Walk(2, 1))
    assert main(["records"]) == 0
    out = capsys.readouterr().out
    assert key in out and "seed=1" in out and "steps" not in out
    assert main(["records", "--where", "seed=1", "--experiment", "walk", "--json"]) == 0
    assert [json.loads(line)["key"] for line in capsys.readouterr().out.splitlines()] == [key]
    assert main(["records", "show", key[:6]]) == 0
    out = capsys.readouterr().out
    assert re.search(r"position +6 +steps 0 to 1 +axis", out) and "float16" in out
    assert main(["records", "export", str(tmp_path / "to"), "--where", "seed=1"]) == 0
    assert [r.key for r in Store(tmp_path / "to").find()] == [key]
    assert main(["records", "remove", key]) == 0
    assert main(["records", "remove", "--unfinished"]) == 1
    assert len(store.find()) == 1


def test_fresh_runs_anew_and_another_store_can_be_named(capsys, store: Store, tmp_path) -> None:
    words = ["run", "walk", "--profile", "smoke", "--quiet"]
    main(words)
    first = store.find()[0].created
    main([*words, "--fresh"])
    assert store.find()[0].created > first
    main([*words, "--store", str(tmp_path / "other"), "--keep-checkpoint"])
    assert Store(tmp_path / "other").find()[0].has_checkpoint


INTERRUPTED = f"""
import signal, sys
# A background job inherits that the signal is ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.path[:0] = [{str(HERE)!r}, {str(HERE.parent)!r}]
from counting import Walk
from workbench import experiments
from workbench.__main__ import main
experiments.EXPERIMENTS["walk"] = Walk
sys.exit(main(sys.argv[1:]))
"""


def test_ctrl_c_says_how_to_go_on_and_the_same_command_does(tmp_path: Path, store: Store) -> None:
    words = ["run", "walk", "--steps", "60", "--pause", "0.1"]
    command = [sys.executable, "-c", INTERRUPTED, *words, "--store", str(store.path)]
    run = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    deadline = time.time() + 60
    while not list(store.path.glob("*/checkpoint.safetensors")) and time.time() < deadline:
        time.sleep(0.05)
    run.send_signal(signal.SIGINT)
    _, err = run.communicate(timeout=60)
    walk = Walk.profile("laptop", steps=60)
    assert run.returncode == 130
    assert f"same command goes on from the last checkpoint of {store.key(walk)}" in err
    assert store.find()[0].status == "interrupted"
    resumed = store.collect(walk).scalars().value.to_numpy()
    whole = Store(tmp_path / "whole").collect(walk).scalars().value.to_numpy()
    assert resumed.tobytes() == whole.tobytes()


def test_list_names_everything(capsys, store: Store, tmp_path: Path) -> None:
    store.collect(Walk(2))
    store.export(store.find(), tmp_path / "shipped")
    assert main(["list"]) == 0
    out = capsys.readouterr().out
    for word in (
        *("self-distilled-pruning", "sentiment", "mnist5k", "enwiki", "minilm"),
        *("cifar10-resnet20", "gpt-small", "1 finished walk"),
    ):
        assert word in out
    assert main(["list", "records", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["records"]
    assert [row["records"] for row in rows] == ["1 finished walk", "1 finished walk"]


def test_fetch_goes_on_when_one_fails(monkeypatch, capsys) -> None:
    from workbench.sources import SourceError

    def fetch(name, progress):
        if name == "minilm":
            raise SourceError("no network; do this")

    monkeypatch.setattr(catalogue, "_fetch", fetch)
    monkeypatch.setattr(catalogue, "cached", lambda name: False)
    assert main(["fetch", "minilm", "sentiment"]) == 1
    out, err = capsys.readouterr()
    assert out == "sentiment: ready\n" and "minilm: failed. no network; do this" in err


def test_doctor_tells_what_is_missing(monkeypatch, capsys, tmp_path: Path) -> None:
    monkeypatch.setattr(doctor, "machine", lambda: [doctor.Finding("note", "gpu", "none")])
    monkeypatch.setattr(doctor, "registry", lambda: doctor.Finding("note", "registry", "no"))
    monkeypatch.setattr(doctor, "hub", lambda: doctor.Finding("note", "hub", "no"))
    assert main(["doctor", "--offline"]) == 0
    assert "All that a run needs is here." in capsys.readouterr().out
    assert main(["doctor", "--json"]) == 1  # nothing cached here and no way to fetch it
    found = {f["what"]: f for f in json.loads(capsys.readouterr().out)}
    assert found["fetching"]["state"] == "bad" and found["python"]["state"] == "ok"
    monkeypatch.setattr(doctor.os, "access", lambda *_: False)
    assert main(["doctor", "--offline"]) == 1
    assert "set WORKBENCH_STORE to one that can" in capsys.readouterr().out


def test_serve_hands_its_options_on(monkeypatch) -> None:
    server = pytest.importorskip("widgets.server")
    calls = []
    monkeypatch.setattr(server, "serve", lambda **settings: calls.append(settings))
    assert main(["serve", "--port", "9000", "--no-browser"]) == 0
    assert calls == [dict(port=9000, host="127.0.0.1", open_browser=False, max_kernels=8)]


def test_the_clock_starts_anew_with_each_stretch_of_work() -> None:
    clock = Clock()
    assert clock.left(Progress(10, 110), 0.0) is None  # resumed: what was done took no time here
    assert clock.left(Progress(20, 110), 5.0) == 45.0
    assert clock.left(Progress(0, 50), 6.0) is None
    assert clock.left(Progress(25, 50), 11.0) == 5.0


def test_progress_is_one_line_on_a_terminal() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    line = Line(Terminal())
    line.show(Progress(1, 4, "step 1"))
    line.show(Progress(2, 4, "too soon"))
    line.show(Progress(4, 4, "done"))
    line.clear()
    shown = line.stream.getvalue()
    assert shown.count("\r") == 4 and "\n" not in shown and "too soon" not in shown
    assert describe(Progress(1, 4, "x"), 200.0).endswith("1/4   25%  3 min 20 s left  x")
    assert describe(Progress(0, 0), None).endswith("0/0    0%")


def test_words_for_durations_and_sizes() -> None:
    assert [duration(s) for s in (0.25, 42, 200, 7500)] == [
        "0.2 s",
        "42 s",
        "3 min 20 s",
        "2 h 05 min",
    ]
    assert [size(n) for n in (5, 84_000, 83.5e6, 78e9)] == ["5 B", "84 kB", "83.5 MB", "78.0 GB"]
    assert table([("a", 1), ("bcd", 22)]) == "  a    1\n  bcd  22"


def test_floats_are_swept_by_semicolons() -> None:
    found = options.over(["stops=0.1,0.2;0.3", "brisk=yes,no"], Walk)
    assert found == {"stops": [(0.1, 0.2), (0.3,)], "brisk": [True, False]}
    with pytest.raises(Problem, match="must be true or false"):
        options.over(["brisk=perhaps"], Walk)
