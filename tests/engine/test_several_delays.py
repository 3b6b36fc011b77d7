"""Delays by pair of groups: closed forms, orders, other programs, and runs that go on to the same bits."""

from copy import deepcopy
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from numpy.polynomial import Polynomial
from scipy.integrate import solve_ivp

from dynsim.engine import (
    METHODS,
    LastOnly,
    Operators,
    System,
    Tableau,
    _delay_sums,
    configure,
    echo_gain,
    expect_state,
    solve,
)
from dynsim.engine._delay_sums import DelaySums
from dynsim.engine._delays import Delays
from dynsim.kernels import Kernel

# exp(-(r / length)^2 / 2) is exactly 1 in floating point: neurons that all feel each other alike.
UNIT = Kernel("gaussian", length=1e150)
Q = np.array([[1.0], [0.5], [-0.3]])
LAMBDA = np.array([[0.0, 0.9, -0.4], [0.6, 0.0, 0.7], [-0.5, 0.8, 0.0]])
COUNTS = np.array([[0, 2, 5], [5, 0, 3], [2, 3, 0]])  # delays of pairs, in units of PART
PART = 0.25  # a power of 2, so that all sums of delays are exact
END = 4.0

TABLEAUX = [name for name, method in METHODS.items() if isinstance(method, Tableau)]


def linear(a=0.0, b=1.0, D=-0.7, counts=COUNTS, **options):
    """Three neurons, a group each, of which E = a R + b q, q' = D R."""
    delays = PART * np.asarray(counts)
    return System(
        Q, kernel=UNIT, operators=Operators(A=a, B=b, D=D), groups=[0, 1, 2], strengths=LAMBDA, delay=delays, **options
    )


def by_steps(a, b, D, end, counts=COUNTS):
    """Places at the end by the method of steps: exact polynomials on intervals of one PART (no pair without delay)."""
    q, sent = Q[:, 0].copy(), []
    for k in range(round(end / PART)):
        emitted, after = [], []
        for i in range(3):
            received = Polynomial([0.0])
            for j in set(range(3)) - {i}:
                earlier = k - counts[j][i]
                received = received + LAMBDA[j, i] * (sent[earlier][j] if earlier >= 0 else Polynomial([b * Q[j, 0]]))
            place = (D * received).integ() + q[i]
            emitted.append(a * received + b * place)
            after.append(place(PART))
        sent.append(emitted)
        q = np.array(after)
    return q


@pytest.mark.parametrize("a", [0.0, 0.6])
@pytest.mark.parametrize("name", [name for name in METHODS if METHODS[name].adaptive])
def test_three_neurons_by_the_method_of_steps(name, a):
    rtol = {"bs32": 1e-7, "rkc2": 1e-5}.get(name, 1e-11)
    solution = solve(linear(a), (0.0, END), method=name, rtol=rtol, atol=1e-2 * rtol, record=LastOnly())
    # Between breaking points all is polynomial; errors of rtol of numbers of order 1 in some hundreds of steps.
    assert solution.success and abs(solution.q[-1, :, 0] - by_steps(a, 1.0, -0.7, END)).max() < 1e3 * rtol
    assert solution.echo_gain == pytest.approx(abs(a * np.linalg.eigvals(LAMBDA)).max(), rel=1e-12, abs=1e-15)


def test_signals_of_every_interval_by_the_method_of_steps():
    # Between echoes E of a system at rest (D = 0) is constant, and jumps at sums of delays only: steps are exact.
    solution = solve(linear(0.6, D=0.0), (0.0, 3.0), dense_output=True)
    sent = [Q[:, 0]]
    for k in range(round(3.0 / PART)):
        R = [sum(LAMBDA[j, i] * sent[max(k - COUNTS[j, i] + 1, 0)][j] for j in range(3) if j != i) for i in range(3)]
        sent.append(0.6 * np.array(R) + Q[:, 0])
        for within in (0.1, 0.9):
            found = solution.sol.emitted((k + within) * PART)[:, 0]
            np.testing.assert_allclose(found, sent[-1], rtol=0, atol=1e-14)
        np.testing.assert_allclose(solution.sol.emitted((k + 1) * PART, left=True)[:, 0], sent[-1], rtol=0, atol=1e-14)


