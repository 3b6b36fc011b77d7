"""The largest Lyapunov exponent: exactly known linear systems, and tangent dynamics computed independently."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.special import lambertw

from dynsim.engine import Operators, System, compiled_at_once, fixed_points, lyapunov
from dynsim.kernels import Kernel

# exp(-(r / length)^2 / 2) is exactly 1 in floating point: neurons that all feel each other alike.
UNIT = Kernel("gaussian", length=1e150)


@pytest.mark.parametrize(
    ("method", "options"), [("dopri5", {}), ("tsit5", {}), ("bs32", {}), ("rk4", {"dt": 0.05}), ("heun", {"dt": 0.005})]
)
@pytest.mark.parametrize("rate", [0.3, -0.5])
def test_one_rate(method, options, rate):
    # Steps are such that the separation grows by e^(rate h) to 1e-6 of the rate; a fixed step of order p is wrong by
    # (rate h)^p / (p + 1)!, at most 1e-6 here. Rounding is 2e-16 of places that are 1e8 times the separation.
    system = System([[1.0], [2.0]], operators=Operators(F=rate))
    found = lyapunov(system, (1.0, 21.0), method=method, **options)
    assert found.success and found.exponent == pytest.approx(rate, abs=1e-6)
    assert found.uncertainty < 1e-7 and len(found.t) == 360 and found.t[-1] == 21.0
    assert found.values[-1] == found.exponent == pytest.approx(found.rates.mean(), rel=1e-12)


def test_a_run_that_comes_to_rest_at_the_origin():
    # Long after q is below atol, and its own error allows steps at the limit of stability.
    found = lyapunov(System([[1.0], [2.0]], operators=Operators(F=-1.0)), (0.0, 200.0))
    assert found.exponent == pytest.approx(-1.0, abs=2e-6)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_largest_of_several_rates(seed):
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(3, 3))
    F = vectors @ np.diag([0.3, -0.2, -1.0]) @ np.linalg.inv(vectors)
    # After the transient the second direction is left with e^(-0.5 * 40) = 2e-9 of its share.
    found = lyapunov(System(rng.normal(size=(2, 3)), operators=Operators(F=F)), (0.0, 80.0), transient=40.0, seed=seed)
    assert found.exponent == pytest.approx(0.3, abs=2e-6)


def test_damped_oscillator():
    damping = 0.1
    F = np.array([[0.0, 1.0], [-1.0, -2 * damping]])
    found = lyapunov(System([[1.0, 0.0]], operators=Operators(F=F)), (0.0, 200.0))
    # The length of a turning vector lies between its ends, whose ratio is the condition of the eigenvectors.
    condition = np.linalg.cond(np.linalg.eig(F)[1])
    assert abs(found.exponent + damping) < np.log(condition) / 180.0 + 2e-6
    # One end of an interval more or less in a block of 18 changes it by that; 20 blocks.
    assert found.uncertainty < np.log(condition) / (18 * 0.5) / np.sqrt(20)


@pytest.mark.parametrize("strength", [0.8, 1.5])
def test_delay(strength):
    # q' = c q(t - 1) for places that are alike, -c for those that differ: the largest root is W(c), and real; the next
    # real parts are 0.6 and more below it.
    system = System([[1.0], [2.0]], kernel=UNIT, operators=Operators(B=1.0, D=strength), delay=1.0)
    # After the transient e^(-0.6 * 25) of them is left; rtol is 1e-6 of the rate at every evaluation.
    found = lyapunov(system, (0.0, 40.0), transient=25.0, renormalise=0.25)
    assert found.success and found.exponent == pytest.approx(lambertw(strength).real, abs=1e-5)


@pytest.mark.parametrize(("gain", "expected"), [(1.5, np.log(1.5)), (0.75, 0.0)])
def test_echo_between_frozen_neurons(gain, expected):
    # E comes back after a delay of 1 as gain E; whole delays are counted, at 20 of which the frozen places have a
    # share of 1.5^-40 in the square. Below gain 1 the places are all that is left, and do not move.
    system = System([[0.0], [2.0]], operators=Operators(A=2 * gain), delay=1.0)
    found = lyapunov(system, (0.0, 60.0), transient=40.0, renormalise=0.25)
    assert found.success and found.exponent == pytest.approx(expected, abs=1e-5)


def well(drive=0.4, damping=0.2):
    """A damped particle between two frozen ones that push it away, x'' = f(x) - x - damping x' + drive cos t."""
    F, D = np.zeros((3, 2, 2)), np.zeros((3, 2, 1))
    F[2], D[2] = [[0.0, 1.0], [-1.0, -damping]], [[0.0], [1.0]]
    return System(
        [[1.0, 0.0], [-1.0, 0.0], [0.5, 0.0]],
        kernel=Kernel("gaussian", length=1.0),
        operators=Operators(D=D, F=F),
        groups=[0, 0, 1],
        clamped={0: [[2.0], [-2.0]]},
        drive=lambda t: np.array([[0.0], [0.0], [drive * np.cos(t)]]),
    )


