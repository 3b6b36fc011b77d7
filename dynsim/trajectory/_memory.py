"""A solution in memory, seen as a trajectory."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dynsim.trajectory._frames import Frames


class SolutionTrajectory:
    """What `Trajectory` is for a file, for a `Solution` in memory: the same attributes, nothing to close.

    Raises ValueError for a solution of which only the last frame is in memory; its file has all of them.

    >>> import numpy as np, dynsim
    >>> solution = dynsim.solve(dynsim.System(np.eye(2)), (0.0, 1.0), t_eval=[0.0, 0.5, 1.0])
    >>> trajectory = SolutionTrajectory(solution)
    >>> trajectory.frames, trajectory.q.shape, trajectory.time.tolist()
    (3, (3, 2, 2), [0.0, 0.5, 1.0])
    """

    path = Path("solution")

    def __init__(self, solution):
        q = np.asarray(solution.q)
        copies = q.shape[1] if q.ndim == 4 else 1
        self.frames, self.copies = len(q), copies
        self.neurons, self.dimension = q.shape[-2:]
        self.signals = solution.R.shape[2]
        self.time, self.step = np.asarray(solution.t), np.arange(self.frames)
        self.q = Frames(q.reshape(self.frames, copies * self.neurons, self.dimension), self.frames)
        self.R, self.E = Frames(solution.R, self.frames), Frames(solution.E, self.frames)
        groups = getattr(solution.system, "groups", None)
        groups = np.zeros(self.neurons, int) if groups is None else np.asarray(groups)
        self.groups = np.tile(groups, copies)
        self.observables, self.parameters, self.provenance, self.seed = {}, {}, {}, None
        self.system = solution.system

    def places(self, frames=None, neurons=None):
        """Places (T', P, d), as `Trajectory.places`."""
        return self.q.read(frames, neurons)
