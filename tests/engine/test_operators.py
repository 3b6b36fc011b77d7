"""The six operators: shapes, refusals, and (2) and (3) solved for each other."""

import numpy as np
import pytest
from scipy.special import expit, ndtr

from dynsim.engine import Operators, System, echo_gain, solve
from dynsim.engine._equations import ACTIVATIONS, activate, activation_slopes, emit, move
from dynsim.engine._operators import Resolved
from dynsim.kernels import Kernel


def random_operators(seed=0, s=2, d=3, each=None, **more):
    generator = np.random.default_rng(seed)
    shapes = {"A": (s, s), "B": (s, d), "C": (s, d), "D": (d, s), "E": (d, s), "F": (d, d)}
    front = () if each is None else (each,)
    return Operators(**{k: generator.standard_normal(front + v) for k, v in shapes.items()}, **more)


def resolved(operators, copies=1):
    return Resolved(operators, 4, copies, 2, 3, rates=np.empty(0), members=np.zeros(4, int), number_of_groups=1)


def activated(name, x, function=activate):
    values = np.array(x, float, ndmin=2)
    function(np.array([list(ACTIVATIONS).index(name)]), values)
    return values.reshape(np.shape(x))


def emitted(solved, R, Q):
    E, n = np.empty(solved.size), len(R)
    emit(R, Q, solved.arrays(), (np.empty(0), np.empty((0, *E.shape)), np.ones(n, bool), np.zeros_like(E)), E)
    return E


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("each", [None, 4])
@pytest.mark.parametrize("copies", [1, 3])
def test_both_equations_hold(activation, each, copies):
    operators = random_operators(each=each, activation=activation)
    generator = np.random.default_rng(1)
    R, q = generator.standard_normal((4, 2)), generator.standard_normal((copies, 4, 3))
    solved = resolved(operators, copies)
    E, dq = emitted(solved, R, q.sum(0)), np.empty_like(q)
    move(q, R, E, *solved.arrays()[6:9], dq)

    def apply(name, x):
        return np.einsum("...rc,...c->...r", getattr(operators, name), x)

    # The 2 x 2 systems have condition numbers below 1e3.
    expected = activated(activation, apply("A", R)) + apply("B", q.sum(0)) + apply("C", dq.sum(0))
    np.testing.assert_allclose(E, expected, rtol=0, atol=1e-11)
    np.testing.assert_allclose(dq, apply("D", R) + apply("E", E) + apply("F", q), rtol=0, atol=1e-11)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_slopes_are_differences(activation):
    x = np.linspace(-4, 4, 82)  # 0, where relu has a corner, is not among them
    step = 1e-6
    difference = (activated(activation, x + step) - activated(activation, x - step)) / (2 * step)
    # Rounding 1e-16 / 1e-6, truncation 1e-12.
    np.testing.assert_allclose(activated(activation, x, activation_slopes), difference, atol=1e-8)
    fine = np.abs(activated(activation, np.linspace(-20, 20, 40001), activation_slopes)).max()
    steepest = abs(activated(activation, ACTIVATIONS[activation].steepest_at, activation_slopes))
    assert fine <= steepest + 1e-12 and fine > steepest - 1e-4