def side_by_side(system, counts, unit, intervals, reference, rtol=1e-12, atol=1e-13):
    """Places after so many intervals of a unit, of which the delays are multiples: no interpolation anywhere.

    As `method_of_steps` of the conftest: all intervals up to the last are integrated at once by SciPy's DOP853, since
    what lies n units before a time of interval k is the same time of interval k - n. Pairs without a delay are iterated
    to the fixed point of their signals.
    """
    given, q0 = [getattr(system.operators, name) for name in "ABCDEF"], np.asarray(system.q)
    matrices = [value * np.eye(2) if value.ndim == 0 else value for value in given]
    act = {"tanh": np.tanh, "identity": lambda x: x}[system.operators.activation]
    groups, E0 = np.asarray(system.groups), q0 @ matrices[1].T
    table, counts = system.strengths[0][groups][:, groups].T, np.asarray(counts)[groups][:, groups].T  # [to, from]
    lags = sorted(set(counts.ravel().tolist()))
    masks = {n: np.where(counts == n, table, 0.0) for n in lags}
    starts = [q0]
    for last in range(intervals):

        def velocities(theta, y, last=last):
            places, signals, out = y.reshape(last + 1, *q0.shape), [], []
            for k, q in enumerate(places):
                delayed = np.zeros_like(E0)
                for n in lags:
                    if n:
                        then = (places[k - n], signals[k - n]) if k >= n else (q0, E0)
                        delayed += (masks[n] * reference.coupling_matrix(system.kernel, then[0], q)) @ then[1]
                Phi = masks[0] * reference.coupling_matrix(system.kernel, q, q) if 0 in lags else None
                R = delayed
                while True:
                    E, velocity = reference.solve_small(*matrices, act, R, q)
                    R, before = (R, R) if Phi is None else (delayed + Phi @ E, R)
                    if abs(R - before).max() <= 1e-14:
                        break
                signals.append(E)
                out.append(velocity)
            return np.concatenate(out).reshape(-1)

        run = solve_ivp(velocities, (0, unit), np.concatenate(starts).reshape(-1), "DOP853", rtol=rtol, atol=atol)
        assert run.success
        starts = [q0, *run.y[:, -1].reshape(last + 1, *q0.shape)]
    return starts[-1]


STEPS = {1: (64, 128, 256), 2: (32, 64, 128), 3: (16, 32, 64), 4: (12, 24, 48), 5: (50, 70, 90)}  # in a time of 1
TWO = np.array([[3, 5, 3], [5, 3, 5], [3, 5, 3]])
MIXED = np.array([[0, 5, 3], [5, 3, 0], [3, 5, 0]])


@cache
def rotating(kind, reference):
    """Six neurons of three groups that rotate fast, so that their motion decides the errors, and the exact end."""
    generator = np.random.default_rng(3)
    sizes = dict(zip("ABCDE", (0.3, 0.5, 0.3, 0.6, 0.4), strict=True))
    if kind == "retarded":
        sizes |= {"A": 0.0, "C": 0.0}
    counts = MIXED if kind == "mixed" else TWO
    system = System(
        1.5 * generator.uniform(-1, 1, (6, 2)),
        kernel=Kernel("gaussian", length=1.3),
        operators=Operators(
            **{name: size * generator.standard_normal((2, 2)) for name, size in sizes.items()},
            F=[[-0.5, -4.0], [4.0, -0.5]],
            activation="identity" if kind == "retarded" else "tanh",
        ),
        groups=[0, 0, 1, 1, 2, 2],
        delay=0.1 * counts,
        strengths=np.full((3, 3), 0.4),
    )
    return system, side_by_side(system, counts, 0.1, 12, reference)


