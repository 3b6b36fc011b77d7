"""Breaking points: the times on which steps land because what is given, or its echo one delay later, is not smooth.

A break has a level: the lowest derivative of the sent signals E or of the places that jumps there, 0 for a jump of E.
One delay later R has the same level; what is sent then has it again if the equation is neutral (a != 0), else one more.
A step across an R of level l is wrong by h^(l + 1), so a method of order p, wrong by h^p, feels the levels below p.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

NONE = np.empty((0, 2))
MERGED = 32  # roundings within which two times are one: those of a sum of a few numbers, with room
AHEAD = 256  # breaking points that are listed at once


def merged_within(start, number, delay):
    """Within which two breaking points are one, `number` delays after the start."""
    return MERGED * np.spacing(max(abs(start), abs(start + (number + 1) * delay), delay))


class Cuts(NamedTuple):
    """Breaking points in order, as arrays.

    In which delay from the start they lie; times; when they arose and how many delays ago; levels; and what lies one
    delay before: an interval that ends there sees up to the first of `pasts`, one that begins there from the second on
    (they differ where two breaking points became one).
    """

    numbers: np.ndarray
    times: np.ndarray
    sources: np.ndarray
    ages: np.ndarray
    levels: np.ndarray
    pasts: np.ndarray

    def part(self, begin, end=None):
        """Those from place `begin` to before `end`."""
        return Cuts(*(field[begin:end] for field in self))

    def then(self, other):
        """These and those that follow."""
        return Cuts(*(np.concatenate(pair) for pair in zip(self, other, strict=True)))


class BreakingPoints:
    """The breaking points of a run from `start`, in a window that moves on with the run.

    They are those `known` (K, 2), times and levels, those `before` the start, and the echoes of both; with a delay also
    every start + k eps. `current` (1,) is the place in the window of the one at which the current interval begins.
    """

    def __init__(self, start, delay, known=NONE, *, order, neutral=False, before=NONE):
        self.start, self.delay, self.order, self.neutral = start, delay, order, neutral
        self.known, self.current = known[np.argsort(known[:, 0], kind="stable")], np.zeros(1, np.int64)
        self.origin = np.array([start], float)
        self.passed = None  # lists what has left the window, where it is wanted
        if not delay:
            self.window = self._instant()
            return
        before = before[(before[:, 0] > start - delay - self._slack(0)) & (before[:, 0] < start - self._slack(0))]
        times = np.concatenate([[start - delay], before[:, 0]])
        # What begins at t0 - eps is the history; at t0 the first signals of the run follow it, with a jump.
        levels = np.concatenate([[0 if neutral else -1], before[:, 1]]).astype(np.int64)
        ages = np.zeros(len(times), np.int64)
        sources, ages[0] = np.concatenate([[start], before[:, 0]]), -1
        self.window = self._next(Cuts(np.full(len(times), -1), times, sources, ages, levels, np.zeros((len(times), 2))))
        self.extend()

    def extend(self):
        """Make sure that two more follow the current one; blocks that have passed are given up."""
        place, window = int(self.current[0]), self.window
        if not self.delay or place + 2 < len(window.times):
            return
        begin = int(np.searchsorted(window.numbers, window.numbers[place]))
        if self.passed is not None:
            self.passed.append(window.part(0, begin))
        window, self.current[0] = window.part(begin), place - begin
        while self.current[0] + 2 >= len(window.times):
            window = window.then(self._following(window.part(np.searchsorted(window.numbers, window.numbers[-1]))))
        self.window = window

    @property
    def window(self):
        """The breaking points that are listed."""
        return self._window

    @window.setter
    def window(self, window):
        # For compiled loops: the current place, times, pasts, where the grid of fixed steps begins anew, and the start.
        self._window = window
        self.arrays = self.current, window.times, window.pasts, window.sources == self.start, self.origin

    def within(self):
        """A time inside the current interval, by which signals that jump know on which side they are."""
        left, right = self.window.times[self.current[0] : self.current[0] + 2]
        return float(0.5 * (left + right) if math.isfinite(right) else right)

    def until(self, end):
        """(K, 2): times and levels of those up to `end` that were not given up, or are kept in `passed`."""
        parts = [*(self.passed or ()), self.window]
        times, levels = (np.concatenate([getattr(part, name) for part in parts]) for name in ("times", "levels"))
        return np.stack([times, levels], axis=1)[times <= end]

    def state(self):
        """What `restore` goes on from: the block in which the current interval begins."""
        place, window = int(self.current[0]), self.window
        if not self.delay:
            return {"start": float(self.start), "since": float(window.times[place])}
        begin, end = np.searchsorted(window.numbers, window.numbers[place] + np.arange(2))
        block = window.part(begin, end)
        return {
            "start": float(self.start),
            "place": place - int(begin),
            **{k: v.copy() for k, v in block._asdict().items()},
        }

    def restore(self, state, t):
        """Take over what `state` returned at t."""
        if not self.delay:
            times, since = self.window.times, float(state["since"])
            place = int(np.searchsorted(times, since))
            if times[place] != since or times[place + 1] <= t:  # of another step or system
                place = int(np.searchsorted(times, t, side="right")) - 1
            self.current[0] = max(place, 0)
            return
        block = {name: np.array(state[name], np.float64) for name in Cuts._fields}
        whole = {name: block[name].astype(np.int64) for name in ("numbers", "ages", "levels")}
        self.window, self.current[0] = Cuts(**{**block, **whole}), int(state["place"])
        self.extend()

    def _slack(self, number):
        """Within which two times of block `number` are one."""
        return merged_within(self.start, number, self.delay)

    def _first(self, t):
        """Number of the first known break that is not before t."""
        return int(np.searchsorted(self.known[:, 0], t))

    def _instant(self):
        """All breaking points without a delay; two that are never reached end them."""
        later = self.known[self.known[:, 0] > self.start]
        times = np.concatenate([[self.start], later[:, 0]])
        levels = np.concatenate([[0], later[:, 1]]).astype(np.int64)
        slack = MERGED * np.spacing(np.maximum(abs(times[1:]), abs(self.start)))
        firsts = np.flatnonzero(np.concatenate([[True], np.diff(times) > slack]))
        times = np.concatenate([times[firsts], [math.inf, math.inf]])
        levels = np.concatenate([np.minimum.reduceat(levels, firsts), [self.order] * 2])
        none = np.zeros(len(times), np.int64)
        return Cuts(none, times, np.full(len(times), math.nan), none, levels, NONE)

    def _following(self, block):
        """The next block of one delay, or as many as are like this one."""
        lasting = (block.levels < self.order) & self.neutral
        lasting[0] = True
        number, count = int(block.numbers[0]), max(1, AHEAD // len(block.times))
        coming = self.known[self._first(self.start + (number + 1) * self.delay - self._slack(number)) :, 0]
        if len(coming):
            count = min(count, int((coming[0] - self.start) // self.delay) - number - 1)
        return (self._repeated(block, count) if lasting.all() and count > 1 else None) or self._next(block)

    def _repeated(self, block, count):
        """`count` blocks after this one, of which all echo and to which none is added; None if rounding merges some."""
        later = np.arange(1, count + 1)[:, None]
        times = block.sources + (block.ages + later) * self.delay
        if np.any(np.diff(times.ravel()) <= self._slack(int(block.numbers[0]) + count)):
            return None
        pasts = np.concatenate([block.times[None], times[:-1]]).ravel()
        levels = block.levels + (0 if self.neutral else later)
        return Cuts(
            (block.numbers + later).ravel(),
            times.ravel(),
            np.tile(block.sources, count),
            (block.ages + later).ravel(),
            np.minimum(levels, self.order).ravel() if not self.neutral else np.tile(block.levels, count),
            np.stack([pasts, pasts], axis=1),
        )

    def _next(self, block):
        """The breaking points from start + k eps to before the next of these, from those one delay before."""
        number = int(block.numbers[0]) + 1
        slack, base, end = self._slack(number), self.start + number * self.delay, self.start + (number + 1) * self.delay
        echoed = block.sources + (block.ages + 1) * self.delay
        goes = (block.levels < self.order) & (echoed < end - slack)
        goes[0] = True
        new = self.known[self._first(base - slack) : self._first(end - slack)]
        fresh = len(new)
        times = np.maximum(np.concatenate([echoed[goes], new[:, 0]]), base)
        sources = np.concatenate([block.sources[goes], new[:, 0]])
        ages = np.concatenate([block.ages[goes] + 1, np.zeros(fresh, np.int64)])
        levels = block.levels[goes] + (0 if self.neutral else 1)
        levels = np.minimum(np.concatenate([levels, new[:, 1].astype(np.int64)]), self.order)
        parents = np.concatenate([block.times[goes], np.full(fresh, math.nan)])
        order = np.argsort(times, kind="stable")
        firsts = np.flatnonzero(np.concatenate([[True], np.diff(times[order]) > slack]))
        # Of those that are one, start + k eps gives the time, else an echo, else what is new: the first in the list.
        chosen = np.minimum.reduceat(order, firsts)
        earliest, latest = np.fmin.reduceat(parents[order], firsts), np.fmax.reduceat(parents[order], firsts)
        alone = np.isnan(earliest)
        pasts = np.where(alone[:, None], (times[chosen] - self.delay)[:, None], np.stack([earliest, latest], axis=1))
        return Cuts(
            np.full(len(firsts), number),
            times[chosen],
            sources[chosen],
            ages[chosen],
            np.minimum.reduceat(levels[order], firsts),
            pasts,
        )
