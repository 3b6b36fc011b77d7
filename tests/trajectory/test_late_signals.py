"""Files of systems with several delays or a finite speed describe them, and their costs are known."""

import numpy as np
import pytest

import dynsim
from dynsim.engine import Operators, System, configure, estimate
from dynsim.trajectory import Trajectory, stored_system

Q = np.random.default_rng(0).standard_normal((5, 2))
KINDS = {"several": {"delay": [[0.3, 0.5], [0.3, 0.0]]}, "speed": {"speed": 8.0, "delay": 0.1}}


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_says_how_signals_travel(kind, tmp_path):
    made = System(Q, groups=[0, 0, 1, 1, 1], operators=Operators(F=-1.0), **KINDS[kind])
    dynsim.solve(made, (0.0, 0.2), path=tmp_path / "run.h5")
    with Trajectory(tmp_path / "run.h5") as trajectory:
        again = stored_system(trajectory)
    assert np.array_equal(again.delay, made.delay) and again.speed == made.speed and again.looks_back
    frames = dynsim.solve(made, (0.0, 0.2))
    labels = pytest.importorskip("xarray", reason="needs xarray") and frames.to_xarray().attrs
    assert np.array_equal(labels["delay"], np.ravel(made.delay).squeeze())


@pytest.mark.parametrize("kind", KINDS)
def test_costs_are_told(kind):
    groups = [{"name": "in", "neurons": 5}, {"name": "out", "neurons": 4}]
    delay = {"in->out": 0.5, "out->in": 0.3} if kind == "several" else 0.1
    config = {"dimension": 2, "groups": groups, "run": {"until": 6.0, "method": "rk4", "dt": 0.02}}
    ready = configure({**config, **KINDS[kind], "delay": delay})
    costs = estimate(ready.system, ready.span, **ready.options)
    # A step of rk4 keeps 4 nodes: those of the longest delay, or of the time across a cloud of at most some 8 units.
    step = 8 * (9 * 2 + 9) * 4
    assert costs["status"] == 0 and 2 * 10 * step < costs["memory_bytes"] < 2 * 100 * step
