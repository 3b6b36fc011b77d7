"""The run as its user sees it: frames, events, stopping, streaming, failing, going on."""

import numba
import numpy as np
import pytest
import scipy
from scipy.integrate import solve_ivp

from dynsim.engine import EveryStep, LastOnly, Operators, System, Times, solve
from dynsim.kernels import Kernel

TURN = np.array([[0.0, -1.0], [1.0, 0.0]])


def circle(delay=0.0, **options):
    """One neuron that turns with angular velocity 1: q = (cos t, sin t)."""
    return System([[1.0, 0.0]], operators=Operators(F=TURN, **options), delay=delay)


def crowd(delay=0.3, n=6, activation="identity", copies=1, **options):
    generator = np.random.default_rng(11)
    q = generator.uniform(-1, 1, (n, 2) if copies == 1 else (copies, n, 2))
    operators = Operators(
        A=0.1, B=generator.standard_normal((1, 2)), D=generator.standard_normal((2, 1)), F=-0.5, activation=activation
    )
    return System(q, kernel=Kernel("gaussian"), operators=operators, delay=delay, **options)


@pytest.mark.parametrize("delay", [0.0, 0.3])
def test_frames_at_given_times_are_those_times(delay):
    times = np.array([0.0, 0.1, 0.3, 0.6, 0.77, 0.9])
    system = crowd(delay)
    sparse = solve(system, (0.0, 0.9), t_eval=times, rtol=1e-9, atol=1e-11)
    full = solve(system, (0.0, 0.9), rtol=1e-9, atol=1e-11, dense_output=True)
    assert np.array_equal(sparse.t, times)
    assert sparse.q.shape == (6, 6, 2) and sparse.R.shape == sparse.E.shape == (6, 6, 1)
    assert np.array_equal(sparse.q[-1], full.q[-1]) and np.array_equal(sparse.R[-1], full.R[-1])
    np.testing.assert_allclose(full.sol(times), sparse.q, rtol=0, atol=1e-14)
    for t, E in zip(times[:-1], sparse.E[:-1], strict=True):
        # sol.emitted interpolates E (local error of order 5 at rtol 1e-9); frames evaluate it.
        np.testing.assert_allclose(full.sol.emitted(t), E, rtol=0, atol=1e-8)


def test_places_at_given_times_are_exact_to_the_tolerance():
    times = np.linspace(0, 6, 50)
    solution = solve(circle(), (0.0, 6.0), t_eval=times, rtol=1e-9, atol=1e-11)
    # 1e-9 a step, the interpolant one order lower than the step: two digits of room and the steps' sum.
    np.testing.assert_allclose(solution.q[:, 0], np.c_[np.cos(times), np.sin(times)], atol=1e-6)


@pytest.mark.parametrize("method", ["rk4", "dopri5"])
def test_what_to_record(method):
    options = {"method": method} | ({"dt": 0.1} if method == "rk4" else {})
    every = solve(crowd(), (0.0, 1.25), **options)
    third = solve(crowd(), (0.0, 1.25), record=EveryStep(3), **options)
    last = solve(crowd(), (0.0, 1.25), record=LastOnly(), **options)
    steps = every.naccepted
    assert len(every.t) == steps + 1
    wanted = sorted({*range(0, steps + 1, 3), steps})
    assert np.array_equal(third.t, every.t[wanted]) and np.array_equal(third.q, every.q[wanted])
    assert np.array_equal(last.t, every.t[-1:]) and np.array_equal(last.E, every.E[-1:])
    given = solve(crowd(), (0.0, 1.25), record=Times([0.5]), **options)
    assert given.t.tolist() == [0.5]


def test_steps_land_where_delays_end():
    solution = solve(crowd(delay=0.3), (0.5, 2.0), method="rk4", dt=0.08)
    for k in range(6):
        assert np.abs(solution.t - (0.5 + 0.3 * k)).min() < 1e-15
    assert np.diff(solution.t).max() < 0.08 + 1e-12
    # A step longer than the delay is cut to it.
    assert solve(crowd(delay=0.3), (0.0, 0.9), method="rk4", dt=5.0).naccepted == 3


