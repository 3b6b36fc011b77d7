"""The outcome of a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from dynsim._plotted import Recorded

from ._echo_gain import echo_gain

STATUS = {0: "reached the end", 1: "ended by an event", 2: "stopped by the callback", -1: "failed", -2: "diverged"}


@dataclass(eq=False, repr=False)
class Solution(Recorded):
    """What `solve` returns; the names are those of SciPy's solve_ivp.

    Whatever the status, the frames up to the last good time are there. It can be pickled, and so returned by another
    process, if the functions of its system can.

    Attributes
    ----------
    t : numpy.ndarray, (T,)
        Times of the frames. Where a delay ends, signals jump: frames hold the limit from the right.
    q : numpy.ndarray, (T, N, d) or (T, H, N, d)
        Places.
    R, E : numpy.ndarray, (T, N, s)
        Received and emitted signals. Of a run with `path=`, these and q are read from its file when they are used
        (`dynsim.trajectory.StoredFrames`).
    status : int
        0 end reached, 1 a terminal event, 2 stopped by the callback, -1 failed, -2 diverged.
    message : str
        The outcome in words, with advice where it is not 0.
    success : bool
        Whether the status is 0, 1 or 2.
    nfev, naccepted, nrejected : int
        Evaluations of the right-hand side; steps taken and refused.
    echo_gain : float
        rho(a Phi) at the last state, computed when it is first read.
    wall_time : float
        Seconds.
    velocity : numpy.ndarray, as q, or None
        Velocities of the frames, where neurons have mass; of a run with `path=` read as these are.
    sol : DenseOutput or None
        q at any time, with dense_output=True.
    state : dict
        What `solve(..., resume=state)` goes on from; it may lie a step before the last frame.
    t_events, q_events : list of numpy.ndarray, or None
        Times and places of each event.
    path : path or None
        The file that holds the frames, where the run streamed into one.

    Examples
    --------
    >>> import numpy as np
    >>> from dynsim.engine import Operators, System, solve
    >>> solution = solve(System(np.ones((1, 1)), operators=Operators(F=-1.0)), (0.0, 1.0))
    >>> solution.status, solution.message
    (0, 'Reached the end of the time span.')
    """

    t: np.ndarray
    q: np.ndarray
    R: np.ndarray
    E: np.ndarray
    status: int
    message: str
    nfev: int
    naccepted: int
    nrejected: int
    wall_time: float
    method: str
    velocity: np.ndarray | None = None
    sol: object = None
    t_events: list | None = None
    q_events: list | None = None
    state: dict | None = field(default=None, repr=False)
    path: object = None
    _last: tuple = field(default=(), repr=False)

    @property
    def success(self) -> bool:
        """Whether the run ended as it was meant to: status 0, 1 or 2."""
        return self.status >= 0

    @cached_property
    def echo_gain(self) -> float:
        """rho(a Phi) at the last good state; 0 if a = 0."""
        system, q, R = self._last
        return echo_gain(system, q, R=R)

    @property
    def system(self):
        """The system that was integrated."""
        return self._last[0]

    def facts(self) -> dict:
        """What it is shown by."""
        shape = " x ".join(map(str, self.q.shape[1:]))
        return {
            "outcome": STATUS[self.status],
            "message": self.message,
            "frames": len(self.t),
            "places in each": shape,
            "steps": f"{self.naccepted} of {self.method}",
            "evaluations": self.nfev,
            "seconds": f"{self.wall_time:.3g}",
        } | ({"file": self.path} if self.path is not None else {})
