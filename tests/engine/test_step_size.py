"""How long steps are: the controllers against their formulas, written out."""

import math

import numpy as np
import pytest

from dynsim.engine import Operators, System, solve
from dynsim.engine._step_size import AdaptiveSteps, FixedSteps, step_accepted, step_end, step_refused, step_restart

FAR = 1e6  # an end that no step comes near


def written_out(errors, order, first, longest):
    """Lengths of the steps tried when the estimates of their errors are `errors`.

    Hairer, Norsett & Wanner, Solving Ordinary Differential Equations I, II.4: after an accepted step
    h_new = h min(facmax, max(facmin, fac err^-alpha err_old^beta)), with alpha = 0.7 / k, beta = 0.4 / k for
    k = order + 1; facmax is 1 after a refused step, whose own successor is h max(facmin, fac err^(-1 / k)).
    """
    k, h, last, refused = order + 1, min(first, longest), 1e-4, False
    lengths = []
    for error in errors:
        lengths.append(h)
        if error > 1:
            h *= max(0.2, 0.9 * error ** (-1 / k)) if math.isfinite(error) else 0.2
            refused = True
        else:
            factor = 0.9 * max(error, 1e-10) ** (-0.7 / k) * last ** (0.4 / k)
            h = min(h * min(1.0 if refused else 5.0, max(0.2, factor)), longest)
            last, refused = max(error, 1e-4), False
    return lengths


def tried(errors, order, first, longest):
    steps, t, lengths = AdaptiveSteps(first, order, longest), 0.0, []
    for error in errors:
        end = step_end(True, steps.numbers, t, FAR)
        lengths.append(end - t)
        if error > 1:
            step_refused(steps.numbers, error, steps.k)
        else:
            step_accepted(True, steps.numbers, error, steps.k, end)
            t = 0.0  # lengths are not rounded by a time that grows
    return lengths


@pytest.mark.parametrize("order", [2, 4, 7])
@pytest.mark.parametrize(
    "errors",
    [
        [0.5] * 6,
        [0.5, 0.01, 0.9, 0.3, 1.0, 0.02],  # the one before counts
        [0.5, 3.0, 0.5, 0.1, 0.1],  # no growth after a refusal, growth after that
        [1e-3, math.inf, 1e9, 1.5, 1e-3, 1e-3],
        [0.0, 1e-14, 1e-10, 1e-5, 0.9],  # no error is as small an error as counts
    ],
)
def test_lengths_of_adaptive_steps(errors, order):
    found = tried(errors, order, 0.1, math.inf)
    np.testing.assert_allclose(found, written_out(errors, order, 0.1, math.inf), rtol=1e-13)
    longest = sorted(found)[-2]
    held = tried(errors, order, 0.1, longest)
    np.testing.assert_allclose(held, written_out(errors, order, 0.1, longest), rtol=1e-13)
    assert max(held) == longest
    assert tried([0.5], order, 0.1, 0.03) == [0.03]


def test_errors_that_depend_on_the_length_are_held_below_one():
    steps, order, t = AdaptiveSteps(1.0, 4), 4, 0.0
    for _ in range(150):
        end = step_end(True, steps.numbers, t, FAR)
        error = (end - t) ** (order + 1) / 1e-5
        if error > 1:
            step_refused(steps.numbers, error, steps.k)
        else:
            step_accepted(True, steps.numbers, error, steps.k, end)
            t = end
    # Where neither length nor error changes 0.9 = error^(0.3 / k), so the error is 0.9^(k / 0.3).
    assert error == pytest.approx(0.9 ** ((order + 1) / 0.3), rel=1e-6)


def test_the_way_to_an_end_is_divided_evenly():
    steps = AdaptiveSteps(1.0, 4)
    assert step_end(True, steps.numbers, 0.0, 2.5) == 1.0
    assert step_end(True, steps.numbers, 1.0, 2.5) == 1.75 and steps.bent(1.0, 2.5)
    assert step_end(True, steps.numbers, 0.0, 2.0) == 1.0 and not steps.bent(0.0, 2.0)
    assert step_end(True, steps.numbers, 1.75, 2.5) == 2.5
    # What is less than a billionth of a step away is the end; more is not.
    assert step_end(True, steps.numbers, 0.0, 1.0 + 5e-10) == 1.0 + 5e-10
    assert step_end(True, steps.numbers, 0.0, 1.0 + 5e-9) == 0.5 + 2.5e-9


