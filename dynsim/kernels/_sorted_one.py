"""One vector by sorted sums: a table of A_p and B_p along each axis, then two numbers of it for each target and axis.

With A_p = C_p - C_m / 2, B_p = S_m / 2 - S_p (see `_sorted`) a target of rank p takes 2 (q A_p + B_p). The table
lies in lines of eight A and eight B: the two that a target needs share a cache line, and vectors can be added to it.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from ._threads import launch

RUN = 256  # sources in one run of a prefix sum; a run is summed in float64 and kept as counted from its start
CHAINS = 4  # runs that one task sums side by side, since each addition waits for the one before it
TARGETS = 2048  # targets of one task
SHIFT = np.uint64(8)  # from an A to its B
LOW = np.uint64(7)


def one(sources, targets, x, scale, dtype):
    """y (n,) for x (m,) of sides that are ranked, and whether the sums over x are finite."""
    # Fresh memory is slow at first touch: the last product's table is written over (a list's pop is atomic, so products
    # at the same time do not share it).
    table = sources.tables.pop() if sources.tables else None
    if table is None or table.dtype != dtype:
        table = np.empty((sources.dimension, sources.count // 8 + 1, 16), dtype).reshape(sources.dimension, -1)
    starts = np.zeros((sources.dimension, sources.count // RUN + 1, 2))
    out = np.empty(targets.count, dtype)
    places = sources.once(("sorted", dtype), lambda side: side.sorted.astype(dtype, copy=False))
    axes = targets.once(("axes", dtype), lambda side: side.axes.astype(dtype, copy=False))
    where = targets.once("where", lambda side: (2 * side.ranks - (side.ranks & 7)).astype(np.uint32))
    work = 4 * (sources.order.size + targets.order.size)
    launch(_one, work, sources.order, places, x, table, starts, axes, where, dtype.type(2.0 * scale), out)
    sources.tables.append(table)
    return out, bool(np.isfinite(starts).all())


@njit(cache=True, inline="always")
def _place(j):
    """Where A of rank j lies in its row of the table."""
    return np.uint64(2) * j - (j & LOW)


@njit(cache=True, parallel=True, fastmath={"contract"})
def _one(order, places, x, table, starts, axes, where, scale, out):
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
