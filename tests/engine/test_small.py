"""Small systems run in one compiled loop: the same numbers as array by array, and the same bits in any portions."""

import subprocess
import sys

import numpy as np
import pytest

from dynsim.engine import METHODS, EveryStep, LastOnly, Operators, System, _integration, _machine, solve
from dynsim.engine._breaking_points import BreakingPoints
from dynsim.engine._delay_memory import DelayMemory
from dynsim.engine._machine import is_small
from dynsim.engine._received_signals import eliminate
from dynsim.kernels import METRICS, PROFILES, Kernel

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


def fits(run, history=None):
    return is_small(run, DelayMemory(run, BreakingPoints(0.0, run.delay, order=4), METHODS["rk4"].nodes, history))


CASES = [(0.0, "identity"), (0.3, "identity"), (0.3, "tanh"), (0.3, "gelu")]


@pytest.mark.parametrize(("delay", "activation"), CASES)
@pytest.mark.parametrize("options", [{"rtol": 1e-8}, {"method": "rk4", "dt": 0.07}, {"method": "bs32", "rtol": 1e-5}])
def test_the_same_as_array_by_array(monkeypatch, delay, activation, options):
    ours = solve(system(delay, activation), (0.0, 1.25), **options)
    monkeypatch.setattr(_machine, "is_small", lambda system, memory: False)
    other = solve(system(delay, activation), (0.0, 1.25), **options)
    assert fits(system(delay, activation)) and ours.success
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
    monkeypatch.setattr(_machine, "is_small", lambda system, memory: False)
    np.testing.assert_allclose(ours.R, solve(run, (0.0, 0.7), method="rk4", dt=0.1).R, rtol=0, atol=1e-11)


# Without softening, as in tests/kernels: their loops are compiled once.
@pytest.mark.parametrize(("profile", "metric"), [(p, m) for p in PROFILES for m in METRICS] + [("c/r", "l2")])
def test_every_kernel(monkeypatch, profile, metric):
    run = system(0.3, kernel=Kernel(profile, metric, 0.3, 0.0, 0.8))
    ours = solve(run, (0.0, 0.7), method="rk4", dt=0.1)
    monkeypatch.setattr(_machine, "is_small", lambda system, memory: False)
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
    assert fits(system(0.0)) and fits(system(0.3, "tanh"))
    assert not fits(system(0.3), lambda t: None)
    assert not fits(system(0.3, drive=lambda t: 0.0))
    assert not fits(system(0.3, clamped={0: lambda t: 0.0}))
    assert not fits(system(0.0, "tanh"))  # Newton's method
    assert not fits(System(np.zeros((400, 3)) + np.arange(400)[:, None], delay=0.1))


@pytest.mark.parametrize("n", [1, 2, 17])
def test_elimination_solves_and_sees_singular_matrices(n):
    generator = np.random.default_rng(n)
    matrix, x = generator.standard_normal((n, n)), generator.standard_normal(n)
    matrix[0, 0] = 0.0 if n > 1 else 2.0  # a pivot must be looked for
    expected, condition = np.linalg.solve(matrix, x), np.linalg.cond(matrix)
    assert eliminate(matrix.copy(), x)
    np.testing.assert_allclose(x, expected, rtol=0, atol=1e-15 * n * condition * np.abs(expected).max())
    assert not eliminate(np.ones((n, n)) * (n > 1), np.ones(n))


CACHED = """
import numpy as np
from dynsim.engine import LastOnly, Operators, System, solve
from dynsim.engine._stepping import compiled_machine
from dynsim.kernels import Kernel, row_specialisation
solve(System(np.ones((1, 1)), operators=Operators(F=-1.0)), (0.0, 1.0), record=LastOnly())
stats = compiled_machine(row_specialisation(Kernel())[0]).stats
print(sum(stats.cache_hits.values()), sum(stats.cache_misses.values()))
"""


def test_the_loop_is_found_by_the_next_process():
    solve(System(np.ones((1, 1)), operators=Operators(F=-1.0)), (0.0, 1.0))
    done = subprocess.run([sys.executable, "-c", CACHED], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "0"]
