"""Systems do not change; systems and solutions can be copied, pickled and sent to other processes."""

import copy
import pickle
import subprocess
import sys

import numpy as np
import pytest

from dynsim.engine import Operators, System, solve
from dynsim.kernels import Kernel

Q = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])


def slowly(t):
    return 0.1 * t


def full(**changes):
    arguments = {
        "kernel": Kernel("gaussian"), "operators": Operators(A=0.3, D=np.ones((2, 1)), activation="tanh"),
        "delay": 0.25, "groups": [0, 1, 1], "strengths": [[0.5, 1.0], [1.0, 0.5]], "drive": 0.1,
        "clamped": {0: ([0.0, 1.0], [[[0.0]], [[1.0]]])}, "signals": 1,
    }  # fmt: skip
    return System(**{"q": Q, **arguments, **changes})


def same(first, second):
    return all(np.array_equal(getattr(first, name), getattr(second, name)) for name in ("t", "q", "R", "E"))


@pytest.mark.parametrize(
    "name",
    ["q", "kernel", "operators", "delay", "groups", "strengths", "drive", "clamped", "signals", "neurons", "backend"],
)
def test_a_system_does_not_change(name):
    system = full()
    with pytest.raises(AttributeError, match=rf"system.{name}: .*does not change; .*system.replace"):
        setattr(system, name, getattr(system, name))
    with pytest.raises(AttributeError, match="does not change"):
        delattr(system, name)


def test_misspelt_attributes_are_named():
    with pytest.raises(AttributeError, match="perhaps 'delay' is meant"):
        full().dealy = 1.0
    with pytest.raises(ValueError, match="did you mean 'delay'"):
        full().replace(dealy=1.0)


def test_arrays_of_a_system_cannot_be_written_to():
    system = full(drive=np.ones((3, 1)))
    for array in (
        system.q, system.groups, system.strengths, system.drive, *system.clamped[0], system.operators.D,
        pickle.loads(pickle.dumps(system.operators)).D, copy.deepcopy(system).drive,
    ):  # fmt: skip
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 7.0
    with pytest.raises(TypeError):
        system.clamped[0] = 3.0


@pytest.mark.parametrize(
    "change",
    [
        {"delay": 0.0, "clamped": None}, {"delay": 0.5}, {"q": 2 * Q}, {"drive": slowly}, {"clamped": None},
        {"operators": Operators(A=0.1, D=np.ones((2, 1)))}, {"strengths": None}, {"groups": [0, 0, 1], "clamped": None},
        {"kernel": Kernel("linear")}, {"signals": None}, {"backend": "numba"},
    ],
)  # fmt: skip
def test_a_replaced_argument_makes_the_system_that_has_it(change):
    options = {"method": "rk4", "dt": 0.125}
    first, second = (solve(system, (0.0, 0.5), **options) for system in (full().replace(**change), full(**change)))
    assert same(first, second)


@pytest.mark.parametrize("form", [np.asarray, list, tuple])
@pytest.mark.parametrize("where", ["q", "drive", "sampled", "clamped", "sampled clamp", "operators", "strengths"])
def test_a_buffer_that_is_used_again_belongs_to_nobody(where, form):
    def made(one, three):
        """A system of a number, as an array (1, 1) and (3, 1) or lists and tuples of such rows."""
        times = form(np.array([0.0, 1.0]))
        arguments = {
            "q": {"q": three, "drive": 1.0},
            "drive": {"drive": three},
            "sampled": {"drive": (times, form([three, three]))},
            "clamped": {"clamped": {0: one}},
            "sampled clamp": {"clamped": {0: (times, form([one, one]))}},
            "operators": {"operators": Operators(A=one, D=1.0), "drive": 1.0},
            "strengths": {"strengths": one, "drive": 1.0, "groups": None},
        }[where]
        q = np.arange(3.0)[:, None]
        first = {"q": q, "kernel": Kernel("gaussian"), "operators": Operators(A=0.5, D=1.0), "groups": [0, 1, 1]}
        return System(**{**first, "delay": 0.1, **arguments})

    one, three, kept = np.zeros((1, 1)), np.zeros((3, 1)), []
    for value in (0.0, 1.0, 2.0):
        one[...] = three[...] = value
        kept.append(made(form(one), form(three)))
    one[...] = three[...] = 9.0
    options = {"method": "euler", "dt": 0.1}
    found = [solve(system, (0.0, 0.3), **options) for system in kept]
    for value, solution in zip((0.0, 1.0, 2.0), found, strict=True):
        alone = made(form(np.full((1, 1), value)), form(np.full((3, 1), value)))
        assert same(solution, solve(alone, (0.0, 0.3), **options))
    assert not np.array_equal(found[0].q, found[1].q) and not np.array_equal(found[1].q, found[2].q)


MASKED = np.ma.array(Q, mask=[[0, 0], [0, 1], [0, 0]])


