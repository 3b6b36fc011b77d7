"""Interpolation between steps."""

from __future__ import annotations

import numpy as np

from ._interpolate import lobatto


class Step:
    """One accepted step as a polynomial: q(t + theta h) = q0 + h sum_k coefficients_k theta^(k + 1)."""

    __slots__ = ("E", "coefficients", "end", "h", "q0", "t")

    def __init__(self, t, h, end, q0, K, P, E=None):
        self.t, self.h, self.end, self.q0, self.E = t, h, end, q0, E
        self.coefficients = (P.T @ K.reshape(len(K), -1)).reshape(-1, *q0.shape)

    def places(self, t):
        """q (H, N, d) at one time."""
        theta = (t - self.t) / self.h
        powers = self.h * theta ** np.arange(1, len(self.coefficients) + 1)
        return self.q0 + np.tensordot(powers, self.coefficients, 1)


class DenseOutput:
    """Places and emitted signals at any time of a run: `solution.sol`.

    Calling it with a time gives q (N, d), or (H, N, d) with copies; with times (K,), one more axis in front.
    `emitted(t)` gives E (N, s) at one time; where a delay ends, E is the limit from the right (from the left with
    left=True and at the run's last time). `anchors` are times t0 such that E may jump at t0 + k eps.
    """

    def __init__(self, system, field, steps, t_max, anchors=()):
        self._system, self._field, self._steps = system, field, steps
        self._starts = np.array([step.t for step in steps])
        self.t_min, self.t_max, self.anchors = steps[0].t, t_max, tuple(anchors)

    def __call__(self, t):
        times = np.asarray(t, dtype=float)
        if times.ndim == 0:
            return self._find(float(times)).places(float(times)).reshape(self._system.q.shape)
        if times.ndim != 1:
            raise ValueError(f"t: got shape {times.shape}; expected one time or (K,).")
        return np.array([self(time) for time in times]).reshape(len(times), *self._system.q.shape)

    def emitted(self, t, left=False):
        """E (N, s) at one time."""
        t = float(t)
        step = self._find(t, "left" if left else "right")
        if step.E is None:
            return self._field.signals(t, step.places(t))[1]
        weights = lobatto(len(step.E)).weights((t - step.t) / step.h)
        return np.tensordot(weights, step.E, 1)

    def _find(self, t, side="right"):
        if not self.t_min <= t <= self.t_max:
            raise ValueError(f"t: got {t:g}; expected a time of the run, {self.t_min:g} to {self.t_max:g}.")
        return self._steps[max(int(np.searchsorted(self._starts, t, side=side)) - 1, 0)]
