"""A tree of clusters of places, which are parted by halves along the longest side of their box."""

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


def with_ancestors(tree, nodes):
    """Which nodes are among `nodes`, or contain one of them, as flags of all nodes."""
    found = np.zeros(len(tree.begin), bool)
    found[nodes] = True
    for first, last in list(pairwise(tree.levels))[:0:-1]:  # the parent of node i is (i - 1) // 2
        found[(first - 1) // 2 : (last - 1) // 2] = found[first:last].reshape(-1, 2).any(axis=1)
    return found
