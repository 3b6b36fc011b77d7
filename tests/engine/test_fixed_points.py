"""Fixed points against closed forms, and their eigenvalues against NumPy."""

import numpy as np
import pytest
from scipy.optimize import brentq

from dynsim.engine import Operators, System, configure, fixed_points
from dynsim.kernels import Kernel

# exp(-(r / length)^2 / 2) is exactly 1 in floating point: neurons that all feel each other alike.
UNIT = Kernel("gaussian", length=1e150)


def test_linear_systems():
    # q_i' = D (I_i + sum_j B q_j) + F q_i: central differences of a linear map are exact to rounding, 1e-16 / 6e-6.
    rng = np.random.default_rng(0)
    N, d, s = 3, 2, 2
    B, D, F = (rng.normal(size=(N, *shape)) for shape in ((s, d), (d, s), (d, d)))
    drive = rng.normal(size=(N, s))
    blocks = [[F[i] if i == j else D[i] @ B[j] for j in range(N)] for i in range(N)]
    J = np.block(blocks)
    expected = -np.linalg.solve(J, np.concatenate([D[i] @ drive[i] for i in range(N)])).reshape(N, d)
    system = System(rng.normal(size=(N, d)), kernel=UNIT, operators=Operators(B=B, D=D, F=F), drive=drive)
    (point,) = fixed_points(system)
    np.testing.assert_allclose(point.q, expected, rtol=0, atol=1e-9 * np.linalg.cond(J))
    values = np.linalg.eigvals(J)
    np.testing.assert_allclose(np.sort_complex(point.eigenvalues), np.sort_complex(values), atol=1e-8)
    assert point.starts == 10 and point.residual < 1e-12
    grows = values.real > 0
    assert point.verdict == ("saddle" if grows.any() and not grows.all() else "unstable" if grows.all() else "stable")


@pytest.mark.parametrize("delay", [0.0, 0.3])
def test_two_wells_by_tanh(delay):
    # The first neuron emits q, the second hears it and answers tanh(2 q), and does not move: q' = tanh(2 q) - q.
    column = [[[1.0]], [[0.0]]]
    operators = Operators(A=[[[0.0]], [[2.0]]], B=column, D=column, F=np.negative(column), activation="tanh")
    system = System([[0.3], [0.0]], kernel=UNIT, operators=operators, delay=delay)
    found = {round(point.q[0, 0], 6): point for point in fixed_points(system, starts=20, spread=1.0)}
    x = brentq(lambda x: np.tanh(2 * x) - x, 0.5, 1.5, xtol=1e-15)
    assert sorted(found) == [-round(x, 6), 0.0, round(x, 6)] or sorted(found) == [-round(x, 6), -0.0, round(x, 6)]
    for place, verdict, slope in ((x, "stable", 2 * (1 - x**2) - 1), (0.0, "unstable", 1.0)):
        point = found[round(place, 6)]
        # Differences over 6e-6 are wrong by its square times a third derivative of at most 16.
        assert point.verdict == verdict and abs(point.q[0, 0] - place) < 1e-9
        assert point.eigenvalues.shape == (1,) and abs(point.eigenvalues[0] - slope) < 1e-8
        assert point.q[1, 0] == 0.0 and point.E[1, 0] == pytest.approx(np.tanh(2 * place), abs=1e-9)
    assert sum(point.starts for point in found.values()) == 20


def test_two_wells_of_an_oscillator():
    F, D = np.zeros((3, 2, 2)), np.zeros((3, 2, 1))
    F[2], D[2] = [[0.0, 1.0], [-1.0, -0.2]], [[0.0], [1.0]]
    system = System([[1.0, 0.0], [-1.0, 0.0], [0.5, 0.0]], kernel=Kernel("gaussian", length=1.0), groups=[0, 0, 1],
                    operators=Operators(D=D, F=F), clamped={0: [[2.0], [-2.0]]})  # fmt: skip
    starts = np.repeat(system.q[None], 9, axis=0)
    starts[:, 2, 0] = np.linspace(-2.0, 2.0, 9)
    found = fixed_points(system, starts=starts)

    def force(x):
        return 2 * (np.exp(-((x - 1) ** 2) / 2) - np.exp(-((x + 1) ** 2) / 2)) - x

    def slope(x):
        return 2 * ((1 - x) * np.exp(-((x - 1) ** 2) / 2) + (1 + x) * np.exp(-((x + 1) ** 2) / 2)) - 1

    x = brentq(force, 1.0, 2.0, xtol=1e-15)
    found = sorted(found, key=lambda point: point.q[2, 0])
    assert [point.verdict for point in found] == ["stable", "saddle", "stable"]
    for point, place in zip(found, (-x, 0.0, x), strict=True):
        assert abs(point.q[2] - [place, 0.0]).max() < 1e-9 and np.array_equal(point.q[:2], system.q[:2])
        expected = np.roots([1.0, 0.2, -slope(place)])  # of lambda^2 + 0.2 lambda - f'(x)
        np.testing.assert_allclose(np.sort_complex(point.eigenvalues), np.sort_complex(expected), atol=1e-8)


