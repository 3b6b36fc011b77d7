"""Signals of finite speed: fixed places, a source in uniform motion, orders, and what cannot be seen."""

from copy import deepcopy
from functools import cache

import numba
import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.optimize import brentq

from dynsim.engine import METHODS, LastOnly, Operators, System, Tableau, configure, echo_gain, expect_state, solve
from dynsim.kernels import Kernel

SPEED = 2.0
ADAPTIVE = [name for name in METHODS if METHODS[name].adaptive and name != "bs32"]

TABLEAUX = [name for name, method in METHODS.items() if isinstance(method, Tableau)]


def chain(**options):
    """Three neurons at rest, of which the first sends sin(t)^6 to the second, and this to the third."""
    return System(
        np.array([[0.0, 0.0], [0.6, 0.8], [2.0, -0.3]]),
        kernel=Kernel(softening=0.4),
        operators=Operators(A=0.5),
        groups=[0, 1, 2],
        strengths=np.diag([1.0, 0.7], 1),
        clamped={0: lambda t: np.sin(max(t, 0.0)) ** 6},
        speed=SPEED,
        **options,
    )


@pytest.mark.parametrize("eps", [0.0, 0.3])
def test_fixed_places_have_constant_delays(eps):
    system = chain(delay=eps)
    solution = solve(system, (0.0, 5.0), method="rk4", dt=0.02)
    q = np.asarray(system.q)
    r = np.linalg.norm(np.diff(q, axis=0), axis=1)  # of the metric; the softening is the kernel's alone
    phi = 1 / np.sqrt(r**2 + 0.4**2)
    sent = lambda t: np.sin(np.maximum(t, 0.0)) ** 6  # noqa: E731
    first, second = eps + r / SPEED
    expected = phi[0] * sent(solution.t - first)
    # Cubics through values of sin^6, whose fourth derivative is below 1300, at Lobatto nodes of steps of h = 0.02 are
    # wrong by at most 1300 h^4 / 384 / 4 there; it passes two of them.
    assert abs(solution.R[:, 1, 0] - expected).max() < 1300 * 0.02**4 / 384
    expected = 0.7 * phi[1] * 0.5 * phi[0] * sent(solution.t - first - second)
    assert abs(solution.R[:, 2, 0] - expected).max() < 1300 * 0.02**4 / 384


def uniform(velocity, towards, **options):
    """A source that moves by its drive alone and sends 1, and a neuron that moves by its own, and receives."""
    D = np.array([np.diag(velocity), np.diag(towards)])
    return System(
        np.array([[0.3, -0.2], [1.5, 1.0]]),
        kernel=options.pop("kernel", Kernel("inverse", softening=0.2)),
        operators=Operators(D=D),
        groups=[0, 1],
        strengths=np.array([[0.0, 1.0], [0.0, 0.0]]),
        drive=np.ones((2, 2)),
        clamped={0: 1.0},
        signals=2,
        **options,
    )


@pytest.mark.parametrize("method", ["dopri5", "rk4"])
@pytest.mark.parametrize("velocity", [(0.0, 0.0), (1.5, 0.9), (-0.4, 1.9)])
@pytest.mark.parametrize("eps", [0.0, 0.25])
def test_a_source_in_uniform_motion(velocity, eps, method):
    u = np.array(velocity)
    system = uniform(u, (0.0, 0.0), speed=SPEED, delay=eps)
    # Neuron 1 is at rest where nothing multiplies what it receives.
    start = np.asarray(system.q)
    history = lambda t: (start + t * np.array([u, [0.0, 0.0]]), np.ones((2, 2)))  # noqa: E731
    solution = solve(system, (0.0, 4.0), method=method, history=history, **({"dt": 0.03} if method == "rk4" else {}))
    assert solution.success, solution.message
    # |x - u s|^2 = v^2 (T - s)^2 with T = t - eps, x what lies between them at s = 0: the earlier root.
    x, T = start[1] - start[0], solution.t - eps
    a, b, c = SPEED**2 - u @ u, SPEED**2 * T - x @ u, SPEED**2 * T**2 - x @ x
    s = (b - np.sqrt(b * b - a * c)) / a
    r = np.linalg.norm(x - s[:, None] * u, axis=1)
    np.testing.assert_allclose(r, SPEED * (T - s), rtol=1e-12)
    # Places are linear in t; the roundings of a dozen operations on numbers of order 10.
    np.testing.assert_allclose(solution.R[:, 1, 0], 1 + 1 / np.sqrt(r**2 + 0.2**2), rtol=1e-12)


