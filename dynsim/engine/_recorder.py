"""What to record is an object: every n-th step, given times, or only the last state."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dynsim._check import as_array, as_count

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
        times = as_array(self.times, "times", ("T",), np.float64).copy()
        if np.any(np.diff(times) <= 0):
            raise ValueError(
                f"times: entry {int(np.argmax(np.diff(times) <= 0)) + 1} does not increase; expected increasing times."
            )
        times.setflags(write=False)
        object.__setattr__(self, "times", times)


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
        self.frames, self.last = [], None
        self.steps = self.next = 0
        self.times = record.times if isinstance(record, Times) else np.empty(0)

    def inside(self, step, upto, signals):
        """Frames at given times in (step.t, upto), from the interpolant; `signals(t, q)` gives R and E."""
        upto -= _slack(upto)
        while self.next < len(self.times) and self.times[self.next] < upto:
            t = float(self.times[self.next])
            q = step.places(t)
            self._take(t, q, *signals(t, q))

    def next_inside(self):
        """The next given time, a little early: steps that reach it are looked into; infinite if there is none."""
        if self.next >= len(self.times):
            return math.inf
        t = float(self.times[self.next])
        return t - 2 * _slack(t)

    def until_due(self):
        """Number of steps after which `at` will record."""
        n = self.record.n if isinstance(self.record, EveryStep) else 0
        return n - self.steps % n if n else UNLIMITED

    def skip(self, steps):
        """Steps were taken at which nothing was due."""
        if steps > 0 and not isinstance(self.record, Times):
            self.steps += steps

    def at(self, t, q, R, E, first=False, final=False):
        """Offer the state at the start, after a step, or at the end."""
        if isinstance(self.record, Times):
            if self.next < len(self.times) and self.times[self.next] <= t + _slack(t):
                self._take(float(self.times[self.next]), q, R, E)
            return
        self.steps += not first
        every = self.record.n if isinstance(self.record, EveryStep) else 0
        if final or (every and self.steps % every == 0):
            self._take(t, q, R, E)

    def finish(self, t, q, R, E):
        """The run has ended at t without `at(..., final=True)`: record it unless the frame is there."""
        if not isinstance(self.record, Times) and (self.last is None or self.last[0] != t):
            self._take(t, q, R, E)

    def _take(self, t, q, R, E):
        self.next += isinstance(self.record, Times)
        # Copies: a user may keep or change what is handed out.
        self.last = (t, np.array(q.reshape(self.shape)), np.array(R), np.array(E))
        if self.keep:
            self.frames.append(self.last)
        if self.sink is not None:
            self.sink(*self.last)

    def arrays(self, neurons, signals):
        """t (T,), q, R and E of the frames in memory."""
        frames = self.frames if self.keep else [] if self.last is None else [self.last]
        T = len(frames)
        t, q, R, E = zip(*frames, strict=True) if T else ((), (), (), ())
        return (
            np.array(t, dtype=float),
            np.array(q, dtype=float).reshape(T, *self.shape),
            np.array(R, dtype=float).reshape(T, neurons, signals),
            np.array(E, dtype=float).reshape(T, neurons, signals),
        )


def _slack(t):
    return 8 * np.spacing(abs(t))
