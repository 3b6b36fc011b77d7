"""Many vectors by sorted sums: a block of columns at a time, sources and targets passed once along each axis."""

from __future__ import annotations

import numba
import numpy as np
from numba import njit, prange

from ._threads import launch

COLUMNS = 16  # right-hand sides that are swept together: a row of float32 is a cache line


def many(sources, targets, x, scale, dtype):
    """y (n, s) for x (m, s) of sides that are ranked, and whether the sums over x are finite."""
    out = np.empty((targets.count, x.shape[1]), dtype)
    blocks = -(-x.shape[1] // COLUMNS)
    hands = max(1, min(blocks, numba.get_num_threads()))
    # One copy of a block for each thread. NumPy's large arrays lie in large pages, and rows are visited at random.
    shapes = ((hands, sources.count, COLUMNS), (hands, targets.count, COLUMNS))
    values, totals = targets.blocks.pop() if targets.blocks else (None, None)
    if values is None or (values.shape, totals.shape) != shapes or values.dtype != dtype:
        values, totals = (np.empty(shape, dtype) for shape in shapes)
    begin = np.zeros((blocks, sources.dimension + 1, COLUMNS))
    work = 4 * (sources.order.size + targets.order.size) * x.shape[1]
    launch(_sweep, work, sources.axes, sources.order, sources.sorted, targets.order, targets.sorted, targets.upto, x,
           2.0 * scale, values, totals, begin, out)  # fmt: skip
    targets.blocks.append((values, totals))
    return out, bool(np.isfinite(begin).all())


@njit(cache=True, parallel=True, fastmath={"contract"})
def _sweep(axes, order, places, target_order, target_places, upto, x, scale, values, totals, begin, out):
    """Sums are float64: A = C - C_m / 2, B = S_m / 2 - S. A block's are the same whichever hand holds it."""
    columns = out.shape[1]
    hands, blocks = len(values), (columns + COLUMNS - 1) // COLUMNS
    for hand in prange(hands):
        sums = np.empty(2 * COLUMNS)
        for block in range(blocks * hand // hands, blocks * (hand + 1) // hands):
            first = block * COLUMNS
            width = min(COLUMNS, columns - first)
            _take(axes, x, first, width, values[hand], begin[block])
            totals[hand] = 0
            for k in range(len(axes)):
                for c in range(width):
                    sums[c], sums[COLUMNS + c] = -0.5 * begin[block, 0, c], 0.5 * begin[block, k + 1, c]
                _pass(order[k], places[k], values[hand], target_order[k], target_places[k], upto[k], width, sums,
                      totals[hand])  # fmt: skip
            for o in range(out.shape[0]):
                for c in range(width):
                    out[o, first + c] = scale * totals[hand, o, c]


@njit(cache=True, fastmath={"contract"})
def _take(axes, x, first, width, values, begin):
    """Copy a block; begin[0] = its sum over the sources, begin[k + 1] = the sum times their places."""
    width = min(width, COLUMNS)
    for i_signed in range(len(values)):
        i = np.uint64(i_signed)
        row = values[i]
        for c in range(width):
            row[c] = x[i, first + c]
            begin[0, c] += row[c]
        for k in range(len(axes)):
            place, moment = axes[k, i], begin[k + 1]
            for c in range(width):
                moment[c] += row[c] * place


@njit(cache=True, fastmath={"contract"})
def _pass(order, places, values, target_order, target_places, upto, width, sums, totals):
    """Along one axis: every source is counted in before the targets at or above it are served."""
    width = min(width, COLUMNS)  # or LLVM does not know that a row is short, and makes loops for long ones
    j = 0
    for i_signed in range(len(target_order)):
        i = np.uint64(i_signed)
        stop = upto[i]
        while j < stop:
            row, place = values[np.uint64(order[np.uint64(j)])], places[np.uint64(j)]
            for c in range(width):
                value = np.float64(row[c])
                sums[c] += value
                sums[COLUMNS + c] -= value * place
            j += 1
        row, place = totals[np.uint64(target_order[i])], target_places[i]
        for c in range(width):
            row[c] += place * sums[c] + sums[COLUMNS + c]
