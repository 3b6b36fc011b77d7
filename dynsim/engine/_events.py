"""Events: times at which a function of time and places is zero, with the interface of SciPy's solve_ivp.

One zero is one event, wherever a step ends: what is watched is the side of 0 on which a function is, and an event is
where that side is left. A value of exactly 0 ends the side; while it stays, and when it goes on, nothing more is found.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq

from dynsim._check import as_array, describe, refusal

from ._failure import Misbehaved

AT_START = 2  # among the sides -1, 0 and 1: a value that was 0 where the run began
# Of the place of a zero within its step, whose length is 1 there: so it knows no scale of time.
TOLERANCE = 4 * np.finfo(float).eps
# Brent's method halves at worst every 53rd time, and 53 halvings reach rounding.
ITERATIONS = 3000


class Events:
    """Watches functions event(t, q) with the attributes `terminal` (bool or a count) and `direction`."""

    def __init__(self, events, system):
        if events is None:
            events = ()
        elif callable(events):
            events = (events,)
        try:
            self.functions = tuple(events)
        except TypeError:
            raise refusal("events", describe(events), "a function or a list of them", error=TypeError) from None
        for event in self.functions:
            if not callable(event):
                raise refusal("events", describe(event), "functions event(t, q)", error=TypeError)
        self.limits = [_limit(event) for event in self.functions]
        self.directions = [float(getattr(event, "direction", 0)) for event in self.functions]
        self.shape = system.q.shape
        self.times = [[] for _ in self.functions]
        self.places = [[] for _ in self.functions]
        self.counts = [0] * len(self.functions)  # towards `limits`
        self.skip = [False] * len(self.functions)  # whether the next zero was found before a run was resumed

    def start(self, t, q, state=None):
        """Evaluate at the start; `state` is that of the run that goes on, if it watched as many functions."""
        self.values = [self._value(event, t, q) for event in self.functions]
        self.sides = [_side(value) or AT_START for value in self.values]
        if state is not None and len(state["sides"]) == len(self.functions):
            self.sides, self.counts = [int(side) for side in state["sides"]], [int(count) for count in state["counts"]]
            self.skip = [bool(skip) for skip in state["skip"]]

    def check(self, step, q_end):
        """Find this step's events in order of time; returns the time of the one that ends the run, or None.

        Where the run ends within the step, what is known of it is that of the step's begin, for it is made again.
        """
        values = [self._value(event, step.end, q_end) for event in self.functions]
        sides, found = [_side(value) for value in values], []
        for k, (old, new) in enumerate(zip(self.sides, sides, strict=True)):
            direction = self.directions[k]
            if old == AT_START:
                if direction * new >= 0:
                    found.append((step.t, k))
            elif old and new != old and direction * old <= 0:
                found.append((step.end if new == 0 else self._root(k, step, values[k], old), k))
        ends, known = None, []
        for t, k in sorted(found):
            if ends is not None and t > ends:
                break
            known.append(k)
            if self.skip[k]:
                continue
            self.times[k].append(t)
            # The interpolant may differ from the step's end by rounding.
            places = q_end.copy() if t == step.end else step.places(t)
            self.places[k].append(places.reshape(self.shape))
            self.counts[k] += 1
            if self.limits[k] and self.counts[k] >= self.limits[k]:
                ends, self.counts[k] = t, 0  # a run that goes on counts anew
        again = ends is not None and ends < step.end
        for k in known:
            self.skip[k] = again
        if not again:
            self.values, self.sides = values, sides
        return ends

    def state(self):
        """What a run that goes on has to know."""
        return {"sides": list(self.sides), "counts": list(self.counts), "skip": list(self.skip)}

    def results(self):
        """t_events and q_events, a list of arrays each, or (None, None) without events."""
        if not self.functions:
            return None, None
        return (
            [np.array(times) for times in self.times],
            [np.array(places).reshape(-1, *self.shape) for places in self.places],
        )

    def _value(self, event, t, q):
        value = event(t, q.reshape(self.shape).copy())  # what one function does to it is its own affair
        try:
            number = as_array(value, "events", dtype=np.float64, finite=False)
        except (TypeError, ValueError):
            number = np.empty(0)
        if number.size != 1 or not np.isfinite(number).all():
            raise Misbehaved(refusal("events", f"{value!r} from {_name(event)} at t = {t:.9g}", "one finite number"))
        return float(number.reshape(()))

    def _root(self, k, step, last, side):
        event, first = self.functions[k], self.values[k]
        if _side(first) != side:  # by rounding, where the event before was found
            first = -last
        # The interpolant may differ from the step's end by rounding, so the ends take the known values.
        ends = {0.0: first, 1.0: last}

        def value(theta):
            t = step.t + theta * step.h
            return ends[theta] if theta in ends else self._value(event, t, step.places(t))

        theta = brentq(value, 0.0, 1.0, xtol=TOLERANCE, rtol=TOLERANCE, maxiter=ITERATIONS)
        return min(max(step.t + theta * step.h, step.t), step.end)


def _side(value):
    return int(value > 0) - int(value < 0)


def _limit(event):
    terminal = getattr(event, "terminal", None)
    if terminal is None or terminal is False or terminal is True:
        return 1 if terminal else 0
    if int(terminal) == terminal and terminal >= 0:
        return int(terminal)
    raise refusal("events", f"terminal = {terminal!r} of {_name(event)}", "True, False or a whole number")


def _name(event):
    return getattr(event, "__name__", type(event).__name__)
