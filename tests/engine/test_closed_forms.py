"""Runs against solutions known on paper."""

import numpy as np
import pytest
from numpy.polynomial import Polynomial
from scipy.integrate import solve_ivp
from scipy.special import lambertw

from dynsim.engine import Operators, System, solve
from dynsim.kernels import Kernel

# exp(-(r / length)^2 / 2) is exactly 1 in floating point: neurons that all feel each other alike.
UNIT = Kernel("gaussian", length=1e150)


@pytest.mark.parametrize("method", ["dopri5", "tsit5"])
@pytest.mark.parametrize("delay", [0.0, 0.7])
def test_one_neuron(method, delay):
    # q' = (F + E B) / (1 - E C) q; at rtol 1e-12 per step, a few hundred steps stay below 1e-9.
    B, C, E, F = 0.7, -0.4, 1.3, -2.0
    system = System([[1.5]], operators=Operators(A=3.0, B=B, C=C, E=E, F=F), delay=delay)
    solution = solve(system, (0.0, 2.0), method=method, rtol=1e-12, atol=1e-14)
    rate = (F + E * B) / (1 - E * C)
    assert abs(solution.q[:, 0, 0] - 1.5 * np.exp(rate * solution.t)).max() < 1e-9
    # (2) holds in every frame, with the q' of (3).
    velocity = rate * solution.q
    np.testing.assert_allclose(solution.E, B * solution.q + C * velocity, rtol=1e-12)
    assert not solution.R.any()


def test_one_neuron_with_copies():
    # Q = sum of H places obeys Q' = H E_op E + F Q, E = B Q + C Q', so Q' = (F + H E_op B) / (1 - H E_op C) Q.
    B, C, E, F, H = 0.7, -0.4, 0.6, -2.0, 3
    q = np.array([[[1.0]], [[-0.5]], [[2.0]]])
    solution = solve(System(q, operators=Operators(B=B, C=C, E=E, F=F)), (0.0, 1.0), rtol=1e-12, atol=1e-14)
    rate = (F + H * E * B) / (1 - H * E * C)
    exact = q.sum() * np.exp(rate * solution.t)
    assert solution.q.shape == (len(solution.t), 3, 1, 1)
    assert abs(solution.q.sum(axis=(1, 2, 3)) - exact).max() < 1e-9
    # The copies differ by e^(F t) alone.
    apart = solution.q[:, 0, 0, 0] - solution.q[:, 1, 0, 0]
    assert abs(apart - 1.5 * np.exp(F * solution.t)).max() < 1e-9


@pytest.mark.parametrize("activation", ["relu", "tanh", "identity"])
def test_network_of_layers_is_a_system(activation):
    # An MLP: A = activation, nothing moves, a group a layer, biases as drive, the input clamped.
    generator = np.random.default_rng(1)
    sizes, H, d, delay = (5, 7, 6, 3), 3, 4, 0.1
    layers = len(sizes) - 1
    groups = np.repeat(np.arange(len(sizes)), sizes)
    q = generator.uniform(-1, 1, (H, len(groups), d))
    strengths = np.zeros((H, len(sizes), len(sizes)))
    strengths[:, np.arange(layers), np.arange(1, len(sizes))] = generator.standard_normal((H, layers)) / 3
    strengths[:2, 0, 1] = 1.0, 2.0  # whole numbers count, too
    drive = 0.1 * generator.standard_normal((len(groups), 2))
    x = generator.standard_normal((sizes[0], 2))
    act = {"relu": lambda z: np.maximum(z, 0), "tanh": np.tanh, "identity": lambda z: z}[activation]

    expected, received = x, None
    for k in range(layers):
        lower, upper = q[:, groups == k], q[:, groups == k + 1]
        distance = np.sqrt(((upper[:, :, None] - lower[:, None]) ** 2).sum(-1))
        weights = (strengths[:, k, k + 1, None, None] / distance).sum(0)
        received = weights @ expected + drive[groups == k + 1]
        expected = act(received)

    shuffle = generator.permutation(len(groups))
    for order in (np.arange(len(groups)), shuffle):  # neurons of a group side by side, and anywhere
        members = order[groups[order] == 0]
        system = System(
            q[:, order], operators=Operators(A=1.0, activation=activation), delay=delay, groups=groups[order],
            strengths=strengths, drive=drive[order], clamped={0: x[members]}, signals=2,
        )  # fmt: skip
        solution = solve(system, (0.0, layers * delay), method="rk4", dt=delay)
        last = groups[order] == layers
        found = order[last] - sum(sizes[:-1])
        # Sums of at most 21 products of numbers of order 1, three layers deep.
        assert solution.t[-1] == layers * delay
        np.testing.assert_allclose(solution.E[-1][last], expected[found], rtol=0, atol=1e-12)
        np.testing.assert_allclose(solution.R[-1][last], received[found], rtol=0, atol=1e-12)
        assert np.array_equal(solution.q[-1], q[:, order])


