"""Breaking points of systems with several delays: sums of delays after a time at which something given is not smooth.

As in `_breaking_points`, a break has a level, the lowest derivative of E or of the places that jumps there; here it has
one for each group of neurons, since a break in one group is felt, after a delay, by those groups only on which it acts
with that delay. So in a network without loops the sums end with its paths. What is sent after a delay has the same
level where the equation is neutral (a != 0, neurons that are not clamped), else one more; pairs without a delay pass
breaks on at the same time. A method of order p feels the levels below p.

In a neutral equation with a loop all sums are felt for ever. Of delays that have a common divisor these soon are its
multiples, as sums that differ by rounding are one. Of m other delays there are about t^(m - 1) / (eps_1 ... eps_m
(m - 1)!) a unit of time. A jump does not become smoother there, only smaller or larger by what the echo gain says, so
none can be left out for being late. A run with more than `MOST` within the shortest delay ends and says so.
"""

from __future__ import annotations

import heapq
from typing import NamedTuple

import numpy as np

from dynsim._check import as_array, as_count, as_number, refusal

from ._breaking_points import MERGED, NONE
from ._failure import NoConvergence

AHEAD = 64  # breaking points that are listed at once
MOST = 1000  # within the shortest delay
ROUND_DELAYS = "Give delays that are multiples of one number, as 0.5 and 0.75, or loops of groups the same delay."


class Sums(NamedTuple):
    """Breaking points in order, as arrays.

    Times; when they arose, and how many of each delay ago (K, m); levels (K, G), the method's order for none; and what
    lies each delay before (K, 2, m): an interval that ends there sees up to the first, one that begins there from the
    second on (they differ where two breaking points became one).
    """

    times: np.ndarray
    sources: np.ndarray
    counts: np.ndarray
    levels: np.ndarray
    pasts: np.ndarray

    def part(self, begin, end=None):
        """Those from place `begin` to before `end`."""
        return Sums(*(field[begin:end] for field in self))

    def then(self, other):
        """These and those that follow."""
        return Sums(*(np.concatenate(pair) for pair in zip(self, other, strict=True)))


