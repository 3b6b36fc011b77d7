"""What to record is an object: every n-th step, given times, or only the last state."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from dynsim._check import as_array, as_count, as_number, refusal

UNLIMITED = 2**62


@dataclass(frozen=True)
class EveryStep:
    """Record the start, every n-th accepted step, and the end.

    Examples
    --------
    >>> EveryStep(10)
    EveryStep(n=10)
    """

    n: int = 1

    def __post_init__(self):
        object.__setattr__(self, "n", as_count(self.n, "EveryStep"))


@dataclass(frozen=True, eq=False)
class Times:
    """Record at given times, increasing, by the method's own interpolation; what `t_eval` does.

    Examples
    --------
    >>> Times([0.0, 0.5]).times
    array([0. , 0.5])
    """

    times: npt.ArrayLike

    def __post_init__(self):
        if isinstance(self.times, EvenTimes):
            return
        times = as_array(self.times, "times", ("T",), np.float64).copy()
        if np.any(np.diff(times) <= 0):
            raise ValueError(
                f"times: entry {int(np.argmax(np.diff(times) <= 0)) + 1} does not increase; expected increasing times."
            )
        times.setflags(write=False)
        object.__setattr__(self, "times", times)


class EvenTimes:
    """`count` times from `start` to `end` at one distance, each made when it is asked for; what `run.frames` means.

    Each is the float nearest to what the decimal numbers `start` and `end` give. So two such rows of the same start and
    distance hold the same times as far as both go.

    Raises
    ------
    ValueError, TypeError
        If start or end is not a finite number, start is not before end, or count is below 2 or so large that numbers
        cannot tell the times apart.

    Examples
    --------
    >>> times = EvenTimes(0.0, 0.4, 5)
    >>> times[3], len(times[1:])
    (0.3, 4)
    """

    def __init__(self, start: float, end: float, count: int):
        self.start, self.end = as_number(start, "start of times"), as_number(end, "end of times")
        self.count, self.skipped = as_count(count, "number of times", minimum=2), 0
        if not self.start < self.end:
            raise refusal("times", f"{self.start!r} to {self.end!r}", "start < end")
        begin = _decimal(self.start)
        self.distance = (_decimal(self.end) - begin) / (self.count - 1)
        if self.count > 2**53 or self.distance < np.spacing(max(abs(self.start), abs(self.end))):
            raise refusal("number of times", f"{self.count:,}", "so few that numbers can tell them apart")
        self._over = math.lcm(begin.denominator, self.distance.denominator)
        self._first, self._each = int(begin * self._over), int(self.distance * self._over)

    def __len__(self):
        return self.count - self.skipped

    def __getitem__(self, k):
        if isinstance(k, slice):
            rest = copy.copy(self)
            rest.skipped += range(len(self))[k].start
            return rest
        k = self.skipped + range(len(self))[k]
        return (self._first + k * self._each) / self._over  # Python rounds quotients of whole numbers correctly

    def after(self, t):
        """The first time of this start and distance, beyond the end too, that is not before t.

        >>> EvenTimes(0.1, 0.4, 4).after(0.55)
        0.6
        """
        steps = math.ceil((_decimal(t) - _decimal(self.start)) / self.distance)
        return (self._first + steps * self._each) / self._over

    def reaching(self, end):
        """How many times of this start and distance end at `end`, or None if it is not one of them."""
        steps = (_decimal(end) - _decimal(self.start)) / self.distance
        return int(steps) + 1 if steps.denominator == 1 else None


def _decimal(number):
    return Fraction(repr(float(number)))


@dataclass(frozen=True)
class LastOnly:
    """Record the last state only.

    Examples
    --------
    >>> LastOnly()
    LastOnly()
    """


class Recorder:
    """Takes frames where the record object wants them, keeps them in memory or gives them to the sink."""

    def __init__(self, record, system, sink, keep):
        self.record, self.shape, self.sink, self.keep = record, system.q.shape, sink, keep
        self.copies, self.neurons, self.massive = system.copies, system.neurons, system.velocity is not None
        self.frames, self.last, self.taken_at = [], None, None
        self.steps = self.next = 0
        self.times = record.times if isinstance(record, Times) else np.empty(0)

    def inside(self, step, upto, signals):
        """Frames at given times in (step.t, upto), from the interpolant; `signals(t, q)` gives R and E."""
        upto -= time_slack(upto)
        while self.next < len(self.times) and self.times[self.next] < upto:
            t = float(self.times[self.next])
            q = step.state(t)
            self._take(t, q, *signals(t, q))

    def next_inside(self):
        """The next given time, a little early: steps that reach it are looked into; infinite if there is none."""
        if self.next >= len(self.times):
            return math.inf
        t = float(self.times[self.next])
        return t - 2 * time_slack(t)

    def until_due(self):
        """Number of steps after which `at` will record."""
        n = self.record.n if isinstance(self.record, EveryStep) else 0
        return n - self.steps % n if n else UNLIMITED

    def skip(self, steps):
        """Steps were taken at which nothing was due."""
        if steps > 0 and not isinstance(self.record, Times):
            self.steps += steps

    def at(self, t, q, R, E, *, stepped=True, final=False, slack=0.0):
        """Offer a state, after a step or not; of given times, those up to `slack` later are meant, too."""
        if isinstance(self.record, Times):
            while self.next < len(self.times) and self.times[self.next] <= t + max(slack, time_slack(t)):
                self._take(float(self.times[self.next]), q, R, E)
            return
        self.steps += stepped
        if (final or self._is_due()) and self.taken_at != t:
            self._take(t, q, R, E)

    def finish(self, t, q, R, E):
        """The run has ended at t without `at(..., final=True)`: record it unless the frame is there."""
        if not isinstance(self.record, Times) and self.taken_at != t:
            self._take(t, q, R, E)

    def go_on(self, t, steps):
        """A run goes on at t after so many steps: whether that frame is there is known."""
        self.steps = steps
        if self._is_due():
            self.taken_at = t

    def _is_due(self):
        return isinstance(self.record, EveryStep) and self.steps % self.record.n == 0

    def _take(self, t, q, R, E):
        self.next += isinstance(self.record, Times)
        # Copies: a user may keep or change what is handed out.
        parts = [q[: self.copies], q[self.copies :]] if self.massive else [q]
        places, *velocity = (np.array(part.reshape(self.shape)) for part in parts)
        self.taken_at, self.last = t, (t, places, np.array(R), np.array(E[: self.neurons]), *velocity)
        if self.keep:
            self.frames.append(self.last)
        if self.sink is not None:
            self.sink(*self.last)

    def arrays(self, neurons, signals):
        """t (T,), q, R, E and velocities (or None) of the frames in memory."""
        frames = self.frames if self.keep else [] if self.last is None else [self.last]
        T = len(frames)
        t, q, R, E, *velocity = zip(*frames, strict=True) if T else ((),) * (5 if self.massive else 4)
        return (
            np.array(t, dtype=float),
            np.array(q, dtype=float).reshape(T, *self.shape),
            np.array(R, dtype=float).reshape(T, neurons, signals),
            np.array(E, dtype=float).reshape(T, neurons, signals),
            np.array(velocity[0], dtype=float).reshape(T, *self.shape) if velocity else None,
        )


def time_slack(*times):
    """How far two times may lie apart that mean the same: the rounding of a few sums and products of their size.

    >>> time_slack(0.0, 1.0) * 2**52
    8.0
    """
    return 8 * float(np.spacing(max(abs(t) for t in times)))
