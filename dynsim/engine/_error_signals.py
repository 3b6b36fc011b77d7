"""Error signals that travel back through the relations, and the force that they and the signals make."""

from __future__ import annotations

import numpy as np
from scipy.sparse.linalg import LinearOperator, gmres

from ._delay_memory import recall
from ._equations import OK, UNSOLVED, activation_slopes
from ._failure import NoConvergence
from ._zero_delay import TOLERANCE


def taught(evaluate, learning):
    """An evaluation of the right-hand side to which the force of a teacher is added."""

    def evaluate_and_push(t, q, pairs, operators, given, memory, R, E, f):
        code = evaluate(t, q, pairs, operators, given, memory, R, E[: learning.neurons], f)
        return code if code != OK else learning.push(t, q, memory, R, E, f)

    return evaluate_and_push


class Learning:
    """The force of a system's teacher; see `Teacher` for the equations."""

    def __init__(self, system, relations):
        self.system, self.teacher, self.relations = system, system.teacher, relations
        self.neurons, self.copies = system.neurons, system.copies
        equations = system._equations
        self.A, self.kinds = equations.A, equations.kinds
        self.back, self.on_places = equations.A.transposed(), equations.B.transposed()
        self.factor = -self.teacher.rate * system._inertia.mobility()
        self.judged = relations.members[self.teacher.group]
        self.free = np.ones(system.neurons, bool)
        for group in relations.clamped:
            self.free[relations.members[group]] = False
        self.active = self._leading()
        # Error signals go back along these; what clamped neurons receive changes nothing.
        self.pairs = [pair for pair in relations.pairs if self._teaches(pair) and pair.target in self.active]
        self.trouble = None

    def _leading(self):
        """The groups whose signals reach the judged one."""
        active, before = {self.teacher.group}, set()
        while active != before:
            before = set(active)
            active |= {pair.source for pair in self.relations.pairs if self._teaches(pair) and pair.target in active}
        return active

    def _teaches(self, pair):
        return pair.target not in self.relations.clamped

    def push(self, t, state, memory, R, E, f):
        """Add the force to f, where it has a size, and with a delay keep the error signals S behind E."""
        self.trouble = None
        delayed = len(memory[6]) > 0
        if not (delayed or f.size):
            return OK
        q, N, slopes = state[: self.copies], self.neurons, self._slopes(R)
        if delayed:
            past, both = np.empty_like(state), np.empty_like(E)
            recall(t, memory, past, both)
            earlier = past[: self.copies], both[:N], both[N:]
            D = self._judged(E[:N])
            for pair in self._back():
                D[pair.sources] += self.relations.returned(pair, q, earlier[0], earlier[2][pair.targets])
            S = E[N:] = self._errors(D, slopes)
        else:
            earlier = None
            try:
                D, S = self._at_once(q, E, slopes)
            except NoConvergence as trouble:
                self.trouble = trouble
                return UNSOLVED
        if f.size:
            self._add_force(f, q, E[:N], S, D, earlier)
        return OK

    def _add_force(self, f, q, E, S, D, earlier):
        gradient = np.zeros_like(q)
        gradient += np.where(self.free[:, None], self.on_places.apply(D), 0.0)
        for pair in self.pairs:
            of, to = pair.sources, pair.targets
            if earlier is None:
                on_sources, on_targets = self.relations.gradients(pair, q, q, E[of], S[to])
            else:  # each is pushed by what comes to it from where the other was
                past_q, past_E, past_S = earlier
                _, on_targets = self.relations.gradients(pair, past_q, q, past_E[of], S[to])
                on_sources, _ = self.relations.gradients(pair, q, past_q, E[of], past_S[to])
            gradient[:, of] += on_sources
            gradient[:, to] += on_targets
        f[len(f) - self.copies :] += self.factor * gradient

    def _slopes(self, R):
        """act'(A R), (N, s)."""
        slopes = np.array(np.broadcast_to(self.A.apply(R), R.shape), order="C")
        activation_slopes(self.kinds, slopes)
        return slopes

    def _judged(self, E):
        """dL/dE (N, s)."""
        D = np.zeros_like(E)
        D[self.judged] = self.teacher.slope(E[self.judged])
        return D

    def _errors(self, D, slopes, members=slice(None)):
        """S = A^T (act'(A R) D) of some neurons, 0 for clamped ones."""
        back, shape = self.back.of(members), D[members].shape
        return np.broadcast_to(np.where(self.free[members, None], back.apply(slopes[members] * D[members]), 0.0), shape)

    def _back(self):
        """The pairs whose sources have errors of their own."""
        return [pair for pair in self.pairs if pair.source not in self.relations.clamped]

    def _at_once(self, q, E, slopes):
        """D and S at delay 0: group by group where they have an order, else by GMRES."""
        D = self._judged(E)
        if self.relations.order is None:
            D = self._solved(q, D, slopes)
            return D, self._errors(D, slopes)
        S, back = np.zeros_like(D), self._back()
        for group in reversed(self.relations.order):
            if group in self.active:
                members = self.relations.members[group]
                for pair in back:
                    if pair.source == group:
                        D[members] += self.relations.returned(pair, q, q, S[pair.targets])
                S[members] = self._errors(D, slopes, members)
        return D, S

    def _solved(self, q, judged, slopes):
        """D of groups that act on each other in circles: D - Phi^T S(D) = dL/dE."""

        def apply(x):
            D = x.reshape(judged.shape)
            S, out = self._errors(D, slopes), D.copy()
            for pair in self._back():
                # What is solved by iteration must be linear, which trees are to their accuracy only.
                out[pair.sources] -= self.relations.returned(pair, q, q, S[pair.targets], exact=True)
            return out.reshape(-1)

        n = judged.size
        system = LinearOperator((n, n), matvec=apply, dtype=float)
        D, info = gmres(system, judged.reshape(-1), rtol=TOLERANCE, restart=min(n, 60), maxiter=20)
        if info:
            raise NoConvergence("GMRES did not solve D - Phi^T S(D) = dL/dE for the error signals in 1200 products")
        return D.reshape(judged.shape)
