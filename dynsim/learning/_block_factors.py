"""Many small symmetric systems of equations, each factored once and solved for as many right sides as are asked.

The blocks of a normal matrix are such systems. NumPy's `inv` takes eight times the operations of a factor of Cholesky,
on one thread; for a layer of 1280 x 1000 weights that was nearly all of a fit's time.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from numba import njit, prange

from dynsim.kernels import lane_dot, launch

LEAST = 1e-7  # a pivot below this share of its diagonal is rounding: nothing depends on that unknown beside the others


def factor_blocks(blocks: npt.NDArray) -> npt.NDArray:
    """Factors of symmetric blocks (..., n, n) without negative eigenvalues; they take the blocks' memory.

    The lower triangle of each holds that of Cholesky, with reciprocals on the diagonal: 0 for an unknown on which
    nothing depends, and which then stays 0 in every solution.

    Examples
    --------
    >>> solve_blocks(factor_blocks(np.array([[[4.0, 0.0], [0.0, 2.0]]])), np.ones((1, 1, 2)))
    array([[[0.25, 0.5 ]]])
    """
    size = blocks.shape[-1]
    launch(_factor, blocks.size * size // 3, blocks.reshape(-1, size, size))
    return blocks


def solve_blocks(factors: npt.NDArray, rows: npt.NDArray) -> npt.NDArray:
    """Solutions (..., R, n) of the factored blocks (..., n, n) for right sides (..., R, n)."""
    size = factors.shape[-1]
    found = np.array(rows, factors.dtype, order="C")
    launch(_solve, 2 * found.size * size, factors.reshape(-1, size, size), found.reshape(-1, found.shape[-2], size))
    return found


@njit(cache=True, parallel=True, nogil=True)
def _factor(blocks):
    size = blocks.shape[1]
    for k in prange(len(blocks)):
        block = blocks[k]
        for i in range(size):
            row = block[i]
            for j in range(i):
                row[j] = (row[j] - lane_dot(row, block[j], j)) * block[j, j]
            pivot = row[i] - lane_dot(row, row, i)
            row[i] = 0.0 if pivot <= LEAST * row[i] else 1.0 / math.sqrt(pivot)


@njit(cache=True, parallel=True, nogil=True)
def _solve(factors, rows):
    count, size = rows.shape[1], rows.shape[2]
    for task in prange(len(factors) * count):
        block, x = factors[task // count], rows[task // count, task % count]
        for i in range(size):
            x[i] = (x[i] - lane_dot(block[i], x, i)) * block[i, i]
        for i in range(size - 1, -1, -1):
            x[i] *= block[i, i]
            for j in range(i):
                x[j] -= x[i] * block[i, j]
