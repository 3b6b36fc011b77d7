"""A run in progress can be followed, and the run does not notice."""

import json
import os
import shlex
import socket

import numpy as np
import pytest

import dynsim
from dynsim.errors import DataError
from dynsim.trajectory import Progress, Trajectory, run
from dynsim.trajectory._run_progress import ProgressWriter, this_process

OPTIONS = {"method": "rk4", "dt": 0.01}


@pytest.fixture
def system():
    q = np.array([[0.0, 1.0], [2.0, 0.0], [-1.0, 0.5]])
    return dynsim.System(q, operators=dynsim.Operators(A=0.5, B=[[0.1, 0.2]], D=[[-0.1], [0.2]], F=-0.3), delay=0.1)


def entries(path):
    return [json.loads(line) for line in open(f"{path}.progress", encoding="utf-8")]


def test_the_lines_say_how_far_it_is(system, tmp_path, monkeypatch):
    monkeypatch.setattr("dynsim.trajectory._run_progress._SHARE", np.inf)  # every step, however long the first one took
    path = tmp_path / "run.h5"
    solution = run(system, (0.0, 0.5), path=path, progress_seconds=0.0, **OPTIONS)
    begun, *lines, ended = entries(path)
    assert (begun["start"], begun["until"], begun["neurons"], begun["process"]) == (0.0, 0.5, 3, os.getpid())
    assert ended["status"] == 0 and ended["message"] == solution.message
    assert len(lines) == solution.naccepted + 1 and lines[-1]["t"] == 0.5
    with Trajectory(path) as read:
        assert ended["frames"] == read.frames
        for line, k in ((lines[9], 10), (lines[-1], -1)):
            assert line["t"] == read.time[k]
            for name, data in (("received", read.R), ("emitted", read.E)):
                # Sums of three numbers, in another order perhaps.
                assert line[name] == pytest.approx(np.sqrt(np.mean(data[k] ** 2)), rel=1e-14)
            q, R, E = read.q[k], read.R[k], read.E[k]
            velocity = R @ [[-0.1, 0.2]] - 0.3 * q  # equation (3) with D and F
            assert line["speed"] == pytest.approx(np.sqrt(np.mean(np.sum(velocity**2, axis=1))), rel=1e-12) and E.size
    assert lines[-1]["echo_gain"] == pytest.approx(dynsim.engine.echo_gain(system, solution.q[-1]), rel=1e-12)


def test_a_watched_run_is_the_same_bit_for_bit(system, tmp_path):
    for name, seconds in (("watched", 0.0), ("alone", None)):
        run(system, (0.0, 0.5), path=tmp_path / f"{name}.h5", progress_seconds=seconds, **OPTIONS)
    with Trajectory(tmp_path / "watched.h5") as a, Trajectory(tmp_path / "alone.h5") as b:
        assert all(np.array_equal(getattr(a, x)[...], getattr(b, x)[...]) for x in ("time", "q", "R", "E"))
    assert not (tmp_path / "alone.h5.progress").exists()


def test_lines_are_few(system, tmp_path):
    writer = ProgressWriter(tmp_path / "run.h5", system, (0.0, 1.0), 3600.0)
    writer.step(0.1, lambda: pytest.fail("nobody needed the state"), 1)
    assert len(entries(tmp_path / "run.h5")) == 1


def test_a_refused_run_leaves_the_old_progress(system, tmp_path):
    path = tmp_path / "run.h5"
    run(system, (0.0, 0.1), path=path, progress_seconds=0.0, **OPTIONS)
    before = entries(path)
    with pytest.raises(ValueError, match="dt"):
        run(system, (0.0, 0.1), path=path, progress_seconds=0.0, overwrite=True, method="rk4")
    assert entries(path) == before


def test_a_file_that_cannot_be_written_does_not_stop_the_run(system, tmp_path):
    (tmp_path / "run.h5.progress").mkdir()
    with pytest.raises(OSError):  # a folder in its place: said at the start
        run(system, (0.0, 0.1), path=tmp_path / "run.h5", progress_seconds=0.0, **OPTIONS)
    writer = ProgressWriter(tmp_path / "other.h5", system, (0.0, 1.0), 0.0)
    writer.path.unlink()
    writer.path.mkdir()
    with pytest.warns(UserWarning, match="the run goes on unwatched"):
        writer.stopped("x")
    writer.stopped("x")  # no second warning


