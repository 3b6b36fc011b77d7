"""Which clusters act on which: the pairs of a tree of sources and a tree of targets, found from both roots down.

A cluster of sources that is far enough from one of targets acts on the points of the latter (Wilson, Vaughn & Krasny,
2021). What is too near for that waits for the halves of the targets, and what is left acts on the targets of leaves.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit, prange

from ._compilation import launch


class Ranges(NamedTuple):
    """On node nodes[i] act the ranges starts[i] to starts[i + 1] of an array of sources, then all nodes' points."""

    nodes: npt.NDArray
    starts: npt.NDArray
    begin: npt.NDArray
    end: npt.NDArray

    @property
    def lengths(self):
        """How many sources and points act on each node."""
        return np.diff(np.concatenate([[0], np.cumsum(self.end - self.begin)])[self.starts])


def meet(tree, points, groups, at, opening, own):
    """Ranges of what acts on the points `at` of nodes of `groups`, the tree of targets, and on the places of leaves.

    `points` are those of `tree`. A cluster that is far enough acts by its points, or by its sources where they are
    fewer; of others the sources themselves act. With `own` the targets are the sources, of which none act on
    themselves, so that no cluster with one of a node's own is taken as far.
    """
    sides = groups, tree, points.starts, opening, own, len(tree.order)
    # Node i of the targets has left pending[waiting[0, i] : waiting[1, i]], in the order of the sources, to its halves.
    pending, waiting = np.zeros(1, np.int64), np.zeros((2, len(groups.begin)), np.int64)
    waiting[1] = 1
    found = [Ranges(np.zeros(0, np.int64), np.zeros(1, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int64))]
    for first, last in pairwise(groups.levels):
        nodes = np.arange(first, last)
        if first:
            waiting[:, first:last] = waiting[:, (nodes - 1) // 2]
        nodes = nodes[at.sizes[first:last] > 0]
        if len(nodes):
            ranges, left, starts = _meet_nodes(nodes, sides, False, pending, waiting)
            waiting[:, nodes] = len(pending) + np.stack([starts[:-1], starts[1:]])
            pending = np.concatenate([pending, left])
            found.append(ranges)
    return _joined(found), _meet_nodes(groups.leaves, sides, True, pending, waiting)[0]


def _joined(found):
    """Ranges of several levels as one."""
    nodes, _, begin, end = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
    counts = np.concatenate([np.diff(ranges.starts) for ranges in found])
    return Ranges(nodes, np.concatenate([[0], np.cumsum(counts)]), begin, end)


def _meet_nodes(nodes, sides, close, pending, waiting):
    """The ranges of some nodes, and what they leave pending with the starts of each one's."""
    counts, nothing = np.zeros((2, len(nodes) + 1), np.int64), np.zeros(0, np.int64)
    work = 1000 * len(nodes)
    launch(_count_or_write, work, nodes, *sides, close, pending, waiting, False, counts, nothing, nothing, nothing)
    starts = np.concatenate([np.zeros((2, 1), np.int64), np.cumsum(counts[:, :-1], axis=1)], axis=1)
    begin, end, left = (np.empty(size, np.int64) for size in (starts[0, -1], starts[0, -1], starts[1, -1]))
    launch(_count_or_write, work, nodes, *sides, close, pending, waiting, True, starts, begin, end, left)
    return Ranges(nodes, starts[0], begin, end), left, starts[1]


@njit(cache=True, parallel=True, nogil=True)
def _count_or_write(nodes, groups, tree, point_starts, opening, own, n, close, pending, waiting, write, starts, begin,
                    end, left):  # fmt: skip
    """Count each node's ranges and what it leaves, or write them where `starts` says; neighbours are one range.

    `close`: the targets themselves are acted on, and nothing is left.
    """
    for task in prange(len(nodes)):
        target = nodes[task]
        low, high = groups.low[target], groups.high[target]
        stack = np.empty(128, np.int64)  # each level of a tree leaves one node waiting
        ranges, leaves, last = 0, 0, -1
        for each in range(waiting[0, target], waiting[1, target]):
            stack[0], some = pending[each], 1
            while some:
                some -= 1
                node = stack[some]
                first, stop, child = tree.begin[node], tree.end[node], tree.child[node]
                stands = point_starts[node + 1] > point_starts[node]
                mine = own and first < groups.end[target] and groups.begin[target] < stop
                apart, larger = _apart(low, high, tree.low[node], tree.high[node], opening, not close)
                far = apart and not mine
                if far and stands:
                    first, stop = n + point_starts[node], n + point_starts[node + 1]
                elif child and (stands if close else larger and not far):
                    stack[some], stack[some + 1] = child + 1, child
                    some += 2
                    continue
                elif not (close or far):
                    if write:
                        left[starts[1, task] + leaves] = node
                    leaves += 1
                    continue
                if first == last:
                    if write:
                        end[starts[0, task] + ranges - 1] = stop
                else:
                    if write:
                        begin[starts[0, task] + ranges], end[starts[0, task] + ranges] = first, stop
                    ranges += 1
                last = stop
        if not write:
            starts[0, task], starts[1, task] = ranges, leaves


@njit(cache=True, nogil=True)
def _apart(low, high, other_low, other_high, opening, both):
    """Whether two boxes are far enough from each other, and whether the other one is the larger.

    The radius of the other is below `opening` times the distance from its centre to the one: the error of interpolation
    in it falls as a power of this ratio. Where `both` are interpolated, the same holds the other way round.
    """
    to_one, to_other, one, other = 0.0, 0.0, 0.0, 0.0
    for k in range(len(low)):
        half, other_half = 0.5 * (high[k] - low[k]), 0.5 * (other_high[k] - other_low[k])
        between = abs(0.5 * (low[k] + high[k]) - 0.5 * (other_low[k] + other_high[k]))
        one += half**2
        other += other_half**2
        to_one += max(0.0, between - half) ** 2
        to_other += max(0.0, between - other_half) ** 2
    apart = other < opening**2 * to_one and (not both or one < opening**2 * to_other)
    return apart, other > one
