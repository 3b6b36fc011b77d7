"""A run that is interrupted at random, in random ways, again and again, is the run that was not."""

import h5py
import numpy as np
import pytest

from dynsim.engine import EvenTimes, EveryStep, LastOnly, Operators, System, Times, configure, solve
from dynsim.kernels import Kernel
from dynsim.trajectory import resume, run

METHODS = [
    {"method": "rk4", "dt": 0.0625}, {"method": "rk4", "dt": 0.1}, {"method": "heun", "dt": 0.07}, {"method": "dopri5"},
    {"method": "bs32", "rtol": 1e-4}, {"method": "tsit5"},
]  # fmt: skip
END = 3.0
# Of neurons with mass and of those without it; with noise where the method has it.
HEAVY = [
    {"method": "verlet", "dt": 0.0625}, {"method": "baoab", "dt": 0.1}, {"method": "dopri5"},
    {"method": "heun", "dt": 0.07}, {"method": "baoab", "dt": 0.0625},
]  # fmt: skip
LIGHT = [{"method": "euler_maruyama", "dt": 0.0625}, {"method": "sra1", "dt": 0.1}, {"method": "sra1", "dt": 0.07}]
MOVED = [(options, True) for options in HEAVY] + [(options, False) for options in LIGHT]
NOISY = ("baoab", "euler_maruyama", "sra1")


def random_inertia(generator, options, heavy):
    """Mass, friction and temperature of four neurons in two groups; velocities at the start."""
    found = {"friction": generator.uniform(0.5, 2.0, [4, 2][generator.integers(2)])}
    if heavy:
        found["mass"] = generator.uniform(0.5, 2.0, [4, 2][generator.integers(2)])
        found["velocity"] = generator.standard_normal((4, 2))
    if options["method"] in NOISY:
        found["temperature"] = [0.3, ([0.0, 1.0, 2.5], [0.5, 0.0, 0.2])][generator.integers(2)]
    return found


def random_system(generator):
    operators = Operators(
        A=0.2, B=generator.standard_normal((1, 2)), D=0.3 * generator.standard_normal((2, 1)),
        F=[[-0.1, -2.0], [2.0, -0.1]], activation=str(generator.choice(["identity", "tanh"])),
    )  # fmt: skip
    drive = [None, 0.3, lambda t: np.sin(3 * t)][generator.integers(3)]
    delay = float(generator.choice([0.0, 0.25, 0.37]))
    return System(
        generator.uniform(-1, 1, (4, 2)), kernel=Kernel("gaussian"), operators=operators, delay=delay, drive=drive
    )


RECORDS = [EveryStep(), EveryStep(3), Times(EvenTimes(0.0, END, 31))]


