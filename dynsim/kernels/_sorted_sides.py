"""Neurons sorted along every axis, and their ranks among others: what products without pairs stand on."""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from ._compilation import launch

EPS = float(np.finfo(np.float64).eps)


class Side:
    """m neurons sorted along each of d axes, and their ranks among the neurons of another side.

    `axes` (d, m): coordinates in the order of the arrays; `order` (d, m): indices, sorted (equal places by index);
    `sorted` (d, m): coordinates in this order. After `rank`: `less` and `upto` (d, m) say, in sorted order, how many of
    the other side lie below and at or below; `ranks` (d, m) is `upto` in the order of the arrays.
    The order of an old side of the same shape is repaired: linear where little moved.
    """

    def __init__(self, places, before=None):
        self.axes = np.ascontiguousarray(places.T, dtype=np.float64)
        self.dimension, self.count = self.axes.shape
        # Memory of the last products, written over by the next: `tables` of one vector, `blocks` of many.
        self.tables, self.blocks, self.kept = [], [], {}
        if before is not None and before.axes.shape == self.axes.shape:
            self.order = before.order
            launch(_repair, 32 * self.axes.size, self.axes, self.order)
        else:
            self.order = np.empty(self.axes.shape, np.int32)
            launch(_sort, 32 * self.axes.size, self.axes, self.order)
        self.sorted = np.take_along_axis(self.axes, self.order, axis=1)

    def count_from(self, center, places):
        """Shift the coordinates, not the order: of what is shifted, rounding makes equal what was not."""
        self.axes = np.ascontiguousarray((places - center).T, dtype=np.float64)
        self.sorted = np.take_along_axis(self.axes, self.order, axis=1)

    def rank(self, other):
        shape = self.order.shape
        self.less, self.upto, self.ranks = (np.empty(shape, np.int32) for _ in range(3))
        self.kept = {}
        launch(_ranks, 8 * self.order.size, self.order, self.sorted, other.sorted, self.less, self.upto, self.ranks)

    def derived(self, name, function):
        """What a product derives from this side, made at its first call and kept until places move."""
        if name not in self.kept:
            self.kept[name] = function(self)
        return self.kept[name]


def middle(places):
    """The middle of the box that places (m, d) lie in, (d,)."""
    return 0.5 * (places.min(axis=0) + places.max(axis=0)) if len(places) else np.zeros(places.shape[1])


@njit(cache=True, parallel=True)
def _sort(axes, order):
    for k in prange(axes.shape[0]):
        order[k] = np.argsort(axes[k], kind="mergesort")  # stable: equal places keep the order of their indices


@njit(cache=True, parallel=True)
def _repair(axes, order):
    """Insertion sort of an old order by (place, index), which has one answer; a full sort where too much moved."""
    count = axes.shape[1]
    for k in prange(axes.shape[0]):
        row, places, moves = order[k], axes[k], 0
        for j in range(1, count):
            index = row[j]
            place = places[index]
            i = j - 1
            while i >= 0 and (places[row[i]] > place or (places[row[i]] == place and row[i] > index)):
                row[i + 1] = row[i]
                i -= 1
            row[i + 1] = index
            moves += j - 1 - i
            if moves > 16 * count:
                break
        if moves > 16 * count:
            order[k] = np.argsort(places, kind="mergesort")


@njit(cache=True, parallel=True)
def _ranks(order, own, other, less, upto, ranks):
    """For each neuron of this side, how many of the other side are below it, and at or below it: one merge an axis."""
    for k in prange(own.shape[0]):
        low = high = 0
        count = other.shape[1]
        for i in range(own.shape[1]):
            while low < count and other[k, low] < own[k, i]:
                low += 1
            high = max(high, low)
            while high < count and other[k, high] <= own[k, i]:
                high += 1
            less[k, i], upto[k, i] = low, high
            ranks[k, order[k, i]] = high
