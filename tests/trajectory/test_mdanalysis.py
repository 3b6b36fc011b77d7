"""A reader of molecular trajectories opens our files as they are."""

import numpy as np
import pytest

from dynsim.trajectory import TrajectoryWriter

MDAnalysis = pytest.importorskip("MDAnalysis", reason="MDAnalysis, which reads H5MD, is not installed")


@pytest.mark.parametrize("dimension", [1, 3, 9])
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
def test_positions_and_observables(tmp_path, dimension):
    q = np.random.default_rng(0).normal(size=(70, 2, 4, dimension))
    path = tmp_path / "run.h5md"
    with TrajectoryWriter(path, neurons=4, dimension=dimension, copies=2, observables=["loss"]) as writer:
        for k in range(70):
            writer.write(10 * k, 0.25 * k, q[k], loss=2.0 * k)
    view = np.zeros((70, 8, 3))
    view[..., : min(3, dimension)] = q.reshape(70, 8, dimension)[..., :3]
    universe = MDAnalysis.Universe(path)
    assert len(universe.atoms) == 8 and len(universe.trajectory) == 70
    for k, frame in enumerate(universe.trajectory):
        # Its positions are float32, ours are not rescaled.
        assert np.array_equal(frame.positions, view[k].astype(np.float32))
        assert frame.time == 0.25 * k and frame.data["step"] == 10 * k and frame.data["loss"] == 2.0 * k
    universe.trajectory.close()


def test_any_suffix_with_a_universe_made_by_hand(write_run):
    universe = MDAnalysis.Universe.empty(3, trajectory=True)
    universe.load_new(str(write_run(frames=5)), format="H5MD")
    assert (universe.trajectory[4].positions == [[4, 4, 0]] * 3).all()
    universe.trajectory.close()