@pytest.mark.parametrize("terminal", [None, True, 2])
@pytest.mark.parametrize("direction", [0, 1, -1])
def test_events_are_scipys(terminal, direction):
    if terminal == 2 and tuple(map(int, scipy.__version__.split(".")[:2])) < (1, 13):
        pytest.skip("SciPy counts events before it stops from 1.13 on")

    def crossing(t, q):
        return np.ravel(q)[1] - 0.3  # sin t - 0.3: up, down, up, ...

    crossing.terminal, crossing.direction = terminal, direction

    def late(t, q):
        return t - 5.0

    ours = solve(circle(), (0.0, 14.0), events=[crossing, late], rtol=1e-9, atol=1e-11)
    theirs = solve_ivp(
        lambda t, y: TURN @ y, (0.0, 14.0), [1.0, 0.0], "DOP853", events=[crossing, late], rtol=1e-11, atol=1e-12
    )
    assert ours.status == theirs.status and ours.success
    for mine, other in zip(ours.t_events, theirs.t_events, strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-6)
    for mine, other in zip(ours.q_events, theirs.y_events, strict=True):
        np.testing.assert_allclose(mine.reshape(-1), np.ravel(other), atol=1e-6)
    assert ours.t[-1] == pytest.approx(theirs.t[-1], abs=1e-6)
    if terminal:
        assert ours.t[-1] == ours.t_events[0][-1] and "event" in ours.message


def test_an_event_in_a_delayed_run_ends_it_with_its_signals():
    def away(t, q):
        return t - 0.47

    away.terminal = True
    solution = solve(crowd(), (0.0, 2.0), events=away, t_eval=[0.1, 0.4, 0.6])
    assert solution.status == 1 and solution.t.tolist() == [0.1, 0.4]
    solution = solve(crowd(), (0.0, 2.0), events=away)
    assert solution.t[-1] == pytest.approx(0.47, abs=1e-12)
    exact = solve(crowd(), (0.0, 2.0), t_eval=[0.47])
    np.testing.assert_allclose(solution.R[-1], exact.R[0], atol=1e-12)


def test_a_true_callback_stops():
    seen = []

    def callback(t, q):
        seen.append((t, q.shape))
        return len(seen) == 4

    solution = solve(crowd(), (0.0, 2.0), method="rk4", dt=0.1, callback=callback)
    assert solution.status == 2 and solution.success and "callback" in solution.message
    assert len(solution.t) == 5 and solution.t[-1] == seen[-1][0] and seen[0][1] == (6, 2)
    last = solve(crowd(), (0.0, 2.0), method="rk4", dt=0.1, callback=lambda t, q: t > 0.35, record=LastOnly())
    assert len(last.t) == 1 and last.t[0] == pytest.approx(0.4)


def test_max_steps_gives_the_part_that_was_run():
    solution = solve(crowd(), (0.0, 2.0), method="rk4", dt=0.1, max_steps=7)
    assert solution.status == -1 and not solution.success and len(solution.t) == 8
    assert "max_steps = 7" in solution.message


def test_a_sink_gets_every_frame_and_memory_keeps_the_last():
    frames = []
    plain = solve(crowd(copies=2), (0.0, 1.0))
    streamed = solve(crowd(copies=2), (0.0, 1.0), sink=lambda *frame: frames.append(frame))
    assert np.array_equal([frame[0] for frame in frames], plain.t)
    assert np.array_equal([frame[1] for frame in frames], plain.q) and frames[0][1].shape == (2, 6, 2)
    assert np.array_equal([frame[2] for frame in frames], plain.R)
    assert streamed.t.tolist() == [1.0] and np.array_equal(streamed.q, plain.q[-1:])
    kept = solve(crowd(copies=2), (0.0, 1.0), sink=lambda *frame: None, keep=True)
    assert np.array_equal(kept.q, plain.q)


def test_frames_are_the_callers_own():
    def spoil(t, q, R, E):
        q[...], R[...], E[...] = np.nan, np.nan, np.nan

    spoiled = solve(crowd(), (0.0, 1.0), sink=spoil)
    assert spoiled.success