def pieces(B, C, D, delay, count):
    """Method of steps for q' = D (B q + C q')(t - delay), history q = 1, E = B: a polynomial an interval."""
    E, start, out = Polynomial([B]), 1.0, []
    for _ in range(count):
        q = start + (D * E).integ()
        out.append(q)
        start, E = q(delay), B * q + C * q.deriv()
    return out


@pytest.mark.parametrize("C", [0.0, 0.6])
@pytest.mark.parametrize(("method", "dt"), [("rk4", 0.25), ("rk4", 0.17), ("dopri5", None), ("tsit5", None)])
def test_linear_delay_equation_by_the_method_of_steps(C, method, dt):
    # Two neurons that act on each other with phi = 1. Piece k has degree k + 1; rk4's lookups are exact up to degree
    # 3, and its step up to q' of degree 3, so that the first three pieces hold to rounding; so do five for order 5.
    delay, intervals = 0.5, 3
    system = System([[1.0], [1.0]], kernel=UNIT, operators=Operators(B=1.0, C=C, D=-1.3), delay=delay)
    exact = pieces(1.0, C, -1.3, delay, intervals)
    options = {"dt": dt} if dt else {}
    times = np.linspace(0, intervals * delay, 31)
    solution = solve(system, (0.0, intervals * delay), method=method, t_eval=times, **options)
    for t, q in zip(solution.t, solution.q[:, 0, 0], strict=True):
        k = min(int(t / delay), intervals - 1)
        assert abs(q - exact[k](t - k * delay)) < 1e-14 * 50
    assert np.array_equal(solution.t, times)


def test_frames_where_a_delay_ends_hold_the_limit_from_the_right():
    # E = C q' with q' = D R: interval 0 has R = E_history = B = 1, then E = q + C D: a jump at every k eps.
    delay, C, D = 0.5, 0.6, -1.3
    system = System([[1.0], [1.0]], kernel=UNIT, operators=Operators(B=1.0, C=C, D=D), delay=delay)
    solution = solve(system, (0.0, 3 * delay), method="rk4", dt=0.25, dense_output=True)
    q = pieces(1.0, C, D, delay, 4)
    for k in range(4):
        frame = int(np.flatnonzero(np.isclose(solution.t, k * delay))[0])
        assert solution.E[frame, 0, 0] == pytest.approx((q[k] + C * q[k].deriv())(0.0), abs=1e-13)
        if 0 < k < 3:
            left = solution.sol.emitted(solution.t[frame], left=True)[0, 0]
            assert left == pytest.approx((q[k - 1] + C * q[k - 1].deriv())(delay), abs=1e-13)
            assert solution.sol.emitted(solution.t[frame])[0, 0] == pytest.approx(solution.E[frame, 0, 0], abs=1e-13)


def test_field_between_frozen_places_is_a_power_of_the_matrix(reference):
    # Nothing moves: R_(k+1) = I + Phi (a R_k + b q), by hand against the run after six delays.
    generator = np.random.default_rng(5)
    q, kernel = generator.uniform(-1, 1, (9, 3)), Kernel("inverse", metric="l1")
    drive = generator.standard_normal((9, 1))
    B = generator.standard_normal((1, 3))
    system = System(q, kernel=kernel, operators=Operators(A=0.2, B=B), delay=0.3, drive=drive)
    Phi = reference.coupling_matrix(kernel, q, q)
    E = q @ B.T
    for _ in range(7):
        R = drive + Phi @ E
        E = 0.2 * R + q @ B.T
    solution = solve(system, (0.0, 6 * 0.3), method="heun", dt=0.3)
    np.testing.assert_allclose(solution.R[-1], R, rtol=1e-12)
    np.testing.assert_allclose(solution.E[-1], E, rtol=1e-12)


