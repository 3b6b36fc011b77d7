"""An output that is refused stays as it was, and a checkpoint belongs to its run."""

import shutil
import subprocess
import sys
import threading

import h5py
import numpy as np
import pytest

import dynsim
from dynsim.engine import configure
from dynsim.errors import DataError
from dynsim.trajectory import Trajectory, TrajectoryWriter, load_checkpoint, resume, run, save_checkpoint, to_extxyz

CONFIG = {
    "dimension": 2,
    "signals": 2,
    "kernel": {"softening": 0.1},
    "operators": {"A": 0.05, "D": 0.3, "F": -0.1},
    "groups": [{"neurons": 5}],
    "run": {"until": 1.0, "method": "rk4", "dt": 0.01},
}
HOLD = "import sys, h5py\nfile = h5py.File(sys.argv[1], sys.argv[2])\nprint('open', flush=True)\nsys.stdin.read()"
SIDES = ("", ".checkpoint", ".checkpoint.previous", ".progress")


def start(path, seed=0, **options):
    ready = configure({**CONFIG, "seed": seed})
    options = {"checkpoint_seconds": 0.0, "progress_seconds": 0.0, **options, **ready.options}
    return run(ready.system, ready.span, path=path, parameters={"config": ready.config}, seed=ready.seed, **options)


def stop_after(count):
    calls = []
    return lambda: calls.append(1) or len(calls) == count


def contents(path):
    return {side: path.with_name(path.name + side).read_bytes() for side in SIDES}


def places(path):
    with Trajectory(path) as trajectory:
        return trajectory.q[...]


@pytest.fixture
def stopped(tmp_path):
    """A run of seed 0 that was stopped half way, with checkpoints and progress."""
    path = tmp_path / "two.h5"
    with pytest.raises(KeyboardInterrupt):
        start(path, stop=stop_after(50))
    return path


@pytest.mark.parametrize("mode", ["r", "r+"])
def test_a_file_that_another_program_has_open_is_not_overwritten(stopped, mode):
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, stopped, mode], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "open\n"
        before = contents(stopped)
        simulate = ["simulate", "--preset", "pair", "--until", "1", "-o", stopped, "--overwrite"]
        done = subprocess.run([sys.executable, "-m", "dynsim", *simulate], capture_output=True, text=True, check=False)
        with pytest.raises(OSError, match="is open"):
            TrajectoryWriter(stopped, neurons=1, dimension=1, overwrite=True)
        assert contents(stopped) == before
        other.communicate()
    assert done.returncode == 1 and done.stderr.splitlines()[-1].startswith(f"Error: {stopped} is open, in another")
    assert len(list(stopped.parent.iterdir())) == 4


@pytest.mark.parametrize(
    "options",
    [
        {"method": "rk4"},
        {"method": "no"},
        {"rtol": -1.0},
        {"max_steps": 0},
        {"seed": -1},
        {"dtype": "int8"},
        {"buffer": 0},
        {"checkpoint_seconds": "often"},
        {"progress_seconds": -1},
        {"parameters": {"f": object()}},
        {"provenance": 3},
        {"span": (1.0, 0.0)},
        {"backend": "abacus"},
        {"stop": 3},
    ],
)
def test_what_is_refused_is_refused_before_anything_is_touched(stopped, options):
    before = contents(stopped)
    span = options.pop("span", (0.0, 1.0))
    with pytest.raises((TypeError, ValueError)):
        run(dynsim.System(np.eye(2)), span, path=stopped, overwrite=True, **options)
    assert contents(stopped) == before


def test_a_late_first_frame_is_no_late_claim(tmp_path):
    path, seen = tmp_path / "run.h5", []
    ready = configure(CONFIG)
    options = {"method": "rk4", "dt": 0.01, "t_eval": [0.9], "callback": lambda t, q: seen.append(path.exists())}
    run(ready.system, ready.span, path=path, checkpoint_seconds=1000, **options)
    assert all(seen[1:]) and Trajectory(path).time.tolist() == [0.9]


