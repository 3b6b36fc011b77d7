"""The relation of two subsystems: all weights between them, and the forces that a gradient in the weights exerts.

A full layer is one relation; a k x k convolution is k target sets (kernel rows) related to k source sets (columns).
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numba import njit, prange

from ._block import L1, MATH, add_force, constants, phi, slope, specialisation, squared_distances
from ._check import as_array, as_instance
from ._direct import axes_first
from ._kernel import Kernel
from ._threads import launch


def relation(kernel, sources, targets, strengths):
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
    weights = np.empty((len(targets), len(sources), targets.shape[2], sources.shape[2]), dtype)
    loop = _relation_loop(*specialisation(kernel, sources.shape[3]))
    work = weights.size * sources.shape[1] * sources.shape[3]
    launch(loop, work, axes_first(sources, dtype), targets, strengths, constants(kernel, dtype), weights)
    return weights


def relation_forces(kernel, sources, targets, strengths, gradient):
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
    loop = _forces_loop(*specialisation(kernel, sources.shape[3]))
    numbers = constants(kernel, dtype)
    on_targets, products = np.zeros_like(targets), np.zeros((*targets.shape[:3], len(sources)), np.float64)
    work = 3 * gradient.size * sources.shape[1] * sources.shape[3]
    launch(loop, work, axes_first(sources, dtype), targets, strengths, gradient, numbers, on_targets, products)
    # phi is symmetric in its places: the sources' side is the same loop with the roles swapped.
    swapped = np.ascontiguousarray(gradient.transpose(1, 0, 3, 2))
    on_sources = np.zeros_like(sources)
    launch(loop, work, axes_first(targets, dtype), sources, np.ascontiguousarray(strengths.transpose(1, 0, 2)), swapped,
         numbers, on_sources, np.empty((*sources.shape[:3], len(targets)), np.float64))  # fmt: skip
    return on_sources, on_targets, products.sum(axis=2).transpose(0, 2, 1).astype(dtype)


def _subsystems(kernel, sources, targets, strengths):
    as_instance(kernel, Kernel, "kernel")
    sources = as_array(sources, "sources", ("S", "H", "m", "d"))
    targets = as_array(targets, "targets", ("T", sources.shape[1], "n", sources.shape[3]))
    strengths = as_array(strengths, "strengths", (len(targets), len(sources), sources.shape[1]))
    dtype = np.result_type(sources, targets, strengths)
    return tuple(array.astype(dtype, copy=False) for array in (sources, targets, strengths))


@cache
def _relation_loop(profile, metric, soft, d):
    @njit(cache=True, fastmath=MATH, parallel=True, nogil=True)
    def loop(sources, targets, strengths, numbers, weights):
        sets, copies, _, m = sources.shape
        n = targets.shape[2]
        for row in prange(targets.shape[0] * n):
            t, o = row // n, row % n
            values = np.empty(m, sources.dtype)
            for s in range(sets):
                out = weights[t, s, o]
                out[:] = numbers[3]
                for h in range(copies):
                    squared_distances(targets[t, h, o], sources[s, h], 0, m, metric, d, numbers, values)
                    strength = strengths[t, s, h]
                    for j in range(m):
                        out[j] += strength * phi(values[j], profile, soft, numbers)

    return loop


@cache
def _forces_loop(profile, metric, soft, d):
    @njit(cache=True, fastmath=MATH, parallel=True, nogil=True)
    def loop(sources, targets, strengths, gradient, numbers, forces, products):
        sets, _, _, m = sources.shape
        copies, n = targets.shape[1], targets.shape[2]
        for row in prange(targets.shape[0] * copies * n):
            t, rest = row // (copies * n), row % (copies * n)
            h, o = rest // n, rest % n
            values = np.empty(m, sources.dtype)
            target, force = targets[t, h, o], forces[t, h, o]
            for s in range(sets):
                signal = gradient[t, s, o]
                squared_distances(target, sources[s, h], 0, m, metric, d, numbers, values)
                strength = strengths[t, s, h]
                product = numbers[3]
                for j in range(m):
                    product += signal[j] * phi(values[j], profile, soft, numbers)
                products[t, h, o, s] = product
                for j in range(m):
                    weight = slope(values[j], profile, soft, numbers) * signal[j] * strength
                    if metric == L1:
                        weight = weight * math.sqrt(values[j])
                    values[j] = weight
                add_force(target, sources[s, h], 0, m, metric, d, values, force)

    return loop
