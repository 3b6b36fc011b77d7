"""The delay memory: a ring of step segments that reaches one delay back, whatever the time span."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque

import numpy as np

from ._interpolate import lobatto


class Segment:
    """Places and emitted signals of one step at Lobatto nodes."""

    __slots__ = ("E", "q", "step", "t")

    def __init__(self, nodes, q_shape, E_shape):
        self.t = self.step = 0.0
        self.q, self.E = np.empty((nodes, *q_shape)), np.empty((nodes, *E_shape))


class DelayMemory:
    """Looks up q(t - eps) and E(t - eps).

    E may jump at t0 + k eps, so time is cut there; a history that jumps itself adds the same cuts at its own phase,
    so that there are m >= 1 intervals in one delay. Steps never cross a cut, and a stage in interval n looks into the
    segments of interval n - m only, clipped to it: at the left end of a step it sees the limit from the right, at
    the right end the limit from the left. m + 1 intervals of segments are kept; older ones are written over, so the
    memory's size does not depend on the time span.
    """

    def __init__(self, delay, t0, nodes, q_shape, E_shape, history, anchors=()):
        self.delay, self.t0, self.history = delay, t0, history
        self.nodes, self.shapes = lobatto(nodes), (q_shape, E_shape)
        phases = {0.0}
        for anchor in anchors:
            phase = (anchor - t0) % delay
            if all(abs(phase - known) > 1e-9 * delay for known in (*phases, delay)):
                phases.add(phase)
        self.phases = sorted(phases)
        self.interval = 0
        # ring[-1] is the current interval, ring[0] the one a delay earlier; None stands for the history.
        self.ring = deque([None] * len(self.phases) + [[]])
        self.past_starts, self.spare = [], []

    def cut(self, n):
        """Time at which interval n begins; t0 + n eps where the history has no jumps of its own."""
        k, phase = divmod(n, len(self.phases))
        return self.t0 + k * self.delay + self.phases[phase]

    def turn(self):
        """Begin the next interval."""
        self.interval += 1
        self.spare.extend(self.ring.popleft() or ())
        self.ring.append([])
        self.past_starts = [segment.t for segment in self.ring[0] or ()]

    def store(self, t, step, q, E):
        """Keep the step [t, t + step]: q (n, H, N, d) and E (n, N, s) at its nodes."""
        segment = self.spare.pop() if self.spare else Segment(len(self.nodes.x), *self.shapes)
        segment.t, segment.step = t, step
        segment.q[...], segment.E[...] = q, E
        self.ring[-1].append(segment)

    def lookup(self, t):
        """q(t - eps) (H, N, d) and E(t - eps) (N, s) for a time in the current interval."""
        n = self.interval - len(self.phases)
        left, right = self.cut(n), self.cut(n + 1)
        past = min(max(left + (t - self.cut(self.interval)), left), right)
        if self.ring[0] is None:
            return self.history(past, past == right)
        segment = self.ring[0][max(bisect_right(self.past_starts, past) - 1, 0)]
        weights = self.nodes.weights(min(max((past - segment.t) / segment.step, 0.0), 1.0))
        return _combine(weights, segment.q), _combine(weights, segment.E)

    def state(self):
        """Everything but the history, as plain numbers and arrays."""
        intervals = [[] if segments is None else segments for segments in self.ring]
        kept = [segment for segments in intervals for segment in segments]
        (q_shape, E_shape), n = self.shapes, len(self.nodes.x)
        return {
            "t0": self.t0,
            "phases": np.array(self.phases),
            "interval": self.interval,
            "counts": np.array([len(segments) for segments in intervals]),
            "steps": np.array([(segment.t, segment.step) for segment in kept]).reshape(-1, 2),
            "q": np.array([segment.q for segment in kept]).reshape(-1, n, *q_shape),
            "E": np.array([segment.E for segment in kept]).reshape(-1, n, *E_shape),
        }

    def restore(self, state):
        """Take over what `state` returned."""
        self.t0, self.interval = float(state["t0"]), int(state["interval"])
        self.phases = [float(phase) for phase in state["phases"]]
        self.ring, k = deque(), 0
        first = self.interval - len(self.phases)
        for n, count in enumerate(state["counts"], start=first):
            self.ring.append([] if n >= 0 else None)
            for _ in range(int(count)):
                t, step = state["steps"][k]
                self.store(float(t), float(step), state["q"][k], state["E"][k])
                k += 1
        self.past_starts = [segment.t for segment in self.ring[0] or ()]


def _combine(weights, values):
    return (weights @ values.reshape(len(weights), -1)).reshape(values.shape[1:])