def moved(t, q, drive=0.4, damping=0.2):
    """q' of `well`, written out."""
    out = np.zeros_like(q)
    R = sum(sign * 2 * np.exp(-((q[2] - q[i]) ** 2).sum() / 2) for i, sign in ((0, 1), (1, -1)))
    out[2] = q[2, 1], R + drive * np.cos(t) - q[2, 0] - damping * q[2, 1]
    return out


def tangent_rates(q, v, times, h=1e-6):
    """Rates at which v (unit length) grows along the trajectory from q, by central differences and SciPy."""

    def both(t, y):
        q, v = y.reshape(2, *shape)
        return np.concatenate([moved(t, q), (moved(t, q + h * v) - moved(t, q - h * v)) / (2 * h)]).reshape(-1)

    shape, rates = q.shape, []
    for begin, end in pairwise(times):
        run = solve_ivp(both, (begin, end), np.concatenate([q, v]).reshape(-1), "DOP853", rtol=1e-11, atol=1e-12)
        q, v = run.y[:, -1].reshape(2, *shape)
        length = np.linalg.norm(v)
        v = v / length
        rates.append(np.log(length) / (end - begin))
    return np.array(rates)


def test_rates_are_those_of_the_tangent():
    system = well()
    with compiled_at_once():
        found = lyapunov(system, (0.0, 40.0), renormalise=0.5, transient=0.0, rtol=1e-11, atol=1e-12)
    direction = np.random.default_rng(0).standard_normal(system.q.shape)
    times = np.linspace(0.0, 40.0, 81)
    expected = tangent_rates(system.q, direction / np.linalg.norm(direction), times)
    # The trajectories part by e^(0.3 * 40) of 1e-11 at most; the separation of 1e-8 is curved by as much, rounded to
    # 1e-8 of itself, and an interval is 0.5 long.
    assert abs(found.rates - expected).max() < 1e-5


def test_chaos():
    with compiled_at_once():
        found = lyapunov(well(), (0.0, 400.0), renormalise=0.5)
    q, v = well().q, np.zeros((3, 2))
    v[2] = 0.6, 0.8  # the frozen neurons stay, and are not displaced
    rates = tangent_rates(q, v, np.linspace(0.0, 400.0, 401))[40:]
    means = [part.mean() for part in np.array_split(rates, 20)]
    deviation = np.hypot(found.uncertainty, np.std(means, ddof=1) / np.sqrt(20))
    # Two trajectories of one attractor: five standard deviations, and as far from 0, with 16 % to each of them.
    assert abs(found.exponent - rates.mean()) < 5 * deviation
    assert found.exponent > 5 * found.uncertainty > 0


def test_a_contracting_system():
    rng = np.random.default_rng(3)
    system = System(rng.normal(size=(4, 2)), kernel=Kernel("gaussian"), drive=[1.0, -0.5],
                    operators=Operators(B=0.3, D=[[0.5, 0.2], [-0.4, 0.3]], F=[[-1.0, 0.0], [0.0, -1.3]]))  # fmt: skip
    found, point = lyapunov(system, (0.0, 200.0), transient=100.0), fixed_points(system)[0]
    assert point.verdict == "stable"
    # At rest the separation obeys the Jacobian; where its leading eigenvalues turn, lengths differ by their condition.
    slack = np.log(10.0) / 100.0 if point.eigenvalues[0].imag else 2e-6
    assert found.exponent == pytest.approx(point.eigenvalues[0].real, abs=slack)


def test_runs_that_end_early():
    fast = lyapunov(System([[1.0]], operators=Operators(F=-50.0)), (0.0, 50.0), renormalise=1.0)
    assert fast.status == -1 and not fast.success and "renormalise more often" in fast.message
    assert np.isnan(fast.exponent) and len(fast.t) == 0
    grown = lyapunov(System([[1.0]], operators=Operators(F=10.0)), (0.0, 50.0))
    assert grown.status == -2 and grown.exponent == pytest.approx(10.0, abs=2e-5) and "end the span" in grown.message
    meeting = System([[0.0], [0.0]], operators=Operators(B=1.0, D=1.0))
    assert lyapunov(meeting, (0.0, 1.0)).status == -2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"renormalise": 1.0}, r"renormalise: got 1; expected 20 intervals or more after the transient"),
        ({"transient": 0.4}, r"transient: got 0\.4; expected at least the delay, 0\.5"),
        ({"transient": 10.0}, r"after the transient, which 0 of the span follow"),
        ({"distance": 1e-2}, r"distance: got 0\.01; expected 1e-12 to 1e-4"),
        ({"method": "rk4"}, r"dt: got None; expected a step above 0"),
        ({"method": "rk4", "dt": 0.1, "max_step": 0.1}, r"max_step: got 0\.1 with rk4"),
    ],
)
def test_refusals(options, message):
    system = System([[1.0], [2.0]], operators=Operators(F=-1.0), delay=0.5)
    with pytest.raises(ValueError, match=message):
        lyapunov(system, (0.0, 10.0), **options)


def test_it_is_shown():
    found = lyapunov(System([[1.0]], operators=Operators(F=-1.0)), (0.0, 10.0))
    assert repr(found).startswith("<Lyapunov: exponent -1 ± ")
