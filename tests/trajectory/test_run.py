"""Runs that stream into files."""

from types import SimpleNamespace

import numpy as np
import pytest

import dynsim
from dynsim.trajectory import Trajectory, run, solve


@pytest.fixture
def engine(monkeypatch):
    """An engine that records five frames of two neurons, then fails if it is told to."""
    calls = []

    def integrate(system, span, method="dopri5", *, sink=None, fail=False, **options):
        calls.append({"method": method, **options})
        for k, t in enumerate(np.linspace(*span, 5)):
            if fail and k == 3:
                raise ArithmeticError("stopped")
            if sink is not None:
                sink(t, system.q + k, np.full((2, 1), k), np.full((2, 1), -k))
        counts = {"nfev": 7, "naccepted": 4, "nrejected": 0}
        return SimpleNamespace(status=0, message="the end", echo_gain=0.25, wall_time=0.1, **counts)

    monkeypatch.setattr("dynsim.trajectory._simulation.engine_solve", integrate)
    return calls


def system(copies=None):
    shape = (2, 3) if copies is None else (copies, 2, 3)
    return dynsim.System(np.zeros(shape), groups=np.array([0, 1]), delay=0.5)


def test_every_recorded_frame_is_in_the_file(engine, tmp_path):
    path, seen = tmp_path / "run.h5", []
    solution = run(
        system(), (0.0, 1.0), path=path, parameters={"note": "a"}, seed=11, method="rk4", dt=0.1,
        sink=lambda *f: seen.append(f),
    )  # fmt: skip
    assert solution.message == "the end" and engine == [{"method": "rk4", "dt": 0.1}] and len(seen) == 5
    read = Trajectory(path)
    assert read.time.tolist() == [0.0, 0.25, 0.5, 0.75, 1.0] and read.seed == 11
    assert (read.q[3] == 3).all() and (read.E[4] == -4).all() and read.groups.tolist() == [0, 1]
    expected = {"method": "rk4", "span": [0.0, 1.0], "delay": 0.5, "dt": 0.1, "note": "a"}
    expected["kernel"] = dynsim.Kernel().to_dict()
    assert read.parameters == expected
    assert read.provenance["outcome"]["echo_gain"] == 0.25 and read.provenance["backend"] == "numba"


def test_copies(engine, tmp_path):
    run(system(copies=4), (0.0, 1.0), path=tmp_path / "run.h5")
    read = Trajectory(tmp_path / "run.h5")
    assert (read.copies, read.neurons, read.q.shape) == (4, 2, (5, 8, 3))


def test_what_was_recorded_before_a_failure_is_kept(engine, tmp_path):
    with pytest.raises(ArithmeticError):
        run(system(), (0.0, 1.0), path=tmp_path / "run.h5", fail=True)
    assert Trajectory(tmp_path / "run.h5").frames == 3


def test_paths_are_checked_before_the_engine_starts(engine, tmp_path):
    path = tmp_path / "run.h5"
    run(system(), (0.0, 1.0), path=path)
    with pytest.raises(FileExistsError, match="overwrite=True"):
        run(system(), (0.0, 1.0), path=path)
    with pytest.raises(FileNotFoundError, match="is not a directory"):
        run(system(), (0.0, 1.0), path=tmp_path / "nowhere" / "run.h5")
    assert len(engine) == 1
    run(system(), (0.0, 2.0), path=path, overwrite=True)
    assert Trajectory(path).time[-1] == 2.0


def test_solve_writes_only_with_a_path(engine, tmp_path):
    assert solve(system(), (0.0, 1.0), method="rk4", dt=0.5).nfev == 7
    assert not list(tmp_path.iterdir())
    solve(system(), (0.0, 1.0), method="rk4", dt=0.5, path=tmp_path / "run.h5", seed=4)
    assert engine == [{"method": "rk4", "dt": 0.5}] * 2
    assert Trajectory(tmp_path / "run.h5").seed == 4


def test_with_the_engine_itself(tmp_path):
    dynsim_engine = pytest.importorskip("dynsim.engine", reason="the engine is not part of this installation")
    q = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]])
    made = dynsim_engine.System(q, operators=dynsim_engine.Operators(A=0.0, B=0.0, F=-1.0), signals=2)
    path = tmp_path / "run.h5"
    solution = run(made, (0.0, 1.0), path=path, method="rk4", dt=0.01, t_eval=[0.0, 0.5, 1.0])
    read = Trajectory(path)
    assert read.time.tolist() == [0.0, 0.5, 1.0]
    assert np.array_equal(read.q[-1], np.asarray(solution.q)[-1])
    # q' = -q, and Runge-Kutta's error of fourth order is far below 1e-9 at this step.
    assert np.allclose(read.q[-1], q * np.exp(-1.0), rtol=0, atol=1e-9)
