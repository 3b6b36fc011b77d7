"""Neurons with mass: closed forms, orders, drift of the energy, and friction."""

import numpy as np
import pytest

from dynsim.engine import METHODS, LastOnly, Operators, System, Teacher, solve
from dynsim.kernels import Kernel

STIFFNESS = 4.0
FIXED = {"rk4": 4, "heun": 2, "euler": 1, "verlet": 2, "baoab": 2, "sra1": 2, "euler_maruyama": 1}


def oscillators(friction=0.0, mass=1.0, velocity=0.0):
    """m q'' = -gamma q' - k q from places 1 and 2: the loss of E = sqrt(k) q against 0 is k q^2 / 2."""
    return System(
        [[1.0], [2.0]],
        operators=Operators(B=np.sqrt(STIFFNESS)),
        strengths=0.0,
        mass=mass,
        friction=friction,
        velocity=np.full((2, 1), velocity),
        teacher=Teacher(0, np.zeros((2, 1))),
    )


def damped(t, gamma, mass, q, u):
    """Of the damped oscillator, below critical damping."""
    rate, frequency = 0.5 * gamma / mass, np.sqrt(STIFFNESS / mass - 0.25 * (gamma / mass) ** 2)
    sine, cosine = np.sin(frequency * t), np.cos(frequency * t)
    return np.exp(-rate * t) * (q * cosine + (u + rate * q) / frequency * sine)


@pytest.mark.parametrize("method", FIXED)
def test_order_on_a_damped_oscillator(method):
    errors, steps = [], np.array([0.04, 0.02, 0.01])
    for dt in steps:
        solution = solve(oscillators(0.7, 1.3, 0.4), (0.0, 2.0), method=method, dt=dt, record=LastOnly())
        errors.append(abs(solution.q[-1, 0, 0] - damped(2.0, 0.7, 1.3, 1.0, 0.4)))
    slope = np.polyfit(np.log(steps), np.log(errors), 1)[0]
    assert abs(slope - FIXED[method]) < 0.15, (slope, errors)


@pytest.mark.parametrize("method", [name for name, known in METHODS.items() if known.adaptive])
def test_adaptive_methods_on_a_damped_oscillator(method):
    solution = solve(
        oscillators(0.7, 1.3, 0.4), (0.0, 2.0), method=method, rtol=1e-7, atol=1e-9, t_eval=[0.3, 1.1, 2.0]
    )
    exact = np.array([damped(t, 0.7, 1.3, 1.0, 0.4) for t in solution.t])
    # Each step errs by 1e-7; errors of some hundred steps add up, and those between steps are of one order less.
    assert abs(solution.q[:, 0, 0] - exact).max() < 1e-4
    h = 1e-6
    slopes = [(damped(t + h, 0.7, 1.3, 1.0, 0.4) - damped(t - h, 0.7, 1.3, 1.0, 0.4)) / (2 * h) for t in solution.t]
    assert abs(solution.velocity[:, 0, 0] - slopes).max() < 1e-3


def test_the_energy_of_verlet_does_not_drift():
    # Over a hundred thousand steps of h w = 0.1 the energy is that of a Hamiltonian h^2 away: its error swings by at
    # most (h w)^2 / 4 of itself, and what rounding adds grows as the square root of the steps.
    system = oscillators()
    solution = solve(system, (0.0, 5000.0), method="verlet", dt=0.05, t_eval=np.linspace(0.0, 5000.0, 2001))
    energy = 0.5 * (solution.velocity**2 + STIFFNESS * solution.q**2)[:, :, 0]
    assert abs(energy / energy[0] - 1).max() < 0.1**2 / 4 * 1.01
    halves = energy[:1000].mean(axis=0), energy[1001:].mean(axis=0)
    assert abs(halves[0] / halves[1] - 1).max() < 1e-4  # means over a thousand swings, each of 2.5e-3 at most


