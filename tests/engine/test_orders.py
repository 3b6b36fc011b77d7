"""The order of every registered method, as a fitted slope: with delay 0, retarded, neutral; dt dividing eps or not."""

from functools import cache

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.optimize import root

from dynsim.engine import METHODS, LastOnly, Operators, System, Tableau, solve
from dynsim.kernels import Kernel

KERNEL = Kernel("gaussian", length=1.3)
TABLEAUX = [name for name, method in METHODS.items() if isinstance(method, Tableau)]
DELAY, INTERVALS = 0.8, 3
# Steps per delay, by the order: the coarsest where the leading term of the error rules, the finest where rounding does
# not.
STEPS = {1: (64, 128, 256), 2: (32, 64, 128), 3: (32, 64, 128), 4: (24, 48, 96), 5: (64, 96, 128)}


@cache
def problem(kind, reference):
    """System and the exact places at the end, from SciPy without any delay, interpolant or code of the engine."""
    generator = np.random.default_rng(3)
    q0 = 1.5 * generator.uniform(-1, 1, (4, 2))
    A, B, C, D, E, F = (g * generator.standard_normal((2, 2)) for g in (0.5, 0.6, 0.4, 0.7, 0.4, 0.4))
    # A fast rotation: the motion, not the step at a cut, decides the error.
    F = F + np.array([[-0.5, -5.0], [5.0, -0.5]])
    if kind == "retarded":
        A, C = np.zeros((2, 2)), np.zeros((2, 2))
    if kind == "instant":
        # Weak enough for R to be unique all the way: rho(a Phi) < 1.
        A, B, C = 0.4 * A, 0.5 * B, 0.4 * C
    act, name = (np.tanh, "tanh") if kind != "retarded" else ((lambda x: x), "identity")
    matrices = (A, B, C, D, E, F)
    system = System(
        q0,
        kernel=KERNEL,
        operators=Operators(**dict(zip("ABCDEF", matrices, strict=True)), activation=name),
        delay=0.0 if kind == "instant" else DELAY,
    )
    if kind == "instant":
        return system, instant_reference(matrices, act, q0, reference)
    return system, reference.method_of_steps(KERNEL, matrices, act, q0, q0 @ B.T, DELAY, INTERVALS)[-1]


def instant_reference(matrices, act, q0, reference):
    """Delay 0: R from scipy.optimize.root, time from DOP853."""
    warm = [np.zeros(q0.size)]

    def velocity(t, y):
        q = y.reshape(q0.shape)
        Phi = reference.coupling_matrix(KERNEL, q, q)

        def defect(R):
            R = R.reshape(q.shape)
            return (R - Phi @ reference.solve_small(*matrices, act, R, q)[0]).reshape(-1)

        found = root(defect, warm[0], tol=1e-14)
        assert np.abs(defect(found.x)).max() < 1e-12
        warm[0] = found.x
        return reference.solve_small(*matrices, act, found.x.reshape(q.shape), q)[1].reshape(-1)

    run = solve_ivp(velocity, (0, DELAY * INTERVALS), q0.reshape(-1), "DOP853", rtol=1e-12, atol=1e-13)
    assert run.success
    return run.y[:, -1].reshape(q0.shape)


@pytest.mark.parametrize("name", TABLEAUX)
@pytest.mark.parametrize(
    ("kind", "part"), [("instant", 0.0), ("retarded", 0.0), ("retarded", 0.4), ("neutral", 0.0), ("neutral", 0.4)]
)
def test_order_is_the_fitted_slope(kind, part, name, reference):
    # part = 0.4: a delay holds n whole steps and a short one, so dt does not divide eps and steps are unequal.
    system, exact = problem(kind, reference)
    steps = [DELAY / (n + part) for n in STEPS.get(METHODS[name].order, STEPS[5])]
    errors = []
    for dt in steps:
        solution = solve(system, (0.0, DELAY * INTERVALS), method=reference.fixed(name), dt=dt, record=LastOnly())
        errors.append(np.linalg.norm(solution.q[-1] - exact))
    fitted = reference.slope(steps, errors)
    print(f"{kind} {name} part {part}: slope {fitted:.3f}, errors {errors}")
    assert abs(fitted - METHODS[name].order) < 0.1