@pytest.mark.parametrize(
    ("F", "verdict", "neutral"),
    [
        ([[0.0, 1.0], [-1.0, 0.0]], "centre", 0),
        ([[0.0, 1.0], [-1.0, -0.1]], "stable", 0),
        ([[0.0, 1.0], [-1.0, 0.1]], "unstable", 0),
        ([[1.0, 0.0], [0.0, -1.0]], "saddle", 0),
        ([[-1.0, 1.0], [1.0, -1.0]], "stable", 1),
        ([[1.0, 1.0], [1.0, 1.0]], "unstable", 1),
        ([[1.0, -1.0], [1.0, -1.0]], "neutral", 2),
    ],
)
def test_verdicts(F, verdict, neutral):
    point = fixed_points(System([[0.4, -0.3]], operators=Operators(F=F)), starts=3)[0]
    assert (point.verdict, point.neutral) == (verdict, neutral)


def test_what_moves_along_a_translation_is_one_point():
    # q_i' = sum_j (q_j - q_i): all at one place, wherever; the other directions decay at rate N.
    N, d = 4, 3
    system = System(np.random.default_rng(0).normal(size=(N, d)), kernel=UNIT, signals=d,
                    operators=Operators(B=1.0, D=1.0, F=1.0 - N))  # fmt: skip
    (point,) = fixed_points(system)
    assert point.verdict == "stable" and point.neutral == d and point.starts == 10
    assert np.ptp(point.q, axis=0).max() < 1e-9
    np.testing.assert_allclose(point.eigenvalues.real[d:], -N, atol=1e-8)


def test_copies():
    # Each copy obeys q^h' = D I - q^h.
    system = System(np.arange(6.0).reshape(3, 2, 1), operators=Operators(D=2.0, F=-1.0), drive=[[1.0], [3.0]])
    (point,) = fixed_points(system)
    np.testing.assert_allclose(point.q, np.broadcast_to([[2.0], [6.0]], (3, 2, 1)), atol=1e-9)
    assert len(point.eigenvalues) == 6


def test_forces_that_vanish_far_away_are_no_fixed_point():
    # Two neurons whose signals push both to the right for ever, ever less: q' = 1 / r or less, 0 nowhere.
    system = System([[0.0], [1.0]], operators=Operators(D=[[[1.0]], [[2.0]]]), clamped={0: 1.0})
    assert fixed_points(system) == []


def test_constant_drives_of_a_configuration():
    config = {"dimension": 1, "kernel": {"softening": 0.1}, "operators": {"D": 1.0, "F": -2.0},
              "groups": [{"neurons": 2, "drive": 3.0}],
              "run": {"until": 1.0}}  # fmt: skip
    (point,) = fixed_points(configure(config).system)
    np.testing.assert_allclose(point.q, 1.5, atol=1e-9)
    config["groups"][0]["drive"] = {"kind": "sine", "frequency": 1.0}
    with pytest.raises(ValueError, match=r"drive: got a signal that changes in time; expected a constant one"):
        fixed_points(configure(config).system)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"drive": lambda t: 1.0}, r"drive: got a signal that changes in time"),
        ({"drive": ([0.0, 1.0], np.zeros((2, 2, 1)))}, r"drive: got a signal that changes in time"),
        ({"clamped": {0: lambda t: t}}, r"clamped group 0: got a signal that changes in time"),
        ({"operators": Operators(A=0.1)}, r"system: got D, E and F that are all 0"),
        ({"q": np.zeros((501, 2))}, r"system: got 1,002 coordinates; expected at most 1,000"),
    ],
)
def test_refusals(changes, message):
    system = System([[1.0], [2.0]], operators=Operators(F=-1.0))
    with pytest.raises(ValueError, match=message):
        fixed_points(system.replace(**changes))