def test_half_a_line_is_left_for_the_next_look(tmp_path):
    path = tmp_path / "run.h5"
    side = tmp_path / "run.h5.progress"
    begun = json.dumps({"start": 0.0, "until": 1.0, "neurons": 1, "process": os.getpid(), "host": socket.gethostname()})
    side.write_text(begun + '\n{"t": 0.5}\n{"t": 0.7')
    progress = Progress(path)
    assert progress.new() == [{"t": 0.5}] and progress.alive()
    with side.open("a") as file:
        file.write('5}\n{"status": 0, "message": "end"}\n')
    assert progress.new() == [{"t": 0.75}] and not progress.alive() and progress.ended["message"] == "end"
    side.write_text(begun + "\n")  # begun anew
    assert progress.new() == [] and progress.ended is None
    with side.open("a") as file:
        file.write("nonsense\n")
    with pytest.raises(DataError, match="no JSON object"):
        progress.new()


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="needs a system that tells when a process began")
def test_a_number_that_another_process_has_is_not_the_run(run, tmp_path, capsys):
    path, side = tmp_path / "run.h5", tmp_path / "run.h5.progress"
    begun = {"start": 0.0, "until": 1.0, "neurons": 1, **this_process()}
    assert begun["process_start"] > 0
    for start, alive in ((begun["process_start"], True), (None, True), (begun["process_start"] - 1, False)):
        side.write_text(json.dumps({**begun, "process_start": start}) + "\n")
        progress = Progress(path)
        progress.new()
        assert progress.alive() is alive
    assert run("watch", path) == 0 and "did not end properly" in capsys.readouterr().out


def test_watching_a_run_to_its_end(run, start, tmp_path, capsys):
    path, side = tmp_path / "run.h5", tmp_path / "run.h5.progress"
    endless = ["--until", "1e6", "--set", "run.method=rk4", "--set", "run.dt=1e-3"]
    process = start("simulate", "--preset", "cluster", *endless, "-o", path)
    process.wait_for(lambda: side.exists() and len(side.read_text().splitlines()) > 2)  # steps were made
    watcher = start("watch", path, "--json", "--every", "0.1")
    first = json.loads(watcher.stdout.readline())
    assert first["running"] and first["neurons"] == 60 and 0 < first["t"] < 1e6 and first["until"] == 1e6
    assert run("watch", path, "--once", "--json") == 0
    now = json.loads(capsys.readouterr().out)
    assert now["running"] and now["t"] >= first["t"] and 0 <= now["progress"] < 1 and now["echo_gain"] is not None
    process.stop()
    last = json.loads(watcher.communicate()[0].splitlines()[-1])
    assert watcher.returncode == 0 and not last["running"] and last["message"] == "Interrupted."
    # A run that was killed has no last line; it is told from one that goes on.
    side.write_text("".join(side.read_text().splitlines(keepends=True)[:-1]))
    assert run("watch", path, "--once") == 0
    assert "t = " in (said := capsys.readouterr().out) and f"dynsim resume {path}" in said
    assert run("watch", path) == 0


def test_what_cannot_be_watched(run, tmp_path, capsys):
    assert run("watch", tmp_path / "nowhere.h5") == 1
    assert "does not exist" in capsys.readouterr().err
    (tmp_path / "old.h5").write_bytes(b"x")
    assert run("watch", tmp_path / "old.h5") == 1
    assert "is no run that can be watched" in capsys.readouterr().err


