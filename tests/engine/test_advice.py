"""What the message of a run that ended early suggests is tried, and the run then reaches its end."""

import itertools
import json

import numpy as np
import pytest

from dynsim.engine import Operators, System, estimate, solve
from dynsim.engine._given_signals import waveform
from dynsim.kernels import Kernel


def succeeds(system, span, **options):
    solution = solve(system, span, **options)
    assert solution.status == 0 and np.isfinite(solution.q).all(), solution.message


def ends(status, system, span, *words, without=("smaller step", "tighter rtol"), **options):
    solution = solve(system, span, **options)
    assert solution.status == status, solution.message
    assert all(word in solution.message for word in words), solution.message
    assert not any(word in solution.message for word in without), solution.message
    return solution


def test_a_singular_field_at_delay_zero():
    system = System([[1.0], [2.0]], kernel=Kernel("gaussian", length=1e150), operators=Operators(A=1.0, B=1.0, F=-1.0))
    ends(-1, system, (0.0, 1.0), "weaken A, C or lambda, or give a delay")
    succeeds(system.replace(operators=Operators(A=0.5, B=1.0, F=-1.0)), (0.0, 1.0))
    succeeds(system.replace(strengths=0.5), (0.0, 1.0))
    succeeds(system.replace(delay=0.5), (0.0, 1.0))
    # C alone makes an echo, too: a = C D.
    by_motion = System([[0.0], [2.0]], operators=Operators(C=1.0, D=2.0), drive=0.1)
    ends(-1, by_motion, (0.0, 1.0), "weaken A, C or lambda, or give a delay")
    succeeds(by_motion.replace(operators=Operators(C=0.5, D=2.0)), (0.0, 1.0))


def test_newton_without_a_solution():
    system = System([[0.0], [1.0]], operators=Operators(A=1.0, activation="softplus"), drive=1.0)
    ends(-1, system, (0.0, 1.0), "weaken A, C or lambda, or give a delay")
    succeeds(system.replace(operators=Operators(A=0.5, activation="softplus")), (0.0, 1.0))
    succeeds(system.replace(delay=0.5), (0.0, 1.0))


@pytest.mark.parametrize("size", [1.0, 1e8, 1e-8])
def test_steps_that_are_too_small_at_a_jump(size):
    # A step over the jump errs by a share of 1e8 h: below 1e-13 only for an h that times near 0.7 do not resolve.
    system = System([[size]], operators=Operators(D=1.0), drive=lambda t: 1e8 * size if t >= 0.7 else 0.0)
    ends(-1, system, (0.0, 1.0), "loosen rtol and atol, or take a fixed step", rtol=1e-13, atol=1e-13 * size)
    succeeds(system, (0.0, 1.0))
    succeeds(system, (0.0, 1.0), method="rk4", dt=0.01)


@pytest.mark.parametrize("start", [0.0, 0.31])
@pytest.mark.parametrize("options", [{"rtol": 1e-4}, {}, {"rtol": 1e-10, "atol": 1e-12}, {"method": "bs32"}])
def test_a_clamp_that_jumps_where_nobody_can_look_is_found(start, options):
    """Three groups that hear one another one delay later: no step, however short, has an E that is smooth there."""
    generator = np.random.default_rng(3)
    system = System(
        generator.uniform(-1, 1, (6, 2)), kernel=Kernel("gaussian"), delay=0.2, groups=[0, 0, 1, 1, 2, 2],
        strengths=0.4 * np.ones((3, 3)), clamped={0: lambda t: float(t > start + 0.5137)},
        operators=Operators(A=0.3, D=np.ones((2, 1)), F=[[-0.2, -2.0], [2.0, -0.2]], activation="tanh"),
    )  # fmt: skip
    span, told = (start, start + 3.0), {"kind": "step", "at": start + 0.5137}
    solution = solve(system, span, **options)
    known = system.replace(clamped={0: waveform(told, "clamp", 2, 1)})
    exact = solve(known, span, rtol=1e-11, atol=1e-13)
    assert solution.success and exact.success, solution.message
    # Local errors of rtol in some hundred steps of a motion that spreads them by a few.
    assert np.abs(solution.q[-1] - exact.q[-1]).max() < 1e3 * options.get("rtol", 1e-6)


def test_a_motion_that_ends():
    # q' = q^2: infinite at t = 1.
    system = System(
        [[1.0], [-1.0]], kernel=Kernel("linear"), operators=Operators(D=[[[-0.5]], [[0.5]]], B=[[[-1.0]], [[1.0]]])
    )
    solution = ends(-1, system, (0.0, 2.0), "end the span by t = ", without=("rtol", "fixed step"))
    assert 0.9 < solution.t[-1] < 1.1
    succeeds(system, (0.0, solution.t[-1] - 1e-3))


@pytest.mark.parametrize("size", [2.0**-30, 1.0, 2.0**30])
def test_neurons_that_meet(size):
    # The first one moves to the place of the second, where it is at t = 1, the end of a step.
    system = System([[0.0], [size]], operators=Operators(D=size), drive=[[1.0], [0.0]])
    options = {"method": "euler", "dt": 0.25}
    ends(-2, system, (0.0, 2.0), "Two neurons meet", "give the kernel a softening", **options)
    succeeds(system.replace(kernel=Kernel(softening=0.1 * size)), (0.0, 2.0), **options)


def test_neurons_that_begin_at_one_place():
    together = System([[0.0], [0.0]], operators=Operators(A=0.1, D=1.0), drive=1.0)
    for options in ({}, {"method": "rk4", "dt": 0.1}):
        ends(-2, together, (0.0, 1.0), "Two neurons meet", "softening", without=("adaptive", "rtol"), **options)
    succeeds(together.replace(kernel=Kernel(softening=0.5)), (0.0, 1.0))


