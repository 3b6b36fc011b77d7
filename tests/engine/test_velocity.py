"""q' by equation (3) is what plain sums give, and what solutions move by."""

import numpy as np
import pytest

import dynsim
from dynsim.engine import Operators, System, velocity


def reference(operators, q, R, E):
    """Equation (3) neuron by neuron, in float64."""
    places = q if q.ndim == 3 else q[None]
    out = np.zeros_like(places)

    def of(name, i, rows, columns):
        value = getattr(operators, name)
        if value.ndim == 3:
            return value[i]
        if value.ndim == 2:
            return value
        return (value[i] if value.ndim == 1 else value) * np.eye(rows, columns)

    N, d = places.shape[1:]
    s = R.shape[1]
    for h in range(len(places)):
        for i in range(N):
            moved = of("D", i, d, s) @ R[i] + of("E", i, d, s) @ E[i] + of("F", i, d, d) @ places[h, i]
            out[h, i] = moved
    return out.reshape(q.shape)


@pytest.mark.parametrize("copies", [None, 3])
@pytest.mark.parametrize("each", [False, True])
def test_it_is_equation_3(copies, each):
    rng = np.random.default_rng(0)
    N, d, s = 5, 3, 2
    lead = (N,) if each else ()
    operators = Operators(
        D=rng.normal(size=(*lead, d, s)), E=rng.normal(size=(*lead, d, s)), F=rng.normal(size=(*lead, d, d))
    )
    q = rng.normal(size=(N, d) if copies is None else (copies, N, d))
    R, E = rng.normal(size=(2, N, s))
    system = System(q, operators=operators)
    found = velocity(system, q, R=R, E=E)
    # Seven products of numbers below 5, each and their sums rounded to 2^-53 of at most 100.
    assert np.allclose(found, reference(operators, q, R, E), rtol=0, atol=1e-13)
    frames = velocity(system, np.stack([q, 2 * q]), R=np.stack([R, R]), E=np.stack([E, -E]))
    assert np.array_equal(frames[0], found) and np.array_equal(frames[1], velocity(system, 2 * q, R=R, E=-E))


@pytest.mark.parametrize("value", [-1.5, 0.0, np.array([1.0, -2.0, 0.5])])
def test_numbers_are_multiples_of_the_identity(value):
    q, zero = np.arange(6.0).reshape(3, 2), np.zeros((3, 1))
    found = velocity(System(q, operators=Operators(F=value)), q, R=zero, E=zero)
    assert np.array_equal(found, np.reshape(value, (-1, 1)) * q)


@pytest.mark.parametrize("copies", [None, 2])
def test_it_is_the_slope_of_a_solution(copies):
    rng = np.random.default_rng(1)
    operators = Operators(
        A=0.3, B=rng.normal(size=(1, 2)), C=0.1 * rng.normal(size=(1, 2)), D=rng.normal(size=(2, 1)),
        E=rng.normal(size=(2, 1)), F=[[-0.5, 1.0], [-1.0, -0.5]], activation="tanh",
    )  # fmt: skip
    q = rng.normal(size=(4, 2) if copies is None else (copies, 4, 2))
    system = System(q, kernel=dynsim.Kernel(softening=1.0), operators=operators, drive=0.5)
    h = 1e-3
    solution = dynsim.solve(system, (0.0, 1.0), method="rk4", dt=h, t_eval=[0.5 - h, 0.5, 0.5 + h])
    slope = (solution.q[2] - solution.q[0]) / (2 * h)
    found = velocity(system, solution.q[1], R=solution.R[1], E=solution.E[1])
    # Central differences leave out h^2 q''' / 6; with rates of change up to 5 per unit of time q''' is below 5^3 |q|.
    assert np.abs(slope - found).max() <= h**2 / 6 * 125 * np.abs(solution.q).max()
    assert np.abs(found).max() > 0.1


def test_what_is_not_finite_stays_so():
    system = System(np.eye(2), operators=Operators(D=np.ones((2, 1)), F=0.0))
    found = velocity(system, np.eye(2), R=[[np.nan], [1.0]], E=np.zeros((2, 1)))
    assert np.isnan(found[0]).all() and (found[1] == 1.0).all()


def test_refusals():
    system, signals = System(np.ones((2, 3))), np.zeros((2, 1))
    for q, R, words in (
        (np.ones((3, 3)), signals, r"q: got shape \(3, 3\); expected \(2, 3\)"),
        (np.ones((1, 1, 2, 3)), signals, "for T frames"),
        (np.ones((2, 3)), signals[:1], "R: got"),
        (np.ones((4, 2, 3)), signals, "R: got"),
    ):
        with pytest.raises(ValueError, match=words):
            velocity(system, q, R=R, E=signals)
    with pytest.raises(TypeError, match="system"):
        velocity(None, np.ones((2, 3)), R=signals, E=signals)