@pytest.mark.parametrize("method", ["rk4", "dopri5", "heun"])
@pytest.mark.parametrize(("delay", "activation"), [(0.3, "tanh"), (0.0, "tanh"), (0.0, "identity")])
def test_a_run_that_goes_on_has_the_same_bits(method, delay, activation):
    options = {"method": method} | ({} if method == "dopri5" else {"dt": 0.07})
    system = crowd(delay, activation=activation, drive=lambda t: np.sin(t))
    states = []

    def checkpoint(t, state, bound):
        states.append(state())

    whole = solve(system, (0.0, 1.5), checkpoint=checkpoint, **options)
    assert len(states) == whole.naccepted
    for k in (0, 2, len(states) - 2):
        again = solve(system, (0.0, 1.5), resume=states[k], **options)
        assert again.success
        assert np.array_equal(again.t, whole.t[k + 2 :])
        for name in ("q", "R", "E"):
            assert np.array_equal(getattr(again, name), getattr(whole, name)[k + 2 :]), name


@pytest.mark.parametrize("delay", [0.0, 0.3])
@pytest.mark.parametrize("options", [{}, {"method": "rk4", "dt": 0.07}])
def test_states_are_those_of_a_longer_run_until_its_end_is_near(delay, options):
    runs = []
    for end in (1.0, 2.0):
        runs.append([])
        keep = lambda t, state, bound, kept=runs[-1]: kept.append((bound, state()))  # noqa: E731
        solve(crowd(delay), (0.0, end), checkpoint=keep, **options)
    shorter, longer = runs
    first = next(k for k, (bound, _) in enumerate(shorter) if bound)
    for (_, ours), (_, theirs) in zip(shorter[: first + 1], longer, strict=False):
        assert ours["free"] and ours["t"] == theirs["t"] and np.array_equal(ours["q"], theirs["q"])
        assert ours["control"] == theirs["control"]
    # Not before: from there on the longer run goes elsewhere. A breaking point in between does not bind it to the end.
    assert shorter[first + 1][1]["t"] != longer[first + 1][1]["t"] and not shorter[first + 1][1]["free"]
    assert not delay or shorter[first][1]["t"] > 0.9 - 1e-9


def test_a_run_stopped_by_max_steps_goes_on_from_its_solution():
    system = crowd()
    whole = solve(system, (0.0, 1.5))
    part = solve(system, (0.0, 1.5), max_steps=5)
    rest = solve(system, (0.0, 1.5), resume=part.state)
    assert np.array_equal(np.concatenate([part.q, rest.q]), whole.q)


@pytest.mark.parametrize("split", [0.6, 0.75])
def test_an_earlier_solution_as_history(split):
    # Split where a delay ends, and not: the jumps of the first run stay where they are.
    system = crowd(delay=0.3)
    options = {"rtol": 1e-10, "atol": 1e-12}
    whole = solve(system, (0.0, 1.5), **options)
    first = solve(system, (0.0, split), dense_output=True, **options)
    later = System(first.q[-1], kernel=system.kernel, operators=system.operators, delay=0.3)
    second = solve(later, (split, 1.5), history=first, **options)
    np.testing.assert_allclose(second.q[-1], whole.q[-1], atol=1e-9)
    np.testing.assert_allclose(second.E[-1], whole.E[-1], atol=1e-8)
    for k in range(6):
        if split < 0.3 * k < 1.5:
            assert np.abs(second.t - 0.3 * k).min() < 1e-12


def test_the_delay_memory_does_not_grow_with_the_span():
    short, long = (solve(crowd(delay=0.3), (0.0, T), method="rk4", dt=0.1).state["memory"] for T in (3.05, 30.05))
    assert short["q"].shape == long["q"].shape and short["E"].shape == long["E"].shape


def test_the_same_bits_on_any_number_of_threads():
    threads = numba.get_num_threads()
    if threads < 2:
        pytest.skip("needs two threads")
    # More pairs than the engine leaves to one thread.
    system = crowd(delay=0.2, n=400)
    results = []
    try:
        for count in (1, 2):
            numba.set_num_threads(count)
            results.append(solve(system, (0.0, 0.5), method="rk4", dt=0.1))
            assert numba.get_num_threads() == count
    finally:
        numba.set_num_threads(threads)
    assert np.array_equal(results[0].q, results[1].q) and np.array_equal(results[0].E, results[1].E)


