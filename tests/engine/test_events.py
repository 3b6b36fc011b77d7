"""Events: one zero is one event, wherever a step ends, on any scale of time, in one run or in several."""

import numpy as np
import pytest

from dynsim.engine import EveryStep, LastOnly, Operators, System, Times, solve

TURN = np.array([[0.0, -1.0], [1.0, 0.0]])
FIXED = {"method": "rk4", "dt": 0.125}


def oscillator(speed=1.0, **options):
    return System([[1.0, 0.0]], operators=Operators(F=speed * TURN), **options)


def event(function, **attributes):
    """A function event(t, q) with SciPy's attributes."""

    def watched(t, q):
        return function(t, q)

    vars(watched).update(attributes)
    return watched


def at(time, **attributes):
    return event(lambda t, q: t - time, **attributes)


@pytest.mark.parametrize(
    ("system", "options"),
    [
        (oscillator(), FIXED),
        (oscillator(), {"method": "euler", "dt": 0.25}),
        (oscillator(delay=0.5), {}),  # steps land on every delay
        (oscillator(delay=0.25), {"method": "bs32"}),
    ],
)
@pytest.mark.parametrize("direction", [0, 1])
def test_a_zero_where_a_step_ends_is_one_event(system, options, direction):
    solution = solve(system, (0.0, 1.0), events=[at(0.5, direction=direction), at(1.0)], **options)
    assert solution.t_events[0].tolist() == [0.5] and solution.t_events[1].tolist() == [1.0]
    assert np.array_equal(solution.q_events[0][0], solution.q[solution.t == 0.5][0])
    assert not len(solve(system, (0.0, 1.0), events=at(0.5, direction=-1), **options).t_events[0])


@pytest.mark.parametrize("speed", np.linspace(0.3, 3.0, 10))
def test_an_event_where_a_step_ends_has_the_places_of_the_end(speed):
    # Of the interpolant some have another last bit.
    solution = solve(oscillator(speed, delay=0.5), (0.0, 1.0), events=at(0.5))
    assert np.array_equal(solution.q_events[0][0], solution.q[solution.t == 0.5][0])


def test_a_second_crossing_is_the_second_event():
    # Zeros at 0.5, where a step ends, and at 1.3.
    both = event(lambda t, q: (t - 0.5) * (t - 1.3), terminal=2)
    solution = solve(oscillator(), (0.0, 2.0), events=both, **FIXED)
    assert solution.status == 1 and solution.t_events[0] == pytest.approx([0.5, 1.3], abs=1e-12)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_an_event_that_stays_at_zero_is_found_once(sign):
    flat = event(lambda t, q: sign * (min(0.0, t - 0.5) + max(0.0, t - 1.0)))
    assert solve(oscillator(), (0.0, 2.0), events=flat, **FIXED).t_events[0].tolist() == [0.5]
    always = solve(oscillator(), (0.0, 2.0), events=event(lambda t, q: 0.0), **FIXED)
    assert always.t_events[0].tolist() == [0.0]


def test_a_zero_that_is_touched_is_no_crossing_of_the_other_direction():
    touched = lambda t, q: -((t - 0.5) ** 2)  # noqa: E731
    for direction, times in ((0, [0.5]), (1, [0.5]), (-1, [])):
        solution = solve(oscillator(), (0.0, 1.0), events=event(touched, direction=direction), **FIXED)
        assert solution.t_events[0].tolist() == times


@pytest.mark.parametrize("record", [None, EveryStep(3), LastOnly(), Times([0.0, 1.0])])
@pytest.mark.parametrize("direction", [0, 1])
def test_a_terminal_event_at_the_start_leaves_one_frame(record, direction):
    solution = solve(oscillator(), (0.0, 1.0), events=at(0.0, terminal=True, direction=direction), record=record)
    assert solution.status == 1 and solution.t.tolist() == [0.0] and solution.t_events[0].tolist() == [0.0]
    assert np.array_equal(solution.q[0], [[1.0, 0.0]])
    rest = solve(oscillator(), (0.0, 1.0), events=at(0.0, terminal=True), resume=solution.state)
    assert rest.status == 0 and not len(rest.t_events[0])
    falling = solve(oscillator(), (0.0, 1.0), events=at(0.0, terminal=True, direction=-1))
    assert falling.status == 0 and not len(falling.t_events[0])


