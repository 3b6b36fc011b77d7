"""Relations of the same neurons that differ in lambda alone: phi of a pair is computed for all of them together."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt
from numba import njit, prange

from dynsim._check import as_array, as_instance

from ._block import constants, specialisation
from ._compilation import MATH, launch
from ._formula import ONE_PLACE
from ._kernel import Kernel
from ._lanes import lane_dot
from ._pair_sums import axes_first
from ._relation import ROWS, forces_of
from ._written_loops import values_text, write_values

PART = 512  # numbers that are summed in the working precision, and stay in the nearest cache
TOGETHER = 2**16  # values of phi that are in memory at a time, if a copy has no more: 256 KiB in float32


def shared_relation(
    kernel: Kernel, sources: npt.ArrayLike, targets: npt.ArrayLike, strengths: npt.ArrayLike
) -> npt.NDArray:
    """Weights of R relations of the same neurons: W[r, o, i] = sum_h strengths[r, h] phi(sources[h, i], targets[h, o]).

    Parameters
    ----------
    kernel : Kernel
    sources : array_like, (H, m, d)
        m neurons with H copies each.
    targets : array_like, (H, n, d)
    strengths : array_like, (R, H)
        lambda.

    Returns
    -------
    numpy.ndarray, (R, n, m)

    Raises
    ------
    ValueError, TypeError
        If shapes do not fit or a number is not finite.

    Examples
    --------
    >>> from dynsim.kernels import Kernel
    >>> shared_relation(Kernel("linear"), [[[0.0], [3.0]]], [[[1.0]]], [[2.0], [-1.0]])
    array([[[ 2.,  4.]],
    <BLANKLINE>
           [[-1., -2.]]])
    """
    sources, targets, strengths = _subsystem(kernel, sources, targets, strengths)
    weights = np.zeros((len(strengths), targets.shape[1] * sources.shape[1]), strengths.dtype)
    for part, values in _values(kernel, sources, targets):
        _add_combined(np.ascontiguousarray(strengths[:, part]), values, weights)
    return weights.reshape(len(strengths), targets.shape[1], sources.shape[1])


def shared_relation_forces(
    kernel: Kernel, sources: npt.ArrayLike, targets: npt.ArrayLike, strengths: npt.ArrayLike, gradient: npt.ArrayLike
) -> tuple[npt.NDArray, npt.NDArray, npt.NDArray]:
    """Turn dL/dW (R, n, m) into dL/dsources, dL/dtargets and dL/dstrengths (the force is minus the gradient).

    Parameters and errors as `shared_relation`. Where two neurons meet without softening the gradient is taken as 0.

    Examples
    --------
    >>> from dynsim.kernels import Kernel
    >>> shared_relation_forces(Kernel("linear"), [[[0.0]]], [[[3.0]]], [[2.0], [1.0]], [[[1.0]], [[4.0]]])
    (array([[[-6.]]]), array([[[6.]]]), array([[ 3.],
           [12.]]))
    """
    sources, targets, strengths = _subsystem(kernel, sources, targets, strengths)
    dtype, shape = strengths.dtype, (len(strengths), targets.shape[1], sources.shape[1])
    gradient = as_array(gradient, "gradient", shape, dtype=dtype, finite=False).reshape(
        len(strengths), shape[1] * shape[2]
    )
    on_sources, on_targets = np.zeros_like(sources), np.zeros_like(targets)
    on_strengths = np.zeros_like(strengths)
    for part, values in _values(kernel, sources, targets):
        products = np.empty((len(strengths), len(values)), dtype)
        launch(_products, len(values) * gradient.size, gradient, values, products)
        on_strengths[:, part] = products
        copies = (sources[None, part], targets[None, part], np.ones((1, 1, len(values)), dtype))
        # A copy is pulled by what all relations ask of it together, each by its lambda.
        together = np.zeros_like(values)
        _add_combined(np.ascontiguousarray(strengths[:, part].T), gradient, together)
        together = together.reshape(1, 1, len(values), *shape[1:])
        on_sources[part], on_targets[part] = (force[0] for force in forces_of(kernel, *copies, together)[:2])
    return on_sources, on_targets, on_strengths


def _subsystem(kernel, sources, targets, strengths):
    as_instance(kernel, Kernel, "kernel")
    sources = as_array(sources, "sources", ("H", "m", "d"))
    targets = as_array(targets, "targets", (len(sources), "n", sources.shape[2]))
    strengths = as_array(strengths, "strengths", ("R", len(sources)))
    dtype = np.result_type(sources, targets, strengths)
    return tuple(array.astype(dtype, copy=False) for array in (sources, targets, strengths))


def _values(kernel, sources, targets):
    """Yield the copies as slices, as many at a time as `TOGETHER` allows, and phi of each: (copies, n m)."""
    (copies, m, d), n, dtype = sources.shape, targets.shape[1], sources.dtype
    step = max(1, TOGETHER // max(1, n * m))
    loop = _values_loop(*specialisation(kernel, d))
    for start in range(0, copies, step):
        part = slice(start, min(copies, start + step))
        values = np.empty((part.stop - start, n, m), dtype)
        launch(loop, values.size * d, axes_first(sources[part], dtype), targets[part], constants(kernel, dtype), values)
        yield part, values.reshape(len(values), n * m)


def _add_combined(factors, rows, out):
    """out[a] += sum_b factors[a, b] rows[b]."""
    launch(_combined, factors.size * rows.shape[1], factors, rows, out)


@njit(cache=True, fastmath=MATH, error_model="numpy", parallel=True, nogil=True)
def _combined(factors, rows, out):
    count, length = out.shape
    parts = (length + PART - 1) // PART
    for task in prange(count * parts):
        a, start = task // parts, task % parts * PART
        stop = min(length, start + PART)
        total = out[a, start:stop]
        for b in range(rows.shape[0]):
            factor, row = factors[a, b], rows[b, start:stop]
            for j in range(stop - start):
                total[j] += factor * row[j]


@njit(cache=True, fastmath=MATH, error_model="numpy", parallel=True, nogil=True)
def _products(gradient, values, products):
    relations, copies = products.shape
    length = values.shape[1]
    for task in prange(relations * copies):
        r, h = task // copies, task % copies
        total = 0.0
        for start in range(0, length, PART):
            stop = min(length, start + PART)
            total += lane_dot(gradient[r, start:stop], values[h, start:stop], stop - start)
        products[r, h] = total


@cache
def _values_loop(expression, metric, soft, d):
    text = values_text(expression, metric, soft, d)

    @njit(cache=True, fastmath=MATH, error_model="numpy", parallel=True, nogil=True)
    def loop(sources, targets, numbers, values):
        copies, n, m = values.shape
        blocks = (n + ROWS - 1) // ROWS
        for task in prange(copies * blocks):
            h, first = task // blocks, task % blocks * ROWS
            for o in range(first, min(n, first + ROWS)):
                write_values(text, targets[h, o], sources[h], 0, m, numbers[ONE_PLACE], numbers, values[h, o])

    return loop