@pytest.mark.parametrize("options", [{}, {"method": "rk4", "dt": 0.1}])
def test_divergence_names_the_echo(options):
    # phi = 1/2, A = 200: the field grows by 100 a delay, whatever the step, and passes 1e308 near k = 155.
    system = System([[0.0], [2.0]], operators=Operators(A=200.0, B=1.0), delay=0.5)
    solution = solve(system, (0.0, 100.0), **options)
    assert solution.status == -2 and not solution.success
    assert solution.echo_gain == pytest.approx(100.0)
    for words in (
        "step",
        "neuron",
        "nearest pair 0 and 1 at distance 2",
        "echo gain rho(a Phi) = 100",
        "last good time",
    ):
        assert words in solution.message
    assert np.isfinite(solution.q).all() and np.isfinite(solution.E).all()
    assert 70 < solution.t[-1] < 85


@pytest.mark.parametrize("delay", [0.0, 0.4])
def test_a_place_that_runs_away_diverges(delay):
    system = System([[1.0], [3.0]], operators=Operators(F=5.0), delay=delay)
    solution = solve(system, (0.0, 1000.0), method="rk4", dt=0.2)
    assert solution.status == -2 and "place of neuron" in solution.message
    assert np.isfinite(solution.q).all() and len(solution.t) > 100
    assert solve(system, (0.0, 1000.0), record=LastOnly()).status == -2


def test_neurons_at_one_place_are_named():
    system = System([[0.0], [0.0], [5.0]], operators=Operators(B=1.0, D=1.0), drive=1.0)
    solution = solve(system, (0.0, 1.0))
    assert solution.status == -2 and "nearest pair 0 and 1 at distance 0" in solution.message
    assert "softening" in solution.message and len(solution.t) == 0


def test_a_singular_field_at_delay_zero_fails_by_name():
    # phi = 1/2 and a = 2: I - Phi a = [[1, -1], [-1, 1]].
    system = System([[0.0], [2.0]], operators=Operators(A=2.0, B=1.0), drive=1.0)
    solution = solve(system, (0.0, 1.0))
    assert solution.status == -1 and "singular" in solution.message and "echo gain rho(a Phi) = 1" in solution.message


def test_newton_without_a_solution_fails_by_name():
    # R = 1 + softplus(R) has no solution: softplus(R) > R.
    system = System([[0.0], [1.0]], operators=Operators(A=1.0, activation="softplus"), drive=1.0)
    for options in ({}, {"method": "heun", "dt": 0.1}):
        solution = solve(system, (0.0, 1.0), **options)
        assert solution.status == -1 and "Newton" in solution.message and "echo gain" in solution.message


def test_a_step_that_falls_below_rounding_fails():
    # q' jumps at random: no step is good enough.
    generator = np.random.default_rng(0)
    system = System([[0.0]], operators=Operators(D=1.0), drive=lambda t: 1e3 * generator.standard_normal())
    solution = solve(system, (1.0, 2.0), rtol=1e-12, atol=1e-13)
    assert solution.status == -1 and "step fell below" in solution.message


def test_a_sampled_drive_is_interpolated():
    # q' = I(t), I the triangle 0, 1, 0 at 0, 1, 3: q(3) = 1.5; Heun's rule is exact on straight lines.
    values = np.array([0.0, 1.0, 0.0])[:, None, None]
    system = System([[0.0]], operators=Operators(D=1.0), drive=([0.0, 1.0, 3.0], values))
    solution = solve(system, (-1.0, 4.0), method="heun", dt=0.5)
    assert solution.q[-1, 0, 0] == pytest.approx(1.5, abs=1e-14)
    assert solution.R[:, 0, 0].max() == 1.0 and solution.R[-1, 0, 0] == 0.0