@pytest.mark.parametrize(
    ("activation", "function"),
    [
        ("relu", lambda x: np.maximum(x, 0.0)),
        ("sigmoid", expit),
        ("softplus", lambda x: np.logaddexp(0.0, x)),
        ("silu", lambda x: x * expit(x)),
        ("gelu", lambda x: x * ndtr(x)),
    ],
)
def test_activations_against_scipy_far_out(activation, function):
    x = np.array([-800.0, -30.0, -2.0, -1e-9, 0.0, 1e-9, 0.7, 30.0, 800.0])
    # The distribution function, written as (1 + erf) / 2, keeps absolute accuracy only.
    np.testing.assert_allclose(activated(activation, x), function(x), rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("activation", ["identity", "tanh", "silu"])
@pytest.mark.parametrize("each", [None, 4])
def test_slope_of_the_emitted_signal(activation, each):
    solved = resolved(random_operators(each=each, activation=activation))
    generator = np.random.default_rng(2)
    R, q, change = generator.standard_normal((4, 2)), generator.standard_normal((4, 3)), 1e-6
    direction = generator.standard_normal((4, 2))
    difference = (emitted(solved, R + change * direction, q) - emitted(solved, R - change * direction, q)) / (
        2 * change
    )
    np.testing.assert_allclose(solved.slope(R).apply(direction), difference, atol=1e-6)


def test_a_number_is_a_multiple_of_the_identity():
    q = np.random.default_rng(0).standard_normal((5, 3))
    numbers = Operators(A=0.1, B=0.2, C=0.3, D=0.4, E=0.5, F=-0.6)
    one = np.eye(3)
    matrices = Operators(A=0.1 * one, B=0.2 * one, C=0.3 * one, D=0.4 * one, E=0.5 * one, F=-0.6 * one)
    each = Operators(**{name: getattr(numbers, name) * np.ones(5) for name in "ABCDEF"})
    kernel = Kernel("gaussian")
    results = [
        solve(System(q, kernel=kernel, operators=operators, signals=3), (0.0, 0.5), method="rk4", dt=0.1).q
        for operators in (numbers, matrices, each)
    ]
    np.testing.assert_allclose(results[1], results[0], rtol=1e-13)
    np.testing.assert_allclose(results[2], results[0], rtol=1e-13)


def test_a_number_is_refused_where_the_operator_is_not_square():
    q = np.zeros((2, 3))
    for name in "BCDE":
        with pytest.raises(ValueError, match=rf"operator {name}: got the number 0.5.*not|multiple of the identity"):
            System(q, operators=Operators(**{name: 0.5}))
        assert System(q, operators=Operators(**{name: 0.0})).signals == 1
        assert System(q, operators=Operators(**{name: 0.5}), signals=3).signals == 3


def test_a_singular_loop_is_refused_by_name():
    with pytest.raises(ValueError, match="I - C E is singular"):
        System([[1.0]], operators=Operators(C=2.0, E=0.5))
    assert System([[1.0]], operators=Operators(C=2.0, E=0.4)).signals == 1
    # With two copies it is I - 2 C E.
    with pytest.raises(ValueError, match="I - 2 C E is singular"):
        System([[[1.0]], [[2.0]]], operators=Operators(C=2.0, E=0.25))
    with pytest.raises(ValueError, match="for neuron 2"):
        System([[1.0], [2.0], [3.0]], operators=Operators(C=2.0, E=[0.1, 0.2, 0.5]))
    C, E = np.array([[1.0, 2.0]]), np.array([[0.5], [0.25]])
    with pytest.raises(ValueError, match="I - C E is singular"):
        System([[1.0, 2.0]], operators=Operators(C=C, E=E))


@pytest.mark.parametrize(
    ("operators", "words"),
    [
        ({"A": "big"}, "operator A"),
        ({"A": [1.0, float("nan")]}, "operator A"),
        ({"B": np.ones((1, 1, 1, 1))}, "operator B"),
        ({"A": np.eye(2), "B": np.ones((3, 2))}, "operators: got B.*s = 3.*A.*s = 2"),
        ({"A": np.eye(2), "F": np.ones((2, 3))}, "operators: got F"),
        ({"A": np.ones((2, 3))}, "operators: got A"),
        ({"activation": "tan"}, "activation: got 'tan'; expected one of identity, relu"),
        ({"activation": 3}, "activation"),
    ],
)
def test_wrong_operators_are_refused(operators, words):
    with pytest.raises((ValueError, TypeError), match=words):
        Operators(**operators)


@pytest.mark.parametrize(
    ("operators", "words"),
    [
        ({"F": np.eye(2)}, r"operator F: got shape \(2, 2\)"),
        ({"A": np.ones((4, 1, 1))}, r"operator A: got shape \(4, 1, 1\)"),
        ({"F": np.ones(4)}, r"operator F: got shape \(4,\)"),
        ({"D": np.ones((2, 1))}, "operator D"),
    ],
)
def test_operators_that_do_not_fit_the_places_are_refused(operators, words):
    with pytest.raises(ValueError, match=words):
        System(np.zeros((5, 3)), operators=Operators(**operators))


def test_echo_gain_is_the_spectral_radius(reference, monkeypatch):
    generator = np.random.default_rng(3)
    q = generator.uniform(-1, 1, (30, 3))
    operators = Operators(A=generator.standard_normal((2, 2)), activation="identity")
    groups, strengths = np.repeat([0, 1, 2], 10), generator.standard_normal((3, 3))
    system = System(
        q, kernel=Kernel("gaussian"), operators=operators, groups=groups, strengths=strengths, clamped={2: 1.0}
    )
    Phi = reference.coupling_matrix(system.kernel, q, q) * strengths[groups][:, groups].T
    Phi[:, groups == 2] = 0.0
    expected = np.abs(np.linalg.eigvals(np.kron(Phi, operators.A))).max()
    assert echo_gain(system) == pytest.approx(expected, rel=1e-10)
    monkeypatch.setattr("dynsim.engine._echo_gain.EIGENVALUES_LIMIT", 10)
    assert echo_gain(system) == pytest.approx(expected, rel=1e-5)  # Arnoldi was asked for 1e-6


def test_echo_gain_of_what_does_not_echo():
    q = np.random.default_rng(0).standard_normal((4, 2))
    assert echo_gain(System(q, operators=Operators(B=[[1.0, 1.0]]))) == 0.0
    assert echo_gain(System(q, operators=Operators(A=1.0), clamped={0: 1.0})) == 0.0
    # C D = 0.5 alone echoes.
    assert echo_gain(System([[0.0], [1.0]], operators=Operators(C=0.5, D=1.0))) == pytest.approx(0.5)


def test_echo_gain_of_an_activation():
    pair = System([[0.0], [1.0]], operators=Operators(A=2.0, activation="sigmoid"))
    assert echo_gain(pair) == pytest.approx(0.5)
    assert echo_gain(pair, R=np.full((2, 1), 100.0)) < 1e-9
    with pytest.raises(ValueError, match="R: got shape"):
        echo_gain(pair, R=[1.0])


@pytest.mark.parametrize("activation", ["identity", "tanh", "relu"])
@pytest.mark.parametrize("each", [None, 12])
def test_krylov_and_direct_solutions_agree_at_delay_zero(activation, each, monkeypatch):
    generator = np.random.default_rng(4)
    q = generator.uniform(-1, 1, (12, 3))
    small = random_operators(5, each=each)
    operators = Operators(
        **{name: 0.05 * getattr(small, name) for name in "ABCDE"}, F=0.1 * small.F, activation=activation
    )
    system = System(
        q, kernel=Kernel("inverse", softening=0.4), operators=operators, groups=np.repeat([0, 1, 2], 4),
        strengths=generator.standard_normal((3, 3)), drive=generator.standard_normal((12, 2)), clamped={1: 0.3},
    )  # fmt: skip
    direct = solve(system, (0.0, 0.5), method="rk4", dt=0.1)
    monkeypatch.setattr("dynsim.engine._zero_delay.DENSE_LIMIT", 1)
    krylov = solve(system, (0.0, 0.5), method="rk4", dt=0.1)
    assert direct.success and direct.echo_gain > 0.01
    # R is solved to 1e-12 relative; a well-conditioned system of gain below 1, 20 evaluations.
    np.testing.assert_allclose(krylov.R, direct.R, rtol=0, atol=1e-9)
    np.testing.assert_allclose(krylov.q, direct.q, rtol=0, atol=1e-9)


def test_newton_beyond_gain_one(reference):
    # A fixed-point iteration would run away; R must still obey R = I + Phi tanh(A R).
    generator = np.random.default_rng(6)
    q = generator.uniform(-1, 1, (10, 2))
    drive = generator.standard_normal((10, 1))
    system = System(q, kernel=Kernel("gaussian"), operators=Operators(A=-2.0, activation="tanh"), drive=drive)
    assert echo_gain(system) > 5
    solution = solve(system, (0.0, 0.1), method="euler", dt=0.1)
    R = solution.R[0]
    defect = R - drive - reference.coupling_matrix(system.kernel, q, q) @ np.tanh(-2.0 * R)
    assert np.abs(defect).max() < 1e-11
