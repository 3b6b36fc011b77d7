"""A system in motion: its arrays, and the loop that steps them."""

from __future__ import annotations

import math

import numpy as np

from dynsim._ranks import ALONE

from ._delay_memory import DelayMemory
from ._equations import NOT_FINITE, OK, UNSOLVED, right_hand_side
from ._error_signals import Learning, taught
from ._failure import SINGULAR_FIELD, Misbehaved, NoConvergence, NotFinite
from ._finite_speed import RetardedMemory, RetardedSums
from ._given_signals import GivenSignals, add_signal
from ._group_relations import GroupRelations
from ._known_breaks import breaking_points
from ._noise import Noise
from ._received_signals import pair_arrays
from ._several_delays import DelayedSums, LongMemory
from ._small_loop import SmallLoop, asking
from ._stepping import ACCEPTED, END, EVALUATIONS, LAST, NOW, PENDING, REFUSED, as_it_is, machine, next_stop
from ._zero_delay import ZeroDelaySolver

# Above, Python's share of a step is small and pair sums are divided among threads: H N^2 (d + s).
LARGEST_WORK = 100_000
LARGEST_ECHO = 64  # N s up to which Gaussian elimination without blocks is as fast as LAPACK


def is_small(system):
    """Whether one thread computes all of an evaluation: few pairs, no iterations at delay 0."""
    work = system.copies * system.neurons**2 * (system.dimension + system.signals)
    equations = system._equations
    direct = system.looks_back or (
        equations.linear and (not equations.echoes or system.neurons * system.signals <= LARGEST_ECHO)
    )
    simple = system.backend.name != "cupy" and system.teacher is None and not has_apart(system)
    return bool(work <= LARGEST_WORK and direct and simple)


def has_apart(system):
    """Whether what is received is summed delay by delay, or pair by pair."""
    return system._delays.several or system.speed is not None


def delay_memory(system, breaks, nodes, history=None):
    """The memory that a system needs."""
    kind = LongMemory if system._delays.several else DelayMemory if system.speed is None else RetardedMemory
    return kind(system, breaks, nodes, history)