@pytest.mark.parametrize("strength", [-1.0, 1.0, -0.3])
def test_growth_rate_is_lambert_w(strength):
    # q' = c q(t - 1) with history e^(lambda t), lambda = W(c): the solution is e^(lambda t) for ever.
    root = complex(lambertw(strength))
    system = System([[1.0], [1.0]], kernel=UNIT, operators=Operators(B=1.0, D=strength), delay=1.0)

    def history(t):
        return np.full((2, 1), np.exp(root * t).real)

    solution = solve(system, (0.0, 6.0), history=history, rtol=1e-10, atol=1e-12)
    # The modes of this equation grow at most like e^(0.57 t): 1e-10 per step, about 100 steps, factor 30.
    assert abs(solution.q[:, 0, 0] - np.exp(root * solution.t).real).max() < 1e-6


def test_root_of_the_neutral_equation():
    # q' = D (B q + C q')(t - 1): e^(lambda t) with lambda e^lambda = D (B + C lambda).
    B, C, D = 1.0, 0.5, -0.8
    root = -0.3 + 0.7j
    for _ in range(50):  # Newton
        value, slope = root * np.exp(root) - D * (B + C * root), (1 + root) * np.exp(root) - D * C
        root -= value / slope
    assert abs(value) < 1e-13

    def history(t):
        return np.full((2, 1), np.exp(root * t).real), np.full((2, 1), ((B + C * root) * np.exp(root * t)).real)

    system = System([[1.0], [1.0]], kernel=UNIT, operators=Operators(B=B, C=C, D=D), delay=1.0)
    solution = solve(system, (0.0, 6.0), history=history, rtol=1e-10, atol=1e-12)
    exact = np.exp(root * solution.t).real
    assert abs(solution.q[:, 0, 0] - exact).max() < 1e-6


def test_delay_to_zero_agrees_with_delay_zero(reference):
    # The delayed field lags by O(eps), so the difference at t = 1 has slope 1 in eps.
    generator = np.random.default_rng(2)
    q = generator.uniform(-1, 1, (5, 2))
    operators = Operators(A=0.1, B=generator.standard_normal((1, 2)), D=generator.standard_normal((2, 1)), F=-0.5)
    kernel = Kernel("gaussian")
    at_once = solve(System(q, kernel=kernel, operators=operators), (0.0, 1.0), rtol=1e-11, atol=1e-12)
    assert 0 < at_once.echo_gain < 1
    delays = np.array([0.02, 0.01, 0.005])
    differences = [
        abs(
            solve(System(q, kernel=kernel, operators=operators, delay=eps), (0.0, 1.0), rtol=1e-9, atol=1e-11).q[-1]
            - at_once.q[-1]
        ).max()
        for eps in delays
    ]
    assert abs(reference.slope(delays, differences) - 1) < 0.1


@pytest.mark.parametrize("activation", ["identity", "tanh"])
def test_twenty_neurons_at_delay_zero_against_scipy(activation, reference):
    generator = np.random.default_rng(7)
    q = generator.uniform(-1, 1, (20, 2))
    A, B, C, D, E = (0.03 * generator.standard_normal((2, 2)) for _ in range(5))
    F = np.array([[-0.3, -1.0], [1.0, -0.3]])
    kernel = Kernel("inverse", softening=1.0)
    act = np.tanh if activation == "tanh" else lambda x: x
    matrices = (A, B, C, D, E, F)
    system = System(
        q, kernel=kernel, operators=Operators(**dict(zip("ABCDEF", matrices, strict=True)), activation=activation)
    )

    def velocity(t, y):
        places = y.reshape(q.shape)
        Phi = reference.coupling_matrix(kernel, places, places)
        R = np.zeros(q.shape)
        for _ in range(200):  # a fixed point: the gain is below 1
            new = Phi @ reference.solve_small(*matrices, act, R, places)[0]
            done = abs(new - R).max() < 1e-13
            R = new
            if done:
                return reference.solve_small(*matrices, act, R, places)[1].reshape(-1)
        raise AssertionError("the fixed point did not converge")

    exact = solve_ivp(velocity, (0.0, 2.0), q.reshape(-1), "DOP853", rtol=1e-10, atol=1e-12)
    solution = solve(system, (0.0, 2.0), rtol=1e-9, atol=1e-11)
    assert 0 < solution.echo_gain < 1
    # rtol 1e-9 a step, tens of steps, a contracting motion.
    np.testing.assert_allclose(solution.q[-1], exact.y[:, -1].reshape(q.shape), atol=1e-7)
