"""Products with the l1 linear kernel by sorted sums: exact, without the pairs.

On each axis k, with the sources sorted along it, p the number of sources at or below q_o, and C_p and S_p the sums of
x_i and x_i q_ik over the first p of them (Indyk & Silwal, NeurIPS 2022)::

    sum_i |q_ok - q_ik| x_i = q_ok (2 C_p - C_n) + S_n - 2 S_p
    sum_i sign(q_ok - q_ik) x_i = C_less + C_p - C_n,    C_less: the sum over the sources strictly below

so a product of m sources and n targets costs O((m + n) d) once both are sorted. Sums are kept in float64 and
coordinates are counted from the sources' middle, since the terms cancel. All splits are fixed: results have the same
bits on any number of threads.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit, prange

from dynsim._check import as_array, as_number, as_signals

from ._compilation import launch
from ._sorted_columns import multiply_columns
from ._sorted_sides import EPS, Side, middle

RUN = 256  # sources in one run of a prefix sum; a run is summed in float64 and kept as counted from its start
CHAINS = 4  # runs that one task sums side by side, since each addition waits for the one before it
TARGETS = 2048  # targets of one task
SHIFT = np.uint64(8)  # from an A to its B
LOW = np.uint64(7)
GROUPS = 4  # parts in which the right-hand sides of a force are summed


class SortedProduct:
    """The pairs of m sources and n targets under phi = scale |q_o - q_i|_1, sorted once, multiplied often.

    `error` bounds the rounding of results in the type of the places, relative to |scale| D sum_i |x_i|, where D is the
    sum of the sides of the box around all places (`forces`: to |scale| sum_i |x_i| |y_o|). An offset of all places does
    no harm; in a box that is large because of a few neurons, distances within a small cluster keep fewer digits.

    Parameters
    ----------
    sources : array_like, (m, d)
    targets : array_like, (n, d)
    scale : float
        c of the kernel.

    Raises
    ------
    ValueError, TypeError
        If shapes do not fit or a number is not finite.

    References
    ----------
    Indyk & Silwal, "Faster linear algebra for distance matrices", NeurIPS 2022.

    Examples
    --------
    >>> product = SortedProduct([[0.0, 0.0], [3.0, 1.0]], [[1.0, 0.0]])
    >>> product.forward([1.0, 2.0])
    array([7.])
    """

    def __init__(self, sources: npt.ArrayLike, targets: npt.ArrayLike, *, scale: float = 1.0):
        self.scale = as_number(scale, "scale")
        self._sources = self._targets = None
        self.update(sources, targets)

    def update(self, sources, targets):
        """Take over new places; an old order is repaired where the numbers stay, linear if little moved."""
        sources = as_array(sources, "sources", ("m", "d"))
        targets = as_array(targets, "targets", ("n", sources.shape[1]))
        self.dtype = np.result_type(sources, targets)
        self._sources, self._targets = Side(sources, self._sources), Side(targets, self._targets)
        # Ranks in the order of the own side, for sweeps, and in the order of the arrays, for a single vector.
        self._targets.rank(self._sources)
        self._sources.rank(self._targets)
        center = middle(sources if len(sources) else targets)
        for side, places in ((self._sources, sources), (self._targets, targets)):
            side.count_from(center, places)
        # Float64 sums over the sources; then half an eps at each of a place, a run's sum, that before it, both
        # together, the product with the place and an addition an axis, of at most D sum |x| each, twice over.
        steps = 2 * EPS * (max(len(sources), len(targets)) + 2 * RUN)
        self.error = float(np.finfo(self.dtype).eps) * (sources.shape[1] + 12) + steps

    @property
    def shape(self):
        """(n, m), as of the matrix that is not there."""
        return self._targets.count, self._sources.count

    def forward(self, x):
        """y_o = sum_i phi(q_i, q_o) x_i for x (m,) or (m, s); returns (n,) or (n, s)."""
        return self._product(self._sources, self._targets, x, "x")

    def transposed(self, y):
        """x_i = sum_o phi(q_i, q_o) y_o for y (n,) or (n, s); the gradient in x is this of the gradient in y."""
        return self._product(self._targets, self._sources, y, "y")

    def forces(self, x, y):
        """Gradients of sum_oi y_o . x_i phi(q_i, q_o) in the sources' (m, d) and targets' places (n, d).

        Where two neurons have a coordinate in common its gradient is taken as 0, the middle of its two sides.
        """
        x = as_signals(x, "x", self._sources.count)
        y = as_signals(y, "y", self._targets.count, x.shape[1:])
        on_targets = _sum_forces(self._sources, self._targets, x, y)
        on_sources = _sum_forces(self._targets, self._sources, y, x)
        dtype = np.result_type(self.dtype, x, y)
        return tuple((self.scale * force).astype(dtype, copy=False) for force in (on_sources, on_targets))

    def _product(self, sources, targets, x, name):
        signals = as_signals(x, name, sources.count, finite=False, order="A")
        dtype = np.result_type(self.dtype, signals)
        if signals.ndim == 2 and signals.shape[1] != 1:
            y, finite = multiply_columns(sources, targets, signals, self.scale, dtype)
        else:
            y, finite = _multiply_vector(sources, targets, signals.reshape(-1), self.scale, dtype)
        if not finite:  # a sum is not finite if one of its terms is not: only then these are looked through
            as_signals(x, name, sources.count)
        return y.reshape(targets.count, *signals.shape[1:])


# One vector: a table of A_p = C_p - C_m / 2 and B_p = S_m / 2 - S_p along each axis, of which a target of rank p takes
# 2 (q A_p + B_p). It lies in lines of eight A and eight B: the two that a target needs share a cache line, and vectors
# can be added to it.


def _multiply_vector(sources, targets, x, scale, dtype):
    """y (n,) for x (m,) of sides that are ranked, and whether the sums over x are finite."""
    # Fresh memory is slow at first touch: the last product's table is written over (a list's pop is atomic, so products
    # at the same time do not share it).
    table = sources.tables.pop() if sources.tables else None
    if table is None or table.dtype != dtype:
        table = np.empty((sources.dimension, sources.count // 8 + 1, 16), dtype).reshape(sources.dimension, -1)
    starts = np.zeros((sources.dimension, sources.count // RUN + 1, 2))
    out = np.empty(targets.count, dtype)
    places = sources.derived(("sorted", dtype), lambda side: side.sorted.astype(dtype, copy=False))
    axes = targets.derived(("axes", dtype), lambda side: side.axes.astype(dtype, copy=False))
    where = targets.derived("where", lambda side: (2 * side.ranks - (side.ranks & 7)).astype(np.uint32))
    work = 4 * (sources.order.size + targets.order.size)
    launch(_sum_vector, work, sources.order, places, x, table, starts, axes, where, dtype.type(2.0 * scale), out)
    sources.tables.append(table)
    return out, bool(np.isfinite(starts).all())


@njit(cache=True, inline="always")
def _place(j):
    """Where A of rank j lies in its row of the table."""
    return np.uint64(2) * j - (j & LOW)


@njit(cache=True, parallel=True, fastmath={"contract"})
def _sum_vector(order, places, x, table, starts, axes, where, scale, out):
    dimension, m = order.shape
    n = out.size
    # Each run's own prefix sums, exclusive: entry j is the sum over the run's sources before the j-th.
    tasks = m // (CHAINS * RUN) + 1
    for task in prange(dimension * tasks):
        k, first = task // tasks, task % tasks * CHAINS * RUN
        if first + CHAINS * RUN <= m:
            _four_runs(order[k], places[k], x, table[k], starts[k], first)
        else:
            for begin in range(first, m + 1, RUN):
                _run(order[k], places[k], x, table[k], starts[k], begin, min(m, begin + RUN))
    for k in range(dimension):  # the sum before each run, less half of all
        A = B = 0.0
        for r in range(starts.shape[1]):
            starts[k, r, 0], A = A, A + starts[k, r, 0]
            starts[k, r, 1], B = B, B + starts[k, r, 1]
        for r in range(starts.shape[1]):
            starts[k, r, 0] -= 0.5 * A
            starts[k, r, 1] -= 0.5 * B
    for task in prange(dimension * tasks):
        k, first = task // tasks, task % tasks * CHAINS
        for r in range(first, min(first + CHAINS, starts.shape[1])):
            A, B = table.dtype.type(starts[k, r, 0]), table.dtype.type(starts[k, r, 1])
            part = table[k, 2 * r * RUN : 2 * (r + 1) * RUN]
            for i in range(part.size):
                part[i] += B if i & 8 else A
    for task in prange((n + TARGETS - 1) // TARGETS):
        first, stop = task * TARGETS, min(n, (task + 1) * TARGETS)
        out[first:stop] = 0
        k = 0
        while k + 2 < dimension:  # three look-ups at a time wait for memory together
            q0, q1, q2, t0, t1, t2 = axes[k], axes[k + 1], axes[k + 2], table[k], table[k + 1], table[k + 2]
            w0, w1, w2 = where[k], where[k + 1], where[k + 2]
            for o_signed in range(first, stop):
                o = np.uint64(o_signed)  # an index without a sign needs no look whether it counts from the end
                a, b, c = np.uint64(w0[o]), np.uint64(w1[o]), np.uint64(w2[o])
                out[o] += (
                    (q0[o] * t0[a] + t0[a + SHIFT]) + (q1[o] * t1[b] + t1[b + SHIFT]) + (q2[o] * t2[c] + t2[c + SHIFT])
                )
            k += 3
        while k < dimension:
            q0, t0, w0 = axes[k], table[k], where[k]
            for o_signed in range(first, stop):
                o = np.uint64(o_signed)
                a = np.uint64(w0[o])
                out[o] += q0[o] * t0[a] + t0[a + SHIFT]
            k += 1
        for o in range(first, stop):
            out[o] *= scale


@njit(cache=True, inline="always")
def _enter(order, places, x, table, j, A, B):
    """Write the sums so far, then count source j in."""
    e = _place(j)
    table[e], table[e + SHIFT] = A, B
    value = np.float64(x[np.uint64(order[j])])
    return A + value, B - value * places[j]


@njit(cache=True)
def _run(order, places, x, table, starts, first, stop):
    A = B = 0.0
    for j in range(first, stop):
        A, B = _enter(order, places, x, table, np.uint64(j), A, B)
    if stop < first + RUN:  # the last run ends with the entry for rank m
        e = _place(np.uint64(stop))
        table[e], table[e + SHIFT] = A, B
    starts[first // RUN, 0], starts[first // RUN, 1] = A, B


@njit(cache=True, fastmath={"contract"})
def _four_runs(order, places, x, table, starts, first):
    A0 = A1 = A2 = A3 = B0 = B1 = B2 = B3 = 0.0
    for i in range(first, first + RUN):
        j = np.uint64(i)
        A0, B0 = _enter(order, places, x, table, j, A0, B0)
        A1, B1 = _enter(order, places, x, table, j + np.uint64(RUN), A1, B1)
        A2, B2 = _enter(order, places, x, table, j + np.uint64(2 * RUN), A2, B2)
        A3, B3 = _enter(order, places, x, table, j + np.uint64(3 * RUN), A3, B3)
    r = first // RUN
    starts[r, 0], starts[r + 1, 0], starts[r + 2, 0], starts[r + 3, 0] = A0, A1, A2, A3
    starts[r, 1], starts[r + 1, 1], starts[r + 2, 1], starts[r + 3, 1] = B0, B1, B2, B3


# Gradients in the places: sum_i sign(q_ok - q_ik) x_i = C_less + C_p - C_m.


def _sum_forces(sources, targets, x, y):
    """sum over the columns of y_o sum_i sign(q_ok - q_ik) x_i, (n, d), for x (m,) or (m, s) and y alike."""
    if x.ndim == 1:
        x, y = x[:, None], y[:, None]
    parts = np.zeros((GROUPS, targets.dimension, targets.count))
    work = 4 * (sources.order.size + targets.order.size) * x.shape[1]
    launch(_sweep_signs, work, sources.order, targets.order, targets.less, targets.upto, x, y, parts)
    return parts.sum(axis=0).T


@njit(cache=True, parallel=True)
def _sweep_signs(order, target_order, less, upto, x, y, parts):
    """parts[g, k, o] = sum over the columns of group g of y_o sum_i sign(q_ok - q_ik) x_i."""
    groups, dimension, n = parts.shape
    m, columns = x.shape
    for task in prange(groups * dimension):
        g, k = task // dimension, task % dimension
        first, stop = columns * g // groups, columns * (g + 1) // groups
        if first == stop:
            continue
        total, below, tied = np.zeros(stop - first), np.zeros(stop - first), np.zeros(stop - first)
        for i in range(m):
            for c in range(stop - first):
                total[c] += x[i, first + c]
        j, seen = 0, -1
        for i in range(n):
            while j < less[k, i]:
                row = x[order[k, j]]
                for c in range(stop - first):
                    below[c] += row[first + c]
                j += 1
            if seen != less[k, i]:
                tied[:] = 0.0
            if upto[k, i] > less[k, i] and seen != less[k, i]:
                for t in range(less[k, i], upto[k, i]):
                    row = x[order[k, t]]
                    for c in range(stop - first):
                        tied[c] += row[first + c]
            seen = less[k, i] if upto[k, i] > less[k, i] else -1
            o = target_order[k, i]
            force = 0.0
            for c in range(stop - first):
                force += y[o, first + c] * (2.0 * below[c] + tied[c] - total[c])
            parts[g, k, o] = force