@pytest.mark.parametrize("seed", range(24))
def test_states_of_any_kind_of_interruption(seed):
    """Steps counted, callbacks, checkpoints and terminal events end the parts of a run."""
    generator = np.random.default_rng(seed)
    system, options = random_system(generator), METHODS[seed % len(METHODS)]
    expect_the_whole_run(generator, system, options, RECORDS[seed // len(METHODS) % 3])


@pytest.mark.parametrize("seed", range(24))
def test_states_of_neurons_with_mass_friction_and_noise(seed):
    generator = np.random.default_rng(300 + seed)
    options, heavy = MOVED[seed % len(MOVED)]
    system = random_system(generator).replace(groups=[0, 1, 1, 0], **random_inertia(generator, options, heavy))
    expect_the_whole_run(generator, system, {**options, "seed": 11 + seed}, RECORDS[seed // len(MOVED) % 3])


def expect_the_whole_run(generator, system, options, record):
    """Interrupt a run at random until it has ended; what it recorded is what one run records."""

    def events(terminal):
        def first(t, q):
            return q[0, 0]

        def second(t, q):
            return q[1, 1] - q[2, 1]

        first.terminal = terminal
        return [first, second]

    whole = solve(system, (0.0, END), events=events(False), record=record, **options)
    state, frames, found, ended = None, [], [[], []], False
    while not ended:
        kind = generator.choice(["steps", "callback", "checkpoint", "event"])
        number, states, seen = int(generator.integers(1, 12)), [], []
        more = {"record": record}
        if isinstance(record, Times):
            more["record"] = Times(record.times[len(frames) :])
        if kind == "steps":
            more["max_steps"] = number
        elif kind == "callback":
            more["callback"] = lambda t, q, seen=seen, number=number: seen.append(t) or len(seen) == number
        elif kind == "checkpoint":
            more["checkpoint"] = lambda t, state, bound, states=states: states.append(state())
        if state is not None and "seed" in options:
            more["seed"] = 0  # that of the state is meant
        part = solve(system, (0.0, END), events=events(kind == "event"), resume=state, **{**options, **more})
        ended = part.status == 0 or part.state["t"] == END
        names = ["t", "q", "R", "E"] + ["velocity"] * (part.velocity is not None)
        taken = list(zip(*(getattr(part, name) for name in names), strict=True))
        state, upto = part.state, np.inf
        if kind == "checkpoint" and len(states) > number + 1:  # killed later than that
            state, ended = states[number], False
            upto = state["t"]
        elif not ended and not isinstance(record, Times):
            # The frame at the end of a part is there in the whole run if it was due.
            due = isinstance(record, EveryStep) and state["recorded"] % record.n == 0 and state["t"] == part.t[-1]
            taken = taken if due else taken[:-1]
        frames += [frame for frame in taken if frame[0] <= upto]
        for k in (0, 1):
            found[k] += [time for time in part.t_events[k].tolist() if time <= upto]
    for ours, name in zip(zip(*frames, strict=True), names, strict=True):
        assert np.array_equal(np.array(ours), getattr(whole, name)), name
    assert found == [times.tolist() for times in whole.t_events]


def assert_same(path, other):
    """The same numbers in both files, but for what is said of the run."""
    with h5py.File(path, "r") as ours, h5py.File(other, "r") as theirs:
        names = []
        theirs.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
        for name in names:
            if "parameters" not in name:
                assert np.array_equal(ours[name][()], theirs[name][()]), name


CONFIG = {
    "seed": 3,
    "dimension": 2,
    "kernel": {"softening": 0.1},
    "operators": {
        "A": 0.05,
        "D": [[0.3], [0.1]],
        "F": [[-0.1, -2.0], [2.0, -0.1]],
        "B": [[0.1, 0.2]],
        "activation": "tanh",
    },
    "groups": [{"neurons": 5, "drive": {"kind": "sine", "frequency": 0.5}}],
}


def simulate(path, config, **options):
    ready = configure(config)
    run(ready.system, ready.span, path=path, parameters={"config": ready.config}, **options, **ready.options)


@pytest.mark.parametrize("seed", range(16))
def test_files_that_are_stopped_and_prolonged_at_random(tmp_path, seed):
    expect_the_whole_file(tmp_path, np.random.default_rng(100 + seed), seed, METHODS[seed % len(METHODS)], {})


@pytest.mark.parametrize("seed", range(16))
def test_files_of_neurons_with_mass_friction_and_noise(tmp_path, seed):
    generator, (method, heavy) = np.random.default_rng(400 + seed), MOVED[seed % len(MOVED)]
    inertia = {"friction": float(generator.uniform(0.5, 2.0))}
    if heavy:
        inertia["mass"] = generator.uniform(0.5, 2.0, 5).tolist()
    if method["method"] in NOISY:
        falling = {"times": [0.0, 2.0], "values": [0.5, 0.0]}
        inertia["temperature"] = [0.3, falling][generator.integers(2)]
    expect_the_whole_file(tmp_path, generator, seed, method, inertia)
    with h5py.File(tmp_path / "run.h5") as file:
        assert ("velocity" in file["particles/native"]) == heavy


def expect_the_whole_file(tmp_path, generator, seed, method, inertia):
    """Stop a run into a file at random, go on with it and prolong it: the file is that of one run."""
    delay = float(generator.choice([0.0, 0.2, 0.3]))
    recording = [{}, {"every": 3}, {"frames": 6}, {"frames": 13}][seed // 2 % 4]
    if "frames" in recording:  # distances 0.1 and 1 / 24
        ends = [0.5, 1.0, 1.5, 2.5, 4.0]
    else:
        # Anywhere, at a delay's end, and on the grid of fixed steps.
        grid = 8 * method.get("dt", 0.8)
        ends = sorted({0.5, 0.9, 2.7, max(grid, 0.5), *map(float, generator.uniform(0.5, 4.0, 3))})

    def config(until, frames=None):
        more = {"frames": frames} if frames else recording
        return {**CONFIG, **inertia, "delay": delay, "run": {"until": until, **method, **more}}

    path, whole = tmp_path / "run.h5", tmp_path / "whole.h5"
    calls, stop_at = [], int(generator.integers(1, 60))

    def stop():
        calls.append(1)
        return len(calls) % stop_at == 0 and len(calls) <= 6 * stop_at

    last, begun = ends[-1], False
    for end in ends:
        while True:
            seconds = float(generator.choice([0.0, 1000.0]))
            try:
                if begun:
                    resume(path, until=end, checkpoint_seconds=seconds, stop=stop)
                else:
                    begun = True
                    simulate(path, config(end), checkpoint_seconds=seconds, stop=stop)
            except KeyboardInterrupt:
                continue
            except ValueError as error:
                assert "give a later end" in str(error)  # stopped at its very end
            break
    frames = None
    if "frames" in recording:
        frames = EvenTimes(0.0, ends[0], recording["frames"]).reaching(last)
    simulate(whole, config(last, frames))
    assert_same(path, whole)


def test_an_end_that_no_run_would_have_made_is_refused(tmp_path):
    path = tmp_path / "run.h5"
    simulate(path, {**CONFIG, "run": {"until": 1.0, "frames": 11}}, checkpoint_seconds=0.0)
    with pytest.raises(ValueError, match=r"--until: got 0\.75; expected at least 1\.0"):
        resume(path, until=0.75)
    with pytest.raises(ValueError, match=r"evenly spaced frames meet, such as 1\.3"):
        resume(path, until=1.25)
    resume(path, until=1.3)
    simulate(tmp_path / "whole.h5", {**CONFIG, "run": {"until": 1.3, "frames": 14}})
    assert_same(path, tmp_path / "whole.h5")


def test_evenly_spaced_times_take_no_memory():
    times = EvenTimes(0.0, 1e9, 2_000_000_001)
    assert len(times) == 2_000_000_001 and times[-1] == 1e9 and times[1] == 0.5 and times[3:][2] == 2.5
    assert configure({**CONFIG, "run": {"until": 1.0, "frames": 2_000_000_000}}).span == (0.0, 1.0)
    tenths = EvenTimes(0.0, 0.3, 4)
    assert list(tenths) == [0.0, 0.1, 0.2, 0.3] and list(EvenTimes(0.0, 0.7, 8))[:4] == list(tenths)
    assert tenths.reaching(0.7) == 8 and tenths.reaching(0.75) is None
    with pytest.raises(ValueError, match="number of times"):
        EvenTimes(1.0, 1.0 + 1e-15, 100)
    assert solve(System([[0.0]]), (0.0, 0.3), record=Times(tenths)).t.tolist() == [0.0, 0.1, 0.2, 0.3]
    assert solve(System([[0.0]]), (0.0, 0.3), record=LastOnly()).t.tolist() == [0.3]
