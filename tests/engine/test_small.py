"""Small systems run in one compiled loop: the same numbers as array by array, and the same bits in any portions."""

import subprocess
import sys
from types import SimpleNamespace

import numba
import numpy as np
import pytest

from dynsim.engine import (
    METHODS,
    EveryStep,
    LastOnly,
    Operators,
    System,
    Tableau,
    _integration,
    _machine,
    _small_loop,
    compiled_at_once,
    solve,
)
from dynsim.engine._equations import ACTIVATIONS
from dynsim.engine._machine import is_small
from dynsim.engine._received_signals import eliminate
from dynsim.engine._stepping import NOW
from dynsim.kernels import METRICS, PROFILES, Kernel

TABLEAUX = [name for name, method in METHODS.items() if isinstance(method, Tableau)]
TIMES = np.array([0.0, 0.05, 0.3, 0.31, 0.6, 0.77, 1.25])


def system(delay, activation="identity", kernel=None, **options):
    generator = np.random.default_rng(11)
    q = generator.uniform(-1, 1, (2, 6, 3))
    shapes = {"A": (2, 2), "B": (2, 3), "C": (2, 3), "D": (3, 2), "E": (3, 2), "F": (6, 3, 3)}
    operators = {name: 0.15 * generator.standard_normal(shape) for name, shape in shapes.items()}
    groups, strengths = [0, 0, 1, 1, 2, 2], generator.standard_normal((2, 3, 3))
    strengths[:, 0, 1] = 0.0
    values = generator.standard_normal((3, 6, 2))
    given = {"drive": ([0.2, 0.5, 1.0], values), "clamped": {2: values[0, :2]}, **options}
    kernel, operators = kernel or Kernel("inverse", softening=0.4), Operators(**operators, activation=activation)
    return System(q, kernel=kernel, operators=operators, delay=delay, groups=groups, strengths=strengths, **given)


CASES = [(0.0, "identity"), (0.3, "identity"), (0.3, "tanh"), (0.3, "gelu")]


@pytest.mark.parametrize(("delay", "activation"), CASES)
@pytest.mark.parametrize("options", [{"rtol": 1e-8}, {"method": "rk4", "dt": 0.07}, {"method": "bs32", "rtol": 1e-5}])
def test_the_same_as_array_by_array(monkeypatch, delay, activation, options):
    ours = solve(system(delay, activation), (0.0, 1.25), **options)
    monkeypatch.setattr(_machine, "is_small", lambda system: False)
    other = solve(system(delay, activation), (0.0, 1.25), **options)
    assert is_small(system(delay, activation)) and ours.success
    if "dt" not in options:
        # Where the drive has a kink, rounding decides about a try more or less; both keep the tolerance.
        np.testing.assert_allclose(ours.q[-1], other.q[-1], rtol=0, atol=100 * options["rtol"])
        return
    assert (ours.naccepted, ours.nfev) == (other.naccepted, other.nfev)
    # Rounding of sums of 6, through some 100 stages of a motion of rate about 1.
    for name in ("t", "q", "R", "E"):
        np.testing.assert_allclose(getattr(ours, name), getattr(other, name), rtol=0, atol=1e-11)


@pytest.mark.parametrize("strength", [1.0, 2.0, -0.7])
def test_strengths_that_agree(monkeypatch, strength):
    run = system(0.3)
    run = run.replace(strengths=np.broadcast_to([[[strength]], [[0.4]]], run.strengths.shape))  # one for each copy
    ours = solve(run, (0.0, 0.7), method="rk4", dt=0.1)
    monkeypatch.setattr(_machine, "is_small", lambda system: False)
    np.testing.assert_allclose(ours.R, solve(run, (0.0, 0.7), method="rk4", dt=0.1).R, rtol=0, atol=1e-11)


# Without softening, as in tests/kernels: their loops are compiled once.
@pytest.mark.parametrize(("profile", "metric"), [(p, m) for p in PROFILES for m in METRICS] + [("c/r", "l2")])
def test_every_kernel(monkeypatch, profile, metric):
    run = system(0.3, kernel=Kernel(profile, metric, 0.3, 0.0, 0.8))
    ours = solve(run, (0.0, 0.7), method="rk4", dt=0.1)
    monkeypatch.setattr(_machine, "is_small", lambda system: False)
    np.testing.assert_allclose(ours.E, solve(run, (0.0, 0.7), method="rk4", dt=0.1).E, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("delay", "activation"), CASES[:3])
