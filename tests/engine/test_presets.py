"""The ready-made systems do what their lines say."""

import pickle

import numpy as np
import pytest

from dynsim.engine import LastOnly, solve
from dynsim.engine.presets import PRESETS, preset


@pytest.mark.parametrize("name", PRESETS)
def test_presets_depend_on_the_seed_alone(name):
    first, again, other = preset(name, 3)[0], preset(name, 3)[0], preset(name, 4)[0]
    assert np.array_equal(first.q, again.q) and not np.array_equal(first.q, other.q)


def test_pair_finds_its_orbit():
    system, span, options = preset("pair", 1)
    solution = solve(system, span, **options)
    # rho' = -0.2 rho + 1/2 for opposite neurons; softening 0.05 at a distance near 5 changes 1e-4.
    radius = np.linalg.norm(solution.q[-1, 0] - solution.q[-1, 1]) / 2
    assert solution.success and radius == pytest.approx(2.5, rel=0.01)


def test_cluster_draws_together():
    system, span, options = preset("cluster", 1)
    solution = solve(system, span, record=LastOnly(), **options)
    distances = np.linalg.norm(solution.q[-1][:, None] - solution.q[-1], axis=-1)
    np.fill_diagonal(distances, np.inf)
    assert solution.success and np.abs(solution.q).max() <= 2.0
    assert np.median(distances.min(axis=1)) < 0.05


def test_pulse_arrives_a_delay_later_in_every_layer():
    system, span, options = preset("pulse", 1)
    solution = solve(system, span, **options)
    for layer in range(6):
        signal = solution.E[:, system.groups == layer, 0].mean(axis=1)
        assert signal.max() > 0.05
        # The frames are 0.02 apart.
        assert solution.t[signal.argmax()] == pytest.approx(1.0 + layer, abs=0.021)


def test_stable_settles_and_echo_says_why_it_does_not():
    system, span, options = preset("stable", 1)
    solution = solve(system, span, **options)
    assert solution.success and solution.echo_gain == pytest.approx(0.8)
    assert np.abs(solution.E[-1] - solution.E[-5]).max() < 0.01 * np.abs(solution.E[-1]).max()
    system, span, options = preset("echo", 1)
    solution = solve(system, span, record=LastOnly(), **options)
    assert solution.status == -2 and "echo gain rho(a Phi) = 3 per delay" in solution.message


@pytest.mark.parametrize("name", PRESETS)
def test_systems_of_configurations_can_be_pickled(name):
    system, span, options = preset(name)
    again = pickle.loads(pickle.dumps(system))
    first, second = (solve(made, span, **{**options, "max_steps": 5}) for made in (system, again))
    assert np.array_equal(first.q, second.q) and np.array_equal(first.E, second.E)