class Machine:
    """The state of a run at time t, its derivative f, R and E, and what moves it on.

    The state `q` is places (H, N, d), or where neurons have mass places and velocities (2 H, N, d); E is (N, s), or
    with a teacher and a delay emitted and error signals (2 N, s). All arrays keep their place: the loop works on them.
    With `ranks`, each of them has a machine, and all do the same. `seed` is that of the noise.
    """

    def __init__(self, system, memory, tableau, *, t, t1, rtol, atol, ranks=ALONE, seed=0):
        self.ranks = ranks
        self.system, self.memory, self.trouble, self.within = system, memory, None, None
        state, emitted, S = system._state_shape, system._emitted_shape, tableau.stages
        numbers, received = math.prod(state), (system.neurons, system.signals)
        self.clock, self.counts, self.control = np.zeros(5), np.zeros(5, np.int64), np.zeros(4)
        self.clock[NOW], self.clock[LAST] = t, t1
        self.q, self.f = system._state(), np.zeros(state)
        self.R, self.E = np.zeros(received), np.zeros(emitted)
        self.K, self.E_nodes = np.zeros((S, numbers)), np.zeros((memory.nodes, math.prod(emitted)))
        self.new_q, self.new_R, self.new_E = np.zeros(state), np.zeros(received), np.zeros(emitted)
        self.trial = (self.new_q, self.new_R, self.new_E, np.zeros(state), self.K,
                      np.zeros((memory.nodes, numbers)), self.E_nodes)  # fmt: skip
        self.tolerances = rtol, atol
        self.tableau = tableau.arrays(rtol, atol)
        expressions, self.pairs = pair_arrays(system)
        self.operators, self.given = system._equations.arrays(), GivenSignals(system)
        self.solver = self.learning = self.apart = None
        self.noise = Noise(system, seed)
        scheme = tableau.scheme(self.noise)
        if is_small(system):
            constant = self.given.constant and memory.history is None and scheme is None
            self.loop = SmallLoop(expressions, None if constant else self._look, scheme)
        else:
            if has_apart(system):
                several = system._delays.several
                self.apart = DelayedSums(system, memory, ranks) if several else RetardedSums(system, memory)
                self.solver = self.apart.solver
            elif not system.looks_back:
                self.solver = ZeroDelaySolver(system, ranks)
            evaluate = right_hand_side(self._receive, as_it_is)
            if system.teacher is not None:
                relations = self.solver.relations if self.solver is not None else GroupRelations(system)
                self.learning = Learning(system, relations)
                evaluate = taught(evaluate, self.learning)
            self.loop = machine(asking(self._look, evaluate), as_it_is, scheme)
        self.bind()

    def take_table(self, tableau):
        """Step by another table of the method from now on."""
        self.tableau = tableau
        if len(self.K) < len(tableau[1]):
            self.K = np.zeros((len(tableau[1]), self.q.size))
            self.trial = (*self.trial[:4], self.K, *self.trial[5:])

    def bind(self):
        """Take over the memory's arrays, which are new after it has grown."""
        self.parameters = self.pairs, self.operators, self.given.arrays, self.memory.arrays

    def _look(self, t):
        """What only Python can do before an evaluation: functions that are given; returns OK or UNSOLVED."""
        self.trouble = None
        try:
            with np.errstate(**self.of_the_user):
                self.given.update(t, self.memory.breaks.within() if self.within is None else self.within)
                self.memory.look_before_start(t)
        except Misbehaved as trouble:
            self.trouble = trouble
            return UNSOLVED
        return OK

    def _receive(self, t, q, Q, past_q, past_E, pairs, operators, given, delayed, R):
        """(1') by pair sums, or at delay 0 by the solver of large and nonlinear systems."""
        try:
            if self.apart is not None:
                R[...] = self.apart.received(t, q, Q, past_q, past_E, operators, given)
                self.apart.bound(self.control)
            elif delayed:
                R[...] = self.system._coupling.received(past_q, q, past_E, self.ranks)
                add_signal(t, given[0], given[1], R)
            else:
                R[...] = self.solver.solve(t, q, Q, operators, given)
        except (NotFinite, NoConvergence, Misbehaved) as trouble:
            self.trouble = trouble
            return NOT_FINITE if isinstance(trouble, NotFinite) else UNSOLVED
        return OK

    def _call(self, clock, state, pause_at, steps, tries):
        self.of_the_user = np.geterr()
        with np.errstate(all="ignore"):  # what is not finite is found and named
            return self.loop((clock, self.counts, self.control, self.tableau, self.parameters, state, self.trial,
                              pause_at, steps, tries))  # fmt: skip

    def evaluate(self, t, q, *, velocities=True, within=None):
        """q' (H, N, d), R and E at a time and places; NotFinite, NoConvergence, Misbehaved.

        `within` is a time on that side of t which is meant where signals jump; default one in the current interval.
        """
        q = np.array(q, order="C")
        f = np.zeros(self.q.shape if velocities else (0, 0, 0))
        R, E = np.zeros_like(self.R), np.zeros_like(self.E)
        self.within = within
        try:
            code = self._call(np.full(5, float(t)), (q, f, R, E), 0.0, 0, 0)
        finally:
            self.within = None
        if code != OK:
            raise self._failure(code, q, R, E)
        return f, R, E

    def signals(self, t, q, within=None, start=None):
        """R and E at a time and places; what the rest of the run depends on is left as it is.

        At delay 0 iterations begin at the R of `start`, and so end at the solution near it.
        """
        if self.solver is None:
            return self.evaluate(t, q, velocities=False, within=within)[1:]
        before, self.solver.R = self.solver.R, start
        try:
            return self.evaluate(t, q, velocities=False, within=within)[1:]
        finally:
            self.solver.R = before

    def advance(self, pause_at, steps, tries):
        """Go on as the loop says; returns why it stopped, and how many steps were finished."""
        before = self.counts[ACCEPTED] - self.counts[PENDING]
        code = self._call(self.clock, (self.q, self.f, self.R, self.E), pause_at, steps, tries)
        return code, int(self.counts[ACCEPTED] - self.counts[PENDING] - before)

    @property
    def places(self):
        """(H, N, d), a part of the state."""
        return self.q[: self.system.copies]

    def place(self, t, q, f, R, E):
        """Set the state."""
        self.clock[NOW] = t
        self.q[...], self.f[...], self.R[...], self.E[...] = q, f, R, E

    def failure(self, code):
        """The NotFinite, NoConvergence or Misbehaved that a code of `advance` stands for, or None."""
        return self._failure(code, self.new_q, self.new_R, self.new_E) if code in (NOT_FINITE, UNSOLVED) else None

    def _failure(self, code, q, R, E):
        trouble = self.trouble or (self.learning.trouble if self.learning is not None else None)
        return trouble or (NotFinite(q, E, R) if code == NOT_FINITE else NoConvergence(SINGULAR_FIELD))

    def stop(self, last=None):
        """The time that the next step may not pass, in a span to `last`, and whether it is a breaking point."""
        return next_stop(self.clock[LAST] if last is None else last, self.memory.arrays)

    @property
    def t(self):
        """The time of the state."""
        return float(self.clock[NOW])

    @property
    def end(self):
        """The end of the last try: later than t while it is looked at, or where it failed."""
        return float(self.clock[END])

    @property
    def numbers(self):
        """Steps accepted and refused, evaluations."""
        return [int(self.counts[place]) for place in (ACCEPTED, REFUSED, EVALUATIONS)]

    @property
    def pending(self):
        """Whether a step was accepted whose end is not reached yet."""
        return bool(self.counts[PENDING])


class SignalsAtOnce:
    """R and E of a system of delay 0 at any time and places, as in the run that a machine has made; can be pickled."""

    def __init__(self, system, tableau):
        self.given = system, tableau
        memory = DelayMemory(system, breaking_points(system, 0.0, tableau), tableau.nodes)
        self.machine = Machine(system, memory, tableau, t=0.0, t1=0.0, rtol=0.0, atol=1.0)

    def __reduce__(self):
        return SignalsAtOnce, self.given

    def at(self, t, q, within=None, start=None):
        """R and E (N, s); `within` as for `Machine.evaluate`, `start` as for `Machine.signals`."""
        return self.machine.signals(t, q, within, start)
