"""Sweeps: their values, that nothing is lost or done twice, and that their rows are what single runs give."""

import csv
import json

import numpy as np
import pytest

from dynsim import engine
from dynsim.experiments import Sweep, apply_settings, as_values, run
from dynsim.trajectory import Trajectory

CONFIG = {
    "delay": 0.2,
    "operators": {"B": [[0.3, -0.2]], "D": [[0.5], [0.1]], "F": -0.4},
    "dimension": 2,
    "groups": [{"name": "a", "neurons": 3}, {"name": "b", "neurons": 2}],
    "run": {"until": 1.0, "method": "rk4", "dt": 0.05},
}


@pytest.mark.parametrize(("text", "values"), [
    ("x=0:1:5", [0, 0.25, 0.5, 0.75, 1]),
    ("x=1:3:3", [1, 2, 3]),
    ("x=1e-2:1:3:log", [0.01, 0.1, 1.0]),
    ("x=a,b", ["a", "b"]),
    ("x=[1, 2],[3, 4]", [[1, 2], [3, 4]]),
    ("x=0.5", [0.5]),
    ("x = true, false", [True, False]),
])  # fmt: skip
def test_values(text, values):
    assert as_values(text) == ("x", values)


@pytest.mark.parametrize("text", ["x", "=1", "x=", "x=0:1:0", "x=0:1:2.5", "x=0:1:3:lin", "x=-1:1:3:log", "x=0:inf:3"])
def test_what_is_no_list_of_values(text):
    with pytest.raises(ValueError, match=r"vary: got .*; expected "):
        as_values(text)


