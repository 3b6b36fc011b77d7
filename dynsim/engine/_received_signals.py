"""Equation (1') in its two forms: over all pairs in a compiled loop, or by the pair sums of `dynsim.kernels`."""

from __future__ import annotations

import math
import zlib
from functools import cache

import numpy as np
from numba import njit

from dynsim._check import refusal
from dynsim._ranks import ALONE, world
from dynsim.kernels import SIDE_BY_SIDE, constants, fill_row, pair_matrix, pair_sum, row_specialisation, summing_backend

from ._equations import ECHOES, NOT_FINITE, OK, UNSOLVED, all_finite, clear, emit
from ._failure import NotFinite
from ._given_signals import add_signal


def pair_arrays(system):
    """The expressions among which the kernel is, and arrays: groups, strengths, its number there, metric, constants."""
    expressions, number, metric = row_specialisation(system.kernel)
    groups = np.zeros(system.neurons, np.int64) if system.groups is None else system.groups
    # Copies: loops are compiled for arrays that can be written to.
    groups, strengths = groups.astype(np.int64), system.strengths.copy()
    return expressions, (groups, strengths, number, metric, constants(system.kernel, np.float64))


@njit(cache=True, nogil=True, error_model="numpy")
def eliminate(matrix, x):
    """Solve matrix y = x in place by Gaussian elimination with partial pivoting; False if a pivot is 0."""
    n = len(x)
    for k in range(n):
        pivot = k
        for i in range(k + 1, n):
            if abs(matrix[i, k]) > abs(matrix[pivot, k]):
                pivot = i
        if matrix[pivot, k] == 0.0:
            return False
        if pivot != k:
            for j in range(k, n):
                matrix[k, j], matrix[pivot, j] = matrix[pivot, j], matrix[k, j]
            x[k], x[pivot] = x[pivot], x[k]
        for i in range(k + 1, n):
            factor = matrix[i, k] / matrix[k, k]
            if factor != 0.0:
                for j in range(k + 1, n):
                    matrix[i, j] -= factor * matrix[k, j]
                x[i] -= factor * x[k]
    for k in range(n - 1, -1, -1):
        total = x[k]
        for j in range(k + 1, n):
            total -= matrix[k, j] * x[j]
        x[k] = total / matrix[k, k]
    return True


@njit(cache=True, nogil=True, error_model="numpy")
def echo_matrix(Phi, a, free):
    """I - Phi a with a = 0 for clamped neurons: row (i, r), column (j, c)."""
    n, s = len(Phi), a.shape[1]
    matrix = np.zeros((n * s, n * s))
    for i in range(n):
        for j in range(n):
            if free[j]:
                block = a[j if len(a) > 1 else 0]
                for r in range(s):
                    for c in range(s):
                        matrix[i * s + r, j * s + c] = -Phi[i, j] * block[r, c]
        for r in range(s):
            matrix[i * s + r, i * s + r] += 1.0
    return matrix


@njit(cache=True, nogil=True, error_model="numpy")
def transmit(Phi, E, R):
    """R (N, s) += Phi (N, N) E (N, s)."""
    for i in range(len(Phi)):
        for j in range(len(Phi)):
            weight = Phi[i, j]
            if weight != 0.0:
                for k in range(R.shape[1]):
                    R[i, k] += weight * E[j, k]


@cache
def relate_directly(expressions):
    """Phi of (1') as a compiled loop over all pairs, for the expressions of kernels, one a line (see `pair_arrays`)."""

    @njit(nogil=True, error_model="numpy", inline="always")
    def relate(q, past_q, pairs, Phi):
        groups, strengths, number, metric, numbers = pairs
        H, (_, N, d) = len(strengths), q.shape
        row, axes = np.empty(N), np.empty((d, N))
        for h in range(H):
            for j in range(N):
                for k in range(d):
                    axes[k, j] = past_q[h, j, k]
            for i in range(N):
                fill_row(q[h, i], axes, expressions, number, metric, numbers, row)
                for j in range(N):
                    strength = strengths[h, groups[j], groups[i]]
                    if strength != 0.0:  # 0 means no effect at all, where phi is infinite too
                        Phi[i, j] += strength * row[j]
        for i in range(N):
            Phi[i, i] = 0.0

    return relate


@cache
def receive_directly(expressions):
    """(1') as a compiled loop over all pairs, for the expressions of kernels, one a line (see `pair_arrays`)."""
    relate = relate_directly(expressions)

    @njit(nogil=True, error_model="numpy", inline="always")
    def receive(t, q, Q, past_q, past_E, pairs, operators, given, delayed, R):
        Phi = np.zeros((q.shape[1], q.shape[1]))
        relate(q, past_q, pairs, Phi)
        clear(R)
        if not delayed:
            emit(R, Q, operators, given, past_E)
        transmit(Phi, past_E, R)
        add_signal(t, given[0], given[1], R)
        if not delayed and operators[9][ECHOES]:
            if not all_finite(R):
                return NOT_FINITE
            if not eliminate(echo_matrix(Phi, operators[0], given[2]), R.ravel()):
                return UNSOLVED
        return OK

    return receive


