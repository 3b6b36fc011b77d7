"""The few points that stand for each cluster of a tree: interpolation by Lagrange polynomials.

Seen from far away the effect of a cluster's sources is a smooth function of their places, so they act as Chebyshev
points of its box would, with strengths that follow from barycentric Lagrange interpolation (Wang, Tlupova & Krasny,
2020). By the same polynomials the effect of distant sources on the points of a cluster of targets gives that on its
targets (Wilson, Vaughn & Krasny, 2021).
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit, prange

from ._compilation import launch


class Points(NamedTuple):
    """Those of node i are starts[i] to starts[i + 1] of places (d, points): counts[i, k] of them along axis k.

    `x` and `w` are, in row n, n Chebyshev points and their barycentric weights.
    """

    starts: npt.NDArray
    counts: npt.NDArray
    places: npt.NDArray
    x: npt.NDArray
    w: npt.NDArray

    @property
    def sizes(self):
        """How many points each node has."""
        return np.diff(self.starts)


def chebyshev(count):
    """Chebyshev points of the second kind in [-1, 1], and their barycentric weights; one point is in the middle."""
    if count == 1:
        return np.zeros(1), np.ones(1)
    weights = np.where(np.arange(count) % 2, -1.0, 1.0)
    weights[[0, -1]] *= 0.5
    return np.cos(np.pi * np.arange(count) / (count - 1)), weights


def points_of(tree, degree, opening):
    """Points for every node that has more places than these would be, and whose parent has some.

    The error of interpolation along a side 2h falls with the degree as rho^-degree, if what acts is a distance D from
    the middle and rho is about 2 D / h (its Bernstein ellipse); D is above the radius r / opening. So shorter sides
    need lower degrees for the same error: `degree` is that of the longest, and a side without length needs one point.
    """
    with np.errstate(all="ignore"):  # where all places are one, or as far apart as numbers can be, one point remains
        sides = tree.high - tree.low
        sides = np.nan_to_num(sides / sides.max(axis=1, keepdims=True), posinf=0.0)
        rate = np.log(2 * np.linalg.norm(sides, axis=1, keepdims=True) / opening)
        degrees = np.where(sides > 0, np.ceil(degree * rate / (rate - np.log(sides)) - 0.5), 0)
    counts = degrees.astype(np.int64) + 1
    sizes = counts.prod(axis=1)
    some = sizes < tree.end - tree.begin
    for first, last in list(pairwise(tree.levels))[1:]:
        some[first:last] &= np.repeat(some[(first - 1) // 2 : (last - 1) // 2], 2)
    starts = np.concatenate([[0], np.cumsum(np.where(some, sizes, 0))])
    x, w = np.zeros((degree + 2, degree + 1)), np.zeros((degree + 2, degree + 1))
    for count in range(1, degree + 2):
        x[count, :count], w[count, :count] = chebyshev(count)
    places = np.empty((tree.low.shape[1], starts[-1]))
    launch(_place, places.size, tree.low, tree.high, starts, counts, x, places)
    return Points(starts, counts, places, x, w)


@njit(cache=True, parallel=True, nogil=True)
def _place(low, high, starts, counts, x, places):
    for node in prange(len(counts)):
        each = starts[node + 1] - starts[node]
        for k in range(len(places)):
            middle, half = 0.5 * (low[node, k] + high[node, k]), 0.5 * (high[node, k] - low[node, k])
            count = counts[node, k]
            each //= count  # points that follow each other with the same place along this axis
            for i in range(starts[node + 1] - starts[node]):
                places[k, starts[node] + i] = middle + half * x[count, i // each % count]


def moments(tree, points, sources, strengths):
    """Strengths of all points (c, points), from sources (d, n) and strengths (c, n) in tree order: (13)."""
    found = np.zeros((len(strengths), points.places.shape[1]))
    for first, last in list(pairwise(tree.levels))[::-1]:
        size = points.starts[last] - points.starts[first]
        if size:
            work = size * size // (last - first)
            launch(_moments_of_level, work, tree, points, sources, strengths, first, last, found)
    return found


@njit(cache=True, parallel=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _moments_of_level(tree, points, sources, strengths, first, last, found):
    starts = points.starts
    for node in prange(first, last):
        if starts[node + 1] > starts[node]:
            left, into = tree.child[node], found[:, starts[node] : starts[node + 1]]
            if left == 0:
                _add_moments(tree, points, node, sources, strengths, tree.begin[node], tree.end[node], into)
            else:
                # A polynomial of this degree is what its values at the children's points say: nothing is lost.
                for child in range(left, left + 2):
                    if starts[child + 1] > starts[child]:
                        _add_moments(tree, points, node, points.places, found, starts[child], starts[child + 1], into)
                    else:
                        _add_moments(tree, points, node, sources, strengths, tree.begin[child], tree.end[child], into)


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _add_moments(tree, points, node, places, strengths, start, stop, into):
    """into[c, k] += sum_j strengths[c, j] L_k(places_j), L_k the polynomial that is 1 at point k and 0 at others."""
    basis, count = _basis_of(points, node)
    n = count[2]
    for j in range(start, stop):
        _fill(tree, points, node, places, j, basis, count)
        for column in range(strengths.shape[0]):
            strength, place = strengths[column, j], 0
            for a in range(count[0]):
                first = strength * basis[0, a]
                for b in range(count[1]):
                    second = first * basis[1, b]
                    line = into[column, place : place + n]
                    for c in range(n):
                        line[c] += second * basis[2, c]
                    place += n


def interpolate_down(tree, points, field, targets, wanted, out):
    """Add to `out` (m, c), of targets (d, m) in tree order, what `field` (points, c) gives between the points: (14).

    From the root on, each node's points give their values to those of its children, which lie in its box, or to its
    targets. Only nodes that are `wanted` are worked on; `field` is changed.
    """
    for first, last in pairwise(tree.levels):
        size = points.starts[last] - points.starts[first]
        if size:
            work = size * size // (last - first)
            launch(_interpolate_level, work, tree, points, field, targets, wanted, first, last, out)


@njit(cache=True, parallel=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _interpolate_level(tree, points, field, targets, wanted, first, last, out):
    starts = points.starts
    for node in prange(first, last):
        if wanted[node] and starts[node + 1] > starts[node]:
            left, values = tree.child[node], field[starts[node] : starts[node + 1]].T.copy()
            if left == 0:
                _add_values(tree, points, node, values, targets, tree.begin[node], tree.end[node], out)
            else:
                for child in range(left, left + 2):
                    if starts[child + 1] > starts[child]:
                        _add_values(tree, points, node, values, points.places, starts[child], starts[child + 1], field)
                    else:
                        _add_values(tree, points, node, values, targets, tree.begin[child], tree.end[child], out)


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _add_values(tree, points, node, values, places, start, stop, into):
    """into[j, c] += sum_k L_k(places_j) values[c, k], the transpose of `_add_moments`."""
    basis, count = _basis_of(points, node)
    n = count[2]
    for j in range(start, stop):
        _fill(tree, points, node, places, j, basis, count)
        for column in range(values.shape[0]):
            total, place = 0.0, 0
            for a in range(count[0]):
                for b in range(count[1]):
                    line, some = values[column, place : place + n], 0.0
                    for c in range(n):
                        some += line[c] * basis[2, c]
                    total += basis[0, a] * basis[1, b] * some
                    place += n
            into[j, column] += total


@njit(cache=True, nogil=True)
def _basis_of(points, node):
    """Room for the polynomials along three axes, and how many there are; axes that are missing come first."""
    d = points.counts.shape[1]
    count = np.ones(3, np.int64)
    count[3 - d :] = points.counts[node]
    return np.ones((3, points.x.shape[1])), count


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _fill(tree, points, node, places, j, basis, count):
    """The values at place j of a node's polynomials along each axis (barycentric formula)."""
    d = places.shape[0]
    for k in range(d):
        line, n = basis[3 - d + k], count[3 - d + k]
        x, w, low, high = points.x[n], points.w[n], tree.low[node, k], tree.high[node, k]
        half = 0.5 * (high - low)
        at = (places[k, j] - 0.5 * (low + high)) / half if half > 0.0 else x[0]
        total, met = 0.0, -1
        for i in range(n):
            difference = at - x[i]
            if difference == 0.0:
                met = i
            else:
                line[i] = w[i] / difference
                total += line[i]
        for i in range(n):
            line[i] = (1.0 if i == met else 0.0) if met >= 0 else line[i] / total
