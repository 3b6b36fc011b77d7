"""Delay 0: the received signals stand on both sides of (1'), R = I + Phi E(R, Q)."""

from __future__ import annotations

import numpy as np
from scipy.linalg.lapack import dgesv
from scipy.sparse.linalg import LinearOperator, gmres

from dynsim._ranks import ALONE

from ._equations import emit
from ._failure import SINGULAR_FIELD, NoConvergence, NotFinite
from ._given_signals import add_signal
from ._group_relations import GroupRelations

DENSE_LIMIT = 3000  # N * s up to which (I - Phi a) is formed and factorised: 72 MB, about a second
TOLERANCE = 1e-12  # of R and the terms it sums; far below any rtol in use, above the rounding of 10^4 terms
NEWTON_TOLERANCE = 1e-6
NEWTON_STEPS = 200


class ZeroDelaySolver:
    """Solves (1') and (2) for R and E at delay 0.

    Where groups act on each other in no circle, and none on itself, they are taken one after another. Else, linear
    activation: (I - Phi a) R = I + Phi (b Q + e0 + clamped), directly or by GMRES. With an activation:
    Newton's method on f(R) = R - I - Phi E(R), whose Jacobian is I - Phi dE/dR, started from the last solution.
    With `ranks`, each of them has a solver, and all do the same. `coupling` is Phi where other pairs have a delay.
    """

    def __init__(self, system, ranks=ALONE, coupling=None, strengths=None):
        self.ranks, self.coupling = ranks, system._coupling if coupling is None else coupling
        self.system, self.equations = system, system._equations
        self.size = (system.neurons, system.signals)
        self.free = np.ones(system.neurons, bool)
        for members, _ in system._clamps:
            self.free[members] = False
        self.echoes = self.equations.echoes and bool(self.free.any())
        self.dense = system.neurons * system.signals <= DENSE_LIMIT
        self.R = None  # the last solution, where the iterations start
        self.relations = GroupRelations(system, strengths)
        self.layered = self.echoes and self.relations.order is not None
        self.emitting = None  # what the groups of a layered system emit by
        self.signs = np.random.default_rng(0).choice([-1.0, 1.0], self.size)

    @property
    def factorises(self):
        """Whether Phi is formed as a matrix, and no pair sums are needed."""
        return self.dense and self.echoes and not self.layered

    def solve(self, t, q, Q, operators, given, delayed=None):
        """R (N, s); the sums of pairs with a delay, if there are, are given."""
        drive = np.zeros(self.size) if delayed is None else delayed.copy()
        add_signal(t, given[0], given[1], drive)
        if self.layered:
            self.R = self._in_order(drive, q, Q, operators, given)
            return self.R
        if self.factorises:
            Phi = self.coupling.matrix(q)
            act = Phi.__matmul__
        else:
            Phi = None

            def act(E):
                # What is solved by iteration must be linear in E, which trees are to their accuracy only.
                return self.coupling.received(q, q, E, self.ranks, exact=self.echoes)

        def emitted(R):
            E = np.empty(self.size)
            emit(R, Q, operators, given, E)
            return E

        def answer(R):
            """I + Phi E(R)."""
            return drive + act(emitted(R))

        def size(R):
            """Of R and the terms that it sums, whose rounding is left in R; with other signs they cancel otherwise."""
            terms = (R, drive, act(self.signs * emitted(R)))
            return max(float(np.abs(term).max()) for term in terms)

        if not self.equations.linear:
            self.R = self._newton(answer, size, Phi, act)
        else:
            source = answer(np.zeros(self.size))
            self.R = self._linear(Phi, act, self.equations.slope(), source, self.R) if self.echoes else source
        return self.R

    def _in_order(self, R, q, Q, operators, given):
        """R group after group, each of which receives from those before it only; R is the drive."""
        if self.emitting is None:
            self.emitting = [_of_group(operators, members) for members in self.relations.members]
        E = np.where(given[2][:, None], 0.0, given[3])
        for group in self.relations.order:
            members = self.relations.members[group]
            for pair in self.relations.onto(group):
                R[members] += self.relations.passed(pair, q, q, E[pair.sources])
            out = np.empty_like(R[members])
            clamped = given[2][members], given[3][members]
            emit(R[members], Q[members], self.emitting[group], (*given[:2], *clamped), out)
            E[members] = out
            if not np.isfinite(out).all():
                raise NotFinite(R=R) if not np.isfinite(R).all() else NotFinite(E=E)
        return R

    def _linear(self, Phi, act, slope, source, start, tolerance=TOLERANCE):
        """Solve (I - Phi a) R = source, a = 0 for clamped neurons."""
        if not np.isfinite(source).all():
            raise NotFinite(R=source)
        if Phi is not None:
            _, _, R, info = dgesv(self._matrix(Phi, slope), source.reshape(-1))
            if info > 0:
                raise NoConvergence(SINGULAR_FIELD)
            return R.reshape(self.size)

        def apply(x):
            x = x.reshape(self.size)
            return (x - act(self._free(slope.apply(x)))).reshape(-1)

        n = source.size
        R, info = gmres(
            LinearOperator((n, n), matvec=apply, dtype=float),
            source.reshape(-1),
            x0=None if start is None else start.reshape(-1),
            rtol=tolerance,
            restart=min(n, 60),
            maxiter=20,
        )
        if info:
            raise NoConvergence("GMRES did not solve (I - Phi a) R = I + Phi b Q at delay 0 in 1200 products")
        return R.reshape(self.size)

    def _newton(self, answer, size, Phi, act):
        R = answer(np.zeros(self.size)) if self.R is None else self.R

        def defect(R):
            return R - answer(R)

        f = defect(R)
        norm = np.abs(f).max()
        inertia = 0.0  # 0: Newton; otherwise implicit steps of R' = -f(R), each 1 / inertia long
        for _ in range(NEWTON_STEPS):
            if not np.isfinite(norm):
                raise NotFinite(R=R)
            if norm <= TOLERANCE * size(R):
                return R
            try:
                step = self._newton_step(Phi, act, R, f, inertia)
            except NoConvergence:
                inertia = 2.0 * inertia + 1.0
                continue
            if inertia:
                R = R - step
                f, before = defect(R), norm
                norm = np.abs(f).max()
                inertia = inertia * norm / before if norm > 1e-6 * size(R) else 0.0
                continue
            R, f, norm, moved = _descend(defect, R, step, f, norm)
            if not moved:
                # No shorter step lowers the defect: rounding has been reached, or Newton is stuck near a singular
                # Jacobian, where the implicit steps find a way (pseudo-transient continuation, Kelley & Keyes 1998).
                if norm <= 1e3 * TOLERANCE * size(R):
                    return R
                inertia = 1.0
        raise NoConvergence(
            f"Newton's method did not solve R = I + Phi E(R) at delay 0 (defect {norm:.3g} after {NEWTON_STEPS} steps)"
        )

    def _newton_step(self, Phi, act, R, f, inertia):
        """((1 + inertia) I - Phi dE/dR)^-1 f; no more digits than a Newton step gains."""
        slope = self.equations.slope(R)
        if not inertia:
            return self._linear(Phi, act, slope, f, None, NEWTON_TOLERANCE)
        less = 1.0 / (1.0 + inertia)
        return self._linear(Phi, act, slope.times(less), less * f, None, NEWTON_TOLERANCE)

    def _free(self, E):
        E = np.broadcast_to(E, self.size)
        return E if self.free.all() else np.where(self.free[:, None], E, 0.0)

    def _matrix(self, Phi, slope):
        n, s = self.size
        if slope.number is not None:
            a = np.broadcast_to(slope.number * np.eye(s), (n, s, s))
        else:
            a = np.broadcast_to(slope.value, (n, s, s))
        a = np.where(self.free[:, None, None], a, 0.0)
        if s == 1:
            matrix = -Phi * a[:, 0, 0]
        else:
            # Row (i, r), column (j, c): delta - Phi_ij a_j[r, c].
            matrix = -np.einsum("ij,jrc->irjc", Phi, a).reshape(n * s, n * s)
        matrix[np.diag_indices(n * s)] += 1.0
        return matrix


def _of_group(operators, members):
    """The operators of some neurons, where they are not one for all."""
    *maps, flags, rates, kinds = operators
    maps, kinds = [one[members] if len(one) > 1 else one for one in maps], kinds[members] if len(kinds) > 1 else kinds
    return (*maps, flags, rates, kinds)


def _descend(defect, R, step, f, norm):
    """The longest of the steps 1, 1/2, 1/4, ... that lowers the defect, if any does: R, f, its size, whether."""
    length = 1.0
    while length > 1e-6:
        trial = R - length * step
        try:
            new = defect(trial)
        except NotFinite:
            length *= 0.5
            continue
        size = np.abs(new).max()
        if size < norm:
            return trial, new, size, True
        length *= 0.5
    return R, f, norm, False