def test_a_field_that_grows_with_every_delay():
    system = System([[0.0], [2.0]], operators=Operators(A=200.0, B=1.0), delay=0.5)
    ends(-2, system, (0.0, 100.0), "weaken A, C or the strengths")
    succeeds(system.replace(operators=Operators(A=1.9, B=1.0)), (0.0, 100.0))
    succeeds(system.replace(strengths=0.009), (0.0, 100.0))


@pytest.mark.parametrize("delay", [0.0, 0.4])
def test_places_that_grow(delay):
    system = System([[1.0], [3.0]], operators=Operators(F=5.0), delay=delay)
    for options in ({"method": "rk4", "dt": 0.2}, {}):
        solution = ends(
            -2, system, (0.0, 1000.0), "weaken the operators", "end the span by", without=("dt",), **options
        )
    succeeds(system.replace(operators=Operators(F=-5.0)), (0.0, 2.0))
    succeeds(system, (0.0, 0.99 * solution.t[-1]))
    # An echo above 1 that is not what makes them grow.
    with_echo = system.replace(operators=Operators(F=5.0, A=2.2), delay=1.0)
    ends(-2, with_echo, (0.0, 1000.0), "weaken the operators", without=("weaken A",))


@pytest.mark.parametrize("method", ["euler", "heun", "rk4"])
def test_a_step_that_is_too_long(method):
    system = System([[1.0, 0.5]], operators=Operators(F=[[-50.0, 3.0], [-3.0, -40.0]]))
    ends(-2, system, (0.0, 1000.0), "take a smaller dt", method=method, dt=0.1)
    succeeds(system, (0.0, 10.0), method=method, dt=0.03)


def test_most_steps():
    system = System([[1.0]], operators=Operators(F=-1.0))
    for options in ({}, {"method": "rk4", "dt": 0.1}):
        solution = ends(-1, system, (0.0, 5.0), "increase max_steps, or resume", max_steps=5, **options)
        succeeds(system, (0.0, 5.0), max_steps=500, **options)
        succeeds(system, (0.0, 5.0), resume=solution.state, **options)


def test_times_that_are_too_large():
    system = System([[1.0, 0.0]], operators=Operators(F=[[0.0, -1.0], [1.0, 0.0]]))
    ends(-1, system, (1e17, 1e17 + 1e4), "let the span begin at 0")
    succeeds(system, (0.0, 1e2))


@pytest.mark.parametrize("value", [float("nan"), np.inf, "loud", np.ones(7), None, np.ma.masked])
@pytest.mark.parametrize("where", ["drive", "clamped", "history"])
@pytest.mark.parametrize("options", [{}, {"method": "rk4", "dt": 0.125}])
def test_a_function_that_turns_into_nonsense_ends_the_run(value, where, options):
    q = np.array([[0.0], [2.0]])

    def function(t):
        known = (t < 0.7) if where != "history" else (t < -0.3)
        return (q if where == "history" else 0.1) if known else value

    system = System(q, operators=Operators(D=1.0, A=0.1), delay=1.0, groups=[0, 1])
    if where == "history":
        options = {**options, "history": function}
    else:
        system = system.replace(**{where: function if where == "drive" else {1: function}})
    solution = solve(system, (0.0, 2.0), **options)
    assert solution.status == -1 and f"{where}" in solution.message and "at t = " in solution.message
    assert "last good time" in solution.message and 0.5 < solution.t[-1] <= 0.7 and np.isfinite(solution.E).all()
    assert solution.t[-1] > 0.69 or options.get("dt")  # adaptive steps find the place
    whole = solve(system, (0.0, 0.5), **options)  # "or end the span before"
    assert whole.success


def test_a_function_that_is_not_finite_at_the_start_gives_a_solution_without_frames():
    for given, delay in itertools.product((lambda t: np.nan, lambda t: -np.inf), (0.0, 0.5)):
        system = System([[0.0], [1.0]], operators=Operators(D=1.0), delay=delay, groups=[0, 1])
        for changes in ({"drive": given}, {"clamped": {0: given}}):
            solution = solve(system.replace(**changes), (0.0, 1.0))
            assert solution.status == -1 and len(solution.t) == 0 and f"got {given(0.0)}" in solution.message


def test_what_a_function_raises_is_the_callers():
    class Enough(Exception):
        pass

    def drive(t):
        if t > 0.6:
            raise Enough
        return 1.0

    frames = []
    with pytest.raises(Enough) as caught:
        solve(System([[0.0]], drive=drive), (0.0, 1.0), method="rk4", dt=0.25, sink=lambda *frame: frames.append(frame))
    assert "had reached t = 0.5" in caught.value.__notes__[0] and [frame[0] for frame in frames] == [0.0, 0.25, 0.5]


def test_an_estimate_of_a_run_that_fails_says_so():
    together = System([[0.0], [0.0]], operators=Operators(A=0.1, D=1.0), drive=1.0)
    costs = estimate(together, (0.0, 1.0))
    assert costs["status"] == -2 and "Two neurons meet" in costs["message"]
    assert json.dumps({name: costs[name] for name in ("steps", "seconds", "memory_bytes", "file_bytes")})
    fine = estimate(System([[0.0]], operators=Operators(F=-1.0)), (0.0, 1.0), max_steps=5)
    assert fine["status"] == 0 and fine["message"] == ""


def test_an_estimate_counts_steps_up_to_a_number_that_is_one():
    system = System([[1.0]], operators=Operators(F=-1.0))
    assert estimate(system, (0.0, 1e300))["steps"] == 2**62
    system = System([[1.0]], operators=Operators(F=-1e-12))
    assert estimate(system, (0.0, 1e18), method="rk4", dt=1e3)["steps"] == 10**15
