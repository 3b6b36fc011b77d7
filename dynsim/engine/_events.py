"""Events: times at which a function of time and places is zero, with SciPy's conventions."""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq

from dynsim._check import describe, refusal


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

    def start(self, t, q):
        """Evaluate at the start."""
        self.values = [self._value(event, t, q) for event in self.functions]

    def check(self, step, q_end):
        """Find this step's events in order of time; returns the time of the one that ends the run, or None."""
        found = []
        values = [self._value(event, step.end, q_end) for event in self.functions]
        for k, (old, new) in enumerate(zip(self.values, values, strict=True)):
            up, down = old <= 0 <= new, old >= 0 >= new
            direction = self.directions[k]
            if (up and direction > 0) or (down and direction < 0) or ((up or down) and direction == 0):
                found.append((self._root(k, step, old, new), k))
        self.values = values
        for t, k in sorted(found):
            self.times[k].append(t)
            self.places[k].append(step.places(t).reshape(self.shape))
            if self.limits[k] and len(self.times[k]) >= self.limits[k]:
                return t
        return None

    def results(self):
        """t_events and q_events, a list of arrays each, or (None, None) without events."""
        if not self.functions:
            return None, None
        return (
            [np.array(times) for times in self.times],
            [np.array(places).reshape(-1, *self.shape) for places in self.places],
        )

    def _value(self, event, t, q):
        value = event(t, q.reshape(self.shape))
        if np.size(value) != 1 or not np.isfinite(np.asarray(value, dtype=float)).all():
            raise refusal("events", f"{value!r} from {_name(event)} at t = {t:.9g}", "one finite number")
        return float(np.asarray(value, dtype=float).reshape(()))

    def _root(self, k, step, old, new):
        if old == 0.0:
            return step.t
        if new == 0.0:
            return step.end
        event, tolerance = self.functions[k], 4 * np.finfo(float).eps
        # The interpolant may differ from the step's end by rounding, so the ends take the known values.
        ends = {step.t: old, step.end: new}

        def value(t):
            return ends[t] if t in ends else self._value(event, t, step.places(t))

        return float(brentq(value, step.t, step.end, xtol=tolerance, rtol=tolerance))


def _limit(event):
    terminal = getattr(event, "terminal", None)
    if terminal is None or terminal is False or terminal is True:
        return 1 if terminal else 0
    if int(terminal) == terminal and terminal >= 0:
        return int(terminal)
    raise refusal("events", f"terminal = {terminal!r} of {_name(event)}", "True, False or a whole number")


def _name(event):
    return getattr(event, "__name__", type(event).__name__)
