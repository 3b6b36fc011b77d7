"""Signals of finite speed v: every pair has the delay eps + r / v, r their distance on the way.

    R_i(t) = I_i(t) + sum_h sum_{j != i} lambda_h[g(j), g(i)] E_j(s) phi(q_j^h(s), q_i^h(t))
    s = t - eps - |q_i^h(t) - q_j^h(s)| / v

The memory holds the steps that the farthest pair still sees. A step is shorter than the shortest of these delays, so
that nothing is looked for within it: neurons that meet at eps = 0 stop a run. What is not smooth at t0, or at a jump of
a given signal, reaches each pair at a time of its own, on which no step lands: there a method has order 2 at a kink of
E and order 1 at a jump, and adaptive steps become as short as it takes. Away from these times it has its own order, as
places and signals are read from the interpolants of the method.
"""

from __future__ import annotations

import heapq
import math

import numpy as np

from dynsim._check import refusal
from dynsim.kernels import SEEN, TOO_FAR_BACK, launch, retarded_sums

from ._delay_memory import DelayMemory
from ._failure import Misbehaved, NoConvergence
from ._given_signals import add_signal
from ._interpolation import lobatto
from ._received_signals import pair_arrays
from ._step_size import LONGEST

SHARE = 0.9  # of the shortest delay, that an adaptive step may be long: the delay may shrink within it
MOST_PIECES = 4096  # of a history that is a function, of which no shorter ones are made
FITS = 1e-13  # relative to the largest place or signal, how well a piece of it must fit
SLOWER = "Raise `speed` above every velocity, or weaken the operators."


class RetardedMemory(DelayMemory):
    """Steps as far back as any pair looks, after the pieces of a history that is not constant.

    A history that is a function is kept as polynomials on pieces, halved until they fit; a Solution as its steps.
    """

    def __init__(self, system, breaks, nodes, history=None):
        self.system, self.sums, self.checked = system, None, 0
        super().__init__(system, breaks, nodes, history)
        self.rests = self.history is None
        x = self.interpolation[0]
        self.powers = np.linalg.inv(np.vander(2 * x - 1, increasing=True))
        if not self.rests:
            self._keep_history(getattr(history, "sol", None))
            self.history = None

    @property
    def arrays(self):
        """As of `DelayMemory`; what lies before a breaking point is nowhere, so nothing is given up at one."""
        times, q, E, firsts, current, cuts, _, *others = super().arrays
        return (times, q, E, firsts, current, cuts, np.full((len(cuts), 2), -np.inf), *others)

    def grow(self):
        """Give up what no pair will see again, and double the ring where more than half of it is still seen."""
        capacity = len(self.times)
        if self.sums is not None and capacity and self.firsts[1] - self.firsts[0] >= capacity:
            last = (self.firsts[1] - 1) % capacity
            places = self.q[last, -1].reshape(self.shapes[0])
            earliest = self.sums.earliest(self.times[last].sum(), places)
            while self.firsts[1] - self.firsts[0] > 2 and self.times[(self.firsts[0] + 2) % capacity, 0] < earliest:
                self.firsts[0] += 1
                self.rests = False
            if self.firsts[1] - self.firsts[0] <= capacity // 2:
                return
        super().grow()

    def restore(self, state):
        """Take over what `state` returned."""
        super().restore(state)
        begins = self.breaks.start
        self.rests = self.rests and (not len(state["steps"]) or state["steps"][0][0] <= begins)
        self.checked = int(self.firsts[1])

    def expect_slow(self):
        """Raise NoConvergence where a neuron was faster than its signals in a step kept since the last call."""
        for k in range(max(self.checked, int(self.firsts[0])), int(self.firsts[1])):
            slot = k % len(self.times)
            moved = np.diff(self.q[slot].reshape(-1, *self.shapes[0])[:, : self.copies], axis=0)
            speeds = self._lengths(moved).max(axis=1) / (np.diff(self.interpolation[0]) * self.times[slot, 1])[:, None]
            if not speeds.max() < self.system.speed:
                j = int(np.argmax(speeds.max(axis=0)))
                raise NoConvergence(
                    f"neuron {j} moves at {speeds.max():.4g}, as fast as its signals or faster (speed "
                    f"{self.system.speed:g}), so the time at which they were sent is not unique", SLOWER)  # fmt: skip
        self.checked = int(self.firsts[1])

    def _lengths(self, difference):
        """By the metric of the kernel."""
        if self.system.kernel.metric == "l1":
            return np.abs(difference).sum(axis=-1)
        return np.sqrt((difference * difference).sum(axis=-1))

    def _keep_history(self, dense):
        start, asked = self.breaks.start, self.history
        if dense is not None:
            begins = np.array([step.t for step in dense._steps if step.t < start])
            for begin, end in zip(begins, [*begins[1:], start], strict=True):
                self._keep(begin, end, *self._sampled(asked, begin, end))
        else:
            pieces = [self._piece(asked, start - self._reach(asked), start)]
            while pieces[0][0] < -FITS and len(pieces) < MOST_PIECES:  # the worst is halved
                _, begin, end, _, _ = heapq.heappop(pieces)
                for part in ((begin, 0.5 * (begin + end)), (0.5 * (begin + end), end)):
                    heapq.heappush(pieces, self._piece(asked, *part))
            for _, begin, end, q, E in sorted(pieces, key=lambda piece: piece[1]):
                self._keep(begin, end, q, E)
        try:
            self.expect_slow()
        except NoConvergence as trouble:
            raise Misbehaved(refusal("history", str(trouble), "places that move slower than signals")) from None

    def _reach(self, asked):
        """How long before the start the farthest pair looks, at most."""
        system, start = self.system, self.breaks.start
        now, back = system._places(system.q), 0.0
        corners = now.min(axis=1), now.max(axis=1)
        while True:
            then = asked(start - back, True)[0]
            sides = np.maximum(abs(corners[1] - then.min(axis=1)), abs(then.max(axis=1) - corners[0]))
            needed = 1.01 * (system.delay + float(self._lengths(sides).max()) / system.speed)
            if needed <= back or needed == 0.0:
                return back or 1.0
            if not needed < 1e6 * (1.0 + abs(start)):
                refused = refusal("history", "places that recede as fast as signals", "slower ones")
                raise Misbehaved(refused)
            back = 1.5 * needed

    def _sampled(self, asked, begin, end):
        """q (nodes, H N d) and E (nodes, N s) of a piece of the history."""
        x = self.interpolation[0]
        times = [*(begin + x[:-1] * (end - begin)), end]
        told = [asked(float(t), bool(x[k] == 1.0)) for k, t in enumerate(times)]
        q, E = (np.array([part[which].reshape(-1) for part in told]) for which in (0, 1))
        rest = math.prod(self.shapes[0]) - q.shape[1]  # velocities, which nobody looks back at
        return np.pad(q, ((0, 0), (0, rest))), E

    def _piece(self, asked, begin, end):
        """A piece of the history: how badly it fits halfway between its nodes, as a number below 0, and what it is."""
        nodes, worst = lobatto(self.nodes), 0.0
        q, E = self._sampled(asked, begin, end)
        for x in 0.5 * (nodes.x[1:] + nodes.x[:-1]):
            told, weights = asked(float(begin + x * (end - begin)), False), nodes.weights(x)
            for found, values in zip(told, (q, E), strict=True):
                missed, size = abs(weights @ values - found.reshape(-1)).max(), abs(values).max()
                worst = max(worst, missed / size if size else float(missed > 0.0))
        return -worst, begin, end, q, E

    def _keep(self, begin, end, q, E):
        super().grow()
        slot = self.firsts[-1] % len(self.times)
        self.times[slot], self.q[slot], self.E[slot] = (begin, end - begin), q, E
        self.firsts[-1] += 1


