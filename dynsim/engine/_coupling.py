"""Who acts on whom: the pair sums of (1') over copies and groups, all done by `dynsim.kernels`."""

from __future__ import annotations

import numpy as np

from dynsim.kernels import pair_matrix, pair_sum

from ._failure import NotFinite


class Coupling:
    """Phi of (1'): Phi_ij = sum_h lambda_h[g(j), g(i)] phi(q_j^h, q_i^h), its diagonal exactly zero.

    Sources may be places at an earlier time than targets. Only blocks of groups with a strength other than 0 are
    summed; one call where all strengths of a copy agree.
    """

    def __init__(self, kernel, groups, strengths, backend="auto"):
        self.kernel, self.backend = kernel, backend
        members = [None] if groups is None else [_members(groups, g) for g in range(strengths.shape[-1])]
        self.blocks = []
        for h, table in enumerate(strengths):
            if np.all(table == table.flat[0]):
                self._add(h, None, None, table.flat[0])
                continue
            for source, target in np.argwhere(table != 0.0):
                self._add(h, members[source], members[target], table[source, target], source == target)

    def _add(self, copy, source, target, strength, same=True):
        if strength != 0.0 and not (_empty(source) or _empty(target)):
            self.blocks.append((copy, source, target, float(strength), same))

    def received(self, sources, targets, E):
        """Phi E, shape (N, s), of places (H, N, d) and emitted signals (N, s)."""
        if not (np.isfinite(E).all() and np.isfinite(targets).all() and np.isfinite(sources).all()):
            raise NotFinite(targets, E)
        R = None
        for copy, source, target, strength, same in self.blocks:
            if source is None:
                part = pair_sum(self.kernel, sources[copy], targets[copy], E, exclude_self=True, backend=self.backend)
                R = _accumulate(R, part, strength)
                continue
            R = np.zeros_like(E) if R is None else R
            R[target] += strength * pair_sum(
                self.kernel, sources[copy][source], targets[copy][target], E[source], same, backend=self.backend
            )
        return np.zeros_like(E) if R is None else R

    def matrix(self, sources, targets):
        """Phi as a dense (N, N) array, [to, from]."""
        if not (np.isfinite(targets).all() and np.isfinite(sources).all()):
            raise NotFinite(targets, None)
        n = targets.shape[1]
        Phi = np.zeros((n, n))
        for copy, source, target, strength, same in self.blocks:
            if source is None:
                Phi += strength * pair_matrix(self.kernel, sources[copy], targets[copy], exclude_self=True)
                continue
            rows = np.arange(n)[target]
            Phi[np.ix_(rows, np.arange(n)[source])] += strength * pair_matrix(
                self.kernel, sources[copy][source], targets[copy][target], exclude_self=same
            )
        return Phi


def _accumulate(R, part, strength):
    if strength != 1.0:
        part *= strength
    return part if R is None else np.add(R, part, out=R)


def _members(groups, g):
    """The neurons of group g: a slice where they are neighbours (no copies are made then), else their indices."""
    index = np.flatnonzero(groups == g)
    if len(index) and index[-1] - index[0] + 1 == len(index):
        return slice(int(index[0]), int(index[-1]) + 1)
    return index


def _empty(members):
    return isinstance(members, np.ndarray) and len(members) == 0
