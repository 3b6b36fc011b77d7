"""Received signals of systems with several delays: a sum for each, of what lies that delay ago."""

from __future__ import annotations

import numpy as np

from dynsim._ranks import ALONE

from ._delay_memory import DelayMemory, past_time, recall
from ._failure import NotFinite
from ._given_signals import add_signal
from ._received_signals import Coupling
from ._zero_delay import ZeroDelaySolver


class LongMemory(DelayMemory):
    """A memory that reaches back the longest of several delays."""

    def look_back(self, k, t):
        """Places (H, N, d) and emitted signals (N, s), delay number k of `Delays.positive` before t."""
        pasts, arrays = self.breaks.pasts[k], self.arrays
        place, cuts, start = arrays[4][0], arrays[5], arrays[13][0]
        if self.history is not None and pasts[place, 1] < start:
            past, right = past_time(t, place, cuts, pasts)
            q, E = self.history(past, past == right)
        else:
            q, E = (np.empty(shape) for shape in self.shapes)
            recall(t, (*arrays[:6], pasts, *arrays[7:]), q, E)
        if not (np.isfinite(q).all() and np.isfinite(E).all()):
            raise NotFinite(q, E)
        return q, E


class DelayedSums:
    """R of (1') of a system with several delays.

    R_i(t) = I_i(t) + sum over delays eps of the sum over pairs with it. Where some pairs have none, R stands on both
    sides for these, R = (I + the delayed sums) + Phi_0 E(R), and `solver` solves that; else it is None.
    """

    def __init__(self, system, memory, ranks=ALONE):
        delays = system._delays
        self.memory, self.ranks, self.solver = memory, ranks, None
        self.couplings = [coupling_of(system, delays.pairs(eps)) for eps in delays.positive]
        if delays.each[0] == 0.0:
            at_once = delays.pairs(0.0)
            strengths = np.where(at_once, system.strengths, 0.0)
            self.solver = ZeroDelaySolver(system, ranks, coupling_of(system, at_once), strengths)

    def received(self, t, q, Q, past_q, past_E, operators, given):
        """R (N, s) at a time and places; `past_q` and `past_E` are those the longest delay ago."""
        *shorter, longest = self.couplings
        R = longest.received(past_q, q, past_E, self.ranks)
        for k, coupling in enumerate(shorter):
            places, signals = self.memory.look_back(k, t)
            R += coupling.received(places, q, signals, self.ranks)
        if self.solver is not None:
            return self.solver.solve(t, q, Q, operators, given, R)
        add_signal(t, given[0], given[1], R)
        return R

    def bound(self, control):
        """Breaking points bound the steps."""


def coupling_of(system, pairs):
    """The part of a system's Phi that some pairs of groups are, (G, G) of bool."""
    return Coupling(
        system.kernel,
        system.groups,
        np.where(pairs, system.strengths, 0.0),
        neurons=system.neurons,
        dimension=system.dimension,
        backend=system.backend.name,
        accuracy=system.accuracy,
    )
