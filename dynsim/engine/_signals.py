"""Given signals: the drive I(t) of (1') and the emitted signals of clamped groups."""

from __future__ import annotations

import numpy as np

from dynsim._check import as_array


class Given:
    """A signal (n, s) as a function of time: constant, callable, or sampled with linear interpolation.

    Sampled values are held at their first and last value outside their times. Calling it returns a new or shared
    (n, s) array that must not be written to.
    """

    def __init__(self, value, name, neurons, signals):
        self.name, self.shape = name, (neurons, signals)
        self.function = self.times = None
        if callable(value):
            self.function = value
        elif is_sampled(value):
            self._sample(*value)
        else:
            self.constant = self._constant(value)

    def __call__(self, t):
        if self.function is not None:
            return self._constant(self.function(t))
        if self.times is None:
            return self.constant
        k = int(np.searchsorted(self.times, t, side="right")) - 1
        if k < 0 or k >= len(self.times) - 1:
            return self.values[0 if k < 0 else -1]
        weight = (t - self.times[k]) / (self.times[k + 1] - self.times[k])
        return (1.0 - weight) * self.values[k] + weight * self.values[k + 1]

    def _constant(self, value):
        array = as_array(value, self.name, dtype=np.float64)
        n, s = self.shape
        if array.shape == (n,) and s == 1:
            array = array[:, None]
        if array.shape not in ((), (s,), (n, s)):
            raise ValueError(f"{self.name}: got shape {array.shape}; expected {self.shape}, ({s},) or a number.")
        return np.broadcast_to(array, self.shape)

    def _sample(self, times, values):
        self.times = as_array(times, f"{self.name} times", ("K",), np.float64).copy()
        if len(self.times) < 2 or np.any(np.diff(self.times) <= 0):
            raise ValueError(f"{self.name} times: got {len(self.times)} times; expected at least 2, increasing.")
        self.values = as_array(values, f"{self.name} values", (len(self.times), *self.shape), np.float64).copy()


def is_sampled(value):
    """Whether a drive is the pair (times (K,), values (K, n, s))."""
    return isinstance(value, tuple) and len(value) == 2 and np.ndim(value[0]) == 1 and np.ndim(value[1]) == 3


def implied_signals(value):
    """Number of signals that a drive or clamp of two axes implies, or None."""
    if value is None or callable(value):
        return None
    shape = np.shape(value[1] if is_sampled(value) else value)
    return shape[-1] if len(shape) >= 2 else None