def test_velocity_verlet_is_the_textbooks():
    h, q, u = 0.05, np.array([[1.0], [2.0]]), np.array([[0.3], [-0.2]])
    system = oscillators(velocity=0.0).replace(velocity=u)
    solution = solve(system, (0.0, 1.0), method="verlet", dt=h)
    for _ in range(20):
        u = u - 0.5 * h * STIFFNESS * q
        q = q + h * u
        u = u - 0.5 * h * STIFFNESS * q
    np.testing.assert_allclose(solution.q[-1], q, rtol=1e-13)  # roundings of 20 steps
    np.testing.assert_allclose(solution.velocity[-1], u, rtol=1e-13)


def test_heavy_neurons_coast_and_light_ones_follow():
    # Without force and friction motion is free; with much friction velocities are those of (3).
    free = System(np.zeros((2, 1)), strengths=0.0, mass=3.0, friction=0.0, velocity=[[1.0], [-2.0]])
    solution = solve(free, (0.0, 2.0))
    np.testing.assert_allclose(solution.q[-1], [[2.0], [-4.0]], rtol=1e-12)
    light = System([[1.0]], operators=Operators(F=-0.5), mass=1e-4, velocity=[[-0.5]])
    # The slow root of m x^2 + gamma (x + 0.5) = 0 is -0.5 (1 + 0.5 m / gamma + ...): 5e-5 off.
    assert solve(light, (0.0, 1.0)).q[-1, 0, 0] == pytest.approx(np.exp(-0.5), rel=5e-5)


@pytest.mark.parametrize("delay", [0.0, 0.3])
@pytest.mark.parametrize("activation", ["identity", "tanh"])
def test_right_hand_side_written_out(delay, activation):
    generator = np.random.default_rng(3)
    H, N, d, s = 2, 5, 3, 2
    shapes = {"A": (s, s), "B": (s, d), "C": (s, d), "D": (d, s), "E": (d, s), "F": (d, d)}
    op = {name: 0.3 * generator.standard_normal(shape) for name, shape in shapes.items()}
    q, u = generator.standard_normal((2, H, N, d))
    mass, friction = 1.0 + generator.random(N), generator.random(N)
    kernel = Kernel("gaussian", length=2.0)
    system = System(q, kernel=kernel, operators=Operators(**op, activation=activation), delay=delay, mass=mass,
                    friction=friction, velocity=u)  # fmt: skip
    h = 1e-5
    solution = solve(system, (0.0, h), method="euler", dt=h)
    Q, U, act = q.sum(0), u.sum(0), np.tanh if activation == "tanh" else np.asarray
    Phi = sum(np.exp(-(np.linalg.norm(p[:, None] - p, axis=-1) ** 2) / (2 * 2.0**2)) for p in q)
    if not np.isclose(kernel.value(1.0), np.exp(-1.0 / 8.0)):  # the profile as its docstring has it
        Phi = sum(kernel.value(np.linalg.norm(p[:, None] - p, axis=-1)) for p in q)
    np.fill_diagonal(Phi, 0.0)
    if delay:  # before the start, signals are at rest: E = B Q
        R = Phi @ (Q @ op["B"].T)
        E = act(R @ op["A"].T) + Q @ op["B"].T + U @ op["C"].T
    else:
        E = np.zeros((N, s))
        for _ in range(200):
            R = Phi @ E
            E = act(R @ op["A"].T) + Q @ op["B"].T + U @ op["C"].T
        if not np.allclose(R, Phi @ E, rtol=1e-12):
            pytest.skip("the iteration of the reference does not converge here")
    v = R @ op["D"].T + E @ op["E"].T + q @ op["F"].T
    acceleration = (friction / mass)[:, None] * (v - u)
    np.testing.assert_allclose(solution.q[-1], q + h * u, rtol=1e-12)
    # A step of 1e-5 leaves five digits of the acceleration less than rounding.
    np.testing.assert_allclose((solution.velocity[-1] - u) / h, acceleration, rtol=1e-8, atol=1e-9)


