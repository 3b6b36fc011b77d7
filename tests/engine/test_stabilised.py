"""Runge-Kutta-Chebyshev: order, stability, how many stages a step takes, and what it saves."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from dynsim.engine import METHODS, LastOnly, Operators, System, solve
from dynsim.engine.integrators._stabilised import (
    DAMPING,
    FEWEST_STAGES,
    MOST_STAGES,
    chebyshev_table,
    longest_product,
    stable_stages,
)

STAGES = [3, 4, 7, 20, 60, MOST_STAGES]


@pytest.mark.parametrize("s", STAGES)
def test_conditions_of_order_two(s):
    A, b, c, b_error, P = chebyshev_table(s)
    # Rows are sums of s numbers that grow as s^2 of these.
    rounding = 1e-15 * s**2
    assert abs(A.sum(1) - c).max() < rounding and abs(b.sum() - 1) < rounding and abs(b @ c - 0.5) < rounding
    assert not np.triu(A).any() and np.array_equal(A[-1], b) and c[-1] == 1.0
    # The estimate sees neither order 1 nor 2, and order 3 of both trees.
    assert abs(b_error.sum()) < rounding and abs(b_error @ c) < rounding
    assert abs(b_error @ c**2) > 0.05 and abs(b_error @ (A @ c)) > 0.05
    assert abs(P.sum(1) - b).max() < rounding
    for theta in (0.2, 0.5, 0.9):
        weights = P @ theta ** np.arange(1, 4)
        assert abs(weights.sum() - theta) < rounding and abs(weights @ c - 0.5 * theta**2) < rounding


@pytest.mark.parametrize("s", STAGES)
def test_stable_along_the_negative_axis(s):
    A, b, *_ = chebyshev_table(s)
    ends = 2 / 3 * (s**2 - 1) * (1 - 2 / 15 * DAMPING)
    sizes = []
    for z in -np.linspace(0.02, 1.0, 60) * ends:
        stages = np.zeros(len(b))
        for i in range(len(b)):
            stages[i] = 1 + z * A[i, :i] @ stages[:i]
        sizes.append(abs(1 + z * b @ stages))
    # a_s + b_s with the damping of Verwer et al.: about 1 - DAMPING / 3 away from 0, and at most 1 near it.
    assert max(sizes) < 1.0 and max(sizes[5:]) < 1 - DAMPING / 4
    assert stable_stages(longest_product(s)) <= s and stable_stages(ends) >= s


@pytest.mark.parametrize("s", [3, 8])
def test_order_is_the_fitted_slope(s):
    def f(y):
        return np.array([-y[1] - y[0] * y[1], y[0] - 0.3 * y[1] ** 2])

    A, b, *_ = chebyshev_table(s)
    exact = solve_ivp(lambda t, y: f(y), (0, 2), [1.0, 0.5], "DOP853", rtol=1e-13, atol=1e-14).y[:, -1]
    steps, errors = [20, 40, 80], []
    for n in steps:
        y = np.array([1.0, 0.5])
        for _ in range(n):
            K = np.zeros((len(b), 2))
            for i in range(len(b)):
                K[i] = f(y + 2 / n * A[i] @ K)
            y = y + 2 / n * b @ K
        errors.append(abs(y - exact).max())
    slope = -np.polyfit(np.log(steps), np.log(errors), 1)[0]
    assert abs(slope - 2) < 0.1


def chain(n=60):
    """Heat along a chain, q' = F q with F the second difference: rho = 4 n^2, all eigenvalues real and negative."""
    F = np.diag(np.full(n, -2.0)) + np.diag(np.ones(n - 1), 1) + np.diag(np.ones(n - 1), -1)
    return System(np.sin(np.arange(1, n + 1) * 0.7)[None], operators=Operators(F=(n + 1) ** 2 * F)), n


def test_stiff_decay_in_few_evaluations():
    system, _ = chain()
    values, vectors = np.linalg.eigh(system.operators.F)
    exact = vectors @ (np.exp(0.05 * values) * (vectors.T @ system.q[0]))
    found = {
        name: solve(system, (0.0, 0.05), method=name, rtol=1e-4, atol=1e-4, record=LastOnly())
        for name in ("rkc2", "dopri5")
    }
    for solution in found.values():
        # Each step errs by 1e-4 of a place of at most 1; what is left of errors decays.
        assert solution.success and abs(solution.q[-1, 0] - exact).max() < 2e-3
    # dopri5 is stable up to h rho = 3.3: 0.05 * 14,884 / 3.3 = 225 steps of 6; rkc2 takes h rho = s^2 / 1.5 by s.
    assert 4 * found["rkc2"].nfev < found["dopri5"].nfev


def test_the_error_is_within_what_is_asked():
    system = System([[1.0, 0.5]], operators=Operators(F=[[-1.0, 2.0], [-2.0, -1.0]]))
    turn = np.exp(-2.0) * np.array([[np.cos(4.0), np.sin(4.0)], [-np.sin(4.0), np.cos(4.0)]])
    errors = []
    for rtol in (1e-3, 1e-5, 1e-7):
        solution = solve(system, (0.0, 2.0), method="rkc2", rtol=rtol, atol=rtol, record=LastOnly())
        errors.append(abs(solution.q[-1, 0] - turn @ [1.0, 0.5]).max())
        # Each step errs by at most rtol (1 + |q|), and errors decay.
        assert errors[-1] < 2 * rtol * solution.naccepted
    assert errors[2] < 1e-2 * errors[0]


def test_frames_between_steps_and_stops():
    system, _ = chain(20)
    whole = solve(system, (0.0, 0.1), method="rkc2", t_eval=[0.013, 0.05, 0.1])
    parts = solve(system, (0.0, 0.1), method="rkc2", t_eval=[0.05], dense_output=True)
    np.testing.assert_array_equal(parts.q[0], whole.q[1])
    np.testing.assert_allclose(parts.sol(0.013), whole.q[0], rtol=1e-12)
    values, vectors = np.linalg.eigh(system.operators.F)
    exact = vectors @ (np.exp(0.013 * values) * (vectors.T @ system.q[0]))
    assert abs(whole.q[0, 0] - exact).max() < 1e-3


def test_runs_go_on_bit_for_bit_from_every_step():
    system, _ = chain(20)
    whole = solve(system, (0.0, 0.3), method="rkc2", rtol=1e-4)
    state = None
    for k in range(1, len(whole.t)):
        more = {} if state is None else {"resume": state}
        while True:
            part = solve(system, (0.0, 0.3), method="rkc2", rtol=1e-4, max_steps=1, **more)
            more = {"resume": part.state}
            if part.naccepted:
                break
        state = part.state
        np.testing.assert_array_equal(part.q[-1], whole.q[k])


def test_it_takes_no_fewer_stages_than_see_an_error():
    assert METHODS["rkc2"].arrays(1e-3, 1e-3)[0].shape == (FEWEST_STAGES + 1,) * 2
