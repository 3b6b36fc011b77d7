"""Loops over ranges of sources that act on nodes of targets; a node is one thread's, which meets them in order."""

from __future__ import annotations

from functools import cache

import numpy as np
from numba import njit, prange

from ._compilation import MATH
from ._written_loops import LONG_BLOCK, add_others, forces_text, pull_others, sums_text, targets_together


@cache
def range_sums(expression, metric, soft, d, columns):
    """loop(...): out[i, c] = sum_j strengths[c, j] phi, for every node's targets, over its ranges lower to upper."""
    text, together = sums_text(expression, metric, soft, d, columns), targets_together(columns, d)

    @njit(cache=True, fastmath=MATH, error_model="numpy", parallel=True, nogil=True)
    def loop(node_begin, node_end, lower, upper, begin, end, sources, strengths, targets, own, numbers, out):
        for node in prange(len(node_begin)):
            first_one, last_one = node_begin[node], node_end[node]
            sums = np.zeros((last_one - first_one + together, columns))
            for each in range(lower[node], upper[node]):
                for start in range(begin[each], end[each], LONG_BLOCK):
                    stop = min(end[each], start + LONG_BLOCK)
                    for first in range(first_one, last_one, together):
                        upto, some = min(last_one, first + together), sums[first - first_one :][:together]
                        add_others(text, expression, metric, soft, targets, first, upto, together, sources, strengths,
                                   start, stop, own, numbers, some)  # fmt: skip
            for i in range(first_one, last_one):
                for column in range(columns):
                    out[i, column] = sums[i - first_one, column]

    return loop


@cache
def range_forces(expression, metric, soft, d, columns):
    """loop(...): out[i, k] = sum_j (sum_c given[c, j] taken[i, c]) dphi/dp_k, as `range_sums`."""
    text, together = forces_text(expression, metric, soft, d, columns), targets_together(d, d)

    @njit(cache=True, fastmath=MATH, error_model="numpy", parallel=True, nogil=True)
    def loop(node_begin, node_end, lower, upper, begin, end, sources, given, targets, taken, own, numbers, out):
        for node in prange(len(node_begin)):
            first_one, last_one = node_begin[node], node_end[node]
            forces = np.zeros((last_one - first_one + together, d))
            for each in range(lower[node], upper[node]):
                for start in range(begin[each], end[each], LONG_BLOCK):
                    stop = min(end[each], start + LONG_BLOCK)
                    for first in range(first_one, last_one, together):
                        upto, some = min(last_one, first + together), forces[first - first_one :][:together]
                        pull_others(text, expression, metric, soft, targets, first, upto, together, sources, given,
                                    start, stop, taken, own, numbers, some)  # fmt: skip
            for i in range(first_one, last_one):
                for k in range(d):
                    out[i, k] = forces[i - first_one, k]

    return loop
