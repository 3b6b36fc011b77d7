"""Runs that are killed, stopped or prolonged become, bit for bit, what one run would have made."""

import json
import os
import re
import signal
import subprocess
import sys
import warnings

import h5py
import numpy as np
import pytest

from dynsim.engine import configure, solve
from dynsim.errors import DataError, FileError
from dynsim.trajectory import Trajectory, load_checkpoint, resume, run, save_checkpoint, validate

# About 1,600 steps, with all that a run does: delays, adaptive steps, all signals.
CONFIG = {
    "seed": 5,
    "signals": 2,
    "dimension": 2,
    "delay": 0.2,
    "kernel": {"softening": 0.1},
    "operators": {"A": 0.05, "B": 0.1, "C": 0.02, "D": 0.3, "F": [[-0.1, -1.0], [1.0, -0.1]], "activation": "tanh"},
    "groups": [{"neurons": 30, "drive": {"kind": "sine", "frequency": 0.3, "height": 0.1}}],
    "run": {"until": 40.0, "rtol": 1e-7},
}
KILLS = 30  # each starts Python anew
RUN = (
    "import json, sys\nfrom dynsim.engine import configure\nfrom dynsim.trajectory import run, resume\n"
    "path, config = sys.argv[1], json.loads(sys.argv[2])\noptions = dict(flush_seconds=0.02, checkpoint_seconds=0.05)\n"
    "options['stop'] = lambda: print(end='.', flush=True)\n"
    "if config is None:\n    resume(path, **options)\nelse:\n    ready = configure(config)\n"
    "    run(ready.system, ready.span, path=path, parameters={'config': ready.config}, seed=ready.seed, overwrite=True,"
    " **options, **ready.options)\n"
)


def contents(path):
    """Every number of the file but what differs between any two runs."""
    found = {}
    with h5py.File(path, "r") as file:
        file.visititems(
            lambda name, item: (
                found.update({name: item[()]}) if isinstance(item, h5py.Dataset) and "parameters" not in name else None
            )
        )
    return found


def assert_same(path, other):
    ours, theirs = contents(path), contents(other)
    assert set(ours) == set(theirs)
    for name in ours:
        assert np.array_equal(ours[name], theirs[name]), name


def complete(path, config=CONFIG, **options):
    ready = configure(config)
    parameters = {"config": ready.config}
    run(ready.system, ready.span, path=path, parameters=parameters, seed=ready.seed, **options, **ready.options)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "run.h5"
    complete(path)
    return path


def test_kills_at_random_moments(start, whole, tmp_path):
    path = tmp_path / "run.h5"

    def begin(config):
        return start(command=[sys.executable, "-c", RUN, str(path), json.dumps(config)])

    generator = np.random.default_rng(0)
    killed = opened = 0
    process = begin(CONFIG)
    while killed < KILLS:
        # After some steps, each of which writes a character, wherever it is then.
        process.stdout.read(int(generator.integers(1, 400)))
        error = process.stop(signal.SIGKILL)[1]
        assert process.returncode in (0, -signal.SIGKILL), error
        killed += 1
        with Trajectory(path) as trajectory:
            opened += trajectory.frames > 0
            if trajectory.frames:
                assert np.isfinite(trajectory.q[...]).all() and np.all(np.diff(trajectory.time[...]) > 0)
        finished = process.returncode == 0
        if finished:  # it was faster: begin again
            assert_same(path, whole)
        process = begin(CONFIG if finished else None)
    error = process.communicate()[1]
    assert process.returncode == 0, error
    assert opened >= KILLS - 2
    assert_same(path, whole)