@pytest.mark.parametrize(
    "arguments",
    [
        {"q": MASKED}, {"q": [MASKED, MASKED]}, {"drive": np.ma.array([1.0], mask=[1])},
        {"operators": lambda: Operators(F=np.ma.array(np.eye(2), mask=np.eye(2)))},
        {"groups": [0, 1, 1], "clamped": {1: np.ma.array([[1.0], [2.0]], mask=[[0], [1]])}},
        {"drive": ([0.0, 1.0], np.ma.masked_greater(np.ones((2, 3, 1)), 0.5))}, {"delay": np.ma.masked},
        {"drive": [0.0, np.ma.masked, 1.0]},
    ],
)  # fmt: skip
def test_masked_entries_are_refused(arguments):
    with pytest.raises((ValueError, TypeError), match="masked"):
        System(**{"q": Q, **{name: value() if callable(value) else value for name, value in arguments.items()}})


def test_a_mask_that_hides_nothing_is_no_matter():
    assert np.array_equal(System(np.ma.array(Q)).q, Q)


@pytest.mark.parametrize(
    ("changes", "options"),
    [
        ({}, {}),
        ({"drive": slowly}, {"history": lambda t: Q}),
        ({"delay": 0.0, "clamped": None}, {}),
        ({"delay": 0.0, "operators": Operators(A=0.2, D=np.ones((2, 1))), "drive": slowly}, {}),
    ],
)
def test_systems_and_dense_solutions_can_be_pickled_and_copied(changes, options):
    system = full(**changes)
    solution = solve(system, (0.0, 1.0), dense_output=True, **options)
    for copied in (lambda x: pickle.loads(pickle.dumps(x)), copy.deepcopy, copy.copy):
        assert same(solve(copied(system), (0.0, 1.0), **options), solution)
        other = copied(solution)
        assert same(other, solution) and other.echo_gain == solution.echo_gain and other.message == solution.message
        times = np.linspace(0.0, 1.0, 7)
        assert np.array_equal(other.sol(times), solution.sol(times))
        assert np.array_equal(other.sol.emitted(0.3), solution.sol.emitted(0.3))
        if system.delay:  # as the history of a run in another process
            later = system.replace(q=solution.q[-1])
            first, second = (solve(later, (1.0, 1.5), history=history) for history in (solution, other))
            assert same(first, second)


POOL = """
import multiprocessing, sys
import numpy as np
import dynsim

def drive(t):
    return 0.1 * t

def run(system):
    return dynsim.solve(system, (0.0, 0.2), method="euler", dt=0.1, dense_output=True)

if __name__ == "__main__":
    method, neurons = sys.argv[1], int(sys.argv[2])
    q = np.random.default_rng(0).uniform(size=(neurons, 3))
    operators = dynsim.Operators(B=np.ones((1, 3)), D=np.ones((3, 1)))
    system = dynsim.System(q, operators=operators, delay=0.1, drive=drive if neurons > 3 else 0.1)
    here = run(system)
    with multiprocessing.get_context(method).Pool(1) as pool:
        try:
            there = pool.map(run, [system])[0]
        except RuntimeError as error:
            sys.exit(f"RuntimeError: {error}")
    assert np.array_equal(here.q, there.q) and np.array_equal(here.sol(0.15), there.sol(0.15))
    print("same")
"""


def pool(tmp_path, method, neurons):
    script = tmp_path / "pool.py"
    script.write_text(POOL)
    command = [sys.executable, "-W", "ignore", str(script), method, str(neurons)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("neurons", [3, 400])
def test_a_pool_of_spawned_processes(tmp_path, neurons):
    done = pool(tmp_path, "spawn", neurons)
    assert done.returncode == 0 and done.stdout.strip() == "same", done.stderr


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="GNU OpenMP is of Linux")
@pytest.mark.parametrize("neurons", [3, 400])
def test_a_forked_pool_computes_or_names_spawn(tmp_path, neurons):
    # Sums over 400 neurons run in parallel, and then a copy of the process has no threads.
    done = pool(tmp_path, "fork", neurons)
    if done.returncode == 0:
        assert done.stdout.strip() == "same"
    else:
        assert neurons == 400 and done.stderr.count("\n") == 1
        assert done.stderr.startswith("RuntimeError: parallel loops: got a process that was forked")
        assert "multiprocessing.get_context('spawn')" in done.stderr


def test_times_that_mean_the_same_are_taken():
    system = System([[1.0, 0.0]], operators=Operators(F=[[0.0, -1.0], [1.0, 0.0]]))
    times = np.arange(4) * 0.1  # the last one is 0.30000000000000004
    solution = solve(system, (0.0, 0.3), t_eval=times, dense_output=True)
    assert np.array_equal(solution.t, times)
    assert np.array_equal(solution.sol(times[-1]).shape, (1, 2))
    early = np.arange(-3, 1) * 0.1 + 5e-17  # 5e-17 for 0
    assert np.array_equal(solve(system, (-0.3, 0.0), t_eval=early).t, early)
    for late in (0.3 + 1e-14, 0.30001):
        with pytest.raises(ValueError, match=f"got {late!r}; expected times within the span, 0.0 to 0.3"):
            solve(system, (0.0, 0.3), t_eval=[0.1, late])
        with pytest.raises(ValueError, match=f"got {late!r}; expected a time of the run, 0.0 to 0.3"):
            solution.sol(late)
