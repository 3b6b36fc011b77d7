"""Sorted sums of many vectors: a block of columns at a time, sources and targets passed once along each axis.

Rows are visited in the order of an axis, which is none of memory: each is asked for some places ahead.
"""

from __future__ import annotations

import numba
import numpy as np
from numba import njit, prange

from ._compilation import launch
from ._prefetch import fetch

COLUMNS = 16  # right-hand sides that are swept together: a row of float32 is a cache line
TOGETHER = 64  # rows that are copied column by column: their lines stay in the first cache
EIGHT = 8  # rows that are summed before a sum is written
AHEAD = 16  # places in an order after which a row is needed that is asked for now


def multiply_columns(sources, targets, x, scale, dtype):
    """y (n, s) for x (m, s) of sides that are ranked, and whether the sums over x are finite."""
    out = np.empty((targets.count, x.shape[1]), dtype, order="C" if x.flags.c_contiguous else "F")
    blocks = -(-x.shape[1] // COLUMNS)
    copies = max(1, min(blocks, numba.get_num_threads()))
    # One copy of a block for each thread. NumPy's large arrays lie in large pages, and rows are visited at random.
    shapes = ((copies, sources.count, COLUMNS), (copies, targets.count, COLUMNS))
    values, totals = targets.blocks.pop() if targets.blocks else (None, None)
    if values is None or (values.shape, totals.shape) != shapes or values.dtype != dtype:
        values, totals = (np.empty(shape, dtype) for shape in shapes)
    begin = np.zeros((blocks, sources.dimension + 1, COLUMNS))
    work = 4 * (sources.order.size + targets.order.size) * x.shape[1]
    launch(_sum_columns, work, sources.axes, sources.order, sources.sorted, targets.order, targets.sorted,
           targets.upto, x, 2.0 * scale, values, totals, begin, out)  # fmt: skip
    targets.blocks.append((values, totals))
    return out, bool(np.isfinite(begin).all())


@njit(cache=True, parallel=True, fastmath={"contract"})
def _sum_columns(axes, order, places, target_order, target_places, upto, x, scale, values, totals, begin, out):
    """Sums are float64: A = C - C_m / 2, B = S_m / 2 - S. A block's are the same whichever copy holds it."""
    columns = out.shape[1]
    copies, blocks = len(values), (columns + COLUMNS - 1) // COLUMNS
    for copy in prange(copies):
        sums = np.empty(2 * COLUMNS)
        for block in range(blocks * copy // copies, blocks * (copy + 1) // copies):
            first = block * COLUMNS
            width = min(COLUMNS, columns - first)
            _copy_block(axes, x, first, width, values[copy], begin[block])
            totals[copy] = 0
            for k in range(len(axes)):
                for c in range(width):
                    sums[c], sums[COLUMNS + c] = -0.5 * begin[block, 0, c], 0.5 * begin[block, k + 1, c]
                _sweep_axis(order[k], places[k], values[copy], target_order[k], target_places[k], upto[k], width, sums,
                      totals[copy])  # fmt: skip
            _copy_out(totals[copy], first, width, scale, out)


@njit(cache=True)
def _copy_out(totals, first, width, scale, out):
    """Write a block of results, a piece of each column after the other."""
    for start in range(0, len(totals), TOGETHER):
        stop = min(len(totals), start + TOGETHER)
        for c in range(width):
            line = out[start:stop, first + c]
            for o in range(stop - start):
                line[o] = scale * totals[start + o, c]


@njit(cache=True, fastmath={"contract"})
def _copy_block(axes, x, first, width, values, begin):
    """Copy a block; begin[0] = its sum over the sources, begin[k + 1] = the sum times their places."""
    width = min(width, COLUMNS)
    for start in range(0, len(values), TOGETHER):
        stop = min(len(values), start + TOGETHER)
        for c in range(width):
            line = x[start:stop, first + c]
            for i in range(stop - start):
                values[start + i, c] = line[i]
        _add_rows(values[start:stop], axes[:, start:stop], width, begin)


@njit(cache=True, fastmath={"contract"})
def _add_rows(rows, places, width, begin):
    """Count rows in. A sum goes back to memory after eight of them, since the next one waits for it there."""
    whole = len(rows) // EIGHT * EIGHT
    for i in range(0, whole, EIGHT):
        for c in range(width):
            total = begin[0, c]
            for j in range(i, i + EIGHT):
                total += rows[j, c]
            begin[0, c] = total
        for k in range(len(places)):
            for c in range(width):
                total = begin[k + 1, c]
                for j in range(i, i + EIGHT):
                    total += rows[j, c] * places[k, j]
                begin[k + 1, c] = total
    for j in range(whole, len(rows)):
        for c in range(width):
            begin[0, c] += rows[j, c]
        for k in range(len(places)):
            for c in range(width):
                begin[k + 1, c] += rows[j, c] * places[k, j]


@njit(cache=True, fastmath={"contract"})
def _sweep_axis(order, places, values, target_order, target_places, upto, width, sums, totals):
    """Along one axis: every source is counted in before the targets at or above it are served."""
    width = min(width, COLUMNS)  # or LLVM does not know that a row is short, and makes loops for long ones
    j = 0
    for i_signed in range(len(target_order)):
        i = np.uint64(i_signed)
        stop = upto[i]
        while j < stop:
            row, place = values[np.uint64(order[np.uint64(j)])], places[np.uint64(j)]
            fetch(values, np.uint64(order[np.uint64(min(j + AHEAD, len(order) - 1))]))
            for c in range(width):
                value = np.float64(row[c])
                sums[c] += value
                sums[COLUMNS + c] -= value * place
            j += 1
        row, place = totals[np.uint64(target_order[i])], target_places[i]
        fetch(totals, np.uint64(target_order[np.uint64(min(i_signed + AHEAD, len(target_order) - 1))]))
        for c in range(width):
            row[c] += place * sums[c] + sums[COLUMNS + c]
