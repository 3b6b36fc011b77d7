"""What a delay looks back at: a ring of steps that reaches one delay back, and the history before the start.

`arrays` of a DelayMemory is what compiled loops work on: `times` (capacity, 2), `q` and `E` (capacity, nodes, numbers),
of which segment number k lies in slot k mod capacity; `firsts` (2,), the numbers of the first segment kept and of the
next; `current` (1,), the interval; `cuts` (K,) and `pasts` (K, 2), the breaking points at which intervals begin and
what lies one delay before them (none without a delay); places and signals of a constant history; nodes, barycentric
weights and defect of the interpolation; `anew` (K,), at which cuts the grid of fixed steps begins anew; `start` (1,).
"""

from __future__ import annotations

import numpy as np
from numba import njit

from dynsim._check import as_array, describe, refusal

from ._breaking_points import merged_within
from ._failure import Misbehaved
from ._interpolation import lagrange, lobatto

FIRST_CAPACITY = 64  # segments


@njit(cache=True, nogil=True)
def past_time(t, place, cuts, pasts):
    """The time t - eps, kept within what the interval at a place may see, and the end of that."""
    left, right = pasts[place, 1], pasts[place + 1, 0]
    return min(max(left + (t - cuts[place]), left), right), right


@njit(cache=True, nogil=True)
def fill(target, source):
    """Copy one contiguous array into another of its size, whatever their shapes: far less to compile than slices."""
    to, of = target.ravel(), source.ravel()
    for j in range(len(to)):
        to[j] = of[j]


@njit(cache=True, nogil=True, inline="always")  # a call would hand over all of the memory's arrays
def recall(t, memory, q, E):
    """Fill q and E with the places and emitted signals one delay before t, a time in the current interval."""
    place, cuts, pasts = memory[4][0], memory[5], memory[6]
    if pasts[place, 1] < memory[13][0]:
        fill(q, memory[7])
        fill(E, memory[8])
        return
    times, ring_q, ring_E, firsts = memory[0], memory[1], memory[2], memory[3]
    past, right = past_time(t, place, cuts, pasts)
    low, high, capacity = firsts[0], firsts[1], len(times)
    while high - low > 1:
        middle = (low + high) // 2
        begin = times[middle % capacity, 0]
        # At its right end an interval sees the limit from the left, so not the segment that begins there.
        if begin <= past and begin < right:
            low = middle
        else:
            high = middle
    slot = low % capacity
    theta = min(max((past - times[slot, 0]) / times[slot, 1], 0.0), 1.0)
    weights = lagrange(theta, memory[9], memory[10])
    interpolate(weights, ring_q[slot], q.ravel())
    interpolate(weights, ring_E[slot], E.ravel())


@njit(cache=True, nogil=True)
def interpolate(weights, values, out):
    """out (numbers,) = sum_k weights_k values_k over the nodes, values (nodes, numbers)."""
    for j in range(len(out)):
        out[j] = 0.0
    for k in range(len(weights)):
        if weights[k] != 0.0:
            for j in range(len(out)):
                out[j] += weights[k] * values[k, j]


@njit(cache=True, nogil=True)
def keep_step(t, end, q_nodes, E_nodes, memory):
    """Store the step [t, end]; there must be a free slot."""
    times, ring_q, ring_E, firsts = memory[0], memory[1], memory[2], memory[3]
    slot = firsts[-1] % len(times)
    times[slot, 0], times[slot, 1] = t, end - t
    fill(ring_q[slot], q_nodes)
    fill(ring_E[slot], E_nodes)
    firsts[-1] += 1


@njit(cache=True, nogil=True)
def begin_interval(memory):
    """Begin the next interval; what lies more than one delay before it is given up."""
    times, firsts, current, pasts = memory[0], memory[3], memory[4], memory[6]
    current[0] += 1
    while firsts[1] - firsts[0] > 1 and times[(firsts[0] + 1) % len(times), 0] <= pasts[current[0], 1]:
        firsts[0] += 1


