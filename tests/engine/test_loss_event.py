"""The event "loss < x"."""

import pickle

import numpy as np
import pytest

from dynsim.engine import LastOnly, Operators, System, Teacher, loss_below, solve
from dynsim.kernels import Kernel

STIFFNESS = 4.0
SAMPLES = [[0.2, 0.7, -0.4]]


def spring(**options):
    """q' = -k q from 1, with L = k q^2 / 2, of E = sqrt(k) q against 0."""
    settings = {"operators": Operators(B=np.sqrt(STIFFNESS)), "strengths": 0.0, "teacher": Teacher(0, [[0.0]])}
    return System([[1.0]], **{**settings, **options})


def pair(**options):
    """One neuron that another, clamped one teaches to receive half of what it sends."""
    settings = {
        "kernel": Kernel("gaussian"), "operators": Operators(A=1.0), "groups": [0, 1], "strengths": [[0, 1], [0, 0]],
        "clamped": {0: SAMPLES}, "teacher": Teacher(1, 0.5 * np.array(SAMPLES)), "signals": 3,
    }  # fmt: skip
    return System([[0.0, 0.0], [0.3, 0.1]], **{**settings, **options})


@pytest.mark.parametrize("method", ["dopri5", "rkc2"])
def test_the_run_ends_where_the_loss_is_x(method):
    x = 0.1
    solution = solve(spring(), (0.0, 10.0), method=method, rtol=1e-9, atol=1e-12, events=loss_below(spring(), x))
    # k exp(-2 k t) / 2 = x; places err by 1e-9 a step, and time by that over L' / L = 2 k.
    assert solution.status == 1
    assert solution.t[-1] == pytest.approx(np.log(STIFFNESS / (2 * x)) / (2 * STIFFNESS), abs=1e-6)


def test_the_signals_are_those_of_the_run():
    system = pair()
    event = loss_below(system, 0.01)
    assert event.terminal and event.direction == -1 and event.__name__ == "loss < 0.01"
    solution = solve(system, (0.0, 3.0))
    for t, q, E in zip(solution.t, solution.q, solution.E, strict=True):
        assert event(t, q) == pytest.approx(system.teacher.value(E[1:]) - 0.01, abs=1e-15)
    np.testing.assert_array_equal(event(0.0, solution.q[-1]), pickle.loads(pickle.dumps(event))(0.0, solution.q[-1]))


def test_a_neuron_with_mass_and_signals_that_step():
    def sent(t):
        return np.array(SAMPLES) * (2.0 if t >= 1.0 else 1.0)

    system = pair(mass=1.0, clamped={0: sent})
    event, solution = loss_below(system, 1e-9), solve(system, (0.0, 2.0), method="verlet", dt=0.1)
    for t, q, E in zip(solution.t, solution.q, solution.E, strict=True):
        if abs(t - 1.0) > 1e-9:  # there it is a matter of rounding on which side it is
            assert event(t, q) == pytest.approx(system.teacher.value(E[1:]) - 1e-9, abs=1e-15)


def test_groups_in_a_circle():
    alone = pair(strengths=[[0, 1], [0, 0.5]], operators=Operators(A=1.0, activation="tanh"))
    places, wanted = [*alone.q, [0.0, 0.5]], 0.5 * np.array(SAMPLES * 2)
    system = System(places, **{
        "kernel": alone.kernel, "operators": alone.operators, "groups": [0, 1, 1], "strengths": alone.strengths,
        "clamped": {0: SAMPLES}, "teacher": Teacher(1, wanted),
    })  # fmt: skip
    x = 0.5 * system.teacher.value(solve(system, (0.0, 0.1), method="euler", dt=0.1).E[0, 1:])
    solution = solve(system, (0.0, 1000.0), events=loss_below(system, x), record=LastOnly())
    assert solution.status == 1
    # Signals at delay 0 are solved for to 1e-12 or so, relative.
    assert system.teacher.value(solution.E[-1, 1:]) == pytest.approx(x, rel=1e-8)


def test_a_run_that_begins_below_goes_on():
    assert solve(spring(), (0.0, 1.0), events=loss_below(spring(), 100.0)).status == 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: loss_below(spring(teacher=None), 0.1), "system: got one without a teacher"),
        (lambda: loss_below(pair(delay=0.5), 0.1), r"system: got one with the delay 0\.5; expected delay 0"),
        (lambda: loss_below(spring(), 0.0), "x: got 0"),
        (lambda: loss_below(spring(), float("nan")), "x: got nan"),
    ],
)
def test_what_has_no_such_event_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
    with pytest.raises(TypeError, match="system: got"):
        loss_below(3, 0.1)