def test_a_clamped_group_emits_what_is_given_and_still_moves():
    groups = [0, 1, 1]
    system = System(
        [[0.0], [1.0], [2.0]], operators=Operators(A=0.5, D=1.0), delay=0.25, groups=groups,
        clamped={0: lambda t: np.full((1, 1), np.cos(t))},
    )  # fmt: skip
    solution = solve(system, (0.0, 1.0), method="rk4", dt=0.05)
    np.testing.assert_allclose(solution.E[:, 0, 0], np.cos(solution.t), atol=1e-15)
    assert abs(solution.q[-1, 0, 0]) > 0.01
    at_once = solve(System(system.q, operators=system.operators, groups=groups, clamped={0: 2.0}), (0.0, 0.5))
    assert (at_once.E[:, 0] == 2.0).all() and at_once.echo_gain == pytest.approx(
        0.5 / abs(np.diff(at_once.q[-1, 1:, 0])[0])
    )


def test_tolerance_is_kept():
    for rtol in (1e-4, 1e-6, 1e-8):
        solution = solve(circle(), (0.0, 6.28), rtol=rtol, atol=rtol * 1e-3)
        error = np.abs(solution.q[-1, 0] - [np.cos(6.28), np.sin(6.28)]).max()
        # At most rtol per step, about 4 to 40 steps of a motion that neither grows nor decays.
        assert error < 100 * rtol and solution.nrejected < solution.naccepted


def test_doubling_the_tolerance_of_a_neutral_run_keeps_its_signals():
    generator = np.random.default_rng(4)
    q = generator.uniform(-1, 1, (5, 2))
    operators = Operators(A=0.3, B=[[1.0, -1.0]], C=[[0.3, 0.2]], D=[[0.5], [0.7]], F=[[-0.1, -4.0], [4.0, -0.1]])
    system = System(q, kernel=Kernel("gaussian"), operators=operators, delay=0.5)
    exact = solve(system, (0.0, 2.0), rtol=1e-12, atol=1e-13)
    for rtol in (1e-4, 1e-6, 1e-8):
        solution = solve(system, (0.0, 2.0), rtol=rtol, atol=rtol * 1e-3)
        # rtol per step for q and E, some 100 steps, an echo of gain near 1 over four delays.
        assert np.abs(solution.E[-1] - exact.E[-1]).max() < 100 * rtol
        assert np.abs(solution.q[-1] - exact.q[-1]).max() < 100 * rtol


@pytest.mark.parametrize("large", [False, True])
def test_a_speed_that_overflows_names_its_neuron(large):
    D = np.zeros((3, 1, 1))
    D[2] = 1e200
    times, values = np.array([0.0, 0.09, 0.1, 1.0]), np.zeros((4, 3, 1))
    values[2:, 2] = 1e200
    drive = (lambda t: values[0 if t < 0.1 else 3]) if large else (times, values)
    system = System(np.arange(3.0)[:, None], operators=Operators(D=D), drive=drive)
    solution = solve(system, (0.0, 1.0), method="euler", dt=0.1)
    assert solution.status == -2 and "neuron 2" in solution.message


def test_events_get_places_of_their_own():
    seen = []
    system = System([[1.0], [2.0]], operators=Operators(F=-1.0), drive=lambda t: 0.0)
    event = lambda t, q: seen.append(q) or 1.0  # noqa: E731
    solution = solve(system, (0.0, 1.0), method="rk4", dt=0.25, events=event)
    steps = {float(q[0, 0]) for q in seen}
    assert len(steps) >= 5 and all(np.any(np.isclose(q[0, 0], solution.q[:, 0, 0])) for q in seen)


def test_functions_of_events_do_not_see_what_others_do_to_their_places():
    system = System([[1.0], [2.0]], operators=Operators(F=-1.0))

    def spoiling(t, q):
        q -= 5
        return q[0, 0]

    solution = solve(system, (0.0, 1.0), events=[spoiling, lambda t, q: q[0, 0] - 0.5])
    np.testing.assert_allclose(solution.t_events[1], [np.log(2)], rtol=1e-4)


