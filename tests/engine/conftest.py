"""Independent references for the engine's tests: NumPy written out from (1') to (3), SciPy for the time."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from dynsim.engine import METHODS

collect_ignore = ["random_systems.py"]  # a program of its own, from which a test takes its systems
sys.path.insert(0, str(Path(__file__).parent))


def fixed(name):
    """A method with its error estimate taken off, so that it runs with a fixed step."""
    return replace(METHODS[name], b_error=None, error_order=0)


def coupling_matrix(kernel, sources, targets):
    """Phi of one group and one copy, written out."""
    difference = targets[:, None, :] - sources[None, :, :]
    distance = np.sqrt((difference**2).sum(-1)) if kernel.metric == "l2" else np.abs(difference).sum(-1)
    np.fill_diagonal(distance, 1.0)
    values = kernel.value(distance)
    np.fill_diagonal(values, 0.0)
    return values


def solve_small(A, B, C, D, E, F, act, R, q):
    """E and q' of one copy from R, by solving (2) and (3) as one linear system per neuron."""
    (s, d), n = B.shape, len(q)
    block = np.block([[np.eye(s), -C], [-E, np.eye(d)]])
    right = np.concatenate([act(R @ A.T) + q @ B.T, R @ D.T + q @ F.T], axis=1)
    both = np.linalg.solve(block, right.T).T
    assert both.shape == (n, s + d)
    return both[:, :s], both[:, s:]


def method_of_steps(kernel, matrices, act, q0, E0, delay, intervals, rtol=1e-13, atol=1e-14):
    """q at k * delay, k = 0..intervals, with constant history q0, E0: no interpolation anywhere.

    Interval k of the delay equation, as a function of theta in [0, delay], obeys an ordinary equation driven by
    interval k - 1 at the same theta; all intervals up to k are integrated side by side with SciPy's DOP853.
    """
    n, d = q0.shape
    starts = [q0]
    for k in range(intervals):

        def velocities(theta, y, k=k):
            places = y.reshape(k + 1, n, d)
            past_q, past_E, out = q0, E0, []
            for q in places:
                R = coupling_matrix(kernel, past_q, q) @ past_E
                past_E, dq = solve_small(*matrices, act, R, q)
                past_q = q
                out.append(dq)
            return np.concatenate(out).reshape(-1)

        run = solve_ivp(velocities, (0, delay), np.concatenate(starts).reshape(-1), "DOP853", rtol=rtol, atol=atol)
        assert run.success
        starts.append(run.y[:, -1].reshape(k + 1, n, d)[-1])
    return np.array(starts)


def slope(steps, errors):
    """The fitted exponent p of error = c step^p."""
    return np.polyfit(np.log(steps), np.log(errors), 1)[0]


class Reference:
    """The functions above, for tests that are imported one by one."""

    fixed = staticmethod(fixed)
    coupling_matrix = staticmethod(coupling_matrix)
    solve_small = staticmethod(solve_small)
    method_of_steps = staticmethod(method_of_steps)
    slope = staticmethod(slope)


@pytest.fixture(scope="session")
def reference():
    return Reference
