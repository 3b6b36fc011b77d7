"""Gradients in the places by sorted sums: sum_i sign(q_ok - q_ik) x_i = C_less + C_p - C_m (see `_sorted`)."""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from ._threads import launch

GROUPS = 4  # parts in which the right-hand sides of a force are summed


def force(sources, targets, x, y):
    """sum over the columns of y_o sum_i sign(q_ok - q_ik) x_i, (n, d), for x (m,) or (m, s) and y alike."""
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
