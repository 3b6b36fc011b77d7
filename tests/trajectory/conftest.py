"""Trajectories that several tests read."""

import numpy as np
import pytest

from dynsim.trajectory import TrajectoryWriter


@pytest.fixture
def write_run(tmp_path):
    """A function that writes a run of 3 neurons in 2 dimensions; all of frame k is the number k."""

    def write(frames=100, name="run.h5", **options):
        path = tmp_path / name
        with TrajectoryWriter(path, neurons=3, dimension=2, signals=1, observables=["energy"], **options) as writer:
            for k in range(frames):
                writer.write(k, 0.5 * k, np.full((3, 2), k), np.full(3, k), np.full((3, 1), -k), energy=k)
        return path

    return write