class DelayMemory:
    """Keeps q and E for one delay; of a system of delay 0 it is empty.

    Steps never cross a breaking point, and a stage in an interval between two of them looks one delay back, clipped to
    the breaking points there of which these are echoes: at the left end of an interval it sees the limit from the
    right, at the right end the limit from the left. Segments are kept in a ring until an interval begins that does not
    see them; older ones are written over, so the memory's size does not depend on the time span.
    """

    def __init__(self, system, breaks, nodes, history=None):
        self.shapes = system._state_shape, system._emitted_shape
        self.copies, self.neurons = system.copies, system.neurons
        self.breaks, self.history = breaks, None
        self.history_q, self.history_E = (np.zeros(shape) for shape in self.shapes)
        lobatto_nodes = None
        if system.looks_back:
            lobatto_nodes = lobatto(nodes)
            if history is None:
                places = self.history_q[: self.copies] = system._places(system.q)
                self.history_E[: self.neurons] = resting_signals(system, places, breaks.start)
            else:
                self.history = as_history(history, system, breaks.start)
        none = np.empty(0)
        self.interpolation = (
            (none, none, none)
            if lobatto_nodes is None
            else (lobatto_nodes.x, lobatto_nodes.barycentric, lobatto_nodes.defect)
        )
        self._empty()

    def _empty(self):
        self.firsts = np.zeros(2, np.int64)
        self.times, self.q, self.E = np.empty((0, 2)), np.empty((0, 0, 0)), np.empty((0, 0, 0))
        if self.nodes:
            self.grow()

    @property
    def arrays(self):
        """What compiled loops work on; `times`, `q`, `E` and the breaking points are new after `grow`."""
        current, cuts, pasts, anew, start = self.breaks.arrays
        return (self.times, self.q, self.E, self.firsts, current, cuts, pasts, self.history_q, self.history_E,
                *self.interpolation, anew, start)  # fmt: skip

    @property
    def nodes(self):
        """Number of nodes in a segment."""
        return len(self.interpolation[0])

    def grow(self):
        """Make sure that one more segment fits, by doubling the ring, and that breaking points are known ahead."""
        self.breaks.extend()
        capacity = len(self.times)
        if not self.nodes or self.firsts[-1] - self.firsts[0] < capacity:
            return
        used = np.arange(self.firsts[0], self.firsts[-1])
        more = max(FIRST_CAPACITY, 2 * capacity)
        times = np.empty((more, 2))
        q, E = (np.empty((more, self.nodes, int(np.prod(shape)))) for shape in self.shapes)
        if capacity:
            for old, new in ((self.times, times), (self.q, q), (self.E, E)):
                new[used % more] = old[used % capacity]
        self.times, self.q, self.E = times, q, E

    def look_before_start(self, t):
        """Ask a history that is a function for the places and signals one delay before t, for `recall`."""
        if self.history is None:
            return
        current, cuts, pasts, _, start = self.breaks.arrays
        if pasts[current[0], 1] < start[0]:
            past, right = past_time(t, current[0], cuts, pasts)
            self.history_q[: self.copies], self.history_E[: self.neurons] = self.history(past, past == right)

    def state(self, pending=False):
        """The steps that are kept, as plain arrays, but for a pending one; None at delay 0."""
        if not self.nodes:
            return None
        firsts = self.firsts.copy()
        firsts[-1] -= pending
        slots = np.arange(firsts[0], firsts[-1]) % len(self.times)
        q_shape, E_shape = self.shapes
        return {
            "steps": self.times[slots],
            "q": self.q[slots].reshape(-1, self.nodes, *q_shape),
            "E": self.E[slots].reshape(-1, self.nodes, *E_shape),
        }

    def restore(self, state):
        """Take over what `state` returned."""
        if state is None:
            return
        self._empty()
        for step, q, E in zip(state["steps"], state["q"], state["E"], strict=True):
            self.grow()
            slot = self.firsts[-1]
            self.times[slot], self.q[slot], self.E[slot] = (
                step,
                np.reshape(q, (self.nodes, -1)),
                np.reshape(E, (self.nodes, -1)),
            )
            self.firsts[-1] += 1


def resting_signals(system, q, t0):
    """E of silent neurons at rest, R = 0 and q' = 0: act(0) + B Q; clamped groups as at t0."""
    equations = system._equations
    E = equations.act_of_zero + np.zeros(equations.size) + equations.B.apply(q.sum(axis=0))
    for members, signal in system._clamps:
        E[members] = signal(t0, finite=False)  # what is not finite is named by the first evaluation
    return E


def as_history(history, system, t0):
    """Return a function (t, left) -> (q (H, N, d), E (N, s)) for t0 - eps <= t <= t0; left asks for a left limit.

    The history is a callable t -> q or (q, E), or an earlier Solution with dense output that covers the delay.
    """
    if callable(history):
        return lambda t, left: _told(history(t), system, t0, t)
    dense = getattr(history, "sol", None)
    if dense is None:
        raise refusal(
            "history",
            describe(history),
            "None, a function t -> q or (q, E), or an earlier Solution made with dense_output=True",
            error=TypeError,
        )
    if dense(dense.t_max).shape != system.q.shape:
        raise refusal("history", f"places {dense(dense.t_max).shape}", f"{system.q.shape}, the system's")
    longest = system._delays.longest
    slack = merged_within(t0, 0, longest)
    if dense.t_min > t0 - longest + slack or dense.t_max < t0 - slack:
        raise refusal(
            "history",
            f"a Solution over [{dense.t_min:g}, {dense.t_max:g}]",
            f"one that covers one delay before the start, [{t0 - longest:g}, {t0:g}]",
        )

    def earlier(t, left):
        t = min(max(t, dense.t_min), dense.t_max)
        return _past((dense(t), dense.emitted(t, left=left)), system, t0, t)

    return earlier


def _told(value, system, t0, t):
    """What a function gave for the past; Misbehaved where it cannot be used."""
    try:
        return _past(value, system, t0, t)
    except (TypeError, ValueError) as error:
        raise Misbehaved(error) from None


def _past(value, system, t0, t):
    q, E = value if isinstance(value, tuple) and len(value) == 2 else (value, None)
    q = system._places(as_array(q, f"history places at t = {t:.9g}", system.q.shape, np.float64))
    if E is None:
        return q, resting_signals(system, q, t0)
    return q, as_array(E, f"history signals at t = {t:.9g}", (system.neurons, system.signals), np.float64)