class DelaySums:
    """The breaking points of a run from `start` with several delays, in a window that moves on with the run.

    They are those `known` (K, 2), times and levels, those `before` the start, sums of delays after both and the start,
    and the multiples of the shortest delay after it: so no step is longer than that. `current` (1,) is the place in
    the window of the one at which the current interval begins.
    """

    def __init__(self, start, delays, known=NONE, *, order, neutral, before=NONE):
        self.start, self.order, self.neutral = float(start), order, np.asarray(neutral, bool)
        self.delays, self.shortest, self.longest = delays.positive, delays.shortest, delays.longest
        self.paths = [delays.pairs(eps) for eps in self.delays]
        self.instant = delays.pairs(0.0)
        self.known = known[np.argsort(known[:, 0], kind="stable")]
        self.origin, self.passed = np.array([start], float), None
        m, G = len(self.delays), len(self.neutral)
        self.pending, self.multiple, self.reached = [], 0, self.start - self._slack(self.start)
        slack = self._slack(self.start)
        before = before[(before[:, 0] > start - self.longest - slack) & (before[:, 0] < start - slack)]
        before = before[np.argsort(before[:, 0], kind="stable")]
        for time, level in before:
            self._send(float(time), (0,) * m, np.full(G, min(int(level), order)))
        none = np.zeros((len(before), m), np.int64)
        levels = np.broadcast_to(np.minimum(before[:, 1:], order).astype(np.int64), (len(before), G))
        self.current = np.array([len(before)])
        self.window = Sums(before[:, 0], before[:, 0], none, levels, np.zeros((len(before), 2, m)))
        self.extend()

    def extend(self):
        """Make sure that two more follow the current one; those that have passed and have no echo left are given up."""
        if self.current[0] + 2 < len(self.window.times):
            return
        listed = self.window
        for _ in range(AHEAD):
            listed = listed.then(self._next(listed.times))
        last = listed.times[-1]
        seen = np.searchsorted(listed.times, last - self.longest - 2 * self._slack(last))
        begin = min(int(seen), int(self.current[0]))
        if self.passed is not None:
            self.passed.append(listed.part(0, begin))
        self.current[0] -= begin
        self.window = listed.part(begin)

    @property
    def window(self):
        """The breaking points that are listed."""
        return self._window

    @window.setter
    def window(self, window):
        # For compiled loops, as of `BreakingPoints`; `pasts` are those of the longest delay. Fixed steps are counted
        # from the start for ever.
        self._window = window
        never = np.zeros(len(window.times), bool)
        pasts = np.ascontiguousarray(np.moveaxis(window.pasts, 2, 0))
        self.arrays = self.current, window.times, pasts[-1], never, self.origin
        self.pasts = pasts

    def within(self):
        """A time inside the current interval, by which signals that jump know on which side they are."""
        left, right = self.window.times[self.current[0] : self.current[0] + 2]
        return float(0.5 * (left + right))

    def until(self, end):
        """(K, 2): times and levels of those up to `end` that were not given up, or are kept in `passed`."""
        parts = [*(self.passed or ()), self.window]
        times = np.concatenate([part.times for part in parts])
        levels = np.concatenate([part.levels.min(axis=1) for part in parts])
        return np.stack([times, levels], axis=1)[(times >= self.start) & (times <= end)]

    def state(self):
        """What `restore` goes on from: the window, and what will be listed."""
        pending = sorted(self.pending)
        m, G = len(self.delays), len(self.neutral)
        return {
            "start": self.start,
            "place": int(self.current[0]),
            "multiple": self.multiple,
            "reached": float(self.reached),
            "coming_sources": np.array([entry[3] for entry in pending], float),
            "coming_counts": np.array([entry[4] for entry in pending], np.int64).reshape(-1, m),
            "coming_levels": np.array([entry[5] for entry in pending], np.int64).reshape(-1, G),
            **{name: field.copy() for name, field in self.window._asdict().items()},
        }

    def restore(self, state, t):
        """Take over what `state` returned at t."""
        self.current[0], self.multiple, self.reached = int(state["place"]), int(state["multiple"]), state["reached"]
        self.pending = []
        coming = (np.asarray(state[f"coming_{name}"]) for name in ("sources", "counts", "levels"))
        for source, counts, levels in zip(*coming, strict=True):
            self._push(float(source), tuple(map(int, counts)), levels)
        fields = {name: np.array(state[name], np.float64) for name in Sums._fields}
        whole = {name: fields[name].astype(np.int64) for name in ("counts", "levels")}
        self.window = Sums(**{**fields, **whole})
        self.extend()

    def _slack(self, t):
        """Within which two times near t are one."""
        return MERGED * float(np.spacing(max(abs(self.start), abs(t), self.longest)))

    def _time(self, source, counts):
        return source + sum(n * eps for n, eps in zip(counts, self.delays, strict=True))

    def _push(self, source, counts, levels):
        # In this order: earlier first; of equal times what comes from the start, after the fewest delays.
        entry = (self._time(source, counts), source != self.start, sum(counts), source, counts, tuple(map(int, levels)))
        heapq.heappush(self.pending, entry)

    def _send(self, source, counts, levels):
        """What breaks of these levels are one delay later, for every delay, where the method can feel it."""
        for k, paths in enumerate(self.paths):
            received = np.where(paths, levels[:, None], self.order).min(axis=0)
            later = tuple(n + (other == k) for other, n in enumerate(counts))
            # What the past sent to the past is part of the history.
            if received.min() < self.order and self._time(source, later) >= self.start - self._slack(self.start):
                self._push(source, later, np.minimum(received + ~self.neutral, self.order))

    def _at_once(self, levels):
        """Levels with what pairs without a delay pass on."""
        for _ in range(len(levels) if self.instant.any() else 0):
            received = np.where(self.instant, levels[:, None], self.order).min(axis=0)
            levels = np.minimum(levels, received + ~self.neutral)
        return levels

    def _next(self, before):
        """The next breaking point after those at times `before`, which it may echo."""
        m, G = len(self.delays), len(self.neutral)
        grid = self.start + self.multiple * self.shortest
        place = int(np.searchsorted(self.known[:, 0], self.reached, side="right"))
        coming = [grid, *(entry[0] for entry in self.pending[:1]), *self.known[place : place + 1, 0]]
        time, found = min(coming), []
        self.reached = time + self._slack(time)
        while True:  # all that are one with it
            if grid <= self.reached:
                counts = (self.multiple,) + (0,) * (m - 1)
                levels = (0 if self.multiple == 0 else self.order,) * G
                found.append((grid, False, self.multiple, self.start, counts, levels))
                self.multiple += 1
                grid = self.start + self.multiple * self.shortest
            elif self.pending and self.pending[0][0] <= self.reached:
                found.append(heapq.heappop(self.pending))
            elif place < len(self.known) and self.known[place, 0] <= self.reached:
                known, level = float(self.known[place, 0]), min(int(self.known[place, 1]), self.order)
                found.append((known, known != self.start, 0, known, (0,) * m, (level,) * G))
                place += 1
            else:
                break
            self.reached = max(self.reached, found[-1][0] + self._slack(found[-1][0]))
        time, _, _, source, counts, _ = min(found, key=lambda entry: entry[1:])
        levels = self._at_once(np.array([entry[5] for entry in found]).min(axis=0))
        self._send(source, counts, levels)
        if len(before) > MOST + AHEAD and time - before[-MOST] < self.shortest:
            raise NoConvergence(
                f"near t = {time:.9g} there are more than {MOST} sums of delays within the shortest delay, at each of "
                f"which signals that echo (a != 0) jump",
                ROUND_DELAYS,
            )
        one = np.array([time]), np.array([source]), np.array([counts]), levels[None]
        return Sums(*one, self._pasts(time, before)[None])

    def _pasts(self, time, before):
        """(2, m): the first and last breaking point that is one with the time a delay ago, or this time twice."""
        pasts, slack = np.empty((2, len(self.delays))), self._slack(time)
        for k, eps in enumerate(self.delays):
            past = time - eps
            first, last = np.searchsorted(before, [past - slack, past + slack], side="left")
            pasts[:, k] = (before[first], before[last - 1]) if last > first else (past, past)
        return pasts


