"""A tree of clusters of places, and the few points that stand for each: interpolation by Lagrange polynomials.

Places are parted by halves along the longest side of their box. Seen from far away, the effect of a cluster's sources
is a smooth function of their places, so they act as (degree + 1)^d Chebyshev points of its box would, with strengths
that follow from barycentric Lagrange interpolation (Wang, Tlupova & Krasny, 2020).
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit, prange

from ._compilation import launch


class Tree(NamedTuple):
    """Nodes in the order of their depth, the root first: ranges of `order`, boxes, the first of two children or 0."""

    order: npt.NDArray
    begin: npt.NDArray
    end: npt.NDArray
    child: npt.NDArray
    low: npt.NDArray
    high: npt.NDArray
    levels: npt.NDArray

    @property
    def leaves(self):
        """The nodes without children that have places."""
        return np.flatnonzero((self.child == 0) & (self.end > self.begin))


def build_tree(places, leaf):
    """Part places (n, d) by halves until no more than `leaf` are together."""
    n, d = places.shape
    depth = max(0, math.ceil(math.log2(max(n, 1) / leaf)))
    count = 2 ** (depth + 1) - 1
    order = np.arange(n)
    begin, end, child = np.zeros(count, np.int64), np.zeros(count, np.int64), np.zeros(count, np.int64)
    low, high = np.zeros((count, d)), np.zeros((count, d))
    end[0] = n
    levels = np.array([2**level - 1 for level in range(depth + 2)])
    for first, last in pairwise(levels):
        launch(_part_level, n * d, places, order, begin, end, child, low, high, first, last, last < count)
    return Tree(order, begin, end, child, low, high, levels)


@njit(cache=True, parallel=True, nogil=True, error_model="numpy")
def _part_level(places, order, begin, end, child, low, high, first, last, parts):
    for node in prange(first, last):
        start, stop = begin[node], end[node]
        longest, axis = -1.0, 0
        for k in range(places.shape[1]):
            least, most = np.inf, -np.inf
            for j in range(start, stop):
                place = places[order[j], k]
                least, most = min(least, place), max(most, place)
            low[node, k], high[node, k] = least, most
            if most - least > longest:
                longest, axis = most - least, k
        if parts:
            half = (start + stop) // 2
            _part(places, axis, order, start, stop, half)
            left = 2 * node + 1
            child[node] = left
            begin[left], end[left], begin[left + 1], end[left + 1] = start, half, half, stop


@njit(cache=True, nogil=True)
def _part(places, axis, order, start, stop, half):
    """Order start..stop so that none before `half` has a larger value than one from there on (Hoare's selection)."""
    left, right = start, stop - 1
    while left < right:
        a, b, c = places[order[left], axis], places[order[(left + right) // 2], axis], places[order[right], axis]
        pivot = max(min(a, b), min(max(a, b), c))
        i, j = left, right
        while i <= j:
            while places[order[i], axis] < pivot:
                i += 1
            while places[order[j], axis] > pivot:
                j -= 1
            if i <= j:
                order[i], order[j] = order[j], order[i]
                i += 1
                j -= 1
        if half <= j:
            right = j
        elif half >= i:
            left = i
        else:
            return


def moved_tree(tree, places):
    """The tree's nodes with the boxes of other places (n, d) of the same neurons."""
    low, high = np.zeros_like(tree.low), np.zeros_like(tree.high)
    launch(_boxes, len(places) * len(tree.levels), tree.order, tree.begin, tree.end, places, low, high)
    return tree._replace(low=low, high=high)


@njit(cache=True, parallel=True, nogil=True)
def _boxes(order, begin, end, places, low, high):
    for node in prange(len(begin)):
        for k in range(places.shape[1]):
            least, most = np.inf, -np.inf
            for j in range(begin[node], end[node]):
                place = places[order[j], k]
                least, most = min(least, place), max(most, place)
            low[node, k], high[node, k] = least, most


def chebyshev(degree):
    """Chebyshev points of the second kind in [-1, 1], and their barycentric weights."""
    weights = np.where(np.arange(degree + 1) % 2, -1.0, 1.0)
    weights[[0, -1]] *= 0.5
    return np.cos(np.pi * np.arange(degree + 1) / degree), weights


def interpolation_points(tree, degree):
    """The points (d, nodes * (degree + 1)^d) that stand for every node, node by node."""
    d = tree.low.shape[1]
    x, _ = chebyshev(degree)
    center, half = (tree.low + tree.high) / 2, (tree.high - tree.low) / 2
    grid = np.stack(np.meshgrid(*[x] * d, indexing="ij")).reshape(d, -1)
    return (center.T[:, :, None] + half.T[:, :, None] * grid[:, None, :]).reshape(d, -1)


def moments(tree, sources, strengths, points, degree):
    """Strengths of the points of every node (c, nodes * K), from sources (d, n) and strengths (c, n) in tree order."""
    x, w = chebyshev(degree)
    K = len(x) ** len(sources)
    found = np.zeros((len(strengths), points.shape[1]))
    for first, last in list(pairwise(tree.levels))[::-1]:
        work = (sources.shape[1] if last == len(tree.begin) else (last - first) * 2 * K) * K
        launch(_moments_of_level, work, tree.begin, tree.end, tree.child, tree.low, tree.high, sources, strengths,
               points, x, w, K, first, last, found)  # fmt: skip
    return found


@njit(cache=True, parallel=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _moments_of_level(begin, end, child, low, high, sources, strengths, points, x, w, K, first, last, found):
    for node in prange(first, last):
        into = found[:, node * K : (node + 1) * K]
        left = child[node]
        if left:  # a polynomial of this degree is what its values at the children's points say: nothing is lost
            _add_moments(points, found, left * K, (left + 2) * K, low[node], high[node], x, w, into)
        else:
            _add_moments(sources, strengths, begin[node], end[node], low[node], high[node], x, w, into)


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _add_moments(places, strengths, start, stop, low, high, x, w, into):
    """into[c, k] += sum_j strengths[c, j] L_k(places_j), L_k the polynomial that is 1 at point k and 0 at others."""
    d, n = places.shape[0], len(x)
    basis = np.ones((3, n))
    count = np.ones(3, np.int64)
    count[3 - d :] = n
    for j in range(start, stop):
        for k in range(d):
            line = basis[3 - d + k]
            half = 0.5 * (high[k] - low[k])
            at = (places[k, j] - 0.5 * (low[k] + high[k])) / half if half > 0.0 else 1.0
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


def ranges_of_leaves(tree, groups, K, opening, own):
    """What acts on every leaf of `groups`, a tree of targets: ranges of an array of sources, then all nodes' points.

    Returns (starts, begin, end): ranges starts[i] to starts[i + 1] are those of leaf i. A cluster that is far enough,
    and has more sources than points, acts by its points, n + node K on; of others the sources themselves act. With
    `own` the targets are the sources, and no cluster with one of a leaf's own is taken as far.
    """
    leaves = groups.leaves
    arrays = (leaves, groups.begin, groups.end, groups.low, groups.high, tree.begin, tree.end, tree.child, tree.low,
              tree.high, K, opening, own, len(tree.order))  # fmt: skip
    starts, nothing = np.zeros(len(leaves) + 1, np.int64), np.zeros(0, np.int64)
    work = 1000 * len(leaves) * max(1, len(tree.levels))
    launch(_meet, work, *arrays, False, starts, nothing, nothing)
    starts = np.concatenate([[0], np.cumsum(starts[:-1])])
    begin, end = np.empty(starts[-1], np.int64), np.empty(starts[-1], np.int64)
    launch(_meet, work, *arrays, True, starts, begin, end)
    return starts, begin, end


@njit(cache=True, parallel=True, nogil=True)
def _meet(leaves, target_begin, target_end, target_low, target_high, begin, end, child, low, high, K, opening, own, n,
          write, starts, range_begin, range_end):  # fmt: skip
    """Count the ranges of every leaf, or write them where `starts` says; neighbouring sources are one range."""
    for task in prange(len(leaves)):
        leaf = leaves[task]
        stack = np.empty(128, np.int64)  # each level of a tree leaves one node waiting
        stack[0], waiting, count, last = 0, 1, 0, -1
        while waiting:
            waiting -= 1
            node = stack[waiting]
            mine = own and begin[node] < target_end[leaf] and target_begin[leaf] < end[node]
            far = not mine and K < end[node] - begin[node] and _apart(target_low[leaf], target_high[leaf], low[node],
                                                                      high[node], opening)  # fmt: skip
            if child[node] and not far:
                stack[waiting], stack[waiting + 1] = child[node] + 1, child[node]
                waiting += 2
                continue
            first, stop = (n + node * K, n + (node + 1) * K) if far else (begin[node], end[node])
            if first == last:
                if write:
                    range_end[starts[task] + count - 1] = stop
            else:
                if write:
                    range_begin[starts[task] + count], range_end[starts[task] + count] = first, stop
                count += 1
            last = stop
        if not write:
            starts[task] = count


@njit(cache=True, nogil=True)
def _apart(low, high, other_low, other_high, opening):
    """Whether two boxes are far enough from each other: radii together below `opening` times the centres' distance."""
    distance, one, other = 0.0, 0.0, 0.0
    for k in range(len(low)):
        distance += (0.5 * (low[k] + high[k]) - 0.5 * (other_low[k] + other_high[k])) ** 2
        one += (0.5 * (high[k] - low[k])) ** 2
        other += (0.5 * (other_high[k] - other_low[k])) ** 2
    return math.sqrt(one) + math.sqrt(other) < opening * math.sqrt(distance)
