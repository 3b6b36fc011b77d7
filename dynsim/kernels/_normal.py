"""What least squares needs of a relation: its derivative along a direction, and each neuron's normal matrix.

With `relation_forces` (the transposed derivative) these are all that Gauss-Newton methods ask for.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numba import njit, prange

from dynsim._check import as_array

from ._block import L1, MATH, along_direction, constants, phi, slope, specialisation, squared_distances
from ._direct import axes_first
from ._relation import _subsystems
from ._threads import launch


def relation_tangent(kernel, sources, targets, strengths, dsources, dtargets, dstrengths):
    """Derivative of `relation` along a direction: how the weights (T, S, n, m) change with places and lambdas.

    Parameters as `relation`; the direction's three arrays have the shapes of the three that it moves.

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


def relation_normal(kernel, sources, targets, strengths):
    """Normal matrix of every target neuron: J^T J with J = dW / d(its H places), the sources held.

    Parameters as `relation`. Swap sources and targets (and the first two axes of the strengths) for the sources'.

    Returns
    -------
    numpy.ndarray, (T, n, H d, H d)
        J has a row for each of the S m weights of the neuron.

    Raises
    ------
    ValueError, TypeError
        If shapes do not fit or a number is not finite.

    Examples
    --------
    >>> from dynsim.kernels import Kernel
    >>> relation_normal(Kernel("linear"), [[[[0.0], [1.0]]]], [[[[3.0]]]], [[[2.0]]])
    array([[[[8.]]]])
    """
    sources, targets, strengths = _subsystems(kernel, sources, targets, strengths)
    dtype = strengths.dtype
    sets, copies, m, d = sources.shape
    unknowns = copies * d
    normal = np.empty((len(targets), targets.shape[2], unknowns, unknowns), dtype)
    loop = _normal_loop(*specialisation(kernel, 0))
    work = normal.size * sets * m // 2
    launch(loop, work, axes_first(sources, dtype), targets, strengths, constants(kernel, dtype), normal)
    return normal


@cache
def _tangent_loop(profile, metric, soft, d):
    @njit(cache=True, fastmath=MATH, parallel=True, nogil=True)
    def loop(sources, dsources, targets, dtargets, strengths, dstrengths, numbers, change):
        sets, copies, _, m = sources.shape
        n = targets.shape[2]
        for row in prange(targets.shape[0] * n):
            t, o = row // n, row % n
            values, along = np.empty(m, sources.dtype), np.empty(m, sources.dtype)
            for s in range(sets):
                out = change[t, s, o]
                out[:] = numbers[3]
                for h in range(copies):
                    squared_distances(targets[t, h, o], sources[s, h], 0, m, metric, d, numbers, values)
                    along_direction(targets[t, h, o], dtargets[t, h, o], sources[s, h], dsources[s, h], metric, numbers,
                                  along)  # fmt: skip
                    strength, dstrength = strengths[t, s, h], dstrengths[t, s, h]
                    for j in range(m):
                        weight = strength * slope(values[j], profile, soft, numbers) * along[j]
                        if metric == L1:
                            weight = weight * math.sqrt(values[j])
                        out[j] += weight + dstrength * phi(values[j], profile, soft, numbers)

    return loop


@cache
def _normal_loop(profile, metric, soft, d):
    @njit(cache=True, fastmath=MATH, parallel=True, nogil=True)
    def loop(sources, targets, strengths, numbers, normal):
        sets, copies, axes, m = sources.shape
        n = targets.shape[2]
        for row in prange(targets.shape[0] * n):
            t, o = row // n, row % n
            values = np.empty(m, sources.dtype)
            jacobian = np.empty((copies * axes, sets * m), sources.dtype)
            for h in range(copies):
                for s in range(sets):
                    squared_distances(targets[t, h, o], sources[s, h], 0, m, metric, d, numbers, values)
                    for j in range(m):
                        weight = strengths[t, s, h] * slope(values[j], profile, soft, numbers)
                        if metric == L1:
                            weight = weight * math.sqrt(values[j])
                        values[j] = weight
                    for k in range(axes):
                        place, line = targets[t, h, o, k], jacobian[h * axes + k]
                        for j in range(m):
                            difference = place - sources[s, h, k, j]
                            if metric == L1:
                                difference = np.sign(difference)
                            line[s * m + j] = values[j] * difference
            for a in range(copies * axes):
                for b in range(a + 1):
                    total = numbers[3]
                    for j in range(sets * m):
                        total += jacobian[a, j] * jacobian[b, j]
                    normal[t, o, a, b] = total
                    normal[t, o, b, a] = total

    return loop