@pytest.mark.parametrize("recording", [{}, {"every": 7}, {"frames": 57}])
@pytest.mark.parametrize("stop_at", [1, 50, 333])
def test_a_run_that_was_asked_to_stop(tmp_path, recording, stop_at):
    config = {**CONFIG, "run": {"until": 6.0, "rtol": 1e-7, **recording}}
    complete(tmp_path / "whole.h5", config)
    calls = []

    def stop():
        calls.append(1)
        return len(calls) == stop_at

    with pytest.raises(KeyboardInterrupt):
        complete(tmp_path / "run.h5", config, stop=stop)
    resume(tmp_path / "run.h5")
    assert_same(tmp_path / "run.h5", tmp_path / "whole.h5")


SIGNALS = [
    {"kind": "step", "at": 0.73},
    {"kind": "pulse", "at": 0.5, "width": 0.01},
    {"kind": "samples", "times": [0.3, 0.35, 1.0], "values": [0.0, 1.0, -0.5]},
]


@pytest.mark.parametrize("run_options", [{"method": "rk4", "dt": 0.05}, {"rtol": 1e-5, "max_step": 0.11}])
@pytest.mark.parametrize("delay", [0.0, 0.2])
def test_a_run_across_breaking_points(tmp_path, delay, run_options):
    groups = [{"name": f"g{k}", "neurons": 3, "drive": signal} for k, signal in enumerate(SIGNALS)]
    groups[0]["clamped"] = {"kind": "step", "at": 0.2}
    operators = {**CONFIG["operators"], "activation": "identity"}
    config = {**CONFIG, "delay": delay, "operators": operators, "groups": groups, "run": {"until": 1.5, **run_options}}
    complete(tmp_path / "whole.h5", config)
    with Trajectory(tmp_path / "whole.h5") as trajectory:
        times, frames = trajectory.time[:], trajectory.frames
    for at in (0.2, 0.73, 0.5, 0.3, 0.35, 1.0):
        assert abs(times - at).min() < 1e-14 and (not delay or abs(times - at - delay).min() < 1e-14)
    for stop_at in range(1, frames - 1, 3):
        calls = iter(range(1, frames))
        with pytest.raises(KeyboardInterrupt):
            complete(tmp_path / "run.h5", config, overwrite=True, stop=lambda calls=calls, k=stop_at: next(calls) == k)
        resume(tmp_path / "run.h5")
        assert_same(tmp_path / "run.h5", tmp_path / "whole.h5")
    complete(tmp_path / "run.h5", {**config, "run": {"until": 0.73, **run_options}}, overwrite=True,
             checkpoint_seconds=0.0)  # fmt: skip
    resume(tmp_path / "run.h5", until=1.5)
    assert_same(tmp_path / "run.h5", tmp_path / "whole.h5")


@pytest.mark.parametrize("run_options", [{"method": "rk4", "dt": 0.03}, {"rtol": 1e-6}, {"rtol": 1e-6, "every": 5}])
def test_a_later_end(tmp_path, run_options):
    shorter = {**CONFIG, "run": {"until": 3.05, **run_options}}
    complete(tmp_path / "whole.h5", {**CONFIG, "run": {"until": 5.0, **run_options}})
    complete(tmp_path / "run.h5", shorter, checkpoint_seconds=1000)
    resume(tmp_path / "run.h5", until=5.0)
    assert_same(tmp_path / "run.h5", tmp_path / "whole.h5")
    with Trajectory(tmp_path / "run.h5") as trajectory:
        assert trajectory.parameters["config"]["run"]["until"] == 5.0
    with pytest.raises(ValueError, match="--until"):
        resume(tmp_path / "run.h5", until=1.0)


def test_without_a_checkpoint_it_begins_anew(tmp_path, whole):
    config = {**CONFIG, "run": {"until": 1.0}}
    complete(tmp_path / "whole.h5", config)
    complete(tmp_path / "run.h5", config)
    resume(tmp_path / "run.h5")
    assert_same(tmp_path / "run.h5", tmp_path / "whole.h5")


