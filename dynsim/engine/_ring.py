"""The delay memory's arithmetic on arrays, compiled: where a delayed time lies and what was there.

`origin` is (t0, eps); `phases` (m,) are the m cuts of one delay; segment number k lies in slot k mod capacity of the
ring, and `firsts` (m + 2,) holds the number of the first segment of each kept interval and, last, of the next segment.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def cut_time(n, origin, phases):
    """Time at which interval n begins."""
    k = n // len(phases)
    return origin[0] + k * origin[1] + phases[n - k * len(phases)]


@njit(cache=True, nogil=True)
def past_time(t, interval, origin, phases):
    """The time t - eps, kept within its interval, and that interval's end."""
    n = interval - len(phases)
    left, right = cut_time(n, origin, phases), cut_time(n + 1, origin, phases)
    return min(max(left + (t - cut_time(interval, origin, phases)), left), right), right


@njit(cache=True, nogil=True)
def lagrange(at, x, barycentric):
    """Weights of the values at nodes x in the polynomial's value at one place."""
    weights = np.zeros(len(x))
    for k in range(len(x)):
        if at == x[k]:
            weights[k] = 1.0
            return weights
    total = 0.0
    for k in range(len(x)):
        weights[k] = barycentric[k] / (at - x[k])
        total += weights[k]
    for k in range(len(x)):
        weights[k] /= total
    return weights


@njit(cache=True, nogil=True)
def look_up(past, times, ring_q, ring_E, firsts, x, barycentric, q, E):
    """Fill q (P,) and E (Q,) with the memory's at a time in the oldest kept interval."""
    low, high, capacity = firsts[0], firsts[1], len(times)
    while high - low > 1:
        middle = (low + high) // 2
        if times[middle % capacity, 0] <= past:
            low = middle
        else:
            high = middle
    slot = low % capacity
    theta = min(max((past - times[slot, 0]) / times[slot, 1], 0.0), 1.0)
    weights = lagrange(theta, x, barycentric)
    for j in range(len(q)):
        q[j] = 0.0
    for j in range(len(E)):
        E[j] = 0.0
    for k in range(len(x)):
        if weights[k] != 0.0:
            for j in range(len(q)):
                q[j] += weights[k] * ring_q[slot, k, j]
            for j in range(len(E)):
                E[j] += weights[k] * ring_E[slot, k, j]


@njit(cache=True, nogil=True)
def keep(t, step, q_nodes, E_nodes, times, ring_q, ring_E, firsts):
    """Store the step [t, t + step]; there must be room."""
    slot = firsts[-1] % len(times)
    times[slot, 0], times[slot, 1] = t, step
    for k in range(len(q_nodes)):
        for j in range(q_nodes.shape[1]):
            ring_q[slot, k, j] = q_nodes[k, j]
        for j in range(E_nodes.shape[1]):
            ring_E[slot, k, j] = E_nodes[k, j]
    firsts[-1] += 1


@njit(cache=True, nogil=True)
def turn(interval, firsts):
    """Begin the next interval; the oldest one is given up."""
    interval[0] += 1
    for k in range(len(firsts) - 2):
        firsts[k] = firsts[k + 1]
    firsts[-2] = firsts[-1]
