"""The right-hand side: places in, received and emitted signals and velocities out."""

from __future__ import annotations

import numpy as np

from ._failure import NotFinite
from ._instant import InstantSolver


class Field:
    """Equations (1') to (3) at one time; `memory` is the delay memory, None for delay 0.

    Arrays inside the engine always carry the copies, q is (H, N, d).
    """

    def __init__(self, system, memory=None):
        self.system, self.memory = system, memory
        self.equations = system._equations
        self.solver = InstantSolver(system) if memory is None else None
        self.nfev = 0

    def signals(self, t, q):
        """R and E at time t and places q, both (N, s)."""
        self.nfev += 1
        with np.errstate(all="ignore"):  # what is not finite is found and named, below and in the loop
            return self._signals(t, q)

    def _signals(self, t, q):
        system = self.system
        Q = q[0] if len(q) == 1 else q.sum(axis=0)
        drive = None if system._drive is None else system._drive(t)
        if self.memory is None:
            R, E = self.solver.solve(t, q, Q, drive)
        else:
            past_q, past_E = self.memory.lookup(t)
            R = system._coupling.received(past_q, q, past_E)
            if drive is not None:
                R += drive
            E = system._clamp(self.equations.emitted(R, Q), t)
        if not (np.isfinite(R).all() and np.isfinite(E).all()):
            raise NotFinite(q, E, R)
        return R, E

    def evaluate(self, t, q):
        """Velocities q' (H, N, d), R and E."""
        R, E = self.signals(t, q)
        with np.errstate(all="ignore"):
            return self.equations.velocity(R, E, q), R, E


def rest(system, q):
    """E of silent neurons at rest, R = 0 and q' = 0: act(0) + B Q, clamped groups as given by the caller."""
    act = system._equations.activation.value(np.zeros((system.neurons, system.signals)))
    return act + system._equations.B.apply(q.sum(axis=0))