def test_small_and_large_systems_agree():
    generator = np.random.default_rng(0)
    few = System(generator.standard_normal((2, 6, 3)), operators=Operators(A=0.2, B=1.0, D=0.1, F=-0.5), delay=0.1,
                 signals=3, mass=2.0, friction=0.4)  # fmt: skip
    from dynsim.engine import _machine

    small = solve(few, (0.0, 1.0), method="rk4", dt=0.05)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_machine, "is_small", lambda system: False)
        large = solve(few, (0.0, 1.0), method="rk4", dt=0.05)
    np.testing.assert_allclose(small.q, large.q, rtol=1e-12)  # sums in another order
    np.testing.assert_allclose(small.velocity, large.velocity, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("method", ["dopri5", "rkc2", "rk4", "verlet", "baoab"])
@pytest.mark.parametrize("delay", [0.0, 0.25])
def test_runs_go_on_bit_for_bit(method, delay):
    generator = np.random.default_rng(5)
    system = System(generator.standard_normal((4, 2)), operators=Operators(A=0.3, B=1.0, D=-0.2, F=-0.4), delay=delay,
                    signals=2, mass=[1.0, 2.0, 0.5, 1.0], friction=0.3,
                    temperature=0.2 if method == "baoab" else 0.0)  # fmt: skip
    options = {"method": method, **({} if METHODS[method].adaptive else {"dt": 0.03})}
    whole = solve(system, (0.0, 2.0), **options)
    half = solve(system, (0.0, 2.0), max_steps=7, **options)
    assert half.status == -1
    rest = solve(system, (0.0, 2.0), resume=half.state, **options)
    assert rest.success
    for name in ("q", "velocity", "E"):
        np.testing.assert_array_equal(getattr(rest, name)[-1], getattr(whole, name)[-1])


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"mass": -1.0}, "mass: got -1"),
        ({"mass": [1.0, 0.0]}, "beside masses above 0"),
        ({"mass": [1.0, 1.0, 1.0]}, r"mass: got shape \(3,\)"),
        ({"friction": -0.1}, "friction: got -0.1"),
        ({"velocity": np.zeros((2, 1))}, "neurons without mass"),
        ({"mass": 1.0, "velocity": np.zeros((3, 1))}, "velocity: got shape"),
        ({"temperature": -1.0}, "temperature: got -1"),
        ({"temperature": ([1.0, 0.0], [1.0, 1.0])}, "increasing"),
        ({"temperature": 1.0, "friction": 0.0}, "noise moves it"),
        ({"teacher": Teacher(0, np.zeros((2, 1))), "friction": [1.0, 0.0]}, "a teacher moves it"),
    ],
)
def test_what_is_refused(options, word):
    with pytest.raises(ValueError, match=word):
        System(np.ones((2, 1)) * [[1.0], [2.0]], **options)


@pytest.mark.parametrize(
    ("system", "method", "word"),
    [
        (System([[1.0]]), "verlet", "mass above 0"),
        (System([[1.0]], temperature=0.1), "dopri5", "baoab, euler_maruyama, sra1"),
        (System([[1.0]], temperature=0.1, mass=1.0), "verlet", "temperature above 0"),
        (System([[1.0]], operators=Operators(C=0.5), mass=1.0), "verlet", "operator C"),
    ],
)
def test_methods_that_do_not_fit(system, method, word):
    with pytest.raises(ValueError, match=word):
        solve(system, (0.0, 1.0), method=method, **({} if METHODS[method].adaptive else {"dt": 0.1}))


def test_groups_have_masses():
    system = System(
        [[0.0], [1.0], [2.0]], groups=[1, 0, 1], mass=[2.0, 5.0], friction=[0.5, 0.0], velocity=np.ones((3, 1))
    )
    solution = solve(system, (0.0, 1.0))
    np.testing.assert_allclose(solution.velocity[-1, :, 0], [1.0, np.exp(-0.25), 1.0], rtol=1e-6)
    assert system.facts()["mass"] == "2 to 5" and system.replace(mass=1.0).facts()["mass"] == "1"