WRONG = ["[]", '"x"', "true", "1e999", "1" * 400, "9" * 305, "{}"]
LINES = [
    '{{"process": 1, "until": {}, "start": 0}}',
    '{{"process": 1, "start": {}, "until": 1}}',
    '{{"process": 1, "neurons": {}}}',
    '{{"process": {}}}',
    '{{"process": {}, "host": "HOST"}}',
    '{{"process": 1, "host": {}}}',
    '{{"process": 1, "epochs": {}}}\n{{"epoch": 1, "validation_accuracy": 1}}',
    '{{"process": 1}}\n{{"t": {}}}',
    '{{"process": 1}}\n{{"echo_gain": {}}}',
    '{{"process": 1}}\n{{"frames": {}, "seconds": {}}}',
    '{{"process": 1, "epochs": 3}}\n{{"done": {}, "total": 2}}',
    '{{"process": 1, "epochs": 3}}\n{{"done": 1, "total": {}}}',
    '{{"process": 1, "epochs": 3}}\n{{"epoch": {}, "validation_accuracy": 3}}',
    '{{"process": 1}}\n{{"status": 0, "message": {}}}',
]


@pytest.mark.parametrize("line", LINES)
def test_lines_of_wrong_types_name_the_file(run, tmp_path, capsys, line):
    side = tmp_path / "run.h5.progress"
    for wrong in WRONG:
        if ("message" in line or '"host": {}' in line) and wrong == '"x"':
            continue
        side.write_text(line.replace("HOST", socket.gethostname()).format(wrong, wrong) + "\n")
        assert run("watch", tmp_path / "run.h5", "--once") == 1
        error = capsys.readouterr().err
        assert error.startswith(f"Error: {side} holds a line that is wrong (") and error.count("\n") == 1


@pytest.mark.parametrize("begun", ['{"process": 1, "host": "another"}', '{"process": 1, "host": "x", "epochs": 3}'])
@pytest.mark.parametrize(
    "entry", ['{"epoch": 2}', '{"total": 2}', '{"validation_accuracy": 3}', '{"t": null, "seconds": null}', "{}"]
)
def test_lines_that_lack_something_are_shown(run, tmp_path, capsys, begun, entry):
    (tmp_path / "run.h5.progress").write_text(f"{begun}\n{entry}\n")
    assert run("watch", tmp_path / "run.h5", "--once") == 0
    assert run("watch", tmp_path / "run.h5", "--once", "--json") == 0


def test_a_message_does_not_steer_the_terminal(run, tmp_path, capsys):
    ended = json.dumps({"status": 0, "message": "\x1b[2J\x07\u009bdone"})
    (tmp_path / "run.h5.progress").write_text(f'{{"process": 1}}\n{ended}\n')
    assert run("watch", tmp_path / "run.h5") == 0
    assert capsys.readouterr().out.splitlines()[-1] == " [2J  done"


@pytest.mark.parametrize("name", ["a b$.h5", "-x.h5", "--once"])
def test_the_advice_to_go_on_can_be_run(run, tmp_path, monkeypatch, capsys, name):
    monkeypatch.chdir(tmp_path)
    begun = json.dumps({"process": 2**40, "host": socket.gethostname()})
    (tmp_path / f"{name}.progress").write_text(begun + "\n")
    assert run("watch", "--", name) == 0
    words = shlex.split(capsys.readouterr().out.splitlines()[-1].partition("go on with: ")[2])
    assert words[:2] == ["dynsim", "resume"] and run(*words[1:]) == 1
    assert f"{name} does not exist" in capsys.readouterr().err


def test_resume_goes_on_with_the_same_file(run, tmp_path, capsys):
    path = tmp_path / "run.h5"
    assert run("simulate", "--preset", "pair", "--until", 0.5, "-o", path) == 0
    assert run("resume", path, "--until", 1.0) == 0
    capsys.readouterr()
    found = entries(path)
    assert [line["until"] for line in found if "process" in line] == [0.5, 1.0]
    assert run("watch", path, "--json") == 0
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert last["status"] == 0 and last["t"] == 1.0 and last["progress"] == 1.0 and last["neurons"] == 2


def test_a_progress_too_large_to_be_one_is_not_read(tmp_path):
    path = tmp_path / "run.h5.progress"
    with open(path, "wb") as file:
        file.truncate(64 * 2**20 + 1)
    with pytest.raises(DataError, match="has 67,108,865 bytes, more than 67,108,864; it is no progress of a run"):
        Progress(tmp_path / "run.h5").new()