@pytest.mark.parametrize("method", ["rk4", "dopri5"])
def test_the_same_bits_in_any_portions(monkeypatch, delay, activation, method):
    options = {"method": method} | ({"dt": 0.03} if method == "rk4" else {"rtol": 1e-9})
    run, states = system(delay, activation), []
    whole = solve(run, (0.0, 1.25), **options)  # step by step: every frame is wanted
    last = solve(run, (0.0, 1.25), record=LastOnly(), **options)  # all at once
    assert np.array_equal(last.q[-1], whole.q[-1]) and np.array_equal(last.E[-1], whole.E[-1])
    assert (last.nfev, last.naccepted) == (whole.nfev, whole.naccepted)
    some = solve(run, (0.0, 1.25), record=EveryStep(5), **options)
    assert np.array_equal(some.q[:-1], whole.q[: 5 * len(some.q) - 5 : 5])
    watched = solve(run, (0.0, 1.25), events=lambda t, q: t - 0.5, dense_output=True, **options)
    assert np.array_equal(watched.q, whole.q) and watched.t_events[0] == pytest.approx([0.5])
    given = solve(run, (0.0, 1.25), t_eval=TIMES, **options)
    assert np.array_equal(given.q[-1], whole.q[-1]) and np.array_equal(given.t, TIMES)
    np.testing.assert_allclose(given.q, watched.sol(TIMES), rtol=0, atol=1e-14)
    monkeypatch.setattr(_integration, "CHUNK", 3)
    thirds = solve(run, (0.0, 1.25), record=LastOnly(), checkpoint=None, **options)
    assert np.array_equal(thirds.q[-1], whole.q[-1])
    solve(run, (0.0, 1.25), checkpoint=lambda t, state, bound: states.append(state()), **options)
    for k in (0, 1, len(states) // 2, len(states) - 2):
        again = solve(run, (0.0, 1.25), resume=states[k], record=LastOnly(), **options)
        assert np.array_equal(again.q[-1], whole.q[-1]) and np.array_equal(again.R[-1], whole.R[-1])


def test_the_ring_grows_with_the_steps_in_a_delay_only():
    run = system(0.3)
    many = solve(run, (0.0, 0.95), method="rk4", dt=0.001, record=LastOnly())  # 300 segments in a delay, 64 at first
    single = solve(run, (0.0, 0.95), method="rk4", dt=0.001)
    assert np.array_equal(many.q[-1], single.q[-1]) and many.naccepted == single.naccepted > 900
    assert len(many.state["memory"]["steps"]) <= 2 * 300 + 2


def test_max_steps_and_callbacks_count_as_always():
    run = system(0.3)
    part = solve(run, (0.0, 1.25), max_steps=7, record=LastOnly())
    assert part.status == -1 and part.naccepted + part.nrejected == 7
    rest = solve(run, (0.0, 1.25), resume=part.state, record=LastOnly())
    assert np.array_equal(rest.q[-1], solve(run, (0.0, 1.25), record=LastOnly()).q[-1])
    kept = []
    solve(run, (0.0, 0.5), method="rk4", dt=0.1, callback=lambda t, q: kept.append(q) or q.fill(0.0))
    assert len(kept) >= 5 and not any(np.any(q) for q in kept)  # its own copies


def test_what_is_not_small_or_needs_python_goes_the_other_way():
    assert is_small(system(0.0)) and is_small(system(0.3, "tanh"))
    assert is_small(system(0.3, drive=lambda t: 0.0)) and is_small(system(0.3, clamped={0: lambda t: 0.0}))
    assert not is_small(system(0.0, "tanh"))  # Newton's method
    assert not is_small(System(np.zeros((400, 3)) + np.arange(400)[:, None], delay=0.1))


@pytest.mark.parametrize("n", [1, 2, 17])
def test_elimination_solves_and_sees_singular_matrices(n):
    generator = np.random.default_rng(n)
    matrix, x = generator.standard_normal((n, n)), generator.standard_normal(n)
    matrix[0, 0] = 0.0 if n > 1 else 2.0  # a pivot must be looked for
    expected, condition = np.linalg.solve(matrix, x), np.linalg.cond(matrix)
    assert eliminate(matrix.copy(), x)
    np.testing.assert_allclose(x, expected, rtol=0, atol=1e-15 * n * condition * np.abs(expected).max())
    assert not eliminate(np.ones((n, n)) * (n > 1), np.ones(n))


# The loop in Python, and compiled.


@pytest.fixture
def in_python(monkeypatch):
    """Small systems run as Python for as long as they like, whatever is in the cache."""
    if numba.config.DISABLE_JIT:
        pytest.skip("nothing is compiled")
    monkeypatch.setattr(_small_loop, "is_compiled", lambda *arguments: False)
    monkeypatch.setattr(_small_loop, "PATIENCE", np.inf)


def same_bits(one, other):
    assert one.success == other.success and one.message == other.message and one.nfev == other.nfev
    for name in ("t", "q", "R", "E"):
        assert getattr(one, name).tobytes() == getattr(other, name).tobytes(), name


def both(run, span=(0.0, 1.25), **options):
    with compiled_at_once():
        expected = solve(run, span, **options)
    same_bits(solve(run, span, **options), expected)
    return expected


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(("profile", "metric"), [(p, m) for p in PROFILES for m in METRICS])
def test_python_has_the_bits_of_the_compiled_loop(in_python, profile, metric, activation):
    run = system(0.3, activation, Kernel(profile, metric, 0.3, 0.1, 0.8))
    both(run, rtol=1e-5)


@pytest.mark.parametrize("method", TABLEAUX)
@pytest.mark.parametrize("delay", [0.0, 0.3])
def test_python_has_the_bits_of_every_method(in_python, method, delay):
    options = {"rtol": 1e-6} if METHODS[method].adaptive else {"dt": 0.03}
    both(system(delay), method=method, **options)
    both(system(delay), method=method, record=LastOnly(), **options)


FUNCTIONS = [
    {"drive": lambda t: np.sin(3 * t)},
    {"clamped": {1: lambda t: 0.1 * t}},
    {"drive": None, "clamped": {1: lambda t: float(t > 0.4)}},
]


@pytest.mark.parametrize("functions", FUNCTIONS)
@pytest.mark.parametrize("delay", [0.0, 0.3])
def test_python_has_the_bits_of_compiled_evaluations(monkeypatch, in_python, delay, functions):
    ours = both(system(delay, **functions), max_step=0.1)
    monkeypatch.setattr(_machine, "is_small", lambda system: False)
    other = solve(system(delay, **functions), (0.0, 1.25), max_step=0.1)
    np.testing.assert_allclose(ours.q[-1], other.q[-1], rtol=0, atol=1e-4)  # 100 rtol


def test_python_has_the_bits_of_a_history(in_python):
    both(system(0.3), history=lambda t: (np.full((2, 6, 3), np.arange(6)[:, None] + t), np.full((6, 2), np.cos(t))))


@pytest.mark.parametrize("activation", ["identity", "sin", "softplus", "silu"])
def test_python_fails_as_what_is_compiled(in_python, activation):
    large = system(0.1, activation, Kernel("linear"), drive=1e150, clamped=None)
    large = large.replace(strengths=np.full((2, 3, 3), 1e200))
    with np.errstate(all="raise"):  # what the user asks for holds in the user's functions only
        run = both(large, (0.0, 5.0), method="rk4", dt=0.05)
    assert run.status == -2


@pytest.mark.parametrize("at", [0.0, 0.5])
def test_a_run_that_turns_out_long_is_compiled_in_its_midst(monkeypatch, in_python, at):
    options = {"method": "rk4", "dt": 0.01, "record": LastOnly()}
    with compiled_at_once():
        expected = solve(system(0.3), (0.0, 1.25), **options)
    loops, make = [], _small_loop.SmallLoop.__init__
    monkeypatch.setattr(_small_loop.SmallLoop, "__init__", lambda self, *all: loops.append(self) or make(self, *all))
    run = _small_loop.SmallLoop._patiently

    def long_from_there_on(self, arguments):
        if arguments[0][NOW] >= at:
            monkeypatch.setattr(_small_loop, "PATIENCE", -1.0)
        return run(self, arguments)

    monkeypatch.setattr(_small_loop.SmallLoop, "_patiently", long_from_there_on)
    found = solve(system(0.3), (0.0, 1.25), **options)
    assert loops[-1].python is None and found.naccepted == expected.naccepted
    same_bits(found, expected)


def test_what_is_in_the_cache_is_not_run_in_python(monkeypatch):
    if numba.config.DISABLE_JIT:
        pytest.skip("nothing is compiled")
    with compiled_at_once():
        solve(system(0.3), (0.0, 0.1))
        solve(system(0.3, drive=lambda t: 0.0), (0.0, 0.1))
    monkeypatch.setattr(_small_loop.SmallLoop, "_patiently", None)
    assert solve(system(0.3), (0.0, 0.1)).success
    assert solve(system(0.3, drive=lambda t: 0.0), (0.0, 0.1)).success


def test_time_in_functions_of_the_user_is_no_reason_to_compile(monkeypatch, in_python):
    times = iter(range(10**9))
    monkeypatch.setattr(_small_loop, "time", SimpleNamespace(perf_counter=lambda: float(next(times))))
    loops, make = [], _small_loop.SmallLoop.__init__
    monkeypatch.setattr(_small_loop.SmallLoop, "__init__", lambda self, *all: loops.append(self) or make(self, *all))

    def slow(t):
        for _ in range(1000):
            next(times)
        return 0.0

    solution = solve(system(0.3, drive=slow), (0.0, 0.3), method="rk4", dt=0.1)
    assert solution.success and loops[-1].aside > 1000 * 12 > 1000 > loops[-1].seconds > 0


def test_a_kernel_of_ones_own_is_compiled_at_once(monkeypatch):
    monkeypatch.setattr(_small_loop.SmallLoop, "_patiently", None)
    assert solve(system(0.3, kernel=Kernel("c/r")), (0.0, 0.1)).success


CACHED = """
import numpy as np
from dynsim.engine import LastOnly, Operators, System, solve
from dynsim.engine._small_loop import compiled_at_once, compiled_machine
from dynsim.kernels import Kernel, row_specialisation
with compiled_at_once():
    solve(System(np.ones((1, 1)), operators=Operators(F=-1.0)), (0.0, 1.0), record=LastOnly())
stats = compiled_machine(row_specialisation(Kernel())[0]).stats
print(sum(stats.cache_hits.values()), sum(stats.cache_misses.values()))
"""


def test_the_loop_is_found_by_the_next_process():
    with compiled_at_once():
        solve(System(np.ones((1, 1)), operators=Operators(F=-1.0)), (0.0, 1.0))
    done = subprocess.run([sys.executable, "-c", CACHED], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "0"]
