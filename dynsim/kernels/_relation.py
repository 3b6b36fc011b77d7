"""The relation of two subsystems: all weights between them and their derivatives in places and lambdas.

A full layer is one relation; a k x k convolution is k target sets (kernel rows) related to k source sets (columns).
Forces (the transposed derivative), tangents and normal matrices are what Gauss-Newton methods need.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import numpy.typing as npt
from numba import njit, prange

from dynsim._check import as_array, as_count, as_instance, refusal

from ._block import L1, along_direction, constants, phi, pull_both, slope, specialisation, squared_distances
from ._compilation import MATH, launch
from ._formula import ZERO_PLACE
from ._kernel import Kernel
from ._lanes import lane_dot
from ._pair_sums import axes_first
from ._written_loops import add_both_forces, both_forces_text, targets_together, values_text, write_values

ROWS = 16  # targets that share the sources in the cache
TILE = 1024  # sources whose places and forces stay in the second cache, 80 KiB in nine dimensions
TASKS = 16  # of the forces, at least: what can be shared among threads
LONGEST_SUM = 512  # targets whose pulls on a source are summed in the working precision


def relation(kernel: Kernel, sources: npt.ArrayLike, targets: npt.ArrayLike, strengths: npt.ArrayLike) -> npt.NDArray:
    """Weights between sets: W[t, s, o, i] = sum_h strengths[t, s, h] phi(sources[s, h, i], targets[t, h, o]).

    Parameters
    ----------
    kernel : Kernel
    sources : array_like, (S, H, m, d)
        S sets of m neurons with H copies each.
    targets : array_like, (T, H, n, d)
    strengths : array_like, (T, S, H)
        lambda.

    Returns
    -------
    numpy.ndarray, (T, S, n, m)

    Raises
    ------
    ValueError, TypeError
        If shapes do not fit or a number is not finite.

    Examples
    --------
    >>> from dynsim.kernels import Kernel
    >>> relation(Kernel("linear"), [[[[0.0], [3.0]]]], [[[[1.0]]]], [[[2.0]]])
    array([[[[2., 4.]]]])
    """
    sources, targets, strengths = _subsystems(kernel, sources, targets, strengths)
    dtype = strengths.dtype
    shape = len(targets), len(sources), targets.shape[2], sources.shape[2]
    weights = np.empty(shape, dtype) if sources.shape[1] else np.zeros(shape, dtype)
    loop = _relation_loop(*specialisation(kernel, sources.shape[3]))
    work = weights.size * sources.shape[1] * sources.shape[3]
    launch(loop, work, axes_first(sources, dtype), targets, strengths, constants(kernel, dtype), weights)
    return weights


def relation_forces(
    kernel: Kernel, sources: npt.ArrayLike, targets: npt.ArrayLike, strengths: npt.ArrayLike, gradient: npt.ArrayLike
) -> tuple[npt.NDArray, npt.NDArray, npt.NDArray]:
    """Turn dL/dW (T, S, n, m) into dL/dsources, dL/dtargets and dL/dstrengths (the force is minus the gradient).

    Parameters as `relation`. Where two neurons meet without softening the gradient is taken as 0.

    Examples
    --------
    >>> from dynsim.kernels import Kernel
    >>> relation_forces(Kernel("linear"), [[[[0.0]]]], [[[[3.0]]]], [[[2.0]]], [[[[1.0]]]])
    (array([[[[-2.]]]]), array([[[[2.]]]]), array([[[3.]]]))
    """
    sources, targets, strengths = _subsystems(kernel, sources, targets, strengths)
    dtype = strengths.dtype
    shape = (len(targets), len(sources), targets.shape[2], sources.shape[2])
    gradient = as_array(gradient, "gradient", shape, dtype=dtype, finite=False)
    return forces_of(kernel, sources, targets, strengths, gradient[:, :, None])


def forces_of(kernel, sources, targets, strengths, gradient):
    """`relation_forces` of checked arrays; dL/dW is (T, S, 1, n, m), or (T, S, H, n, m) if each copy has its own."""
    dtype = strengths.dtype
    loop = _forces_loop(*specialisation(kernel, sources.shape[3]))
    sets, copies, m, d = sources.shape
    # Targets are dealt out to a number of tasks that depends on shapes alone; each sums its own force on the sources.
    parts = min(targets.shape[2], max(-(-TASKS // max(copies, 1)), -(-targets.shape[2] // LONGEST_SUM)))
    on_sources = np.zeros((parts, sets, copies, d, m), dtype)
    on_targets, products = np.zeros_like(targets), np.zeros((*targets.shape[:3], sets), np.float64)
    work = 4 * strengths.size * targets.shape[2] * m * d
    launch(loop, work, axes_first(sources, dtype), targets, strengths, gradient, constants(kernel, dtype),
         on_sources, on_targets, products)  # fmt: skip
    on_sources = np.ascontiguousarray(np.swapaxes(on_sources.sum(axis=0), -1, -2))
    return on_sources, on_targets, products.sum(axis=2).transpose(0, 2, 1).astype(dtype)


def relation_tangent(
    kernel: Kernel,
    sources: npt.ArrayLike,
    targets: npt.ArrayLike,
    strengths: npt.ArrayLike,
    dsources: npt.ArrayLike,
    dtargets: npt.ArrayLike,
    dstrengths: npt.ArrayLike,
) -> npt.NDArray:
    """Derivative of `relation` along a direction: how the weights (T, S, n, m) change with places and lambdas.

    Parameters, result and errors as `relation`; the direction's arrays have the shapes of the three that it moves.

    Examples
    --------
    >>> from dynsim.kernels import Kernel
    >>> relation_tangent(Kernel("linear"), [[[[0.0]]]], [[[[3.0]]]], [[[2.0]]], [[[[1.0]]]], [[[[0.0]]]], [[[1.0]]])
    array([[[[1.]]]])
    """
    sources, targets, strengths = _subsystems(kernel, sources, targets, strengths)
    dtype = strengths.dtype
    dsources = as_array(dsources, "dsources", sources.shape, dtype=dtype)
    dtargets = as_array(dtargets, "dtargets", targets.shape, dtype=dtype)
    dstrengths = as_array(dstrengths, "dstrengths", strengths.shape, dtype=dtype)
    change = np.empty((len(targets), len(sources), targets.shape[2], sources.shape[2]), dtype)
    loop = _tangent_loop(*specialisation(kernel, 0))  # for any dimension: one compilation serves all fits
    work = 2 * change.size * sources.shape[1] * sources.shape[3]
    launch(loop, work, axes_first(sources, dtype), axes_first(dsources, dtype), targets, dtargets, strengths,
           dstrengths, constants(kernel, dtype), change)  # fmt: skip
    return change


def relation_normal(
    kernel: Kernel, sources: npt.ArrayLike, targets: npt.ArrayLike, strengths: npt.ArrayLike, groups: int = 1
) -> npt.NDArray:
    """Normal matrices of every target neuron: J^T J with J = dW / d(its places in some copies), the sources held.

    Parameters and errors as `relation`; returns (T, n, groups, g d, g d), where the H copies are in groups of g: J has
    a row for each of the neuron's S m weights. Swap sources and targets (and the first two axes of the strengths) for
    the sources'.

    Examples
    --------
    >>> from dynsim.kernels import Kernel
    >>> relation_normal(Kernel("linear"), [[[[0.0], [1.0]]]], [[[[3.0]]]], [[[2.0]]])
    array([[[[[8.]]]]])
    """
    sources, targets, strengths = _subsystems(kernel, sources, targets, strengths)
    dtype = strengths.dtype
    sets, copies, m, d = sources.shape
    if copies % as_count(groups, "groups"):
        raise refusal("groups", groups, f"a divisor of {copies}, the copies")
    unknowns = copies // groups * d
    normal = np.empty((len(targets), targets.shape[2], groups, unknowns, unknowns), dtype)
    loop = _normal_loop(*specialisation(kernel, 0))
    work = normal.size * sets * m // 2
    launch(loop, work, axes_first(sources, dtype), targets, strengths, constants(kernel, dtype), normal)
    return normal


def _subsystems(kernel, sources, targets, strengths):
    as_instance(kernel, Kernel, "kernel")
    sources = as_array(sources, "sources", ("S", "H", "m", "d"))
    targets = as_array(targets, "targets", ("T", sources.shape[1], "n", sources.shape[3]))
    strengths = as_array(strengths, "strengths", (len(targets), len(sources), sources.shape[1]))
    dtype = np.result_type(sources, targets, strengths)
    return tuple(array.astype(dtype, copy=False) for array in (sources, targets, strengths))


@cache
def _relation_loop(expression, metric, soft, d):
    first_text, text = (values_text(expression, metric, soft, d, assign) for assign in ("=", "+="))

    @njit(cache=True, fastmath=MATH, error_model="numpy", parallel=True, nogil=True)
    def loop(sources, targets, strengths, numbers, weights):
        sets, copies, _, m = sources.shape
        n = targets.shape[2]
        blocks = (n + ROWS - 1) // ROWS
        for block in prange(targets.shape[0] * blocks):
            t, first = block // blocks, block % blocks * ROWS
            last = min(n, first + ROWS)
            for s in range(sets):
                for h in range(copies):  # the copy's sources stay in the cache for all targets of the block
                    strength = strengths[t, s, h]
                    for o in range(first, last):
                        target, out = targets[t, h, o], weights[t, s, o]
                        if h == 0:
                            write_values(first_text, target, sources[s, h], 0, m, strength, numbers, out)
                        else:
                            write_values(text, target, sources[s, h], 0, m, strength, numbers, out)

    return loop


@cache
def _forces_loop(expression, metric, soft, d):
    if not d:
        return _buffered_forces_loop(expression, metric, soft)
    together = min(2, targets_together(d + 1, d))
    text, text_of_one = (both_forces_text(expression, metric, soft, d, count) for count in (together, 1))

    @njit(cache=True, fastmath=MATH, error_model="numpy", parallel=True, nogil=True)
    def loop(sources, targets, strengths, gradient, numbers, on_sources, on_targets, products):
        sets, copies, _, m = sources.shape
        n, parts = targets.shape[2], on_sources.shape[0]
        for task in prange(parts * copies):
            part, h = task % parts, task // parts
            for s in range(sets):
                for start in range(0, m, TILE):  # this many sources stay in the cache for all targets
                    stop = min(m, start + TILE)
                    for t in range(targets.shape[0]):
                        strength, back = strengths[t, s, h], on_sources[part, s, h]
                        signals = gradient[t, s, min(h, gradient.shape[2] - 1)]
                        o = part
                        while o + (together - 1) * parts < n:
                            add_both_forces(
                                text, targets[t, h], o, parts, sources[s, h], start, stop, strength, signals,
                                numbers, on_targets[t, h], back, products[t, h, :, s],
                            )  # fmt: skip
                            o += together * parts
                        while o < n:
                            add_both_forces(
                                text_of_one, targets[t, h], o, parts, sources[s, h], start, stop, strength,
                                signals, numbers, on_targets[t, h], back, products[t, h, :, s],
                            )  # fmt: skip
                            o += parts

    return loop


def _buffered_forces_loop(expression, metric, soft):
    """For any dimension: the values of a tile stand in memory."""

    @njit(cache=True, fastmath=MATH, error_model="numpy", parallel=True, nogil=True)
    def loop(sources, targets, strengths, gradient, numbers, on_sources, on_targets, products):
        sets, copies, _, m = sources.shape
        n, parts = targets.shape[2], on_sources.shape[0]
        for task in prange(parts * copies):
            part, h = task % parts, task // parts
            values, effects = np.empty(TILE, sources.dtype), np.empty(TILE, sources.dtype)
            for s in range(sets):
                for start in range(0, m, TILE):
                    stop = min(m, start + TILE)
                    for t in range(targets.shape[0]):
                        strength, signals = strengths[t, s, h], gradient[t, s, min(h, gradient.shape[2] - 1)]
                        for o in range(part, n, parts):
                            target, signal = targets[t, h, o], signals[o, start:stop]
                            squared_distances(target, sources[s, h], start, stop, metric, numbers, values)
                            for j in range(stop - start):
                                effects[j] = phi(values[j], expression, soft, numbers)
                                weight = slope(values[j], expression, soft, numbers) * signal[j] * strength
                                if metric == L1:
                                    weight = weight * math.sqrt(values[j])
                                values[j] = weight
                            products[t, h, o, s] += lane_dot(effects, signal, stop - start)
                            pull_both(
                                target, sources[s, h], start, stop, metric, values, on_targets[t, h, o],
                                on_sources[part, s, h],
                            )  # fmt: skip

    return loop


@cache
def _tangent_loop(expression, metric, soft, d):
    @njit(cache=True, fastmath=MATH, error_model="numpy", parallel=True, nogil=True)
    def loop(sources, dsources, targets, dtargets, strengths, dstrengths, numbers, change):
        sets, copies, _, m = sources.shape
        n = targets.shape[2]
        for row in prange(targets.shape[0] * n):
            t, o = row // n, row % n
            values, along = np.empty(m, sources.dtype), np.empty(m, sources.dtype)
            for s in range(sets):
                out = change[t, s, o]
                out[:] = numbers[ZERO_PLACE]
                for h in range(copies):
                    squared_distances(targets[t, h, o], sources[s, h], 0, m, metric, numbers, values)
                    along_direction(targets[t, h, o], dtargets[t, h, o], sources[s, h], dsources[s, h], metric, numbers,
                                  along)  # fmt: skip
                    strength, dstrength = strengths[t, s, h], dstrengths[t, s, h]
                    for j in range(m):
                        weight = strength * slope(values[j], expression, soft, numbers) * along[j]
                        if metric == L1:
                            weight = weight * math.sqrt(values[j])
                        out[j] += weight + dstrength * phi(values[j], expression, soft, numbers)

    return loop


@cache
def _normal_loop(expression, metric, soft, d):
    @njit(cache=True, fastmath=MATH, error_model="numpy", parallel=True, nogil=True)
    def loop(sources, targets, strengths, numbers, normal):
        sets, _, axes, m = sources.shape
        n, groups, size = targets.shape[2], normal.shape[2], normal.shape[3]
        each = size // axes
        for task in prange(targets.shape[0] * n * groups):
            t, o, group = task // groups // n, task // groups % n, task % groups
            values = np.empty(m, sources.dtype)
            jacobian = np.empty((size, sets * m), sources.dtype)
            for h in range(group * each, (group + 1) * each):
                for s in range(sets):
                    squared_distances(targets[t, h, o], sources[s, h], 0, m, metric, numbers, values)
                    for j in range(m):
                        weight = strengths[t, s, h] * slope(values[j], expression, soft, numbers)
                        if metric == L1:
                            weight = weight * math.sqrt(values[j])
                        values[j] = weight
                    for k in range(axes):
                        place, line = targets[t, h, o, k], jacobian[(h - group * each) * axes + k]
                        for j in range(m):
                            difference = place - sources[s, h, k, j]
                            if metric == L1:
                                difference = np.sign(difference)
                            line[s * m + j] = values[j] * difference
            block = normal[t, o, group]
            for a in range(size):
                for b in range(a + 1):
                    total = lane_dot(jacobian[a], jacobian[b], sets * m)
                    block[a, b] = total
                    block[b, a] = total

    return loop