def rotation(t, rate=1.3):
    return np.array([[np.cos(rate * t), -np.sin(rate * t)], [np.sin(rate * t), np.cos(rate * t)]])


@cache
def circled():
    """A source on a circle that a neuron hears, whose own motion bends with what it hears; and the exact end."""
    F = 1.3 * np.array([[0.0, -1.0], [1.0, 0.0]])
    start, D = np.array([[0.8, 0.1], [2.2, -0.5]]), np.array([[-0.6], [0.9]])
    per_neuron = np.array([np.zeros((2, 1)), D])
    B = np.array([[0.5, 1.0]])
    system = System(
        start,
        kernel=Kernel("gaussian", length=1.5),
        operators=Operators(B=B, D=per_neuron, F=np.array([F, np.zeros((2, 2))])),
        groups=[0, 1],
        strengths=[[0.0, 1.0], [0.0, 0.0]],
        speed=SPEED,
    )
    source = lambda t: rotation(t) @ start[0]  # noqa: E731

    def velocity(t, q):
        s = brentq(lambda s: t - s - np.linalg.norm(q - source(s)) / SPEED, t - 10, t, xtol=1e-15, rtol=1e-15)
        r2 = ((q - source(s)) ** 2).sum()
        return (D @ (B @ source(s))) * np.exp(-r2 / (2 * 1.5**2))

    run = solve_ivp(velocity, (0.0, 3.0), start[1], "DOP853", rtol=1e-13, atol=1e-14)
    history = lambda t: np.array([source(t), start[1]])  # noqa: E731
    return system, history, np.array([source(3.0), run.y[:, -1]])


STEPS = {1: (100, 200, 400), 2: (40, 80, 160), 3: (40, 80, 160), 4: (24, 48, 96), 5: (48, 64, 96)}


@pytest.mark.parametrize("name", TABLEAUX)
def test_order_is_the_fitted_slope_where_nothing_jumps(name, reference):
    system, history, exact = circled()
    order, errors = METHODS[name].order, []
    steps = [3.0 / n for n in STEPS[order]]
    for dt in steps:
        solution = solve(system, (0.0, 3.0), method=reference.fixed(name), dt=dt, history=history, record=LastOnly())
        assert solution.success, solution.message
        errors.append(np.linalg.norm(solution.q[-1] - exact))
    assert abs(reference.slope(steps, errors) - order) < 0.35, errors


@pytest.mark.parametrize("name", ADAPTIVE)
def test_adaptive_methods_keep_their_tolerance(name):
    system, history, exact = circled()
    solution = solve(system, (0.0, 3.0), method=name, rtol=1e-10, atol=1e-12, history=history, record=LastOnly())
    # Errors of 1e-10 of numbers of order 1 in each of some hundred steps, or of some thousand of order 2.
    assert solution.success and abs(solution.q[-1] - exact).max() < 1e-10 * max(100, solution.naccepted)


def crowd(n=6, *, metric="l2", copies=1, A=0.0, **options):
    generator = np.random.default_rng(1)
    shape = (n, 2) if copies == 1 else (copies, n, 2)
    return System(
        1.5 * generator.standard_normal(shape),
        kernel=Kernel("exponential", metric=metric, length=1.0),
        operators=Operators(A=A, B=[[0.6, 0.2]], D=[[-0.3], [0.2]], F=[[-0.2, -1.0], [1.0, -0.2]]),
        groups=np.arange(n) % 2,
        strengths=[[0.3, -0.4], [0.5, 0.2]],
        drive=0.1,
        **options,
    )


