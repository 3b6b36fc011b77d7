"""Delayed runs against independent programs, to their own tolerance."""

import numpy as np
import pytest

from dynsim.engine import LastOnly, Operators, System, solve
from dynsim.kernels import Kernel

N, DELAY, END = 3, 0.5, 2.0
Q0 = np.random.default_rng(0).normal(size=(N, 2))
SOFTENING = 0.5


# Of what neuron j sends to neuron i, [j, i]; neuron 0 is a group and the others are one.
SEVERAL = np.array([[0.5, 0.3, 0.3], [0.7, 0.45, 0.45], [0.7, 0.45, 0.45]])


def ours(several=False):
    """q' = -q / 10 - R / 2 with E = q: retarded, so every program can do it."""
    system = System(
        Q0, kernel=Kernel(softening=SOFTENING), operators=Operators(B=1.0, D=-0.5, F=-0.1), signals=2, groups=[0, 1, 1],
        strengths=np.ones((2, 2)), delay=SEVERAL[:2, :2] if several else DELAY,
    )  # fmt: skip
    return solve(system, (0.0, END), rtol=1e-11, atol=1e-13, record=LastOnly()).q[-1]


@pytest.mark.parametrize("several", [False, True])
def test_against_jitcdde(several):
    jitcdde = pytest.importorskip("jitcdde", reason="needs jitcdde (pip install 'dynsim[bench]')")
    import symengine

    t, y = jitcdde.t, jitcdde.y
    equations = []
    for i in range(N):
        for k in range(2):
            received = 0
            for j in set(range(N)) - {i}:
                past = t - (SEVERAL[j, i] if several else DELAY)
                r2 = sum((y(2 * j + m, past) - y(2 * i + m)) ** 2 for m in range(2)) + SOFTENING**2
                received += y(2 * j + k, past) / symengine.sqrt(r2)
            equations.append(-0.1 * y(2 * i + k) - 0.5 * received)
    dde = jitcdde.jitcdde(equations, max_delay=SEVERAL.max(), verbose=False)
    dde.constant_past(Q0.ravel())
    dde.generate_lambdas(simplify=False)  # no compiler needed
    dde.set_integration_parameters(rtol=1e-8, atol=1e-10)
    dde.step_on_discontinuities()
    theirs = dde.integrate(END).reshape(N, 2)
    # Its interpolant is of order 3 and its error estimate local: two digits less than its rtol.
    np.testing.assert_allclose(ours(several), theirs, rtol=0, atol=1e-6)


def test_against_ddeint():
    ddeint = pytest.importorskip("ddeint", reason="needs ddeint (pip install 'dynsim[bench]')")

    def rhs(Y, t):
        q, past = Y(t).reshape(N, 2), Y(t - DELAY).reshape(N, 2)
        phi = 1 / np.sqrt(((past - q[:, None]) ** 2).sum(axis=2) + SOFTENING**2)
        np.fill_diagonal(phi, 0.0)
        return (-0.1 * q - 0.5 * phi @ past).ravel()

    errors = []
    for points in (51, 401):
        theirs = ddeint.ddeint(rhs, lambda t: Q0.ravel(), np.linspace(0.0, END, points))[-1].reshape(N, 2)
        errors.append(np.abs(theirs - ours()).max())
    # It interpolates the past linearly and does not stop where a delay ends: at least order 1 in the distance h of its
    # points, with |q''| below 10 on a span of 2, and what is left between us shrinks with h.
    assert errors[1] < 2 * 10 * (END / 400) / 8 and errors[1] < errors[0] / 2
