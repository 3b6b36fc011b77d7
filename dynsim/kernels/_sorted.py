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
from numba import njit, prange

from ._check import as_array, as_number
from ._threads import launch

PIECE = 4096  # sources in one piece of a prefix sum
COLUMNS = 32  # right-hand sides that are swept together
GROUPS = 4  # parts in which the right-hand sides of a force are summed


class SortedProduct:
    """The pairs of m sources and n targets under phi = scale |q_o - q_i|_1, sorted once, multiplied often.

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

    def __init__(self, sources, targets, scale=1.0):
        self.scale = as_number(scale, "scale")
        self._sources = self._targets = None
        self.update(sources, targets)

    def update(self, sources, targets):
        """Take over new places; an old order is repaired where the numbers stay, linear if little moved."""
        sources = as_array(sources, "sources", ("m", "d"))
        targets = as_array(targets, "targets", ("n", sources.shape[1]))
        self.dtype = np.result_type(sources, targets)
        center = _middle(sources if len(sources) else targets)
        self._sources = _Side(sources - center, self._sources)
        self._targets = _Side(targets - center, self._targets)
        # Ranks in the order of the own side, for sweeps, and in the order of the arrays, for a single vector.
        self._targets.rank(self._sources)
        self._sources.rank(self._targets)

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
        x = self._signals(x, self._sources, "x")
        y = self._signals(y, self._targets, "y", x.shape[1:])
        on_targets = _force(self._sources, self._targets, x, y)
        on_sources = _force(self._targets, self._sources, y, x)
        dtype = np.result_type(self.dtype, x, y)
        return tuple((self.scale * force).astype(dtype, copy=False) for force in (on_sources, on_targets))

    def _product(self, sources, targets, x, name):
        x = self._signals(x, sources, name)
        dtype = np.result_type(self.dtype, x)
        if x.ndim == 1:
            return _one(sources, targets, x, self.scale, dtype)
        if x.shape[1] == 1:
            return _one(sources, targets, np.ascontiguousarray(x[:, 0]), self.scale, dtype)[:, None]
        return _many(sources, targets, x, self.scale, dtype)

    def _signals(self, x, side, name, columns=None):
        x = as_array(x, name)
        if x.ndim not in (1, 2) or len(x) != side.count or (columns is not None and x.shape[1:] != columns):
            raise ValueError(f"{name}: got shape {x.shape}; expected ({side.count},) or ({side.count}, s).")
        return x


class _Side:
    """Neurons sorted along every axis: `order` (d, m) and `sorted` (d, m), with `ranks` among the other side."""

    def __init__(self, places, before):
        self.axes = np.ascontiguousarray(places.T, dtype=np.float64)
        self.dimension, self.count = self.axes.shape
        self.spare = []
        if before is not None and before.axes.shape == self.axes.shape:
            self.order = before.order
            launch(_repair, 32 * self.axes.size, self.axes, self.order)
        else:
            self.order = np.empty(self.axes.shape, np.int32)
            launch(_sort, 32 * self.axes.size, self.axes, self.order)
        self.sorted = np.take_along_axis(self.axes, self.order, axis=1)

    def rank(self, other):
        shape = self.order.shape
        self.less, self.upto, self.ranks = (
            np.empty(shape, np.int32),
            np.empty(shape, np.int32),
            np.empty(shape, np.int32),
        )
        launch(_ranks, 8 * self.order.size, self.order, self.sorted, other.sorted, self.less, self.upto, self.ranks)


def _middle(places):
    return 0.5 * (places.min(axis=0) + places.max(axis=0)) if len(places) else np.zeros(places.shape[1])


def _one(sources, targets, x, scale, dtype):
    pieces = -(-sources.count // PIECE) or 1
    # Sums are kept in float64; what is looked up again is counted from the start of its piece, so the working precision
    # is enough for it. Fresh memory is slow at first touch: the last product's is written over (a list's pop is
    # atomic, so products at the same time do not share it).
    prefix = sources.spare.pop() if sources.spare else None
    if prefix is None or prefix.dtype != dtype:
        prefix = np.empty((sources.dimension, sources.count + 1, 2), dtype)
    starts = np.zeros((sources.dimension, pieces + 1, 2))
    launch(_prefix_sums, 4 * sources.order.size, sources.order, sources.sorted, x, prefix, starts)
    np.cumsum(starts, axis=1, out=starts)
    out = np.empty(targets.count, dtype)
    launch(_look_up, 4 * targets.order.size, targets.axes, targets.ranks, prefix, starts, scale, out)
    sources.spare.append(prefix)
    return out


def _many(sources, targets, x, scale, dtype):
    out = np.zeros((targets.count, x.shape[1]), dtype)
    launch(
        _sweep,
        4 * (sources.order.size + targets.order.size) * x.shape[1],
        sources.order,
        sources.sorted,
        targets.order,
        targets.sorted,
        targets.upto,
        x,
        scale,
        out,
    )
    return out


def _force(sources, targets, x, y):
    if x.ndim == 1:
        x, y = x[:, None], y[:, None]
    parts = np.zeros((GROUPS, targets.dimension, targets.count))
    launch(
        _sweep_signs,
        4 * (sources.order.size + targets.order.size) * x.shape[1],
        sources.order,
        targets.order,
        targets.less,
        targets.upto,
        x,
        y,
        parts,
    )
    return parts.sum(axis=0).T


@njit(cache=True, parallel=True)
def _sort(axes, order):
    for k in prange(axes.shape[0]):
        order[k] = np.argsort(axes[k], kind="mergesort")  # stable: equal places keep the order of their indices


@njit(cache=True, parallel=True)
def _repair(axes, order):
    """Insertion sort of an old order by (place, index), which has one answer; a full sort where too much moved."""
    count = axes.shape[1]
    for k in prange(axes.shape[0]):
        row, places, moves = order[k], axes[k], 0
        for j in range(1, count):
            index = row[j]
            place = places[index]
            i = j - 1
            while i >= 0 and (places[row[i]] > place or (places[row[i]] == place and row[i] > index)):
                row[i + 1] = row[i]
                i -= 1
            row[i + 1] = index
            moves += j - 1 - i
            if moves > 16 * count:
                break
        if moves > 16 * count:
            order[k] = np.argsort(places, kind="mergesort")


@njit(cache=True, parallel=True)
def _ranks(order, own, other, less, upto, ranks):
    """For each neuron of this side, how many of the other side are below it, and at or below it: one merge an axis."""
    for k in prange(own.shape[0]):
        low = high = 0
        count = other.shape[1]
        for i in range(own.shape[1]):
            while low < count and other[k, low] < own[k, i]:
                low += 1
            high = max(high, low)
            while high < count and other[k, high] <= own[k, i]:
                high += 1
            less[k, i], upto[k, i] = low, high
            ranks[k, order[k, i]] = high


@njit(cache=True, parallel=True)
def _prefix_sums(order, places, x, prefix, starts):
    """prefix[k, p] = (C_p, S_p) counted from the start of p's piece; starts[k, piece + 1] = the piece's total."""
    dimension, count = order.shape
    pieces = starts.shape[1] - 1
    for task in prange(dimension * pieces):
        k, piece = task // pieces, task % pieces
        C = S = 0.0
        for j in range(piece * PIECE, min(count, (piece + 1) * PIECE)):
            value = np.float64(x[order[k, j]])
            C += value
            S += value * places[k, j]
            prefix[k, j + 1, 0], prefix[k, j + 1, 1] = C, S
        starts[k, piece + 1, 0], starts[k, piece + 1, 1] = C, S
        if piece == 0:
            prefix[k, 0, 0] = prefix[k, 0, 1] = 0.0


@njit(cache=True, parallel=True)
def _look_up(axes, ranks, prefix, starts, scale, out):
    dimension, count = axes.shape
    last = starts.shape[1] - 1
    for piece in prange((count + PIECE - 1) // PIECE):
        first, stop = piece * PIECE, min(count, (piece + 1) * PIECE)
        totals = np.zeros(stop - first)
        for k in range(dimension):
            C, S = starts[k, last, 0], starts[k, last, 1]
            for o in range(first, stop):
                p = ranks[k, o]
                start = (p - 1) // PIECE if p > 0 else 0
                below = prefix[k, p, 0] + starts[k, start, 0]
                moment = prefix[k, p, 1] + starts[k, start, 1]
                totals[o - first] += axes[k, o] * (2.0 * below - C) + S - 2.0 * moment
        for o in range(first, stop):
            out[o] = scale * totals[o - first]


@njit(cache=True, parallel=True)
def _sweep(order, places, target_order, target_places, upto, x, scale, out):
    """Many right-hand sides: sources and targets are passed once along each axis, a block of columns at a time."""
    dimension, m = order.shape
    n, columns = out.shape
    for block in prange((columns + COLUMNS - 1) // COLUMNS):
        first = block * COLUMNS
        width = min(COLUMNS, columns - first)
        values = np.zeros((m, COLUMNS), x.dtype)
        C_all, S_all = np.zeros(COLUMNS), np.zeros((dimension, COLUMNS))
        for i in range(m):
            for c in range(width):
                values[i, c] = x[i, first + c]
                C_all[c] += values[i, c]
        totals = np.zeros((n, COLUMNS))
        C, S = np.empty(COLUMNS), np.empty(COLUMNS)
        for k in range(dimension):
            for j in range(m):
                row, place = values[order[k, j]], places[k, j]
                for c in range(COLUMNS):
                    S_all[k, c] += row[c] * place
            C[:] = 0.0
            S[:] = 0.0
            j = 0
            for i in range(n):
                while j < upto[k, i]:
                    row, place = values[order[k, j]], places[k, j]
                    for c in range(COLUMNS):
                        value = np.float64(row[c])
                        C[c] += value
                        S[c] += value * place
                    j += 1
                row_out, place = totals[target_order[k, i]], target_places[k, i]
                for c in range(COLUMNS):
                    row_out[c] += place * (2.0 * C[c] - C_all[c]) + S_all[k, c] - 2.0 * S[c]
        for o in range(n):
            for c in range(width):
                out[o, first + c] = scale * totals[o, c]


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