def test_what_cannot_go_on_is_named(tmp_path):
    config = {**CONFIG, "run": {"until": 1.0}}
    ready = configure(config)
    run(ready.system, ready.span, path=tmp_path / "plain.h5", **ready.options)
    with pytest.raises(DataError, match="how it was made"):
        resume(tmp_path / "plain.h5")
    complete(tmp_path / "run.h5", config, checkpoint_seconds=1000)
    for name in ("run.h5.checkpoint", "run.h5.checkpoint.previous"):
        if (tmp_path / name).exists():
            (tmp_path / name).write_bytes(b"\x89HDF\r\n\x1a\n" + b"0" * 100)
    with pytest.raises(FileError, match="checkpoint"):
        resume(tmp_path / "run.h5", until=2.0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_with_a_checkpoint_and_130(start, tmp_path, number):
    path = tmp_path / "run.h5"
    endless = ["--until", "1e6", "--set", "run.method=rk4", "--set", "run.dt=1e-3"]
    process = start("simulate", "--preset", "cluster", *endless, "-o", path)
    side = tmp_path / "run.h5.progress"
    process.wait_for(lambda: side.exists() and len(side.read_text().splitlines()) > 2)  # steps were made
    error = process.stop(number)[1]
    assert process.returncode == 130 and f"dynsim resume {path}" in error and "Traceback" not in error
    with Trajectory(path) as trajectory:
        frames = trajectory.frames
    assert frames > 0
    resume(path, max_steps=20)
    with Trajectory(path) as trajectory:
        assert trajectory.frames > frames - 2  # the checkpoint is of the step that was stopped at


def test_the_same_file_on_any_number_of_threads(tmp_path):

    # Enough neurons that pair sums are divided among threads, of both kinds: direct and sorted.
    for kernel in ({"softening": 0.1}, {"profile": "linear", "metric": "l1", "scale": 1e-3}):
        config = {**CONFIG, "kernel": kernel, "groups": [{"neurons": 1500}], "run": {"until": 0.3, "rtol": 1e-3}}
        for threads in (1, 2, 4):
            path = tmp_path / f"{threads}.h5"
            subprocess.run(
                [sys.executable, "-c", RUN, str(path), json.dumps(config)],
                env={**os.environ, "NUMBA_NUM_THREADS": str(threads)},
                check=True,
            )
            assert_same(path, tmp_path / "1.h5")


def stop_after(count):
    calls = []
    return lambda: calls.append(1) or len(calls) == count


@pytest.fixture
def stopped(tmp_path):
    """A short run that was stopped after about 200 of its steps, and what it would have become: (path, whole)."""
    config = {**CONFIG, "run": {"until": 6.0, "rtol": 1e-7}}
    complete(tmp_path / "whole.h5", config)
    with pytest.raises(KeyboardInterrupt):
        complete(tmp_path / "run.h5", config, checkpoint_seconds=0.0, stop=stop_after(200))
    return tmp_path / "run.h5", tmp_path / "whole.h5"


def put(*keys):
    """A change of the part of a checkpoint at these keys; the last of them is the new value, or makes it of the old."""
    *way, last, value = keys

    def change(content):
        for key in way:
            content = content[key]
        if value is LEFT_OUT:
            del content[last]
        else:
            content[last] = value(content[last]) if callable(value) else value

    return change


LEFT_OUT, NAN = object(), float("nan")
CHANGES = [
    *(put("frames", value) for value in (-(10**6), NAN, "5", 1.5, None, LEFT_OUT, 5)),
    *(put("state", value) for value in (None, 5, LEFT_OUT)),
    *(put("state", "t", value) for value in (-1e6, 0.01, 1e6, NAN, "1", LEFT_OUT)),
    *(put("state", name, value) for name in ("recorded", "taken") for value in (-(10**6), NAN, "1", LEFT_OUT)),
    *(put("state", "control", name, v) for name in ("h", "last_error") for v in (NAN, 0.0, -1.0, "1", None, LEFT_OUT)),
    *(put("state", "control", "rejected", value) for value in (NAN, "yes", LEFT_OUT)),
    *(put("state", "events", "sides", value) for value in ([1], [NAN], 5, None, LEFT_OUT)),
    *(
        put("state", "memory", "steps", value)
        for value in (lambda a: 0 * a, lambda a: a[:-1], lambda a: a[0], LEFT_OUT)
    ),
    *(put("state", "memory", name, value) for name in "qE" for value in (lambda a: a[0], np.nan, "q", LEFT_OUT)),
    *(put("state", "breaks", "start", value) for value in (1e6, -1e300, NAN, "0", LEFT_OUT)),
    *(put("state", "breaks", "place", value) for value in (-1, 10**6, NAN, LEFT_OUT)),
    *(
        put("state", "breaks", "numbers", value)
        for value in (lambda a: a + 1, lambda a: a + 0.5, np.zeros(0), LEFT_OUT)
    ),
    *(put("state", "breaks", "times", value) for value in (lambda a: a + 0.1, lambda a: np.append(a, a), 5, LEFT_OUT)),
    *(put("state", "breaks", name, lambda a: a + 1e6) for name in ("sources", "ages", "pasts")),
    *(put("state", name, value) for name in ("q", "start", "method", "free") for value in ("a", LEFT_OUT)),
    *(put("state", name, None) for name in ("control", "breaks", "memory", "events")),
    put("until", NAN),
]


def test_a_checkpoint_that_no_run_can_have_written_is_refused(stopped):
    """Its digest is right, whatever it says; neither the file nor the checkpoint is touched."""
    path, _ = stopped
    checkpoint = path.with_name("run.h5.checkpoint")
    identity, before = Trajectory(path).identity, contents(path)
    for number, change in enumerate(CHANGES):
        content = load_checkpoint(checkpoint)
        original = load_checkpoint(checkpoint)
        change(content)
        save_checkpoint(checkpoint, content, run=identity)
        with pytest.raises(FileError) as raised:
            pytest.fail(f"{number}: {resume(path)}")
        assert str(raised.value).startswith(f"{checkpoint} is damaged ("), number
        save_checkpoint(checkpoint, original, run=identity)
    after = contents(path)
    assert all(np.array_equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("method", ["rk4", "dopri5"])
@pytest.mark.parametrize("delay", [0.0, 0.2])
def test_a_state_that_no_run_can_have_had_is_refused(method, delay):
    ready = configure({"groups": [{"neurons": 2}], "delay": delay, "run": {"until": 1.0}})
    options = {"method": method, **({"dt": 0.01} if method == "rk4" else {})}
    state = solve(ready.system, ready.span, **options).state
    assert solve(ready.system, (0.0, 1.5), resume=state, **options).t[-1] == 1.5
    for part, value in [("t", -1.0), ("t", NAN), ("control", {}), ("breaks", {}), ("events", {}), ("recorded", -1)]:
        with pytest.raises((ValueError, TypeError), match=r"^resume"):
            solve(ready.system, (0.0, 1.5), resume={**state, part: value}, **options)
    for name in state["control"]:
        wrong = -1 if name == "count" else NAN
        with pytest.raises((ValueError, TypeError), match=r"^resume control"):
            solve(ready.system, (0.0, 1.5), resume={**state, "control": {**state["control"], name: wrong}}, **options)
    if method == "rk4":
        with pytest.raises(ValueError, match=r"^resume control: got a step from"):
            solve(ready.system, (0.0, 1.5), resume={**state, "control": {**state["control"], "count": 5}}, **options)


# A neuron drifts towards a wall: until it is met steps grow beyond half of the span, then they are short.
WALL = {
    "seed": 1,
    "dimension": 1,
    "kernel": {"profile": "exponential", "length": 0.5},
    "operators": {"D": [[[1.0]], [[0.0]]]},
    "groups": [
        {"name": "drifting", "neurons": 1, "places": [[0.0]], "drive": 1.0},
        {"name": "wall", "neurons": 1, "places": [[60.0]], "clamped": 1.0},
    ],
    "strengths": {"wall->drifting": -1e4},
    "run": {"until": 100.0, "rtol": 1e-10, "atol": 1e-12},
}


def test_a_run_keeps_checkpoints_after_a_step_that_its_end_shortened(tmp_path):
    complete(tmp_path / "whole.h5", WALL)
    complete(tmp_path / "longer.h5", {**WALL, "run": {**WALL["run"], "until": 130.0}})
    path = tmp_path / "run.h5"
    with pytest.raises(KeyboardInterrupt):
        complete(path, WALL, checkpoint_seconds=0.0, stop=stop_after(80))
    kept = load_checkpoint(tmp_path / "run.h5.checkpoint")
    assert kept["frames"] == 81 and kept["until"] == 100.0 and not kept["state"]["free"]
    free = load_checkpoint(tmp_path / "run.h5.checkpoint.previous")
    assert free["until"] is None and free["state"]["t"] < 60.0
    for name in ("run.h5", "run.h5.checkpoint", "run.h5.checkpoint.previous"):
        (tmp_path / name.replace("run", "other")).write_bytes((tmp_path / name).read_bytes())
    resume(path)
    assert_same(path, tmp_path / "whole.h5")
    resume(tmp_path / "other.h5", 130.0)  # from the state before
    assert_same(tmp_path / "other.h5", tmp_path / "longer.h5")


def test_the_first_step_of_a_longer_run_is_its_own(tmp_path):
    group = {"neurons": 2, "places": [[1.0], [2.0]]}
    group["drive"] = {"kind": "sine", "height": 10.0, "offset": 0.001, "frequency": 0.159}
    config = {"dimension": 1, "operators": {"D": 1.0}, "strengths": 0.0, "groups": [group], "run": {"until": 3.0}}
    longer = {**config, "run": {"until": 60.0}}
    complete(tmp_path / "run.h5", config)
    resume(tmp_path / "run.h5", 60.0)
    complete(tmp_path / "whole.h5", longer)
    assert_same(tmp_path / "run.h5", tmp_path / "whole.h5")


def test_most_steps_are_counted_over_all_parts_of_a_run(tmp_path):
    config = {**CONFIG, "run": {"until": 60.0, "max_steps": 50}}
    complete(tmp_path / "whole.h5", config)
    path = tmp_path / "run.h5"
    for count in (20, 12):
        with pytest.raises(KeyboardInterrupt):
            (complete(path, config, stop=stop_after(count)) if count == 20 else resume(path, stop=stop_after(count)))
    solution = resume(path)
    assert solution.status == -1 and "max_steps = 50" in solution.message
    assert_same(path, tmp_path / "whole.h5")


@pytest.mark.parametrize("at", [0.0, 0.125, np.nextafter(0.125, 1.0), 0.2])
def test_a_terminal_event_leaves_a_sound_file(tmp_path, at):
    """Also where the run ends as it begins, or a rounding after a step."""
    system = configure(CONFIG).system

    def event(t, q):
        return t - at

    event.terminal = True
    path = tmp_path / "run.h5"
    solution = run(system, (0.0, 1.0), path=path, method="rk4", dt=0.125, events=event)
    assert solution.status == 1 and solution.t[-1] == pytest.approx(at, abs=1e-15)
    with Trajectory(path) as trajectory:
        assert np.array_equal(trajectory.time, np.unique(trajectory.time)) and trajectory.time[-1] == solution.t[-1]
        assert trajectory.frames == len({0.0, *(0.125 * np.arange(2) * (at > 0.125)), solution.t[-1]})
    assert validate(path) == []


def damage(path, name, frame):
    with h5py.File(path) as file:
        data = file[f"particles/native/{name}/value"]
        start = data.id.get_chunk_info_by_coord((frame, 0, 0)).byte_offset
    raw = bytearray(path.read_bytes())
    raw[start + 100] ^= 1
    path.write_bytes(raw)


@pytest.mark.parametrize("name", ["position", "emitted_signal"])
def test_a_damaged_end_is_made_again(stopped, name):
    path, whole = stopped
    damage(path, name, 192)
    with pytest.warns(UserWarning, match="frames 192 to 200 are damaged"):
        resume(path)
    assert_same(path, whole)


def test_of_two_checkpoints_the_one_before_the_damage_is_used(tmp_path):
    config = {**CONFIG, "run": {"until": 6.0, "rtol": 1e-7}}
    complete(tmp_path / "whole.h5", config)
    path = tmp_path / "run.h5"
    with pytest.raises(KeyboardInterrupt):
        complete(path, config, stop=stop_after(190))
    with pytest.raises(KeyboardInterrupt):
        resume(path, checkpoint_seconds=1000.0, stop=stop_after(10))
    damage(path, "position", 192)
    first = []
    with pytest.warns(UserWarning, match="are damaged"):
        resume(path, checkpoint_seconds=1000.0, sink=lambda t, *_: first.append(t))
    assert_same(path, tmp_path / "whole.h5")
    with Trajectory(path) as trajectory:
        assert first[0] == trajectory.time[191]  # it did not begin anew


def lose(path):
    path.unlink()


def cut(path):
    path.write_bytes(path.read_bytes()[:3000])


def empty(path):
    path.write_bytes(b"")


def unreadable(path):
    raw = bytearray(path.read_bytes())
    raw[100:700] = bytes(600)
    path.write_bytes(raw)


def undescribed(path):
    with h5py.File(path, "r+") as file:
        file["parameters/configuration"][()] = "{}"


@pytest.mark.parametrize("how", [lose, cut, empty, unreadable, undescribed])
def test_a_lost_file_is_made_again_from_its_checkpoint(stopped, how):
    path, whole = stopped
    how(path)
    with pytest.warns(UserWarning, match="The run begins anew, as its checkpoint says how it was made"):
        resume(path)
    assert_same(path, whole)
    with Trajectory(path) as trajectory, Trajectory(whole) as expected:
        assert trajectory.parameters == expected.parameters and trajectory.seed == expected.seed


def test_a_file_in_which_hdf5_does_not_find_its_way_is_made_again(tmp_path):
    """Each of the nodes in which HDF5 lists what is in a group in turn."""
    config = {**CONFIG, "run": {"until": 0.2}}
    path, whole = tmp_path / "run.h5", tmp_path / "whole.h5"
    complete(whole, config)
    again = 0
    for number in range(whole.read_bytes().count(b"SNOD")):
        with pytest.raises(KeyboardInterrupt):
            complete(path, config, checkpoint_seconds=0.0, overwrite=True, stop=stop_after(4))
        raw = path.read_bytes()
        node = [place.start() for place in re.finditer(b"SNOD", raw)][number]
        path.write_bytes(raw[:node] + b"XNOD" + raw[node + 4 :])
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            resume(path)
        again += any("The run begins anew" in str(warning.message) for warning in said)
        with Trajectory(path) as trajectory, Trajectory(whole) as expected:
            assert all(np.array_equal(getattr(trajectory, x)[...], getattr(expected, x)[...]) for x in "qRE")
    assert again > 3  # the others list what no reader asks for


def test_the_command_makes_a_lost_file_again(stopped):
    path, whole = stopped
    path.unlink()
    done = subprocess.run([sys.executable, "-m", "dynsim", "resume", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stderr.count("begins anew") == 1 and "Warning: " in done.stderr
    assert_same(path, whole)


def test_a_lost_file_without_checkpoint_is_lost(stopped):
    path, _ = stopped
    for name in ("run.h5", "run.h5.checkpoint", "run.h5.checkpoint.previous"):
        path.with_name(name).unlink()
    with pytest.raises(FileNotFoundError, match=r"run\.h5 does not exist"):
        resume(path)
    path.write_text("places\n1 2\n")  # and a file of another program is not replaced
    with pytest.raises(DataError, match="not an HDF5 file"):
        resume(path)
    assert path.read_text() == "places\n1 2\n"


def test_begun_anew_it_keeps_its_type_and_its_later_end(tmp_path):
    config = {**CONFIG, "run": {"until": 1.0}}
    complete(tmp_path / "run.h5", config, dtype="float32")
    resume(tmp_path / "run.h5", until=1.5)
    with Trajectory(tmp_path / "run.h5") as trajectory:
        assert trajectory.q.dtype == np.float32 and trajectory.parameters["config"]["run"]["until"] == 1.5
        assert trajectory.time[-1] == 1.5


# Several delays, and a finite speed.
LATE = {
    "seed": 5,
    "dimension": 2,
    "kernel": {"softening": 0.3},
    "operators": {"A": 0.05, "B": [[0.1, 0.0]], "D": [[0.3], [-0.2]], "F": [[-0.1, -1.0], [1.0, -0.1]]},
    "groups": [{"name": "in", "neurons": 5, "drive": 0.1}, {"name": "out", "neurons": 4}],
    "run": {"until": 6.0, "method": "rk4", "dt": 0.02},
}
SEVERAL = {"in->out": 0.5, "out->in": 0.3, "in->in": 0.3}  # out->out at once
# Of a neutral equation the jump at the start goes on for ever, and arrives at every pair at a time of its own.
RETARDED = {"operators": {**LATE["operators"], "A": 0.0}}
KINDS = {"several": {"delay": SEVERAL}, "speed": {"speed": 8.0, "delay": 0.1, **RETARDED}}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("run_options", [{"method": "rk4", "dt": 0.02}, {"rtol": 1e-7}])
def test_late_signals_that_were_asked_to_stop(kind, run_options, tmp_path):
    config = {**LATE, **KINDS[kind], "run": {"until": 2.0, **run_options}}
    complete(tmp_path / "whole.h5", config)
    for stop_at in (1, 17, 40):
        calls = iter(range(1, 10_000))
        with pytest.raises(KeyboardInterrupt):
            complete(tmp_path / "run.h5", config, overwrite=True, stop=lambda calls=calls, k=stop_at: next(calls) == k)
        resume(tmp_path / "run.h5")
        assert_same(tmp_path / "run.h5", tmp_path / "whole.h5")


@pytest.mark.parametrize("kind", KINDS)
def test_late_signals_that_are_killed(kind, start, tmp_path):
    config, path = {**LATE, **KINDS[kind]}, tmp_path / "run.h5"
    complete(tmp_path / "whole.h5", config)
    told = config
    for steps in (40, 90, 60):
        process = start(command=[sys.executable, "-c", RUN, str(path), json.dumps(told)])
        process.stdout.read(steps)  # a character each
        error = process.stop(signal.SIGKILL)[1]
        assert process.returncode in (0, -signal.SIGKILL), error
        told = None
    resume(path)
    assert_same(path, tmp_path / "whole.h5")


@pytest.mark.parametrize("kind", KINDS)
def test_breaking_points_that_no_run_can_have_had_are_refused(kind, tmp_path):
    path, calls = tmp_path / "run.h5", iter(range(1, 10_000))
    with pytest.raises(KeyboardInterrupt):
        complete(path, {**LATE, **KINDS[kind]}, stop=lambda: next(calls) == 60)
    checkpoint = path.with_name("run.h5.checkpoint")
    identity = Trajectory(path).identity
    breaks = load_checkpoint(checkpoint)["state"]["breaks"]
    for name in breaks:
        for value in (np.nan, "text", None, breaks[name] - 1e6):
            content = load_checkpoint(checkpoint)
            content["state"]["breaks"][name] = value
            if kind == "speed" and name in ("start", "since") and isinstance(value, float) and value == value:
                continue  # an earlier start is one that a run can have had
            save_checkpoint(checkpoint, content, run=identity)
            with pytest.raises(FileError, match="is damaged"):
                resume(path)