def conditions(A, b, c):
    """Left and right sides of the order conditions up to order 5, by order (Butcher's trees)."""
    Ac, Acc = A @ c, A @ c**2
    return {
        1: [(b.sum(), 1)],
        2: [(b @ c, 1 / 2)],
        3: [(b @ c**2, 1 / 3), (b @ Ac, 1 / 6)],
        4: [(b @ c**3, 1 / 4), (b @ (c * Ac), 1 / 8), (b @ Acc, 1 / 12), (b @ A @ Ac, 1 / 24)],
        5: [
            (b @ c**4, 1 / 5),
            (b @ (c**2 * Ac), 1 / 10),
            (b @ Ac**2, 1 / 20),
            (b @ (c * Acc), 1 / 15),
            (b @ (c * (A @ Ac)), 1 / 30),
            (b @ A @ c**3, 1 / 20),
            (b @ A @ (c * Ac), 1 / 40),
            (b @ A @ Acc, 1 / 60),
            (b @ A @ A @ Ac, 1 / 120),
        ],
    }


@pytest.mark.parametrize("name", TABLEAUX)
def test_tableau_obeys_the_order_conditions(name):
    method = METHODS[name]
    # Sums of up to 7^2 products of rounded numbers below 13 * 13: 50 * 170 * 1e-16.
    for p, pairs in conditions(method.A, method.b, method.c).items():
        worst = max(abs(left - right) for left, right in pairs)
        assert worst < 1e-12 if p <= method.order else p > method.order + 1 or worst > 1e-6
    if method.adaptive:
        embedded = conditions(method.A, method.b - method.b_error, method.c)
        for p in range(1, method.error_order + 1):
            assert max(abs(left - right) for left, right in embedded[p]) < 1e-12
        assert max(abs(left - right) for left, right in embedded[method.error_order + 1]) > 1e-6


@pytest.mark.parametrize("name", TABLEAUX)
def test_interpolant_obeys_the_order_conditions_everywhere(name):
    method = METHODS[name]
    # b(theta) at order p must give theta^p times the tree's number: local error O(h^(uniform order + 1)) = O(h^p).
    uniform = max(1, method.order - 1)
    for theta in (0.1, 0.37, 0.5, 0.9, 1.0):
        b = method.P @ theta ** np.arange(1, method.P.shape[1] + 1)
        for p in range(1, uniform + 1):
            for left, right in conditions(method.A, b, method.c)[p]:
                assert abs(left - right * theta**p) < 1e-12


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"A": [[0, 1], [1, 0]]}, "triangular"),
        ({"b": [1, 1]}, "summing to 1"),
        ({"c": [0, 1]}, "row sums"),
        ({"P": [[1, 0], [0, 1]]}, "rows of P"),
        ({"P": [[1, 0]]}, "do not fit"),
        ({"nodes": 1}, "nodes"),
        ({"b_error": [1, 0], "error_order": 1}, "b_error"),
    ],
)
def test_wrong_tableaus_are_refused(change, word):
    right = {"A": [[0, 0], [0.5, 0]], "b": [0, 1], "c": [0, 0.5], "P": [[1, -1], [0, 1]]}
    assert not Tableau("midpoint", 2, **right).adaptive
    with pytest.raises(ValueError, match=word):
        Tableau("midpoint", 2, **{**right, **change})
    with pytest.raises(TypeError, match="tableau name: got int 3"):
        Tableau(3, 2, **right)
    with pytest.raises(TypeError, match="tableau reference: got int 3"):
        Tableau("midpoint", 2, reference=3, **right)


def test_a_method_of_ones_own_runs(reference):
    midpoint = Tableau("midpoint", 2, A=[[0, 0], [0.5, 0]], b=[0, 1], c=[0, 0.5], P=[[1, -1], [0, 1]])
    system, exact = problem("neutral", reference)
    coarse, fine = (
        np.linalg.norm(solve(system, (0, DELAY * INTERVALS), method=midpoint, dt=DELAY / n).q[-1] - exact)
        for n in (64, 128)
    )
    assert abs(np.log2(coarse / fine) - 2) < 0.1
