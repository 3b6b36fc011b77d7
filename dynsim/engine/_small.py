"""Small systems are stepped by one compiled loop: which they are, and their arrays."""

from __future__ import annotations

import numpy as np

from dynsim.kernels import constants, row_specialisation

from ._activation import ACTIVATIONS
from ._advance import ACCEPTED, EVALUATIONS, LAST, NOW, PENDING, REFUSED, advancing

# Above, Python's share of a step is small and pair sums are divided among threads: H N^2 (d + s).
LARGEST_WORK = 100_000
LARGEST_ECHO = 64  # N s up to which Gaussian elimination without blocks is as fast as LAPACK


def fits(system, history):
    """Whether the compiled loop can do it: small, nothing of Python's in its equations, no iterations at delay 0."""
    work = system.copies * system.neurons**2 * (system.dimension + system.signals)
    constant = all(signal.function is None and signal.times is None for _, signal in system._clamps)
    plain = history is None and constant and (system._drive is None or system._drive.function is None)
    equations = system._equations
    alone = system.delay or (
        equations.linear and (not equations.echoes or system.neurons * system.signals <= LARGEST_ECHO)
    )
    return bool(work <= LARGEST_WORK and plain and alone and system._coupling.backend != "cupy")


class SmallSteps:
    """The state of a run as arrays that `advance` works on."""

    def __init__(self, run):
        system, tableau, options = run.system, run.tableau, run.options
        (H, N, d), s, S = run.q.shape, system.signals, tableau.stages
        self.clock, self.counts, self.control = np.zeros(5), np.zeros(5, np.int64), run.control.numbers
        self.clock[NOW], self.clock[LAST] = run.t, options.t1
        self.q, self.memory = np.ascontiguousarray(run.q, float).copy(), run.memory
        f, R, E = (np.array(value, dtype=float) for value in run.values)
        self.f, self.R, self.E = np.ascontiguousarray(np.broadcast_to(f, self.q.shape)).copy(), R, E
        nodes = 0 if run.memory is None else len(run.memory.nodes.x)
        self.K = np.zeros((S, H * N * d))
        self.q_nodes, self.E_nodes = np.zeros((nodes, H * N * d)), np.zeros((nodes, N * s))
        self.new = np.zeros_like(self.q), np.zeros((N, s)), np.zeros((N, s))
        self.trial = (*self.new, np.zeros_like(self.q), self.K, self.q_nodes, self.E_nodes)
        b_error = tableau.b_error if tableau.adaptive else np.zeros(S)
        numbers = np.array([tableau.adaptive, options.rtol, options.atol, tableau.error_order + 1,
                            tableau.first_same_as_last], dtype=float)  # fmt: skip
        self.tableau = tuple(array.copy() for array in (tableau.A, tableau.b, tableau.c, b_error, tableau.P, numbers))
        expressions, number, metric = row_specialisation(system.kernel)
        groups = np.zeros(N, np.int64) if system.groups is None else system.groups
        self.pairs = groups, system.strengths, number, metric, constants(system.kernel, np.float64)
        self.operators, self.given = _operators(system), _given(system)
        self.loop = advancing(expressions)
        self.bind()

    def bind(self):
        """Take over the memory's arrays, which are new after it has grown."""
        self.system = self.pairs, self.operators, self.given, _memory(self.memory, self.q.shape, self.E.shape)

    def advance(self, pause_at, steps, tries):
        """Go on; returns why it stopped (see `_advance`), and how many steps were finished."""
        before = self.finished
        code = self.loop(self.clock, self.counts, self.control, self.tableau, self.system,
                         (self.q, self.f, self.R, self.E), self.trial, pause_at, steps, tries)  # fmt: skip
        return code, self.finished - before

    @property
    def finished(self):
        """Steps taken whose end has been reached."""
        return int(self.counts[ACCEPTED] - self.counts[PENDING])

    @property
    def numbers(self):
        """Steps accepted and refused, evaluations."""
        return (int(self.counts[place]) for place in (ACCEPTED, REFUSED, EVALUATIONS))


def _operators(system):
    equations, N, s = system._equations, system.neurons, system.signals
    names = ("a", "A", "M", "G", "b")
    maps = [np.array(getattr(equations, name).value, dtype=float) for name in names]
    after = [np.array(getattr(equations, name).value, dtype=float) for name in ("D", "E", "F")]
    maps, after = ([m if m.ndim == 3 else m[None] for m in group] for group in (maps, after))
    kind = list(ACTIVATIONS.values()).index(equations.activation)
    flags = np.array([kind, equations.linear, equations.echoes], np.int64)
    rest = np.array(np.broadcast_to(equations.rest, (N, s)), dtype=float)
    return tuple(np.ascontiguousarray(m) for m in (*maps, rest, *after, flags))


def _given(system):
    shape, drive = (system.neurons, system.signals), system._drive
    if drive is None:
        times, values = np.empty(0), np.empty((0, *shape))
    elif drive.times is None:
        times, values = np.zeros(1), np.array(drive.constant, dtype=float)[None]
    else:
        times, values = drive.times, drive.values
    free, clamped = np.ones(system.neurons, bool), np.zeros(shape)
    for members, signal in system._clamps:
        free[members], clamped[members] = False, signal.constant
    return times, np.ascontiguousarray(values), free, clamped


def _memory(memory, q_shape, E_shape):
    if memory is None:
        none, empty = np.empty(0), np.empty((0, 0, 0))
        return (np.empty((0, 2)), empty, empty, np.zeros(2, np.int64), np.zeros(1, np.int64), np.zeros(2), none,
                np.empty(q_shape), np.empty(E_shape), none, none, none)  # fmt: skip
    quiet_q, quiet_E = memory.history(memory.t0, True)
    nodes = memory.nodes
    return (memory.times, memory.q, memory.E, memory.firsts, memory.current, memory.origin, memory.phases,
            np.array(quiet_q, dtype=float), np.array(quiet_E, dtype=float), nodes.x, nodes.barycentric,
            nodes.defect)  # fmt: skip
