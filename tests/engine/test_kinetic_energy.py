"""Kinetic energies are what plain sums give; a spring keeps its energy, friction takes it as it should."""

import numpy as np
import pytest

import dynsim
from dynsim.engine import Operators, System, Teacher, kinetic_energy, neuron_masses, solve, velocity


def test_it_is_the_sum_over_neurons():
    rng = np.random.default_rng(0)
    u, m, groups = rng.normal(size=(4, 3, 5, 2)), rng.uniform(0.5, 2.0, 5), np.array([0, 3, 0, 1, 3])
    expected = np.zeros((4, 3, 4))
    for k in range(4):
        for h in range(3):
            for i in range(5):
                expected[k, h, groups[i]] += 0.5 * m[i] * (u[k, h, i] @ u[k, h, i])
    # Sums of ten numbers below 20, rounded to 2^-53 of each.
    assert np.allclose(kinetic_energy(u, m, groups), expected, rtol=1e-14, atol=0)
    assert np.allclose(kinetic_energy(u, m), expected.sum(axis=-1), rtol=1e-14, atol=0)
    assert kinetic_energy(u[0, 0], 2.0) == pytest.approx((u[0, 0] ** 2).sum(), rel=1e-14)
    assert isinstance(kinetic_energy(u[0, 0], 2.0), float)
    assert np.isnan(kinetic_energy([[np.nan]], 1.0)) and kinetic_energy([[np.inf]], 1.0) == np.inf


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (([1.0], 1.0), "velocity: got shape"),
        (([[1.0]], [1.0, 2.0]), "mass: got shape"),
        (([[1.0]], -1.0), "mass: got -1"),
        (([[1.0]], 1.0, [0, 1]), "groups"),
        (([[1.0]], 1.0, [0.5]), "groups"),
        (([[1.0]], 1.0, [-1]), "groups"),
        (([[1.0]], 1.0, [10**12]), "energies of shape"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        kinetic_energy(*arguments)


def test_masses_of_every_neuron():
    q, groups = np.zeros((4, 1)), [1, 0, 1, 1]
    assert neuron_masses(System(q)).tolist() == [0.0] * 4
    assert neuron_masses(System(q, mass=2.0)).tolist() == [2.0] * 4
    assert neuron_masses(System(q, mass=[1.0, 5.0], groups=groups)).tolist() == [5.0, 1.0, 5.0, 5.0]
    assert neuron_masses(System(q, mass=[1.0, 2.0, 3.0, 4.0], groups=groups)).tolist() == [1.0, 2.0, 3.0, 4.0]
    assert System(q).warm is False and System(q, temperature=([0.0, 1.0], [0.0, 1.0])).warm is True


def test_the_energy_of_a_damped_spring():
    """m q'' = -gamma q' - k q with k = -gamma F: q = exp(-b t) (cos w t + b / w sin w t), b = gamma / 2 m."""
    m, gamma, k = 2.0, 0.25, 3.0
    system = System([[1.0]], operators=Operators(F=-k / gamma), mass=m, friction=gamma)
    solution = solve(system, (0.0, 8.0), method="dopri5", rtol=1e-11, atol=1e-13)
    b = gamma / (2 * m)
    w = np.sqrt(k / m - b**2)
    speed = -(b**2 + w**2) / w * np.exp(-b * solution.t) * np.sin(w * solution.t)
    # Errors of some 1e-11 a step add up over a few dozen steps.
    assert np.allclose(kinetic_energy(solution.velocity, m), 0.5 * m * speed**2, rtol=0, atol=1e-8)


def test_velocity_of_equation_3_is_refused_where_it_is_not_the_velocity():
    q, none = np.eye(2), np.zeros((2, 1))
    heavy = System(q, operators=Operators(F=-1.0), mass=1.0)
    with pytest.raises(ValueError, match=r"system: got neurons with mass.*system\.replace\(mass=0\.0, velocity=None\)"):
        velocity(heavy, q, R=none, E=none)
    assert velocity(heavy.replace(mass=0.0, velocity=None), q, R=none, E=none).tolist() == (-q).tolist()
    taught = System(q, operators=Operators(F=-1.0, A=1.0), groups=[0, 1], teacher=Teacher(1, [[1.0]]))
    with pytest.raises(ValueError, match=r"system: got a teacher.*replace\(teacher=None\)"):
        velocity(taught, q, R=none, E=none)
    assert velocity(taught.replace(teacher=None), q, R=none, E=none).tolist() == (-q).tolist()
    warm = System(q, operators=Operators(F=-1.0), temperature=1.0)
    assert velocity(warm, q, R=none, E=none).tolist() == (-q).tolist() and dynsim.System is System