@pytest.mark.parametrize("options", [{}, {"metric": "l1"}, {"copies": 2}, {"delay": 0.2}], ids=str)
def test_received_signals_by_plain_numpy(options):
    system = crowd(speed=6.0, **options)
    solution = solve(system, (0.0, 3.0), dense_output=True, rtol=1e-8, atol=1e-10)
    assert solution.success, solution.message
    q0 = system.q.reshape(-1, 6, 2)
    sent0 = q0.sum(axis=0) @ np.array([0.6, 0.2])
    length = (lambda x: abs(x).sum()) if options.get("metric") == "l1" else np.linalg.norm
    table = np.array([[0.3, -0.4], [0.5, 0.2]])
    for t in (0.05, 0.7, 2.9):
        now = solution.sol(t).reshape(-1, 6, 2)
        found, expected = None, np.full(6, 0.1)
        for h in range(len(now)):
            for i in range(6):
                for j in set(range(6)) - {i}:
                    place = lambda s, h=h, j=j: q0[h, j] if s <= 0 else solution.sol(s).reshape(-1, 6, 2)[h, j]  # noqa: E731
                    path = lambda s, x=now[h, i], place=place: length(x - place(s))  # noqa: E731
                    s = brentq(lambda s, t=t, path=path: t - system.delay - s - path(s) / 6.0, t - 10.0, t, xtol=1e-14)
                    E = sent0[j] if s < 0 else solution.sol.emitted(s)[j, 0]
                    expected[i] += table[j % 2, i % 2] * E * np.exp(-length(now[h, i] - place(s)))
        # E = B Q, and Q' = H (D R) + F Q give what was received: Q' by differences of the polynomials of steps.
        h = 1e-5
        rate = (solution.sol(t + h) - solution.sol(t - h)).reshape(-1, 6, 2) / (2 * h)
        moved = rate - now @ np.array([[-0.2, -1.0], [1.0, -0.2]]).T
        found = (moved[0] @ np.array([-0.3, 0.2])) / 0.13
        # The derivative of an interpolant of order 4 in steps of some 0.05, to a few of its digits.
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("run", [{}, {"method": "rk4", "dt": 0.05}], ids=["dopri5", "rk4"])
def test_a_run_that_goes_on_has_the_same_bits_at_any_step(run):
    system, states = crowd(speed=6.0, delay=0.1 if run else 0.0), []
    whole = solve(
        system, (0.0, 6.0), checkpoint=lambda t, state, bound: states.append((bound, deepcopy(state()))), **run
    )
    assert whole.success and len(states) > 60
    for bound, state in states[:: max(1, len(states) // 7)]:
        if not bound:
            assert expect_state(state, system, METHODS[run.get("method", "dopri5")]) == state["t"]
            rest = solve(system, (0.0, 6.0), resume=state, **run)
            later = whole.t >= rest.t[0]
            for name in ("t", "q", "R", "E"):
                assert np.array_equal(getattr(rest, name), getattr(whole, name)[later]), (name, state["t"])


def test_a_run_with_a_history_goes_on():
    system, history, _ = circled()
    whole = solve(system, (0.0, 3.0), method="rk4", dt=0.05, history=history)
    state = solve(system, (0.0, 1.0), method="rk4", dt=0.05, history=history).state
    rest = solve(system, (0.0, 3.0), method="rk4", dt=0.05, history=history, resume=state)
    assert np.array_equal(rest.q, whole.q[whole.t >= rest.t[0]])
    # An earlier Solution is the same history to the error of its interpolant.
    earlier = solve(system.replace(q=history(-4.0), operators=Operators(F=system.operators.F)), (-4.0, 0.0),
                    dense_output=True, rtol=1e-10, atol=1e-12)  # fmt: skip
    again = solve(system.replace(q=earlier.q[-1]), (0.0, 1.0), method="rk4", dt=0.05,
                  history=lambda t: earlier.sol(t))  # fmt: skip
    assert abs(again.q[-1] - whole.q[whole.t == again.t[-1]][0]).max() < 1e-8


def test_any_number_of_threads_gives_the_same_bits():
    system, runs = crowd(40, speed=20.0, delay=0.02), []
    threads = numba.get_num_threads()
    try:
        for number in {1, threads}:
            numba.set_num_threads(number)
            runs.append(solve(system, (0.0, 0.5), method="rk4", dt=0.01, record=LastOnly()))
    finally:
        numba.set_num_threads(threads)
    assert all(run.success for run in runs), runs[0].message
    assert np.array_equal(runs[0].q, runs[-1].q) and np.array_equal(runs[0].R, runs[-1].R)


def test_the_memory_does_not_grow_with_the_span():
    sizes = [
        len(solve(crowd(speed=4.0), (0.0, end), method="rk4", dt=0.05).state["memory"]["steps"]) for end in (20, 80)
    ]
    # Places stay within some units of each other, which signals cross in some 40 steps; the ring holds 64 at least.
    assert max(sizes) <= 130


def test_what_is_refused():
    with pytest.raises(ValueError, match="speed: got 0; expected a finite number above 0"):
        crowd(speed=0)
    with pytest.raises(ValueError, match="delay: got several with a finite speed"):
        crowd(speed=1.0, delay=[[0.1, 0.2], [0.3, 0.4]])
    with pytest.raises(ValueError, match="accuracy: got one with a finite speed"):
        crowd(speed=1.0, accuracy=1e-6)
    with pytest.raises(ValueError, match="backend: got 'cupy' with a finite speed"):
        crowd(speed=1.0, backend="cupy")
    assert crowd(speed=3.0, delay=np.full((2, 2), 0.5)).delay == 0.5
    with pytest.raises(ValueError, match="history: got none as long ago"):
        system = crowd(speed=6.0)
        solve(system, (0.0, 1.0), history=solve(crowd(), (-0.1, 0.0), dense_output=True))
    with pytest.raises(ValueError, match="history: got places that recede as fast as signals"):
        solve(crowd(speed=1.0), (0.0, 1.0), history=lambda t: crowd().q + 2.0 * t)
    with pytest.raises(ValueError, match=r"history: got neuron \d moves at"):
        solve(crowd(speed=1.0), (0.0, 1.0), history=lambda t: crowd().q + 0.1 * np.sin(20 * t))


def test_a_source_faster_than_its_signals_ends_the_run():
    for run in ({}, {"method": "rk4", "dt": 0.01}):
        solution = solve(uniform((3.0, 0.0), (0.0, 0.0), speed=SPEED), (0.0, 4.0), **run)
        assert solution.status == -1 and "moves at 3" in solution.message and "Raise `speed`" in solution.message


def test_neurons_that_meet_end_the_run():
    meeting = uniform((1.0, 1.0), (0.0, 0.0), speed=SPEED).replace(q=[[0.0, 0.0], [1.0, 1.0]])
    for run in ({}, {"method": "rk4", "dt": 0.01}):
        solution = solve(meeting, (0.0, 4.0), **run)
        assert solution.status == -1 and "within a step" in solution.message and 0.9 < solution.t[-1] < 1.01
    # With a delay beside the speed there is always one.
    assert solve(meeting.replace(delay=0.1), (0.0, 4.0)).success


def test_what_a_system_shows_and_a_configuration_says():
    system = crowd(speed=3.0, delay=0.5)
    assert system.looks_back and "delay=0.5, speed=3," in repr(system) and system.facts()["speed"] == "3"
    assert deepcopy(system).speed == 3.0 and system.replace(speed=None).speed is None
    assert echo_gain(crowd(speed=3.0, A=0.5)) == echo_gain(crowd(A=0.5))
    config = {"speed": 10.0, "groups": [{"neurons": 4}], "run": {"until": 1.0}}
    assert configure(config).system.speed == 10.0
    with pytest.raises(ValueError, match="speed"):
        configure({**config, "speed": -1.0})
