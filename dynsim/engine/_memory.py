"""The delay memory: a ring of step segments that reaches one delay back, whatever the time span."""

from __future__ import annotations

import numpy as np

from . import _ring
from ._interpolate import lobatto

FIRST_ROOM = 64  # segments


class DelayMemory:
    """Looks up q(t - eps) and E(t - eps).

    E may jump at t0 + k eps, so time is cut there; a history that jumps itself adds the same cuts at its own phase,
    so that there are m >= 1 intervals in one delay. Steps never cross a cut, and a stage in interval n looks into the
    segments of interval n - m only, clipped to it: at the left end of a step it sees the limit from the right, at
    the right end the limit from the left. m + 1 intervals of segments are kept in a ring; older ones are written over,
    so the memory's size does not depend on the time span. The arithmetic is in `_ring`.
    """

    def __init__(self, delay, t0, nodes, q_shape, E_shape, history, anchors=()):
        self.origin, self.history = np.array([t0, delay]), history
        self.nodes, self.shapes = lobatto(nodes), (q_shape, E_shape)
        phases = {0.0}
        for anchor in anchors:
            phase = (anchor - t0) % delay
            if all(abs(phase - known) > 1e-9 * delay for known in (*phases, delay)):
                phases.add(phase)
        self._begin(sorted(phases), 0)

    def _begin(self, phases, interval):
        self.phases, self.current = np.array(phases, dtype=float), np.array([interval])
        self.firsts = np.zeros(len(phases) + 2, np.int64)
        self.times, (self.q, self.E) = np.empty((0, 2)), (np.empty((0, 0, 0)), np.empty((0, 0, 0)))
        self.make_room()

    @property
    def t0(self):
        """Where time is counted from."""
        return float(self.origin[0])

    @property
    def interval(self):
        """Number of the interval that is being stepped through."""
        return int(self.current[0])

    def cut(self, n):
        """Time at which interval n begins; t0 + n eps where the history has no jumps of its own."""
        return _ring.cut_time(n, self.origin, self.phases)

    def turn(self):
        """Begin the next interval."""
        _ring.turn(self.current, self.firsts)

    def make_room(self):
        """Make sure that one more segment fits: the ring is doubled until it holds m + 1 intervals."""
        used, room = np.arange(self.firsts[0], self.firsts[-1]), len(self.times)
        if len(used) < room:
            return
        more, n = max(FIRST_ROOM, 2 * room), len(self.nodes.x)
        times = np.empty((more, 2))
        q, E = (np.empty((more, n, int(np.prod(shape)))) for shape in self.shapes)
        if room:
            for old, new in ((self.times, times), (self.q, q), (self.E, E)):
                new[used % more] = old[used % room]
        self.times, self.q, self.E = times, q, E

    def store(self, t, step, q, E):
        """Keep the step [t, t + step]: q (n, H, N, d) and E (n, N, s) at its nodes."""
        self.make_room()
        n = len(self.nodes.x)
        _ring.keep(t, step, q.reshape(n, -1), E.reshape(n, -1), self.times, self.q, self.E, self.firsts)

    def lookup(self, t):
        """q(t - eps) (H, N, d) and E(t - eps) (N, s) for a time in the current interval."""
        past, right = _ring.past_time(t, self.interval, self.origin, self.phases)
        if self.interval < len(self.phases):
            return self.history(past, past == right)
        q, E = (np.empty(shape) for shape in self.shapes)
        _ring.look_up(past, self.times, self.q, self.E, self.firsts, self.nodes.x, self.nodes.barycentric,
                      q.reshape(-1), E.reshape(-1))  # fmt: skip
        return q, E

    def state(self):
        """Everything but the history, as plain numbers and arrays."""
        slots = np.arange(self.firsts[0], self.firsts[-1]) % len(self.times)
        (q_shape, E_shape), n = self.shapes, len(self.nodes.x)
        return {
            "t0": self.t0,
            "phases": self.phases.copy(),
            "interval": self.interval,
            "counts": np.diff(self.firsts),
            "steps": self.times[slots],
            "q": self.q[slots].reshape(-1, n, *q_shape),
            "E": self.E[slots].reshape(-1, n, *E_shape),
        }

    def restore(self, state):
        """Take over what `state` returned."""
        self.origin[0] = float(state["t0"])
        self._begin([float(phase) for phase in state["phases"]], int(state["interval"]))
        for (t, step), q, E in zip(state["steps"], state["q"], state["E"], strict=True):
            self.store(float(t), float(step), np.ascontiguousarray(q, float), np.ascontiguousarray(E, float))
        self.firsts[1:] = np.cumsum(state["counts"])