class Coupling:
    """Phi of (1'): Phi_ij = sum_h lambda_h[g(j), g(i)] phi(q_j^h, q_i^h), its diagonal exactly zero.

    Sources may be places at an earlier time than targets. Only blocks of groups with a strength other than 0 are
    summed; one call where all strengths of a copy agree. With an accuracy, trees are taken where they can. Ranks divide
    the targets of every block among them.
    """

    def __init__(self, kernel, groups, strengths, *, neurons, dimension, backend, accuracy=None):
        self.kernel, self.accuracy = kernel, accuracy
        members = [None] if groups is None else [group_members(groups, g) for g in range(strengths.shape[-1])]
        self.blocks = []
        self.by_target = {}  # for every group of targets: its members, their number, its blocks
        self.neurons = neurons
        for h, table in enumerate(strengths):
            if np.all(table == table.flat[0]):
                self._add(h, None, None, table.flat[0])
                continue
            for source, target in np.argwhere(table != 0.0):
                self._add(h, members[source], members[target], table[source, target], source == target, int(target))
        # One backend for all sums: that of the largest.
        every = np.arange(neurons)
        sizes = [(len(every[s]), len(every[t])) if s is not None else (neurons, neurons) for _, s, t, *_ in self.blocks]
        largest = max(sizes, key=math.prod, default=(0, 0))
        self.backend = summing_backend(kernel, *largest, dimension, backend=_of_ranks(backend))
        self.code = np.array([zlib.crc32(repr((kernel, accuracy)).encode() + strengths.tobytes())])

    def _add(self, copy, source, target, strength, same=True, group=None):
        if strength != 0.0 and not (_empty(source) or _empty(target)):
            self.blocks.append((copy, source, target, float(strength), same))
            members = _every(target)
            number = len(np.arange(self.neurons)[members])
            self.by_target.setdefault(group, (members, number, []))[2].append(self.blocks[-1])

    def received(self, sources, targets, E, ranks=ALONE, *, exact=False):
        """Phi E, shape (N, s), of places (H, N, d) and emitted signals (N, s), to the accuracy or exact.

        With `ranks`, all of them call it.
        """
        if not np.isfinite(E).all():
            raise NotFinite(targets, E)
        numbers = [number for _, number, _ in self.by_target.values()]
        how = {"backend": self.backend.name, "accuracy": None if exact else self.accuracy}
        pieces = [
            self._sums(blocks, sources, targets, E, part=ranks.part(number, SIDE_BY_SIDE), **how)
            for _, number, blocks in self.by_target.values()
        ]
        R = np.zeros_like(E)
        if pieces:
            sums = ranks.gather(pieces, numbers, (self.code, sources, targets, E), SIDE_BY_SIDE)
            for (members, *_), part in zip(self.by_target.values(), sums, strict=True):
                R[members] += part
        return R

    def _sums(self, blocks, sources, targets, E, **how):
        """Of blocks with the same targets, for a part of these."""
        sums = None
        for copy, source, target, strength, same in blocks:
            source, target = _every(source), _every(target)
            places = sources[copy][source], targets[copy][target]
            one = pair_sum(self.kernel, *places, E[source], exclude_self=same, **how)
            if strength != 1.0:
                one *= strength
            sums = one if sums is None else np.add(sums, one, out=sums)
        return sums

    def gathered(self, signals):
        """Bytes that ranks gather for one `received`, of so many signals."""
        return 8 * signals * sum(number for _, number, _ in self.by_target.values())

    def matrix(self, places):
        """Phi as a dense (N, N) array, [to, from]."""
        n = places.shape[1]
        Phi = np.zeros((n, n))
        for copy, source, target, strength, same in self.blocks:
            if source is None:
                Phi += strength * pair_matrix(self.kernel, places[copy], places[copy], exclude_self=True)
                continue
            rows = np.arange(n)[target]
            Phi[np.ix_(rows, np.arange(n)[source])] += strength * pair_matrix(
                self.kernel, places[copy][source], places[copy][target], exclude_self=same
            )
        return Phi


def _of_ranks(backend):
    """The backend of processes that share sums: which one is taken cannot depend on the cards of a machine."""
    if world().size > 1 and backend == "cupy":
        expected = "'auto' or 'numba', as the ranks of mpiexec divide sums among processors"
        raise refusal("backend", "'cupy' with several ranks", expected)
    return "numba" if world().size > 1 and backend == "auto" else backend


def _every(members):
    return slice(None) if members is None else members


def group_members(groups, g):
    """The neurons of group g: a slice where they are neighbours (no copies are made then), else their indices."""
    index = np.flatnonzero(groups == g)
    if len(index) and index[-1] - index[0] + 1 == len(index):
        return slice(int(index[0]), int(index[-1]) + 1)
    return index


def _empty(members):
    return isinstance(members, np.ndarray) and len(members) == 0