def test_rows_are_what_single_runs_give(tmp_path):
    sweep = Sweep(CONFIG, {"operators.F": [-0.4, 0.1], "groups.b.neurons": [1, 2]}, seeds=[0, 5])
    results = run(sweep, tmp_path)
    rows = sweep.rows(results)
    assert [(row["operators.F"], row["groups.b.neurons"], row["seed"]) for row in rows] == [
        (f, n, s) for f in (-0.4, 0.1) for n in (1, 2) for s in (0, 5)
    ]
    for row in rows:
        config = apply_settings(
            json.loads(json.dumps(CONFIG)),
            [f"operators.F={row['operators.F']}", f"groups.b.neurons={row['groups.b.neurons']}", f"seed={row['seed']}"],
        )
        ready = engine.configure(config)
        alone = engine.solve(ready.system, ready.span, **ready.options)
        q = alone.q[-1]
        assert row["E_rms"] == pytest.approx(np.sqrt(np.mean(alone.E[-1] ** 2)), rel=1e-12)
        assert row["R_largest"] == np.abs(alone.R[-1]).max()
        assert row["spread"] == pytest.approx(np.sqrt(np.mean(np.sum((q - q.mean(0)) ** 2, axis=1))), rel=1e-12)
        assert row["steps"] == alone.naccepted and row["gain"] == pytest.approx(alone.echo_gain, rel=1e-9)
        with Trajectory(tmp_path / row["file"]) as file:
            np.testing.assert_array_equal(file.q[-1], q.astype(file.q.dtype))
    text = sweep.report(results, tmp_path)
    with open(tmp_path / "sweep.csv", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert len(table) == 8 and float(table[3]["E_rms"]) == rows[3]["E_rms"]
    assert len(text.splitlines()) == 5 and "±" in text and (tmp_path / "sweep.png").stat().st_size > 0


def test_finished_runs_are_not_repeated_and_others_go_on(tmp_path):
    sweep = Sweep(CONFIG, {"delay": [0.1, 0.2, 0.3]}, observables=["spread"])
    begun = []

    def stop_in_the_second(task):
        begun.append(task.name)
        return lambda t, start, end: len(begun) == 2 and t > 0.5

    with pytest.raises(KeyboardInterrupt):
        run(sweep, tmp_path, training=stop_in_the_second)
    assert begun == ["run00000", "run00001"]
    with Trajectory(tmp_path / "runs/run00001/run.h5") as file:
        assert not file.provenance.get("outcome") and 0.5 < file.time[-1] < 1
    again = []

    def starts(task):
        times = []
        again.append((task.name, times))
        return lambda t, start, end: times.append(t)

    results = run(sweep, tmp_path, training=starts)
    assert [name for name, _ in again] == ["run00001", "run00002"] and again[0][1][0] > 0.5
    whole = run(sweep, tmp_path / "whole")
    counted = ("steps", "rejected", "evaluations", "seconds")
    for row, expected in zip(sweep.rows(results), sweep.rows(whole), strict=True):
        known = row.items() if row["steps"] is not None else [item for item in row.items() if item[0] not in counted]
        assert all(expected[name] == value for name, value in known if name != "seconds")
    assert [row["steps"] is None for row in sweep.rows(results)] == [False, True, False]
    assert run(sweep, tmp_path, training=lambda task: pytest.fail("nothing is left to do")) == results
    longer = Sweep({**CONFIG, "run": {**CONFIG["run"], "until": 1.2}}, {"delay": [0.1]}, observables=["spread"])
    assert sum(task.result(tmp_path) is None for task in longer.tasks()) == 1


def test_zipped(tmp_path):
    sweep = Sweep(CONFIG, {"delay": [0.1, 0.2], "run.dt": [0.05, 0.1]}, zipped=True)
    assert [list(task.values.values()) for task in sweep.tasks()] == [[0.1, 0.05], [0.2, 0.1]]
    with pytest.raises(ValueError, match=r"2 of delay, 1 of run\.dt; expected as many"):
        Sweep(CONFIG, {"delay": [0.1, 0.2], "run.dt": [0.05]}, zipped=True)


@pytest.mark.parametrize(("vary", "message"), [
    ({"delay": [0.1, -1.0]}, r"delay: got -1\.0.*\(with delay = -1\.0\)"),
    ({"operators.G": [1.0]}, "unknown key 'G'"),
    ({"groups.c.neurons": [1]}, "'c' in 'groups.c.neurons'; expected one of 0, 1, a, b"),
    ({"run.method": ["rk4", "dopri5"]}, r"dt: got 0\.05 with dopri5.*run\.method = 'dopri5'"),
    ({}, "no keys"),
    ({"delay": []}, "no values"),
])  # fmt: skip
def test_everything_is_refused_before_the_first_run(tmp_path, vary, message):
    with pytest.raises(ValueError, match=message):
        run(Sweep(CONFIG, vary), tmp_path)
    assert not list(tmp_path.rglob("run.h5"))


def test_a_run_that_diverges_is_a_row(tmp_path):
    config = {**CONFIG, "operators": {"F": 1.0}, "run": {"until": 3000.0, "method": "euler", "dt": 1.0}, "delay": 0.0}
    sweep = Sweep(config, {"operators.F": [0.0, 1.5]}, observables=["spread", "t"])
    results = run(sweep, tmp_path)
    assert [row["outcome"] for row in sweep.rows(results)] == ["finished", "diverged"]
    assert "diverged" in sweep.report(results, tmp_path)
    from dynsim.plots import sweep_figure

    texts = [text.get_text() for text in sweep_figure(sweep.rows(results), ["operators.F"], ["t"]).legends[0].texts]
    assert texts == ["diverged or failed: no value"]


@pytest.mark.slow
def test_over_processes_as_in_this_one(tmp_path):
    sweep = Sweep(CONFIG, {"delay": [0.1, 0.2, 0.3]})
    first, second = (sweep.rows(run(sweep, tmp_path / str(n), processes=n)) for n in (1, 2))
    for rows in (first, second):
        for row in rows:
            del row["seconds"]
    assert first == second


def test_the_command(tmp_path, capsys):
    from dynsim.cli import main

    def call(*words):
        with pytest.raises(SystemExit) as stop:
            main(["sweep", "--preset", "stable", "--until", "1", *map(str, words)])
        return stop.value.code, *capsys.readouterr()

    options = ["--vary", "echo_gain=0.2,0.4", "--seeds", 2, "-o", tmp_path]
    code, out, err = call(*options, "--dry-run")
    assert code == 0 and out.splitlines()[-1] == "4 runs, 4 to do" and not list(tmp_path.iterdir())
    code, out, err = call(*options, "--observe", "gain")
    assert code == 0 and [line.split()[0] for line in out.splitlines()] == ["echo_gain", "0.2", "0.4", "written"]
    assert "3 of 4 finished; run00003" in err
    code, out, err = call(*options, "--json")
    rows = json.loads(out)["rows"]
    assert [row["echo_gain"] for row in rows] == [0.2, 0.2, 0.4, 0.4] and [row["seed"] for row in rows] == [0, 1, 0, 1]
    for words, message in (
        (["--vary", "delay"], "expected KEY=START:STOP:N"), (["--vary", "delay=1,2"], "the file for"),
        (["--vary", "delay=1", "--vary", "delay=2", "-o", tmp_path], "delay twice"),
        (["--vary", "delay=1", "--observe", "E_rmss", "-o", tmp_path], "did you mean 'E_rms'"),
    ):  # fmt: skip
        code, _, err = call(*words)
        assert code in (1, 2) and (message in err or "the folder for the results" in err)


def test_another_sweep_in_the_same_folder_is_refused(tmp_path, capsys):
    from dynsim.cli import main

    def run(*options):
        with pytest.raises(SystemExit) as stop:
            main([str(option) for option in options])
        return stop.value.code

    first = ("sweep", "--preset", "stable", "--vary", "delay=0.2,0.3", "--until", "0.5", "-o", tmp_path / "out")
    other = ("sweep", "--preset", "stable", "--vary", "kernel.length=0.2,0.3,0.4", "--until", "0.4")
    assert run(*first) == 0
    table = (tmp_path / "out" / "sweep.csv").read_bytes()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    capsys.readouterr()
    assert run(*other, "-o", tmp_path / "out") == 1
    assert "a run of another sweep" in (said := capsys.readouterr().err) and "--overwrite" in said
    assert (tmp_path / "out" / "sweep.csv").read_bytes() == table
    assert run(*first) == 0  # what is finished there is as it was
    capsys.readouterr()
    assert run(*other, "-o", tmp_path / "out", "--overwrite") == 0
    # The kernel of this preset has no length.
    assert "kernel.length: all its values gave the same signals and places" in capsys.readouterr().err
    assert len(list((tmp_path / "out" / "runs").iterdir())) == 3 and (tmp_path / "out" / "mine.txt").exists()