@pytest.mark.parametrize(("error", "longer"), [(0.999999, False), (0.05, False), (1e-8, True)])
def test_a_step_cut_short_hardly_changes_the_length(error, longer):
    steps = AdaptiveSteps(1.0, 4)
    end = step_end(True, steps.numbers, 0.0, 0.4)
    assert end == 0.4
    step_accepted(True, steps.numbers, error, steps.k, end)
    factor = min(5.0, 0.9 * error ** (-0.7 / 5) * 1e-4 ** (0.4 / 5))
    # It says that steps may be longer; that they must be shorter only if it was shortened itself.
    expected = 0.4 * factor if factor < 1 else max(1.0, 0.4 * factor)
    assert steps.numbers[0] == pytest.approx(expected, rel=1e-13) and (expected > 1) == longer


def test_a_step_cut_short_behind_a_refused_one_keeps_the_length():
    steps = AdaptiveSteps(2.0, 4)
    step_refused(steps.numbers, 1e9, steps.k)
    length = steps.numbers[0]
    end = step_end(True, steps.numbers, 0.0, 0.3 * length)
    step_accepted(True, steps.numbers, 1e-8, steps.k, end)
    # After a refusal nothing grows: its own length may stay, and so may the longer one that was not tried.
    assert steps.numbers[0] == length


def test_fixed_steps_are_counted():
    steps, times = FixedSteps(0.1, 3.0), [3.0]
    for stop in (3.25, 3.25, 3.25, 3.5, 3.5, 3.5):
        end = step_end(False, steps.numbers, times[-1], stop)
        step_accepted(False, steps.numbers, 0.0, steps.k, end)
        times.append(end)
    # The one that 3.25 cuts short ends where it would have ended; nothing is added up.
    assert times == [3.0, 3.0 + 0.1, 3.0 + 2 * 0.1, 3.25, 3.0 + 3 * 0.1, 3.0 + 4 * 0.1, 3.5]
    step_restart(False, steps.numbers, 3.42)
    assert steps.state() == {"dt": 0.1, "anchor": 3.42, "count": 0}
    assert step_end(False, steps.numbers, 3.42, 9.0) == 3.42 + 0.1
    other = FixedSteps(0.1, 0.0)
    other.restore(steps.state())
    assert other.state() == steps.state()
    longer = FixedSteps(0.3, 5.0)
    longer.restore(steps.state())  # of another length: counted from where they begin
    assert longer.state() == {"dt": 0.3, "anchor": 5.0, "count": 0}
    assert other.bent(3.42, 3.5) and not other.bent(3.42, 3.6)


@pytest.mark.parametrize(("start", "count"), [(0.0, 10**7), (0.0, 10**12), (1e12, 0)])
def test_fixed_steps_go_on_where_their_billionth_is_below_rounding(start, count):
    steps = FixedSteps(0.1, start)
    steps.restore({"dt": 0.1, "anchor": start, "count": count})
    t = start + count * 0.1
    for further in range(1, 6):
        end = step_end(False, steps.numbers, t, 2 * t + FAR)
        step_accepted(False, steps.numbers, 0.0, steps.k, end)
        assert end > t and end == start + (count + further) * 0.1
        t = end
    assert step_end(False, steps.numbers, t, start + (count + 6) * 0.1) == start + (count + 6) * 0.1


@pytest.mark.parametrize("rate", [1e160, 1e300])
def test_velocities_whose_squares_are_beyond_all_numbers(rate):
    solution = solve(System([[1.0, 2.0]], operators=Operators(F=-rate)), (0.0, 1.0), max_steps=5)
    assert solution.status == -1 and "max_steps" in solution.message


def test_adaptive_steps_go_on():
    steps = AdaptiveSteps(1.0, 4)
    for error in (0.5, 2.0):
        end = step_end(True, steps.numbers, 0.0, FAR)
        if error > 1:
            step_refused(steps.numbers, error, steps.k)
        else:
            step_accepted(True, steps.numbers, error, steps.k, end)
    other = AdaptiveSteps(7.0, 4)
    other.restore(steps.state())
    assert steps.state()["last_error"] == 0.5 and steps.state()["rejected"] is True and other.state() == steps.state()
    step_restart(True, other.numbers, 5.0)
    assert other.state() == steps.state()  # of adaptive steps the last length is the best guess
    held = AdaptiveSteps(7.0, 4, longest=1e-3)
    held.restore(steps.state())
    assert held.state()["h"] == 1e-3
