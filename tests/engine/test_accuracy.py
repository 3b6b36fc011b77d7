"""Systems whose pair sums have an accuracy: runs stay near the exact ones, and nothing depends on how they are made."""

import pickle

import numpy as np
import pytest

import dynsim
from dynsim.engine import Operators, System, configure, echo_gain, solve
from dynsim.kernels import Kernel
from dynsim.trajectory import Trajectory, resume, run

N = 4000
RUN = {"method": "rk4", "dt": 0.1}


def system(accuracy=None, *, A=0.0, delay=0.3, **options):
    q = np.random.default_rng(0).uniform(-1, 1, (N, 2))
    operators = Operators(A=A, B=[[1.0, 0.5]], D=np.full((2, 1), -0.5 / N), F=-0.1)
    kernel = Kernel("gaussian", length=0.4)
    return System(q, kernel=kernel, operators=operators, delay=delay, accuracy=accuracy, **options)


@pytest.mark.parametrize("delay", [0.0, 0.3])
def test_runs_are_as_near_as_their_sums(delay):
    exact = solve(system(delay=delay), (0.0, 0.5), **RUN)
    errors = []
    for accuracy in (1e-3, 1e-6):
        found = solve(system(accuracy, delay=delay), (0.0, 0.5), **RUN)
        assert not np.array_equal(found.q, exact.q)
        errors.append(np.linalg.norm(found.R - exact.R) / np.linalg.norm(exact.R))
        # Places move by less than their distance from the start; received signals are the sums themselves.
        assert errors[-1] <= 2 * accuracy
        assert np.abs(found.q - exact.q).max() <= accuracy
    assert errors[1] < errors[0]


def test_echoes_without_delay_are_solved_for_exactly():
    """What is solved for by iteration must be linear: there the sums are those of all pairs."""
    echoing = {"A": 0.2 / N, "delay": 0.0}
    found, exact = (solve(system(accuracy, **echoing), (0.0, 0.1), **RUN) for accuracy in (1e-3, None))
    assert np.array_equal(found.R, exact.R) and np.array_equal(found.q, exact.q)


def test_the_echo_gain_is_within_the_accuracy():
    found, exact = (echo_gain(system(accuracy, A=0.5)) for accuracy in (1e-5, None))
    assert found == pytest.approx(exact, rel=3e-5)


def test_groups_and_copies():
    g = np.random.default_rng(1)
    q, groups = g.uniform(-1, 1, (2, N, 2)), g.integers(2, size=N)
    options = {"groups": groups, "strengths": g.normal(size=(2, 2, 2)), "kernel": Kernel("gaussian", length=0.4)}
    made = [System(q, operators=Operators(B=[[1.0, 0.5]]), accuracy=a, **options) for a in (1e-6, None)]
    found, exact = (solve(one, (0.0, 0.1), **RUN).R[-1] for one in made)
    # Each of the four sums of a copy has the accuracy; they add up to less than their sizes.
    assert not np.array_equal(found, exact)
    assert np.linalg.norm(found - exact) <= 1e-5 * np.linalg.norm(exact)


def test_it_is_kept_with_the_system(tmp_path):
    given = system(1e-6)
    assert pickle.loads(pickle.dumps(given)).accuracy == given.replace(delay=0.1).accuracy == 1e-6
    assert "1e-06" in str(given.facts()) and system().accuracy is None
    dynsim.solve(given, (0.0, 0.1), path=tmp_path / "run.h5", **RUN)
    assert Trajectory(tmp_path / "run.h5").parameters["accuracy"] == 1e-6


def config(accuracy):
    return {
        "accuracy": accuracy, "dimension": 2, "kernel": {"profile": "gaussian", "length": 0.4}, "delay": 0.2,
        "operators": {"B": [[1.0, 0.5]], "D": [[-0.5 / N], [-0.2 / N]], "F": -0.1},
        "groups": [{"neurons": N, "places": {"kind": "uniform"}}], "run": {"until": 0.6, "method": "rk4", "dt": 0.1},
    }  # fmt: skip


def test_a_run_that_goes_on_has_the_same_bits(tmp_path):
    ready = configure(config(1e-5))
    assert ready.system.accuracy == 1e-5
    stored = {"parameters": {"config": ready.config}, "checkpoint_seconds": 0.0}
    run(ready.system, ready.span, path=tmp_path / "whole.h5", **stored, **ready.options)
    steps = iter(range(3))
    with pytest.raises(KeyboardInterrupt):
        run(ready.system, ready.span, path=tmp_path / "part.h5", stop=lambda: next(steps, None) is None, **stored,
            **ready.options)  # fmt: skip
    resume(tmp_path / "part.h5")
    with Trajectory(tmp_path / "whole.h5") as whole, Trajectory(tmp_path / "part.h5") as part:
        assert np.array_equal(whole.q[:], part.q[:]) and np.array_equal(whole.R[:], part.R[:])


@pytest.mark.parametrize("accuracy", [0.0, 1.0, -1e-3, 1e-13, float("nan"), "high"])
def test_refusals(accuracy):
    with pytest.raises((ValueError, TypeError), match="accuracy"):
        configure(config(accuracy))
