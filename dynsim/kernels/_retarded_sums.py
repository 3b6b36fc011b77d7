"""Sums over pairs whose signals take the time r / v: every source is seen where and as it was when it sent them.

The retarded time s of source j and target i at t is that at which what arrives was sent, g(s) = 0 with
g(s) = t - eps - s - |q_i(t) - q_j(s)| / v, where |.| is the metric of the kernel, without its softening. g falls
strictly with s as long as the source is slower than v. Places and signals of the past are polynomials on segments.
Every target's sum belongs to one thread, which adds in the order of copies and sources.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numba import njit, prange

from ._block import L2, fill_row

SEEN = 0
WITHIN_STEP = 1
TOO_FAR_BACK = 2
MOST_TRIALS = 64  # of Newton's method or halving, for one retarded time


@njit(cache=True, nogil=True, error_model="numpy")
def _distance(target, place, metric):
    total = 0.0
    for k in range(len(target)):
        difference = target[k] - place[k]
        total += difference * difference if metric == L2 else abs(difference)
    return math.sqrt(total) if metric == L2 else total


@njit(cache=True, nogil=True, error_model="numpy")
def _polynomial(values, first, powers, out):
    """out (n, d) = coefficients of the polynomials through values[:, first:first + d] at the nodes, in 2 theta - 1."""
    for m in range(out.shape[0]):
        for k in range(out.shape[1]):
            total = 0.0
            for n in range(out.shape[0]):
                total += powers[m, n] * values[n, first + k]
            out[m, k] = total


@njit(cache=True, nogil=True, error_model="numpy")
def _place_at(coefficients, u, place, slope):
    """The place at u = 2 theta - 1, and its derivative by u."""
    for k in range(len(place)):
        value, derivative = 0.0, 0.0
        for m in range(coefficients.shape[0] - 1, -1, -1):
            derivative = derivative * u + value
            value = value * u + coefficients[m, k]
        place[k], slope[k] = value, derivative


@njit(cache=True, nogil=True, error_model="numpy")
def _retarded(t, target, speed, metric, begin, length, coefficients, place, slope):
    """u = 2 theta - 1 of the retarded time in a segment that holds it: Newton's method, kept between the sides of it.

    `place` is then that of the source.
    """
    low, high, u = -1.0, 1.0, 0.0
    for _ in range(MOST_TRIALS):
        _place_at(coefficients, u, place, slope)
        r = _distance(target, place, metric)
        approach = 0.0  # d r / du
        for k in range(len(target)):
            away = place[k] - target[k]
            if metric == L2:
                approach += away * slope[k] / r if r > 0.0 else 0.0
            else:
                approach += slope[k] if away > 0.0 else -slope[k]
        g = t - (begin + (0.5 + 0.5 * u) * length) - r / speed
        if g > 0.0:
            low = u
        elif g < 0.0:
            high = u
        else:
            break
        new = u + g / (0.5 * length + approach / speed)
        if not low < new < high:
            new = 0.5 * (low + high)
        moved, u = abs(new - u), new
        if moved <= 1e-15 or high - low <= 1e-15:
            break
    _place_at(coefficients, u, place, slope)
    return u


@cache
def retarded_sums(expressions):
    """Return loop(...) that fills R (N, s) with the sums of (1') at finite speed, for expressions of kernels.

    It is called with t - eps and v; q (H, N, d) at t; `times` (capacity, 2), places (capacity, nodes, H N d) and
    signals (capacity, nodes, N s) of the segments first to before last, number k in slot k mod capacity, and the
    inverse of the matrix of powers of 2 theta - 1 at the nodes; the start of the run, places and signals before it,
    and whether they hold before the first segment; groups, strengths (H, G, G), number, metric and numbers of the
    kernel. For every target it leaves in `latest` and `earliest` the extremes of the retarded times, in `other` (N,
    2) the sources of these, and in `codes` whether all were seen.

    >>> from dynsim.kernels import Kernel, row_specialisation
    >>> callable(retarded_sums(row_specialisation(Kernel())[0]))
    True
    """

    @njit(cache=True, error_model="numpy", parallel=True, nogil=True)
    def loop(t, speed, q, times, ring_q, ring_E, first, last, powers, start, rest_q, rest_E, rests,
             groups, strengths, number, metric, numbers, R, latest, earliest, other, codes):  # fmt: skip
        H, N, d = q.shape
        nodes, s, capacity = len(powers), R.shape[1], len(times)
        for i in prange(N):
            axes, row, sent = np.zeros((d, N)), np.zeros(N), np.zeros((N, s))
            place, slope, coefficients = np.zeros(d), np.zeros(d), np.zeros((nodes, d))
            latest[i], earliest[i], codes[i] = -math.inf, math.inf, SEEN
            for k in range(s):
                R[i, k] = 0.0
            for h in range(H):
                target = q[h, i]
                for j in range(N):
                    # Without effect: any place away from the target will do, as phi may be infinite there.
                    for k in range(d):
                        axes[k, j] = target[k] + 1.0
                    if j == i or strengths[h, groups[j], groups[i]] == 0.0:
                        continue
                    begin = (h * N + j) * d
                    low, high = first, last
                    while high - low >= 1:  # segments before `low` begin before the retarded time, from `high` on after
                        middle = (low + high) // 2
                        for k in range(d):
                            place[k] = ring_q[middle % capacity, 0, begin + k]
                        if t - times[middle % capacity, 0] - _distance(target, place, metric) / speed >= 0.0:
                            low = middle + 1
                        else:
                            high = middle
                    if low == first:
                        for k in range(d):
                            place[k] = rest_q[h, j, k]
                        at = t - _distance(target, place, metric) / speed
                        for k in range(s):
                            sent[j, k] = rest_E[j, k]
                        if not rests:
                            codes[i], other[i, 0] = TOO_FAR_BACK, j
                        elif at > start:
                            codes[i], other[i, 0] = WITHIN_STEP, j
                    else:
                        slot = (low - 1) % capacity
                        since, length = times[slot, 0], times[slot, 1]
                        if low == last:
                            for k in range(d):
                                place[k] = ring_q[slot, nodes - 1, begin + k]
                            if t - (since + length) - _distance(target, place, metric) / speed > 0.0:
                                codes[i], other[i, 0] = WITHIN_STEP, j
                        _polynomial(ring_q[slot], begin, powers, coefficients)
                        u = _retarded(t, target, speed, metric, since, length, coefficients, place, slope)
                        at = since + (0.5 + 0.5 * u) * length
                        for k in range(s):
                            sent[j, k] = 0.0
                        for n in range(nodes):
                            weight = 0.0
                            for m in range(nodes - 1, -1, -1):
                                weight = weight * u + powers[m, n]
                            for k in range(s):
                                sent[j, k] += weight * ring_E[slot, n, j * s + k]
                    for k in range(d):
                        axes[k, j] = place[k]
                    if at > latest[i]:
                        latest[i], other[i, 1] = at, j
                    earliest[i] = min(earliest[i], at)
                fill_row(target, axes, expressions, number, metric, numbers, row)
                for j in range(N):
                    strength = strengths[h, groups[j], groups[i]]
                    if j != i and strength != 0.0:
                        for k in range(s):
                            R[i, k] += strength * row[j] * sent[j, k]

    return loop