def expect_sums(breaks, delays, groups, t):
    """The start of a run with several delays, and since when its current interval sees it.

    Raises ValueError or TypeError for breaking points that no such run has; `breaks` are those of its state.
    """
    keys = ("start", "place", "multiple", "reached", "coming_sources", "coming_counts", "coming_levels", *Sums._fields)
    if not isinstance(breaks, dict) or not set(keys) <= set(breaks):
        expected = f"a table of several delays, with {', '.join(keys)}"
        raise refusal("resume breaks", "another table", expected, error=TypeError)
    start, reached = (as_number(breaks[name], f"resume breaks {name}") for name in ("start", "reached"))
    place, multiple = (as_count(breaks[name], f"resume breaks {name}", minimum=0) for name in ("place", "multiple"))
    m, K, C = len(delays.positive), np.size(breaks["times"]), np.size(breaks["coming_sources"])
    shapes = {
        "times": (K,), "sources": (K,), "counts": (K, m), "levels": (K, groups), "pasts": (K, 2, m),
        "coming_sources": (C,), "coming_counts": (C, m), "coming_levels": (C, groups),
    }  # fmt: skip
    found = {name: as_array(breaks[name], f"resume breaks {name}", shape, np.float64) for name, shape in shapes.items()}
    times, eps = found["times"], np.array(delays.positive)
    slack = 2 * MERGED * float(np.spacing(max(abs(start), abs(reached), abs(t), delays.longest)))
    coming = found["coming_sources"] + found["coming_counts"] @ eps
    sound = (
        start <= t
        and place + 1 < K
        and (np.diff(times) > 0).all()
        and times[place] - slack <= t < times[place + 1]
        and (np.diff(times[times >= start]) <= delays.shortest + slack).all()
        and (abs(found["sources"] + found["counts"] @ eps - times) <= slack).all()
        and (abs(found["pasts"] + eps - times[:, None, None])[times >= start] <= slack).all()
        and (found["pasts"][:, 0] <= found["pasts"][:, 1]).all()
        and abs(reached - times[-1]) <= slack
        and (coming > times[-1]).all()
        and multiple < 2**53
        and times[-1] < start + multiple * delays.shortest <= times[-1] + delays.shortest + slack
    )
    if not (sound and all(_whole(found[name]) for name in ("counts", "levels", "coming_counts", "coming_levels"))):
        raise refusal("resume breaks", "breaking points that no run has", f"sums of the delays around t = {t!r}")
    return start, max(start, float(found["pasts"][place, 1, -1]))


def _whole(array):
    return bool((array == np.rint(array)).all() and (abs(array) < 2**53).all() and (array >= 0).all())


def neutral_groups(system):
    """(G,): of which groups what is sent jumps where what is received does."""
    neutral = np.full(system.strengths.shape[-1], bool(system._equations.echoes))
    neutral[list(system.clamped)] = False
    return neutral