@pytest.mark.parametrize("name", TABLEAUX)
@pytest.mark.parametrize("kind", ["retarded", "neutral", "mixed"])
@pytest.mark.parametrize("part", [0.0, 0.4])
def test_order_is_the_fitted_slope(name, kind, part, reference):
    # part = 0.4: steps do not divide the delays, so those at breaking points are cut.
    system, exact = rotating(kind, reference)
    order = METHODS[name].order
    steps = [0.5 / (n // 2 + part) for n in STEPS[order]] if part else [0.1 / max(n // 10, 1) for n in STEPS[order]]
    errors = []
    for dt in steps:
        solution = solve(system, (0.0, 1.2), method=reference.fixed(name), dt=dt, record=LastOnly())
        errors.append(np.linalg.norm(solution.q[-1] - exact))
    # Steps that are cut are of unequal lengths, of which the longest one decides the error only by and large.
    assert abs(reference.slope(steps, errors) - order) < 0.35, errors


@some.composite
def small_systems(draw):
    """Delays and strengths by pairs of three groups, and whether signals echo."""
    counts = draw(some.lists(some.lists(some.integers(0, 4), min_size=3, max_size=3), min_size=3, max_size=3))
    strengths = draw(some.lists(some.lists(some.sampled_from([0.0, 0.3, -0.4]), min_size=3, max_size=3),
                                min_size=3, max_size=3))  # fmt: skip
    return np.array(counts), np.array(strengths), draw(some.sampled_from([0.0, 0.5]))


@settings(max_examples=15, deadline=None, derandomize=True)
@given(small_systems())
def test_any_delays_by_an_independent_program(reference, made):
    counts, strengths, A = made
    system = System(
        np.array([[0.2, 1.0], [-0.4, 0.3], [1.1, -0.2], [0.6, -0.9]]),
        kernel=Kernel("gaussian", length=1.3),
        operators=Operators(A=A, B=0.5, D=0.6, F=[[-0.2, -1.0], [1.0, -0.2]], activation="tanh"),
        groups=[0, 1, 1, 2],
        strengths=strengths,
        delay=0.25 * counts,
        signals=2,
    )
    solution = solve(system, (0.0, 1.0), rtol=1e-9, atol=1e-11, record=LastOnly())
    exact = side_by_side(system, counts, 0.25, 4, reference, 1e-11, 1e-12)
    # Errors of 1e-9 in each of some ten steps between breaking points, of a motion that hardly spreads them.
    assert solution.success and abs(solution.q[-1] - exact).max() < 1e-6


def test_a_matrix_of_one_delay_is_that_number():
    one, many = System(Q, delay=0.5, groups=[0, 1, 2]), System(Q, delay=np.full((3, 3), 0.5), groups=[0, 1, 2])
    assert many.delay == 0.5 and repr(one) == repr(many)
    # Pairs that do not act do not count: strength 0, and a neuron with itself.
    delays = np.where(LAMBDA != 0.0, 0.5, [[0.1, 0.7, 0.9]] * 3)
    assert linear(counts=delays / PART).delay == 0.5
    assert System(Q, groups=[0, 1, 2], strengths=np.zeros((3, 3)), delay=0.1 * COUNTS).delay == 0.0
    runs = [solve(linear(0.3).replace(delay=delay), (0.0, 3.0)) for delay in (0.5, np.full((3, 3), 0.5))]
    for name in ("t", "q", "R", "E"):
        assert np.array_equal(*(getattr(run, name) for run in runs))
    assert runs[0].nfev == runs[1].nfev


def test_what_a_system_shows_and_keeps():
    system = linear()
    assert system.looks_back and np.array_equal(system.delay, PART * COUNTS) and not system.delay.flags.writeable
    assert "delay=0.5, 0.75, 1.25 by pair of groups" in repr(system)
    assert system.facts()["delay"] == "0.5, 0.75, 1.25 by pair of groups"
    again = deepcopy(system)
    assert np.array_equal(again.delay, system.delay)
    # The matrix as it was given is kept: with other strengths other pairs act.
    fewer = system.replace(strengths=np.diag(np.ones(2), 1))
    assert np.array_equal(fewer.delay[[0, 1], [1, 2]], system.delay[[0, 1], [1, 2]])
    assert system.replace(strengths=[[0, 1.0, 0], [0, 0, 0], [0, 0, 0]]).delay == 0.5


def test_delays_of_a_configuration():
    config = {
        "dimension": 1,
        "delay": {"in -> out": 0.5, "out->in": 0.25},
        "groups": [{"name": "in", "neurons": 2}, {"name": "out", "neurons": 3}],
        "run": {"until": 1.0},
    }
    assert np.array_equal(configure(config).system.delay, [[0.0, 0.5], [0.25, 0.0]])
    assert np.array_equal(
        configure({**config, "delay": [[0.1, 0.2], [0.3, 0.4]]}).system.delay, [[0.1, 0.2], [0.3, 0.4]]
    )
    assert configure({**config, "strengths": {"in->out": 1.0}}).system.delay == 0.5
    with pytest.raises(ValueError, match="in->uot"):
        configure({**config, "delay": {"in->uot": 0.5}})
    with pytest.raises(TypeError, match="delay in->out"):
        configure({**config, "delay": {"in->out": "long"}})
    with pytest.raises(ValueError, match=r"delay: got -0\.5"):
        configure({**config, "delay": {"in->out": -0.5}})


@pytest.mark.parametrize("run", [{}, {"method": "rk4", "dt": 0.07}], ids=["dopri5", "rk4"])
@pytest.mark.parametrize("kind", ["neutral", "mixed"])
def test_a_run_that_goes_on_has_the_same_bits_at_any_step(run, kind, reference):
    system, _ = rotating(kind, reference)
    states = []
    whole = solve(
        system, (0.0, 1.2), checkpoint=lambda t, state, bound: states.append((bound, deepcopy(state()))), **run
    )
    assert whole.success and len(states) > 15
    for bound, state in states[:: max(1, len(states) // 7)]:
        if not bound:
            assert expect_state(state, system, METHODS[run.get("method", "dopri5")]) == state["t"]
            rest = solve(system, (0.0, 1.2), resume=state, **run)
            later = whole.t >= rest.t[0]
            for name in ("t", "q", "R", "E"):
                assert np.array_equal(getattr(rest, name), getattr(whole, name)[later]), (name, state["t"])


def test_states_that_no_run_has_are_refused(reference):
    system, _ = rotating("mixed", reference)
    state = solve(system, (0.0, 1.0)).state
    for name, value in (("place", 10_000), ("times", state["breaks"]["times"] + 0.01), ("reached", 7.0),
                        ("multiple", 0), ("coming_sources", state["breaks"]["coming_sources"] - 5.0)):  # fmt: skip
        with pytest.raises(ValueError, match="breaking points that no run has"):
            solve(system, (0.0, 2.0), resume={**state, "breaks": {**state["breaks"], name: value}})
    with pytest.raises((ValueError, TypeError), match="resume breaks"):
        solve(system, (0.0, 2.0), resume={**state, "breaks": {**state["breaks"], "levels": "none"}})
    with pytest.raises(TypeError, match="several delays"):
        solve(system, (0.0, 2.0), resume=solve(system.replace(delay=0.3), (0.0, 1.0)).state)


def test_the_memory_does_not_grow_with_the_span():
    sizes = []
    for end in (5.0, 20.0):
        state = solve(linear(0.3), (0.0, end), method="rk4", dt=0.05).state
        sizes.append(
            (len(state["memory"]["steps"]), len(state["breaks"]["times"]), len(state["breaks"]["coming_sources"]))
        )
    # The longest delay is 25 steps long, and an interval more is kept at most.
    assert sizes[0] == pytest.approx(sizes[1], abs=8) and sizes[1][0] <= 25 + 8


def test_histories_reach_back_the_longest_delay():
    system, options = linear(0.4), {"rtol": 1e-10, "atol": 1e-12}
    # A past in which E = q decays: as a function, and as the Solution of a run that has breaking points of its own.
    past = solve(
        system.replace(operators=Operators(B=1.0, F=-0.3)), (-2.0, 0.0), dense_output=True, rtol=1e-12, atol=1e-14
    )
    assert len(past.sol.breaks) > 5
    start = system.replace(q=past.q[-1])
    told = solve(start, (0.0, 2.0), history=lambda t: Q * np.exp(-0.3 * (t + 2.0)), **options)
    found = solve(start, (0.0, 2.0), history=past, **options)
    assert found.success and found.t[0] == 0.0 and (np.diff(found.t) > 0).all()
    # Errors of 1e-10 of numbers of order 1 in some hundred steps.
    assert abs(found.q[-1] - told.q[-1]).max() < 1e-8 < abs(found.q[-1] - solve(start, (0.0, 2.0)).q[-1]).max()
    with pytest.raises(ValueError, match="covers one delay before the start"):
        solve(start, (0.0, 2.0), history=solve(start, (-1.0, 0.0), dense_output=True))


def listed(delays, end, *, order=3, neutral=False, strengths=None, known=(), before=()):
    """Times and levels of all breaking points up to a time."""
    G = len(delays)
    of = Delays(np.asarray(delays), np.ones((1, G, G)) if strengths is None else np.asarray(strengths)[None],
                np.repeat(np.arange(G), 2), 2 * G)  # fmt: skip
    breaks = DelaySums(0.0, of, np.reshape(known, (-1, 2)), order=order, neutral=np.full(G, neutral),
                       before=np.reshape(before, (-1, 2)))  # fmt: skip
    breaks.passed = []
    while breaks.window.times[breaks.current[0]] < end:
        breaks.current[0] += 1
        breaks.extend()
    return breaks.until(end)


def test_breaking_points_are_the_sums_that_are_felt():
    delays = [[0.7, 1.0], [1.0, 0.7]]
    sums = {round(0.7 * m + n, 9) for m in range(4) for n in range(4) if m + n <= 3}
    found = listed(delays, 6.0)
    felt = found[found[:, 1] < 3]
    # Levels rise by one with every delay; the multiples of the shortest one bound the steps.
    assert {round(t, 9) for t, level in felt} == {t for t in sums if t < 3 * 0.7 or t in sums} - {
        round(0.7 * m + n, 9) for m in range(4) for n in range(4) if m + n == 3
    }
    assert {round(t, 9) for t in found[:, 0]} == sums | {round(0.7 * k, 9) for k in range(9)}
    everything = {round(0.7 * m + n, 9) for m in range(9) for n in range(9)}
    assert {round(t, 9) for t in listed(delays, 6.0, neutral=True)[:, 0]} == {t for t in everything if t <= 6.0}
    # Three tenths are a sum of three and a delay: one breaking point.
    times = listed([[0.1, 0.3], [0.3, 0.1]], 2.0, neutral=True)[:, 0]
    np.testing.assert_allclose(times, 0.1 * np.arange(21), rtol=0, atol=1e-14)


def test_sums_end_with_the_paths_of_a_network():
    chain = np.diag(np.ones(3), 1)
    delays = np.diag([0.5, 0.7, 1.1], 1)
    found = listed(delays, 5.0, neutral=True, strengths=chain)
    felt = found[found[:, 1] < 3, 0]
    # 0.5, 0.7, 1.1 and their sums along the chain; others are multiples of 0.5 that bound the steps.
    np.testing.assert_allclose(felt, [0.0, 0.5, 0.7, 1.1, 1.2, 1.8, 2.3], rtol=0, atol=1e-14)
    jump = listed(delays, 5.0, neutral=True, strengths=chain, known=[[3.03, 1]])
    np.testing.assert_allclose(jump[(jump[:, 1] == 1), 0], [3.03, 3.53, 3.73, 4.13, 4.23, 4.83], rtol=0, atol=1e-14)
    past = listed(delays, 5.0, neutral=True, strengths=chain, before=[[-0.2, 2], [-3.0, 0]])
    # A break 0.2 before the start arrives after every delay; those of breaks that arrived earlier are none.
    assert all(np.any(abs(past[:, 0] - t) < 1e-14) for t in (0.3, 0.5, 0.9)) and (past[:, 0] >= 0.0).all()


def test_too_many_sums_are_refused_by_name(monkeypatch):
    # Delays of which no sum is another one: their sums become denser for ever.
    monkeypatch.setattr(_delay_sums, "MOST", 10)
    monkeypatch.setattr(_delay_sums, "AHEAD", 8)
    system = linear(0.5, D=0.0, counts=np.where(COUNTS == 2, 4 * np.sqrt(0.5), np.where(COUNTS == 3, np.pi, 2)))
    solution = solve(system, (0.0, 1e3), method="rk4", dt=1.0, record=LastOnly())
    assert solution.status == -1 and "more than 10 sums of delays" in solution.message and solution.t[-1] > 1.0
    assert "multiples of one number" in solution.message


def test_the_echo_gain_is_that_of_all_pairs():
    instant = np.where(COUNTS == 2, 0, COUNTS)
    gains = [echo_gain(linear(0.6, counts=counts)) for counts in (COUNTS, instant, 4)]
    assert gains[0] == gains[1] == gains[2]