@pytest.mark.parametrize(
    ("span", "times"),
    [
        ((0.0, 0.1 * 3), [0.0, 0.1, 0.2, 0.3, 0.1 * 3]),
        ((0.0, 1.0), [0.0, 0.5, np.nextafter(1.0, 0.0), 1.0]),
        ((1e12, 1e12 + 1), [1e12 + 0.5, 1e12 + 0.9995, 1e12 + 1]),
    ],
)
@pytest.mark.parametrize("options", [{}, {"method": "rk4", "dt": 0.1}, {"dense_output": True}])
def test_every_given_time_near_the_end_is_a_frame(span, times, options):
    np.testing.assert_array_equal(solve(circle(), span, t_eval=times, **options).t, times)


def test_given_times_near_a_terminal_event_are_frames():
    event = lambda t, q: t - 0.5  # noqa: E731
    event.terminal = True
    times = [0.0, 0.25, np.nextafter(0.5, 0.0), 0.5, 1.0]
    solution = solve(circle(), (0.0, 1.0), method="rk4", dt=0.125, t_eval=times, events=event)
    np.testing.assert_array_equal(solution.t, times[:4])


@pytest.mark.parametrize(("before", "after"), [(0.01, 0.1), (0.1, 0.01), (0.01, 0.003)])
@pytest.mark.parametrize("delay", [0.0, 0.35])
def test_a_run_goes_on_with_steps_of_another_length(before, after, delay):
    first = solve(crowd(delay), (0.0, 2.0), method="rk4", dt=before, max_steps=round(0.3 / before))
    rest = solve(crowd(delay), (0.0, 2.0), method="rk4", dt=after, resume=first.state)
    lengths = np.diff([first.t[-1], *rest.t])
    assert rest.success and (lengths > 0).all() and lengths.max() < after * (1 + 1e-9)
    whole = solve(crowd(delay), (0.0, 2.0), method="rk4", dt=0.001)
    np.testing.assert_allclose(rest.q[-1], whole.q[-1], atol=1e-4 if 0.1 in (before, after) else 1e-8)


@pytest.mark.parametrize("delay", [0.0, 0.3])
def test_without_an_absolute_tolerance(delay):
    """A place that is 0 and signals that are 0 have no error, however small a size they are compared with."""
    for places in ([[1.0, 0.0], [2.0, 0.0]], [[1.0, 0.5], [2.0, 0.7]], [[0.0, 0.0], [2.0, 0.7]]):
        system = System(places, operators=Operators(F=-1.0), delay=delay)
        solution = solve(system, (0.0, 1.0), atol=0, max_steps=1000)
        assert solution.success
        np.testing.assert_allclose(solution.q[-1], np.array(places) * np.exp(-1), rtol=1e-5)


def test_a_place_that_leaves_zero_without_an_absolute_tolerance():
    system = System([[0.0], [1.0]], operators=Operators(D=1.0), drive=lambda t: 1.0)
    solution = solve(system, (0.0, 1.0), atol=0, max_steps=1000)
    assert solution.success
    np.testing.assert_allclose(solution.q[-1], [[1.0], [2.0]], rtol=1e-5)


def test_a_first_step_too_short_for_numbers_is_the_shortest():
    solution = solve(circle(), (1.0, 2.0), first_step=1e-20)
    assert solution.success
    np.testing.assert_allclose(solution.q[-1], [[np.cos(1.0), np.sin(1.0)]], atol=1e-5)


def test_a_longest_step_too_short_for_numbers_is_refused():
    with pytest.raises(ValueError, match=r"max_step: got 1e-15; expected at least 4.44e-15, the shortest step that"):
        solve(circle(), (1.0, 2.0), max_step=1e-15)
    with pytest.raises(ValueError, match=r"dt: got 1e-16; expected at least 4.44e-16, the shortest step that numbers"):
        solve(circle(), (1.0, 2.0), method="rk4", dt=1e-16)


def test_neurons_beyond_all_distances_are_no_pair():
    solution = solve(System([[1.0], [2.0]], operators=Operators(F=-400.0)), (0.0, 10.0), method="rk4", dt=0.05)
    assert solution.status == -2 and "nearest pair" not in solution.message and "smaller dt" in solution.message
