"""Direct pair sums in Numba: every pair once, never an (m, n) array unless it is the result.

Each target's sum belongs to one thread and is added in a fixed order, so results have the same bits on any number
of threads. Blocks are summed in the working precision, the blocks' sums in float64.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import numpy.typing as npt
from numba import njit, prange

from dynsim._check import as_array, as_choice, as_count, as_flag, as_instance, describe, refusal

from . import _cuda
from ._backend import Backend, find_backend
from ._block import BLOCK, L1, add_force, constants, slope, specialisation, squared_distances
from ._compilation import MATH, launch
from ._formula import ONE_PLACE, ZERO_PLACE
from ._kernel import Kernel
from ._lanes import lane_dot
from ._sorted_cuda import CudaSortedProduct
from ._sorted_sums import SortedProduct
from ._tree_sums import TreeProduct, expect_accuracy, has_tree
from ._written_loops import (
    FEW,
    LONG_BLOCK,
    SIDE_BY_SIDE,
    add_others,
    forces_text,
    pull_others,
    sums_text,
    targets_together,
    values_text,
    write_values,
)

ROWS = 32  # targets that share one block in the nearest cache; the split does not depend on the number of threads
TASKS = 256  # at least, of few targets: what can be shared among threads


METHODS = ("auto", "direct", "sorted", "tree")
# Pairs a second of the direct sum against neurons a second sorted and passed: where the lines cross, roughly.
PAIRS_PER_NEURON = 600


def pair_sum(
    kernel: Kernel,
    sources: npt.ArrayLike,
    targets: npt.ArrayLike,
    strengths: npt.ArrayLike,
    *,
    exclude_self: bool = False,
    method: str = "auto",
    backend: str = "auto",
    accuracy: float | None = None,
    part: tuple[int, int] | None = None,
) -> npt.NDArray:
    """Sum the sources' effect on every target: y_i = sum_j strengths_j phi(sources_j, targets_i).

    Parameters
    ----------
    kernel : Kernel
    sources : array_like, (n, d)
    targets : array_like, (m, d)
    strengths : array_like, (n,) or (n, s)
        Emitted signals of the sources.
    exclude_self : bool
        Leave out pairs i == j exactly, by index; needs m == n.
    method : {"auto", "direct", "sorted", "tree"}
        Every pair; or, for the linear kernel of l1 distances without softening, sums along sorted axes in
        O((m + n) log(m + n)); or `TreeProduct`, for l2 distances in up to three dimensions, which needs `accuracy`.
        "auto" sorts where it can and pays, and takes a tree where it can, pays and an accuracy was given.
    backend : {"auto", "numba", "cupy"}
        Numba on the processor, or CuPy on a CUDA card. "auto" uses a card, if there is one, for large sums
        (`find_backend` gives the reason).
    accuracy : float, optional
        Relative error that is allowed, as `TreeProduct` estimates it; without it, only sums that are exact to rounding
        are taken.
    part : (int, int), optional
        Only the sums of targets[begin:end], with the bits that they have among all of them. `begin` is a multiple of 4
        or m, since targets are summed in groups of four. On a card, along sorted axes and by trees all are computed.

    Returns
    -------
    numpy.ndarray, (m,) or (m, s), with a part (end - begin,) or (end - begin, s)
        float32 if all three arrays are float32, else float64.

    Raises
    ------
    ValueError, TypeError
        If a shape does not fit or a number is not finite.

    Examples
    --------
    >>> from dynsim.kernels import Kernel
    >>> pair_sum(Kernel("inverse"), [[0.0], [3.0]], [[1.0]], [1.0, 4.0])
    array([3.])
    """
    sources, targets = _places(kernel, sources, targets, exclude_self)
    strengths = as_array(strengths, "strengths")
    if strengths.ndim not in (1, 2) or len(strengths) != len(sources):
        raise refusal("strengths", f"shape {strengths.shape}", f"({len(sources)},) or ({len(sources)}, s)")
    begin, end = _part(part, len(targets))
    accuracy = None if accuracy is None else expect_accuracy(accuracy)
    dtype = np.result_type(sources, targets, strengths)
    n, m, d = len(sources), len(targets), sources.shape[1]
    on_card = summing_backend(kernel, n, m, d, method=method, backend=backend).name == "cupy"
    if _sorts(kernel, method, n, m):
        # A neuron's own term is |q_i - q_i| = 0: nothing is to be excluded.
        product = (CudaSortedProduct if on_card else SortedProduct)(sources, targets, scale=kernel.scale)
        return product.forward(strengths).astype(dtype, copy=False)[begin:end]
    if takes_tree(kernel, d, method, accuracy, on_card):
        product = TreeProduct(kernel, sources, targets, accuracy=accuracy, exclude_self=exclude_self)
        return product.forward(strengths)[begin:end]
    if on_card:
        arrays = _as(dtype, sources, targets, _columns(strengths))
        out = _cuda.pair_sum(kernel, *arrays, bool(exclude_self))
        return (out.reshape(len(targets)) if strengths.ndim == 1 else out)[begin:end]
    columns = np.ascontiguousarray(_columns(strengths).T, dtype=dtype)
    out = np.zeros((end - begin, len(columns)), dtype=dtype)
    loop = _sum_loop(*specialisation(kernel, d), len(columns) if 0 < len(columns) <= FEW else 0)
    work = n * (end - begin) * (d + len(columns))
    launch(loop, work, axes_first(sources, dtype), targets.astype(dtype, copy=False), columns, constants(kernel, dtype),
         bool(exclude_self), begin, out)  # fmt: skip
    return out.reshape(end - begin) if strengths.ndim == 1 else out


def pair_matrix(
    kernel: Kernel, sources: npt.ArrayLike, targets: npt.ArrayLike, *, exclude_self: bool = False
) -> npt.NDArray:
    """Return the matrix phi(sources_j, targets_i), shape (m, n); with exclude_self its diagonal is exactly 0.

    Of one set of places it is symmetric to rounding.

    Parameters, precision and errors as `pair_sum`.

    Examples
    --------
    >>> from dynsim.kernels import Kernel
    >>> pair_matrix(Kernel("linear"), [[0.0], [3.0]], [[1.0]])
    array([[1., 2.]])
    """
    sources, targets = _places(kernel, sources, targets, exclude_self)
    dtype = np.result_type(sources, targets)
    out = np.empty((len(targets), len(sources)), dtype=dtype)
    loop = _matrix_loop(*specialisation(kernel, sources.shape[1]))
    work = len(sources) * len(targets) * sources.shape[1]
    launch(loop, work, axes_first(sources, dtype), targets.astype(dtype, copy=False), constants(kernel, dtype),
         bool(exclude_self), out)  # fmt: skip
    return out


def pair_force(
    kernel: Kernel,
    sources: npt.ArrayLike,
    targets: npt.ArrayLike,
    source_strengths: npt.ArrayLike,
    target_strengths: npt.ArrayLike,
    *,
    exclude_self: bool = False,
    method: str = "auto",
    backend: str = "auto",
    accuracy: float | None = None,
) -> npt.NDArray:
    """Gradient of sum_ij target_strengths_i . source_strengths_j phi(sources_j, targets_i) in the targets' places.

    Strengths are (n,) and (m,), or (n, s) and (m, s). Returns (m, d). The gradient in the sources' places is the same
    function with the roles swapped. Where two neurons meet without softening the gradient is taken as 0.
    `method` ("auto", "direct" or "tree"), `backend` and `accuracy` as for `pair_sum`.

    Examples
    --------
    >>> from dynsim.kernels import Kernel
    >>> pair_force(Kernel("inverse"), [[0.0]], [[2.0]], [1.0], [1.0])
    array([[-0.25]])
    """
    sources, targets = _places(kernel, sources, targets, exclude_self)
    given = as_array(source_strengths, "source strengths")
    taken = as_array(target_strengths, "target strengths")
    if given.ndim not in (1, 2) or len(given) != len(sources) or taken.shape != (len(targets), *given.shape[1:]):
        expected = f"({len(sources)}, s) and ({len(targets)}, s), or both without s"
        raise refusal("strengths", f"shapes {given.shape} and {taken.shape}", expected)
    dtype = np.result_type(sources, targets, given, taken)
    if as_choice(method, METHODS, "method") == "sorted":
        raise refusal("method", "'sorted' for forces", "auto, direct or tree", "SortedProduct.forces sorts")
    accuracy = None if accuracy is None else expect_accuracy(accuracy)
    on_card = find_backend(backend, len(sources) * len(targets) * sources.shape[1]).name == "cupy"
    if takes_tree(kernel, sources.shape[1], method, accuracy, on_card):
        product = TreeProduct(kernel, sources, targets, accuracy=accuracy, exclude_self=exclude_self)
        return product.forces(given, taken)
    if on_card:
        flat = _columns(given), _columns(taken)
        return _cuda.pair_force(kernel, *_as(dtype, sources, targets, *flat), bool(exclude_self))
    columns = np.ascontiguousarray(_columns(given).T, dtype=dtype)
    rows = np.ascontiguousarray(_columns(taken), dtype=dtype)
    out = np.zeros((len(targets), sources.shape[1]), dtype=dtype)
    d = sources.shape[1]
    loop = _force_loop(*specialisation(kernel, d), len(columns) if 0 < len(columns) <= FEW else 0)
    work = len(sources) * len(targets) * (2 * sources.shape[1] + len(columns))
    launch(loop, work, axes_first(sources, dtype), targets.astype(dtype, copy=False), columns, rows,
         constants(kernel, dtype), bool(exclude_self), out)  # fmt: skip
    return out


def summing_backend(kernel: Kernel, n: int, m: int, d: int, *, method: str = "auto", backend: str = "auto") -> Backend:
    """Choose what computes a pair sum of n sources, m targets and d axes; arguments and errors as `pair_sum`.

    >>> summing_backend(Kernel("linear", "l1"), 10**6, 10**6, 3, backend="numba")
    Backend(name='numba', reason='asked for')
    """
    as_instance(kernel, Kernel, "kernel")
    n, m, d = as_count(n, "n", minimum=0), as_count(m, "m", minimum=0), as_count(d, "d")
    return find_backend(backend, d * (n + m if _sorts(kernel, method, n, m) else n * m))


def takes_tree(kernel, d, method, accuracy, on_card):
    """Whether sums in d dimensions are taken by a tree, and what is asked for can be done."""
    if method == "tree":
        if accuracy is None:
            raise refusal("accuracy", "none", "the relative error that is allowed, since trees are approximate")
        if on_card:
            raise refusal("method", "'tree' on a card", "the processor", "use backend='numba'")
        return True
    return accuracy is not None and method == "auto" and not on_card and has_tree(kernel, d)


def _columns(signals):
    """Signals as (n, s)."""
    return signals if signals.ndim == 2 else signals[:, None]


def _as(dtype, *arrays):
    return [np.ascontiguousarray(array, dtype=dtype) for array in arrays]


def _part(part, m):
    """The first target whose sum is asked for, and the one after the last."""
    if part is None:
        return 0, m
    if not (isinstance(part, tuple | list) and len(part) == 2):
        raise refusal("part", describe(part), "two whole numbers, begin and end", error=TypeError)
    begin, end = (as_count(place, "part", minimum=0) for place in part)
    if not (begin <= end <= m and (begin % SIDE_BY_SIDE == 0 or begin == m)):
        expected = f"begin <= end <= {m}, with begin a multiple of {SIDE_BY_SIDE} or {m}"
        raise refusal("part", f"({begin}, {end})", expected)
    return begin, end


def _sorts(kernel, method, n, m):
    as_choice(method, METHODS, "method")
    able = kernel.profile == "linear" and kernel.metric == "l1" and not kernel.softening
    if method == "sorted" and not able:
        raise refusal("method", f"'sorted' for {kernel}", "the linear kernel of l1 distances without softening")
    return able and (method == "sorted" or (method == "auto" and n * m > PAIRS_PER_NEURON * (n + m)))


def axes_first(places, dtype):
    """Return places (..., n, d) as a contiguous (..., d, n) array: neighbours in memory are neighbours in a vector."""
    return np.ascontiguousarray(np.swapaxes(places, -1, -2), dtype=dtype)


def _places(kernel, sources, targets, exclude_self):
    as_instance(kernel, Kernel, "kernel")
    exclude_self = as_flag(exclude_self, "exclude_self")
    sources = as_array(sources, "sources", ("n", "d"))
    targets = as_array(targets, "targets", ("m", "d"))
    if sources.shape[1] != targets.shape[1] or not sources.shape[1]:
        expected = f"the sources' dimension, (m, {sources.shape[1]}), at least 1"
        raise refusal("targets", f"shape {targets.shape}", expected)
    if exclude_self and len(sources) != len(targets):
        raise refusal("exclude_self", f"{len(targets)} targets and {len(sources)} sources", "the same neurons")
    return sources, targets


@cache
def _sum_loop(expression, metric, soft, d, columns):
    if not (d and columns):
        return _buffered_sum_loop(expression, metric, soft, d)
    text, together = sums_text(expression, metric, soft, d, columns), targets_together(columns, d)

    @njit(cache=True, fastmath=MATH, error_model="numpy", parallel=True, nogil=True)
    def loop(sources, targets, strengths, numbers, exclude_self, begin, out):
        n, m = sources.shape[1], out.shape[0]
        rows = max(4, min(ROWS, m // TASKS // 4 * 4))
        for chunk in prange((m + rows - 1) // rows):
            sums = np.zeros((rows, columns))
            row, upper = begin + chunk * rows, begin + min(m, (chunk + 1) * rows)
            for start in range(0, n, LONG_BLOCK):
                stop = min(n, start + LONG_BLOCK)
                for first in range(row, upper, together):
                    upto, some = min(upper, first + together), sums[first - row : first - row + together]
                    add_others(text, expression, metric, soft, targets, first, upto, together, sources, strengths,
                               start, stop, exclude_self, numbers, some)  # fmt: skip
            for i in range(row, upper):
                for column in range(columns):
                    out[i - begin, column] = sums[i - row, column]

    return loop


def _buffered_sum_loop(expression, metric, soft, d):
    """For many signals, or any dimension: the values of a block stand in memory."""
    text = values_text(expression, metric, soft, d)

    @njit(cache=True, fastmath=MATH, error_model="numpy", parallel=True, nogil=True)
    def loop(sources, targets, strengths, numbers, exclude_self, begin, out):
        n, m = sources.shape[1], out.shape[0]
        for chunk in prange((m + ROWS - 1) // ROWS):
            values = np.empty(BLOCK, sources.dtype)
            sums = np.empty(strengths.shape[0], np.float64)
            for i in range(begin + chunk * ROWS, begin + min(m, (chunk + 1) * ROWS)):
                sums[:] = 0.0
                for start in range(0, n, BLOCK):
                    stop = min(n, start + BLOCK)
                    write_values(text, targets[i], sources, start, stop, numbers[ONE_PLACE], numbers, values)
                    if exclude_self and start <= i < stop:
                        values[i - start] = numbers[ZERO_PLACE]
                    for column in range(strengths.shape[0]):
                        sums[column] += lane_dot(values, strengths[column, start:stop], stop - start)
                for column in range(strengths.shape[0]):
                    out[i - begin, column] = sums[column]

    return loop


@cache
def _matrix_loop(expression, metric, soft, d):
    text = values_text(expression, metric, soft, d)

    @njit(cache=True, fastmath=MATH, error_model="numpy", parallel=True, nogil=True)
    def loop(sources, targets, numbers, exclude_self, out):
        for i in prange(targets.shape[0]):
            write_values(text, targets[i], sources, 0, sources.shape[1], numbers[ONE_PLACE], numbers, out[i])
            if exclude_self:
                out[i, i] = numbers[ZERO_PLACE]

    return loop


@cache
def _force_loop(expression, metric, soft, d, columns):
    if not (d and columns):
        return _buffered_force_loop(expression, metric, soft)
    text, together = forces_text(expression, metric, soft, d, columns), targets_together(d, d)

    @njit(cache=True, fastmath=MATH, error_model="numpy", parallel=True, nogil=True)
    def loop(sources, targets, given, taken, numbers, exclude_self, out):
        n, m = sources.shape[1], targets.shape[0]
        rows = max(4, min(ROWS, m // TASKS // 4 * 4))
        for chunk in prange((m + rows - 1) // rows):
            forces = np.zeros((rows, d))
            row = chunk * rows
            for start in range(0, n, LONG_BLOCK):
                stop = min(n, start + LONG_BLOCK)
                for first in range(row, min(m, row + rows), together):
                    upto, some = min(m, first + together), forces[first - row : first - row + together]
                    pull_others(text, expression, metric, soft, targets, first, upto, together, sources, given,
                                start, stop, taken, exclude_self, numbers, some)  # fmt: skip
            for i in range(row, min(m, row + rows)):
                for k in range(d):
                    out[i, k] = forces[i - row, k]

    return loop


def _buffered_force_loop(expression, metric, soft):
    """For many signals, or any dimension."""

    @njit(cache=True, fastmath=MATH, error_model="numpy", parallel=True, nogil=True)
    def loop(sources, targets, given, taken, numbers, exclude_self, out):
        n, m = sources.shape[1], targets.shape[0]
        for chunk in prange((m + ROWS - 1) // ROWS):
            values = np.empty(BLOCK, sources.dtype)
            force = np.empty(targets.shape[1], np.float64)
            for i in range(chunk * ROWS, min(m, (chunk + 1) * ROWS)):
                force[:] = 0.0
                for start in range(0, n, BLOCK):
                    stop = min(n, start + BLOCK)
                    squared_distances(targets[i], sources, start, stop, metric, numbers, values)
                    for j in range(stop - start):
                        signal = numbers[ZERO_PLACE]
                        for column in range(given.shape[0]):
                            signal += given[column, start + j] * taken[i, column]
                        rho2 = values[j]
                        weight = slope(rho2, expression, soft, numbers) * signal
                        if metric == L1:
                            weight = weight * math.sqrt(rho2)
                        values[j] = weight
                    if exclude_self and start <= i < stop:
                        values[i - start] = numbers[ZERO_PLACE]
                    add_force(targets[i], sources, start, stop, metric, values, force)
                out[i, :] = force

    return loop