def test_an_event_a_rounding_after_a_step_leaves_no_frame_twice():
    # The zero lies between 0.5, where a step ends, and the next number.
    just = event(lambda t, q: 1.0 if t > 0.5 else -1.0, terminal=True)
    solution = solve(oscillator(), (0.0, 1.0), events=just, **FIXED)
    assert solution.status == 1 and np.all(np.diff(solution.t) > 0) and solution.t[-1] == pytest.approx(0.5)


@pytest.mark.parametrize("scale", [1e-17, 1e-9, 1.0, 1e9, 1e17])
@pytest.mark.parametrize("options", [{"rtol": 1e-10, "atol": 1e-12}, {"method": "rk4", "dt": 0.01}])
def test_times_are_found_on_any_scale(scale, options):
    options = {**options, **({"dt": options["dt"] * scale} if "dt" in options else {})}
    solution = solve(
        oscillator(1 / scale), (0.0, 14.0 * scale), events=event(lambda t, q: q[0, 0], direction=-1), **options
    )
    # cos t falls through 0 at pi / 2 + 2 pi k; errors of 1e-10 a step (rk4: 14 dt^4 / 120) over at most 14 units.
    np.testing.assert_allclose(solution.t_events[0] / scale, [np.pi / 2, 5 * np.pi / 2], rtol=0, atol=1e-8)
    clock = solve(oscillator(1 / scale), (0.0, 2.0 * scale), events=at(scale / 3), **options)
    assert clock.t_events[0] == pytest.approx([scale / 3], rel=4e-16)


@pytest.mark.parametrize(
    ("system", "options"),
    [
        (oscillator(), {}),
        (oscillator(), {"method": "rk4", "dt": 0.3}),
        (oscillator(delay=0.7), {"method": "tsit5"}),
        (oscillator(drive=lambda t: 0.0), {"method": "heun", "dt": 0.3, "dense_output": True}),
    ],
)
def test_a_run_that_goes_on_from_its_events_is_the_run_without_ends(system, options):
    zeros = lambda t, q: q[0, 0]  # noqa: E731
    other = event(lambda t, q: q[0, 1] - 0.5)
    whole = solve(system, (0.0, 20.0), events=[event(zeros), other], **options)
    state, found, others, frames = None, [], [], []
    while True:
        part = solve(system, (0.0, 20.0), events=[event(zeros, terminal=True), other], resume=state, **options)
        found += part.t_events[0].tolist()
        others += part.t_events[1].tolist()
        frames += [frame for frame in zip(part.t, part.q, part.R, part.E, strict=True)]
        if part.status == 0:
            break
        assert part.status == 1 and part.t[-1] == found[-1]
        frames.pop()  # that of the event
        state = part.state
    assert found == whole.t_events[0].tolist() and others == whole.t_events[1].tolist() and len(found) == 6
    for ours, name in zip(zip(*frames, strict=True), ("t", "q", "R", "E"), strict=True):
        assert np.array_equal(np.array(ours), getattr(whole, name)), name


def test_a_count_goes_on_with_the_run_and_begins_anew_after_its_end():
    third = event(lambda t, q: q[0, 0], terminal=3)
    first = solve(oscillator(), (0.0, 5.0), events=third)  # zeros at 1.57, 4.71
    assert first.status == 0
    second = solve(oscillator(), (0.0, 30.0), events=third, resume=first.state)
    assert second.status == 1 and len(second.t_events[0]) == 1
    last = solve(oscillator(), (0.0, 30.0), events=third, resume=second.state)
    assert last.status == 1 and last.t_events[0] == pytest.approx(np.pi * np.array([3.5, 4.5, 5.5]), abs=1e-3)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "late", None, np.ones(2), np.ma.masked])
def test_an_event_that_turns_into_nonsense_ends_the_run(value):
    odd = event(lambda t, q: 1.0 if t < 0.6 else value)
    solution = solve(oscillator(), (0.0, 1.0), events=[odd, at(0.2)], **FIXED)
    assert solution.status == -1 and "events" in solution.message and "watched at t = 0.625" in solution.message
    assert solution.t.tolist() == [0.0, 0.125, 0.25, 0.375, 0.5] and solution.t_events[1].tolist() == [
        pytest.approx(0.2)
    ]
    rest = solve(oscillator(), (0.0, 1.0), resume=solution.state, **FIXED)
    assert np.array_equal(rest.q, solve(oscillator(), (0.0, 1.0), **FIXED).q[5:])
