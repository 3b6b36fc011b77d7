"""Delay 0 with an activation: which solution of R = I + Phi E(R) is taken, and how exactly."""

import numpy as np
import pytest

from dynsim.engine import Operators, System, solve
from dynsim.kernels import Kernel


@pytest.mark.parametrize("size", [1e-100, 1e-12, 1e-8, 1e-4])
def test_signals_of_any_size_are_solved_for(size):
    """tanh(x) is x up to x^3 / 3, so that the places are those of the linear system but for size^2."""
    end = []
    for activation in ("identity", "tanh"):
        operators = Operators(A=0.5, D=1 / size, activation=activation)
        system = System([[0.0], [1.0], [2.5]], kernel=Kernel("gaussian"), operators=operators,
                        drive=lambda t: size * np.sin(t))  # fmt: skip
        solution = solve(system, (0, 1), rtol=1e-8, atol=1e-10)
        assert solution.naccepted < 30
        end.append(solution.q[-1])
    np.testing.assert_allclose(end[1], end[0], rtol=1e-8 + size**2)


def test_signals_that_cancel_are_solved_for():
    """Two neurons of opposite signals at one distance from a third: what it receives is the rounding of its terms."""
    system = System([[-1.0, 0.0], [1.0, 0.0], [0.0, 0.5]], kernel=Kernel("gaussian"),
                    operators=Operators(A=0.5, B=[[1.0, 0.0]], activation="tanh"))  # fmt: skip
    solution = solve(system, (0, 1))
    assert solution.success
    np.testing.assert_allclose(solution.E[-1, :, 0], [-solution.E[-1, 1, 0], solution.E[-1, 1, 0], 0.0], atol=1e-15)


def test_emitted_signals_in_between_are_those_of_the_run():
    """With gain 4 there are several solutions; the run stays near the one that it comes from until that one ends."""
    operators = Operators(A=4.0, activation="tanh")
    system = System([[0.0], [1.0]], kernel=Kernel("gaussian"), operators=operators, drive=lambda t: t - 1.0)
    solution = solve(system, (0, 2), dense_output=True, max_step=0.05)
    emitted = np.array([solution.sol.emitted(t) for t in solution.t])
    np.testing.assert_allclose(emitted, solution.E, atol=1e-10)
    assert (solution.E[solution.t < 0.9] < -0.9).all() and (solution.E[-1] > 0.9).all()
    times = np.linspace(0.01, 1.99, 34)
    frames = solve(system, (0, 2), t_eval=times, max_step=0.05)
    np.testing.assert_array_equal([solution.sol.emitted(t) for t in times], frames.E)
    # So a later run with a delay looks back at the signals that there were.
    system = System([[0.0], [1.0]], kernel=Kernel("gaussian"), operators=Operators(D=1.0), delay=1.5)
    later = solve(system, (2, 2.3), history=solution, max_step=0.01)
    between = np.searchsorted(solution.t, 0.5)
    assert solution.E[between, 0, 0] < 0 and (later.q[-1] < later.q[0]).all()