def test_checkpoints_carry_the_identity_of_their_run(stopped):
    with Trajectory(stopped) as trajectory, h5py.File(f"{stopped}.checkpoint") as checkpoint:
        assert len(trajectory.identity) == 32 and checkpoint.attrs["run"] == trajectory.identity
        identity = trajectory.identity
    assert load_checkpoint(f"{stopped}.checkpoint", run=identity)["frames"] == 51
    resume(stopped)
    with Trajectory(stopped) as trajectory:
        assert trajectory.identity == identity


def test_a_new_run_removes_the_checkpoints_of_an_earlier_one(stopped):
    stopped.unlink()
    with pytest.raises(KeyboardInterrupt):
        start(stopped, seed=1, stop=stop_after(30), checkpoint_seconds=None)
    stopped.with_name("two.h5.checkpoint").unlink()  # killed before its first checkpoint
    assert not stopped.with_name("two.h5.checkpoint.previous").exists()
    resume(stopped)
    start(stopped.with_name("whole.h5"), seed=1)
    assert np.array_equal(places(stopped), places(stopped.with_name("whole.h5")))


def test_a_checkpoint_of_another_run_is_refused(stopped, tmp_path):
    other = tmp_path / "other.h5"
    with pytest.raises(KeyboardInterrupt):
        start(other, seed=1, stop=stop_after(20))
    shutil.copy(other, stopped)
    before = contents(stopped)
    with pytest.raises(DataError, match=r"two\.h5\.checkpoint: got a checkpoint of another run; expected"):
        resume(stopped)
    assert contents(stopped) == before
    command = [sys.executable, "-m", "dynsim", "resume", stopped]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "checkpoint of another run" in done.stderr and "Traceback" not in done.stderr
    for side in SIDES[1:3]:  # with its own it goes on
        shutil.copy(f"{other}{side}", f"{stopped}{side}")
    resume(stopped)
    start(tmp_path / "whole.h5", seed=1)
    assert np.array_equal(places(stopped), places(tmp_path / "whole.h5"))


def test_the_file_of_another_run_is_not_appended_to(stopped):
    before = contents(stopped)
    with pytest.raises(DataError, match="got the file of another run"):
        TrajectoryWriter.append(stopped, after_step=0, run="0" * 32)
    assert contents(stopped) == before


def test_of_two_checkpoints_the_one_of_the_run_is_used(tmp_path):
    path = tmp_path / "run.checkpoint"
    save_checkpoint(path, {"step": 1}, run="mine")
    save_checkpoint(path, {"step": 2}, run="theirs")
    assert load_checkpoint(path, run="mine") == {"step": 1} and load_checkpoint(path) == {"step": 2}
    with pytest.raises(DataError, match=r"checkpoint: got.*previous: got"):
        load_checkpoint(path, run="nobody's")


def test_a_run_whose_file_lost_frames_begins_anew(stopped):
    TrajectoryWriter.append(stopped, after_step=10).close()
    resume(stopped)
    start(stopped.with_name("whole.h5"))
    assert np.array_equal(places(stopped), places(stopped.with_name("whole.h5")))


def test_two_exports_do_not_mix(stopped, tmp_path):
    start(tmp_path / "long.h5", seed=1)
    expected = []
    for source in (stopped, tmp_path / "long.h5"):
        to_extxyz(source, tmp_path / "alone.xyz", overwrite=True)
        expected.append((tmp_path / "alone.xyz").read_bytes())
    barrier = threading.Barrier(2)

    def export(source):
        to_extxyz(source, tmp_path / "both.xyz", overwrite=True, progress=lambda done, total: done < 40 and wait())

    def wait():
        barrier.wait(60)
        return False

    threads = [threading.Thread(target=export, args=(source,)) for source in (stopped, tmp_path / "long.h5")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "both.xyz").read_bytes() in expected
    assert not [entry for entry in tmp_path.iterdir() if entry.name.startswith(".")]


def test_an_export_that_is_stopped_is_shorter(stopped, tmp_path):
    assert to_extxyz(stopped, tmp_path / "a.xyz", progress=lambda done, total: done == 3) == 3
    assert (tmp_path / "a.xyz").read_text().count("Properties") == 3