class RetardedSums:
    """R of (1') at finite speed, every pair of which is computed by all ranks."""

    solver = None

    def __init__(self, system, memory):
        self.system, self.memory = system, memory
        expressions, self.pairs = pair_arrays(system)
        self.loop, self.control, self.asked = retarded_sums(expressions), None, np.inf
        N = system.neurons
        self.latest, self.earliest_of = np.zeros(N), np.zeros(N)
        self.other, self.codes = np.zeros((N, 2), np.int64), np.zeros(N, np.int64)
        self.shortest = np.inf
        memory.sums = self

    def received(self, t, q, Q, past_q, past_E, operators, given):
        """R (N, s) at a time and places; NoConvergence, Misbehaved where a signal cannot be seen."""
        self.memory.expect_slow()
        R = self._summed(t, q)
        if self.codes.any():
            self._refuse(t, q)
        self.shortest = t - self.latest.max()
        add_signal(t, given[0], given[1], R)
        return R

    def bound(self, control):
        """Keep the next step of an adaptive method shorter than the shortest delay."""
        if len(control) <= LONGEST:
            return
        if control is not self.control:
            self.control, self.asked = control, control[LONGEST]
        control[LONGEST] = min(self.asked, SHARE * self.shortest)

    def earliest(self, t, q):
        """The earliest time that any pair looks back to at t, and so from then on."""
        self._summed(t, q)
        return float(self.earliest_of.min())

    def _summed(self, t, q):
        system, memory = self.system, self.memory
        times, ring_q, ring_E, firsts, *_ = memory.arrays
        R = np.zeros((system.neurons, system.signals))
        work = system.copies * system.neurons**2 * (20 * system.dimension * memory.nodes + system.signals)
        places = np.ascontiguousarray(q[: system.copies])
        launch(self.loop, work, float(t) - system.delay, system.speed, places, times, ring_q, ring_E,
               int(firsts[0]), int(firsts[1]), memory.powers, float(memory.breaks.start), memory.history_q,
               memory.history_E, memory.rests, *self.pairs, R, self.latest, self.earliest_of, self.other,
               self.codes)  # fmt: skip
        return R

    def _refuse(self, t, q):
        i = int(np.flatnonzero(self.codes != SEEN)[0])
        j = int(self.other[i, 0])
        if self.codes[i] == TOO_FAR_BACK:
            raise Misbehaved(refusal(
                "history", f"none as long ago as neuron {j} sent what reaches neuron {i} at t = {t:.9g}",
                "one that reaches back the time that signals take between the farthest neurons",
            ))  # fmt: skip
        r = float(self.memory._lengths(q[:, i] - q[:, j]).min())
        raise NoConvergence(
            f"a signal of neuron {j} reaches neuron {i}, at distance {r:.4g}, within a step",
            f"Take steps shorter than r / v = {r / self.system.speed:.4g}, or give a delay beside the speed.",
        )
